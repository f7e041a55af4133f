#include "data-plane/sync/on_demand.h"

#include <stdlib.h>
#include <string.h>

#include "common/core/clock.h"
#include "common/core/log.h"

enum {
	TICK_MS = 1000,
	ANSWER_S = 30,
	SECONDS_MIN = 1,
	SECONDS_MAX = 86400,
};

/* Of a name that is asked for, or of a name or client that is refused. */
struct entry {
	struct link link; /* asked or refused */
	bool refused;
	bool answered;
	uint64_t until_ns;
	struct addr client; /* who asked first */
	size_t len;
	char key[];
};

static struct str key_of(const struct entry *n)
{
	return (struct str){n->key, n->len};
}

static struct entry *entry_at(struct link *l)
{
	return container_of(l, struct entry, link);
}

static uint64_t after_s(uint64_t seconds)
{
	return clock_mono_ns() + seconds * 1000000000ULL;
}

/* --- what is remembered --- */

static void forget(struct on_demand *d, struct entry *n)
{
	struct err e = ERR_INIT;

	if (!n->refused)
		d->asked_count--;
	list_remove(&n->link);
	map_remove(&d->entries, key_of(n));
	/* A mark that stays because there is no memory is void when its time is over. */
	if (wish_set(&d->board, key_of(n), (struct wish_view){.mark = WISH_NONE}, &e) != 0)
		log_warn("a name stays marked", log_err(&e));
	free(n);
}

/* The gate says what is true now. */
static void set_gate(struct on_demand *d)
{
	int gate = WISHES_OPEN;

	if (!d->connected)
		gate = WISHES_AWAY;
	else if (d->exhausted || d->asked_count >= d->o.names_max)
		gate = WISHES_FULL;
	if (atomic_exchange(&d->board.gate, gate) == gate)
		return;
	if (gate == WISHES_FULL)
		log_warn("names that clients ask for are not asked for: on_demand_names_max is "
			 "reached",
			 log_u64("names", d->asked_count));
}

static void make_room(struct on_demand *d)
{
	struct link *oldest;

	while (d->entries.count >= d->o.names_max && (oldest = list_first(&d->refused)) != NULL)
		forget(d, entry_at(oldest));
}

static void start_tick(struct on_demand *d)
{
	if (!timer_active(&d->tick))
		timer_start(&d->tick, TICK_MS, TICK_MS);
}

/* On no list yet, but in the map. NULL: no room or no memory. */
static struct entry *remember(struct on_demand *d, struct str key, const struct addr *client)
{
	struct entry *n;

	make_room(d);
	if (d->entries.count >= d->o.names_max)
		return NULL;
	n = calloc(1, sizeof(*n) + key.len + 1);
	if (!n)
		return NULL;
	memcpy(n->key, key.ptr, key.len);
	n->len = key.len;
	n->client = *client;
	list_init(&n->link);
	if (map_put(&d->entries, key, n, NULL, NULL) != 0) {
		free(n);
		return NULL;
	}
	start_tick(d);
	return n;
}

/* Asked, with the time from which handshakes wait for it; forgotten when that cannot be told. */
static bool mark_asked(struct on_demand *d, struct entry *n)
{
	const struct wish_view v = {.mark = WISH_ASKED, .since_ns = clock_mono_ns()};

	list_push(&d->asked, &n->link);
	d->asked_count++;
	n->until_ns = after_s(ANSWER_S);
	if (wish_set(&d->board, key_of(n), v, NULL) == 0)
		return true;
	forget(d, n);
	return false;
}

static void mark_refused(struct on_demand *d, struct entry *n, uint32_t seconds)
{
	uint64_t s = seconds < SECONDS_MIN ? SECONDS_MIN : seconds;
	struct wish_view v = {.mark = WISH_REFUSED};

	if (!list_empty(&n->link) && !n->refused)
		d->asked_count--;
	list_remove(&n->link);
	n->refused = true;
	list_push(&d->refused, &n->link);
	v.until_ns = n->until_ns = after_s(s > SECONDS_MAX ? SECONDS_MAX : s);
	if (wish_set(&d->board, key_of(n), v, NULL) != 0)
		forget(d, n);
}

/* --- asking --- */

static void send_want(struct on_demand *d, const struct entry *n)
{
	char client[ADDR_TEXT_SIZE];
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;

	addr_ip_text(&n->client, client, sizeof(client));
	if (node_encode_want(&b, n->key, client, &e) != 0 || !d->o.send(&b, d->o.arg)) {
		buf_deinit(&b); /* it is asked again on the next stream, or forgotten */
		return;
	}
	d->o.count(WISH_EVENT_ASKED, d->o.arg);
}

static bool is_served(const struct on_demand *d, struct str name)
{
	return certs_find(&d->o.tables->certs, tables_enter(d->o.tables), name) != NULL;
}

static bool client_is_refused(const struct on_demand *d, const struct addr *client)
{
	char key[WISH_CLIENT_SIZE];
	const struct entry *n;

	wish_client(client, key);
	n = map_get(&d->entries, str_from(key));
	return n && clock_mono_ns() < n->until_ns;
}

/* true: workers have to look again, since nothing else will tell them. */
static bool take(struct on_demand *d, const struct wish *w)
{
	struct str name = str_from(w->name);
	struct entry *n = map_get(&d->entries, name);

	if (n && n->refused && clock_mono_ns() >= n->until_ns) {
		forget(d, n);
		n = NULL;
	}
	if (n)
		return n->refused;
	if (is_served(d, name) || client_is_refused(d, &w->client))
		return true;
	if (!d->connected) {
		d->o.count(WISH_EVENT_AWAY, d->o.arg);
		return true;
	}
	n = remember(d, name, &w->client);
	if (!n || !mark_asked(d, n)) {
		d->o.count(WISH_EVENT_FULL, d->o.arg);
		d->exhausted = true;
		start_tick(d);
		return true;
	}
	send_want(d, n);
	return false;
}

static void on_wishes(const struct wish *w, size_t n, void *arg)
{
	struct on_demand *d = arg;
	bool again = false;

	for (size_t i = 0; i < n; i++)
		again = take(d, &w[i]) || again;
	set_gate(d);
	rcu_leave();
	if (again)
		d->o.wake(d->o.arg);
}

/* --- time, revisions and streams --- */

static void on_tick(struct timer *t)
{
	struct on_demand *d = container_of(t, struct on_demand, tick);
	struct link *const lists[] = {&d->asked, &d->refused};
	uint64_t now = clock_mono_ns();
	bool unanswered = false;

	for (size_t i = 0; i < array_len(lists); i++) {
		list_for_each_safe(it, lists[i])
		{
			struct entry *n = entry_at(it);

			if (now < n->until_ns)
				continue;
			if (!n->refused && !n->answered) {
				d->o.count(WISH_EVENT_UNANSWERED, d->o.arg);
				unanswered = true;
			}
			forget(d, n);
		}
	}
	if (unanswered)
		log_warn("control plane does not answer for names that clients ask for: is it "
			 "older than this data plane?");
	live_map_reap(&d->board.marks);
	d->exhausted = false;
	set_gate(d);
	if (d->entries.count == 0)
		timer_stop(&d->tick);
}

/* The certificates of names that were asked for may be here. */
static void look_for_served(struct on_demand *d)
{
	bool any = false;

	list_for_each_safe(it, &d->asked)
	{
		struct entry *n = entry_at(it);

		if (!is_served(d, key_of(n)))
			continue;
		d->o.count(WISH_EVENT_SERVED, d->o.arg);
		forget(d, n);
		any = true;
	}
	rcu_leave();
	if (any)
		d->o.wake(d->o.arg);
}

void on_demand_update(struct on_demand *d, bool connected)
{
	bool opened = connected && !d->connected;

	d->connected = connected;
	look_for_served(d);
	if (opened)
		list_for_each(it, &d->asked) send_want(d, entry_at(it));
	set_gate(d);
}

static void refuse_client(struct on_demand *d, struct entry *n, const struct want_answer *a)
{
	char key[WISH_CLIENT_SIZE];
	struct addr client = n->client;
	struct entry *c;

	wish_client(&client, key);
	forget(d, n);
	c = map_get(&d->entries, str_from(key));
	if (!c)
		c = remember(d, str_from(key), &client);
	if (c)
		mark_refused(d, c, a->seconds);
	log_info("a client asks for too many names", log_str("client", key),
		 log_strn("name", a->host.ptr, a->host.len), log_u64("seconds", a->seconds),
		 log_strn("reason", a->reason.ptr, a->reason.len));
}

void on_demand_answer(struct on_demand *d, const struct want_answer *a)
{
	static const enum wish_event events[WANT_VERDICTS] = {
		[WANT_COMES] = WISH_EVENT_COMES,
		[WANT_REFUSED] = WISH_EVENT_REFUSED,
		[WANT_CLIENT_REFUSED] = WISH_EVENT_CLIENT_REFUSED,
	};
	struct entry *n = map_get(&d->entries, a->host);

	if (!n || n->refused)
		return; /* served or forgotten meanwhile */
	d->o.count(events[a->verdict], d->o.arg);
	n->answered = true;
	if (a->verdict == WANT_COMES) {
		n->until_ns = after_s(a->seconds < SECONDS_MIN ? SECONDS_MIN : a->seconds);
		return;
	}
	if (a->verdict == WANT_CLIENT_REFUSED) {
		refuse_client(d, n, a);
	} else {
		log_info("a name that a client asks for is refused",
			 log_strn("name", a->host.ptr, a->host.len), log_u64("seconds", a->seconds),
			 log_strn("reason", a->reason.ptr, a->reason.len));
		mark_refused(d, n, a->seconds);
	}
	set_gate(d);
	d->o.wake(d->o.arg);
}

size_t on_demand_asked(const struct on_demand *d)
{
	return d->asked_count;
}

/* --- life --- */

int on_demand_init(struct on_demand *d, const struct on_demand_options *o, struct err *e)
{
	memset(d, 0, sizeof(*d));
	d->o = *o;
	map_init(&d->entries);
	list_init(&d->asked);
	list_init(&d->refused);
	timer_init(&d->tick, o->loop, on_tick);
	if (wish_board_init(&d->board, e) != 0)
		return -1;
	wish_serve(&d->board, o->loop, on_wishes, d);
	return 0;
}

void on_demand_close(struct on_demand *d)
{
	if (!d->o.loop)
		return;
	if (d->board.items)
		wish_serve(&d->board, NULL, NULL, NULL);
	timer_close(&d->tick, NULL);
}

void on_demand_deinit(struct on_demand *d)
{
	if (!d->o.loop)
		return;
	list_for_each_safe(it, &d->asked) free(entry_at(it));
	list_for_each_safe(it, &d->refused) free(entry_at(it));
	map_deinit(&d->entries);
	wish_board_deinit(&d->board);
}
