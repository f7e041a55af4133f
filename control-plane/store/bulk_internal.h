/* What txn.c needs of many rows. Private to control-plane/store/. */
#ifndef CARDEA_STORE_BULK_INTERNAL_H
#define CARDEA_STORE_BULK_INTERNAL_H

#include "control-plane/store/bulk.h"
#include "control-plane/store/sql.h"

struct bulk {
	struct bulk *next; /* the transaction's */
	const struct sql *sql;
	const struct keyring *keyring;
	struct buf columns[SQL_FIELDS_MAX]; /* array literals; the first write_count are used */
	size_t rows;
	bool finished;
};

/* Ends the literals; nothing may be added afterwards. */
int bulk_finish(struct bulk *b, struct err *e) must_check;

#endif
