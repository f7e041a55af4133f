/* What is true now: for the status listener and metrics. */
#include <stdio.h>

#include "common/core/clock.h"
#include "data-plane/daemon_internal.h"

static bool is_connected(const struct daemon *d)
{
	return d->client && sync_client_connected(d->client);
}

uint64_t daemon_stale_seconds(struct daemon *d)
{
	uint64_t now = clock_mono_ns();

	if (is_connected(d))
		d->connected_ns = now;
	return (now - d->connected_ns) / 1000000000ULL;
}

static const char *stream_problem(const struct daemon *d)
{
	return d->client ? sync_client_problem(d->client) : "no control plane is configured";
}

static const char *not_ready(struct daemon *d)
{
	if (d->state == DAEMON_SERVING)
		return NULL;
	if (d->state >= DAEMON_DRAINING)
		return "draining";
	snprintf(d->why_not_ready, sizeof(d->why_not_ready),
		 "no configuration yet: none in the cache, and no control plane has sent one%s%s",
		 stream_problem(d)[0] ? ": " : "", stream_problem(d));
	return d->why_not_ready;
}

void daemon_facts(struct status_facts *out, void *arg)
{
	struct daemon *d = arg;
	struct workers_facts workers;

	serving_facts(&d->serving, &workers);
	*out = (struct status_facts){
		.node_id = d->node_id,
		.epoch = apply_epoch(d->apply),
		.revision = apply_revision(d->apply),
		.not_ready = not_ready(d),
		.connected = is_connected(d),
		.problem = stream_problem(d),
		.stale_seconds = daemon_stale_seconds(d),
		.connections = workers.connections,
		.certificates = atomic_load(&d->tables->certs.certs.count),
		.names = atomic_load(&d->tables->certs.names.count),
	};
	out->others[CHANGE_ROUTE] = atomic_load(&d->tables->routes.routes.count);
	for (unsigned k = CHANGE_SERVICE; k < CHANGE_KINDS; k++)
		out->others[k] = atomic_load(&d->tables->entities.kinds[k - CHANGE_SERVICE].count);
}

void daemon_render(void *arg)
{
	struct daemon *d = arg;
	struct stats *s = &d->stats;
	struct status_facts f;
	struct cache_stats c = {0};

	daemon_facts(&f, d);
	if (d->cache)
		cache_stats(d->cache, &c);
	stats_set(s, STATS_REVISION, (double)f.revision);
	stats_set(s, STATS_CONNECTED, f.connected);
	stats_set(s, STATS_STALE_SECONDS, (double)f.stale_seconds);
	stats_set(s, STATS_READY, f.not_ready == NULL);
	stats_set(s, STATS_CERTIFICATES, (double)f.certificates);
	stats_set(s, STATS_NAMES, (double)f.names);
	stats_set(s, STATS_CHALLENGES, (double)atomic_load(&d->tables->challenges.live.count));
	stats_set(s, STATS_TICKET_SECRETS, (double)atomic_load(&d->tables->tickets.secrets.count));
	stats_set(s, STATS_CONNECTIONS, (double)f.connections);
	stats_set(s, STATS_CACHE_COMMITS, (double)c.commits);
	stats_set(s, STATS_CACHE_REWRITES, (double)c.rewrites);
	stats_set(s, STATS_CACHE_FAILED, (double)c.failed);
	stats_set(s, STATS_CACHE_BYTES, (double)c.size);
	stats_set(s, STATS_CACHE_BEHIND, c.behind);
	backends_render(d->backends, s);
	stats_set(s, STATS_ON_DEMAND_ASKED, (double)on_demand_asked(&d->on_demand));
	stats_set(s, STATS_KONG_CONNECTED, f.connected);
	watch_render(&d->watch);
	if (d->suspects) {
		stats_set(s, STATS_ON_TRIAL, (double)suspects_on_trial(d->suspects));
		stats_set(s, STATS_REFUSED, (double)suspects_refused(d->suspects));
	}
}
