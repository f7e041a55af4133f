/* What may take too long on an HTTP/2 connection to an upstream.
 *
 *  - nothing moves for write_ms while body bytes wait, or for read_ms after the request:
 *    UPSTREAM_TIMEOUT of that call alone
 *  - nothing comes while calls are open: PING, and without an answer the connection goes
 */
#include "data-plane/proxy/upstream_h2_internal.h"

enum {
	/* gRPC servers end connections that are pinged more often than every five minutes. */
	PING_MS = 310 * 1000,
	PONG_MS = 20 * 1000,
};

static bool waits_to_send(const struct upstream_call *c, const struct h2_call *s)
{
	return !s->h2.head_sent || h2_queued(&s->h2) > 0 || (c->request_done && !s->h2.local_ended);
}

/* Loop time at which the call has waited too long; 0: it waits for its user. */
static uint64_t due_at(const struct upstream_call *c)
{
	const struct h2_call *s = c->state_of;

	if (!s)
		return 0;
	if (waits_to_send(c, s))
		return s->moved_at + c->write_ms;
	/* Bytes that the user has not taken: it is the user who is slow. */
	return c->request_done && c->unconsumed < H2_WINDOW / 2 ? s->moved_at + c->read_ms : 0;
}

static uint64_t ping_due_at(const struct h2_side *d)
{
	return d->ping_at ? d->ping_at + PONG_MS : d->heard_at + PING_MS;
}

static void check_ping(struct h2_side *d, uint64_t now)
{
	struct err e = ERR_INIT;

	if (ping_due_at(d) > now)
		return;
	if (d->ping_at) {
		err_set(&e, ERR_TIMEOUT, "no answer to PING within %d ms", PONG_MS);
		upstream_conn_close(d->conn, UPSTREAM_RESET, &e);
		return;
	}
	d->ping_at = now;
	h2_ping(d->h2);
}

static void note_moves(struct h2_side *d, uint64_t now)
{
	list_for_each(it, &d->streams)
	{
		struct h2_call *s = container_of(it, struct h2_call, link);

		if (s->h2.taken != s->taken)
			s->moved_at = now;
		s->taken = s->h2.taken;
	}
}

static struct upstream_call *overdue(const struct h2_side *d, uint64_t now)
{
	list_for_each(it, &d->conn->calls)
	{
		struct upstream_call *c = container_of(it, struct upstream_call, link);
		uint64_t due = due_at(c);

		if (due && due <= now)
			return c;
	}
	return NULL;
}

static void end_overdue(struct h2_side *d, uint64_t now)
{
	struct upstream_call *c;
	struct err e = ERR_INIT;

	/* Others may leave too when one is told, so that each walk begins anew. */
	while (d->conn->state == UPSTREAM_BUSY && (c = overdue(d, now)) != NULL) {
		const struct h2_call *s = c->state_of;

		err_set(&e, ERR_TIMEOUT, "nothing moved on a stream for %llu ms",
			(unsigned long long)(now - s->moved_at));
		h2_side_end(c, UPSTREAM_TIMEOUT, &e, NGHTTP2_CANCEL, NULL);
	}
}

uint64_t h2_time_shortest(const struct upstream_call *c)
{
	return c->read_ms < c->write_ms ? c->read_ms : c->write_ms;
}

void h2_time_want(struct h2_side *d, uint64_t at)
{
	uint64_t now = h2_side_now(d);

	if (d->timer_at && d->timer_at <= at)
		return;
	timer_start(&d->timer, at > now ? at - now : 1, 0);
	d->timer_at = at;
}

/* Progress only moves moved_at; the timer looks at it when it fires and goes on from there. */
void h2_time_fire(struct timer *t)
{
	struct h2_side *d = container_of(t, struct h2_side, timer);
	uint64_t now = h2_side_now(d);

	d->timer_at = 0;
	if (d->conn->state != UPSTREAM_BUSY)
		return;
	note_moves(d, now);
	end_overdue(d, now);
	if (d->conn->state != UPSTREAM_BUSY)
		return;
	check_ping(d, now);
	h2_side_emit(d);
	if (d->conn->state != UPSTREAM_BUSY)
		return;
	h2_time_want(d, ping_due_at(d));
	list_for_each(it, &d->conn->calls)
	{
		const struct upstream_call *c = container_of(it, struct upstream_call, link);
		uint64_t due = due_at(c);

		/* One that waits for its user may wait for the upstream any moment. */
		h2_time_want(d, due ? due : now + h2_time_shortest(c));
	}
}
