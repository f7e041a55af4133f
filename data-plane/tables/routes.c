#include "data-plane/tables/routes.h"

#include <stdlib.h>

#include "common/core/compiler.h"

struct count {
	struct version version;
	size_t n;
};

/* What a key is put together in. */
struct key {
	size_t len;
	char bytes[VMAP_KEY_MAX];
};

static struct str key_str(const struct key *k)
{
	return (struct str){k->bytes, k->len};
}

static void key_add(struct key *k, const char *bytes, size_t n)
{
	/* What is stored is shorter (ROUTE_TEXT_MAX), so that a key that was cut finds nothing. */
	if (n > sizeof(k->bytes) - k->len)
		n = sizeof(k->bytes) - k->len;
	memcpy(k->bytes + k->len, bytes, n);
	k->len += n;
}

static void key_make(struct key *k, char kind, struct str value, struct str more)
{
	k->len = 0;
	key_add(k, &kind, 1);
	if (value.len)
		key_add(k, value.ptr, value.len);
	if (!more.ptr)
		return;
	key_add(k, "", 1);
	key_add(k, more.ptr, more.len);
}

static_assert((int)VMAP_KEY_MAX > 2 * (int)ROUTE_TEXT_MAX + 2, "a host and a path fit");

static struct str id_str(const unsigned char id[ROUTE_ID_SIZE])
{
	return (struct str){(const char *)id, ROUTE_ID_SIZE};
}

static struct route *route_of(struct version *v)
{
	return v ? container_of(v, struct route, version) : NULL;
}

static const void *outer_of(const struct version *v)
{
	return v; /* version is the first member of all values here */
}

static void free_route(struct version *v, void *arg)
{
	(void)arg;
	route_free(route_of(v));
}

static void free_plain(struct version *v, void *arg)
{
	(void)arg;
	free(v);
}

int routes_init(struct routes *t, struct err *e)
{
	memset(t, 0, sizeof(*t));
	if (vmap_init(&t->routes, free_route, t, e) == 0 &&
	    vmap_init(&t->lists, free_plain, t, e) == 0 &&
	    vmap_init(&t->lengths, free_plain, t, e) == 0 &&
	    vmap_init(&t->counts, free_plain, t, e) == 0)
		return 0;
	routes_deinit(t);
	return -1;
}

void routes_deinit(struct routes *t)
{
	vmap_deinit(&t->counts);
	vmap_deinit(&t->lengths);
	vmap_deinit(&t->lists);
	vmap_deinit(&t->routes);
}

/* --- reading --- */

const struct route_list *routes_list(const struct routes *t, uint64_t generation,
				     enum route_list_kind kind, struct str value, struct str path)
{
	struct key k;

	key_make(&k, (char)kind, value, path);
	return outer_of(vmap_get(&t->lists, key_str(&k), generation));
}

const struct route_lengths *routes_lengths(const struct routes *t, uint64_t generation,
					   enum route_length_kind kind, struct str host)
{
	struct key k;

	key_make(&k, (char)kind, host, STR_NONE);
	return outer_of(vmap_get(&t->lengths, key_str(&k), generation));
}

static void count_key(struct key *k, unsigned category, enum route_count_kind kind,
		      struct str value)
{
	const char head[2] = {(char)category, (char)kind};

	k->len = 0;
	key_add(k, head, sizeof(head));
	if (value.len)
		key_add(k, value.ptr, value.len);
}

size_t routes_count(const struct routes *t, uint64_t generation, unsigned category,
		    enum route_count_kind kind, struct str value)
{
	const struct count *c;
	struct key k;

	count_key(&k, category, kind, value);
	c = outer_of(vmap_get(&t->counts, key_str(&k), generation));
	return c ? c->n : 0;
}

/* --- staging routes --- */

int routes_put(struct routes *t, struct vmap_txn *x, const unsigned char id[ROUTE_ID_SIZE],
	       const struct route_source *s, struct err *e)
{
	struct vmap_entry *entry;
	struct route *held, *r;

	if (vmap_touch(x, &t->routes, id_str(id), &entry, e) < 0)
		return -1;
	held = route_of(vmap_current(entry));
	if (!entry->pending && held && str_eq(held->payload, s->payload))
		return 0;
	if (route_make(&r, id, s, e) < 0)
		return -1;
	return vmap_put(x, &t->routes, id_str(id), &r->version, e);
}

int routes_remove(struct routes *t, struct vmap_txn *x, const unsigned char id[ROUTE_ID_SIZE],
		  struct err *e)
{
	return vmap_remove(x, &t->routes, id_str(id), e);
}

int routes_sweep(struct routes *t, struct vmap_txn *x, struct err *e)
{
	return vmap_sweep(x, &t->routes, e);
}

/* --- deriving the index --- */

/* What one pass does: puts entries in, or takes them out. */
struct pass {
	struct routes *t;
	struct vmap_txn *x;
	bool add;
	struct err *e;
};

/* The value under key as the transaction has it so far. *own: made by the transaction, so that it
 * may be changed in place. */
static struct version *staged(const struct vmap *m, struct str key, bool *own)
{
	const struct vmap_entry *entry = vmap_find(m, key);

	*own = entry && entry->pending && !entry->pending->absent;
	return vmap_staged(entry);
}

static int put_count(const struct pass *p, unsigned category, enum route_count_kind kind,
		     struct str value)
{
	struct count *held, *c;
	struct key k;
	bool own;
	size_t n;

	count_key(&k, category, kind, value);
	held = (struct count *)staged(&p->t->counts, key_str(&k), &own);
	n = held ? held->n : 0;
	n = p->add ? n + 1 : n - (n > 0);
	if (n == 0)
		return vmap_remove(p->x, &p->t->counts, key_str(&k), p->e);
	if (own) {
		held->n = n;
		return 0;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return err_memory(p->e, "indexing a route");
	c->n = n;
	return vmap_put(p->x, &p->t->counts, key_str(&k), &c->version, p->e);
}

/* In its own category, over all, and for the kind. */
static int put_counts(const struct pass *p, const struct route *r, enum route_count_kind kind,
		      struct str value)
{
	if (put_count(p, r->category, kind, value) < 0 ||
	    put_count(p, ROUTE_CATEGORIES, kind, value) < 0)
		return -1;
	return put_count(p, ROUTE_TOTAL, kind, STR_NONE);
}

static size_t list_place(const struct route_list *l, const struct route_entry *entry)
{
	size_t low = 0, high = l ? l->count : 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (route_entry_compare(l->items[middle], entry) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* A copy with room for one more; a list that grows within a transaction gets more than that. */
static struct route_list *list_copy(const struct route_list *l, bool growing)
{
	size_t count = l ? l->count : 0;
	size_t cap = growing ? count + count / 2 + 4 : count + 1;
	struct route_list *copy = calloc(1, sizeof(*copy) + cap * sizeof(copy->items[0]));

	if (!copy)
		return NULL;
	copy->cap = cap;
	copy->count = count;
	if (count)
		memcpy(copy->items, l->items, count * sizeof(l->items[0]));
	return copy;
}

static void list_change(struct route_list *l, const struct route_entry *entry, bool add)
{
	size_t at = list_place(l, entry);
	size_t rest = l->count - at;

	if (add) {
		memmove(&l->items[at + 1], &l->items[at], rest * sizeof(l->items[0]));
		l->items[at] = entry;
		l->count++;
	} else if (at < l->count && l->items[at] == entry) {
		memmove(&l->items[at], &l->items[at + 1], (rest - 1) * sizeof(l->items[0]));
		l->count--;
	}
}

static int put_list(const struct pass *p, enum route_list_kind kind, struct str value,
		    struct str path, const struct route_entry *entry)
{
	struct route_list *l, *copy;
	struct key k;
	bool own;

	key_make(&k, (char)kind, value, path);
	l = (struct route_list *)staged(&p->t->lists, key_str(&k), &own);
	if (!p->add && (!l || l->count == 1))
		return vmap_remove(p->x, &p->t->lists, key_str(&k), p->e);
	if (own && (!p->add || l->count < l->cap)) {
		list_change(l, entry, p->add);
		return 0;
	}
	copy = list_copy(l, own);
	if (!copy)
		return err_memory(p->e, "indexing a route");
	list_change(copy, entry, p->add);
	return vmap_put(p->x, &p->t->lists, key_str(&k), &copy->version, p->e);
}

static void lengths_change(struct route_lengths *l, uint32_t len, bool add)
{
	size_t at = 0;

	while (at < l->count && l->items[at].len > len)
		at++;
	if (at < l->count && l->items[at].len == len) {
		l->items[at].uses = add ? l->items[at].uses + 1 : l->items[at].uses - 1;
		if (l->items[at].uses > 0)
			return;
		l->count--;
		memmove(&l->items[at], &l->items[at + 1], (l->count - at) * sizeof(l->items[0]));
	} else if (add) {
		memmove(&l->items[at + 1], &l->items[at], (l->count - at) * sizeof(l->items[0]));
		l->items[at] = (struct route_length){len, 1};
		l->count++;
	}
}

static int put_length(const struct pass *p, enum route_length_kind kind, struct str host,
		      size_t len)
{
	const struct route_lengths *held;
	struct route_lengths *l;
	struct key k;
	bool own;
	size_t n;

	key_make(&k, (char)kind, host, STR_NONE);
	held = (const struct route_lengths *)staged(&p->t->lengths, key_str(&k), &own);
	n = held ? held->count : 0;
	l = calloc(1, sizeof(*l) + (n + 1) * sizeof(l->items[0]));
	if (!l)
		return err_memory(p->e, "indexing a route");
	l->count = n;
	if (n)
		memcpy(l->items, held->items, n * sizeof(held->items[0]));
	lengths_change(l, (uint32_t)len, p->add);
	if (l->count == 0) {
		free(l);
		return vmap_remove(p->x, &p->t->lengths, key_str(&k), p->e);
	}
	return vmap_put(p->x, &p->t->lengths, key_str(&k), &l->version, p->e);
}

/* Where a look-up by host and path finds it. */
static int index_host(const struct pass *p, const struct route_entry *entry, struct str host)
{
	if (entry->regex)
		return put_list(p, ROUTE_LIST_REGEX, host, STR_NONE, entry);
	if (!entry->path.ptr)
		return put_list(p, ROUTE_LIST_OTHER, host, STR_NONE, entry);
	if (put_list(p, ROUTE_LIST_PREFIX, host, entry->path, entry) < 0)
		return -1;
	return put_length(p, ROUTE_LENGTH_PREFIX, host, entry->path.len);
}

static bool seen_before(const struct route_texts *texts, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (str_eq(texts->items[i], texts->items[at]))
			return true;
	return false;
}

static int index_hosts(const struct pass *p, const struct route_entry *entry)
{
	const struct route *r = entry->route;

	for (size_t i = 0; i < r->hosts.count; i++) {
		struct str host = r->hosts.items[i];

		if (seen_before(&r->hosts, i))
			continue;
		if (put_counts(p, r, ROUTE_COUNT_HOST, host) < 0 || index_host(p, entry, host) < 0)
			return -1;
		if (route_host_is_wildcard(host) &&
		    (put_list(p, ROUTE_LIST_PATTERN, host, STR_NONE, entry) < 0 ||
		     put_counts(p, r, ROUTE_COUNT_PATTERN, STR_NONE) < 0))
			return -1;
	}
	return r->hosts.count ? 0 : index_host(p, entry, STR_NONE);
}

static int index_path(const struct pass *p, const struct route_entry *entry)
{
	if (!entry->path.ptr)
		return 0;
	if (put_counts(p, entry->route, ROUTE_COUNT_PATH, entry->path) < 0)
		return -1;
	if (entry->regex)
		return put_list(p, ROUTE_LIST_LITERAL, entry->literal, STR_NONE, entry) < 0
			       ? -1
			       : put_length(p, ROUTE_LENGTH_LITERAL, STR_NONE, entry->literal.len);
	if (put_counts(p, entry->route, ROUTE_COUNT_PREFIX, entry->path) < 0)
		return -1;
	return put_length(p, ROUTE_LENGTH_ANY, STR_NONE, entry->path.len);
}

static int index_texts(const struct pass *p, const struct route *r, const struct route_texts *texts,
		       enum route_count_kind kind)
{
	for (size_t i = 0; i < texts->count; i++)
		if (!seen_before(texts, i) && put_counts(p, r, kind, texts->items[i]) < 0)
			return -1;
	return 0;
}

static int index_headers(const struct pass *p, const struct route_entry *entry)
{
	const struct route *r = entry->route;

	for (size_t i = 0; i < r->header_count; i++)
		if (put_counts(p, r, ROUTE_COUNT_HEADER, r->headers[i].name) < 0 ||
		    put_list(p, ROUTE_LIST_HEADER, r->headers[i].name, STR_NONE, entry) < 0)
			return -1;
	return 0;
}

static int index_entry(const struct pass *p, const struct route_entry *entry)
{
	const struct route *r = entry->route;

	if (put_counts(p, r, ROUTE_COUNT_ALL, STR_NONE) < 0 || index_hosts(p, entry) < 0 ||
	    index_path(p, entry) < 0 || index_headers(p, entry) < 0 ||
	    index_texts(p, r, &r->methods, ROUTE_COUNT_METHOD) < 0)
		return -1;
	return index_texts(p, r, &r->snis, ROUTE_COUNT_SNI);
}

static int index_stream(const struct pass *p, const struct route *r)
{
	const struct route_entry *entry = &r->entries[0];

	if (!r->snis.count)
		return put_list(p, ROUTE_LIST_STREAM, STR_NONE, STR_NONE, entry);
	for (size_t i = 0; i < r->snis.count; i++)
		if (!seen_before(&r->snis, i) &&
		    put_list(p, ROUTE_LIST_STREAM, r->snis.items[i], STR_NONE, entry) < 0)
			return -1;
	return 0;
}

static int index_route(const struct pass *p, const struct route *r)
{
	if (r && r->action.service &&
	    put_list(p, ROUTE_LIST_SERVICE, id_str(r->action.service), STR_NONE, &r->entries[0]) <
		    0)
		return -1;
	if (r && r->stream)
		return index_stream(p, r);
	for (size_t i = 0; r && r->category && i < r->entry_count; i++)
		if (index_entry(p, &r->entries[i]) < 0)
			return -1;
	return 0;
}

int routes_resolve(struct routes *t, struct vmap_txn *x, unsigned char culprit[ROUTE_ID_SIZE],
		   struct err *e)
{
	size_t n = x->count; /* what the passes append is derived */

	for (int add = 0; add < 2; add++) {
		const struct pass p = {t, x, add == 1, e};

		for (size_t i = 0; i < n; i++) {
			struct vmap_entry *entry = x->touched[i].entry;
			struct version *v = add ? vmap_staged(entry) : vmap_current(entry);

			if (x->touched[i].map != &t->routes || !entry->pending ||
			    index_route(&p, route_of(v)) == 0)
				continue;
			memcpy(culprit, entry->key, ROUTE_ID_SIZE);
			return -1;
		}
	}
	return 0;
}

const struct route *routes_staged(const struct routes *t, const unsigned char id[ROUTE_ID_SIZE])
{
	return route_of(vmap_staged(vmap_find(&t->routes, id_str(id))));
}

const struct route_list *routes_staged_of_service(const struct routes *t,
						  const unsigned char service[ROUTE_ID_SIZE])
{
	struct key k;

	key_make(&k, ROUTE_LIST_SERVICE, id_str(service), STR_NONE);
	return outer_of(vmap_staged(vmap_find(&t->lists, key_str(&k))));
}
