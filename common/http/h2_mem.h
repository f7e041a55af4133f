/* Memory of nghttp2 that is used again: it allocates some eight pieces for each request, and
 * malloc's caches are too small for hundreds of streams that are open at once.
 *
 * Pieces of a few sizes are kept after they were freed, up to H2_MEM_KEPT bytes; larger ones are
 * malloc's. Under the address sanitizer nothing is kept, so that it sees every use. owner: whoever
 * makes the connections that share it; outlives them. Thread: theirs. */
#ifndef CARDEA_HTTP_H2_MEM_H
#define CARDEA_HTTP_H2_MEM_H

#include <nghttp2/nghttp2.h>
#include <stddef.h>

enum {
	H2_MEM_STEP = 32, /* sizes are multiples of it */
	H2_MEM_LARGEST = 1024,
	H2_MEM_KEPT = 512 << 10,
};

struct h2_piece;

/* All zero: nothing is kept yet. */
struct h2_mem {
	struct h2_piece *kept[H2_MEM_LARGEST / H2_MEM_STEP]; /* private: free pieces by size */
	size_t bytes;					     /* read: in them */
};

/* Gives back what is kept; it may be used again. No connection is left. */
void h2_mem_deinit(struct h2_mem *m);
/* What nghttp2 is to be given; m in it. */
nghttp2_mem h2_mem_hooks(struct h2_mem *m);

#endif
