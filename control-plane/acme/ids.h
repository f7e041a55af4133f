/* UUIDs as an array of the database, "{id,id}". Pure. Thread: any. */
#ifndef CARDEA_ACME_IDS_H
#define CARDEA_ACME_IDS_H

#include "common/core/err.h"
#include "common/core/str.h"

/* out is empty before the first one; ids_end finishes it, also when there was none. */
int ids_add(struct buf *out, const char *id, struct err *e) must_check;
int ids_end(struct buf *out, struct err *e) must_check;

#endif
