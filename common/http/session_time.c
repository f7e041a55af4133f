/* Defaults and deadlines of sessions (reliability-goals sections 2 and 6). */
#include "common/http/session_internal.h"

static const struct http_limits defaults = {
	.request_line = 8 << 10,
	.field = 16 << 10,
	.head = 32 << 10,
	.fields = 100,
	.body = 0,
	.requests_per_connection = 1000,
	.streams = 128,
	.head_ms = 15000,
	.body_idle_ms = 60000,
	.idle_ms = 60000,
	.write_idle_ms = 60000,
	.ping_ms = 0,
};

#define DEFAULT(field) l->field = l->field ? l->field : defaults.field

void session_limits(struct http_limits *l)
{
	DEFAULT(request_line);
	DEFAULT(field);
	DEFAULT(head);
	DEFAULT(fields);
	DEFAULT(requests_per_connection);
	DEFAULT(streams);
	DEFAULT(head_ms);
	DEFAULT(body_idle_ms);
	DEFAULT(idle_ms);
	DEFAULT(write_idle_ms);
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t session_tick(const struct http_limits *l)
{
	uint64_t least = smaller(smaller(l->body_idle_ms, l->write_idle_ms), l->head_ms);

	if (l->ping_ms)
		least = smaller(least, l->ping_ms);
	return least / 4 + 1;
}

bool stall_check(struct stall *st, uint64_t now, uint64_t limit, uint64_t taken, uint64_t waiting)
{
	uint64_t enough = smaller(limit * SESSION_WRITE_RATE / 1000 + 1, st->waiting);

	if (waiting == 0) {
		st->since_ms = 0;
		return false;
	}
	if (st->since_ms != 0 && taken - st->taken < enough)
		return now - st->since_ms >= limit;
	*st = (struct stall){now, taken, waiting};
	return false;
}

bool session_write_stalled(struct session *s)
{
	size_t queued = conn_queued(s->conn);
	struct err e = ERR_INIT;

	if (!stall_check(&s->stall, s->now_ms, s->server->limits.write_idle_ms, s->given - queued,
			 queued))
		return false;
	session_rejected(s, "write_idle");
	err_set(&e, ERR_TIMEOUT, "the client does not read its answer");
	session_close(s, &e);
	return true;
}

bool exchange_is_silent(const struct exchange *x)
{
	uint64_t last = x->answer_ms > x->body_ms ? x->answer_ms : x->body_ms;

	return x->silence_ms && x->responded && !x->response_done && !x->request_done &&
	       x->session->now_ms - last >= x->silence_ms;
}

bool exchange_body_late(const struct exchange *x)
{
	const struct session *s = x->session;
	uint64_t took = s->now_ms - x->started_ms;

	if (x->request_done || x->responded || x->silent)
		return false;
	if (s->now_ms - x->body_ms >= s->server->limits.body_idle_ms)
		return true;
	return took > SESSION_RATE_AFTER_MS && x->body_bytes < took * SESSION_BODY_RATE / 1000;
}
