#include "data-plane/proxy/route_stats.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/core/codec.h"

void route_stats_init(struct route_stats_cache *c, struct stats *stats, size_t max)
{
	*c = (struct route_stats_cache){.stats = stats, .max = max};
	map_init(&c->by_id);
}

void route_stats_deinit(struct route_stats_cache *c)
{
	while (c->all) {
		struct route_stats *s = c->all;

		c->all = s->next;
		free(s->route);
		free(s->service);
		free(s);
	}
	map_deinit(&c->by_id);
	c->other = NULL;
	c->count = 0;
}

/* The name, or the id as text. */
static char *name_of(struct str name, const unsigned char *id)
{
	char text[UUID_TEXT_SIZE];

	if (name.len > 0 || !id)
		return str_dup(str_sub(name, 0, ROUTE_STATS_NAME_MAX));
	uuid_text(id, text);
	return str_dup(str_from(text));
}

static bool has_name(const char *has, struct str name)
{
	return name.len == 0 || str_eq(str_from(has), str_sub(name, 0, ROUTE_STATS_NAME_MAX));
}

static int make_series(struct route_stats_cache *c, struct route_stats *s)
{
	static const char *const directions[2] = {"ingress", "egress"};
	struct stats *stats = c->stats;

	for (size_t i = 0; i < 2; i++) {
		const char *const labels[] = {s->service, s->route, directions[i], "default", ""};

		s->bytes[i] = metrics_series(stats->route_bytes, labels);
		if (!s->bytes[i])
			return -1;
	}
	for (size_t i = 0; i < ROUTE_LATENCIES; i++) {
		const char *const labels[] = {s->service, s->route, "default"};

		s->latency[i] = metrics_series(stats->route_latency[i], labels);
		if (!s->latency[i])
			return -1;
	}
	return 0;
}

/* Takes over both names. */
static struct route_stats *make(struct route_stats_cache *c, char *route, char *service)
{
	struct route_stats *s = calloc(1, sizeof(*s));

	if (!s || !route || !service) {
		free(s);
		free(route);
		free(service);
		return NULL;
	}
	s->route = route;
	s->service = service;
	s->next = c->all;
	c->all = s;
	c->count++;
	return make_series(c, s) == 0 ? s : NULL;
}

static struct route_stats *other(struct route_stats_cache *c)
{
	if (!c->other)
		c->other = make(c, str_dup(STR("other")), str_dup(STR("other")));
	return c->other;
}

/* One with a new name begins again: requests that still run may hold the old one, which stays. */
struct route_stats *route_stats_get(struct route_stats_cache *c,
				    const unsigned char id[ROUTE_STATS_ID], struct str route,
				    const unsigned char *service_id, struct str service)
{
	struct str key = {(const char *)id, ROUTE_STATS_ID};
	struct route_stats *s;

	if (c->max == 0)
		return NULL;
	s = map_get(&c->by_id, key);
	if (s && has_name(s->route, route) && has_name(s->service, service))
		return s;
	if (c->count >= c->max)
		return other(c);
	s = make(c, name_of(route, id), name_of(service, service_id));
	return s && map_put(&c->by_id, key, s, NULL, NULL) == 0 ? s : NULL;
}

static struct metric_series *code_series(struct route_stats_cache *c, struct route_stats *s,
					 const struct route_outcome *r)
{
	char code[16];
	const char *const labels[] = {
		s->service, s->route, code, r->from_upstream ? "service" : "exit", "default", ""};
	struct metric_series *series;

	for (unsigned i = 0; i < s->code_count; i++)
		if (s->codes[i].status == r->status &&
		    s->codes[i].from_upstream == r->from_upstream)
			return s->codes[i].series;
	snprintf(code, sizeof(code), "%u", r->status);
	series = metrics_series(c->stats->route_requests, labels);
	if (series && s->code_count < ROUTE_CODES)
		s->codes[s->code_count++] =
			(struct route_code){r->status, r->from_upstream, series};
	return series;
}

void route_stats_add(struct route_stats_cache *c, struct route_stats *s,
		     const struct route_outcome *r)
{
	struct metric_series *series = s ? code_series(c, s, r) : NULL;

	if (!s)
		return;
	if (series)
		metric_add(series, 1);
	metric_add(s->bytes[0], r->bytes_in);
	metric_add(s->bytes[1], r->bytes_out);
	metric_observe(s->latency[LATENCY_REQUEST], r->total_ms);
	metric_observe(s->latency[LATENCY_KONG], r->own_ms);
	if (r->upstream_ms >= 0)
		metric_observe(s->latency[LATENCY_UPSTREAM], r->upstream_ms);
}

/* Their series are made when they are needed: most routes are no streams'. */
void route_stats_add_stream(struct route_stats_cache *c, struct route_stats *s,
			    const struct route_outcome *r)
{
	char code[16];
	struct metric_series *series;

	if (!s)
		return;
	const char *const duration[] = {s->service, s->route, "default"};
	const char *const labels[] = {s->service, s->route, code,
				      r->from_upstream ? "service" : "exit", "default"};

	snprintf(code, sizeof(code), "%u", r->status);
	series = metrics_series(c->stats->route_sessions, labels);
	if (!s->duration)
		s->duration = metrics_series(c->stats->route_duration, duration);
	if (series)
		metric_add(series, 1);
	if (s->duration)
		metric_observe(s->duration, r->total_ms);
	metric_add(s->bytes[0], r->bytes_in);
	metric_add(s->bytes[1], r->bytes_out);
}
