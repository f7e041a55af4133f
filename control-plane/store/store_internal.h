/* What the files of the store share. Private to control-plane/store/. */
#ifndef CARDEA_STORE_INTERNAL_H
#define CARDEA_STORE_INTERNAL_H

#include "control-plane/store/feed.h"
#include "control-plane/store/memory.h"
#include "control-plane/store/migrate.h"
#include "control-plane/store/ops.h"
#include "control-plane/store/pool.h"
#include "control-plane/store/rows.h"
#include "control-plane/store/sql.h"
#include "control-plane/store/store.h"

struct store {
	const struct store_ops *ops;
	struct memory *memory; /* without a database: all there is, besides ops */
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

/* pg_store_ops: store.c, nodes.c and tags.c. See store.h. */
void pg_store_get(struct store *s, const struct entity *t, struct str key, store_done done,
		  void *arg);
void pg_store_find(struct store *s, const struct entity *t, const struct store_key *k,
		   store_done done, void *arg);
void pg_store_list(struct store *s, const struct entity *t, const struct store_page *p,
		   store_done done, void *arg);
void pg_store_tags(struct store *s, const struct store_tag_page *p, store_done done, void *arg);
void pg_store_query(struct store *s, const char *sql, const char *const *params, size_t n,
		    const struct store_note *note, store_done done, void *arg);
int pg_store_seal(struct store *s, struct str context, struct str plain, struct buf *out,
		  struct err *e) must_check;
int pg_store_unseal(struct store *s, struct str context, struct str hex, struct buf *out,
		    struct err *e) must_check;
void pg_nodes_write(struct store *s, const char *self, const json_t *rows, const json_t *payloads,
		    store_done done, void *arg);
void pg_nodes_read(struct store *s, const char *self, uint64_t keep_s, store_done done, void *arg);
void pg_nodes_list(struct store *s, store_done done, void *arg);
void pg_nodes_beat(struct store *s, const char *self, store_done done, void *arg);
void pg_nodes_purge(struct store *s, store_done done, void *arg);
void pg_store_refuse(struct store *s, const json_t *refusals, store_done done, void *arg);
int pg_store_follow(struct store *s, const struct feed_events *ev, struct err *e) must_check;
uint64_t pg_store_followed_ns(const struct store *s);
void pg_store_unfollow(struct store *s);
bool pg_store_reachable(const struct store *s);
void pg_store_close(struct store *s, void (*closed)(void *arg), void *arg);
/* The entity's statements. */
const struct sql *store_sql(const struct store *s, const struct entity *t);
/* A failure without more to say: unavailable or failed, by what the server said. */
void store_result_failure(struct store_result *r, const struct pg_failure *f);
/* A result that is an error of this side. */
void store_result_err(struct store_result *r, const struct err *e);

#endif
