/* Rows that are stored together or not at all: what the database must be asked about them, who is
 * who among them and there, and the statements that store them.
 *
 *   batch_add* ─▶ batch_ask ─▶ (questions answered: batch_answer) ─▶ batch_resolve ─▶ batch_store
 *        ▲            └──────────────── tried again from here ◀──────────────────────────┘
 *
 * A row is the entity that its id names; without an id, the one that has its unique value (a name);
 * a certificate without an id, the one that its names belong to. The last of several rows of one
 * entity wins. References may go to other rows of the batch, in any order. owner: the import.
 * Thread: one at a time; batch_answer and batch_store: the loop.
 */
#ifndef CARDEA_BULK_BATCH_H
#define CARDEA_BULK_BATCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/core/arena.h"
#include "common/core/codec.h"
#include "common/core/err.h"
#include "common/core/map.h"
#include "control-plane/bulk/lookup.h"
#include "control-plane/store/bulk.h"
#include "control-plane/store/store.h"

/* One line of the import. */
struct batch_row {
	uint64_t line;
	const struct entity *entity; /* NULL: it could not be told */
	json_t *row;		     /* full and checked; NULL: refused */
	json_t *refusal;	     /* {"message","fields"}; NULL: none */
	bool has_id;
	bool has_names;	 /* a certificate that says which names it has */
	bool superseded; /* a later row is the same entity */
	/* An entity of this line that the batch made: a name of a certificate. */
	bool derived;
};

struct batch {
	const struct store *store;
	/* Ids that a document's rows were given -> ids of the rows that they turned out to be
	 * (text, owned by the map's owner). NULL: references are what they say. */
	struct map *aliases;
	struct batch_row *rows; /* read */
	size_t count;		/* read: with derived ones behind the lines */
	size_t cap;
	size_t lines;	/* read: without derived ones */
	size_t refused; /* read: rows with a refusal */
	struct lookup lookups[LOOKUP_KINDS_MAX];
	struct map known; /* private to resolve.c, as the rest */
	struct arena arena;
	struct bulk **bulks; /* in the order of references */
	size_t bulk_count, bulk_cap;
	struct buf owners, names; /* certificates that lose names that are not listed; NULL: none */
	bool drops_names;
};

/* An empty batch for the kinds of entities that there are. s must outlive it. */
void batch_init(struct batch *b, const struct store *s);
/* Frees rows and statements. */
void batch_deinit(struct batch *b);
/* Adds a line; row and refusal are taken over, also on failure. */
int batch_add(struct batch *b, const struct batch_row *row, struct err *e) must_check;

/* Forgets what an earlier try found, and puts the questions together. */
int batch_ask(struct batch *b, struct err *e) must_check;
/* The question for lookups[i], once that says it has one; text: the answer, copied. */
int batch_answer(struct batch *b, size_t i, struct str text, struct err *e) must_check;
/* Finds ids and references; marks rows as refused (b->refused), or makes the statements. */
int batch_resolve(struct batch *b, int64_t now_ms, struct err *e) must_check;
/* Moves the statements into a transaction. */
void batch_store(struct batch *b, struct txn *t);

#endif
