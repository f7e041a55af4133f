/* HTTP/2 of a session: streams as exchanges.
 *
 * Happy path: input -> h2_feed -> on_begin, on_head -> exchange_open, exchange_body -> respond,
 * write -> flush -> h2_emit -> on_close -> exchange_end.
 * Failure paths:
 *  - a malformed request (H2-07, H2-10): RST(PROTOCOL_ERROR), the handler never sees it
 *  - a limit of one request (431, 413, 408, 405): answered, then RST(NO_ERROR) (H2-21)
 *  - a limit of the connection: GOAWAY, session_shutdown
 *  - drain: GOAWAY with the largest id, one second later with the last stream (H2-19) */
#include "common/http/session_internal.h"
#include "common/http/syntax.h"

enum { HEAD_ON_STACK = 48 };

static struct session *session_of(void *arg)
{
	return arg;
}

static struct exchange *exchange_of(struct h2_stream *stream)
{
	return container_of(stream, struct exchange, stream);
}

/* --- heads in --- */

static bool is_dropped_field(struct str name)
{
	return http_is_hop_by_hop(name) || http_is_alias(name) || str_eq(name, STR("host")) ||
	       str_eq(name, STR("content-length")) || str_eq(name, STR("expect"));
}

/* What belongs to the connection or is given elsewhere goes, as in HTTP/1. */
static void take_fields(struct http_request *r, const struct http_fields *in)
{
	size_t kept = 0;

	r->fields = *in;
	for (size_t i = 0; i < in->count; i++) {
		if (!is_dropped_field(in->items[i].name))
			r->fields.items[kept++] = in->items[i];
	}
	r->fields.count = kept;
}

static int lower_host(struct arena *a, struct str *host)
{
	char *lower = arena_alloc(a, host->len + 1);

	if (!lower)
		return -1;
	for (size_t i = 0; i < host->len; i++)
		lower[i] = ascii_lower(host->ptr[i]);
	host->ptr = lower;
	return 0;
}

/* :authority, or Host where there is none; two different ones are an attack (H2-10). */
static int take_authority(struct http_request *r, const struct h2_stream *in)
{
	struct str host = http_fields_get(&in->fields, STR("host"));

	r->authority = in->authority.ptr ? in->authority : host;
	if (http_fields_count(&in->fields, STR("host")) > 1)
		return -1;
	if (host.ptr && !str_ieq(host, r->authority))
		return -1;
	if (!r->authority.ptr || !http_is_authority(r->authority, &r->host))
		return -1;
	return lower_host(in->arena, &r->host);
}

static void take_path(struct http_request *r, struct str path)
{
	size_t mark = str_find(path, '?', 0);

	r->target = path;
	r->path = str_sub(path, 0, mark);
	r->query = mark < path.len ? str_sub(path, mark + 1, path.len) : STR_NONE;
}

/* The row that the head breaks, or NULL with x->request filled in. */
static const char *take_head(struct exchange *x)
{
	const struct h2_stream *in = &x->stream;
	struct http_request *r = &x->request;
	struct str expect = http_fields_get(&in->fields, STR("expect"));

	x->te_trailers = http_fields_has_token(&in->fields, STR("te"), STR("trailers"));
	r->version = HTTP_2;
	r->method = in->method;
	r->scheme = conn_ssl(x->session->conn) ? STR("https") : STR("http");
	r->content_length = in->content_length;
	r->has_body = !in->remote_ended;
	r->expect_continue = r->has_body && str_ieq(expect, STR("100-continue"));
	if (!http_is_token(in->method) || !http_is_target(in->path))
		return "H2-07";
	if (!str_ieq(in->scheme, STR("http")) && !str_ieq(in->scheme, STR("https")))
		return "H2-07";
	if (take_authority(r, in) != 0)
		return "H2-10";
	take_path(r, in->path);
	take_fields(r, &in->fields);
	return NULL;
}

/* A request that is well-formed but which the session answers: its status, or 0. */
static unsigned refused_with(const struct exchange *x, const char **reason)
{
	const struct http_limits *l = &x->session->server->limits;
	struct str expect = http_fields_get(&x->stream.fields, STR("expect"));
	struct str method = x->stream.method;

	*reason = "H1-17";
	if (str_eq(method, STR("TRACE")) || str_eq(method, STR("TRACK")))
		return 405;
	*reason = "H1-24";
	if (expect.ptr && !str_ieq(expect, STR("100-continue")))
		return 417;
	*reason = "body";
	if (l->body && x->request.content_length > 0 &&
	    (uint64_t)x->request.content_length > l->body)
		return 413;
	return 0;
}

static struct h2_stream *on_begin(struct h2 *h, void *arg)
{
	struct session *s = session_of(arg);
	struct exchange *x;

	(void)h;
	if (session_overloaded(s)) {
		session_rejected(s, "overload");
		return NULL;
	}
	x = exchange_take(s);
	return x ? &x->stream : NULL;
}

static void limit_requests(struct session *s)
{
	if (s->requests >= s->server->limits.requests_per_connection)
		session_h2.drain(s);
}

static void on_head(struct h2 *h, struct h2_stream *stream, void *arg)
{
	struct exchange *x = exchange_of(stream);
	const char *reason = stream->too_large;
	struct err e = ERR_INIT;
	unsigned status;

	if (x->state != EXCHANGE_HEAD)
		return;
	limit_requests(session_of(arg));
	x->request.version = HTTP_2;
	x->request.method = stream->method;
	if (reason) {
		exchange_refuse(x, 431, reason);
		return;
	}
	if (str_eq(stream->method, STR("CONNECT"))) {
		exchange_refuse(x, 405, "H2-13");
		return;
	}
	reason = take_head(x);
	if (reason) {
		session_rejected(x->session, reason);
		err_set(&e, ERR_INVALID, "malformed request");
		exchange_end(x, &e);
		h2_reset(h, stream, NGHTTP2_PROTOCOL_ERROR);
		return;
	}
	status = refused_with(x, &reason);
	if (status)
		exchange_refuse(x, status, reason);
	else
		exchange_open(x);
}

/* --- bodies in, ends --- */

static void on_data(struct h2 *h, struct h2_stream *stream, struct str bytes, void *arg)
{
	struct exchange *x = exchange_of(stream);

	(void)arg;
	if (x->state == EXCHANGE_OPEN)
		exchange_body(x, bytes, false);
	else
		h2_consumed(h, stream, bytes.len);
}

/* H1-29 */
static void take_trailers(struct http_fields *f)
{
	size_t kept = 0;

	for (size_t i = 0; i < f->count; i++)
		if (!http_is_forbidden_trailer(f->items[i].name))
			f->items[kept++] = f->items[i];
	f->count = kept;
}

static void on_end(struct h2 *h, struct h2_stream *stream, void *arg)
{
	take_trailers(&stream->trailers);
	(void)h;
	(void)arg;
	exchange_body(exchange_of(stream), STR(""), true);
}

static void on_drain(struct h2 *h, struct h2_stream *stream, void *arg)
{
	(void)h;
	(void)arg;
	exchange_drained(exchange_of(stream));
}

static void on_close(struct h2 *h, struct h2_stream *stream, uint32_t code, void *arg)
{
	struct exchange *x = exchange_of(stream);
	struct err e = ERR_INIT;

	(void)h;
	(void)arg;
	if (code == NGHTTP2_NO_ERROR && x->response_done) {
		exchange_end(x, NULL);
		return;
	}
	err_set(&e, ERR_UNAVAILABLE, "the stream was reset: %s", nghttp2_http2_strerror(code));
	e.code = (int)code;
	exchange_end(x, &e);
}

static void on_pong(struct h2 *h, void *arg)
{
	(void)h;
	session_of(arg)->u.h2.ping_ms = 0;
}

static void on_rejected(struct h2 *h, const char *reason, void *arg)
{
	(void)h;
	session_rejected(session_of(arg), reason);
}

static const struct h2_events events = {
	.on_begin = on_begin,
	.on_head = on_head,
	.on_data = on_data,
	.on_end = on_end,
	.on_drain = on_drain,
	.on_close = on_close,
	.on_pong = on_pong,
	.on_rejected = on_rejected,
};

/* --- the connection --- */

static void flush(struct session *s)
{
	struct h2 *h = s->u.h2.h2;
	struct err e = ERR_INIT;
	struct buf out = BUF_INIT;
	bool more = h2_wants_write(h);
	int rc = 0;

	if (!more)
		return;
	session_borrow(s, &out);
	while (more && rc == 0 && !conn_over_high(s->conn) && h2_wants_write(h)) {
		rc = h2_emit(h, &out, SESSION_BATCH, &e);
		more = out.len > 0;
		session_send(s, buf_str(&out));
		buf_clear(&out);
	}
	session_return(s, &out);
	if (rc != 0)
		session_close(s, &e);
}

static bool next(struct session *s)
{
	flush(s);
	if (s->state == SESSION_H2 && h2_finished(s->u.h2.h2)) {
		session_shutdown(s, NULL);
		return true;
	}
	return false;
}

static void input(struct session *s, struct str bytes)
{
	struct err e = ERR_INIT;

	s->u.h2.ping_ms = 0; /* any byte shows that the peer lives */
	if (h2_feed(s->u.h2.h2, bytes, s->now_ms, &e) != 0)
		session_shutdown(s, &e);
}

static void eof(struct session *s)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_UNAVAILABLE, "the client closed the connection");
	session_shutdown(s, &e);
}

static void drain(struct session *s)
{
	if (s->draining)
		return;
	s->draining = true;
	s->u.h2.goaway_ms = s->now_ms + SESSION_NOTICE_MS;
	h2_notice(s->u.h2.h2);
}

static void deinit(struct session *s)
{
	h2_free(s->u.h2.h2);
}

/* --- answers --- */

static int respond(struct exchange *x, const struct http_response *r, bool end, struct err *e)
{
	struct http_field room[HEAD_ON_STACK];
	struct http_fields fields = {room, 0, HEAD_ON_STACK};

	x->no_body = str_eq(x->request.method, STR("HEAD")) || r->status == 204 || r->status == 304;
	x->owed = end || x->no_body ? -1 : r->content_length;
	if (session_h2_head(x, r, true, &fields, e) != 0)
		return -1;
	return h2_respond(x->session->u.h2.h2, &x->stream, &fields, end || x->no_body, e);
}

static int write_body(struct exchange *x, struct str bytes, bool last, bool *room, struct err *e)
{
	if (x->no_body) {
		*room = true;
		return 0;
	}
	if (x->owed >= 0) {
		if (bytes.len > (uint64_t)x->owed || (last && bytes.len < (uint64_t)x->owed))
			return err_set(e, ERR_INTERNAL,
				       "the response body does not have its content-length");
		x->owed -= (int64_t)bytes.len;
	}
	return h2_write(x->session->u.h2.h2, &x->stream, bytes, last, room, e);
}

static int trailers(struct exchange *x, const struct http_fields *fields, struct err *e)
{
	if (x->no_body)
		return 0;
	if (x->owed > 0)
		return err_set(e, ERR_INTERNAL,
			       "the response body does not have its content-length");
	return h2_trailers(x->session->u.h2.h2, &x->stream, fields, e);
}

static int interim(struct exchange *x, unsigned status, const struct http_fields *fields,
		   struct err *e)
{
	struct http_response r = {.status = status, .content_length = -1};
	struct http_field room[HEAD_ON_STACK];
	struct http_fields out = {room, 0, HEAD_ON_STACK};

	if (fields)
		r.fields = *fields;
	if (session_h2_head(x, &r, false, &out, e) != 0)
		return -1;
	return h2_interim(x->session->u.h2.h2, &x->stream, &out, e);
}

static const struct http_fields *request_trailers(const struct exchange *x)
{
	return &x->stream.trailers;
}

static bool te_trailers(const struct exchange *x)
{
	return x->te_trailers;
}

static void abort_exchange(struct exchange *x)
{
	h2_reset(x->session->u.h2.h2, &x->stream, NGHTTP2_INTERNAL_ERROR);
}

static void consumed(struct exchange *x, size_t n)
{
	h2_consumed(x->session->u.h2.h2, &x->stream, n);
}

static void progress(struct exchange *x)
{
	if (x->response_done && !x->request_done)
		h2_reset_after_end(x->session->u.h2.h2, &x->stream);
}

static void release(struct exchange *x)
{
	h2_detach(x->session->u.h2.h2, &x->stream);
}

/* --- time --- */

static void check_stream(struct session *s, struct exchange *x)
{
	const struct http_limits *l = &s->server->limits;
	struct err e = ERR_INIT;

	if (x->state == EXCHANGE_HEAD) {
		if (s->now_ms - x->started_ms < l->head_ms)
			return;
		session_rejected(s, "head_timeout");
		h2_terminate(s->u.h2.h2, NGHTTP2_ENHANCE_YOUR_CALM);
	} else if (stall_check(&x->stall, s->now_ms, l->write_idle_ms, x->stream.taken,
			       h2_queued(&x->stream))) {
		session_rejected(s, "write_idle");
		err_set(&e, ERR_TIMEOUT, "the client does not read its answer");
		exchange_end(x, &e);
		h2_reset(s->u.h2.h2, &x->stream, NGHTTP2_CANCEL);
	} else if (x->stream.unconsumed > 0) {
		return; /* it is not the client that is late */
	} else if (exchange_body_late(x)) {
		err_set(&e, ERR_TIMEOUT, "the request body came too slowly");
		exchange_reject(x, 408, "body_timeout", &e);
	} else if (exchange_is_silent(x)) {
		exchange_fell_silent(x);
	}
}

static uint64_t idle_deadline(const struct session *s)
{
	uint64_t at = s->active_ms + 3 * s->server->limits.idle_ms;

	return s->u.h2.goaway_ms && s->u.h2.goaway_ms < at ? s->u.h2.goaway_ms : at;
}

static void check_ping(struct session *s)
{
	uint64_t limit = s->server->limits.ping_ms;
	struct err e = ERR_INIT;

	if (limit == 0 || list_empty(&s->live))
		return;
	if (s->u.h2.ping_ms && s->now_ms - s->u.h2.ping_ms >= limit) {
		session_rejected(s, "ping_timeout");
		err_set(&e, ERR_TIMEOUT, "no answer to PING within %llu ms",
			(unsigned long long)limit);
		session_close(s, &e);
	} else if (!s->u.h2.ping_ms && s->now_ms - s->active_ms >= limit) {
		s->u.h2.ping_ms = s->now_ms;
		h2_ping(s->u.h2.h2);
	}
}

static void check(struct session *s)
{
	if (session_write_stalled(s))
		return;
	list_for_each_safe(it, &s->live) check_stream(s, container_of(it, struct exchange, link));
	check_ping(s);
	if (s->state != SESSION_H2)
		return;
	if (s->u.h2.goaway_ms && s->now_ms >= s->u.h2.goaway_ms) {
		s->u.h2.goaway_ms = 0;
		h2_goaway(s->u.h2.h2);
	} else if (list_empty(&s->live) && s->now_ms >= idle_deadline(s)) {
		h2_terminate(s->u.h2.h2, NGHTTP2_NO_ERROR);
	}
}

static uint64_t deadline(const struct session *s)
{
	uint64_t idle = idle_deadline(s);
	uint64_t tick = s->now_ms + session_tick(&s->server->limits);

	if (list_empty(&s->live))
		return idle;
	return s->u.h2.goaway_ms && idle < tick ? idle : tick;
}

/* --- begin --- */

int session_h2_start(struct session *s, struct err *e)
{
	const struct http_limits *l = &s->server->limits;
	struct h2_options o = {
		.server = true,
		.field = l->field,
		.head = l->head,
		.fields = l->fields,
		.streams = l->streams,
		.mem = &s->server->h2_mem,
		.events = &events,
		.arg = s,
	};

	return h2_create(&s->u.h2.h2, &o, s->now_ms, e);
}

const struct session_protocol session_h2 = {
	.input = input,
	.eof = eof,
	.flush = flush,
	.next = next,
	.drain = drain,
	.check = check,
	.deadline = deadline,
	.deinit = deinit,
	.respond = respond,
	.write = write_body,
	.trailers = trailers,
	.interim = interim,
	.request_trailers = request_trailers,
	.te_trailers = te_trailers,
	.abort = abort_exchange,
	.consumed = consumed,
	.progress = progress,
	.release = release,
};
