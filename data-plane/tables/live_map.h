/* A map of versioned values (vmap.h) that changes at any time, one key at a time, instead of with
 * the revisions: what DNS and health checks find out.
 *
 * Readers: any registered thread; they see the newest value. Writer: the sync thread. */
#ifndef CARDEA_TABLES_LIVE_MAP_H
#define CARDEA_TABLES_LIVE_MAP_H

#include "data-plane/tables/vmap.h"

struct live_batch;

struct live_map {
	struct vmap map;		 /* private; count may be read */
	_Atomic uint64_t generation;	 /* private */
	struct live_batch *batches;	 /* private: waiting for their grace period, oldest first */
	struct live_batch **batches_end; /* private */
};

/* Empty. free_value is called by the writer for each value that no reader can see any more. */
int live_map_init(struct live_map *m, void (*free_value)(struct version *v, void *arg), void *arg,
		  struct err *e) must_check;
/* No reader may be left. Waits for grace periods that have begun. Thread: the writer. */
void live_map_deinit(struct live_map *m);

/* NULL: none. Goes online; the value lives until rcu_leave. */
const struct version *live_map_get(const struct live_map *m, struct str key);

/* --- writer --- */

/* Visible at once. value is the map's from now on, also after an error. */
int live_map_put(struct live_map *m, struct str key, struct version *value,
		 struct err *e) must_check;
/* What is not there is fine. */
int live_map_remove(struct live_map *m, struct str key, struct err *e) must_check;
/* The newest value, or NULL. */
const struct version *live_map_current(const struct live_map *m, struct str key);
/* Frees what no reader can see any more; never waits. put and remove do it too. Returns whether
 * something still waits. */
bool live_map_reap(struct live_map *m);

#endif
