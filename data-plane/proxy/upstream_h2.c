/* HTTP/2 to an upstream: many calls at a time on a connection, each a stream (RFC 9113), by ALPN
 * over TLS and with prior knowledge without.
 *
 * Happy path: send_head -> h2_request; write -> h2_write; the end of the turn (or of what came in)
 * emits frames into the connection as far as it has room; input -> h2 -> on_head, on_body*, on_end.
 * Failure paths:
 *  - refused, above the id of a GOAWAY, or never sent: UPSTREAM_NOT_TAKEN (UP-13)
 *  - reset by the upstream: UPSTREAM_RESET; one that breaks the rules: UPSTREAM_UNSAFE
 *  - the answer is complete before the request: told, and the stream is reset
 *  - a connection error: every call gets UPSTREAM_UNSAFE
 *  - the user gives up: RST_STREAM(CANCEL) goes out at the end of the turn (H2-20)
 *  - time: upstream_h2_time.c
 *
 * nghttp2 must not be asked for output inside its own events, so that calls only mark (side.due).
 */
#include "data-plane/proxy/upstream_h2_internal.h"

#include <stdlib.h>

#include "common/http/syntax.h"

enum { EMIT_SIZE = 32 << 10 };

static struct h2_call *stream_of(struct h2_stream *s)
{
	return container_of(s, struct h2_call, h2);
}

static struct h2_side *side_of(const struct upstream_call *c)
{
	return c->conn->u.h2;
}

uint64_t h2_side_now(const struct h2_side *d)
{
	return uv_now(&d->loop->uv);
}

/* --- streams --- */

static void free_stream(struct h2_call *s)
{
	list_remove(&s->link);
	list_remove(&s->unsent);
	h2_stream_deinit(&s->h2);
	free(s);
}

/* The stream is no call's any more. */
void h2_side_drop(struct h2_side *d, struct upstream_call *c, uint32_t reset)
{
	struct h2_call *s = c->state_of;

	if (!s)
		return;
	c->state_of = NULL;
	if (!s->h2.closed && s->h2.id) {
		h2_reset(d->h2, &s->h2, reset);
		h2_detach(d->h2, &s->h2);
		loop_defer(d->loop, &d->due);
	}
	free_stream(s);
}

/* From an event: the call ends, its stream is reset unless it is closed. */
void h2_side_end(struct upstream_call *c, enum upstream_failure failure, const struct err *why,
		 uint32_t reset, const struct http_fields *trailers)
{
	h2_side_drop(side_of(c), c, reset);
	upstream_call_end(c, failure, why, trailers);
}

static void break_call(struct upstream_call *c, const char *what)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_INVALID, "the upstream's answer breaks HTTP: %s", what);
	h2_side_end(c, UPSTREAM_UNSAFE, &e, NGHTTP2_PROTOCOL_ERROR, NULL);
}

static void moved(struct h2_call *s)
{
	s->moved_at = h2_side_now(side_of(s->call));
}

/* --- out --- */

/* What was emitted may have reached the upstream. */
static void note_sent(struct h2_side *d)
{
	if (d->conn->state == UPSTREAM_CLOSING)
		return;
	list_for_each_safe(it, &d->unsent)
	{
		struct h2_call *s = container_of(it, struct h2_call, unsent);

		if (!s->h2.head_sent)
			continue;
		s->call->end.sent = true;
		list_remove(&s->unsent);
	}
}

static void fail_conn(struct h2_side *d, const struct err *why)
{
	upstream_conn_close(d->conn, why->kind == ERR_MEMORY ? UPSTREAM_MEMORY : UPSTREAM_UNSAFE,
			    why);
}

void h2_side_emit(struct h2_side *d)
{
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;
	struct upstream_conn *u = d->conn;

	d->busy = true;
	while (u->state != UPSTREAM_CLOSING && !conn_over_high(u->conn) && h2_wants_write(d->h2)) {
		buf_clear(&out);
		if (h2_emit(d->h2, &out, EMIT_SIZE, &e) != 0) {
			fail_conn(d, &e);
			break;
		}
		if (out.len == 0)
			break;
		if (u->state != UPSTREAM_CLOSING)
			conn_write(u->conn, buf_str(&out));
	}
	d->busy = false;
	note_sent(d);
	buf_deinit(&out);
	/* After the upstream's GOAWAY, or an error of its own. */
	if (u->state != UPSTREAM_CLOSING && h2_finished(d->h2))
		upstream_conn_close(u, d->goaway ? UPSTREAM_NOT_TAKEN : UPSTREAM_UNSAFE, NULL);
}

static void on_due(struct deferred *due)
{
	h2_side_emit(container_of(due, struct h2_side, due));
}

static bool add(struct http_fields *f, struct arena *a, struct str name, struct str value)
{
	return http_fields_add(f, a, name, value) == 0;
}

/* A number's text in the arena. */
static struct str number(struct arena *a, int64_t n)
{
	char text[24];
	int len = snprintf(text, sizeof(text), "%lld", (long long)n);

	return arena_str(a, (struct str){text, (size_t)len});
}

static struct str lower(struct arena *a, struct str name)
{
	char *copy = arena_alloc(a, name.len);

	for (size_t i = 0; copy && i < name.len; i++)
		copy[i] = ascii_lower(name.ptr[i]);
	return (struct str){copy, copy ? name.len : 0};
}

/* What HTTP/2 says in another way, or not at all (RFC 9113 8.2.2). */
static bool is_left_out(struct str name)
{
	return http_is_hop_by_hop(name) || str_ieq(name, STR("host")) ||
	       str_ieq(name, STR("content-length"));
}

static int copy_fields(struct http_fields *out, struct arena *a, const struct http_fields *in,
		       bool trailers, struct err *e)
{
	for (size_t i = 0; i < in->count; i++) {
		const struct http_field *f = &in->items[i];
		struct str value = str_trim(f->value);

		if (is_left_out(f->name) || (trailers && http_is_forbidden_trailer(f->name)))
			continue;
		if (!http_is_token(f->name) || !http_is_field_value(value))
			return err_set(e, ERR_INVALID, "a field that cannot be sent");
		if (!add(out, a, lower(a, f->name), value.ptr ? value : STR("")))
			return err_memory(e, "request fields");
	}
	return 0;
}

static int head_fields(const struct upstream_call *c, const struct http_request *r, bool te,
		       struct http_fields *out, struct err *e)
{
	struct arena *a = c->arena;
	bool tls = c->conn->group->endpoint.tls != NULL;

	if (!http_is_token(r->method) || !http_is_field_value(r->authority) || !r->target.len ||
	    !http_is_field_value(r->target))
		return err_set(e, ERR_INVALID, "a request that cannot be sent");
	if (!add(out, a, STR(":method"), r->method) ||
	    !add(out, a, STR(":scheme"), tls ? STR("https") : STR("http")) ||
	    (r->authority.len && !add(out, a, STR(":authority"), r->authority)) ||
	    !add(out, a, STR(":path"), r->target))
		return err_memory(e, "request fields");
	if (copy_fields(out, a, &r->fields, false, e) != 0)
		return -1;
	if ((te && !add(out, a, STR("te"), STR("trailers"))) ||
	    (r->content_length >= 0 &&
	     !add(out, a, STR("content-length"), number(a, r->content_length))))
		return err_memory(e, "request fields");
	return 0;
}

static void send_head(struct upstream_call *c, const struct http_request *r, struct str upgrade,
		      bool te_trailers, bool end)
{
	struct h2_side *d = side_of(c);
	struct h2_call *s = calloc(1, sizeof(*s));
	struct http_fields fields = {0};
	struct err e = ERR_INIT;

	(void)upgrade; /* there is none in HTTP/2 */
	if (!s) {
		err_memory(&e, "a stream");
		upstream_call_fail_later(c, UPSTREAM_MEMORY, &e);
		return;
	}
	list_init(&s->unsent);
	list_init(&s->link);
	list_push(&d->streams, &s->link);
	h2_stream_init(&s->h2, c->arena);
	s->call = c;
	c->state_of = s;
	if (head_fields(c, r, te_trailers, &fields, &e) != 0 ||
	    h2_request(d->h2, &s->h2, &fields, end, &e) != 0) {
		c->conn->keep = e.kind == ERR_INVALID;
		upstream_call_fail_later(c,
					 e.kind == ERR_MEMORY	 ? UPSTREAM_MEMORY
					 : e.kind == ERR_INVALID ? UPSTREAM_UNSAFE
								 : UPSTREAM_NOT_TAKEN,
					 &e);
		return;
	}
	list_push(&d->unsent, &s->unsent);
	moved(s);
	h2_time_want(d, s->moved_at + h2_time_shortest(c));
	loop_defer(d->loop, &d->due);
}

static bool write_body(struct upstream_call *c, struct str bytes, bool last)
{
	struct h2_side *d = side_of(c);
	struct h2_call *s = c->state_of;
	struct err e = ERR_INIT;
	bool room = true;

	if (!s)
		return true;
	/* What waited for nothing begins to wait now. */
	if (h2_queued(&s->h2) == 0)
		moved(s);
	if (h2_write(d->h2, &s->h2, bytes, last, &room, &e) != 0)
		upstream_call_fail_later(c, UPSTREAM_MEMORY, &e);
	else
		loop_defer(d->loop, &d->due);
	return room;
}

static void trailers(struct upstream_call *c, const struct http_fields *fields)
{
	struct h2_side *d = side_of(c);
	struct h2_call *s = c->state_of;
	struct http_fields out = {0};
	struct err e = ERR_INIT;
	bool room;
	int rc;

	if (!s)
		return;
	moved(s);
	rc = copy_fields(&out, c->arena, fields, true, &e);
	if (rc == 0)
		rc = out.count ? h2_trailers(d->h2, &s->h2, &out, &e)
			       : h2_write(d->h2, &s->h2, STR(""), true, &room, &e);
	if (rc != 0)
		upstream_call_fail_later(
			c, e.kind == ERR_MEMORY ? UPSTREAM_MEMORY : UPSTREAM_UNSAFE, &e);
	else
		loop_defer(d->loop, &d->due);
}

static void consumed(struct upstream_call *c, size_t n)
{
	struct h2_side *d = side_of(c);
	struct h2_call *s = c->state_of;

	if (!s)
		return;
	moved(s);
	h2_consumed(d->h2, &s->h2, n);
	if (!d->busy)
		loop_defer(d->loop, &d->due);
}

static void cancel(struct upstream_call *c)
{
	h2_side_drop(side_of(c), c, NGHTTP2_CANCEL);
}

static void drain(struct upstream_conn *u)
{
	h2_side_emit(u->u.h2);
}

/* --- in: nghttp2's events --- */

static void on_interim(struct h2 *h, struct h2_stream *stream, void *arg)
{
	struct h2_call *s = stream_of(stream);
	struct upstream_call *c = s->call;

	(void)h;
	(void)arg;
	c->end.answered = true;
	moved(s);
	if (++c->interims > UPSTREAM_INTERIM_MAX)
		break_call(c, "UP-05");
	else if (stream->status == 100 || stream->status == 103)
		c->events->on_interim(c, stream->status, &stream->fields, c->arg);
	else if (stream->status == 101) /* RFC 9113 8.6 */
		break_call(c, "UP-04");
}

static void on_head(struct h2 *h, struct h2_stream *stream, void *arg)
{
	struct h2_call *s = stream_of(stream);
	struct upstream_call *c = s->call;

	(void)h;
	(void)arg;
	c->end.answered = true;
	moved(s);
	if (stream->too_large || stream->status < 200 || stream->status > 599) {
		break_call(c, stream->too_large ? stream->too_large : "status");
		return;
	}
	c->response = (struct http_response){.status = stream->status,
					     .fields = stream->fields,
					     .content_length = stream->content_length};
	c->head_told = true;
	c->events->on_head(c, &c->response, stream->remote_ended, c->arg);
}

static void on_data(struct h2 *h, struct h2_stream *stream, struct str bytes, void *arg)
{
	struct h2_call *s = stream_of(stream);
	struct upstream_call *c = s->call;

	(void)h;
	(void)arg;
	moved(s);
	c->unconsumed += bytes.len;
	c->events->on_body(c, bytes, c->arg);
}

static void on_end(struct h2 *h, struct h2_stream *stream, void *arg)
{
	struct upstream_call *c = stream_of(stream)->call;
	const struct http_fields trailing = stream->trailers;

	(void)h;
	(void)arg;
	/* What is left of the request is of no use (RFC 9113 8.1). */
	if (stream->local_ended)
		h2_detach(h, stream); /* closed by nghttp2 right after this */
	h2_side_end(c, UPSTREAM_OK, NULL, NGHTTP2_NO_ERROR, &trailing);
}

static void on_drain(struct h2 *h, struct h2_stream *stream, void *arg)
{
	(void)h;
	(void)arg;
	upstream_call_drained(stream_of(stream)->call);
}

static enum upstream_failure failure_of(const struct upstream_call *c, const struct h2_call *s,
					uint32_t code)
{
	if (!s->h2.head_sent || (code == NGHTTP2_REFUSED_STREAM && !c->head_told))
		return UPSTREAM_NOT_TAKEN;
	if (code == NGHTTP2_PROTOCOL_ERROR || code == NGHTTP2_FLOW_CONTROL_ERROR)
		return UPSTREAM_UNSAFE;
	return UPSTREAM_RESET;
}

static void on_close(struct h2 *h, struct h2_stream *stream, uint32_t code, void *arg)
{
	struct h2_call *s = stream_of(stream);
	struct upstream_call *c = s->call;
	enum upstream_failure failure = failure_of(c, s, code);
	struct err e = ERR_INIT;

	(void)h;
	(void)arg;
	err_set(&e, ERR_UNAVAILABLE, "the upstream's stream ended: %s",
		nghttp2_http2_strerror(code));
	h2_side_end(c, failure, &e, code, NULL);
}

/* Streams above the GOAWAY's id are closed by nghttp2 as refused; what waits for room in the peer's
 * limit would wait for nothing. */
static void on_goaway(struct h2 *h, uint32_t code, void *arg)
{
	struct h2_side *d = arg;
	struct err e = ERR_INIT;
	struct link *it;

	(void)h;
	d->conn->keep = false;
	d->goaway = true;
	err_set(&e, ERR_UNAVAILABLE, "the upstream takes no more requests: %s",
		nghttp2_http2_strerror(code));
	while ((it = list_first(&d->unsent)) != NULL)
		h2_side_end(container_of(it, struct h2_call, unsent)->call, UPSTREAM_NOT_TAKEN, &e,
			    NGHTTP2_CANCEL, NULL);
}

static void on_pong(struct h2 *h, void *arg)
{
	(void)h;
	((struct h2_side *)arg)->ping_at = 0;
}

static const struct h2_events events = {
	.on_interim = on_interim,
	.on_head = on_head,
	.on_data = on_data,
	.on_end = on_end,
	.on_drain = on_drain,
	.on_close = on_close,
	.on_goaway = on_goaway,
	.on_pong = on_pong,
};

static void input(struct upstream_conn *u, struct str bytes)
{
	struct h2_side *d = u->u.h2;
	struct err e = ERR_INIT;
	int rc;

	if (u->state == UPSTREAM_CLOSING)
		return;
	d->heard_at = h2_side_now(d);
	d->busy = true;
	rc = h2_feed(d->h2, bytes, d->heard_at, &e);
	d->busy = false;
	h2_side_emit(d);
	if (rc != 0)
		fail_conn(d, &e);
}

static void eof(struct upstream_conn *u)
{
	(void)u;
}

/* --- life --- */

static bool has_room(const struct upstream_conn *u)
{
	const struct h2_side *d = u->u.h2;
	unsigned max = u->pool->options.max_requests;

	/* Calls that have not sent their heads count too. */
	return u->keep && (!max || u->served < max) &&
	       h2_room(d->h2) > u->call_count - h2_open_streams(d->h2);
}

static void begin(struct upstream_call *c)
{
	struct h2_side *d = side_of(c);

	if (c->conn->call_count == 1)
		d->heard_at = h2_side_now(d);
}

static void on_timer_closed(struct timer *t)
{
	free(container_of(t, struct h2_side, timer));
}

static void deinit(struct upstream_conn *u)
{
	struct h2_side *d = u->u.h2;

	deferred_cancel(&d->due);
	h2_free(d->h2);
	/* Of calls that ended with the connection. */
	list_for_each_safe(it, &d->streams) free_stream(container_of(it, struct h2_call, link));
	timer_close(&d->timer, on_timer_closed);
}

static int open_conn(struct upstream_conn *u, struct err *e)
{
	const struct h2_options o = {
		.field = UPSTREAM_HEAD,
		.head = UPSTREAM_HEAD,
		.fields = UPSTREAM_FIELDS,
		.patient = true,
		.events = &events,
	};
	struct h2_options with = o;
	struct h2_side *d;

	if (u->group->endpoint.tls && !str_eq(conn_alpn(u->conn), STR("h2")))
		return err_set(e, ERR_UNAVAILABLE, "the upstream does not speak HTTP/2");
	d = calloc(1, sizeof(*d));
	if (!d)
		return err_memory(e, "HTTP/2 to an upstream");
	with.arg = d;
	with.mem = &u->pool->h2_mem;
	d->conn = u;
	d->loop = u->pool->options.loop;
	d->heard_at = h2_side_now(d);
	if (h2_create(&d->h2, &with, d->heard_at, e) != 0) {
		free(d);
		return -1;
	}
	list_init(&d->streams);
	list_init(&d->unsent);
	deferred_init(&d->due, on_due);
	timer_init(&d->timer, d->loop, h2_time_fire);
	u->u.h2 = d;
	u->keep = true;
	loop_defer(d->loop, &d->due);
	return 0;
}

const struct upstream_protocol upstream_h2 = {
	.shared = true,
	.open = open_conn,
	.has_room = has_room,
	.begin = begin,
	.input = input,
	.eof = eof,
	.drain = drain,
	.send_head = send_head,
	.write = write_body,
	.trailers = trailers,
	.consumed = consumed,
	.cancel = cancel,
	.deinit = deinit,
};
