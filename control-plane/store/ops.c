/* store.h by the store's table of operations. */
#include "control-plane/store/ops.h"

#include "control-plane/store/store_internal.h"

const struct store_ops pg_store_ops = {
	.get = pg_store_get,
	.find = pg_store_find,
	.list = pg_store_list,
	.tags = pg_store_tags,
	.query = pg_store_query,
	.seal = pg_store_seal,
	.unseal = pg_store_unseal,
	.nodes_write = pg_nodes_write,
	.nodes_read = pg_nodes_read,
	.nodes_list = pg_nodes_list,
	.nodes_beat = pg_nodes_beat,
	.nodes_purge = pg_nodes_purge,
	.refuse = pg_store_refuse,
	.follow = pg_store_follow,
	.followed_ns = pg_store_followed_ns,
	.unfollow = pg_store_unfollow,
	.reachable = pg_store_reachable,
	.close = pg_store_close,
};

bool store_read_only(const struct store *s)
{
	return s->ops->read_only;
}

void store_get(struct store *s, const struct entity *t, struct str key, store_done done, void *arg)
{
	s->ops->get(s, t, key, done, arg);
}

void store_find(struct store *s, const struct entity *t, const struct store_key *k, store_done done,
		void *arg)
{
	s->ops->find(s, t, k, done, arg);
}

void store_list(struct store *s, const struct entity *t, const struct store_page *p,
		store_done done, void *arg)
{
	s->ops->list(s, t, p, done, arg);
}

void store_tags(struct store *s, const struct store_tag_page *p, store_done done, void *arg)
{
	s->ops->tags(s, p, done, arg);
}

void store_query(struct store *s, const char *sql, const char *const *params, size_t n,
		 store_done done, void *arg)
{
	s->ops->query(s, sql, params, n, NULL, done, arg);
}

void store_query_noted(struct store *s, const char *sql, const char *const *params, size_t n,
		       const struct store_note *note, store_done done, void *arg)
{
	s->ops->query(s, sql, params, n, note, done, arg);
}

int store_seal(struct store *s, struct str context, struct str plain, struct buf *out,
	       struct err *e)
{
	return s->ops->seal(s, context, plain, out, e);
}

int store_unseal(struct store *s, struct str context, struct str hex, struct buf *out,
		 struct err *e)
{
	return s->ops->unseal(s, context, hex, out, e);
}

void store_nodes_write(struct store *s, const char *self, const json_t *rows,
		       const json_t *payloads, store_done done, void *arg)
{
	s->ops->nodes_write(s, self, rows, payloads, done, arg);
}

void store_nodes_read(struct store *s, const char *self, uint64_t keep_s, store_done done,
		      void *arg)
{
	s->ops->nodes_read(s, self, keep_s, done, arg);
}

void store_nodes_list(struct store *s, store_done done, void *arg)
{
	s->ops->nodes_list(s, done, arg);
}

void store_nodes_beat(struct store *s, const char *self, store_done done, void *arg)
{
	s->ops->nodes_beat(s, self, done, arg);
}

void store_nodes_purge(struct store *s, store_done done, void *arg)
{
	s->ops->nodes_purge(s, done, arg);
}

void store_refuse(struct store *s, const json_t *refusals, store_done done, void *arg)
{
	s->ops->refuse(s, refusals, done, arg);
}

int store_follow(struct store *s, const struct feed_events *ev, struct err *e)
{
	return s->ops->follow(s, ev, e);
}

uint64_t store_followed_ns(const struct store *s)
{
	return s->ops->followed_ns(s);
}

void store_unfollow(struct store *s)
{
	s->ops->unfollow(s);
}

bool store_reachable(const struct store *s)
{
	return s->ops->reachable(s);
}

void store_close(struct store *s, void (*closed)(void *arg), void *arg)
{
	s->ops->close(s, closed, arg);
}
