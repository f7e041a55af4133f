/* Happy path: on_peek sees that nothing came, makes the session, and finds a route by addresses, or
 * reads the ClientHello and finds one by name; conn_peeked; on_open; a target; its connection;
 * tunnel_start; on_end.
 * Failure paths: broken TLS: OpenSSL answers on a listener with ssl; no route: aborted; a target
 * that does not answer: the next, as the service's retries say; the client goes: everything goes.
 */
#include "data-plane/proxy/stream.h"

#include <stdlib.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "common/core/sm.h"
#include "data-plane/proxy/stream_account.h"
#include "data-plane/proxy/tunnel.h"
#include "data-plane/tables/plugin.h"
#include "data-plane/tables/stream_match.h"
#include "data-plane/tls/hello.h"

enum { TRIED_MAX = 8 }; /* targets that are remembered as tried */

enum stream_state {
	STREAM_PEEKING,
	STREAM_OPENING, /* on_open of the client is to come, after TLS perhaps */
	STREAM_PICKING,
	STREAM_CONNECTING,
	STREAM_COPYING,
	STREAM_ENDING, /* the last on_close is to come */
	STREAM_STATES,
};

static const struct sm_state states[STREAM_STATES] = {
	[STREAM_PEEKING] = {"peeking", SM_TO(STREAM_OPENING) | SM_TO(STREAM_ENDING)},
	[STREAM_OPENING] = {"opening", SM_TO(STREAM_PICKING) | SM_TO(STREAM_ENDING)},
	[STREAM_PICKING] = {"picking", SM_TO(STREAM_CONNECTING) | SM_TO(STREAM_ENDING)},
	[STREAM_CONNECTING] = {"connecting", SM_TO(STREAM_PICKING) | SM_TO(STREAM_COPYING) |
						     SM_TO(STREAM_ENDING)},
	[STREAM_COPYING] = {"copying", 0},
	[STREAM_ENDING] = {"ending", 0},
};
static const struct sm stream_sm = {"stream", states, STREAM_STATES};

struct stream {
	struct stream_server *server;
	struct stream_port *port;
	enum stream_state state;
	struct conn *client, *upstream; /* NULL: not there */
	struct hello_reader reader;
	struct hello hello;
	unsigned char route[ROUTE_ID_SIZE], service[ENTITY_ID_SIZE];
	struct arena arena; /* what a pick points to */
	struct target_waiter waiter;
	bool waits;
	struct target_pick pick;
	bool picked; /* targets_done is owed */
	struct target_pick tried[TRIED_MAX];
	size_t tried_count;
	unsigned retries;
	uint64_t connect_ms, picked_at;
	char proxy_header[PROXY_WRITTEN_MAX]; /* for the upstream */
	struct stream_facts facts;
};

static const struct conn_events client_events, upstream_events;

static void stream_move(struct stream *s, enum stream_state to)
{
	s->state = (enum stream_state)sm_move(&stream_sm, s->state, to, NULL);
}

/* --- the end --- */

static void pick_done(struct stream *s, enum target_outcome o)
{
	if (!s->picked)
		return;
	s->picked = false;
	targets_done(s->server->options.targets, &s->pick, o, 0,
		     uv_now(&s->server->options.loop->uv) - s->picked_at);
}

static void stream_free(struct stream *s)
{
	if (s->hello.sni_len > 0)
		s->facts.sni = (struct str){s->hello.sni, s->hello.sni_len};
	s->facts.upstream = s->pick.addr;
	stream_account(&s->server->options, &s->facts);
	s->server->count--;
	pick_done(s, TARGET_ABANDONED);
	hello_reader_deinit(&s->reader);
	arena_deinit(&s->arena);
	free(s);
}

/* Both connections go; s goes with the last. */
static void stream_end(struct stream *s, enum stream_outcome outcome, const struct err *why)
{
	if (s->state == STREAM_ENDING)
		return;
	if (why && s->client) {
		char from[ADDR_TEXT_SIZE];

		addr_text(&s->facts.client, from, sizeof(from));
		log_info("stream not served", log_str("client", from),
			 log_strn("sni", s->hello.sni, s->hello.sni_len), log_err(why));
	}
	stream_move(s, STREAM_ENDING);
	s->facts.outcome = outcome;
	if (s->waits)
		targets_forget(&s->waiter);
	s->waits = false;
	if (s->client)
		conn_abort(s->client);
	if (s->upstream)
		conn_abort(s->upstream);
	if (!s->client && !s->upstream)
		stream_free(s);
}

static void end_because(struct stream *s, enum stream_outcome outcome, enum err_kind kind,
			const char *why)
{
	struct err e = ERR_INIT;

	err_set(&e, kind, "%s", why);
	stream_end(s, outcome, &e);
}

/* --- routing --- */

/* A name as long as the stream lives; without memory, none. */
static struct str kept(struct stream *s, struct str name)
{
	return name.len > 0 ? arena_str(&s->arena, name) : STR_NONE;
}

static bool find_route(struct stream *s, unsigned protocols, unsigned *got)
{
	const struct tables *t = s->server->options.tables;
	const struct stream_request q = {
		.protocols = protocols,
		.source = conn_peer(s->client),
		.destination = conn_local(s->client),
		.sni = {s->hello.sni, s->hello.sni_len},
	};
	const struct route *r = stream_match(&t->routes, tables_enter(t), &q);

	if (!r || !r->action.service)
		return false;
	memcpy(s->route, r->id, sizeof(s->route));
	memcpy(s->service, r->action.service, sizeof(s->service));
	*got = r->action.protocols & protocols;
	s->facts.route = kept(s, r->action.name);
	s->facts.protocol = *got & PROTOCOL_TLS_PASSTHROUGH ? "tls_passthrough"
			    : *got & PROTOCOL_TLS	    ? "tls"
							    : "tcp";
	return true;
}

static void go_on(struct stream *s, SSL_CTX *tls)
{
	struct err e = ERR_INIT;

	if (conn_peeked(s->client, 0, tls, &e) != 0)
		stream_end(s, STREAM_LEFT, &e);
	else
		stream_move(s, STREAM_OPENING);
}

static void route_by_name(struct stream *s)
{
	unsigned got, wanted = PROTOCOL_TLS_PASSTHROUGH | (s->port->tls ? PROTOCOL_TLS : 0);

	if (!find_route(s, wanted, &got))
		end_because(s, STREAM_NO_ROUTE, ERR_NOT_FOUND, "no stream route");
	else
		go_on(s, got & PROTOCOL_TLS_PASSTHROUGH ? NULL : s->port->tls);
}

static void read_hello(struct stream *s, struct str bytes)
{
	struct err e = ERR_INIT;

	switch (hello_read(&s->reader, bytes, &s->hello, &e)) {
	case HELLO_MORE:
		return;
	case HELLO_DONE:
		route_by_name(s);
		break;
	case HELLO_BAD:
		/* With the alert that it deserves, where TLS is offered. */
		if (s->port->tls && e.kind == ERR_INVALID)
			go_on(s, s->port->tls);
		else
			stream_end(s, STREAM_NO_ROUTE, &e);
		break;
	}
	hello_reader_deinit(&s->reader);
}

static struct stream *stream_make(struct stream_port *p, struct conn *client)
{
	struct stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->server = p->server;
	s->port = p;
	s->client = client;
	s->server->count++;
	s->facts.started_ns = clock_mono_ns();
	s->facts.client = *conn_peer(client);
	s->facts.peer = *conn_tcp_peer(client);
	hello_reader_init(&s->reader);
	arena_init(&s->arena, 0);
	conn_set_events(client, &client_events, s);
	return s;
}

/* Nothing came yet: a tcp route is known by addresses, and its client may wait for the upstream to
 * speak first. */
static void begin(struct stream_port *p, struct conn *c)
{
	struct stream *s = stream_make(p, c);
	struct err e = ERR_INIT;
	unsigned got;

	if (!s) {
		err_memory(&e, "a stream");
		conn_fail(c, &e);
	} else if (!p->tls && find_route(s, PROTOCOL_TCP, &got)) {
		go_on(s, NULL);
	}
}

static void on_peek(struct conn *c, struct str bytes, void *arg)
{
	if (bytes.len == 0)
		begin(arg, c);
	else
		read_hello(arg, bytes);
}

/* --- the upstream --- */

static void pick(struct stream *s);

static void on_known(struct target_waiter *w)
{
	struct stream *s = container_of(w, struct stream, waiter);

	s->waits = false;
	pick(s);
}

static int make_origin(struct stream *s, uint64_t generation, const struct service *service,
		       struct origin_tls **out, struct err *e)
{
	const struct entities *t = &s->server->options.tables->entities;
	const struct upstream *u =
		s->pick.has_upstream ? upstream_find(t, generation, s->pick.upstream) : NULL;

	*out = NULL;
	if (service->protocol != SERVICE_TLS)
		return 0;
	if (!s->server->options.origins)
		return err_set(e, ERR_UNAVAILABLE, "no TLS to upstreams");
	return origin_tls_get(out, s->server->options.origins, generation, service, u, s->pick.host,
			      false, e);
}

/* PP-09. */
static struct str proxy_header(struct stream *s)
{
	size_t n = proxy_header_write(s->proxy_header, s->server->options.edge->upstream_proxy,
				      &s->facts.client, conn_local(s->client));

	return (struct str){s->proxy_header, n};
}

static void dial(struct stream *s, uint64_t generation, const struct service *service)
{
	struct conn_options o = {
		.events = &upstream_events,
		.arg = s,
		.handshake_timeout_ms = s->connect_ms,
	};
	struct origin_tls *tls;
	char host[ADDR_TEXT_SIZE];
	struct err e = ERR_INIT;
	int rc;

	stream_move(s, STREAM_CONNECTING);
	s->facts.tries++;
	s->facts.asked_ns = clock_mono_ns();
	if (make_origin(s, generation, service, &tls, &e) != 0) {
		stream_end(s, STREAM_NO_UPSTREAM, &e);
		return;
	}
	if (tls) {
		o.tls = tls->ctx;
		o.server_name = tls->name;
	}
	o.preamble = proxy_header(s);
	addr_ip_text(&s->pick.addr, host, sizeof(host));
	rc = conn_connect(&s->upstream, s->server->options.loop, host, addr_port(&s->pick.addr), &o,
			  &e);
	if (tls && rc == 0)
		origin_tls_offer(tls, conn_ssl(s->upstream), &s->pick.addr);
	if (tls)
		origin_tls_unref(&tls);
	if (rc != 0) {
		s->upstream = NULL;
		stream_end(s, STREAM_NO_UPSTREAM, &e);
	}
}

static const char *refusal(enum pick_result r)
{
	switch (r) {
	case PICK_UNRESOLVED:
		return "name resolution failed";
	case PICK_DENIED:
		return "the upstream's address is not allowed";
	case PICK_MEMORY:
		return "out of memory";
	default:
		return "no healthy target";
	}
}

static void pick_of(struct stream *s, uint64_t generation, const struct service *service)
{
	static const struct http_request none;
	const struct target_request q = {
		.generation = generation,
		.service = service,
		.request = &none,
		.client = conn_peer(s->client),
	};
	enum pick_result rc = targets_pick(s->server->options.targets, &q, s->tried, s->tried_count,
					   &s->arena, &s->pick, &s->waiter);

	switch (rc) {
	case PICK_OK:
		s->picked = true;
		s->picked_at = uv_now(&s->server->options.loop->uv);
		dial(s, generation, service);
		return;
	case PICK_WAIT:
		s->waiter.on_known = on_known;
		s->waits = true;
		return;
	default:
		end_because(s, STREAM_NO_UPSTREAM, ERR_UNAVAILABLE, refusal(rc));
	}
}

static void pick(struct stream *s)
{
	const struct tables *t = s->server->options.tables;
	uint64_t generation = tables_enter(t);
	const struct service *service = service_find(&t->entities, generation, s->service);

	if (!service || !service->enabled) {
		end_because(s, STREAM_NO_ROUTE, ERR_NOT_FOUND, "the route's service is gone");
		return;
	}
	s->retries = service->retries;
	s->connect_ms = service->connect_ms;
	if (!s->facts.stats) {
		s->facts.service = kept(s, service->name);
		s->facts.stats = route_stats_get(s->server->options.routes, s->route,
						 s->facts.route, s->service, service->name);
	}
	pick_of(s, generation, service);
}

static void on_tunnel_end(struct tunnel *t, const struct tunnel_end *end, void *arg)
{
	struct stream *s = arg;

	(void)t;
	s->client = s->upstream = NULL;
	s->facts.bytes_in = end->from_client;
	s->facts.bytes_out = end->from_upstream;
	s->facts.outcome = end->why.kind == ERR_NONE ? STREAM_SERVED : STREAM_BROKEN;
	pick_done(s, TARGET_SUCCESS);
	stream_free(s);
}

static void on_upstream_open(struct conn *c, void *arg)
{
	struct stream *s = arg;
	const struct tunnel_options o = {
		.idle_ms = s->server->options.idle_ms, .on_end = on_tunnel_end, .arg = s};
	struct err e = ERR_INIT;
	struct tunnel *t;
	SSL *tls = conn_ssl(s->client);

	origin_tls_opened(conn_ssl(c));
	s->facts.connected_ns = clock_mono_ns();
	s->facts.tls = tls ? SSL_get_version(tls) : NULL;
	if (tunnel_start(&t, s->client, STR_NONE, c, STR_NONE, &o, &e) != 0)
		stream_end(s, STREAM_NO_UPSTREAM, &e);
	else
		stream_move(s, STREAM_COPYING);
}

static void on_upstream_close(struct conn *c, const struct err *why, void *arg)
{
	struct stream *s = arg;

	(void)c;
	s->upstream = NULL;
	if (s->state == STREAM_ENDING) {
		if (!s->client)
			stream_free(s);
		return;
	}
	pick_done(s, why->kind == ERR_TIMEOUT ? TARGET_TIMEOUT : TARGET_TCP_FAILURE);
	if (s->facts.tries > s->retries) {
		stream_end(s, STREAM_NO_UPSTREAM, why);
		return;
	}
	log_info("upstream of a stream failed", log_err(why));
	if (s->tried_count < TRIED_MAX)
		s->tried[s->tried_count++] = s->pick;
	stream_move(s, STREAM_PICKING);
	pick(s);
}

static const struct conn_events upstream_events = {
	.on_open = on_upstream_open,
	.on_close = on_upstream_close,
};

/* --- the client --- */

static void on_client_open(struct conn *c, void *arg)
{
	struct stream *s = arg;

	(void)c;
	stream_move(s, STREAM_PICKING);
	pick(s);
}

static void on_client_close(struct conn *c, const struct err *why, void *arg)
{
	struct stream *s = arg;

	(void)c;
	(void)why;
	s->client = NULL;
	if (s->state != STREAM_ENDING)
		stream_end(s, STREAM_LEFT, NULL);
	else if (!s->upstream)
		stream_free(s);
}

static const struct conn_events client_events = {
	.on_open = on_client_open,
	.on_close = on_client_close,
};

/* Before there is a session: the connection was closed, or there was no memory for one. */
static void on_early_close(struct conn *c, const struct err *why, void *arg)
{
	(void)c;
	(void)why;
	(void)arg;
}

static const struct conn_events early_events = {.on_close = on_early_close};

void stream_server_init(struct stream_server *s, const struct stream_options *o)
{
	memset(s, 0, sizeof(*s));
	s->options = *o;
}

void stream_accept(struct stream_port *p, struct conn_options *o)
{
	o->events = &early_events;
	o->arg = p;
	o->on_peek = on_peek;
}
