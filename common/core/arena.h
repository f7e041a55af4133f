/* Many allocations, freed together. Thread: the owner. */
#ifndef CARDEA_CORE_ARENA_H
#define CARDEA_CORE_ARENA_H

#include <stddef.h>

#include "common/core/str.h"

struct arena_block;

struct arena {
	struct arena_block *blocks; /* private: newest first */
	size_t used;		    /* read: bytes handed out since the last reset */
	size_t limit;		    /* set: bytes that may be handed out; 0 is no limit */
	size_t block;		    /* set: least bytes of a block; 0 is the usual size */
	bool secret;		    /* set: bytes are cleansed when they are freed */
};

/* Empty; allocates nothing yet. */
void arena_init(struct arena *a, size_t limit);
/* Frees every block. */
void arena_deinit(struct arena *a);
/* Makes all memory available again; keeps one block, so that a busy owner stops calling malloc. */
void arena_reset(struct arena *a);
/* n zeroed bytes aligned for any type, or NULL when out of memory or over the limit. Lives until
 * reset. */
void *arena_alloc(struct arena *a, size_t n);
/* The same, not cleared: for bytes that are written at once. */
void *arena_raw(struct arena *a, size_t n);
/* A NUL-terminated copy; ptr is NULL when out of memory. */
struct str arena_str(struct arena *a, struct str s);

#endif
