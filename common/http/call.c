/* One streaming call of a client.
 *
 *     CONNECTING ──▶ OPEN ──▶ CLOSED
 *          └───────────────────▲
 *
 * Happy path: conn_connect -> on_open (ALPN is h2) -> request -> on_head, on_data ..., call_write
 * -> the peer ends, or call_close: GOAWAY -> conn_shutdown -> on_close, freed.
 * Failure paths, all as on_close with the reason: name, connect, handshake, no h2, GOAWAY or reset
 * by the peer, a protocol error, no answer to PING, out of memory. */
#include "common/http/call.h"

#include <stdlib.h>

#include "common/core/clock.h"
#include "common/core/sm.h"
#include "common/http/h2.h"
#include "common/net/conn.h"

enum call_state { CALL_CONNECTING, CALL_OPEN, CALL_CLOSED, CALL_STATES };

static const struct sm_state call_states[CALL_STATES] = {
	[CALL_CONNECTING] = {"connecting", SM_TO(CALL_OPEN) | SM_TO(CALL_CLOSED)},
	[CALL_OPEN] = {"open", SM_TO(CALL_CLOSED)},
	[CALL_CLOSED] = {"closed", 0},
};
static const struct sm call_sm = {"call", call_states, CALL_STATES};

enum {
	CALL_HIGH = 256 << 10,
	CALL_BATCH = 32 << 10,
	CALL_WINDOW = 1 << 20, /* a snapshot over a long way should not wait for updates */
};

struct call {
	struct call_options o;
	struct conn *conn;
	struct h2 *h2; /* from CALL_OPEN on */
	struct h2_stream stream;
	struct arena arena; /* request, head and trailers */
	struct http_fields request;
	struct timer timer;  /* ping_ms */
	struct deferred due; /* flush at the end of the turn */
	uint64_t heard_ms;   /* last bytes of the peer */
	bool pinged;
	enum call_state state;
	struct err why; /* why.kind ERR_NONE: ended by the peer in order, or call_close */
};

static void call_move(struct call *c, enum call_state to)
{
	c->state = (enum call_state)sm_move(&call_sm, c->state, to, NULL);
}

static uint64_t now_ms(void)
{
	return clock_mono_ns() / 1000000;
}

/* Told to the peer in order: CANCEL for the stream, GOAWAY, then close_notify by say_farewell. Not
 * at once: this may be inside of h2_feed. */
static void start_farewell(struct call *c)
{
	h2_reset(c->h2, &c->stream, NGHTTP2_CANCEL);
	loop_defer(conn_loop(c->conn), &c->due);
}

/* The first reason stays. NULL: in order. */
static void finish(struct call *c, const struct err *why)
{
	bool open = c->state == CALL_OPEN;

	if (c->state == CALL_CLOSED)
		return;
	call_move(c, CALL_CLOSED);
	if (why)
		c->why = *why;
	if (open && !why)
		start_farewell(c);
	else
		conn_close(c->conn);
}

static int emit(struct call *c, struct err *e)
{
	struct buf out = BUF_INIT;
	bool more = true;
	int rc = 0;

	while (more && rc == 0 && !conn_over_high(c->conn) && h2_wants_write(c->h2)) {
		buf_clear(&out);
		rc = h2_emit(c->h2, &out, CALL_BATCH, e);
		more = out.len > 0;
		conn_write(c->conn, buf_str(&out));
	}
	buf_deinit(&out);
	return rc;
}

static void flush(struct call *c)
{
	struct err e = ERR_INIT;

	if (c->state == CALL_OPEN && emit(c, &e) != 0)
		finish(c, &e);
}

static void say_farewell(struct call *c)
{
	struct err e = ERR_INIT;
	int rc = emit(c, &e);

	/* Only now: nghttp2 sends nothing behind the order for this GOAWAY, and before it no RST.
	 */
	h2_terminate(c->h2, NGHTTP2_NO_ERROR);
	if (rc != 0 || emit(c, &e) != 0)
		conn_close(c->conn);
	else
		conn_shutdown(c->conn);
}

/* --- events of the stream --- */

static void on_head(struct h2 *h, struct h2_stream *s, void *arg)
{
	struct call *c = arg;
	struct err e = ERR_INIT;

	(void)h;
	if (c->state != CALL_OPEN)
		return;
	if (s->too_large) {
		err_set(&e, ERR_LIMIT, "response of %s: head over the limit (%s)", c->o.host,
			s->too_large);
		finish(c, &e);
		return;
	}
	c->o.events->on_head(c, s->status, &s->fields, c->o.arg);
}

static void on_data(struct h2 *h, struct h2_stream *s, struct str bytes, void *arg)
{
	struct call *c = arg;

	h2_consumed(h, s, bytes.len);
	if (c->state == CALL_OPEN)
		c->o.events->on_data(c, bytes, c->o.arg);
}

/* A response without a body has its trailers in the head ("trailers-only"). */
static void on_end(struct h2 *h, struct h2_stream *s, void *arg)
{
	struct call *c = arg;

	(void)h;
	if (c->state == CALL_OPEN && s->trailers.count > 0)
		c->o.events->on_trailers(c, &s->trailers, c->o.arg);
	finish(c, NULL);
}

static void on_drain(struct h2 *h, struct h2_stream *s, void *arg)
{
	(void)h;
	(void)s;
	(void)arg;
}

static void on_stream_close(struct h2 *h, struct h2_stream *s, uint32_t code, void *arg)
{
	struct call *c = arg;
	struct err e = ERR_INIT;

	(void)h;
	(void)s;
	err_set(&e, ERR_UNAVAILABLE, "%s:%u reset the call: %s", c->o.host, c->o.port,
		nghttp2_http2_strerror(code));
	e.code = (int)code;
	finish(c, &e);
}

static void on_pong(struct h2 *h, void *arg)
{
	struct call *c = arg;

	(void)h;
	c->pinged = false;
}

static const struct h2_events stream_events = {
	.on_head = on_head,
	.on_data = on_data,
	.on_end = on_end,
	.on_drain = on_drain,
	.on_close = on_stream_close,
	.on_pong = on_pong,
};

/* --- the connection --- */

static int add(struct call *c, struct str name, struct str value, struct err *e)
{
	struct str n = arena_str(&c->arena, name);
	struct str v = arena_str(&c->arena, value);

	if (!n.ptr || !v.ptr || http_fields_add(&c->request, &c->arena, n, v) != 0)
		return err_memory(e, "request of a call");
	return 0;
}

static int add_authority(struct call *c, struct err *e)
{
	char text[300];
	const char *name = c->o.server_name ? c->o.server_name : c->o.host;
	int n = snprintf(text, sizeof(text), "%s:%u", name, c->o.port);

	if (n < 0 || (size_t)n >= sizeof(text))
		return err_set(e, ERR_INVALID, "the name of the server is too long");
	return add(c, STR(":authority"), (struct str){text, (size_t)n}, e);
}

static int make_request(struct call *c, const struct call_options *o, struct err *e)
{
	if (add(c, STR(":method"), STR("POST"), e) != 0 ||
	    add(c, STR(":scheme"), STR("https"), e) != 0 || add_authority(c, e) != 0 ||
	    add(c, STR(":path"), str_from(o->path), e) != 0 ||
	    add(c, STR("content-type"), STR("application/grpc"), e) != 0 ||
	    add(c, STR("te"), STR("trailers"), e) != 0)
		return -1;
	for (size_t i = 0; i < o->field_count; i++) {
		if (add(c, o->fields[i].name, o->fields[i].value, e) != 0)
			return -1;
	}
	return 0;
}

static int open_stream(struct call *c, struct err *e)
{
	struct h2_options o = {.window = CALL_WINDOW, .events = &stream_events, .arg = c};

	if (!str_eq(conn_alpn(c->conn), STR("h2")))
		return err_set(e, ERR_UNAVAILABLE, "%s:%u does not speak HTTP/2", c->o.host,
			       c->o.port);
	if (h2_create(&c->h2, &o, now_ms(), e) != 0)
		return -1;
	return h2_request(c->h2, &c->stream, &c->request, false, e);
}

static void on_open(struct conn *conn, void *arg)
{
	struct call *c = arg;
	struct err e = ERR_INIT;

	if (open_stream(c, &e) != 0) {
		finish(c, &e);
		return;
	}
	call_move(c, CALL_OPEN);
	c->heard_ms = now_ms();
	if (c->o.ping_ms)
		timer_start(&c->timer, c->o.ping_ms, 0);
	conn_read_start(conn);
	flush(c);
	if (c->state == CALL_OPEN)
		c->o.events->on_open(c, c->o.arg);
}

static void on_conn_data(struct conn *conn, struct str bytes, void *arg)
{
	struct call *c = arg;
	struct err e = ERR_INIT;

	(void)conn;
	if (c->state != CALL_OPEN)
		return;
	c->heard_ms = now_ms();
	c->pinged = false;
	if (h2_feed(c->h2, bytes, c->heard_ms, &e) != 0) {
		err_prefix(&e, "%s:%u", c->o.host, c->o.port);
		finish(c, &e);
	}
	flush(c);
	if (c->state == CALL_OPEN && h2_finished(c->h2)) {
		err_set(&e, ERR_UNAVAILABLE, "%s:%u broke the HTTP/2 protocol or ended the session",
			c->o.host, c->o.port);
		finish(c, &e);
	}
}

static void on_conn_drain(struct conn *conn, void *arg)
{
	(void)conn;
	flush(arg);
}

static void on_conn_eof(struct conn *conn, void *arg)
{
	struct call *c = arg;
	struct err e = ERR_INIT;

	(void)conn;
	err_set(&e, ERR_UNAVAILABLE, "%s:%u closed the connection", c->o.host, c->o.port);
	finish(c, &e);
}

static void timer_closed(struct timer *t)
{
	free(container_of(t, struct call, timer));
}

static void release(struct call *c)
{
	deferred_cancel(&c->due);
	h2_free(c->h2);
	h2_stream_deinit(&c->stream);
	arena_deinit(&c->arena);
	timer_close(&c->timer, timer_closed);
}

static void on_conn_close(struct conn *conn, const struct err *why, void *arg)
{
	struct call *c = arg;

	(void)conn;
	if (c->state != CALL_CLOSED) {
		call_move(c, CALL_CLOSED);
		c->why = *why;
	}
	c->conn = NULL;
	c->o.events->on_close(c, &c->why, c->o.arg);
	release(c);
}

static const struct conn_events conn_events = {
	.on_open = on_open,
	.on_data = on_conn_data,
	.on_drain = on_conn_drain,
	.on_eof = on_conn_eof,
	.on_close = on_conn_close,
};

/* Silence for ping_ms: ask; silence for as long again: gone. */
static void on_timer(struct timer *t)
{
	struct call *c = container_of(t, struct call, timer);
	uint64_t limit = c->o.ping_ms;
	uint64_t silent = now_ms() - c->heard_ms;
	struct err e = ERR_INIT;

	if (c->state != CALL_OPEN)
		return;
	if (c->pinged) {
		err_set(&e, ERR_TIMEOUT, "%s:%u did not answer PING within %llu ms", c->o.host,
			c->o.port, (unsigned long long)limit);
		finish(c, &e);
		return;
	}
	if (silent < limit) {
		timer_start(t, limit - silent, 0);
		return;
	}
	c->pinged = true;
	h2_ping(c->h2);
	timer_start(t, limit, 0);
	flush(c);
}

static void on_due(struct deferred *d)
{
	struct call *c = container_of(d, struct call, due);

	if (c->state == CALL_CLOSED)
		say_farewell(c);
	else
		flush(c);
}

static int connect_call(struct call *c, struct loop *l, const struct call_options *o, struct err *e)
{
	struct conn_options co = {
		.events = &conn_events,
		.arg = c,
		.tls = o->tls,
		.server_name = o->server_name,
		.write_high = CALL_HIGH,
	};

	if (make_request(c, o, e) != 0)
		return -1;
	return conn_connect(&c->conn, l, c->o.host, o->port, &co, e);
}

/* The texts that are needed later, in the arena. */
static int copy_options(struct call *c, const struct call_options *o, struct err *e)
{
	c->o = *o;
	c->o.host = arena_str(&c->arena, str_from(o->host)).ptr;
	if (o->server_name)
		c->o.server_name = arena_str(&c->arena, str_from(o->server_name)).ptr;
	c->o.path = NULL;
	c->o.fields = NULL;
	if (!c->o.host || (o->server_name && !c->o.server_name))
		return err_memory(e, "call");
	return 0;
}

int call_start(struct call **out, struct loop *l, const struct call_options *o, struct err *e)
{
	struct call *c = calloc(1, sizeof(*c));

	if (!c)
		return err_memory(e, "call");
	arena_init(&c->arena, 0);
	h2_stream_init(&c->stream, &c->arena);
	deferred_init(&c->due, on_due);
	if (copy_options(c, o, e) != 0 || connect_call(c, l, o, e) != 0) {
		arena_deinit(&c->arena);
		free(c);
		return -1;
	}
	timer_init(&c->timer, l, on_timer);
	*out = c;
	return 0;
}

size_t call_queued(const struct call *c)
{
	return h2_queued(&c->stream) + (c->conn ? conn_queued(c->conn) : 0);
}

bool call_write(struct call *c, struct str bytes)
{
	struct err e = ERR_INIT;
	bool room;

	if (c->state != CALL_OPEN)
		return true;
	if (h2_write(c->h2, &c->stream, bytes, false, &room, &e) != 0)
		finish(c, &e);
	else
		loop_defer(conn_loop(c->conn), &c->due);
	return call_queued(c) <= CALL_HIGH;
}

void call_close(struct call *c)
{
	finish(c, NULL);
}
