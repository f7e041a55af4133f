/* A request's life, the events of its exchange, and the client's body.
 *
 * Happy path: on_head -> challenge? -> route -> plugins -> (body read) -> target -> call -> head
 * and body go up as they come, head and body come down as they come -> on_end. Failure paths:
 *  - no route, a plugin's answer, no target: answered here
 *  - the call fails before its head: another try (request_upstream.c), else 502, 503, 504
 *  - it fails later: exchange_abort
 *  - the client leaves: on_end closes the call
 *
 * The body: bytes are kept as long as they may have to be sent (again): until the call takes them,
 * and with request_buffering up to client_body_buffer_size of them until the answer begins. What is
 * neither kept nor taken is left in the client's window. */
#include "data-plane/proxy/request.h"

#include <string.h>

#include "common/core/clock.h"
#include "data-plane/proxy/request_internal.h"

#define TO_ENDS (SM_TO(REQUEST_ANSWERED) | SM_TO(REQUEST_DONE))

static const struct sm_state request_states[REQUEST_STATES] = {
	[REQUEST_ROUTING] = {"routing", SM_TO(REQUEST_PLUGINS) | TO_ENDS},
	[REQUEST_PLUGINS] = {"plugins",
			     SM_TO(REQUEST_BUFFERING) | SM_TO(REQUEST_PICKING) | TO_ENDS},
	[REQUEST_BUFFERING] = {"buffering", SM_TO(REQUEST_PICKING) | TO_ENDS},
	[REQUEST_PICKING] = {"picking", SM_TO(REQUEST_CONNECTING) | TO_ENDS},
	[REQUEST_CONNECTING] = {"connecting",
				SM_TO(REQUEST_SENDING) | SM_TO(REQUEST_PICKING) | TO_ENDS},
	[REQUEST_SENDING] = {"sending",
			     SM_TO(REQUEST_ANSWERING) | SM_TO(REQUEST_PICKING) | TO_ENDS},
	[REQUEST_ANSWERING] = {"answering", TO_ENDS},
	[REQUEST_ANSWERED] = {"answered", SM_TO(REQUEST_DONE)},
	[REQUEST_DONE] = {"done", 0},
};
static const struct sm request_sm = {"request", request_states, REQUEST_STATES};

void request_move(struct request *r, enum request_state to)
{
	r->state = (enum request_state)sm_move(&request_sm, r->state, to, r->id);
}

/* --- the turn of the tables --- */

bool request_refresh(struct request *r)
{
	const struct tables *t = r->proxy->options.tables;

	if (r->turn == r->proxy->turn)
		return !r->has_service || r->service;
	r->turn = r->proxy->turn;
	r->generation = tables_enter(t);
	r->route = NULL;
	r->service =
		r->has_service ? service_find(&t->entities, r->generation, r->service_id) : NULL;
	if (r->service && !r->service->enabled)
		r->service = NULL;
	return !r->has_service || r->service;
}

/* --- the client's body --- */

void request_give_window(struct request *r)
{
	size_t n = r->owed;

	r->owed = 0;
	if (n > 0)
		exchange_consumed(r->exchange, n);
}

static bool keeps(const struct request *r)
{
	return r->action.request_buffering;
}

static int keep(struct request *r, struct str bytes, struct err *e)
{
	if (!r->kept.data && r->proxy->spare_body.data) {
		r->kept = r->proxy->spare_body;
		r->proxy->spare_body = (struct buf)BUF_INIT;
	}
	return bytes.len > 0 ? buf_add_str(&r->kept, bytes, e) : 0;
}

void request_drop_kept(struct request *r)
{
	struct proxy *p = r->proxy;

	if (r->kept.data && !p->spare_body.data && r->kept.cap <= 2 * REQUEST_BODY_SPARE) {
		buf_clear(&r->kept);
		p->spare_body = r->kept;
	} else {
		buf_deinit(&r->kept);
	}
	r->kept = (struct buf)BUF_INIT;
	r->kept_sent = 0;
}

static bool has_trailers(struct request *r)
{
	return request_trailers(r)->count > 0;
}

/* Bytes before the call takes any. */
static void hold_back(struct request *r, struct str bytes)
{
	struct err e = ERR_INIT;

	if (keep(r, bytes, &e) != 0) {
		exchange_abort(r->exchange, &e);
		return;
	}
	r->owed += bytes.len;
	if (r->state != REQUEST_BUFFERING)
		return;
	if (r->body_done || r->kept.len >= r->proxy->options.body_buffer)
		request_start(r);
	else
		request_give_window(r);
}

/* A copy stays as long as the whole of it may have to be sent again. */
static void keep_copy(struct request *r, struct str bytes)
{
	if (r->body_passed || bytes.len == 0)
		return;
	if (keeps(r) && r->kept.len + bytes.len <= r->proxy->options.body_buffer &&
	    keep(r, bytes, NULL) == 0) {
		r->kept_sent = r->kept.len;
		return;
	}
	r->body_passed = true;
	request_drop_kept(r);
}

static void pass(struct request *r, struct str bytes, bool last)
{
	if (!r->call) {
		exchange_consumed(r->exchange, bytes.len);
		return;
	}
	if (r->state == REQUEST_SENDING)
		keep_copy(r, bytes);
	r->owed += bytes.len;
	if (last && has_trailers(r))
		upstream_call_trailers(r->call, request_trailers(r));
	else if (upstream_call_write(r->call, bytes, last))
		request_give_window(r);
}

void request_send_kept(struct request *r)
{
	struct str bytes = str_sub(buf_str(&r->kept), r->kept_sent, r->kept.len);
	bool room = true;

	if (!r->out.has_body)
		return;
	r->kept_sent = r->kept.len;
	if (r->body_done && has_trailers(r)) {
		if (bytes.len > 0)
			(void)upstream_call_write(r->call, bytes, false);
		upstream_call_trailers(r->call, request_trailers(r));
	} else if (bytes.len > 0 || r->body_done) {
		room = upstream_call_write(r->call, bytes, r->body_done);
	}
	if (r->kept.len > 0 && (!keeps(r) || r->kept.len > r->proxy->options.body_buffer)) {
		r->body_passed = true;
		request_drop_kept(r);
	}
	if (room)
		request_give_window(r);
}

/* --- on the way --- */

void request_start(struct request *r)
{
	/* The rest of a body came in a later turn. */
	if (!request_refresh(r)) {
		request_fail(r, 503, "no Service found with those values");
		return;
	}
	request_move(r, REQUEST_PICKING);
	request_pick(r);
}

void request_proceed(struct request *r)
{
	if (!request_refresh(r) || !r->service) {
		request_fail(r, 503, "no Service found with those values");
		return;
	}
	r->retries = r->service->retries;
	r->connect_ms = r->service->connect_ms;
	r->write_ms = r->service->write_ms;
	r->read_ms = r->service->read_ms;
	if (request_make_out(r) != 0) {
		request_fail(r, 500, "An unexpected error occurred");
		return;
	}
	if (keeps(r) && r->head->has_body && !r->body_done) {
		request_move(r, REQUEST_BUFFERING);
		r->out.expect_continue = false;
		exchange_continue(r->exchange);
		/* What came while a plugin waited. */
		if (r->kept.len < r->proxy->options.body_buffer)
			request_give_window(r);
		else
			request_start(r);
		return;
	}
	request_start(r);
}

/* --- the exchange's events --- */

static void on_head(struct exchange *x, void *arg)
{
	struct proxy *p = arg;
	struct request *r;
	struct err e;

	err_clear(&e);
	if (request_challenge(x, p))
		return;
	r = arena_alloc(exchange_arena(x), sizeof(*r));
	if (!r) {
		err_memory(&e, "a request");
		exchange_abort(x, &e);
		return;
	}
	r->proxy = p;
	r->exchange = x;
	r->head = exchange_request(x);
	r->body_done = !r->head->has_body;
	r->turn = p->turn;
	r->started_ns = clock_mono_ns();
	request_ids_next(&p->ids, r->id);
	exchange_set_user(x, r);
	request_route_it(r);
}

static void over_limit(struct request *r)
{
	struct err e = ERR_INIT;

	stats_rejected(r->proxy->options.stats, "body_limit");
	if (r->state < REQUEST_ANSWERING) {
		request_fail(r, 413, r->body_message);
		return;
	}
	err_set(&e, ERR_LIMIT, "the request body is larger than %llu bytes",
		(unsigned long long)r->body_limit);
	exchange_abort(r->exchange, &e);
}

static void on_body(struct exchange *x, struct str bytes, bool last, void *arg)
{
	struct request *r = exchange_user(x);

	(void)arg;
	if (r)
		r->bytes_in += bytes.len;
	if (r && r->body_limit && r->bytes_in > r->body_limit && r->state < REQUEST_ANSWERED) {
		over_limit(r);
		exchange_consumed(x, bytes.len);
		return;
	}
	if (!r || r->state >= REQUEST_ANSWERED) {
		exchange_consumed(x, bytes.len);
		return;
	}
	r->body_done = r->body_done || last;
	if (r->state == REQUEST_SENDING || r->state == REQUEST_ANSWERING)
		pass(r, bytes, last);
	else
		hold_back(r, bytes);
}

static void on_drain(struct exchange *x, void *arg)
{
	struct request *r = exchange_user(x);
	size_t n = r ? r->answer_owed : 0;

	(void)arg;
	if (r)
		r->answer_ahead = 0;
	if (n == 0)
		return;
	r->answer_owed = 0;
	if (r->call)
		upstream_call_consumed(r->call, n);
}

static void on_end(struct exchange *x, const struct err *why, void *arg)
{
	struct request *r = exchange_user(x);

	(void)arg;
	if (!r)
		return;
	if (r->status == 0)
		r->status = exchange_status(x);
	request_account(r, why);
	request_leave_upstream(r);
	request_drop_kept(r);
	if (r->gone)
		r->gone(r->gone_arg);
	request_move(r, REQUEST_DONE);
}

const struct http_handler proxy_handler = {
	.on_head = on_head,
	.on_body = on_body,
	.on_drain = on_drain,
	.on_end = on_end,
};

/* --- what plugins may ask --- */

const struct http_request *request_head(const struct request *r)
{
	return r->head;
}

struct arena *request_arena(struct request *r)
{
	return exchange_arena(r->exchange);
}

const struct client *request_client(const struct request *r)
{
	return &r->client;
}

const struct tables *request_tables(const struct request *r)
{
	return r->proxy->options.tables;
}

uint64_t request_generation(const struct request *r)
{
	return r->generation;
}

const struct route *request_route(const struct request *r)
{
	return r->route;
}

const struct service *request_service(const struct request *r)
{
	return r->service;
}

struct str request_id(const struct request *r)
{
	return (struct str){r->id, REQUEST_ID_TEXT};
}

struct loop *request_loop(struct request *r)
{
	return r->proxy->options.loop;
}

X509 *request_certificate(const struct request *r)
{
	SSL *ssl = conn_ssl(exchange_conn(r->exchange));

	return ssl ? SSL_get0_peer_certificate(ssl) : NULL;
}

STACK_OF(X509) * request_chain(const struct request *r)
{
	SSL *ssl = conn_ssl(exchange_conn(r->exchange));

	return ssl ? SSL_get_peer_cert_chain(ssl) : NULL;
}

int request_set_consumer(struct request *r, const struct consumer *c, bool anonymous)
{
	r->consumer_set = c != NULL;
	r->anonymous = c && anonymous;
	r->consumer_name = STR_NONE;
	if (!c)
		return 0;
	memcpy(r->consumer, c->entity.id, ENTITY_ID_SIZE);
	if (!c->username.ptr)
		return 0;
	r->consumer_name = arena_str(request_arena(r), c->username);
	return r->consumer_name.ptr ? 0 : -1;
}

const unsigned char *request_consumer(const struct request *r)
{
	return r->consumer_set ? r->consumer : NULL;
}

bool request_is_anonymous(const struct request *r)
{
	return r->anonymous;
}

bool request_limit_body(struct request *r, uint64_t limit, const char *message)
{
	r->body_limit = limit;
	r->body_message = message;
	return r->bytes_in <= limit;
}

void request_on_gone(struct request *r, void (*gone)(void *arg), void *arg)
{
	r->gone = gone;
	r->gone_arg = arg;
}

void request_resume(struct request *r)
{
	if (r->state != REQUEST_PLUGINS)
		return;
	if (!request_refresh(r)) {
		request_fail(r, 503, "no Service found with those values");
		return;
	}
	request_run_plugins(r);
}
