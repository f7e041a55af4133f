/* Many rows of one entity as one statement: they are encoded (and sealed) column by column on any
 * thread, and given to a transaction as they are. owner: who made it, until txn_upsert_many takes
 * it. Thread: any, one at a time. */
#ifndef CARDEA_STORE_BULK_H
#define CARDEA_STORE_BULK_H

#include <jansson.h>

#include "control-plane/store/store.h"

struct bulk;

/* Empty; s must outlive it. */
int bulk_create(struct bulk **out, const struct store *s, const struct entity *t,
		struct err *e) must_check;
/* Adds a full entity. After an error the whole is of no use. */
int bulk_add(struct bulk *b, const json_t *row, struct err *e) must_check;
/* Rows, and bytes of text in them. */
size_t bulk_rows(const struct bulk *b);
size_t bulk_bytes(const struct bulk *b);
/* NULL is fine. */
void bulk_free(struct bulk *b);

/* One array literal of PostgreSQL, for a text[] parameter: begin, each element (ptr NULL: null),
 * end. */
int bulk_array_begin(struct buf *out, struct err *e) must_check;
int bulk_array_add(struct buf *out, struct str element, struct err *e) must_check;
int bulk_array_end(struct buf *out, struct err *e) must_check;

#endif
