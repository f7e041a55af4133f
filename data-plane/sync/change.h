/* One decoded change of the stream: what decode makes of a Change message and what apply takes. All
 * slices point into the message. */
#ifndef CARDEA_SYNC_CHANGE_H
#define CARDEA_SYNC_CHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/core/str.h"

enum change_kind {
	CHANGE_CERTIFICATE,
	CHANGE_SNI,
	CHANGE_CHALLENGE,
	CHANGE_TICKET_SECRET,
	CHANGE_ROUTE,
	CHANGE_SERVICE,
	CHANGE_UPSTREAM,
	CHANGE_TARGET,
	CHANGE_CONSUMER,
	CHANGE_PLUGIN,
	CHANGE_CA_CERTIFICATE,
	CHANGE_MTLS_CREDENTIAL,
	CHANGE_HEADER_CREDENTIAL,
	CHANGE_KINDS,
};

struct fields;

enum { CHANGE_PAIRS_MAX = 2, CHANGE_CHAIN_MAX = 10 };

struct change_pair {
	struct str leaf; /* DER */
	struct str chain[CHANGE_CHAIN_MAX];
	size_t chain_count;
	struct str key;	   /* PKCS#8 DER; secret */
	struct str staple; /* OCSP response; empty: none */
};

struct change {
	enum change_kind kind;
	bool removed;
	bool held; /* keep what there is of it, even nothing: its newest version was refused */
	unsigned char id[16];
	union {
		struct {
			struct change_pair pairs[CHANGE_PAIRS_MAX];
			size_t count;
		} certificate;
		struct {
			struct str name;
			unsigned char certificate_id[16];
			uint16_t tls_min_version; /* TLS1_2_VERSION, ...; 0: none */
		} sni;
		struct {
			struct str host, token, key_authorization;
		} challenge;
		struct {
			struct str secret; /* 32 bytes */
			int64_t not_before;
		} ticket;
		const struct fields *fields; /* of every other kind: see fields.h */
	} u;
	struct str encoded; /* the Change message as it came: what the disk cache keeps */
};

/* "certificates", "snis", "routes", ...: the kinds of the feed. */
const char *change_kind_name(enum change_kind k);

#endif
