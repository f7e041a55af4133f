/* From a head to what is done with it: challenge, route, protocol, plugins. */
#include <stdio.h>

#include "common/http/path.h"
#include "data-plane/proxy/forwarded.h"
#include "data-plane/proxy/request_internal.h"
#include "data-plane/tables/plugin.h"
#include "data-plane/tls/policy.h"

static const char challenge_prefix[] = "/.well-known/acme-challenge/";

struct str request_challenge_token(struct str path)
{
	struct str prefix = str_from(challenge_prefix);

	return str_starts(path, prefix) ? str_sub(path, prefix.len, path.len) : STR_NONE;
}

/* An IPv6 address without its brackets: as the CA's identifier is written (RFC 8738 section 3). */
static struct str challenge_host(struct str host)
{
	if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
		return str_sub(host, 1, host.len - 1);
	return host;
}

bool request_challenge(struct exchange *x, struct proxy *p)
{
	const struct http_request *r = exchange_request(x);
	struct str token = request_challenge_token(r->path);
	const struct tables *t = p->options.tables;
	const struct challenge *c;

	if (token.len == 0 || !(str_eq(r->method, STR("GET")) || str_eq(r->method, STR("HEAD"))))
		return false;
	c = challenges_find(&t->challenges, tables_enter(t), challenge_host(r->host), token);
	if (!c)
		return false;
	hits_add(p->options.hits, c->id);
	stats_challenge_hit(p->options.stats);
	stats_request(p->options.stats, 200);
	request_account_refused(p, x, 200, str_eq(r->method, STR("HEAD")) ? 0 : c->len);
	exchange_reply(x, 200, STR("text/plain"), (struct str){c->key_authorization, c->len}, NULL);
	return true;
}

/* --- who asks --- */

static struct str lower(struct arena *a, struct str s)
{
	char *copy = arena_alloc(a, s.len + 1);

	if (!copy)
		return STR_NONE;
	for (size_t i = 0; i < s.len; i++)
		copy[i] = ascii_lower(s.ptr[i]);
	return (struct str){copy, s.len};
}

static int read_tls(struct request *r, SSL *ssl)
{
	struct str name = str_from(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));

	r->client.tls_version = SSL_get_version(ssl);
	if (!name.ptr)
		return 0;
	if (name.len > 0 && name.ptr[name.len - 1] == '.')
		name.len--;
	r->client.sni = lower(request_arena(r), name);
	return r->client.sni.ptr ? 0 : -1;
}

static int read_client(struct request *r)
{
	struct conn *c = exchange_conn(r->exchange);

	client_read(&r->client, &r->proxy->options.edge->rules, r->head, conn_tcp_peer(c),
		    conn_peer(c), conn_local(c));
	return r->client.tls ? read_tls(r, conn_ssl(c)) : 0;
}

/* The client's share of requests; those of trusted proxies are not a client's. */
static bool is_within_rate(struct request *r)
{
	const struct edge *x = r->proxy->options.edge;
	char text[16];
	unsigned wait;

	if (!x->limits || ip_set_has(x->trusted, &r->client.address))
		return true;
	wait = client_limits_request(x->limits, &r->client.address, r->started_ns);
	if (wait == 0)
		return true;
	snprintf(text, sizeof(text), "%u", wait);
	stats_rejected(r->proxy->options.stats, "client_request_rate");
	/* Without memory for the field the answer is as good. */
	if (request_set_response_field(r, STR("retry-after"),
				       arena_str(request_arena(r), str_from(text))) != 0)
		r->out_of_memory = true;
	request_answer_message(r, 429, STR("API rate limit exceeded"));
	return false;
}

/* TR-12. */
static bool goes_round(struct request *r)
{
	if (!forwarded_loops(r->head))
		return false;
	stats_rejected(r->proxy->options.stats, "TR-12");
	request_answer_message(r, 508, STR("Loop detected"));
	return true;
}

/* TLS-08: the host's rules are those that this connection was made under. */
static bool is_misdirected(struct request *r)
{
	const struct tables *t = r->proxy->options.tables;

	return r->client.tls &&
	       !tls_policy_allows(t, tables_enter(t), conn_ssl(exchange_conn(r->exchange)),
				  r->head->host);
}

/* --- the route --- */

/* What its expression captured, for hash_on. Without memory: nothing. */
static void read_captures(struct request *r, const struct route_entry *entry)
{
	if (entry->regex && route_matcher_captures(r->proxy->matcher, entry->regex, r->path,
						   request_arena(r), &r->captures) != 0)
		r->captures = (struct route_captures){0};
}

static bool find_route(struct request *r)
{
	struct proxy *p = r->proxy;
	const struct tables *t = p->options.tables;
	struct str authority = r->head->authority;
	struct route_request q = {
		.method = r->head->method,
		.path = r->path,
		.host = route_request_host(request_arena(r), authority),
		.tls = r->client.tls,
		.sni = r->client.sni,
		.fields = &r->head->fields,
	};
	struct route_match m;

	r->generation = tables_enter(t);
	if (!routes_match(&t->routes, r->generation, p->matcher, &q, &m))
		return false;
	r->route = m.route;
	memcpy(r->route_id, m.route->id, sizeof(r->route_id));
	r->action = m.route->action;
	r->matched = m.matched;
	read_captures(r, m.entry);
	if (!r->action.service) {
		request_account_route(r);
		return true;
	}
	r->has_service = true;
	memcpy(r->service_id, r->action.service, ENTITY_ID_SIZE);
	r->service = service_find(&t->entities, r->generation, r->service_id);
	request_account_route(r);
	/* A service that is off, or gone: as if the route was not there. */
	if (!r->service || !r->service->enabled)
		return false;
	/* A call may answer before its request has ended. */
	if (r->service->protocol == SERVICE_GRPC || r->service->protocol == SERVICE_GRPCS)
		r->action.request_buffering = false;
	return true;
}

/* The https URL (TR-09): of the validated host and the normal form. */
static int put_location(const struct request *r, struct buf *b, struct err *e)
{
	struct str query = r->head->query;
	size_t from;

	buf_clear(b);
	if (buf_addf(b, e, "https://%.*s", (int)r->client.host.len, r->client.host.ptr) != 0)
		return -1;
	from = b->len;
	if (buf_add_str(b, r->path, e) != 0 || http_path_escape(b, from, e) != 0)
		return -1;
	return query.ptr ? buf_addf(b, e, "?%.*s", (int)query.len, query.ptr) : 0;
}

/* 301, 302, 307, 308 */
static void redirect(struct request *r)
{
	struct buf *b = &r->proxy->scratch;
	struct http_field item = {STR("location"), STR_NONE};
	struct http_fields fields = {&item, 1, 1};

	if (put_location(r, b, NULL) != 0) {
		request_fail(r, 500, "An unexpected error occurred");
		return;
	}
	item.value = buf_str(b);
	request_answer(r, r->action.redirect_status, STR_NONE, STR(""), &fields);
}

static void ask_for_upgrade(struct request *r, struct str to, const char *message)
{
	r->upgrade_hint = to;
	request_answer_message(r, 426, str_from(message));
}

static bool is_https(const struct request *r)
{
	return str_eq(r->client.scheme, STR("https"));
}

static bool is_grpc(const struct request *r)
{
	return str_starts(http_fields_get(&r->head->fields, STR("content-type")),
			  STR("application/grpc"));
}

static void refuse_plain_grpc(struct request *r)
{
	struct http_field items[] = {
		{STR("grpc-status"), STR("1")},
		{STR("grpc-message"), STR("gRPC request matched gRPCs route")}};
	struct http_fields fields = {items, array_len(items), array_len(items)};

	request_answer(r, 200, STR("application/grpc"), STR(""), &fields);
}

/* Whether the route takes this protocol; if not, the request is answered as Kong does. */
static bool check_protocol(struct request *r)
{
	unsigned set = r->action.protocols;

	if ((set & PROTOCOL_HTTPS) && !(set & PROTOCOL_HTTP) && !is_https(r)) {
		if (r->action.redirect_status == 426 || r->client.host.len == 0)
			ask_for_upgrade(r, STR("TLS/1.2, HTTP/1.1"), "Please use HTTPS protocol");
		else
			redirect(r);
		return false;
	}
	if (!(set & (PROTOCOL_GRPC | PROTOCOL_GRPCS)))
		return true;
	if (!is_grpc(r))
		request_answer_message(r, 415, STR("Non-gRPC request matched gRPC route"));
	else if (r->head->version != HTTP_2)
		ask_for_upgrade(r, STR("HTTP/2"), "Please use HTTP2 protocol");
	else if (!(set & PROTOCOL_GRPC) && !is_https(r))
		refuse_plain_grpc(r);
	else
		return true;
	return false;
}

/* The one form of the path that everything from here on looks at (TR-05). */
static int read_path(struct request *r)
{
	struct str as_sent = r->head->path;
	char *normal;

	r->path = as_sent;
	if (http_path_is_normal(as_sent))
		return 0;
	normal = arena_alloc(request_arena(r), as_sent.len);
	if (!normal)
		return -1;
	r->path = (struct str){normal, http_path_normalise(normal, as_sent)};
	return 0;
}

void request_route_it(struct request *r)
{
	if (read_path(r) != 0 || read_client(r) != 0) {
		request_fail(r, 500, "An unexpected error occurred");
	} else if (!is_within_rate(r) || goes_round(r)) {
		return;
	} else if (is_misdirected(r)) {
		request_answer_message(r, 421, STR("Misdirected Request"));
	} else if (!find_route(r)) {
		request_answer_message(r, 404, STR("no Route matched with those values"));
	} else if (check_protocol(r)) {
		request_move(r, REQUEST_PLUGINS);
		request_run_plugins(r);
	}
}

/* --- plugins --- */

static unsigned request_protocol(const struct request *r)
{
	if (is_grpc(r) && r->head->version == HTTP_2)
		return is_https(r) ? PROTOCOL_GRPCS | PROTOCOL_HTTPS
				   : PROTOCOL_GRPC | PROTOCOL_HTTP;
	return is_https(r) ? PROTOCOL_HTTPS | PROTOCOL_WSS : PROTOCOL_HTTP | PROTOCOL_WS;
}

/* Which plugins have instances at all: asked once in a generation. */
static uint32_t plugged(const struct request *r)
{
	struct proxy *p = r->proxy;

	if (p->plugged_generation == r->generation)
		return p->plugged;
	p->plugged = 0;
	for (unsigned kind = 0; kind < PLUGIN_KINDS_MAX && p->options.plugins[kind]; kind++)
		if (plugin_instances(&p->options.tables->entities, r->generation, kind))
			p->plugged |= 1U << kind;
	p->plugged_generation = r->generation;
	return p->plugged;
}

static const struct plugin *instance(const struct request *r, unsigned kind)
{
	const struct plugin *p;

	if (!(plugged(r) >> kind & 1))
		return NULL;
	p = plugin_find(&r->proxy->options.tables->entities, r->generation, kind, r->route_id,
			r->has_service ? r->service_id : NULL, request_consumer(r));

	return p && (p->protocols & request_protocol(r)) ? p : NULL;
}

void request_run_plugins(struct request *r)
{
	const struct plugin_type *const *types = r->proxy->options.plugins;

	for (; types && types[r->plugin_at]; r->plugin_at++) {
		const struct plugin_type *type = types[r->plugin_at];
		const struct plugin *p = type->access ? instance(r, r->plugin_at) : NULL;
		enum plugin_verdict verdict = p ? type->access(r, p->config) : PLUGIN_NEXT;

		if (r->state != REQUEST_PLUGINS || verdict == PLUGIN_ANSWERED)
			return;
		if (verdict == PLUGIN_WAITING) {
			r->plugin_at++;
			return;
		}
	}
	request_proceed(r);
}
