/* Stream messages to bytes and from bytes: with wire.h the only user of the generated protobuf code
 * in the control plane. Thread: any. */
#ifndef CARDEA_FLEET_ENCODE_H
#define CARDEA_FLEET_ENCODE_H

#include <jansson.h>
#include <stdint.h>

#include "common/core/codec.h"
#include "common/core/err.h"
#include "common/core/str.h"
#include "control-plane/fleet/target_health.h"
#include "control-plane/model/entity.h"

/* One Change as it goes over the wire, gRPC prefix included: made once, written to every stream.
 * The image owns it; streams copy what their connection takes at once, so nobody shares it. May
 * hold a private key: cleansed when freed. */
struct encoded;

/* The Change of an entity; row is as the feed gives it (secrets unsealed), NULL: removed.
 * ERR_INVALID: the row does not make a message (PEM that does not decode, missing fields);
 * ERR_LIMIT: larger than a stream message may be. */
int encode_change(struct encoded **out, const struct entity *t, const unsigned char id[16],
		  const json_t *row, struct err *e) must_check;
/* "Keep what you have of it": the place of an entity that a data plane refused. */
int encode_held(struct encoded **out, const struct entity *t, const unsigned char id[16],
		struct err *e) must_check;
void encoded_free(struct encoded *c);
struct str encoded_bytes(const struct encoded *c);

/* Appended to out with the gRPC prefix. */
int encode_snapshot_begin(struct buf *out, const char *epoch, uint64_t revision, uint64_t changes,
			  struct err *e) must_check;
int encode_commit(struct buf *out, const char *epoch, uint64_t revision, uint64_t since,
		  struct err *e) must_check;

/* WantAnswer.Verdict. */
enum want_verdict { WANT_COMES = 1, WANT_REFUSED, WANT_CLIENT_REFUSED };
struct want_answer {
	const char *host;
	enum want_verdict verdict;
	uint32_t seconds;   /* that the node does not ask again */
	const char *reason; /* "" for WANT_COMES */
};
int encode_want_answer(struct buf *out, const struct want_answer *a, struct err *e) must_check;

/* --- what nodes say --- */

enum {
	NODE_HOSTNAME_MAX = 255,
	NODE_VERSION_MAX = 64,
	NODE_EPOCH_MAX = 128,
	NODE_REASON_MAX = 1024
};
enum { NODE_LABELS_MAX = 64, NODE_LABEL_NAME_MAX = 63, NODE_LABEL_VALUE_MAX = 255 };
enum { NODE_HITS_MAX = 1024, NODE_TARGETS_MAX = 1024, NODE_WANT_MAX = 253 };

enum node_message_kind {
	NODE_MESSAGE_HELLO,
	NODE_MESSAGE_ACK,
	NODE_MESSAGE_NACK,
	NODE_MESSAGE_REPORT,
	NODE_MESSAGE_WANT,
	NODE_MESSAGE_KINDS,
};

struct node_message {
	enum node_message_kind kind;
	uint64_t revision;		/* HELLO (held), ACK, NACK */
	const char *entity_kind;	/* NACK: "" for the revision itself */
	char entity_id[UUID_TEXT_SIZE]; /* NACK: "" for none */
	const char *reason;		/* NACK */
	char node_id[UUID_TEXT_SIZE];	/* HELLO, lower case */
	const char *hostname;		/* HELLO */
	const char *version;		/* HELLO */
	const char *epoch;		/* HELLO */
	json_t *labels;			/* HELLO: object; borrowed */
	size_t hit_count;		/* REPORT */
	size_t target_count;		/* REPORT */
	bool targets_begin;		/* REPORT: what was told of targets before is void */
	const char *host;		/* WANT */
	const char *client;		/* WANT: an IP address, or "" */
	void *unpacked;			/* private */
};

/* ERR_INVALID: not a NodeMessage, or one that breaks a limit of proto/README.md; says which.
 * Everything in it lives until node_message_free. */
int node_message_decode(struct node_message *out, struct str bytes, struct err *e) must_check;
void node_message_free(struct node_message *m);
/* i < hit_count. */
void node_message_hit(const struct node_message *m, size_t i, char challenge_id[UUID_TEXT_SIZE],
		      uint32_t *count);
/* i < target_count. */
void node_message_target(const struct node_message *m, size_t i, struct target_report *out);

#endif
