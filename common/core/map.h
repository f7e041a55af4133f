/* Hash map from byte strings to pointers. Open addressing, keyed SipHash-like mixing with a random
 * seed per map, so that outside keys cannot be chosen to collide. The map copies keys and does not
 * own values. Thread: the owner. */
#ifndef CARDEA_CORE_MAP_H
#define CARDEA_CORE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/core/str.h"

struct map_entry;

struct map {
	struct map_entry *entries; /* private */
	size_t cap;		   /* private: power of two or 0 */
	size_t used;		   /* private: with tombstones */
	size_t count;		   /* read */
	uint64_t seed[2];	   /* private */
};

/* Empty; allocates nothing yet. */
void map_init(struct map *m);
/* Frees keys and table, not the values. */
void map_deinit(struct map *m);
/* The value, or NULL. */
void *map_get(const struct map *m, struct str key);
/* Sets key to value (not NULL). *old, if asked for, is the value that was there or NULL. */
int map_put(struct map *m, struct str key, void *value, void **old, struct err *e) must_check;
/* Removes the key; the value that was there, or NULL. */
void *map_remove(struct map *m, struct str key);
/* Walks in no order: start with *pos = 0; false at the end. Entries may be removed during the walk,
 * not added. */
bool map_next(const struct map *m, size_t *pos, struct str *key, void **value);

#endif
