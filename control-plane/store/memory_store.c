/* The operations of a store in memory. */
#include <stdlib.h>

#include "control-plane/store/store_internal.h"

static void answer_rows(struct store *s, json_t *rows, store_done done, void *arg)
{
	memory_answer(s->memory, done, arg, rows ? STORE_OK : STORE_FAILED, rows);
}

static void answer_done(struct store *s, store_done done, void *arg)
{
	memory_answer(s->memory, done, arg, STORE_OK, NULL);
}

static void get(struct store *s, const struct entity *t, struct str key, store_done done, void *arg)
{
	answer_rows(s, memory_get(s->memory, t, key), done, arg);
}

static void find(struct store *s, const struct entity *t, const struct store_key *k,
		 store_done done, void *arg)
{
	answer_rows(s, memory_find(s->memory, t, k), done, arg);
}

static void list(struct store *s, const struct entity *t, const struct store_page *p,
		 store_done done, void *arg)
{
	answer_rows(s, memory_list(s->memory, t, p), done, arg);
}

static void tags(struct store *s, const struct store_tag_page *p, store_done done, void *arg)
{
	answer_rows(s, memory_tags(s->memory, p), done, arg);
}

static void query(struct store *s, const char *sql, const char *const *params, size_t n,
		  const struct store_note *note, store_done done, void *arg)
{
	(void)note;
	(void)sql;
	(void)params;
	(void)n;
	memory_answer(s->memory, done, arg, STORE_READ_ONLY, NULL);
}

static int seal_none(struct store *s, struct str context, struct str plain, struct buf *out,
		     struct err *e)
{
	(void)s;
	(void)context;
	(void)plain;
	(void)out;
	return err_set(e, ERR_INVALID, "nothing is sealed when not using a database");
}

static void nodes_write(struct store *s, const char *self, const json_t *rows,
			const json_t *payloads, store_done done, void *arg)
{
	(void)payloads;
	memory_nodes_write(s->memory, self, rows);
	answer_done(s, done, arg);
}

/* There is no other control plane. */
static void nodes_read(struct store *s, const char *self, uint64_t keep_s, store_done done,
		       void *arg)
{
	(void)self;
	(void)keep_s;
	answer_rows(s, json_array(), done, arg);
}

static void nodes_list(struct store *s, store_done done, void *arg)
{
	answer_rows(s, memory_nodes_list(s->memory), done, arg);
}

static void nodes_beat(struct store *s, const char *self, store_done done, void *arg)
{
	(void)self;
	memory_nodes_beat(s->memory);
	answer_done(s, done, arg);
}

static void nodes_purge(struct store *s, store_done done, void *arg)
{
	memory_nodes_purge(s->memory);
	answer_done(s, done, arg);
}

static void refuse(struct store *s, const json_t *refusals, store_done done, void *arg)
{
	struct memory_state *next;
	struct err e = ERR_INIT;

	if (s->memory->writing) {
		memory_answer(s->memory, done, arg, STORE_UNAVAILABLE, NULL);
	} else if (memory_state_refuse(&next, s->memory->now, refusals, &e) < 0) {
		memory_answer(s->memory, done, arg, STORE_FAILED, NULL);
	} else {
		memory_replace(s->memory, next);
		answer_done(s, done, arg);
	}
}

static int follow(struct store *s, const struct feed_events *ev, struct err *e)
{
	return memory_feed_follow(s->memory, ev, e);
}

static uint64_t followed_ns(const struct store *s)
{
	return memory_feed_seen_ns(s->memory);
}

static void unfollow(struct store *s)
{
	memory_feed_unfollow(s->memory);
}

static bool reachable(const struct store *s)
{
	(void)s;
	return true;
}

static void on_closed(void *arg)
{
	struct store *s = arg;

	if (s->closed)
		s->closed(s->closed_arg);
	free(s);
}

static void close_memory(struct store *s, void (*closed)(void *arg), void *arg)
{
	s->closing = true;
	s->closed = closed;
	s->closed_arg = arg;
	memory_close(s->memory, on_closed, s);
}

const struct store_ops memory_store_ops = {
	.read_only = true,
	.get = get,
	.find = find,
	.list = list,
	.tags = tags,
	.query = query,
	.seal = seal_none,
	.unseal = seal_none,
	.nodes_write = nodes_write,
	.nodes_read = nodes_read,
	.nodes_list = nodes_list,
	.nodes_beat = nodes_beat,
	.nodes_purge = nodes_purge,
	.refuse = refuse,
	.follow = follow,
	.followed_ns = followed_ns,
	.unfollow = unfollow,
	.reachable = reachable,
	.close = close_memory,
};

/* --- opening --- */

static void on_opened(const struct store_result *r, void *arg)
{
	struct store *s = arg;

	(void)r;
	if (!s->closing)
		s->on_ready(NULL, s->on_ready_arg);
}

int store_open_memory(struct store **out, struct loop *l,
		      void (*on_ready)(const struct err *e, void *arg), void *arg, struct err *e)
{
	struct store *s = calloc(1, sizeof(*s));

	if (!s)
		return err_memory(e, "store in memory");
	s->ops = &memory_store_ops;
	s->loop = l;
	s->on_ready = on_ready;
	s->on_ready_arg = arg;
	if (memory_create(&s->memory, l, e) < 0) {
		free(s);
		return -1;
	}
	*out = s;
	memory_answer(s->memory, on_opened, s, STORE_OK, NULL);
	return 0;
}

/* --- its own entities --- */

static bool is_kept(const struct entity *t, const void *arg)
{
	return t == arg;
}

static int make_kept(struct store *s, const struct entity *t, const json_t *rows,
		     struct memory_state **out, struct err *e)
{
	size_t n = json_array_size(rows);
	struct memory_input *inputs = calloc(n + 1, sizeof(*inputs));
	int rc;

	if (!inputs)
		return err_memory(e, "store in memory");
	for (size_t i = 0; i < n; i++)
		inputs[i] = (struct memory_input){t, json_array_get(rows, i), true};
	rc = memory_state_make(out, s->memory->now, is_kept, t, inputs, n, e);
	free(inputs);
	return rc;
}

void store_keep(struct store *s, const struct entity *t, const json_t *rows, store_done done,
		void *arg)
{
	struct memory_state *next;
	struct err e = ERR_INIT;

	assert(s->ops->read_only);
	if (s->memory->writing) {
		memory_answer(s->memory, done, arg, STORE_UNAVAILABLE, NULL);
	} else if (make_kept(s, t, rows, &next, &e) < 0) {
		memory_answer(s->memory, done, arg, STORE_FAILED, NULL);
	} else {
		memory_replace(s->memory, next);
		answer_done(s, done, arg);
	}
}
