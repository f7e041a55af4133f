/* Rewrites a cache file to the live entities only: reads the file itself, so that neither the
 * tables nor the sync thread are needed. Made and finished on the sync thread, run on the pool.
 */
#ifndef CARDEA_SYNC_CACHE_COMPACT_H
#define CARDEA_SYNC_CACHE_COMPACT_H

#include "data-plane/sync/cache_file.h"

struct cache_compact;

/* path: the file that `now` has open; temp: the file to make. Nothing is read yet. */
int cache_compact_create(struct cache_compact **out, const char *path, const char *temp,
			 const struct cache_id *id, const struct cache_file *now,
			 struct err *e) must_check;
/* Unlinks temp unless it was taken. NULL is fine. */
void cache_compact_free(struct cache_compact *k);
/* Thread: pool. Writes the entities that are live at the last commit the file had at create. */
int cache_compact_run(struct cache_compact *k, struct err *e) must_check;
/* Whether the work was about this file. */
bool cache_compact_is_of(const struct cache_compact *k, const struct cache_file *now);
/* Copies what was appended since, up to `committed` bytes of the old file. */
int cache_compact_finish(struct cache_compact *k, uint64_t committed, struct err *e) must_check;
/* Hands the new file over. */
void cache_compact_take(struct cache_compact *k, struct cache_file *out, char *temp,
			size_t temp_size, uint64_t *base);

#endif
