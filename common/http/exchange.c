/* One request with its response: the handler's side of a session, the same for HTTP/1 and HTTP/2.
 */
#include <stdlib.h>

#include "common/http/session_internal.h"

static const struct sm_state exchange_states[EXCHANGE_STATES] = {
	[EXCHANGE_SPARE] = {"spare", SM_TO(EXCHANGE_HEAD)},
	[EXCHANGE_HEAD] = {"head", SM_TO(EXCHANGE_OPEN) | SM_TO(EXCHANGE_ENDED)},
	[EXCHANGE_OPEN] = {"open", SM_TO(EXCHANGE_ENDED)},
	[EXCHANGE_ENDED] = {"ended", SM_TO(EXCHANGE_SPARE)},
};
static const struct sm exchange_sm = {"exchange", exchange_states, EXCHANGE_STATES};

void exchange_move(struct exchange *x, enum exchange_state to)
{
	x->state = (enum exchange_state)sm_move(&exchange_sm, x->state, to, NULL);
}

/* --- life --- */

static struct exchange *spare_or_new(struct http_server *server)
{
	struct link *it = list_first(&server->spares);
	struct exchange *x;

	if (it) {
		list_remove(it);
		server->spare_count--;
		return container_of(it, struct exchange, link);
	}
	x = calloc(1, sizeof(*x));
	if (!x)
		return NULL;
	list_init(&x->link);
	list_init(&x->due);
	arena_init(&x->arena, 0);
	return x;
}

/* Everything but the memory that is used again. */
static void reset(struct exchange *x)
{
	struct arena arena = x->arena;
	struct h2_stream stream = x->stream;
	struct h1_parser *parser = x->parser;

	arena_reset(&arena);
	memset(x, 0, sizeof(*x));
	x->arena = arena;
	x->stream = stream;
	x->parser = parser;
	list_init(&x->link);
	list_init(&x->due);
}

struct exchange *exchange_take(struct session *s)
{
	struct exchange *x = spare_or_new(s->server);

	if (!x)
		return NULL;
	x->session = s;
	x->handler = s->server->handler;
	x->arg = s->server->arg;
	x->started_ms = s->now_ms;
	x->owed = -1;
	h2_stream_init(&x->stream, &x->arena);
	exchange_move(x, EXCHANGE_HEAD);
	list_push(&s->live, &x->link);
	return x;
}

void exchange_free(struct exchange *x)
{
	h2_stream_deinit(&x->stream);
	free(x->parser);
	arena_deinit(&x->arena);
	free(x);
}

void exchange_end(struct exchange *x, const struct err *why)
{
	if (x->state == EXCHANGE_ENDED || x->state == EXCHANGE_SPARE)
		return;
	if (why && x->why.kind == ERR_NONE)
		x->why = *why;
	exchange_move(x, EXCHANGE_ENDED);
	list_remove(&x->link);
	list_remove(&x->due);
	list_push(&x->session->ended, &x->link);
}

void exchange_tell_end(struct exchange *x)
{
	struct http_server *server = x->session->server;

	if (x->was_open && x->handler->on_end)
		x->handler->on_end(x, &x->why, x->arg);
	if (x->session->protocol)
		x->session->protocol->release(x);
	list_remove(&x->link);
	exchange_move(x, EXCHANGE_SPARE);
	if (server->spare_count >= SESSION_SPARES) {
		exchange_free(x);
		return;
	}
	reset(x);
	server->spare_count++;
	list_push_front(&server->spares, &x->link);
}

/* --- the session tells --- */

static void count_request(struct exchange *x)
{
	x->session->requests++;
	x->started_ms = x->session->now_ms;
	x->body_ms = x->session->now_ms;
	exchange_move(x, EXCHANGE_OPEN);
}

void exchange_open(struct exchange *x)
{
	count_request(x);
	x->was_open = true;
	x->handler->on_head(x, x->arg);
	if (x->state != EXCHANGE_OPEN || x->silent || x->responded)
		return;
	if (x->handler->on_body && !x->session->server->manual_continue)
		exchange_continue(x);
}

static void answer(struct exchange *x, unsigned status);

void exchange_refuse(struct exchange *x, unsigned status, const char *reason)
{
	session_rejected(x->session, reason);
	count_request(x);
	x->silent = true;
	answer(x, status);
}

void exchange_reject(struct exchange *x, unsigned status, const char *reason, const struct err *why)
{
	session_rejected(x->session, reason);
	x->why = *why;
	x->silent = true;
	answer(x, status);
}

static void over_body_limit(struct exchange *x)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_LIMIT, "the request body is larger than %llu bytes",
		(unsigned long long)x->session->server->limits.body);
	exchange_reject(x, 413, "body", &e);
}

void exchange_fell_silent(struct exchange *x)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_TIMEOUT, "no byte in either direction for %llu ms",
		(unsigned long long)x->silence_ms);
	exchange_reject(x, 408, "silence", &e);
}

/* After the answer, or with nobody to take it. */
static bool is_dropped(const struct exchange *x)
{
	return x->silent || x->response_done || !x->handler->on_body;
}

void exchange_body(struct exchange *x, struct str bytes, bool last)
{
	uint64_t limit = x->session->server->limits.body;

	if (x->state != EXCHANGE_OPEN || x->request_done)
		return;
	x->body_bytes += bytes.len;
	x->body_ms = x->session->now_ms;
	x->request_done = last;
	if (last && !x->request.has_body) {
		x->session->protocol->progress(x);
		return;
	}
	if (is_dropped(x)) {
		x->dropped += x->response_done ? bytes.len : 0;
		x->session->protocol->consumed(x, bytes.len);
	} else if (limit && x->body_bytes > limit) {
		over_body_limit(x);
	} else {
		if (!x->session->server->manual_window)
			x->session->protocol->consumed(x, bytes.len);
		x->handler->on_body(x, bytes, last, x->arg);
	}
	if (x->state == EXCHANGE_OPEN)
		x->session->protocol->progress(x);
}

void exchange_drained(struct exchange *x)
{
	if (!x->waiting || x->state != EXCHANGE_OPEN)
		return;
	x->waiting = false;
	list_remove(&x->due);
	list_push(&x->session->drained, &x->due);
}

/* --- answers --- */

/* x is not to be used further for output: what the peer has of it stays incomplete. */
static void abort_with(struct exchange *x, const struct err *why)
{
	exchange_end(x, why);
	x->session->protocol->abort(x);
}

/* Whoever takes the answer while it sends is not silent. */
static void note_answer(struct exchange *x)
{
	if (!x->request_done)
		x->answer_ms = session_clock();
}

static void respond(struct exchange *x, const struct http_response *r, bool end)
{
	struct err e;

	err_clear(&e);
	note_answer(x);
	x->responded = true;
	x->status = r->status;
	x->continued = x->continued || !x->request.expect_continue;
	x->response_done = end;
	if (x->session->protocol->respond(x, r, end, &e) != 0)
		abort_with(x, &e);
	else
		x->session->protocol->progress(x);
}

static bool write_body(struct exchange *x, struct str bytes, bool last)
{
	struct err e;
	bool room = true;

	err_clear(&e);
	note_answer(x);
	x->response_done = x->response_done || last;
	if (x->session->protocol->write(x, bytes, last, &room, &e) != 0) {
		abort_with(x, &e);
		return true;
	}
	x->waiting = !room && !last;
	if (last)
		x->session->protocol->progress(x);
	return room;
}

static void reply(struct exchange *x, unsigned status, struct str content_type, struct str body,
		  const struct http_fields *extra)
{
	struct http_response r = {.status = status, .content_length = (int64_t)body.len};
	int rc = 0;

	if (content_type.ptr)
		rc = http_fields_add(&r.fields, &x->arena, STR("content-type"), content_type);
	for (size_t i = 0; rc == 0 && extra && i < extra->count; i++)
		rc = http_fields_add(&r.fields, &x->arena, extra->items[i].name,
				     extra->items[i].value);
	if (rc != 0) {
		struct err e = ERR_INIT;

		err_memory(&e, "response fields");
		abort_with(x, &e);
		return;
	}
	respond(x, &r, body.len == 0);
	if (body.len > 0 && x->state == EXCHANGE_OPEN)
		write_body(x, body, true);
}

static struct http_field retry_after_field = {{"retry-after", 11}, {"1", 1}};
static const struct http_fields retry_after = {&retry_after_field, 1, 1};

static size_t body_bytes(const struct exchange *x, struct str body)
{
	return str_eq(x->request.method, STR("HEAD")) ? 0 : body.len;
}

static void answer(struct exchange *x, unsigned status)
{
	struct http_server *server = x->session->server;
	struct str type = STR("text/plain; charset=utf-8");
	struct str body = str_from(http_reason(status));

	if (x->response_done) { /* the answer stands; only the connection ends */
		x->session->protocol->progress(x);
		return;
	}
	if (x->responded) {
		abort_with(x, NULL);
		return;
	}
	if (server->error_body)
		body = server->error_body(status, &type, server->arg);
	if (server->on_refused && !x->was_open)
		server->on_refused(x, status, body_bytes(x, body), server->arg);
	reply(x, status, type, body, status == 503 ? &retry_after : NULL);
}

/* --- the handler's calls --- */

const struct http_request *exchange_request(const struct exchange *x)
{
	return &x->request;
}

unsigned exchange_status(const struct exchange *x)
{
	return x->status;
}

struct arena *exchange_arena(struct exchange *x)
{
	return &x->arena;
}

struct conn *exchange_conn(struct exchange *x)
{
	return x->session->conn;
}

void exchange_set_user(struct exchange *x, void *user)
{
	x->user = user;
}

void *exchange_user(const struct exchange *x)
{
	return x->user;
}

void exchange_set_handler(struct exchange *x, const struct http_handler *h, void *arg)
{
	x->handler = h;
	x->arg = arg;
}

/* Whether the handler may still speak on x. */
static bool is_heard(const struct exchange *x)
{
	return x->state == EXCHANGE_OPEN && !x->silent;
}

void exchange_respond(struct exchange *x, const struct http_response *r, bool end)
{
	if (!is_heard(x) || x->responded)
		return;
	respond(x, r, end);
	session_touched(x->session);
}

bool exchange_write(struct exchange *x, struct str bytes, bool last)
{
	bool room;

	if (!is_heard(x) || !x->responded || x->response_done)
		return true;
	room = write_body(x, bytes, last);
	session_touched(x->session);
	return room;
}

void exchange_trailers(struct exchange *x, const struct http_fields *trailers)
{
	struct err e = ERR_INIT;

	if (!is_heard(x) || !x->responded || x->response_done)
		return;
	x->response_done = true;
	if (x->session->protocol->trailers(x, trailers, &e) != 0)
		abort_with(x, &e);
	else
		x->session->protocol->progress(x);
	session_touched(x->session);
}

void exchange_reply(struct exchange *x, unsigned status, struct str content_type, struct str body,
		    const struct http_fields *extra)
{
	if (!is_heard(x) || x->responded)
		return;
	reply(x, status, content_type, body, extra);
	session_touched(x->session);
}

void exchange_continue(struct exchange *x)
{
	struct err e = ERR_INIT;

	if (!is_heard(x) || x->responded || x->continued)
		return;
	x->continued = true;
	if (!x->request.expect_continue || x->request_done)
		return;
	if (x->session->protocol->interim(x, 100, NULL, &e) != 0)
		abort_with(x, &e);
	session_touched(x->session);
}

void exchange_interim(struct exchange *x, unsigned status, const struct http_fields *fields)
{
	struct err e = ERR_INIT;

	if (!is_heard(x) || x->responded)
		return;
	if (x->session->protocol->interim(x, status, fields, &e) != 0)
		abort_with(x, &e);
	session_touched(x->session);
}

const struct http_fields *exchange_request_trailers(const struct exchange *x)
{
	return x->session->protocol->request_trailers(x);
}

bool exchange_te_trailers(const struct exchange *x)
{
	return x->session->protocol->te_trailers(x);
}

struct str exchange_upgrade(const struct exchange *x)
{
	const struct session_protocol *p = x->session->protocol;

	return p->upgrade ? p->upgrade(x) : STR_NONE;
}

struct conn *exchange_switch(struct exchange *x, const struct http_response *r, struct str *left)
{
	struct err e = ERR_INIT;

	if (!is_heard(x) || x->responded || !exchange_upgrade(x).ptr || !x->request_done)
		return NULL;
	if (x->session->protocol->take(x, r, left, &e) != 0) {
		abort_with(x, &e);
		session_touched(x->session);
		return NULL;
	}
	x->responded = x->response_done = true;
	return session_give(x->session);
}

void exchange_limit_silence(struct exchange *x, uint64_t ms)
{
	x->silence_ms = ms;
}

void exchange_abort(struct exchange *x, const struct err *why)
{
	struct err e = ERR_INIT;

	if (!is_heard(x))
		return;
	if (!why || why->kind == ERR_NONE) {
		err_set(&e, ERR_UNAVAILABLE, "the exchange was aborted");
		why = &e;
	}
	abort_with(x, why);
	session_touched(x->session);
}

void exchange_consumed(struct exchange *x, size_t n)
{
	if (x->state != EXCHANGE_OPEN || !x->session->server->manual_window)
		return;
	/* The handler held the body back: the peer was not late. */
	x->body_ms = session_clock();
	x->session->protocol->consumed(x, n);
	session_touched(x->session);
}
