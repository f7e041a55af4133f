/* What a worker is made of, from its loop to its listening sockets, and how it lets clients in. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "data-plane/plugins/plugins.h"
#include "data-plane/worker_internal.h"

enum { RECOUNT_MS = 50 }; /* at the connection limit, connections are counted so often */

/* --- handshakes --- */

static void on_handshake(enum tls_outcome outcome, enum tls_failure why, void *arg)
{
	struct worker *w = arg;

	stats_handshake(w->all->conf.stats, outcome, why);
}

/* SL-07. */
static int on_hello(SSL *ssl, void *arg)
{
	struct worker *w = arg;

	switch (hello_queue_ask(&w->hellos, ssl)) {
	case HELLO_GO:
		return SSL_CLIENT_HELLO_SUCCESS;
	case HELLO_WAIT:
		return SSL_CLIENT_HELLO_RETRY;
	default:
		stats_rejected(w->all->conf.stats, "SL-07");
		conn_close(conn_of_ssl(ssl));
		return SSL_CLIENT_HELLO_ERROR;
	}
}

static int on_unknown(SSL *ssl, void *arg)
{
	struct worker *w = arg;

	return held_hello(&w->held, ssl) == HELD_WAIT ? SSL_CLIENT_HELLO_RETRY
						      : SSL_CLIENT_HELLO_SUCCESS;
}

static void on_wish_event(enum wish_event event, void *arg)
{
	struct worker *w = arg;

	stats_on_demand(w->all->conf.stats, event);
}

static void on_validation(const unsigned char challenge_id[CHALLENGE_ID_SIZE], void *arg)
{
	struct worker *w = arg;

	hits_add(&w->hits, challenge_id);
	stats_challenge_hit(w->all->conf.stats);
}

static void on_staple(bool sent, void *arg)
{
	struct worker *w = arg;

	stats_staple(w->all->conf.stats, sent);
}

static void on_complete(SSL *ssl, bool resumed, void *arg)
{
	struct worker *w = arg;

	hello_queue_done(&w->hellos, ssl, resumed);
	held_done(&w->held, ssl);
}

/* --- accepting --- */

static size_t count_conns(const struct worker *w)
{
	size_t n = 0;

	list_for_each(it, &w->conns) n++;
	return n;
}

/* Counting costs a walk: it is done when as many were accepted as could fill the limit, and then
 * not more often than every RECOUNT_MS. */
static bool is_full(struct worker *w)
{
	uint64_t now;

	if (w->accepted < w->all->max_per_worker)
		return false;
	now = clock_mono_ns();
	if (now - w->counted_ns < RECOUNT_MS * 1000000ULL)
		return true;
	w->counted_ns = now;
	w->accepted = count_conns(w);
	return w->accepted >= w->all->max_per_worker;
}

static int on_accept(struct listener *l, struct conn_options *o, void *arg)
{
	struct port *p = arg;
	struct worker *w = p->worker;
	struct err e = ERR_INIT;

	(void)l;
	if (is_full(w)) {
		stats_refused(w->all->conf.stats);
		return -1;
	}
	if (p->is_stream)
		stream_accept(&p->stream, o);
	else if (http_server_accept(&p->http, o, &e) != 0)
		return -1;
	if (admission_accept(&w->admission, o, p->entry->proxy_protocol) != 0)
		return -1;
	o->tls = p->tls ? tls_ctx_ssl(p->tls) : NULL;
	o->on_tls_failed = o->tls ? tls_ctx_conn_failed : NULL;
	o->handshake_timeout_ms = w->all->conf.config->ssl_handshake_timeout;
	o->group = &w->conns;
	w->accepted++;
	w->accepted_total++;
	return 0;
}

static void on_conn(struct listener *l, struct conn *c, const struct err *e, void *arg)
{
	struct port *p = arg;

	(void)l;
	if (c) {
		admission_conn(&p->worker->admission, c, p->entry->proxy_protocol);
		return;
	}
	stats_refused(p->worker->all->conf.stats);
	log_warn("connection not accepted", log_err(e));
}

/* --- making --- */

static int make_tls(struct worker *w, bool http2, struct err *e)
{
	const struct workers_conf *conf = &w->all->conf;
	struct tls_profile profile;
	const struct tls_ctx_options o = {
		.tables = conf->tables,
		.parsed = w->parsed,
		.tickets = w->tickets,
		.cert_file = conf->config->ssl_cert,
		.key_file = conf->config->ssl_cert_key,
		.profile = &profile,
		.http2 = http2,
		.on_hello = on_hello,
		.on_unknown = conf->config->on_demand ? on_unknown : NULL,
		.on_handshake = on_handshake,
		.on_validation = on_validation,
		.on_staple = on_staple,
		.on_complete = on_complete,
		.arg = w,
	};

	dp_config_profile(conf->config, &profile);
	return w->tls[http2] ? 0 : tls_ctx_create(&w->tls[http2], &o, e);
}

static struct http_limits limits_of(const struct dp_config *c)
{
	return (struct http_limits){
		.request_line = c->client_request_line_size,
		.field = c->client_header_size,
		.head = c->client_headers_size,
		.fields = (unsigned)c->client_headers_max,
		.body = c->client_max_body_size,
		.requests_per_connection = (unsigned)c->keepalive_requests,
		.streams = (unsigned)c->http2_max_concurrent_streams,
		.head_ms = c->client_header_timeout,
		.body_idle_ms = c->client_body_timeout,
		.idle_ms = c->keepalive_timeout,
		.write_idle_ms = c->send_timeout,
	};
}

/* fd: a socket that listens already, taken over; -1: a new one. */
static int open_port(struct worker *w, const struct listen_entry *entry, int fd, bool is_stream,
		     struct err *e)
{
	struct port *p = &w->ports[w->port_count];
	struct listener_options o = {.entry = *entry,
				     .on_accept = on_accept,
				     .on_conn = on_conn,
				     .arg = p,
				     .inherited = fd >= 0,
				     .fd = fd};

	o.entry.reuseport = true; /* each worker has a socket of its own */
	p->worker = w;
	p->entry = entry;
	http_server_init(&p->http, &proxy_handler, &w->proxy);
	p->http.manual_window = true;
	p->http.manual_continue = true;
	if (tokens_show(&w->all->edge.tokens, TOKEN_SERVER))
		p->http.server_header = "cardea/" CARDEA_VERSION;
	p->http.limits = limits_of(w->all->conf.config);
	p->http.http2 = entry->http2;
	p->http.error_body = proxy_error_body;
	p->http.on_rejected = proxy_rejected;
	p->http.on_refused = proxy_refused;
	p->http.overloaded = proxy_overloaded;
	if (entry->ssl && make_tls(w, entry->http2, e) != 0) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	p->tls = entry->ssl ? w->tls[entry->http2] : NULL;
	p->is_stream = is_stream;
	p->stream = (struct stream_port){&w->streams, p->tls ? tls_ctx_ssl(p->tls) : NULL};
	if (listener_start(&p->listener, &w->loop, &o, e) != 0)
		return -1;
	p->fd = listener_fd(p->listener);
	w->port_count++;
	return 0;
}

static void on_origin(enum origin_event event, void *arg)
{
	struct worker *w = arg;

	stats_origin(w->all->conf.stats, event);
}

static int open_origins(struct worker *w, struct err *e)
{
	struct origin_tls_options o;

	dp_config_origins(w->all->conf.config, &o);
	o.tables = w->all->conf.tables;
	o.on_event = on_origin;
	o.arg = w;
	return origin_tls_cache_create(&w->origins, &o, e);
}

static int open_targets(struct worker *w, struct err *e)
{
	struct backends *b = w->all->conf.backends;

	return b ? backends_targets(&w->targets, b, &w->loop, e) : 0;
}

static int open_proxy(struct worker *w, struct err *e)
{
	const struct workers_conf *conf = &w->all->conf;
	const struct dp_config *c = conf->config;
	const struct proxy_options o = {
		.targets = w->targets,
		.tables = conf->tables,
		.hits = &w->hits,
		.stats = conf->stats,
		.loop = &w->loop,
		.origins = w->origins,
		.edge = &w->all->edge,
		.number = w->number,
		.max_routes = (size_t)c->metrics_max_routes,
		.plugins = plugin_types,
		.pool_size = (unsigned)c->upstream_keepalive_pool_size,
		.pool_requests = (unsigned)c->upstream_keepalive_max_requests,
		.pool_idle_ms = c->upstream_keepalive_idle_timeout,
		.upstream_connections = (unsigned)c->upstream_max_connections,
		.body_buffer = c->client_body_buffer_size,
		.body_idle_ms = c->client_body_timeout,
		.answer_buffer = c->response_buffer_size,
		.tunnel_idle_ms = c->tunnel_idle_timeout,
	};

	return proxy_init(&w->proxy, &o, e);
}

static int open_revocation(struct worker *w, struct err *e)
{
	const struct dp_config *c = w->all->conf.config;
	const struct revocation_options o = {
		.loop = &w->loop,
		.allow_private = c->revocation_allow_private,
		.max_bytes = c->revocation_max_size,
	};

	return revocation_create(&w->revocation, &o, e);
}

static int open_held(struct worker *w, struct err *e)
{
	const struct dp_config *c = w->all->conf.config;
	const struct held_options o = {
		.tables = w->all->conf.tables,
		.board = c->on_demand ? w->all->conf.wishes : NULL,
		.loop = &w->loop,
		.max = (unsigned)c->on_demand_held_max,
		.hold_ms = c->on_demand_hold,
		.count = on_wish_event,
		.arg = w,
	};

	return held_init(&w->held, &o, e);
}

static int inherited(const struct worker *w, const struct listen_entry *entry)
{
	struct sockets *s = w->all->conf.sockets;

	return s ? sockets_take(s, &entry->addr) : -1;
}

static int open_streams(struct worker *w, struct err *e)
{
	const struct dp_config *c = w->all->conf.config;
	const struct stream_options o = {
		.tables = w->all->conf.tables,
		.loop = &w->loop,
		.targets = w->proxy.options.targets,
		.origins = w->proxy.options.origins,
		.idle_ms = c->tunnel_idle_timeout,
		.edge = &w->all->edge,
		.number = w->number,
		.stats = w->all->conf.stats,
		.routes = &w->proxy.routes,
	};

	stream_server_init(&w->streams, &o);
	for (size_t i = 0; i < c->stream_listen.count; i++)
		if (open_port(w, &c->stream_listen.entries[i],
			      inherited(w, &c->stream_listen.entries[i]), true, e) != 0)
			return -1;
	return 0;
}

int worker_open(struct worker *w, const unsigned char *ticket_fallback, struct err *e)
{
	const struct workers_conf *conf = &w->all->conf;
	const struct listen_list *listen = &conf->config->proxy_listen;

	if (loop_init(&w->loop, e) != 0)
		return -1;
	w->loop_made = true;
	timer_init(&w->drain, &w->loop, worker_on_drain_check);
	uv_prepare_init(&w->loop.uv, &w->prepare);
	uv_prepare_start(&w->prepare, worker_on_prepare);
	hits_init(&w->hits, conf->sync, conf->on_hits, conf->arg);
	w->admission = (struct admission){w->all->edge.trusted, w->all->edge.limits,
					  &w->all->edge.memory, conf->stats};
	if (hello_queue_init(&w->hellos, (unsigned)conf->config->ssl_handshakes_at_once,
			     (unsigned)conf->config->ssl_handshakes_waiting, e) != 0 ||
	    open_held(w, e) != 0)
		return -1;
	if (open_origins(w, e) != 0 || open_targets(w, e) != 0 || open_proxy(w, e) != 0 ||
	    open_revocation(w, e) != 0)
		return -1;
	if (parsed_cache_create(&w->parsed, (size_t)conf->config->cert_cache_size, e) != 0 ||
	    ticket_keys_create(&w->tickets, conf->tables, ticket_fallback, e) != 0)
		return -1;
	for (size_t i = 0; i < listen->count; i++)
		if (open_port(w, &listen->entries[i], inherited(w, &listen->entries[i]), false,
			      e) != 0)
			return -1;
	return open_streams(w, e);
}

static int open_leftovers(struct workers *all, const struct listen_list *listen, bool is_stream,
			  struct err *e)
{
	size_t next = 0;

	for (size_t i = 0; i < listen->count; i++) {
		const struct listen_entry *entry = &listen->entries[i];

		for (int fd; (fd = inherited(all->items[0], entry)) >= 0; next++) {
			struct worker *w = all->items[next % all->count];

			if (w->port_count == WORKER_PORTS_MAX)
				close(fd);
			else if (open_port(w, entry, fd, is_stream, e) != 0)
				return -1;
		}
	}
	return 0;
}

int workers_open_leftovers(struct workers *all, struct err *e)
{
	const struct dp_config *c = all->conf.config;

	return open_leftovers(all, &c->proxy_listen, false, e) != 0
		       ? -1
		       : open_leftovers(all, &c->stream_listen, true, e);
}

void worker_close(struct worker *w)
{
	for (size_t i = 0; i < w->port_count; i++) {
		if (w->ports[i].listener)
			listener_close(w->ports[i].listener, NULL, NULL);
		w->ports[i].listener = NULL;
	}
	if (w->loop_made) {
		proxy_deinit(&w->proxy);
		targets_free(w->targets);
		if (w->revocation)
			revocation_close(w->revocation, NULL, NULL);
		timer_close(&w->drain, NULL);
		held_close(&w->held);
		uv_close((uv_handle_t *)&w->prepare, NULL);
		loop_deinit(&w->loop);
	}
	w->loop_made = false;
	held_deinit(&w->held);
	origin_tls_cache_free(w->origins);
	for (size_t i = 0; i < array_len(w->tls); i++)
		tls_ctx_free(w->tls[i]);
	ticket_keys_free(w->tickets);
	parsed_cache_free(w->parsed);
}
