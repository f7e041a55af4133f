#include "data-plane/proxy/targets.h"

#include <openssl/rand.h>
#include <stdlib.h>

#include "common/core/clock.h"
#include "common/core/map.h"
#include "data-plane/proxy/target_group.h"
#include "data-plane/proxy/target_hash.h"

enum { SWEEP_S = 60 };
static const uint64_t second_ns = 1000000000ULL;

struct targets {
	struct targets_options options;
	struct group_tables tables;
	struct map groups;   /* by host */
	struct link waiting; /* groups with waiters */
	size_t waiters;	     /* at most; counted again when it seems to be the limit */
	uint64_t seed, swept_ns;
};

static void count(_Atomic uint64_t *n)
{
	atomic_fetch_add_explicit(n, 1, memory_order_relaxed);
}

/* --- waiting --- */

static size_t count_waiters(const struct targets *t)
{
	size_t n = 0;

	list_for_each(g, &t->waiting)
		list_for_each(w, &container_of(g, struct target_group, waiting)->waiters) n++;
	return n;
}

static bool wait_for(struct targets *t, struct target_group *g, struct target_waiter *w)
{
	if (t->waiters >= TARGET_WAITERS_MAX)
		t->waiters = count_waiters(t);
	if (t->waiters >= TARGET_WAITERS_MAX) {
		count(&t->options.counters->refused);
		return false;
	}
	t->waiters++;
	list_push(&g->waiters, &w->link);
	if (list_empty(&g->waiting))
		list_push(&t->waiting, &g->waiting);
	return true;
}

void targets_forget(struct target_waiter *w)
{
	list_remove(&w->link);
}

/* Those of a group whose names are known now; others go on waiting: they ask again, because news
 * come once for a wish, also when they are of another name or change nothing. */
static void wake(struct targets *t, struct target_group *g, struct link *woken)
{
	g->made = false;
	if (list_empty(&g->waiters) ||
	    group_refresh(g, &t->tables, tables_enter(t->options.tables)) < 0 || g->count > 0 ||
	    g->pending == 0) {
		list_move_all(woken, &g->waiters);
		list_remove(&g->waiting);
	}
}

static void on_news(void *arg)
{
	struct targets *t = arg;
	struct link woken, *l;

	list_init(&woken);
	for (struct link *it = t->waiting.next, *next; it != &t->waiting; it = next) {
		next = it->next;
		wake(t, container_of(it, struct target_group, waiting), &woken);
	}
	while ((l = list_first(&woken))) {
		struct target_waiter *w = container_of(l, struct target_waiter, link);

		list_remove(l);
		if (t->waiters > 0)
			t->waiters--;
		w->on_known(w);
	}
}

/* --- life --- */

int targets_create(struct targets **out, const struct targets_options *o, struct err *e)
{
	struct targets *t = calloc(1, sizeof(*t));

	if (!t)
		return err_memory(e, "making targets");
	t->options = *o;
	t->tables = (struct group_tables){.tables = o->tables,
					  .addresses = o->addresses,
					  .health = o->health,
					  .rules = o->rules};
	map_init(&t->groups);
	list_init(&t->waiting);
	t->swept_ns = clock_mono_ns();
	if (RAND_bytes((unsigned char *)&t->seed, sizeof(t->seed)) != 1)
		t->seed = t->swept_ns;
	if (addresses_reader_create(&t->tables.reader, o->addresses, o->loop, on_news, t, e) < 0) {
		free(t);
		return -1;
	}
	*out = t;
	return 0;
}

void targets_free(struct targets *t)
{
	size_t pos = 0;
	struct str key;
	void *value;

	if (!t)
		return;
	addresses_reader_free(t->tables.reader);
	while (map_next(&t->groups, &pos, &key, &value)) {
		struct target_group *g = value;
		struct link *l;

		while ((l = list_first(&g->waiters)))
			list_remove(l);
		group_free(g);
	}
	map_deinit(&t->groups);
	free(t);
}

/* --- groups --- */

/* What nobody uses any more. */
static void sweep(struct targets *t, uint64_t now)
{
	size_t pos = 0;
	struct str key;
	void *value;

	if (now - t->swept_ns < SWEEP_S * second_ns)
		return;
	t->swept_ns = now;
	while (map_next(&t->groups, &pos, &key, &value)) {
		struct target_group *g = value;

		if (now - g->used_ns < TARGET_GROUP_IDLE_S * second_ns || !list_empty(&g->waiters))
			continue;
		map_remove(&t->groups, g->host);
		group_free(g);
	}
}

static struct target_group *find_group(struct targets *t, struct str host)
{
	struct target_group *g = map_get(&t->groups, host);

	if (g)
		return g;
	g = group_create(host, t->seed++);
	if (g && map_put(&t->groups, g->host, g, NULL, NULL) < 0) {
		group_free(g);
		return NULL;
	}
	return g;
}

/* --- picking --- */

struct tries {
	const struct target_pick *picks;
	size_t count;
};

static bool was_tried(const struct balance_item *i, const void *arg)
{
	const struct balanced *b = container_of((void *)(uintptr_t)i, struct balanced, item);
	const struct tries *t = arg;

	for (size_t n = 0; n < t->count; n++)
		if (t->picks[n].slot == b)
			return true;
	return false;
}

static uint64_t hash_of(struct target_group *g, const struct target_request *q, struct arena *a,
			struct target_pick *out)
{
	uint64_t hash;

	if (g->algorithm != ALGORITHM_CONSISTENT_HASHING)
		return 0;
	if (target_hash(&g->hash, q, g->cookie_path, a, &hash, &out->set_cookie) ||
	    target_hash(&g->fallback, q, g->cookie_path, a, &hash, &out->set_cookie))
		return hash;
	return balance_random(&g->balance);
}

static enum pick_result none(struct targets *t, struct target_group *g, struct target_waiter *w)
{
	if (g->count == 0 && g->pending > 0 && w && wait_for(t, g, w))
		return PICK_WAIT;
	if (g->count == 0 && g->denied > 0) {
		count(&t->options.counters->denied);
		return PICK_DENIED;
	}
	if (g->count == 0 && g->failed + g->pending > 0) {
		count(&t->options.counters->unresolved);
		return PICK_UNRESOLVED;
	}
	count(&t->options.counters->unhealthy);
	return PICK_UNHEALTHY;
}

/* A name's address is judged with the port of the service that uses it. */
static bool take(struct targets *t, const struct target_group *g, struct balanced *b,
		 const struct target_request *q, struct target_pick *out)
{
	out->addr = b->addr;
	out->port = addr_port(&b->addr);
	if (out->port == 0) {
		out->port = q->service->port;
		addr_set_port(&out->addr, out->port);
		if (!address_rules_allow(t->options.rules, &out->addr))
			return false;
	}
	out->has_upstream = g->is_upstream;
	memcpy(out->upstream, g->id, sizeof(out->upstream));
	out->slot = b;
	return true;
}

static enum pick_result choose(struct targets *t, struct target_group *g,
			       const struct target_request *q, const struct tries *tries,
			       struct arena *a, struct target_pick *out)
{
	struct balance_query query = {.now_ns = g->used_ns, .tried = was_tried, .arg = tries};
	struct balance_item *i;
	struct balanced *b;

	if (tries->count == 0)
		query.tried = NULL;
	query.hash = hash_of(g, q, a, out);
	i = balance_pick(&g->balance, g->algorithm, &query);
	if (!i)
		return PICK_UNHEALTHY;
	b = container_of(i, struct balanced, item);
	out->host = arena_str(a, b->host);
	if (!out->host.ptr)
		return PICK_MEMORY;
	if (!take(t, g, b, q, out)) {
		count(&t->options.counters->denied);
		return PICK_DENIED;
	}
	b->item.busy++;
	b->refs++;
	return PICK_OK;
}

enum pick_result targets_pick(struct targets *t, const struct target_request *q,
			      const struct target_pick *tried, size_t tried_count, struct arena *a,
			      struct target_pick *out, struct target_waiter *w)
{
	struct target_group *g = find_group(t, q->service->host);
	const struct tries tries = {tried, tried_count};
	uint64_t now = clock_mono_ns();

	*out = (struct target_pick){.slot = NULL};
	if (!g)
		return PICK_MEMORY;
	g->used_ns = now;
	sweep(t, now);
	if (group_refresh(g, &t->tables, q->generation) < 0)
		return PICK_MEMORY;
	if (g->count == 0 || !g->available)
		return none(t, g, w);
	if (g->panics)
		count(&t->options.counters->panics);
	return choose(t, g, q, &tries, a, out);
}

/* --- what became of it --- */

static void post(struct targets *t, const struct balanced *b, enum health_event_kind kind,
		 unsigned status)
{
	struct health_event ev = {.addr = b->addr, .kind = kind, .status = status};

	memcpy(ev.upstream, b->group->id, sizeof(ev.upstream));
	health_post(t->options.health, &ev);
}

/* Passive checks: failures that count, and successes while something counts. */
static void tell(struct targets *t, const struct balanced *b, enum target_outcome o,
		 unsigned status)
{
	const struct target_group *g = b->group;

	if (o == TARGET_TCP_FAILURE && g->tcp_failures > 0)
		post(t, b, HEALTH_TCP_FAILURE, 0);
	else if (o == TARGET_TIMEOUT && g->timeouts > 0)
		post(t, b, HEALTH_TIMEOUT, 0);
	else if (o == TARGET_SUCCESS &&
		 ((g->http_failures > 0 && group_status_has(g->bad, status)) ||
		  (g->successes > 0 && b->health.watched && group_status_has(g->good, status))))
		post(t, b, HEALTH_HTTP, status);
}

void targets_done(struct targets *t, const struct target_pick *p, enum target_outcome o,
		  unsigned status, uint64_t ms)
{
	struct balanced *b = p->slot;

	if (!b)
		return;
	if (o == TARGET_SUCCESS)
		balance_measured(&b->item, (double)ms, clock_mono_ns());
	if (b->group && b->group->is_upstream)
		tell(t, b, o, status);
	b->item.busy--;
	balanced_unref(b);
}
