/* The nodes table: what this control plane knows of its data planes is written there for
 * GET /clustering/data-planes and for the other control planes, and theirs is read from it.
 *
 * Writes are coalesced: at once when the last one is 50 ms ago, else then; one statement, without
 * waiting for the disk (the rows are rebuilt from the streams anyway). The same statement notifies
 * channel cardea_nodes with acks and challenge hits. A connected node's last_seen is refreshed
 * every 5 s. Without the database everything is kept (one row per node) and written later; hits
 * over a bound are dropped and logged. owner: the fleet, thread: the loop.
 */
#ifndef CARDEA_FLEET_NODES_TABLE_H
#define CARDEA_FLEET_NODES_TABLE_H

#include <jansson.h>

#include "common/net/loop.h"
#include "control-plane/fleet/fleet.h"
#include "control-plane/store/store.h"

enum { NODES_WRITE_MS = 50, NODES_HEARTBEAT_MS = 5000, NODES_HITS_PENDING_MAX = 4096 };

struct nodes_row {
	const char *id, *epoch, *control_plane;
	uint64_t revision;
	bool connected;
	const char *hostname; /* NULL in notifications */
	int64_t age_ms;	      /* since this was true */
};

struct nodes_events {
	/* A node of another control plane. Strings live until the call returns. */
	void (*on_row)(const struct nodes_row *row, void *arg);
	/* A whole view was read; view is what nodes_table_refresh returned, or later. */
	void (*on_view)(uint64_t view, void *arg);
	void (*on_hit)(const char *challenge_id, const char *node_id, uint32_t count, void *arg);
	void *arg;
};

struct nodes_table {
	struct loop *loop; /* private, as all */
	struct store *store;
	const char *self;
	struct nodes_events events;
	struct timer write_timer;
	struct timer heartbeat;
	json_t *rows;	      /* id to row: to be written */
	json_t *hits;	      /* array: to be notified */
	json_t *writing_rows; /* in the statement that is under way; NULL: none is */
	json_t *writing_hits;
	uint64_t last_write_ms;
	uint64_t view_asked, view_started, view_done;
	uint64_t beats;
	uint64_t keep_s; /* rows older than this are nobody's business */
	unsigned open;	 /* handles and statements under way */
	bool reading;
	bool closing;
	void (*closed)(void *arg);
	void *closed_arg;
};

/* self: UUID of this control plane, borrowed. */
int nodes_table_init(struct nodes_table *t, struct loop *l, struct store *s, const char *self,
		     uint64_t grace_ms, const struct nodes_events *ev, struct err *e) must_check;
/* Writes what is left first; rows of nodes that were let go are put before this. */
void nodes_table_close(struct nodes_table *t, void (*closed)(void *arg), void *arg);
/* The row as json: id, hostname, ip, version, labels, cert_not_after, epoch, revision, nack,
 * connected. Takes the reference. The newest row of a node counts. */
void nodes_table_put(struct nodes_table *t, const char *id, json_t *row);
void nodes_table_hit(struct nodes_table *t, const char *challenge_id, const char *node_id,
		     uint32_t count);
/* Reads all rows again. Returns the number that on_view will reach when a reading that began now or
 * later is done. */
uint64_t nodes_table_refresh(struct nodes_table *t);
/* A payload of channel cardea_nodes. */
void nodes_table_notified(struct nodes_table *t, const char *payload);
/* fleet_nodes. */
void nodes_table_list(struct nodes_table *t, store_done done, void *arg);

#endif
