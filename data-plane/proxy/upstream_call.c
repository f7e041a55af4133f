/* Calls: the user's side of upstream_call.h, the same for HTTP/1 and HTTP/2. */
#include "data-plane/proxy/upstream_call.h"

#include <stdlib.h>

#include "data-plane/proxy/upstream_internal.h"

static const struct sm_state call_states[CALL_STATES] = {
	[CALL_SPARE] = {"spare", SM_TO(CALL_WAITING)},
	[CALL_WAITING] = {"waiting", SM_TO(CALL_READY) | SM_TO(CALL_ENDED)},
	[CALL_READY] = {"ready", SM_TO(CALL_SENT) | SM_TO(CALL_ENDED)},
	[CALL_SENT] = {"sent", SM_TO(CALL_ENDED)},
	[CALL_ENDED] = {"ended", SM_TO(CALL_SPARE)},
};
static const struct sm call_sm = {"upstream_call", call_states, CALL_STATES};

void upstream_call_move(struct upstream_call *c, enum upstream_call_state to)
{
	c->state = (enum upstream_call_state)sm_move(&call_sm, c->state, to, NULL);
}

/* --- life --- */

static void on_due(struct deferred *d);

static struct upstream_call *take_spare(struct upstream_pool *p)
{
	struct link *it = list_first(&p->spares);
	struct upstream_call *c;

	if (it) {
		list_remove(it);
		p->spare_count--;
		return container_of(it, struct upstream_call, link);
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->pool = p;
	list_init(&c->link);
	deferred_init(&c->due, on_due);
	return c;
}

/* c is off its connection. */
static void recycle(struct upstream_call *c)
{
	struct upstream_pool *p = c->pool;

	deferred_cancel(&c->due);
	upstream_call_move(c, CALL_SPARE);
	if (p->spare_count >= UPSTREAM_SPARES) {
		free(c);
		return;
	}
	p->spare_count++;
	list_push_front(&p->spares, &c->link);
}

static void tell_end(struct upstream_call *c, const struct http_fields *trailers)
{
	static const struct http_fields none = {NULL, 0, 0};

	c->events->on_end(c, &c->end, trailers ? trailers : &none, c->arg);
	recycle(c);
}

static void set_end(struct upstream_call *c, enum upstream_failure failure, const struct err *why)
{
	c->end.failure = failure;
	if (why)
		c->end.why = *why;
	upstream_call_move(c, CALL_ENDED);
}

/* --- what the connection tells --- */

void upstream_call_ready(struct upstream_call *c)
{
	upstream_call_move(c, CALL_READY);
	c->conn->protocol->begin(c);
	c->events->on_ready(c, c->end.reused, c->arg);
}

void upstream_call_end(struct upstream_call *c, enum upstream_failure failure,
		       const struct err *why, const struct http_fields *trailers)
{
	set_end(c, failure, why);
	upstream_pool_detach(c);
	tell_end(c, trailers);
}

void upstream_call_fail_later(struct upstream_call *c, enum upstream_failure failure,
			      const struct err *why)
{
	if (c->state == CALL_ENDED)
		return;
	if (c->conn && c->conn->opened)
		c->conn->protocol->cancel(c);
	upstream_pool_detach(c);
	set_end(c, failure, why);
	loop_defer(c->pool->options.loop, &c->due);
}

void upstream_call_drained(struct upstream_call *c)
{
	if (!c->waiting)
		return;
	c->waiting = false;
	c->events->on_drain(c, c->arg);
}

static void on_due(struct deferred *d)
{
	struct upstream_call *c = container_of(d, struct upstream_call, due);

	if (c->state == CALL_READY)
		c->events->on_ready(c, c->end.reused, c->arg);
	else if (c->state == CALL_ENDED)
		tell_end(c, NULL);
}

/* --- what the user asks for --- */

int upstream_call_start(struct upstream_call **out, struct upstream_pool *p,
			const struct upstream_call_options *o, struct err *e)
{
	struct upstream_call *c = take_spare(p);
	enum upstream_failure failure;
	struct err why;

	err_clear(&why);
	if (!c)
		return err_memory(e, "a request to an upstream");
	upstream_call_move(c, CALL_WAITING);
	c->conn = NULL;
	c->addr = o->endpoint.addr;
	c->events = o->events;
	c->arg = o->arg;
	c->arena = o->arena;
	c->write_ms = o->write_ms;
	c->read_ms = o->read_ms;
	c->upgrade = STR_NONE;
	c->head_only = c->request_done = c->waiting = c->head_told = false;
	c->unconsumed = 0;
	c->interims = 0;
	c->state_of = NULL;
	c->end.failure = UPSTREAM_OK;
	c->end.sent = c->end.answered = c->end.reused = false;
	err_clear(&c->end.why);
	*out = c;
	if (upstream_pool_attach(p, c, o, &failure, &why) != 0)
		upstream_call_fail_later(c, failure, &why);
	else if (c->state == CALL_READY)
		loop_defer(p->options.loop, &c->due);
	return 0;
}

bool upstream_call_is_ready(const struct upstream_call *c)
{
	return c->state == CALL_READY;
}

void upstream_call_send_head(struct upstream_call *c, const struct http_request *r,
			     struct str upgrade, bool te_trailers, bool end)
{
	if (c->state != CALL_READY)
		return;
	deferred_cancel(&c->due);
	upstream_call_move(c, CALL_SENT);
	c->head_only = str_eq(r->method, STR("HEAD"));
	c->upgrade = upgrade;
	c->request_done = end;
	/* On a connection that is closing nothing is sent: on_end is on its way. */
	if (c->conn->state == UPSTREAM_BUSY)
		c->conn->protocol->send_head(c, r, upgrade, te_trailers, end);
}

static bool can_write(const struct upstream_call *c)
{
	return c->state == CALL_SENT && c->conn->state == UPSTREAM_BUSY && !c->request_done;
}

bool upstream_call_write(struct upstream_call *c, struct str bytes, bool last)
{
	bool room;

	if (!can_write(c))
		return true;
	c->request_done = last;
	room = c->conn->protocol->write(c, bytes, last);
	c->waiting = !room && !last && c->state == CALL_SENT;
	return room;
}

void upstream_call_trailers(struct upstream_call *c, const struct http_fields *trailers)
{
	if (!can_write(c))
		return;
	c->request_done = true;
	c->conn->protocol->trailers(c, trailers);
}

void upstream_call_consumed(struct upstream_call *c, size_t n)
{
	if (c->state != CALL_SENT || c->conn->state != UPSTREAM_BUSY)
		return;
	c->unconsumed -= n < c->unconsumed ? n : c->unconsumed;
	c->conn->protocol->consumed(c, n);
}

struct conn *upstream_call_take(struct upstream_call *c, struct str *left)
{
	struct upstream_conn *u = c->conn;
	struct conn *conn;

	*left = u->left;
	conn = upstream_conn_give(u);
	set_end(c, UPSTREAM_OK, NULL);
	upstream_pool_detach(c);
	recycle(c);
	return conn;
}

void upstream_call_close(struct upstream_call *c)
{
	if (!c)
		return;
	if (c->state == CALL_ENDED) {
		/* Inside its on_end there is nothing to do. */
		if (!list_empty(&c->due.link))
			recycle(c);
		return;
	}
	if (c->conn && c->conn->opened && c->conn->state != UPSTREAM_CLOSING)
		c->conn->protocol->cancel(c);
	upstream_pool_detach(c);
	set_end(c, UPSTREAM_OK, NULL);
	recycle(c);
}

const struct addr *upstream_call_addr(const struct upstream_call *c)
{
	return &c->addr;
}
