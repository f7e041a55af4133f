#include "data-plane/tls/held.h"

#include <stdlib.h>
#include <string.h>

#include "common/core/clock.h"
#include "common/net/conn.h"
#include "data-plane/tls/select.h"

/* Of all handshakes that wait for it. */
struct held_name {
	struct link link; /* held.names */
	struct link marks;
	uint64_t until_ns;
	size_t len;
	char name[];
};

/* The mark of an SSL. Freed with it, or when its handshake is complete. */
struct mark {
	struct link link; /* held_name.marks or held.ready; empty: goes on */
	struct held *held;
	struct held_name *name; /* NULL: waits no more */
	SSL *ssl;
	struct addr client;
};

static struct str name_of(const struct held_name *n)
{
	return (struct str){n->name, n->len};
}

static struct mark *mark_at(struct link *l)
{
	return container_of(l, struct mark, link);
}

static void name_free(struct held *h, struct held_name *n)
{
	list_remove(&n->link);
	map_remove(&h->by_name, name_of(n));
	free(n);
}

/* It waits no more; its name goes with the last one. */
static void leave(struct mark *m)
{
	struct held_name *n = m->name;

	list_remove(&m->link);
	if (!n)
		return;
	m->name = NULL;
	m->held->count--;
	if (list_empty(&n->marks))
		name_free(m->held, n);
}

static void on_ssl_free(void *parent, void *mark, CRYPTO_EX_DATA *data, int index, long number,
			void *arg)
{
	struct mark *m = mark;

	(void)parent;
	(void)data;
	(void)index;
	(void)number;
	(void)arg;
	if (!m)
		return;
	leave(m);
	free(m);
}

/* One index for all workers: OpenSSL never gives one back, and workers come and go with reloads. */
static CRYPTO_ONCE mark_once = CRYPTO_ONCE_STATIC_INIT;
static int mark_index = -1;

static void make_mark(void)
{
	mark_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_ssl_free);
}

/* --- going on --- */

static void release(struct mark *m)
{
	struct held *h = m->held;

	leave(m);
	list_push(&h->ready, &m->link);
}

static void release_all(struct held_name *n)
{
	struct link *it = list_first(&n->marks);
	const struct link *last = list_last(&n->marks);

	/* The name is gone with the last of them. */
	while (it) {
		struct link *next = it == last ? NULL : it->next;

		release(mark_at(it));
		it = next;
	}
}

void held_turn(struct held *h)
{
	struct link *it;

	for (unsigned i = 0; i < HELD_AT_ONCE && (it = list_pop(&h->ready)) != NULL; i++)
		conn_handshake_resume(conn_of_ssl(mark_at(it)->ssl));
}

/* --- looking --- */

static bool is_served(const struct held *h, struct str name)
{
	return certs_find(&h->o.tables->certs, tables_enter(h->o.tables), name) != NULL;
}

static bool client_is_refused(const struct held *h, const struct addr *client, uint64_t now)
{
	char key[WISH_CLIENT_SIZE];

	wish_client(client, key);
	return wish_find(h->o.board, str_from(key), now).mark == WISH_REFUSED;
}

static int gate(const struct held *h)
{
	return atomic_load_explicit(&h->o.board->gate, memory_order_relaxed);
}

/* Nobody is asked for it any more: one of those who still wait asks again. */
static void ask_again(struct held *h, struct held_name *n, uint64_t now)
{
	struct link *last = list_last(&n->marks), *next;
	size_t waiting = 0;

	for (struct link *it = list_first(&n->marks); it; it = next) {
		next = it == last ? NULL : it->next;
		if (client_is_refused(h, &mark_at(it)->client, now))
			release(mark_at(it));
		else
			waiting++;
	}
	if (waiting == 0)
		return; /* the name is gone */
	if (gate(h) != WISHES_OPEN ||
	    !wish_post(h->o.board, name_of(n), &mark_at(list_first(&n->marks))->client))
		release_all(n);
}

static void look_at(struct held *h, struct held_name *n, uint64_t now)
{
	struct wish_view v;

	if (is_served(h, name_of(n))) {
		release_all(n);
		return;
	}
	v = wish_find(h->o.board, name_of(n), now);
	if (v.mark == WISH_REFUSED)
		release_all(n);
	else if (v.mark == WISH_NONE)
		ask_again(h, n, now);
}

void held_look(struct held *h)
{
	uint64_t now = clock_mono_ns();

	list_for_each_safe(it, &h->names) look_at(h, container_of(it, struct held_name, link), now);
}

/* --- deadlines --- */

static void wait_for(struct held *h, uint64_t until_ns, uint64_t now)
{
	if (h->next_ns && h->next_ns <= until_ns)
		return;
	h->next_ns = until_ns;
	timer_start(&h->timer, until_ns > now ? (until_ns - now) / 1000000 + 1 : 1, 0);
}

static void on_timer(struct timer *t)
{
	struct held *h = container_of(t, struct held, timer);
	uint64_t now = clock_mono_ns();

	h->next_ns = 0;
	list_for_each_safe(it, &h->names)
	{
		struct held_name *n = container_of(it, struct held_name, link);

		if (n->until_ns > now) {
			wait_for(h, n->until_ns, now);
			continue;
		}
		for (struct link *m = n->marks.next; m != &n->marks; m = m->next)
			h->o.count(WISH_EVENT_LATE, h->o.arg);
		release_all(n);
	}
}

/* --- asking --- */

static struct held_name *name_make(struct held *h, struct str name, uint64_t until_ns)
{
	struct held_name *n = calloc(1, sizeof(*n) + name.len + 1);

	if (!n)
		return NULL;
	list_init(&n->marks);
	list_init(&n->link);
	memcpy(n->name, name.ptr, name.len);
	n->len = name.len;
	n->until_ns = until_ns;
	if (map_put(&h->by_name, name, n, NULL, NULL) != 0) {
		free(n);
		return NULL;
	}
	list_push(&h->names, &n->link);
	return n;
}

/* false: out of memory; it goes on without. */
static bool hold(struct held *h, struct held_name *n, SSL *ssl, const struct addr *client)
{
	struct mark *m = calloc(1, sizeof(*m));

	if (!m)
		return false;
	*m = (struct mark){.held = h, .ssl = ssl, .client = *client};
	list_init(&m->link);
	if (SSL_set_ex_data(ssl, mark_index, m) != 1) {
		free(m);
		return false;
	}
	m->name = n;
	list_push(&n->marks, &m->link);
	h->count++;
	h->o.count(WISH_EVENT_HELD, h->o.arg);
	return true;
}

/* Whether somebody is asked for the name: before, or from now on. until: how long it is waited for.
 */
static bool is_asked(struct held *h, struct str name, const struct addr *client, uint64_t now,
		     uint64_t *until)
{
	static const enum wish_event shut[] = {
		[WISHES_AWAY] = WISH_EVENT_AWAY, [WISHES_FULL] = WISH_EVENT_FULL};
	struct wish_view v = wish_find(h->o.board, name, now);
	int g = gate(h);

	*until = now + h->o.hold_ms * 1000000ULL;
	if (v.mark == WISH_ASKED) {
		*until = v.since_ns + h->o.hold_ms * 1000000ULL;
		return true;
	}
	if (v.mark == WISH_REFUSED || client_is_refused(h, client, now)) {
		h->o.count(WISH_EVENT_REMEMBERED, h->o.arg);
		return false;
	}
	if (g == WISHES_OPEN && (map_get(&h->by_name, name) || wish_post(h->o.board, name, client)))
		return true;
	h->o.count(g == WISHES_OPEN ? WISH_EVENT_FULL : shut[g], h->o.arg);
	return false;
}

enum held_verdict held_ask(struct held *h, SSL *ssl, struct str name, const struct addr *client)
{
	struct mark *m = h->o.board ? SSL_get_ex_data(ssl, mark_index) : NULL;
	uint64_t now = clock_mono_ns(), until;
	struct held_name *n;
	bool made;

	if (!h->o.board || !wish_name_is_valid(name))
		return HELD_GO;
	if (m)
		return m->name ? HELD_WAIT : HELD_GO;
	if (!is_asked(h, name, client, now, &until) || h->o.hold_ms == 0 || until <= now)
		return HELD_GO;
	if (h->count >= h->o.max) {
		h->o.count(WISH_EVENT_CROWDED, h->o.arg);
		return HELD_GO;
	}
	n = map_get(&h->by_name, name);
	made = !n;
	if (!n)
		n = name_make(h, name, until);
	if (n && hold(h, n, ssl, client)) {
		wait_for(h, n->until_ns, now);
		return HELD_WAIT;
	}
	if (n && made)
		name_free(h, n);
	return HELD_GO;
}

enum held_verdict held_hello(struct held *h, SSL *ssl)
{
	char text[CERTS_NAME_MAX + 1];
	const unsigned char *ext;
	size_t len;
	struct str raw = STR_NONE;

	if (!h->o.board ||
	    SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext, &len) != 1 ||
	    select_server_name((struct str){(const char *)ext, len}, &raw) != SELECT_FOUND ||
	    !certs_normalise(raw, text, &len))
		return HELD_GO;
	return held_ask(h, ssl, (struct str){text, len}, conn_peer(conn_of_ssl(ssl)));
}

void held_done(struct held *h, SSL *ssl)
{
	struct mark *m = h->o.board ? SSL_get_ex_data(ssl, mark_index) : NULL;

	if (!m)
		return;
	SSL_set_ex_data(ssl, mark_index, NULL);
	leave(m);
	free(m);
}

/* --- life --- */

int held_init(struct held *h, const struct held_options *o, struct err *e)
{
	*h = (struct held){.o = *o};
	map_init(&h->by_name);
	list_init(&h->names);
	list_init(&h->ready);
	timer_init(&h->timer, o->loop, on_timer);
	if (CRYPTO_THREAD_run_once(&mark_once, make_mark) != 1 || mark_index < 0)
		return err_openssl(e, ERR_INTERNAL, "holding handshakes");
	return 0;
}

void held_close(struct held *h)
{
	if (h->o.loop)
		timer_close(&h->timer, NULL);
}

void held_deinit(struct held *h)
{
	map_deinit(&h->by_name);
}
