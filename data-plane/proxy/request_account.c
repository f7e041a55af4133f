/* What is written down of a request when it is over: metrics and a line of the access log. One
 * whose connection became a tunnel is over when that ends. */
#include <stdlib.h>

#include "common/core/clock.h"
#include "data-plane/proxy/request_internal.h"

static struct str kept_name(struct request *r, struct str name)
{
	return name.len > 0 ? arena_str(request_arena(r), name) : STR_NONE;
}

/* Names are copied: the entities may be gone when the request ends. */
void request_account_route(struct request *r)
{
	const struct service *s = r->service;

	r->stats = route_stats_get(&r->proxy->routes, r->route->id, r->action.name,
				   s ? s->entity.id : NULL, s ? s->name : STR_NONE);
	if (!r->proxy->options.edge->log)
		return;
	r->route_name = kept_name(r, r->action.name);
	r->service_name = kept_name(r, s ? s->name : STR_NONE);
}

static double ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

static void count_phases(struct request *r, uint64_t now)
{
	struct stats *s = r->proxy->options.stats;
	uint64_t own = (r->sent_ns ? r->sent_ns : now) - r->started_ns;

	stats_phase(s, PHASE_TOTAL, ms(now - r->started_ns) / 1e3);
	stats_phase(s, PHASE_OWN, ms(own) / 1e3);
	if (r->sent_ns && r->connected_ns)
		stats_phase(s, PHASE_CONNECT, ms(r->connected_ns - r->sent_ns) / 1e3);
	if (r->connected_ns && r->answered_ns)
		stats_phase(s, PHASE_FIRST_BYTE, ms(r->answered_ns - r->connected_ns) / 1e3);
}

/* As it is now. */
static struct route_outcome outcome_of(const struct request *r, uint64_t now)
{
	uint64_t waited = r->answered_ns && r->sent_ns ? r->answered_ns - r->sent_ns : 0;

	return (struct route_outcome){
		.status = r->status,
		.from_upstream = r->answered_ns != 0,
		.bytes_in = r->bytes_in,
		.bytes_out = r->bytes_out,
		.total_ms = ms(now - r->started_ns),
		.own_ms = ms((r->sent_ns ? r->sent_ns : now) - r->started_ns),
		.upstream_ms = r->answered_ns ? ms(waited) : -1,
	};
}

static void count(struct request *r, uint64_t now)
{
	const struct route_outcome q = outcome_of(r, now);

	stats_bytes(r->proxy->options.stats, r->bytes_in, r->bytes_out);
	count_phases(r, now);
	if (!r->tunnelled)
		route_stats_add(&r->proxy->routes, r->stats, &q);
}

static void fill_head(struct access_entry *e, const struct http_request *head)
{
	*e = (struct access_entry){
		.method = head->method,
		.target = head->target,
		.host = head->authority,
		.version = head->version,
		.user_agent = http_fields_get(&head->fields, STR("user-agent")),
		.referer = http_fields_get(&head->fields, STR("referer")),
	};
}

/* Borrows from r. */
static void fill_entry(struct access_entry *e, const struct request *r, uint64_t now)
{
	fill_head(e, r->head);
	e->client = &r->client.address;
	e->peer = &r->client.peer;
	e->id = request_id(r);
	e->sni = r->client.sni;
	e->route = r->route_name;
	e->service = r->service_name;
	e->consumer = r->consumer_set ? r->consumer_name : STR_NONE;
	e->tls = r->client.tls_version;
	e->status = r->status;
	e->bytes_in = r->bytes_in;
	e->bytes_out = r->bytes_out;
	e->total_us = (now - r->started_ns) / 1000;
	e->upstream = r->tries > 0 ? &r->pick.addr : NULL;
	e->upstream_status = r->upstream_status;
	e->upstream_us = r->answered_ns ? (r->answered_ns - r->sent_ns) / 1000 : 0;
	e->tries = r->tries;
}

static void write_line(struct request *r, const struct err *why, uint64_t now)
{
	const struct proxy_options *o = &r->proxy->options;
	struct access_entry e;

	fill_entry(&e, r, now);
	e.aborted = why->kind != ERR_NONE;
	access_log_write(o->edge->log, o->number, &e);
}

void request_account(struct request *r, const struct err *why)
{
	uint64_t now = clock_mono_ns();

	count(r, now);
	if (r->proxy->options.edge->log && !r->tunnelled)
		write_line(r, why, now);
}

/* --- tunnels --- */

/* Outlives its request. */
struct request_tunnel {
	struct proxy *proxy;
	struct arena arena;
	struct access_entry entry;
	struct addr client, peer, upstream;
	struct route_stats *stats;
	struct route_outcome outcome;
	uint64_t started_ns;
};

static bool keep(struct request_tunnel *t, struct str *s)
{
	if (!s->ptr)
		return true;
	*s = arena_str(&t->arena, *s);
	return s->ptr != NULL;
}

static bool keep_entry(struct request_tunnel *t)
{
	struct access_entry *e = &t->entry;
	struct str *texts[] = {&e->id,	       &e->method,  &e->target, &e->host,    &e->sni,
			       &e->user_agent, &e->referer, &e->route,	&e->service, &e->consumer};

	t->client = *e->client;
	t->peer = *e->peer;
	e->client = &t->client;
	e->peer = &t->peer;
	if (e->upstream)
		t->upstream = *e->upstream;
	e->upstream = e->upstream ? &t->upstream : NULL;
	for (size_t i = 0; i < array_len(texts); i++)
		if (!keep(t, texts[i]))
			return false;
	return true;
}

struct request_tunnel *request_tunnel_create(struct request *r)
{
	struct request_tunnel *t = calloc(1, sizeof(*t));
	uint64_t now = clock_mono_ns();

	if (!t)
		return NULL;
	t->proxy = r->proxy;
	arena_init(&t->arena, 0);
	t->stats = r->stats;
	t->outcome = outcome_of(r, now);
	t->started_ns = r->started_ns;
	r->proxy->tunnels++;
	if (!r->proxy->options.edge->log)
		return t;
	fill_entry(&t->entry, r, now);
	if (keep_entry(t))
		return t;
	request_tunnel_free(t);
	return NULL;
}

void request_tunnel_free(struct request_tunnel *t)
{
	if (!t)
		return;
	t->proxy->tunnels--;
	arena_deinit(&t->arena);
	free(t);
}

void request_tunnel_end(struct tunnel *tunnel, const struct tunnel_end *end, void *arg)
{
	struct request_tunnel *t = arg;
	const struct proxy_options *o = &t->proxy->options;
	uint64_t took = clock_mono_ns() - t->started_ns;

	(void)tunnel;
	t->outcome.bytes_in += end->from_client;
	t->outcome.bytes_out += end->from_upstream;
	t->outcome.total_ms = ms(took);
	stats_bytes(o->stats, end->from_client, end->from_upstream);
	route_stats_add(&t->proxy->routes, t->stats, &t->outcome);
	if (o->edge->log) {
		t->entry.bytes_in = t->outcome.bytes_in;
		t->entry.bytes_out = t->outcome.bytes_out;
		t->entry.total_us = took / 1000;
		t->entry.aborted = end->why.kind != ERR_NONE;
		access_log_write(o->edge->log, o->number, &t->entry);
	}
	request_tunnel_free(t);
}

/* --- without a request --- */

static const char *tls_version(struct conn *c)
{
	SSL *ssl = conn_ssl(c);

	return ssl ? SSL_get_version(ssl) : NULL;
}

void request_account_refused(struct proxy *p, struct exchange *x, unsigned status, size_t bytes)
{
	struct conn *c = exchange_conn(x);
	struct access_entry e;

	if (!p->options.edge->log)
		return;
	fill_head(&e, exchange_request(x));
	e.client = conn_peer(c);
	e.peer = conn_tcp_peer(c);
	e.tls = tls_version(c);
	e.status = status;
	e.bytes_out = bytes;
	access_log_write(p->options.edge->log, p->options.number, &e);
}
