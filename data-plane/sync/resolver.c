#include "data-plane/sync/resolver.h"

#include <openssl/rand.h>
#include <stdlib.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "common/core/map.h"
#include "data-plane/sync/dns_lookup.h"
#include "data-plane/sync/hosts_file.h"
#include "data-plane/tables/service.h"
#include "data-plane/tables/upstream.h"

enum { TICK_MIN_MS = 20, TICK_MAX_MS = 1000 };
static const uint64_t ms_ns = 1000000;

struct name {
	struct resolver *resolver;
	struct link due; /* in resolver.names */
	uint64_t due_ns;
	uint64_t asked_ns;  /* by a worker; 0: never */
	uint64_t walk;	    /* the last one that found it in the tables */
	uint64_t gone_ns;   /* since when servers say that it does not exist; 0: they do not */
	enum dns_type type; /* that was successful last; 0: never */
	unsigned failures;  /* in a row */
	bool published;	    /* something was, if only that there is nothing */
	bool known;	    /* it has addresses */
	bool busy, dropped; /* a look-up is under way; nobody wants its answer */
	size_t len;
	char text[];
};

struct resolver {
	struct resolver_options options;
	struct dns_order order;
	struct dns_channel *channel;
	struct hosts_file hosts;
	struct map map;	    /* text to struct name */
	struct map refused; /* texts that workers were told nothing of: there was no room */
	struct link names;  /* all that are not dropped, in no order */
	struct timer timer;
	uint64_t walk, walked_generation;
	size_t busy;
	bool closing;
	struct resolver_facts facts; /* counters only */
};

static struct str text_of(const struct name *n)
{
	return (struct str){n->text, n->len};
}

static void arm(struct resolver *r, uint64_t ms)
{
	if (!r->closing)
		timer_start(&r->timer, ms, 0);
}

/* --- names --- */

static bool has_room(const struct resolver *r)
{
	return r->map.count < r->options.max_names;
}

static struct name *add_name(struct resolver *r, struct str text)
{
	struct name *n = map_get(&r->map, text);

	if (n)
		return n;
	if (!has_room(r) || text.len == 0 || text.len > ADDRESSES_NAME_MAX) {
		r->facts.refused++;
		return NULL;
	}
	n = calloc(1, sizeof(*n) + text.len + 1);
	if (!n || map_put(&r->map, text, n, NULL, NULL) < 0) {
		free(n);
		r->facts.refused++;
		return NULL;
	}
	n->resolver = r;
	n->len = text.len;
	memcpy(n->text, text.ptr, text.len);
	n->due_ns = clock_mono_ns();
	list_push(&r->names, &n->due);
	(void)map_remove(&r->refused, text);
	return n;
}

/* Whoever needs them asks again. */
static void forget_refused(struct resolver *r)
{
	struct str text;
	size_t at = 0;
	void *value;

	while (map_next(&r->refused, &at, &text, &value))
		addresses_forget(r->options.addresses, text);
	map_deinit(&r->refused);
	map_init(&r->refused);
}

/* An answer all the same, or its request would wait for ever; it holds as long as there is no room.
 */
static void refuse(struct resolver *r, struct str text)
{
	if (addresses_publish(r->options.addresses, text, NULL, 0, NULL) < 0)
		log_error("a worker waits for a name in vain",
			  log_strn("name", text.ptr, text.len));
	else if (map_put(&r->refused, text, r, NULL, NULL) < 0)
		log_error("a name is not asked for again", log_strn("name", text.ptr, text.len));
	if (r->refused.count > RESOLVER_REFUSED_MAX)
		forget_refused(r);
}

static void drop_name(struct resolver *r, struct name *n)
{
	map_remove(&r->map, text_of(n));
	list_remove(&n->due);
	if (n->published)
		addresses_forget(r->options.addresses, text_of(n));
	n->dropped = true;
	if (!n->busy)
		free(n);
}

static bool is_name(struct str host)
{
	struct addr a;

	return host.len > 0 && addr_parse_ip(&a, host) < 0;
}

struct walk {
	struct resolver *resolver;
	uint64_t generation;
};

static void want(struct walk *w, struct str host)
{
	struct name *n = is_name(host) ? add_name(w->resolver, host) : NULL;

	if (n)
		n->walk = w->resolver->walk;
}

static bool take_service(struct str key, const struct version *v, void *arg)
{
	const struct service *s =
		container_of((struct version *)(uintptr_t)v, struct service, entity.version);
	struct walk *w = arg;

	(void)key;
	if (!upstream_by_name(&w->resolver->options.tables->entities, w->generation, s->host))
		want(w, s->host);
	return true;
}

static bool take_target(struct str key, const struct version *v, void *arg)
{
	const struct target *t =
		container_of((struct version *)(uintptr_t)v, struct target, entity.version);

	(void)key;
	want(arg, t->host);
	return true;
}

static bool is_wanted(const struct resolver *r, const struct name *n, uint64_t now)
{
	return n->walk == r->walk ||
	       (n->asked_ns && now - n->asked_ns < RESOLVER_ASKED_S * 1000 * ms_ns);
}

static uint64_t last_change(const struct tables *t)
{
	uint64_t newest = 0;
	static const enum entities_kind kinds[] = {ENTITIES_SERVICE, ENTITIES_TARGET,
						   ENTITIES_UPSTREAM};

	for (size_t i = 0; i < array_len(kinds); i++)
		if (t->entities.kinds[kinds[i]].changed > newest)
			newest = t->entities.kinds[kinds[i]].changed;
	return newest;
}

static void take_names(struct resolver *r)
{
	const struct tables *t = r->options.tables;
	struct walk w = {.resolver = r, .generation = tables_enter(t)};

	vmap_each(&t->entities.kinds[ENTITIES_SERVICE], w.generation, take_service, &w);
	vmap_each(&t->entities.kinds[ENTITIES_TARGET], w.generation, take_target, &w);
	rcu_leave();
}

void resolver_update(struct resolver *r)
{
	const struct tables *t = r->options.tables;
	uint64_t now = clock_mono_ns(), refused = r->facts.refused;
	size_t before;

	if (last_change(t) == r->walked_generation)
		return;
	r->walked_generation = last_change(t);
	r->walk++;
	take_names(r);
	refused = r->facts.refused - refused;
	before = r->map.count;
	for (struct link *it = r->names.next, *next; it != &r->names; it = next) {
		struct name *n = container_of(it, struct name, due);

		next = it->next;
		if (!is_wanted(r, n, now))
			drop_name(r, n);
	}
	/* Those that are gone made room for those that had none. */
	if (refused > 0 && r->map.count < before)
		take_names(r);
	arm(r, 0);
}

/* --- when to look again --- */

/* Within 85 and 95 percent, so that names of one answer do not stay together. */
static uint64_t jittered(uint64_t ms)
{
	uint16_t random = 0;

	if (RAND_bytes((unsigned char *)&random, sizeof(random)) != 1)
		random = 0;
	return ms * (8500 + random % 1000) / 10000;
}

static void again_in(struct name *n, uint64_t ms)
{
	n->due_ns = clock_mono_ns() + jittered(ms) * ms_ns;
}

static uint64_t valid_ms(const struct resolver *r, uint32_t ttl)
{
	uint64_t ms = (uint64_t)ttl * 1000;

	if (r->options.valid_ms)
		return r->options.valid_ms;
	if (ms < r->options.min_ms)
		return r->options.min_ms;
	return ms < r->options.max_ms ? ms : r->options.max_ms;
}

static uint64_t retry_ms(const struct name *n, uint64_t first)
{
	uint64_t ms = first;

	for (unsigned i = 1; i < n->failures && ms < RESOLVER_RETRY_MAX_S * 1000; i++)
		ms *= 2;
	return ms < RESOLVER_RETRY_MAX_S * 1000 ? ms : RESOLVER_RETRY_MAX_S * 1000;
}

/* --- answers --- */

static void publish(struct name *n, const struct address *items, size_t count)
{
	struct err e = ERR_INIT;

	if (addresses_publish(n->resolver->options.addresses, text_of(n), items, count, &e) < 0) {
		log_error("addresses not published", log_str("name", n->text), log_err(&e));
		return;
	}
	n->published = true;
	n->known = count > 0;
}

static void found(struct name *n, const struct address *items, size_t count, uint32_t ttl)
{
	if (n->failures > 0 && n->published)
		log_notice("a name is resolved again", log_str("name", n->text));
	n->failures = 0;
	n->gone_ns = 0;
	publish(n, items, count);
	again_in(n, valid_ms(n->resolver, ttl));
}

/* UP-14: what was good stays. */
static void not_found(struct name *n, bool gone)
{
	const struct resolver_options *o = &n->resolver->options;
	uint64_t now = clock_mono_ns();

	n->resolver->facts.failures++;
	if (n->failures++ == 0)
		log_warn("a name is not resolved", log_str("name", n->text),
			 log_str("why", gone ? "there is no such name" : "no answer of a server"),
			 log_u64("kept", n->known));
	if (!gone)
		n->gone_ns = 0;
	else if (n->gone_ns == 0)
		n->gone_ns = now;
	if (!n->known || (gone && now - n->gone_ns >= o->stale_ms * ms_ns))
		publish(n, NULL, 0);
	again_in(n, retry_ms(n, gone ? o->not_found_ms : o->error_ms));
}

static void on_looked_up(enum lookup_result result, const struct lookup_answer *a, void *arg)
{
	struct name *n = arg;
	struct resolver *r = n->resolver;

	n->busy = false;
	r->busy--;
	if (n->dropped) {
		free(n);
	} else if (result == LOOKUP_FOUND) {
		n->type = a->type;
		found(n, a->items, a->count, a->ttl);
	} else if (result != LOOKUP_CANCELLED) {
		not_found(n, result == LOOKUP_NOTHING);
	}
	arm(r, TICK_MIN_MS);
}

static void look_up(struct resolver *r, struct name *n)
{
	const struct address *items = NULL;
	size_t count = hosts_file_find(&r->hosts, text_of(n), &items);

	r->facts.lookups++;
	if (count > 0) {
		found(n, items, count, RESOLVER_HOSTS_TTL_S);
	} else if (dns_lookup_start(r->channel, n->text, &r->order, n->known ? n->type : 0,
				    on_looked_up, n, NULL) < 0) {
		not_found(n, false);
	} else {
		n->busy = true;
		r->busy++;
	}
}

static void on_tick(struct timer *t)
{
	struct resolver *r = container_of(t, struct resolver, timer);
	uint64_t now = clock_mono_ns(), next = now + TICK_MAX_MS * ms_ns;

	hosts_file_refresh(&r->hosts);
	if (has_room(r))
		forget_refused(r);
	list_for_each(it, &r->names)
	{
		struct name *n = container_of(it, struct name, due);

		if (!n->busy && n->due_ns <= now && r->busy < RESOLVER_AT_ONCE)
			look_up(r, n);
		/* At the limit the next answer goes on. */
		if (!n->busy && n->due_ns < next && n->due_ns > now)
			next = n->due_ns;
	}
	if (!list_empty(&r->names) || r->refused.count > 0)
		arm(r, (next - now) / ms_ns + TICK_MIN_MS);
}

/* --- life --- */

static void on_ask(struct str text, void *arg)
{
	struct resolver *r = arg;
	struct name *n = add_name(r, text);

	if (!n) {
		refuse(r, text);
		return;
	}
	n->asked_ns = clock_mono_ns();
	if (n->published)
		addresses_wake(r->options.addresses);
	arm(r, 0);
}

int resolver_start(struct resolver **out, const struct resolver_options *o, struct err *e)
{
	const struct dns_channel_options c = {.servers = o->servers, .timeout_ms = o->timeout_ms};
	struct resolver *r = calloc(1, sizeof(*r));

	if (!r)
		return err_memory(e, "starting the resolver");
	r->options = *o;
	if (dns_order_parse(&r->order, str_from(o->order), e) < 0) {
		free(r);
		return err_prefix(e, "dns_order");
	}
	if (dns_channel_create(&r->channel, o->loop, &c, e) < 0) {
		free(r);
		return err_prefix(e, "dns_resolver");
	}
	hosts_file_init(&r->hosts, o->hosts_file);
	map_init(&r->map);
	map_init(&r->refused);
	list_init(&r->names);
	timer_init(&r->timer, o->loop, on_tick);
	addresses_serve(o->addresses, o->loop, on_ask, r);
	*out = r;
	return 0;
}

static void on_closed(struct timer *t)
{
	struct resolver *r = container_of(t, struct resolver, timer);
	struct link *l;

	while ((l = list_pop(&r->names))) {
		struct name *n = container_of(l, struct name, due);

		free(n);
	}
	hosts_file_deinit(&r->hosts);
	map_deinit(&r->map);
	map_deinit(&r->refused);
	free(r);
}

void resolver_close(struct resolver *r)
{
	if (!r)
		return;
	r->closing = true;
	addresses_serve(r->options.addresses, NULL, NULL, NULL);
	dns_channel_close(r->channel);
	timer_close(&r->timer, on_closed);
}

void resolver_facts(const struct resolver *r, struct resolver_facts *out)
{
	*out = r->facts;
	out->names = r->map.count;
	list_for_each(it, &r->names)
	{
		const struct name *n = container_of(it, struct name, due);

		out->stale += n->known && n->failures > 0;
		out->unresolved += n->published && !n->known;
	}
}
