/* Entities to parameters and result rows to JSON. Sealing happens here and nowhere else. Private to
 * control-plane/store/. Thread: any. */
#ifndef CARDEA_STORE_ROWS_H
#define CARDEA_STORE_ROWS_H

#include <jansson.h>

#include "common/core/arena.h"
#include "common/core/err.h"
#include "common/pki/seal.h"
#include "control-plane/store/pg.h"
#include "control-plane/store/sql.h"

/* The parameters of s->insert for a full entity; texts live in the arena. out has SQL_FIELDS_MAX.
 */
int rows_encode(const struct sql *s, const struct keyring *k, const json_t *row, struct arena *a,
		const char **out, struct err *e) must_check;
/* What became of a row's secrets. */
enum rows_secrets {
	ROWS_OPEN,
	ROWS_DAMAGED, /* one does not open: changed bytes, or put in another row's place */
	ROWS_NO_KEY,  /* one was sealed under a key that the keyring does not have */
};
/* Row i of a result whose first columns are s->columns: a new reference. A secret that does not
 * open is logged and null; *secrets says so (may be NULL). */
json_t *rows_decode(const struct sql *s, const struct keyring *k, const struct pg_result *r,
		    size_t row, enum rows_secrets *secrets, struct err *e) must_check;
/* Any result as store_query shows it: array of objects; a new reference, NULL with e set. */
json_t *rows_plain(const struct pg_result *r, struct err *e) must_check;

#endif
