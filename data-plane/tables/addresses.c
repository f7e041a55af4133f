#include "data-plane/tables/addresses.h"

#include <stdlib.h>

struct ask {
	struct link link; /* in addresses.asks */
	size_t len;
	char name[];
};

/* Refcounted: one of its owner, one of a post on its way. */
struct addresses_reader {
	struct addresses *addresses;
	struct link link; /* in addresses.readers; on none: freed by its owner */
	struct loop *loop;
	void (*on_news)(void *arg);
	void *arg;
	unsigned refs;
	bool waiting; /* asked since it was woken */
	bool posted;
};

static void free_set(struct version *v, void *arg)
{
	(void)arg;
	free(v);
}

static_assert(offsetof(struct address_set, version) == 0, "values begin with their version");

int addresses_init(struct addresses *a, struct err *e)
{
	int rc;

	memset(a, 0, sizeof(*a));
	if (live_map_init(&a->names, free_set, NULL, e) < 0)
		return -1;
	rc = uv_mutex_init(&a->lock);
	if (rc != 0) {
		live_map_deinit(&a->names);
		return err_errno(e, ERR_MEMORY, -rc, "making the table of addresses");
	}
	list_init(&a->asks);
	list_init(&a->readers);
	atomic_init(&a->epoch, 1);
	atomic_init(&a->refused, 0);
	return 0;
}

static void drop_asks(struct link *asks)
{
	struct link *l;

	while ((l = list_first(asks))) {
		list_remove(l);
		free(container_of(l, struct ask, link));
	}
}

void addresses_deinit(struct addresses *a)
{
	if (!a->names.map.table)
		return;
	assert(list_empty(&a->readers));
	drop_asks(&a->asks);
	live_map_deinit(&a->names);
	uv_mutex_destroy(&a->lock);
}

const struct address_set *addresses_find(const struct addresses *a, struct str name)
{
	const struct version *v = live_map_get(&a->names, name);

	return v ? container_of((struct version *)(uintptr_t)v, struct address_set, version) : NULL;
}

/* --- readers --- */

int addresses_reader_create(struct addresses_reader **out, struct addresses *a, struct loop *l,
			    void (*on_news)(void *arg), void *arg, struct err *e)
{
	struct addresses_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return err_memory(e, "a reader of addresses");
	*r = (struct addresses_reader){
		.addresses = a, .loop = l, .on_news = on_news, .arg = arg, .refs = 1};
	uv_mutex_lock(&a->lock);
	list_push(&a->readers, &r->link);
	uv_mutex_unlock(&a->lock);
	*out = r;
	return 0;
}

/* Under the lock. */
static bool reader_unref(struct addresses_reader *r)
{
	return --r->refs == 0;
}

void addresses_reader_free(struct addresses_reader *r)
{
	struct addresses *a;
	bool last;

	if (!r)
		return;
	a = r->addresses;
	uv_mutex_lock(&a->lock);
	list_remove(&r->link);
	r->on_news = NULL;
	last = reader_unref(r);
	uv_mutex_unlock(&a->lock);
	if (last)
		free(r);
}

/* thread: the reader's */
static void wake(void *arg)
{
	struct addresses_reader *r = arg;
	struct addresses *a = r->addresses;
	bool alive, last;

	uv_mutex_lock(&a->lock);
	r->posted = false;
	alive = r->on_news != NULL;
	last = reader_unref(r);
	uv_mutex_unlock(&a->lock);
	if (last)
		free(r);
	else if (alive)
		r->on_news(r->arg);
}

/* Those that wait for something. A post that fails for want of memory is tried again with the next
 * news. */
void addresses_wake(struct addresses *a)
{
	uv_mutex_lock(&a->lock);
	list_for_each(it, &a->readers)
	{
		struct addresses_reader *r = container_of(it, struct addresses_reader, link);

		if (!r->waiting || r->posted || loop_post(r->loop, wake, r, NULL) < 0)
			continue;
		r->posted = true;
		r->waiting = false;
		r->refs++;
	}
	uv_mutex_unlock(&a->lock);
}

/* --- asking --- */

/* thread: sync */
static void take_asks(void *arg)
{
	struct addresses *a = arg;
	struct link asks, *l;

	list_init(&asks);
	uv_mutex_lock(&a->lock);
	a->posted = false;
	a->ask_count = 0;
	list_move_all(&asks, &a->asks);
	uv_mutex_unlock(&a->lock);
	while (a->on_ask && (l = list_first(&asks))) {
		struct ask *k = container_of(l, struct ask, link);

		list_remove(l);
		a->on_ask((struct str){k->name, k->len}, a->arg);
		free(k);
	}
	drop_asks(&asks);
}

static bool is_asked(const struct addresses *a, struct str name)
{
	list_for_each(it, &a->asks)
	{
		struct ask *k = container_of(it, struct ask, link);

		if (str_eq((struct str){k->name, k->len}, name))
			return true;
	}
	return false;
}

/* Under the lock. */
static int push_ask(struct addresses *a, struct str name, struct err *e)
{
	struct ask *k;

	if (!a->loop)
		return err_set(e, ERR_UNAVAILABLE, "nobody looks names up");
	if (is_asked(a, name))
		return 0;
	if (name.len > ADDRESSES_NAME_MAX)
		return err_set(e, ERR_LIMIT, "a name of %zu bytes", name.len);
	if (a->ask_count >= ADDRESSES_ASKS_MAX)
		return err_set(e, ERR_LIMIT, "%d names wait to be looked up", ADDRESSES_ASKS_MAX);
	k = malloc(sizeof(*k) + name.len);
	if (!k)
		return err_memory(e, "asking for a name");
	k->len = name.len;
	memcpy(k->name, name.ptr, name.len);
	if (!a->posted && loop_post(a->loop, take_asks, a, e) < 0) {
		free(k);
		return -1;
	}
	a->posted = true;
	list_push(&a->asks, &k->link);
	a->ask_count++;
	return 0;
}

int addresses_ask(struct addresses_reader *r, struct str name, struct err *e)
{
	struct addresses *a = r->addresses;
	int rc;

	uv_mutex_lock(&a->lock);
	rc = push_ask(a, name, e);
	if (rc == 0)
		r->waiting = true;
	else
		atomic_fetch_add(&a->refused, 1);
	uv_mutex_unlock(&a->lock);
	return rc;
}

/* --- the sync thread --- */

void addresses_serve(struct addresses *a, struct loop *l,
		     void (*on_ask)(struct str name, void *arg), void *arg)
{
	uv_mutex_lock(&a->lock);
	a->loop = l;
	a->on_ask = on_ask;
	a->arg = arg;
	uv_mutex_unlock(&a->lock);
}

static int compare(const void *x, const void *y)
{
	const struct address *a = x, *b = y;
	int d = addr_compare(&a->addr, &b->addr);

	if (d == 0)
		d = (int)a->weight - (int)b->weight;
	if (d == 0 && a->name.len != b->name.len)
		d = a->name.len < b->name.len ? -1 : 1;
	return d ? d
		 : memcmp(a->name.ptr ? a->name.ptr : "", b->name.ptr ? b->name.ptr : "",
			  a->name.len);
}

/* Names stand behind the items. */
static struct address_set *make_set(const struct address *items, size_t n)
{
	size_t names = 0;
	struct address_set *s;
	char *at;

	for (size_t i = 0; i < n; i++)
		names += items[i].name.len;
	s = calloc(1, sizeof(*s) + n * sizeof(s->items[0]) + names);
	if (!s)
		return NULL;
	at = (char *)&s->items[n];
	s->count = n;
	for (size_t i = 0; i < n; i++) {
		s->items[i] = items[i];
		if (items[i].name.len > 0)
			memcpy(at, items[i].name.ptr, items[i].name.len);
		s->items[i].name.ptr = items[i].name.ptr ? at : NULL;
		at += items[i].name.len;
	}
	if (n > 1)
		qsort(s->items, n, sizeof(s->items[0]), compare);
	return s;
}

static bool sets_equal(const struct address_set *a, const struct address_set *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (compare(&a->items[i], &b->items[i]) != 0)
			return false;
	return true;
}

int addresses_publish(struct addresses *a, struct str name, const struct address *items, size_t n,
		      struct err *e)
{
	const struct version *v = live_map_current(&a->names, name);
	struct address_set *s = make_set(items, n < ADDRESSES_PER_NAME ? n : ADDRESSES_PER_NAME);

	if (!s)
		return err_memory(e, "publishing addresses");
	if (v && sets_equal(s, container_of((struct version *)(uintptr_t)v, struct address_set,
					    version))) {
		free(s);
	} else {
		if (live_map_put(&a->names, name, &s->version, e) < 0)
			return -1;
		atomic_fetch_add_explicit(&a->epoch, 1, memory_order_release);
	}
	addresses_wake(a);
	return 0;
}

void addresses_forget(struct addresses *a, struct str name)
{
	/* Without memory it stays a little longer. */
	if (live_map_remove(&a->names, name, NULL) == 0)
		atomic_fetch_add_explicit(&a->epoch, 1, memory_order_release);
}
