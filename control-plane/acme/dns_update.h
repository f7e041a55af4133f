/* One TXT record into a zone, or out of it: RFC 2136, signed with HMAC-SHA256 (RFC 8945). By ldns,
 * over TCP; it blocks, so it runs on the pool. Thread: any. */
#ifndef CARDEA_ACME_DNS_UPDATE_H
#define CARDEA_ACME_DNS_UPDATE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/core/str.h"
#include "common/net/addr.h"

enum { DNS_RECORD_TTL_S = 60 };

struct dns_update_conf {
	struct addr server;
	const char *key_name; /* of TSIG; NULL: updates are not signed */
	const char *key_file; /* its secret in base64; read for each update */
	uint64_t timeout_ms;  /* of one update */
};

struct dns_change {
	const char *zone, *name, *value;
	bool add; /* else it is removed; one that is not there is removed already */
};

/* Whether the file has a secret that can be used. */
int dns_update_key_check(const char *file, struct err *e) must_check;
/* ERR_INVALID: the server does not want it, and e says what to look at; ERR_UNAVAILABLE: it did not
 * answer, or not in a way that can be trusted, so that nobody knows. */
int dns_update_send(const struct dns_update_conf *c, const struct dns_change *change,
		    struct err *e) must_check;

#endif
