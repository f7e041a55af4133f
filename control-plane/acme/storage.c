/* The queue of calls, their time limits, and the answers.
 *
 * Happy path: a call is queued -> the deferred turn begins the first -> the kind gives what it
 * finds -> storage_end -> the deferred turn answers, and begins the next. Failure paths: over its
 * time, the kind is told to forget the call, which fails; more calls than STORAGE_CALLS_MAX, or no
 * memory for one, are answered at once, before the call returns. */
#include "control-plane/acme/storage.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/core/clock.h"
#include "control-plane/acme/storage_internal.h"

enum { TIMEOUT_MS = 2000 };

/* --- opening --- */

static const struct kind {
	const char *name;
	int (*open)(struct storage **out, struct loop *l, const json_t *config,
		    const struct storage_limits *limits, struct err *e);
} kinds[] = {
	{"redis", storage_redis_open},
	{"consul", storage_consul_open},
	{"vault", storage_vault_open},
};

int storage_open(struct storage **out, struct loop *l, const json_t *config,
		 const struct storage_limits *limits, struct err *e)
{
	const char *name = json_string_value(json_object_get(config, "storage"));
	const json_t *all = json_object_get(config, "storage_config");

	for (size_t i = 0; name && i < array_len(kinds); i++)
		if (str_eq(str_from(name), str_from(kinds[i].name)))
			return kinds[i].open(out, l, json_object_get(all, name), limits, e);
	return err_set(e, ERR_INVALID, "storage must be one of redis, consul, vault%s%s%s",
		       name ? ": " : "", name ? name : "",
		       name ? " is none that can be reached from here" : "");
}

int storage_conf_text(const json_t *record, const char *what, const char *name,
		      const char *fallback, const char **out, struct err *e)
{
	const json_t *v = json_object_get(record, name);

	*out = fallback;
	if (!v || json_is_null(v))
		return 0;
	if (!json_is_string(v) || strlen(json_string_value(v)) != json_string_length(v))
		return err_set(e, ERR_INVALID, "storage_config.%s.%s must be a text", what, name);
	/* As if it were not there: forms send it so. */
	if (json_string_length(v) > 0)
		*out = json_string_value(v);
	return 0;
}

int storage_conf_number(const json_t *record, const char *what, const char *name, int64_t fallback,
			int64_t max, int64_t *out, struct err *e)
{
	const json_t *v = json_object_get(record, name);
	double n = json_number_value(v);

	*out = fallback;
	if (!v || json_is_null(v))
		return 0;
	if (!json_is_number(v) || n < 0 || n > (double)max || floor(n) < n)
		return err_set(e, ERR_INVALID,
			       "storage_config.%s.%s must be an integer between 0 and %lld", what,
			       name, (long long)max);
	*out = (int64_t)n;
	return 0;
}

int storage_conf_switch(const json_t *record, const char *what, const char *name, bool fallback,
			bool *out, struct err *e)
{
	const json_t *v = json_object_get(record, name);

	*out = fallback;
	if (!v || json_is_null(v))
		return 0;
	if (!json_is_boolean(v))
		return err_set(e, ERR_INVALID, "storage_config.%s.%s must be true or false", what,
			       name);
	*out = json_is_true(v);
	return 0;
}

/* --- what a list finds --- */

int storage_take_value(struct storage *s, struct str value, struct err *e)
{
	if (value.len > s->value_max)
		return err_set(e, ERR_LIMIT,
			       "the value has %zu bytes; acme_storage_value_max allows %zu",
			       value.len, s->value_max);
	buf_clear(&s->value);
	s->found = true;
	return buf_add_str(&s->value, value, e);
}

int storage_take_key(struct storage *s, struct str key, struct err *e)
{
	const struct storage_call *c = storage_current(s);
	uint32_t len = (uint32_t)key.len;

	if (!str_starts(key, buf_str(&c->key)))
		return 0;
	if (key.len > STORAGE_KEY_MAX)
		return err_set(e, ERR_LIMIT, "a key has more than %d bytes", STORAGE_KEY_MAX);
	if (s->keys_count >= s->keys_max)
		return err_set(e, ERR_LIMIT, "more than %zu keys: acme_storage_keys_max",
			       s->keys_max);
	if (buf_add(&s->keys, &len, sizeof(len), e) != 0 || buf_add_str(&s->keys, key, e) != 0)
		return -1;
	s->keys_count++;
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct str *x = a, *y = b;
	size_t least = x->len < y->len ? x->len : y->len;
	int order = least ? memcmp(x->ptr, y->ptr, least) : 0;

	return order ? order : (x->len > y->len) - (x->len < y->len);
}

/* Those of s->keys, sorted, each once; NULL: there are none, or no memory. */
static struct str *list_keys(struct storage *s, size_t *count, struct err *e)
{
	struct str *list = s->keys_count ? calloc(s->keys_count, sizeof(*list)) : NULL;
	size_t at = 0, n = 0;

	*count = 0;
	if (!list) {
		if (s->keys_count)
			err_memory(e, "a list of keys");
		return NULL;
	}
	for (size_t i = 0; i < s->keys_count; i++) {
		uint32_t len;

		memcpy(&len, s->keys.data + at, sizeof(len));
		list[i] = (struct str){s->keys.data + at + sizeof(len), len};
		at += sizeof(len) + len;
	}
	qsort(list, s->keys_count, sizeof(*list), compare);
	for (size_t i = 0; i < s->keys_count; i++)
		if (n == 0 || !str_eq(list[n - 1], list[i]))
			list[n++] = list[i];
	*count = n;
	return list;
}

/* --- the queue --- */

static void call_free(struct storage_call *c)
{
	buf_deinit(&c->key);
	buf_deinit(&c->value);
	free(c);
}

const struct storage_call *storage_current(const struct storage *s)
{
	return container_of(list_first(&s->calls), struct storage_call, link);
}

static void answer(struct storage *s)
{
	struct storage_call *c = container_of(list_pop(&s->calls), struct storage_call, link);
	struct storage_reply r = {.err = s->result};
	struct str *keys = NULL;
	struct buf value = s->value;

	s->value = (struct buf){.secret = true};
	s->count--;
	s->busy = s->ended = false;
	if (c->verb == STORAGE_LIST && r.err.kind == ERR_NONE)
		keys = list_keys(s, &r.count, &r.err);
	r.keys = keys;
	r.found = s->found && r.err.kind == ERR_NONE;
	r.value = r.found ? buf_str(&value) : STR_NONE;
	if (!list_empty(&s->calls))
		loop_defer(s->loop, &s->next);
	/* May close s: it is not looked at any more. Keys point into it, and closing is later. */
	c->done(&r, c->arg);
	free(keys);
	buf_deinit(&value);
	call_free(c);
}

static void on_turn(struct deferred *d)
{
	struct storage *s = container_of(d, struct storage, next);
	struct storage_call *c;

	if (s->ended) {
		answer(s);
		return;
	}
	if (s->busy || list_empty(&s->calls))
		return;
	c = container_of(list_first(&s->calls), struct storage_call, link);
	s->busy = true;
	s->found = false;
	s->keys_count = 0;
	buf_clear(&s->keys);
	buf_clear(&s->value);
	err_clear(&s->result);
	timer_start(&s->deadline, s->timeout_ms, 0);
	s->ops->begin(s, c);
}

static void settle(struct storage *s)
{
	timer_stop(&s->deadline);
	s->ended = true;
	loop_defer(s->loop, &s->next);
}

void storage_end(struct storage *s)
{
	if (s->busy && !s->ended)
		settle(s);
}

void storage_fail(struct storage *s, const struct err *e)
{
	if (!s->busy || s->ended)
		return;
	s->result = *e;
	err_prefix(&s->result, "%s", s->text);
	settle(s);
}

void storage_alive(struct storage *s)
{
	if (s->busy && !s->ended)
		timer_start(&s->deadline, s->timeout_ms, 0);
}

static void on_deadline(struct timer *t)
{
	struct storage *s = container_of(t, struct storage, deadline);
	struct err e = ERR_INIT;

	err_set(&e, ERR_TIMEOUT, "no answer within %llu ms", (unsigned long long)s->timeout_ms);
	s->ops->cancel(s);
	storage_fail(s, &e);
}

static void queue(struct storage *s, enum storage_verb verb, struct str key, struct str value,
		  uint64_t ttl_ms, storage_done done, void *arg)
{
	struct storage_call *c = calloc(1, sizeof(*c));
	struct storage_reply r = {.err = ERR_INIT};

	if (c && s->count < STORAGE_CALLS_MAX) {
		c->verb = verb;
		c->value.secret = true;
		c->ttl_ms = ttl_ms;
		c->done = done;
		c->arg = arg;
		if (buf_add_str(&c->key, key, &r.err) == 0 &&
		    buf_add_str(&c->value, value, &r.err) == 0) {
			list_push(&s->calls, &c->link);
			s->count++;
			loop_defer(s->loop, &s->next);
			return;
		}
	} else if (c) {
		err_set(&r.err, ERR_LIMIT, "%d calls of a storage wait already", STORAGE_CALLS_MAX);
	} else {
		err_memory(&r.err, "a call of a storage");
	}
	if (c)
		call_free(c);
	done(&r, arg);
}

void storage_get(struct storage *s, struct str key, storage_done done, void *arg)
{
	queue(s, STORAGE_GET, key, STR_NONE, 0, done, arg);
}

void storage_set(struct storage *s, struct str key, struct str value, uint64_t ttl_ms,
		 storage_done done, void *arg)
{
	queue(s, STORAGE_SET, key, value, ttl_ms, done, arg);
}

void storage_delete(struct storage *s, struct str key, storage_done done, void *arg)
{
	queue(s, STORAGE_DELETE, key, STR_NONE, 0, done, arg);
}

void storage_list(struct storage *s, struct str prefix, storage_done done, void *arg)
{
	queue(s, STORAGE_LIST, prefix, STR_NONE, 0, done, arg);
}

/* --- life --- */

void storage_init(struct storage *s, const struct storage_ops *ops, struct loop *l,
		  const struct storage_limits *limits, uint64_t timeout_ms)
{
	s->ops = ops;
	s->loop = l;
	s->value_max = limits->value_max;
	s->keys_max = limits->keys_max;
	s->timeout_ms = timeout_ms ? timeout_ms : TIMEOUT_MS;
	list_init(&s->calls);
	s->value.secret = true;
	timer_init(&s->deadline, l, on_deadline);
	deferred_init(&s->next, on_turn);
}

const char *storage_text(const struct storage *s)
{
	return s->text;
}

void storage_close(struct storage *s, void (*closed)(void *arg), void *arg)
{
	s->closing = true;
	s->closed = closed;
	s->closed_arg = arg;
	deferred_cancel(&s->next);
	timer_stop(&s->deadline);
	if (s->busy)
		s->ops->cancel(s);
	s->busy = s->ended = false;
	for (struct link *it; (it = list_pop(&s->calls));)
		call_free(container_of(it, struct storage_call, link));
	s->ops->close(s);
}

static void on_deadline_closed(struct timer *t)
{
	struct storage *s = container_of(t, struct storage, deadline);
	void (*closed)(void *arg) = s->closed;
	void *arg = s->closed_arg;

	buf_deinit(&s->keys);
	buf_deinit(&s->value);
	s->then(s);
	closed(arg);
}

void storage_deinit(struct storage *s, void (*then)(struct storage *s))
{
	s->then = then;
	timer_close(&s->deadline, on_deadline_closed);
}
