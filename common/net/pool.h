/* Buffers that the connections of one loop share, so that an idle connection holds none: one to
 * read into, one to decrypt into, and spare chunks for what waits to be written. owner: the loop,
 * thread: its loop. */
#ifndef CARDEA_NET_POOL_H
#define CARDEA_NET_POOL_H

#include <openssl/bio.h>
#include <stddef.h>

#include "common/core/err.h"

enum {
	POOL_READ_SIZE = 64 * 1024,
	POOL_PLAIN_SIZE = 16 * 1024,	   /* the largest TLS record's content */
	POOL_CHUNK_SIZE = 16 * 1024 + 256, /* a TLS record with its frame fits */
	POOL_SPARE_MAX = 128,		   /* chunks kept for reuse: 2 MiB */
};

/* Bytes waiting to be written: data[start, end). */
struct chunk {
	struct chunk *next;
	size_t start;
	size_t end;
	char data[POOL_CHUNK_SIZE];
};

struct io_pool {
	char read[POOL_READ_SIZE]; /* lent to libuv from alloc_cb until the read callback returns */
	char plain[POOL_PLAIN_SIZE]; /* lent to on_data while it runs */
	BIO_METHOD *bio;      /* how OpenSSL reads from and writes to a conn; NULL until needed */
	struct chunk *spare;  /* private */
	unsigned spare_count; /* private */
};

/* NULL when out of memory. */
struct io_pool *io_pool_create(void);
/* Every chunk was put back. NULL is fine. */
void io_pool_free(struct io_pool *p);
/* An empty chunk, or NULL when out of memory. */
struct chunk *io_pool_chunk(struct io_pool *p);
void io_pool_put(struct io_pool *p, struct chunk *c);

#endif
