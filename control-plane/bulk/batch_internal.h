/* What the files of a batch share. Private to control-plane/bulk/. */
#ifndef CARDEA_BULK_BATCH_INTERNAL_H
#define CARDEA_BULK_BATCH_INTERNAL_H

#include "control-plane/bulk/batch.h"

/* Adds a row of any kind; taken over, also on failure. */
int batch_append(struct batch *b, const struct batch_row *row, struct err *e) must_check;
/* NULL: no such kind. */
struct lookup *batch_lookup(struct batch *b, const struct entity *t);
/* A JSON string's bytes; STR_NONE for anything else. */
struct str batch_text(const json_t *value);
/* The id that stands for this one; NULL: itself. */
const char *batch_alias(const struct batch *b, struct str id);
/* Appends a value as the database compares it. */
int batch_value(struct buf *out, const struct field *f, struct str value, struct err *e) must_check;

#endif
