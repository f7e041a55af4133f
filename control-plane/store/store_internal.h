/* What the files of the store share. Private to control-plane/store/. */
#ifndef CARDEA_STORE_INTERNAL_H
#define CARDEA_STORE_INTERNAL_H

#include "control-plane/store/feed.h"
#include "control-plane/store/migrate.h"
#include "control-plane/store/pool.h"
#include "control-plane/store/rows.h"
#include "control-plane/store/sql.h"
#include "control-plane/store/store.h"

struct store {
	struct loop *loop;
	char *conninfo;
	uint64_t timeout_ms;
	const struct keyring *keyring;
	struct sql sql[SQL_ENTITIES_MAX];
	size_t sql_count;
	size_t pushed_count; /* of the first of them: what the feed reads */
	struct pool *pool;
	struct migrate *migrate; /* until it is done */
	struct feed *feed;	 /* NULL: nobody follows */
	struct timer compact;
	bool compacting;
	bool ready; /* migrations are applied */
	bool closing;
	void (*on_ready)(const struct err *e, void *arg);
	void *on_ready_arg;
	unsigned closing_left;
	void (*closed)(void *arg);
	void *closed_arg;
};

/* The entity's statements. */
const struct sql *store_sql(const struct store *s, const struct entity *t);
/* A failure without more to say: unavailable or failed, by what the server said. */
void store_result_failure(struct store_result *r, const struct pg_failure *f);
/* A result that is an error of this side. */
void store_result_err(struct store_result *r, const struct err *e);

#endif
