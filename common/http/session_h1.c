/* HTTP/1 of a session: one exchange at a time.
 *
 * Happy path: input -> h1_parse -> exchange_open, exchange_body -> respond, write -> both halves
 * done -> exchange_end -> the next request out of what was kept or what comes.
 * Failure paths:
 *  - H1_ERROR or a timeout: the session answers and shuts down
 *  - the answer is complete before the request: the rest is dropped, within limits (H1-25)
 *  - the client ends in the middle of a request: session_close (H1-36) */
#include <stdlib.h>

#include "common/http/session_internal.h"

static int start_parser(struct session *s, struct exchange *x)
{
	const struct http_limits *l = &s->server->limits;
	struct h1_limits limits = {
		.request_line = l->request_line,
		.field = l->field,
		.head = l->head,
		.fields = l->fields,
		.body = l->body,
	};

	if (!x->parser)
		x->parser = malloc(sizeof(*x->parser));
	if (!x->parser)
		return -1;
	h1_parser_init(x->parser, &limits, conn_ssl(s->conn) ? STR("https") : STR("http"));
	h1_parser_start(x->parser, &x->arena, &x->request);
	return 0;
}

static void begin(struct session *s)
{
	struct exchange *x = exchange_take(s);

	if (x && start_parser(s, x) == 0)
		s->u.h1.current = x;
}

static void refuse_overloaded(struct session *s, struct exchange *x)
{
	s->u.h1.close = true;
	exchange_refuse(x, 503, "overload");
}

static void head_done(struct session *s, struct exchange *x)
{
	if (x->parser->refuse)
		exchange_refuse(x, x->parser->refuse, "H1-17");
	else if (session_overloaded(s))
		refuse_overloaded(s, x);
	else
		exchange_open(x);
}

static void failed(struct session *s, struct exchange *x)
{
	const struct h1_parser *p = x->parser;
	struct err e = ERR_INIT;

	s->u.h1.close = true;
	if (x->state == EXCHANGE_HEAD) {
		exchange_refuse(x, p->status, p->reason);
		return;
	}
	err_set(&e, ERR_INVALID, "the request body is malformed or too large: %s", p->reason);
	exchange_reject(x, p->status, p->reason, &e);
}

static void body_piece(struct exchange *x, struct str body)
{
	x->unconsumed += body.len;
	exchange_body(x, body, false);
}

static void handle(struct session *s, enum h1_event event, struct str body)
{
	struct exchange *x = s->u.h1.current;

	if (event == H1_HEAD)
		head_done(s, x);
	else if (event == H1_BODY)
		body_piece(x, body);
	else if (event == H1_END)
		exchange_body(x, STR(""), true);
	else if (event == H1_ERROR)
		failed(s, x);
}

/* Whether bytes may be given to the parser now. */
static bool can_parse(const struct session *s)
{
	const struct exchange *x = s->u.h1.current;

	if (s->state != SESSION_H1)
		return false;
	return x ? x->state != EXCHANGE_ENDED && !x->request_done : !s->u.h1.close;
}

/* Up to the end of one request: the exchange is to be told its end before the next takes memory. */
static void parse(struct session *s, struct str *in)
{
	struct h1_parser *parser;
	enum h1_event event;

	if (!can_parse(s) || in->len == 0)
		return;
	if (!s->u.h1.current)
		begin(s);
	if (!s->u.h1.current) {
		session_close(s, NULL);
		return;
	}
	parser = s->u.h1.current->parser;
	do {
		struct str body = STR_NONE;

		event = h1_parse(parser, in, &body);
		handle(s, event, body);
	} while ((event == H1_HEAD || event == H1_BODY) && can_parse(s));
}

static bool has_pending(const struct session *s)
{
	return s->u.h1.pending.len > s->u.h1.at;
}

static void update_reading(struct session *s)
{
	const struct exchange *x = s->u.h1.current;
	bool stop = has_pending(s) || (x && x->unconsumed >= SESSION_WINDOW);

	if (s->state != SESSION_H1 || stop == s->u.h1.stopped)
		return;
	s->u.h1.stopped = stop;
	if (stop)
		conn_read_stop(s->conn);
	else
		conn_read_start(s->conn);
}

static void keep(struct session *s, struct str bytes)
{
	struct err e;

	if (bytes.len == 0 || s->state != SESSION_H1)
		return;
	err_clear(&e);
	if (buf_add_str(&s->u.h1.pending, bytes, &e) != 0)
		session_close(s, &e);
}

static void input(struct session *s, struct str bytes)
{
	if (s->u.h1.close && !s->u.h1.current)
		return; /* H1-32 */
	if (!has_pending(s))
		parse(s, &bytes);
	keep(s, bytes);
	update_reading(s);
}

static bool next(struct session *s)
{
	struct str in;

	if (!has_pending(s)) {
		if (s->u.h1.eof && !s->u.h1.current)
			session_shutdown(s, NULL);
		update_reading(s);
		return false;
	}
	if (!can_parse(s))
		return false;
	in = str_sub(buf_str(&s->u.h1.pending), s->u.h1.at, s->u.h1.pending.len);
	parse(s, &in);
	s->u.h1.at = s->u.h1.pending.len - in.len;
	if (in.len == 0) {
		buf_deinit(&s->u.h1.pending);
		s->u.h1.at = 0;
	}
	return true;
}

static void eof(struct session *s)
{
	const struct exchange *x = s->u.h1.current;
	struct err e = ERR_INIT;

	s->u.h1.eof = true;
	if (x && !x->request_done && !x->response_done) {
		err_set(&e, ERR_UNAVAILABLE, "the client closed in the middle of a request");
		session_close(s, &e);
	} else if (!x || !x->request_done) {
		session_shutdown(s, NULL);
	}
}

static void flush(struct session *s)
{
	struct exchange *x = s->u.h1.current;

	if (s->out.len > 0)
		session_send(s, buf_str(&s->out));
	if (s->out.data)
		session_return(s, &s->out);
	if (x && x->waiting && !conn_over_high(s->conn))
		exchange_drained(x);
}

/* A request may be on its way: an idle connection is given a moment for it (F35). */
static void drain(struct session *s)
{
	if (s->draining)
		return;
	s->draining = true;
	s->u.h1.leave_ms = s->now_ms + SESSION_NOTICE_MS;
}

/* --- answers --- */

static bool must_close(const struct exchange *x)
{
	const struct session *s = x->session;

	/* A client that waits for 100 may or may not send its body now: nobody could tell. */
	return s->u.h1.close || x->parser->close || s->draining ||
	       s->requests >= s->server->limits.requests_per_connection ||
	       (x->request.expect_continue && !x->continued);
}

static int respond(struct exchange *x, const struct http_response *r, bool end, struct err *e)
{
	struct session *s = x->session;
	struct h1_head_options o = {
		.version = x->request.version,
		.head_only = str_eq(x->request.method, STR("HEAD")),
		.end = end,
		.close = must_close(x),
		.date = session_date(s->server),
		.server = str_from(s->server->server_header),
	};

	session_borrow(s, &s->out);
	if (h1_write_head(&s->u.h1.writer, &s->out, r, &o, e) != 0)
		return -1;
	s->u.h1.close = o.close || s->u.h1.writer.close;
	return 0;
}

static int write_body(struct exchange *x, struct str bytes, bool last, bool *room, struct err *e)
{
	struct session *s = x->session;

	session_borrow(s, &s->out);
	if (h1_write_body(&s->u.h1.writer, &s->out, bytes, last, e) != 0)
		return -1;
	if (s->out.len >= SESSION_BATCH) {
		session_send(s, buf_str(&s->out));
		buf_clear(&s->out);
	}
	*room = conn_queued(s->conn) + s->out.len <= SESSION_WRITE_HIGH;
	return 0;
}

static int trailers(struct exchange *x, const struct http_fields *fields, struct err *e)
{
	struct session *s = x->session;

	session_borrow(s, &s->out);
	return h1_write_trailers(&s->u.h1.writer, &s->out, fields, e);
}

static int interim(struct exchange *x, unsigned status, const struct http_fields *fields,
		   struct err *e)
{
	session_borrow(x->session, &x->session->out);
	return h1_write_interim(&x->session->out, x->request.version, status, fields, e);
}

static const struct http_fields *request_trailers(const struct exchange *x)
{
	return &x->parser->trailers;
}

static bool te_trailers(const struct exchange *x)
{
	return x->parser->te_trailers;
}

static struct str upgrade(const struct exchange *x)
{
	return x->parser->upgrade;
}

static int take(struct exchange *x, const struct http_response *r, struct str *left, struct err *e)
{
	struct session *s = x->session;

	session_borrow(s, &s->out);
	if (h1_write_switch(&s->out, r, upgrade(x), e) != 0)
		return -1;
	flush(s);
	*left = str_sub(buf_str(&s->u.h1.pending), s->u.h1.at, s->u.h1.pending.len);
	s->u.h1.current = NULL;
	return 0;
}

/* What came before the end is not held back from the client; an end that would look like one of the
 * body's is a reset. */
static void abort_exchange(struct exchange *x)
{
	struct session *s = x->session;

	flush(s);
	conn_flush(s->conn);
	if (x->responded && s->u.h1.writer.framing == H1_FRAMING_CLOSE)
		conn_abort(s->conn);
	session_close(x->session, &x->why);
}

static void consumed(struct exchange *x, size_t n)
{
	x->unconsumed -= n < x->unconsumed ? n : x->unconsumed;
	update_reading(x->session);
}

static void progress(struct exchange *x)
{
	struct session *s = x->session;

	if (!x->response_done || x->state != EXCHANGE_OPEN || s->state != SESSION_H1)
		return;
	if (s->u.h1.close || s->draining || x->dropped > SESSION_DROP_BYTES) {
		session_shutdown(s, NULL);
	} else if (x->request_done) {
		s->u.h1.current = NULL;
		exchange_end(x, NULL);
	} else if (x->dropping_ms == 0) {
		x->dropping_ms = s->now_ms;
		x->unconsumed = 0;
		update_reading(s);
	}
}

static void release(struct exchange *x)
{
	/* Nothing else of HTTP/1 points at an ended exchange. */
	if (x->parser)
		h1_parser_deinit(x->parser);
}

/* --- time --- */

static void head_late(struct session *s, struct exchange *x)
{
	s->u.h1.close = true;
	if (h1_parser_started(x->parser))
		exchange_refuse(x, 408, "head_timeout");
	else
		session_shutdown(s, NULL);
}

static void body_late(struct session *s, struct exchange *x)
{
	struct err e = ERR_INIT;

	s->u.h1.close = true;
	err_set(&e, ERR_TIMEOUT, "the request body came too slowly");
	exchange_reject(x, 408, "body_timeout", &e);
}

static uint64_t idle_deadline(const struct session *s)
{
	uint64_t at = s->active_ms + s->server->limits.idle_ms;

	return s->u.h1.leave_ms && s->u.h1.leave_ms < at ? s->u.h1.leave_ms : at;
}

static void check(struct session *s)
{
	struct exchange *x = s->u.h1.current;

	if (session_write_stalled(s))
		return;
	if (!x) {
		if (s->now_ms >= idle_deadline(s))
			session_shutdown(s, NULL);
	} else if (x->state == EXCHANGE_HEAD) {
		if (s->now_ms - x->started_ms >= s->server->limits.head_ms)
			head_late(s, x);
	} else if (x->dropping_ms) {
		if (s->now_ms - x->dropping_ms >= SESSION_DROP_MS)
			session_shutdown(s, NULL);
	} else if (s->u.h1.stopped) {
		return; /* it is not the client that is late */
	} else if (exchange_body_late(x)) {
		body_late(s, x);
	} else if (exchange_is_silent(x)) {
		exchange_fell_silent(x);
	}
}

static uint64_t deadline(const struct session *s)
{
	const struct exchange *x = s->u.h1.current;

	if (!x)
		return idle_deadline(s);
	if (x->state == EXCHANGE_HEAD)
		return x->started_ms + s->server->limits.head_ms;
	if (x->dropping_ms)
		return x->dropping_ms + SESSION_DROP_MS;
	return s->now_ms + session_tick(&s->server->limits);
}

/* --- begin and end --- */

void session_h1_start(struct session *s)
{
	buf_init(&s->u.h1.pending, 0);
}

static void deinit(struct session *s)
{
	buf_deinit(&s->u.h1.pending);
}

const struct session_protocol session_h1 = {
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
	.upgrade = upgrade,
	.take = take,
	.abort = abort_exchange,
	.consumed = consumed,
	.progress = progress,
	.release = release,
};
