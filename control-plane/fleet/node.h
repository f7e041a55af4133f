/* One data plane on its stream: what it holds, and what it is sent next.
 *
 *            hello                          end of the list, Commit
 *     NEW ──────────▶ SNAPSHOT or DELTA ───────────────────────────▶ CURRENT
 *      │ image not         ▲  ▲   │                                  │    │
 *      │ loaded, or node   │  │   └── nack ──▶ REFUSED ◀──── nack ───┘    │
 *      ▼ ahead of it       │  └── later revision ──┘                      │
 *     WAITING ─────────────┘ ◀──────────── new revision (DELTA) ───────────┘
 *
 * From anywhere: the image is loaded again (WAITING), the stream ends (GONE). What is sent comes
 * straight out of the image, from this node's cursor on; nothing is queued here. After a nack
 * everything since the last ack is sent again, but only once there is a later revision: when the
 * node named an entity, that is soon the one which holds the entity back (refusals.h). Pure (no
 * I/O). owner: its stream, thread: the loop.
 */
#ifndef CARDEA_FLEET_NODE_H
#define CARDEA_FLEET_NODE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/core/err.h"
#include "control-plane/fleet/encode.h"
#include "control-plane/fleet/image.h"

enum node_state {
	NODE_NEW,      /* before Hello */
	NODE_WAITING,  /* for the image to load, or to catch up with the node */
	NODE_SNAPSHOT, /* is sent everything */
	NODE_DELTA,    /* is sent what is new */
	NODE_CURRENT,  /* was sent everything there is */
	NODE_REFUSED,  /* nacked; waits for a later revision */
	NODE_GONE,
	NODE_STATES,
};

/* So long a node that is ahead of this control plane waits for it to catch up (ms): another
 * control plane may simply have read the feed earlier. */
enum { NODE_AHEAD_MS = 10000 };

struct node_nack {
	uint64_t revision; /* 0: none */
	char kind[NODE_VERSION_MAX + 1];
	char id[UUID_TEXT_SIZE];
	char reason[NODE_REASON_MAX + 1];
	int64_t at; /* seconds since 1970 */
};

struct node {
	enum node_state state;	 /* read */
	char id[UUID_TEXT_SIZE]; /* read, as all up to nack: "" before Hello */
	char hostname[NODE_HOSTNAME_MAX + 1];
	char version[NODE_VERSION_MAX + 1];
	json_t *labels;		       /* object */
	uint64_t acked;		       /* in the image's epoch; 0: nothing */
	struct node_nack nack;	       /* of the last refusal, until a later ack */
	bool known;		       /* private: acked is of the image's epoch */
	char held[NODE_EPOCH_MAX + 1]; /* private: epoch from Hello */
	uint64_t committed;	       /* private: revision of the last Commit sent */
	uint64_t since;		       /* private: the delta in progress stands on it */
	uint64_t began;		       /* private: revision at SnapshotBegin */
	bool begin_sent;	       /* private: SnapshotBegin went out for this snapshot */
	bool incomplete;	       /* private: a SnapshotBegin went out, its Commit did not */
	uint64_t ahead_until;	       /* private: ms; 0: not ahead */
	struct image_cursor cursor;    /* private */
};

/* NODE_NEW: before its Hello. */
void node_init(struct node *n);
/* The cursor leaves the image. */
void node_deinit(struct node *n);

/* What the node said. now_ms: monotonic. ERR_INVALID: it breaks the contract of proto/README.md
 * (second Hello, ack of what was never sent, ...): the stream must end. */
int node_hello(struct node *n, struct image *m, const struct node_message *hello, uint64_t now_ms,
	       struct err *e) must_check;
int node_ack(struct node *n, uint64_t revision, struct err *e) must_check;
int node_nack(struct node *n, struct image *m, const struct node_message *nack, uint64_t now_ms,
	      struct err *e) must_check;

/* The image is about to be loaded again. In another epoch (the stream is being ended then) what the
 * node acked means nothing any more. */
void node_image_reset(struct node *n, bool other_epoch);
/* The image got a revision; also called every second, for nodes that are ahead. */
void node_image_commit(struct node *n, struct image *m, uint64_t now_ms);

/* The node is ahead of this control plane, which cannot ask the database why: another control plane
 * knows more (FL-10). */
bool node_should_leave(const struct node *n, uint64_t now_ms);

/* What the node serves, as far as it is known to be of the image's epoch; 0: nothing. */
uint64_t node_acked(const struct node *n);
/* Whether node_pump has something to send. */
bool node_wants(const struct node *n);
enum node_pump {
	NODE_PUMP_DONE, /* nothing to send until the image or the node changes */
	NODE_PUMP_MORE, /* budget used up */
	NODE_PUMP_FULL, /* write said so */
};
struct node_sink {
	/* Takes the bytes; false: no more now. */
	bool (*write)(struct str bytes, void *arg);
	void *arg;
};
/* Sends the next messages, about `budget` bytes. -1: out of memory, the stream must end. */
int node_pump(struct node *n, struct image *m, const struct node_sink *sink, size_t budget,
	      enum node_pump *result, struct err *e) must_check;
/* The stream ended. */
void node_leave(struct node *n);

/* Lower case, for logs and the admin API. */
const char *node_state_name(enum node_state s);

#endif
