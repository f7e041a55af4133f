#include "data-plane/proxy/proxy.h"

#include "data-plane/proxy/request_internal.h"

static uint64_t lengths_of(const struct plugin_type *const *types)
{
	uint64_t lengths = 0;

	for (; types && *types; types++)
		for (const char *const *own = (*types)->own_fields; own && *own; own++)
			if (strlen(*own) < PROXY_OWN_SHORT)
				lengths |= UINT64_C(1) << strlen(*own);
	return lengths;
}

int proxy_init(struct proxy *p, const struct proxy_options *o, struct err *e)
{
	const struct upstream_pool_options pool = {
		.loop = o->loop,
		.max_idle = o->pool_size,
		.idle_ms = o->pool_idle_ms,
		.max_requests = o->pool_requests,
		.max_connections = o->upstream_connections,
	};

	memset(p, 0, sizeof(*p));
	p->options = *o;
	p->own_lengths = lengths_of(o->plugins);
	buf_init(&p->scratch, 0);
	buf_init(&p->spare_body, 0);
	route_stats_init(&p->routes, o->stats, o->max_routes);
	if (request_ids_init(&p->ids, e) != 0)
		return -1;
	p->matcher = route_matcher_create();
	if (!p->matcher)
		return err_memory(e, "matching routes");
	return upstream_pool_create(&p->pool, &pool, e);
}

void proxy_deinit(struct proxy *p)
{
	upstream_pool_free(p->pool);
	route_matcher_free(p->matcher);
	route_stats_deinit(&p->routes);
	buf_deinit(&p->scratch);
	buf_deinit(&p->spare_body);
	p->pool = NULL;
	p->matcher = NULL;
}

void proxy_turn(struct proxy *p)
{
	p->turn++;
}

/* Kong's texts. */
static const struct {
	unsigned status;
	const char *body;
} error_bodies[] = {
	{400, "{\"message\":\"Bad request\"}"},
	{408, "{\"message\":\"Request timeout\"}"},
	{413, "{\"message\":\"Payload too large\"}"},
	{414, "{\"message\":\"URI too long\"}"},
	{431, "{\"message\":\"Request header or cookie too large\"}"},
	{503, "{\"message\":\"Service unavailable\"}"},
};

struct str proxy_error_body(unsigned status, struct str *content_type, void *arg)
{
	struct proxy *p = arg;

	stats_request(p->options.stats, status);
	*content_type = STR("application/json; charset=utf-8");
	for (size_t i = 0; i < array_len(error_bodies); i++)
		if (error_bodies[i].status == status)
			return str_from(error_bodies[i].body);
	return STR("{\"message\":\"An unexpected error occurred\"}");
}

void proxy_rejected(const char *reason, void *arg)
{
	struct proxy *p = arg;

	stats_rejected(p->options.stats, reason);
}

void proxy_refused(struct exchange *x, unsigned status, size_t bytes, void *arg)
{
	request_account_refused(arg, x, status, bytes);
}

bool proxy_overloaded(void *arg)
{
	struct proxy *p = arg;

	return memory_guard_is_tight(&p->options.edge->memory);
}
