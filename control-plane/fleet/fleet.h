/* The data planes of this control plane: their streams, what each holds, and the barrier.
 *
 * Keeps an image of every entity in its wire form (encoded once, shared by all streams), ordered by
 * revision, so that snapshots and deltas cost no database. owner: main, thread: the loop.
 */
#ifndef CARDEA_FLEET_FLEET_H
#define CARDEA_FLEET_FLEET_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/core/log.h"
#include "common/metrics/metrics.h"
#include "common/net/addr.h"
#include "common/net/loop.h"
#include "control-plane/fleet/encode.h"
#include "control-plane/store/store.h"

struct fleet;

struct fleet_conf {
	const char *control_plane_id; /* UUID of this process */
	struct listen_list listen;    /* cluster_listen */
	const char *cert_file, *key_file, *ca_file;
	unsigned max_connections; /* 0: no limit */
	uint64_t keepalive_ms;	  /* 10,000 */
	uint64_t
		node_grace_ms; /* a node that left is still "live" for the barrier so long: 5,000 */
	struct metrics *metrics;
};

/* Starts following the store and listening. */
int fleet_start(struct fleet **out, struct loop *l, struct store *s, const struct fleet_conf *c,
		struct err *e) must_check;
void fleet_close(struct fleet *f, void (*closed)(void *arg), void *arg);
/* Whether everything was read once: data planes can be told. */
bool fleet_ready(const struct fleet *f);
/* The revision that this control plane has encoded for its streams; 0 before the first load. */
uint64_t fleet_revision(const struct fleet *f);

/* --- the barrier (invariant 3) --- */

struct barrier;
struct barrier_result {
	bool complete;
	json_t *missing; /* array of {"id","hostname","revision"}: live nodes that had not acked.
			    Borrowed */
	uint64_t nodes;	 /* live nodes asked */
};
/* Calls done when every live data plane of the cluster (also those of other control planes) acked
 * revision, or after timeout_ms with complete = false; so too as soon as one of them refused
 * something of it. With no data plane at all it completes at
 * once. done comes once, later, unless barrier_cancel was called. */
int fleet_wait(struct barrier **out, struct fleet *f, uint64_t revision, uint64_t timeout_ms,
	       void (*done)(const struct barrier_result *r, void *arg), void *arg,
	       struct err *e) must_check;
/* Forgets it; done is not called. NULL is fine. Not after done. */
void barrier_cancel(struct barrier *b);
/* The nodes still missing now for a revision: array as in barrier_result; a new reference. */
json_t *fleet_missing(struct fleet *f, uint64_t revision);

/* --- what nodes tell --- */

/* A data plane (of any control plane) answered validation requests for this challenge. */
void fleet_on_challenge_hit(struct fleet *f,
			    void (*fn)(const char *challenge_id, const char *node_id,
				       uint32_t count, void *arg),
			    void *arg);
/* A data plane of this control plane wants a certificate (issuance on demand). Texts live during
 * the call; client is an IP address, or "" when it is not known. */
struct fleet_want {
	const char *node_id, *hostname, *host, *client;
};
/* Who decides; NULL: every name is refused. The answer may come at any time, or never. */
void fleet_on_want(struct fleet *f, void (*fn)(const struct fleet_want *w, void *arg), void *arg);
/* A node that is gone meanwhile asks again where it went. */
void fleet_answer_want(struct fleet *f, const char *node_id, const struct want_answer *a);
/* /clustering/data-planes rows (kong-admin-api.md 3.6, and Cardea's own `revision`, `nack`,
 * `refused`, `connected`, `control_plane`), from the nodes table; r->rows are shaped as shown to
 * clients. */
void fleet_nodes(struct fleet *f, store_done done, void *arg);

/* What the data planes of the cluster say of targets: as health_share_read. */
void fleet_target_health(struct fleet *f, const json_t *targets,
			 void (*done)(json_t *states, void *arg), void *arg);

/* --- the log level --- */

/* Of this control plane, for so many seconds; 0: for good (level.h). */
void fleet_log_level(struct fleet *f, enum log_level level, uint64_t seconds);
/* Of every control plane. done tells whether the others could be told. */
void fleet_log_level_all(struct fleet *f, enum log_level level, uint64_t seconds, store_done done,
			 void *arg);

#endif
