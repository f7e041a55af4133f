/* The gRPC server that data planes call. */
#include "control-plane/fleet/stream.h"

#include <inttypes.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "common/net/tls.h"
#include "common/pki/cert.h"

enum {
	STREAMS_PER_CONNECTION = 4,
	STATUS_TEXT_SIZE = 16,
	FAREWELL_CHECK_MS = 10,
	FAREWELL_CHECKS = 100,
};

static const char sync_path[] = "/cardea.v1.Fleet/Sync";

static uint64_t now_ms(void)
{
	return clock_mono_ns() / 1000000;
}

/* --- ending a call --- */

/* grpc-message: percent-encoded (gRPC over HTTP/2, "Status-Message"). */
static struct str status_message(struct arena *a, const char *message)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t n = strlen(message);
	char *out = arena_alloc(a, 3 * n + 1);
	size_t len = 0;

	for (size_t i = 0; out && i < n; i++) {
		unsigned char c = (unsigned char)message[i];
		if (c >= 0x20 && c <= 0x7e && c != '%') {
			out[len++] = (char)c;
			continue;
		}
		out[len++] = '%';
		out[len++] = digits[c >> 4];
		out[len++] = digits[c & 15];
	}
	return (struct str){out ? out : "", len};
}

static int add_status(struct http_fields *f, struct arena *a, enum grpc_status status,
		      const char *message)
{
	char *code = arena_alloc(a, STATUS_TEXT_SIZE);

	if (!code)
		return -1;
	snprintf(code, STATUS_TEXT_SIZE, "%d", (int)status);
	if (http_fields_add(f, a, STR("grpc-status"), str_from(code)))
		return -1;
	return message[0] ? http_fields_add(f, a, STR("grpc-message"), status_message(a, message))
			  : 0;
}

/* An answer without messages: everything is in the head. */
static void refuse(struct exchange *x, enum grpc_status status, const char *message)
{
	struct http_response r = {.status = 200, .content_length = -1};
	struct arena *a = exchange_arena(x);

	if (http_fields_add(&r.fields, a, STR("content-type"), STR("application/grpc")) ||
	    add_status(&r.fields, a, status, message)) {
		exchange_abort(x, NULL);
		return;
	}
	exchange_respond(x, &r, true);
}

void stream_end(struct stream *s, enum grpc_status status, const char *message)
{
	struct http_fields trailers = {NULL, 0, 0};

	if (s->ended)
		return;
	s->ended = true;
	list_remove(&s->ready);
	image_cursor_stop(&s->node.cursor);
	if (add_status(&trailers, exchange_arena(s->exchange), status, message))
		exchange_abort(s->exchange, NULL);
	else
		exchange_trailers(s->exchange, &trailers);
}

/* --- sending --- */

static bool sink_write(struct str bytes, void *arg)
{
	struct stream *s = arg;

	s->server->sent += bytes.len;
	return exchange_write(s->exchange, bytes, false);
}

static void pump(struct stream *s)
{
	const struct node_sink sink = {sink_write, s};
	enum node_pump result;
	struct err e = ERR_INIT;

	if (node_pump(&s->node, s->server->image, &sink, STREAM_SLICE, &result, &e)) {
		log_error("stream ends: out of memory", log_str("node", s->node.id), log_err(&e));
		stream_end(s, GRPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	s->full = result == NODE_PUMP_FULL;
	if (result == NODE_PUMP_MORE)
		list_push(&s->server->ready, &s->ready);
}

/* One slice for each stream that was ready, so that a snapshot for many holds nobody up. */
static void on_turn(struct timer *t)
{
	struct stream_server *server = container_of(t, struct stream_server, turn);
	struct link now;

	list_init(&now);
	while (!list_empty(&server->ready)) {
		struct link *l = server->ready.next;
		list_remove(l);
		list_push(&now, l);
	}
	while (!list_empty(&now)) {
		struct stream *s = container_of(now.next, struct stream, ready);
		list_remove(&s->ready);
		pump(s);
	}
	if (!list_empty(&server->ready) && !server->closing)
		timer_start(&server->turn, 0, 0);
}

void stream_kick(struct stream *s)
{
	if (s->ended || s->full || !node_wants(&s->node) || !list_empty(&s->ready))
		return;
	list_push(&s->server->ready, &s->ready);
	if (!timer_active(&s->server->turn) && !s->server->closing)
		timer_start(&s->server->turn, 0, 0);
}

void stream_answer_want(struct stream *s, const struct want_answer *a)
{
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;

	/* Nodes ask for so many names at a time at most: this is no queue that grows. */
	if (s->ended)
		return;
	if (encode_want_answer(&b, a, &e) == 0)
		(void)sink_write(buf_str(&b), s);
	else
		log_error("a data plane is not answered", log_str("node", s->node.id), log_err(&e));
	buf_deinit(&b);
}

/* --- receiving --- */

static int take_hello(struct stream *s, const struct node_message *m, struct err *e)
{
	if (node_hello(&s->node, s->server->image, m, now_ms(), e))
		return -1;
	s->server->events.on_hello(s, s->server->events.arg);
	return 0;
}

static int take_ack(struct stream *s, const struct node_message *m, struct err *e)
{
	if (node_ack(&s->node, m->revision, e))
		return -1;
	s->server->events.on_answer(s, s->server->events.arg);
	return 0;
}

static int take_nack(struct stream *s, const struct node_message *m, struct err *e)
{
	if (node_nack(&s->node, s->server->image, m, now_ms(), e))
		return -1;
	log_error("data plane refused a revision", log_str("node", s->node.id),
		  log_str("hostname", s->node.hostname), log_u64("revision", m->revision),
		  log_str("kind", m->entity_kind), log_str("id", m->entity_id),
		  log_str("reason", m->reason));
	s->server->events.on_answer(s, s->server->events.arg);
	return 0;
}

static int take_report(struct stream *s, const struct node_message *m, struct err *e)
{
	char id[UUID_TEXT_SIZE];
	uint32_t count;

	if (s->node.state == NODE_NEW)
		return err_set(e, ERR_INVALID, "report before hello");
	for (size_t i = 0; i < m->hit_count; i++) {
		node_message_hit(m, i, id, &count);
		s->server->events.on_hit(s, id, count, s->server->events.arg);
	}
	if (m->targets_begin && s->server->events.on_targets_begin)
		s->server->events.on_targets_begin(s, s->server->events.arg);
	for (size_t i = 0; s->server->events.on_target && i < m->target_count; i++) {
		struct target_report r;

		node_message_target(m, i, &r);
		s->server->events.on_target(s, &r, s->server->events.arg);
	}
	return 0;
}

static int take_want(struct stream *s, const struct node_message *m, struct err *e)
{
	if (s->node.state == NODE_NEW)
		return err_set(e, ERR_INVALID, "want_certificate before hello");
	log_debug("data plane wants a certificate", log_str("node", s->node.id),
		  log_str("host", m->host), log_str("client", m->client));
	if (s->server->events.on_want)
		s->server->events.on_want(s, m->host, m->client, s->server->events.arg);
	return 0;
}

static int (*const takers[NODE_MESSAGE_KINDS])(struct stream *s, const struct node_message *m,
					       struct err *e) = {
	[NODE_MESSAGE_HELLO] = take_hello, [NODE_MESSAGE_ACK] = take_ack,
	[NODE_MESSAGE_NACK] = take_nack,   [NODE_MESSAGE_REPORT] = take_report,
	[NODE_MESSAGE_WANT] = take_want,
};

static int on_message(struct str message, void *arg, struct err *e)
{
	struct stream *s = arg;
	struct node_message m;
	int rc;

	if (s->ended)
		return 0;
	if (node_message_decode(&m, message, e))
		return -1;
	rc = takers[m.kind](s, &m, e);
	node_message_free(&m);
	if (rc == 0)
		stream_kick(s);
	return rc;
}

static void on_body(struct exchange *x, struct str bytes, bool last, void *arg)
{
	struct stream *s = exchange_user(x);
	struct err e = ERR_INIT;

	(void)arg;
	if (!s || s->ended)
		return;
	if (grpc_feed(&s->reader, bytes, on_message, s, &e)) {
		log_warn("stream ends: the data plane broke its contract",
			 log_str("node", s->node.id), log_str("ip", s->ip), log_err(&e));
		stream_end(s, e.kind == ERR_LIMIT ? GRPC_RESOURCE_EXHAUSTED : GRPC_INVALID_ARGUMENT,
			   e.message);
	} else if (last) {
		stream_end(s, GRPC_OK, "");
	}
}

/* --- life of a stream --- */

static void peer_facts(struct stream *s, struct exchange *x)
{
	SSL *ssl = conn_ssl(exchange_conn(x));
	X509 *cert = ssl ? SSL_get1_peer_certificate(ssl) : NULL;
	struct cert_info info;

	addr_ip_text(conn_peer(exchange_conn(x)), s->ip, sizeof(s->ip));
	if (!cert)
		return;
	cert_info(cert, &info);
	s->cert_not_after = info.not_after;
	X509_free(cert);
}

static struct stream *stream_create(struct stream_server *server, struct exchange *x)
{
	struct stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->server = server;
	s->exchange = x;
	node_init(&s->node);
	grpc_reader_init(&s->reader, STREAM_NODE_MESSAGE_MAX);
	list_init(&s->ready);
	list_push(&server->streams, &s->link);
	peer_facts(s, x);
	return s;
}

static void on_head(struct exchange *x, void *arg)
{
	struct stream_server *server = arg;
	const struct http_request *q = exchange_request(x);
	struct http_response r = {.status = 200, .content_length = -1};
	struct stream *s;

	if (q->version != HTTP_2 || !str_eq(q->method, STR("POST")) ||
	    !str_starts(http_fields_get(&q->fields, STR("content-type")),
			STR("application/grpc"))) {
		exchange_reply(x, 415, STR("text/plain"), STR("this is a gRPC service\n"), NULL);
		return;
	}
	if (!str_eq(q->path, str_from(sync_path))) {
		refuse(x, GRPC_UNIMPLEMENTED, "no such method");
		return;
	}
	if (server->closing) {
		refuse(x, GRPC_UNAVAILABLE, "stopping");
		return;
	}
	s = stream_create(server, x);
	if (!s || http_fields_add(&r.fields, exchange_arena(x), STR("content-type"),
				  STR("application/grpc"))) {
		refuse(x, GRPC_RESOURCE_EXHAUSTED, "out of memory");
		exchange_set_user(x, s);
		return;
	}
	exchange_set_user(x, s);
	exchange_respond(x, &r, false);
}

static void on_drain(struct exchange *x, void *arg)
{
	struct stream *s = exchange_user(x);

	(void)arg;
	if (!s)
		return;
	s->full = false;
	stream_kick(s);
}

static void on_end(struct exchange *x, const struct err *why, void *arg)
{
	struct stream *s = exchange_user(x);
	bool said_hello;

	(void)arg;
	if (!s)
		return;
	said_hello = s->node.state != NODE_NEW;
	node_leave(&s->node);
	list_remove(&s->link);
	list_remove(&s->ready);
	if (said_hello) {
		log_info("data plane disconnected", log_str("node", s->node.id),
			 log_str("hostname", s->node.hostname), log_err(why));
		s->server->events.on_gone(s, s->server->events.arg);
	}
	grpc_reader_deinit(&s->reader);
	node_deinit(&s->node);
	free(s);
}

static const struct http_handler handler = {
	.on_head = on_head,
	.on_body = on_body,
	.on_drain = on_drain,
	.on_end = on_end,
};

/* --- life of the server --- */

static void on_rejected(const char *reason, void *arg)
{
	(void)arg;
	log_warn("cluster listener refused a peer", log_str("reason", reason));
}

static int on_accept(struct listener *l, struct conn_options *o, void *arg)
{
	struct stream_server *s = arg;
	struct err e = ERR_INIT;

	(void)l;
	if (http_server_accept(&s->http, o, &e)) {
		if (e.kind != ERR_LIMIT) /* else on_rejected said so */
			log_warn("a data plane's connection was not accepted", log_err(&e));
		return -1;
	}
	o->tls = s->tls;
	return 0;
}

static void release(struct stream_server *s)
{
	if (--s->open > 0 || !s->closing)
		return;
	SSL_CTX_free(s->tls);
	if (s->closed)
		s->closed(s->arg);
}

static void connections_closed(void *arg)
{
	release(arg);
}

static void listener_closed(void *arg)
{
	release(arg);
}

static void turn_closed(struct timer *t)
{
	release(container_of(t, struct stream_server, turn));
}

static void farewell_closed(struct timer *t)
{
	release(container_of(t, struct stream_server, farewell));
}

static void close_connections(struct stream_server *s)
{
	if (http_server_close(&s->http, connections_closed, s))
		s->open++;
	timer_close(&s->farewell, farewell_closed);
}

/* Data planes end their connections when their streams end: those that do not are cut off. */
static void on_farewell(struct timer *t)
{
	struct stream_server *s = container_of(t, struct stream_server, farewell);

	s->farewell_left--;
	if (s->http.session_count == 0 || s->farewell_left == 0)
		close_connections(s);
}

static int start_listeners(struct stream_server *s, struct loop *l, const struct listen_list *list,
			   struct err *e)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct listener_options o = {
			.entry = list->entries[i], .on_accept = on_accept, .arg = s};
		if (listener_start(&s->listeners[i], l, &o, e))
			return err_prefix(e, "cluster_listen");
		s->listener_count = i + 1;
		s->open++;
	}
	return 0;
}

int stream_server_start(struct stream_server *s, struct loop *l, const struct stream_conf *c,
			struct image *image, const struct stream_events *ev, struct err *e)
{
	const struct tls_options tls = {.server = true,
					.cert_file = c->cert_file,
					.key_file = c->key_file,
					.ca_file = c->ca_file,
					.verify_peer = true,
					.http2 = true};

	memset(s, 0, sizeof(*s));
	list_init(&s->streams);
	list_init(&s->ready);
	s->image = image;
	s->events = *ev;
	http_server_init(&s->http, &handler, s);
	s->http.http2 = true;
	s->http.max_connections = c->max_connections;
	s->http.on_rejected = on_rejected;
	s->http.limits.streams = STREAMS_PER_CONNECTION;
	s->http.limits.ping_ms = c->keepalive_ms;
	timer_init(&s->turn, l, on_turn);
	timer_init(&s->farewell, l, on_farewell);
	s->open = 2;
	if (tls_context(&s->tls, &tls, e))
		return err_prefix(e, "cluster_cert, cluster_cert_key, cluster_ca_cert");
	return start_listeners(s, l, c->listen, e);
}

void stream_server_close(struct stream_server *s, void (*closed)(void *arg), void *arg)
{
	s->closing = true;
	s->closed = closed;
	s->arg = arg;
	list_for_each_safe(it, &s->streams)
		stream_end(container_of(it, struct stream, link), GRPC_UNAVAILABLE,
			   "the control plane is stopping");
	http_server_drain(&s->http);
	if (s->http.session_count == 0) {
		close_connections(s);
	} else {
		s->farewell_left = FAREWELL_CHECKS;
		timer_start(&s->farewell, FAREWELL_CHECK_MS, FAREWELL_CHECK_MS);
	}
	for (size_t i = 0; i < s->listener_count; i++)
		listener_close(s->listeners[i], listener_closed, s);
	timer_close(&s->turn, turn_closed);
}

const struct addr *stream_server_addr(const struct stream_server *s)
{
	return listener_addr(s->listeners[0]);
}
