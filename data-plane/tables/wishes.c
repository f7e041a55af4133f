#include "data-plane/tables/wishes.h"

#include <stdlib.h>
#include <string.h>

enum { LABEL_MAX = 63, IPV6_HALF = 8 };

struct mark {
	struct version version;
	struct wish_view view;
};

static void free_mark(struct version *v, void *arg)
{
	(void)arg;
	free(v);
}

static_assert(offsetof(struct mark, version) == 0, "values begin with their version");

/* --- names and clients --- */

static bool is_ldh(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

static bool label_is_valid(struct str label)
{
	if (label.len == 0 || label.len > LABEL_MAX || label.ptr[0] == '-' ||
	    label.ptr[label.len - 1] == '-')
		return false;
	for (size_t i = 0; i < label.len; i++)
		if (!is_ldh(label.ptr[i]))
			return false;
	return true;
}

static bool is_number(struct str label)
{
	for (size_t i = 0; i < label.len; i++)
		if (label.ptr[i] < '0' || label.ptr[i] > '9')
			return str_starts(label, STR("0x"));
	return true;
}

bool wish_name_is_valid(struct str name)
{
	struct str rest = name, label = STR_NONE;
	size_t labels = 0;

	if (name.len == 0 || name.len > CERTS_NAME_MAX)
		return false;
	while (str_split(&rest, '.', &label)) {
		if (!label_is_valid(label))
			return false;
		labels++;
	}
	return labels >= 2 && !is_number(label);
}

void wish_client(const struct addr *a, char out[WISH_CLIENT_SIZE])
{
	struct addr net = *a;

	addr_unmap(&net);
	if (net.u.sa.sa_family == AF_INET6)
		memset(net.u.in6.sin6_addr.s6_addr + IPV6_HALF, 0, IPV6_HALF);
	addr_ip_text(&net, out, WISH_CLIENT_SIZE);
	if (net.u.sa.sa_family == AF_INET6)
		memcpy(out + strlen(out), "/64", sizeof("/64"));
}

/* --- the board --- */

int wish_board_init(struct wish_board *b, struct err *e)
{
	int rc;

	memset(b, 0, sizeof(*b));
	atomic_init(&b->gate, WISHES_AWAY);
	b->items = calloc(WISHES_WAITING_MAX, sizeof(*b->items));
	b->spare = calloc(WISHES_WAITING_MAX, sizeof(*b->spare));
	rc = b->items && b->spare ? live_map_init(&b->marks, free_mark, NULL, e)
				  : err_memory(e, "making the board of wishes");
	if (rc == 0 && uv_mutex_init(&b->lock) != 0) {
		live_map_deinit(&b->marks);
		rc = err_memory(e, "making the board of wishes");
	}
	if (rc == 0)
		return 0;
	free(b->items);
	free(b->spare);
	memset(b, 0, sizeof(*b));
	return -1;
}

void wish_board_deinit(struct wish_board *b)
{
	if (!b->items)
		return;
	live_map_deinit(&b->marks);
	uv_mutex_destroy(&b->lock);
	free(b->items);
	free(b->spare);
	b->items = b->spare = NULL;
}

struct wish_view wish_find(const struct wish_board *b, struct str key, uint64_t now_ns)
{
	const struct wish_view none = {.mark = WISH_NONE};
	const struct version *v;
	const struct mark *m;

	if (atomic_load_explicit(&b->marks.map.count, memory_order_relaxed) == 0)
		return none;
	v = live_map_get(&b->marks, key);
	if (!v)
		return none;
	m = container_of((struct version *)(uintptr_t)v, struct mark, version);
	return m->view.mark == WISH_REFUSED && now_ns >= m->view.until_ns ? none : m->view;
}

/* thread: sync */
static void take_wishes(void *arg)
{
	struct wish_board *b = arg;
	struct wish *items;
	size_t n;

	uv_mutex_lock(&b->lock);
	items = b->items;
	n = b->count;
	b->items = b->spare;
	b->spare = items;
	b->count = 0;
	b->posted = false;
	uv_mutex_unlock(&b->lock);
	if (b->on_wishes && n > 0)
		b->on_wishes(items, n, b->arg);
}

static void keep(struct wish *w, struct str name, const struct addr *client)
{
	memcpy(w->name, name.ptr, name.len);
	w->name[name.len] = '\0';
	w->client = *client;
}

bool wish_post(struct wish_board *b, struct str name, const struct addr *client)
{
	bool room;

	uv_mutex_lock(&b->lock);
	room = b->loop && b->count < WISHES_WAITING_MAX && name.len <= CERTS_NAME_MAX;
	if (room && !b->posted)
		room = b->posted = loop_post(b->loop, take_wishes, b, NULL) == 0;
	if (room)
		keep(&b->items[b->count++], name, client);
	uv_mutex_unlock(&b->lock);
	return room;
}

void wish_serve(struct wish_board *b, struct loop *l,
		void (*on_wishes)(const struct wish *w, size_t n, void *arg), void *arg)
{
	uv_mutex_lock(&b->lock);
	b->loop = l;
	b->on_wishes = on_wishes;
	b->arg = arg;
	uv_mutex_unlock(&b->lock);
}

int wish_set(struct wish_board *b, struct str key, struct wish_view v, struct err *e)
{
	struct mark *m;

	if (v.mark == WISH_NONE)
		return live_map_remove(&b->marks, key, e);
	m = calloc(1, sizeof(*m));
	if (!m)
		return err_memory(e, "marking a name that is asked for");
	m->view = v;
	return live_map_put(&b->marks, key, &m->version, e);
}
