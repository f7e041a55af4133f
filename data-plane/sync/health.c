#include "data-plane/sync/health.h"

#include <stdlib.h>

#include "common/core/log.h"
#include "data-plane/sync/health_internal.h"

static bool uses_checks(const struct upstream *u)
{
	const struct health_checks *c = &u->checks;

	return c->active.healthy.interval > 0 || c->active.unhealthy.interval > 0 ||
	       c->passive.unhealthy.tcp_failures > 0 || c->passive.unhealthy.timeouts > 0 ||
	       c->passive.unhealthy.http_failures > 0;
}

const struct upstream *health_upstream(const struct health *h, const struct checked *c)
{
	const struct tables *t = h->options.tables;

	return upstream_find(&t->entities, tables_enter(t), c->id);
}

/* --- state --- */

static void tell(struct checked_address *a)
{
	if (a->health->options.on_change)
		a->health->options.on_change(&a->report, a->health->options.arg);
}

bool health_has_address(const struct checked_address *a)
{
	return a->report.addr.u.sa.sa_family != 0;
}

static void publish(struct checked_address *a)
{
	bool down = health_state_is_down(&a->state);
	const struct health_view v = {down, health_state_is_watched(&a->state)};
	char text[ADDR_TEXT_SIZE];
	struct err e = ERR_INIT;

	if (health_mark(a->health->options.board, a->report.upstream, &a->report.addr, v, &e) < 0)
		log_error("health not published", log_err(&e));
	if (down == (a->report.verdict == HEALTH_IS_DOWN))
		return;
	a->report.verdict = down ? HEALTH_IS_DOWN : HEALTH_IS_UP;
	addr_text(&a->report.addr, text, sizeof(text));
	log_warn(down ? "target is unhealthy" : "target is healthy again",
		 log_str("target", a->host), log_str("address", text));
	tell(a);
}

void health_count(struct checked_address *a, enum health_counter c, const struct check_rule *good,
		  const struct check_rule *bad)
{
	const unsigned limits[HEALTH_COUNTERS] = {
		[HEALTH_COUNT_SUCCESS] = good->successes,
		[HEALTH_COUNT_TCP] = bad->tcp_failures,
		[HEALTH_COUNT_TIMEOUT] = bad->timeouts,
		[HEALTH_COUNT_HTTP] = bad->http_failures,
	};

	if (health_state_count(&a->state, c, limits[c]))
		publish(a);
}

static bool has_status(const struct check_rule *r, unsigned status)
{
	for (size_t i = 0; i < r->status_count; i++)
		if (r->statuses[i] == status)
			return true;
	return false;
}

void health_count_status(struct checked_address *a, unsigned status, const struct check_rule *good,
			 const struct check_rule *bad)
{
	if (has_status(good, status))
		health_count(a, HEALTH_COUNT_SUCCESS, good, bad);
	else if (has_status(bad, status))
		health_count(a, HEALTH_COUNT_HTTP, good, bad);
}

/* --- passive checks --- */

static void on_events(const struct health_event *events, size_t n, void *arg)
{
	struct health *h = arg;

	for (size_t i = 0; i < n; i++) {
		const struct health_event *ev = &events[i];
		unsigned char key[HEALTH_KEY_SIZE];
		struct checked_address *a;
		const struct upstream *u;

		health_key(key, ev->upstream, &ev->addr);
		a = map_get(&h->by_address, (struct str){(char *)key, sizeof(key)});
		u = a ? health_upstream(h, a->upstream) : NULL;
		if (!u)
			continue;
		const struct check_rule *good = &u->checks.passive.healthy;
		const struct check_rule *bad = &u->checks.passive.unhealthy;

		if (ev->kind == HEALTH_HTTP)
			health_count_status(a, ev->status, good, bad);
		else
			health_count(a,
				     ev->kind == HEALTH_TIMEOUT ? HEALTH_COUNT_TIMEOUT
								: HEALTH_COUNT_TCP,
				     good, bad);
	}
	rcu_leave();
}

/* --- what there is to check --- */

static void drop_address(struct checked_address *a)
{
	struct health *h = a->health;

	if (a->probe) {
		probe_cancel(a->probe);
		h->running--;
		a->upstream->running--;
	}
	list_remove(&a->link);
	map_remove(&h->by_address, (struct str){(char *)a->key, a->key_len});
	if (health_has_address(a) && a->state.level != HEALTH_HEALTHY &&
	    health_mark(h->options.board, a->report.upstream, &a->report.addr,
			(struct health_view){false, false}, NULL) < 0)
		log_error("a mark of an address stays", log_str("target", a->host));
	a->report.verdict = HEALTH_IS_GONE;
	if (!h->closing)
		tell(a);
	free(a);
}

static void drop_upstream(struct health *h, struct checked *c)
{
	list_for_each_safe(it, &c->addresses)
		drop_address(container_of(it, struct checked_address, link));
	list_remove(&c->link);
	map_remove(&h->by_id, (struct str){(char *)c->id, sizeof(c->id)});
	free(c);
}

/* addr NULL: the target has none; such a one is told apart by the target's id. */
static void add_address(struct health *h, struct checked *c, const struct target *t,
			const struct addr *addr, unsigned weight)
{
	struct addr none = {0};
	unsigned char key[HEALTH_KEY_SIZE + ENTITY_ID_SIZE];
	struct str text = {(char *)key, addr ? HEALTH_KEY_SIZE : sizeof(key)};
	struct checked_address *a;

	health_key(key, c->id, addr ? addr : &none);
	memcpy(key + HEALTH_KEY_SIZE, t->entity.id, ENTITY_ID_SIZE);
	a = map_get(&h->by_address, text);
	if (a) {
		a->walk = h->walk;
		a->report.weight = weight;
		return;
	}
	if (h->by_address.count >= HEALTH_ADDRESSES_MAX) {
		h->facts.refused++;
		return;
	}
	a = calloc(1, sizeof(*a));
	if (!a || map_put(&h->by_address, text, a, NULL, NULL) < 0) {
		free(a);
		h->facts.refused++;
		return;
	}
	a->health = h;
	a->upstream = c;
	a->walk = h->walk;
	a->key_len = text.len;
	memcpy(a->key, key, sizeof(key));
	memcpy(a->report.upstream, c->id, ENTITY_ID_SIZE);
	memcpy(a->report.target, t->entity.id, ENTITY_ID_SIZE);
	a->report.addr = addr ? *addr : none;
	a->report.weight = weight;
	a->report.verdict = addr ? HEALTH_IS_UP : HEALTH_IS_UNRESOLVED;
	snprintf(a->host, sizeof(a->host), "%.*s", (int)t->host.len, t->host.ptr);
	list_push(&c->addresses, &a->link);
	tell(a);
}

static void add_target(struct health *h, struct checked *c, const struct target *t)
{
	const struct address_set *s;
	struct addr a;

	if (t->weight == 0)
		return;
	if (addr_parse_ip(&a, t->host) == 0) {
		addr_set_port(&a, t->port);
		add_address(h, c, t, &a, t->weight);
		return;
	}
	s = addresses_find(h->options.addresses, t->host);
	if (!s || s->count == 0)
		add_address(h, c, t, NULL, 0);
	for (size_t i = 0; s && i < s->count; i++) {
		unsigned weight = s->items[i].weight > 0 ? s->items[i].weight : t->weight;

		a = s->items[i].addr;
		if (addr_port(&a) == 0)
			addr_set_port(&a, t->port);
		add_address(h, c, t, &a, weight);
	}
}

static struct checked *find_checked(struct health *h, const unsigned char id[ENTITY_ID_SIZE])
{
	struct str key = {(const char *)id, ENTITY_ID_SIZE};
	struct checked *c = map_get(&h->by_id, key);

	if (c)
		return c;
	c = calloc(1, sizeof(*c));
	if (!c || map_put(&h->by_id, key, c, NULL, NULL) < 0) {
		free(c);
		return NULL;
	}
	memcpy(c->id, id, sizeof(c->id));
	list_init(&c->addresses);
	list_push(&h->upstreams, &c->link);
	return c;
}

struct walk {
	struct health *health;
	uint64_t generation;
};

static bool take_upstream(struct str key, const struct version *v, void *arg)
{
	const struct upstream *u =
		container_of((struct version *)(uintptr_t)v, struct upstream, entity.version);
	struct walk *w = arg;
	struct health *h = w->health;
	const struct entity_list *targets;
	struct checked *c;

	(void)key;
	if (!uses_checks(u))
		return true;
	c = find_checked(h, u->entity.id);
	if (!c)
		return false;
	c->walk = h->walk;
	targets = upstream_targets(&h->options.tables->entities, w->generation, u->entity.id);
	for (size_t i = 0; targets && i < targets->count; i++)
		add_target(h, c, entity_of(targets->items[i], struct target));
	return true;
}

static void sweep(struct health *h)
{
	for (struct link *it = h->upstreams.next, *next; it != &h->upstreams; it = next) {
		struct checked *c = container_of(it, struct checked, link);

		next = it->next;
		if (c->walk != h->walk) {
			drop_upstream(h, c);
			continue;
		}
		for (struct link *at = c->addresses.next, *then; at != &c->addresses; at = then) {
			struct checked_address *a = container_of(at, struct checked_address, link);

			then = at->next;
			if (a->walk != h->walk)
				drop_address(a);
		}
	}
}

void health_update(struct health *h)
{
	const struct vmap *kinds = h->options.tables->entities.kinds;
	uint64_t addresses = atomic_load(&h->options.addresses->epoch);
	uint64_t changed = kinds[ENTITIES_UPSTREAM].changed > kinds[ENTITIES_TARGET].changed
				   ? kinds[ENTITIES_UPSTREAM].changed
				   : kinds[ENTITIES_TARGET].changed;
	struct walk w = {.health = h};

	if (h->walked_generation == changed && h->walked_addresses == addresses)
		return;
	h->walked_generation = changed;
	h->walked_addresses = addresses;
	h->walk++;
	w.generation = tables_enter(h->options.tables);
	vmap_each(&kinds[ENTITIES_UPSTREAM], w.generation, take_upstream, &w);
	rcu_leave();
	sweep(h);
	/* What is new is probed at once. */
	timer_start(&h->timer, 0, 0);
}

/* --- life --- */

int health_start(struct health **out, const struct health_options *o, struct err *e)
{
	struct health *h = calloc(1, sizeof(*h));

	if (!h)
		return err_memory(e, "starting health checks");
	h->options = *o;
	list_init(&h->upstreams);
	map_init(&h->by_id);
	map_init(&h->by_address);
	timer_init(&h->timer, o->loop, health_tick);
	health_serve(o->board, o->loop, on_events, h);
	*out = h;
	return 0;
}

static void on_closed(struct timer *t)
{
	struct health *h = container_of(t, struct health, timer);

	map_deinit(&h->by_id);
	map_deinit(&h->by_address);
	free(h);
}

void health_close(struct health *h)
{
	struct link *l;

	if (!h)
		return;
	h->closing = true;
	health_serve(h->options.board, NULL, NULL, NULL);
	while ((l = list_first(&h->upstreams)))
		drop_upstream(h, container_of(l, struct checked, link));
	timer_close(&h->timer, on_closed);
}

void health_facts(const struct health *h, struct health_facts *out)
{
	size_t pos = 0;
	struct str key;
	void *value;

	*out = h->facts;
	out->addresses = h->by_address.count;
	while (map_next(&h->by_address, &pos, &key, &value))
		out->unhealthy += health_state_is_down(&((struct checked_address *)value)->state);
}

void health_each(struct health *h, void (*fn)(const struct health_report *r, void *arg), void *arg)
{
	size_t pos = 0;
	struct str key;
	void *value;

	while (map_next(&h->by_address, &pos, &key, &value))
		fn(&((struct checked_address *)value)->report, arg);
}
