/* Some lines of an import, which are checked together on the pool. owner: the import. Thread: the
 * loop, but chunk_check: the pool. */
#ifndef CARDEA_BULK_CHUNK_H
#define CARDEA_BULK_CHUNK_H

#include "common/core/list.h"
#include "common/net/loop.h"
#include "control-plane/bulk/batch.h"
#include "control-plane/bulk/ndjson.h"

/* So many take the pool some tens of milliseconds. */
enum { CHUNK_LINES = 100, CHUNK_BYTES = 1 << 20 };

struct chunk_line {
	uint64_t number;
	size_t from, len; /* in text */
	bool too_long;
};

struct chunk {
	struct link link;
	struct work work; /* the import's */
	void *owner;	  /* the import's */
	bool begun;	  /* the import's: it went to the pool */
	struct buf text;  /* secret */
	struct chunk_line lines[CHUNK_LINES];
	struct batch_row rows[CHUNK_LINES]; /* after chunk_check, by line; taken by chunk_give */
	size_t count;
	size_t line_max; /* for the message */
	bool verify;	 /* set: model/verification.h */
};

/* NULL: out of memory. */
struct chunk *chunk_create(size_t line_max);
/* NULL is fine. */
void chunk_free(struct chunk *c);
bool chunk_full(const struct chunk *c);
/* Copies the line. */
int chunk_add(struct chunk *c, const struct ndjson_line *line, struct err *e) must_check;
/* Lines to rows, or to refusals; the text is gone then. */
void chunk_check(struct chunk *c, int64_t now_ms);
/* Moves the rows into a batch. */
int chunk_give(struct chunk *c, struct batch *b, struct err *e) must_check;

#endif
