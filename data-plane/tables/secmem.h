/* Memory for private keys: left out of core dumps, cleansed when freed, packed.
 *
 *     slab (1 MiB, mmap, MADV_DONTDUMP): | 144 | 144 | 48 | 1232 | ... free to the end |
 *
 * Sizes are rounded up to 16 bytes; freed pieces are kept in a list per size. owner and thread:
 * the sync thread allocates and frees; any thread may read what it was given.
 */
#ifndef CARDEA_TABLES_SECMEM_H
#define CARDEA_TABLES_SECMEM_H

#include <stddef.h>

enum { SECMEM_SLAB = 1 << 20, SECMEM_STEP = 16, SECMEM_MAX = 64 << 10 };

struct secmem_slab;

struct secmem {
	struct secmem_slab *slabs;			/* private */
	char *next;					/* private: unused end of the newest slab */
	size_t left;					/* private */
	size_t used;					/* read: bytes handed out */
	void *free_lists[SECMEM_MAX / SECMEM_STEP + 1]; /* private */
};

/* Empty: nothing is mapped yet. */
void secmem_init(struct secmem *s);
/* Cleanses and unmaps everything. */
void secmem_deinit(struct secmem *s);
/* n bytes (1 to SECMEM_MAX), or NULL. */
void *secmem_alloc(struct secmem *s, size_t n);
/* n as given to secmem_alloc. NULL is fine. */
void secmem_free(struct secmem *s, void *p, size_t n);

#endif
