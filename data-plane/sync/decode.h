/* Stream messages from bytes and to bytes: with fields.h the only user of the generated protobuf
 * code in the data plane. Thread: any. */
#ifndef CARDEA_SYNC_DECODE_H
#define CARDEA_SYNC_DECODE_H

#include "common/core/err.h"
#include "data-plane/sync/change.h"

enum { EPOCH_MAX = 128 };

enum plane_message_kind { PLANE_SNAPSHOT_BEGIN, PLANE_CHANGE, PLANE_COMMIT, PLANE_WANT_ANSWER };

/* WantAnswer.Verdict. */
enum want_verdict { WANT_COMES = 1, WANT_REFUSED, WANT_CLIENT_REFUSED, WANT_VERDICTS };
struct want_answer {
	struct str host, reason;
	enum want_verdict verdict;
	uint32_t seconds;
};

struct plane_message {
	enum plane_message_kind kind;
	struct str epoch;	   /* SNAPSHOT_BEGIN, COMMIT */
	uint64_t revision;	   /* SNAPSHOT_BEGIN, COMMIT */
	uint64_t since;		   /* COMMIT: of a delta, the revision that its changes stand on */
	uint64_t changes;	   /* SNAPSHOT_BEGIN: about how many follow */
	struct change change;	   /* CHANGE */
	struct want_answer answer; /* WANT_ANSWER */
	bool named;	/* after ERR_CONFLICT: change.kind and id say which entity it was */
	void *unpacked; /* private */
};
/* ERR_INVALID: not such a message (the stream cannot be trusted any more). ERR_CONFLICT: a Change
 * whose content is not acceptable: wrong sizes, too many parts, unknown entity (a newer control
 * plane); the revision is refused and the stream goes on. Both say which; nothing is to be freed
 * then. Slices live until free. */
int plane_message_decode(struct plane_message *out, struct str bytes, struct err *e) must_check;
void plane_message_free(struct plane_message *m);
/* A bare Change message (out of the cache). Errors as above. Free with plane_message_free; kind is
 * PLANE_CHANGE. */
int plane_change_decode(struct plane_message *out, struct str bytes, struct err *e) must_check;

/* NodeMessages, appended to out without the gRPC prefix. */
struct node_hello {
	const char *node_id, *version, *hostname, *epoch;
	const char *const *label_names, *const *label_values; /* n of each */
	size_t label_count;
	uint64_t revision;
};
int node_encode_hello(struct buf *out, const struct node_hello *h, struct err *e) must_check;
/* client: its address as text, "" when it is not known. */
int node_encode_want(struct buf *out, const char *host, const char *client,
		     struct err *e) must_check;
int node_encode_ack(struct buf *out, uint64_t revision, struct err *e) must_check;
/* kind "" and id NULL: the revision itself is at fault. */
int node_encode_nack(struct buf *out, uint64_t revision, const char *kind,
		     const unsigned char id[16], const char *reason, struct err *e) must_check;
struct node_hit {
	unsigned char challenge_id[16];
	uint32_t count;
};
struct node_target {
	unsigned char upstream[16], target[16];
	char address[64]; /* "ip:port", or "" */
	uint32_t weight;
	int verdict; /* TargetHealth.State */
};
/* begin: what was told before is void. */
int node_encode_targets(struct buf *out, const struct node_target *targets, size_t n, bool begin,
			struct err *e) must_check;
int node_encode_hits(struct buf *out, const struct node_hit *hits, size_t n,
		     struct err *e) must_check;

#endif
