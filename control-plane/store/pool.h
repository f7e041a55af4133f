/* Sessions for batches: batches wait in line for an idle one, each with a deadline. Private to
 * control-plane/store/. owner: store, thread: the loop. */
#ifndef CARDEA_STORE_POOL_H
#define CARDEA_STORE_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/net/loop.h"
#include "control-plane/store/pg.h"

struct pool;

enum { POOL_WAITING_MAX = 20000 }; /* batches in line; more are refused at once */

struct pool_conf {
	const char *conninfo;
	unsigned size;
	uint64_t timeout_ms; /* of a batch, from pool_run to its end */
};

/* Connects, and holds batches back until pool_release. */
int pool_create(struct pool **out, struct loop *l, const struct pool_conf *c,
		struct err *e) must_check;
/* From now on batches run. */
void pool_release(struct pool *p);
/* Runs b when a session is idle; on_end always comes, later, within the timeout. b->deadline 0: the
 * whole timeout; else kept. */
void pool_run(struct pool *p, struct pg_batch *b);
/* Whether the last exchange with the database went well. */
bool pool_reachable(const struct pool *p);
/* Batches that wait or run end as unsent or lost; then closed. */
void pool_close(struct pool *p, void (*closed)(void *arg), void *arg);

#endif
