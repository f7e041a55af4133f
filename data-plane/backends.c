#include "data-plane/backends.h"

#include <stdio.h>
#include <stdlib.h>

#include "data-plane/proxy/address_rules.h"
#include "data-plane/proxy/stats.h"
#include "data-plane/sync/health.h"
#include "data-plane/sync/resolver.h"
#include "data-plane/sync/target_feed.h"
#include "data-plane/tables/addresses.h"
#include "data-plane/tables/health.h"
#include "data-plane/tls/origin.h"

struct backends {
	const struct tables *tables;
	struct addresses addresses;
	struct health_board board;
	struct address_rules *rules;
	struct targets_counters counters;
	struct resolver *resolver;
	struct health *health;
	struct origin_tls_cache *origins; /* of health checks */
	struct target_feed *feed;
	bool connected;
};

static int start_resolver(struct backends *b, struct loop *l, const struct dp_config *c,
			  struct err *e)
{
	const struct resolver_options o = {
		.loop = l,
		.addresses = &b->addresses,
		.tables = b->tables,
		.servers = c->dns_resolver,
		.hosts_file = c->dns_hostsfile,
		.order = c->dns_order ? c->dns_order : "",
		.timeout_ms = c->dns_timeout,
		.valid_ms = c->dns_valid_ttl,
		.min_ms = c->dns_min_ttl,
		.max_ms = c->dns_max_ttl,
		.stale_ms = c->dns_stale_ttl,
		.error_ms = c->dns_error_ttl,
		.not_found_ms = c->dns_not_found_ttl,
		.max_names = (size_t)c->dns_cache_size,
	};

	return resolver_start(&b->resolver, &o, e);
}

static bool is_allowed(const struct addr *a, const void *rules)
{
	return address_rules_allow(rules, a);
}

static int make_origins(struct origin_tls_cache **out, const struct backends *b,
			const struct dp_config *c, struct err *e)
{
	struct origin_tls_options o;

	dp_config_origins(c, &o);
	o.tables = b->tables;
	o.sessions = 0; /* a check is to see what a new client sees */
	return origin_tls_cache_create(out, &o, e);
}

static int check_tls(struct health_tls *out, const struct upstream *u, struct str name, bool http2,
		     const void *origins, struct err *e)
{
	struct origin_tls_cache *const *cache = origins;
	struct origin_tls *t;

	if (origin_tls_get_for_checks(&t, *cache, u, name, http2, e) < 0)
		return -1;
	out->ctx = t->ctx;
	SSL_CTX_up_ref(out->ctx);
	snprintf(out->name, sizeof(out->name), "%s", t->name);
	origin_tls_unref(&t);
	return 0;
}

static int start_health(struct backends *b, const struct backends_options *with, struct err *e)
{
	const struct target_feed_options feed = {
		.loop = with->loop, .send = with->send, .arg = with->arg};
	struct health_options o = {
		.loop = with->loop,
		.tables = b->tables,
		.addresses = &b->addresses,
		.board = &b->board,
		.allowed = is_allowed,
		.rules = b->rules,
		.on_change = target_feed_on_change,
	};

	if (make_origins(&b->origins, b, with->config, e) < 0 ||
	    target_feed_create(&b->feed, &feed, e) < 0)
		return -1;
	o.tls = check_tls;
	o.origins = &b->origins;
	o.arg = b->feed;
	if (health_start(&b->health, &o, e) < 0)
		return -1;
	target_feed_set_health(b->feed, b->health);
	return 0;
}

int backends_create(struct backends **out, const struct backends_options *o, struct err *e)
{
	const struct dp_config *c = o->config;
	struct backends *b = calloc(1, sizeof(*b));

	if (!b)
		return err_memory(e, "starting");
	b->tables = o->tables;
	if (address_rules_create(&b->rules, str_from(c->upstream_allow_private), &c->status_listen,
				 e) < 0) {
		(void)err_prefix(e, "upstream_allow_private");
	} else if (addresses_init(&b->addresses, e) == 0 && health_board_init(&b->board, e) == 0 &&
		   start_health(b, o, e) == 0 && start_resolver(b, o->loop, c, e) == 0) {
		*out = b;
		return 0;
	}
	backends_close(b);
	*out = b; /* the caller frees it when the loop has run */
	return -1;
}

int backends_reload(struct backends *b, const struct dp_config *c, struct err *e)
{
	struct origin_tls_cache *old = b->origins;

	if (make_origins(&b->origins, b, c, e) < 0)
		return -1;
	origin_tls_cache_free(old);
	return 0;
}

int backends_targets(struct targets **out, struct backends *b, struct loop *l, struct err *e)
{
	const struct targets_options o = {
		.tables = b->tables,
		.addresses = &b->addresses,
		.health = &b->board,
		.rules = b->rules,
		.counters = &b->counters,
		.loop = l,
	};

	return targets_create(out, &o, e);
}

void backends_update(struct backends *b, bool connected)
{
	if (connected && !b->connected)
		target_feed_restart(b->feed);
	b->connected = connected;
	resolver_update(b->resolver);
	health_update(b->health);
}

void backends_tick(struct backends *b)
{
	health_update(b->health); /* addresses may have changed */
	live_map_reap(&b->addresses.names);
	live_map_reap(&b->board.marks);
}

void backends_render(const struct backends *b, struct stats *s)
{
	const struct targets_counters *c = &b->counters;
	struct resolver_facts f = {0};
	struct health_facts h = {0};

	if (b->resolver)
		resolver_facts(b->resolver, &f);
	if (b->health)
		health_facts(b->health, &h);
	stats_set(s, STATS_DNS_NAMES, (double)f.names);
	stats_set(s, STATS_DNS_STALE, (double)f.stale);
	stats_set(s, STATS_DNS_UNRESOLVED, (double)f.unresolved);
	stats_set(s, STATS_DNS_LOOKUPS, (double)f.lookups);
	stats_set(s, STATS_DNS_FAILURES, (double)f.failures);
	stats_set(s, STATS_DNS_REFUSED,
		  (double)(f.refused + atomic_load(&b->addresses.refused) +
			   atomic_load(&c->refused)));
	stats_set(s, STATS_TARGETS_UNHEALTHY, (double)h.unhealthy);
	stats_set(s, STATS_TARGETS_CHECKED, (double)h.addresses);
	stats_set(s, STATS_HEALTH_PROBES, (double)h.probes);
	stats_set(s, STATS_HEALTH_PROBE_FAILURES, (double)h.failures);
	stats_set(s, STATS_PICKS_DENIED, (double)atomic_load(&c->denied));
	stats_set(s, STATS_PICKS_UNHEALTHY, (double)atomic_load(&c->unhealthy));
	stats_set(s, STATS_PICKS_PANIC, (double)atomic_load(&c->panics));
	stats_set(s, STATS_PICKS_UNRESOLVED, (double)atomic_load(&c->unresolved));
	stats_set(s, STATS_HEALTH_DROPPED, (double)(h.refused + atomic_load(&b->board.dropped)));
}

void backends_close(struct backends *b)
{
	if (!b)
		return;
	resolver_close(b->resolver);
	health_close(b->health);
	target_feed_close(b->feed);
	b->feed = NULL;
	b->resolver = NULL;
	b->health = NULL;
}

void backends_free(struct backends *b)
{
	if (!b)
		return;
	health_board_deinit(&b->board);
	addresses_deinit(&b->addresses);
	address_rules_free(b->rules);
	origin_tls_cache_free(b->origins);
	free(b);
}
