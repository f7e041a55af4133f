/* HTTP/1.1 to an upstream: one call at a time on a connection.
 *
 * Happy path: send_head -> h1_write_request -> conn; input -> h1_parse -> on_interim*, on_head,
 * on_body*, on_end; the connection stays when both messages are complete and nothing is behind.
 * Failure paths:
 *  - bytes or an end while no request is open: the connection goes (UP-03)
 *  - what is no response: UPSTREAM_UNSAFE (UP-01, UP-04, UP-05)
 *  - an end or a reset inside a response: UPSTREAM_RESET (UP-02)
 *  - no progress: conn closes with ERR_TIMEOUT
 *  - the response is complete before the request: told, and the connection goes (H1-25)
 *
 * Time: while the request is sent, what is queued must move within write_ms; from then on something
 * must come within read_ms, as long as this side reads. */
#include "common/http/h1_parse.h"
#include "common/http/h1_write.h"
#include "data-plane/proxy/upstream_internal.h"

static struct upstream_call *current(const struct upstream_conn *u)
{
	struct link *it = list_first(&u->calls);

	return it ? container_of(it, struct upstream_call, link) : NULL;
}

static int open_conn(struct upstream_conn *u, struct err *e)
{
	static const struct h1_limits limits = {
		.head = UPSTREAM_HEAD, .field = UPSTREAM_HEAD, .fields = UPSTREAM_FIELDS};

	(void)e;
	h1_parser_init(&u->u.h1.parser, &limits, STR("http"));
	u->keep = true;
	return 0;
}

static bool has_room(const struct upstream_conn *u)
{
	return u->state == UPSTREAM_IDLE;
}

static void begin(struct upstream_call *c)
{
	c->conn->keep = true;
	c->conn->u.h1.stopped = false;
}

static void deinit(struct upstream_conn *u)
{
	h1_parser_deinit(&u->u.h1.parser);
}

/* --- out --- */

static void watch(struct upstream_conn *u, const struct upstream_call *c)
{
	bool waits = c->request_done && !u->u.h1.stopped;

	conn_idle_timeout(u->conn, waits ? c->read_ms : 0);
}

static void expect_response(struct upstream_conn *u, struct upstream_call *c)
{
	h1_parser_start_response(&u->u.h1.parser, c->arena, &c->response,
				 c->head_only ? STR("HEAD") : STR("GET"));
}

static void send_head(struct upstream_call *c, const struct http_request *r, struct str upgrade,
		      bool te_trailers, bool end)
{
	struct upstream_conn *u = c->conn;
	struct buf *out = &u->pool->scratch;
	unsigned max = u->pool->options.max_requests;
	const struct h1_request_options o = {
		.close = u->private || (max && u->served >= max && !upgrade.ptr),
		.te_trailers = te_trailers,
		.upgrade = upgrade,
	};
	struct err e;

	err_clear(&e);
	(void)end;
	buf_clear(out);
	if (h1_write_request(&u->u.h1.writer, out, r, &o, &e) != 0) {
		upstream_call_fail_later(c, UPSTREAM_UNSAFE, &e);
		return;
	}
	u->keep = false;
	c->end.sent = true;
	c->request_done = u->u.h1.writer.done;
	expect_response(u, c);
	conn_stall_timeout(u->conn, c->write_ms);
	conn_write(u->conn, buf_str(out));
	/* Nothing of it follows: while its bytes are at hand, and not with those of all other
	 * requests of this turn. */
	if (c->request_done)
		conn_flush(u->conn);
	watch(u, c);
}

static bool wrote(struct upstream_call *c, int rc, const struct err *e)
{
	struct upstream_conn *u = c->conn;

	if (rc != 0) {
		upstream_call_fail_later(c, UPSTREAM_UNSAFE, e);
		return true;
	}
	conn_write(u->conn, buf_str(&u->pool->scratch));
	if (u->pool->scratch.cap > UPSTREAM_WINDOW)
		buf_deinit(&u->pool->scratch);
	if (c->request_done)
		watch(u, c);
	return !conn_over_high(u->conn);
}

static bool write_body(struct upstream_call *c, struct str bytes, bool last)
{
	struct upstream_conn *u = c->conn;
	struct err e = ERR_INIT;
	int rc;

	buf_clear(&u->pool->scratch);
	rc = h1_write_body(&u->u.h1.writer, &u->pool->scratch, bytes, last, &e);
	return wrote(c, rc, &e);
}

static void trailers(struct upstream_call *c, const struct http_fields *fields)
{
	struct upstream_conn *u = c->conn;
	struct err e = ERR_INIT;
	int rc;

	buf_clear(&u->pool->scratch);
	rc = h1_write_trailers(&u->u.h1.writer, &u->pool->scratch, fields, &e);
	(void)wrote(c, rc, &e);
}

static void drain(struct upstream_conn *u)
{
	struct upstream_call *c = current(u);

	if (c)
		upstream_call_drained(c);
}

/* --- in --- */

static void update_reading(struct upstream_conn *u, const struct upstream_call *c)
{
	bool stop = c->unconsumed >= UPSTREAM_WINDOW;

	if (stop == u->u.h1.stopped)
		return;
	u->u.h1.stopped = stop;
	if (stop)
		conn_read_stop(u->conn);
	else
		conn_read_start(u->conn);
	watch(u, c);
}

static void consumed(struct upstream_call *c, size_t n)
{
	(void)n;
	update_reading(c->conn, c);
}

static void unsafe(struct upstream_conn *u, const char *what)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_INVALID, "the upstream's answer breaks HTTP: %s", what);
	upstream_conn_close(u, UPSTREAM_UNSAFE, &e);
}

static void take_head(struct upstream_conn *u, struct upstream_call *c)
{
	const struct h1_parser *p = &u->u.h1.parser;
	unsigned status = c->response.status;

	if (status == 101) {
		if (!c->upgrade.ptr || !str_ieq(p->upgrade, c->upgrade))
			unsafe(u, "UP-04");
	} else if (status < 200) {
		if (++c->interims > UPSTREAM_INTERIM_MAX)
			unsafe(u, "UP-05");
	} else {
		c->head_told = true;
		c->events->on_head(c, &c->response, !h1_parser_has_content(p), c->arg);
	}
}

static void take_body(struct upstream_conn *u, struct upstream_call *c, struct str body)
{
	c->unconsumed += body.len;
	c->events->on_body(c, body, c->arg);
	if (current(u) == c && u->state == UPSTREAM_BUSY)
		update_reading(u, c);
}

static void take_switch(struct upstream_conn *u, struct upstream_call *c, struct str behind)
{
	u->left = behind;
	c->events->on_switch(c, &c->response, c->arg);
	if (u->conn && current(u) == c)
		unsafe(u, "a switch that nobody wanted");
}

static void take_interim(struct upstream_conn *u, struct upstream_call *c)
{
	unsigned status = c->response.status;

	if (status == 100 || status == 103)
		c->events->on_interim(c, status, &c->response.fields, c->arg);
	if (current(u) == c && u->state == UPSTREAM_BUSY)
		expect_response(u, c);
}

static void finish(struct upstream_conn *u, struct upstream_call *c, bool clean)
{
	const struct h1_parser *p = &u->u.h1.parser;

	u->keep = clean && c->request_done && u->u.h1.writer.done && !p->close &&
		  !u->u.h1.writer.close;
	/* Reading has to go on: an idle connection is watched (UP-03). */
	if (u->keep && u->u.h1.stopped)
		conn_read_start(u->conn);
	upstream_call_end(c, UPSTREAM_OK, NULL, &p->trailers);
}

static void take_end(struct upstream_conn *u, struct upstream_call *c, struct str behind)
{
	if (c->response.status == 101)
		take_switch(u, c, behind);
	else if (c->response.status < 200)
		take_interim(u, c);
	else
		finish(u, c, behind.len == 0);
}

static void take_error(struct upstream_conn *u)
{
	const struct h1_parser *p = &u->u.h1.parser;
	struct err e = ERR_INIT;

	if (p->status != 500) {
		unsafe(u, p->reason);
		return;
	}
	err_memory(&e, "an upstream's answer");
	upstream_conn_close(u, UPSTREAM_MEMORY, &e);
}

/* What comes while no request is open, or before it was sent (UP-03). */
static void take_stray(struct upstream_conn *u)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_INVALID, "bytes from the upstream that answer nothing: UP-03");
	upstream_conn_close(u, UPSTREAM_RESET, &e);
}

static void input(struct upstream_conn *u, struct str bytes)
{
	struct upstream_call *c = current(u);
	bool more = true;

	if (u->state == UPSTREAM_CLOSING)
		return;
	if (!c || c->state != CALL_SENT) {
		take_stray(u);
		return;
	}
	c->end.answered = true;
	while (more && u->state == UPSTREAM_BUSY && current(u) == c) {
		struct str body = STR_NONE;
		enum h1_event event = h1_parse(&u->u.h1.parser, &bytes, &body);
		bool interim = c->response.status < 200;

		if (event == H1_HEAD)
			take_head(u, c);
		else if (event == H1_BODY)
			take_body(u, c, body);
		else if (event == H1_END)
			take_end(u, c, bytes);
		else if (event == H1_ERROR)
			take_error(u);
		more = event == H1_HEAD || event == H1_BODY || (event == H1_END && interim);
	}
}

static void eof(struct upstream_conn *u)
{
	struct upstream_call *c = current(u);

	if (!c || c->state != CALL_SENT || u->state != UPSTREAM_BUSY)
		return;
	if (h1_parse_end(&u->u.h1.parser) == H1_END && c->head_told)
		finish(u, c, false);
}

static void cancel(struct upstream_call *c)
{
	(void)c; /* a connection that is not to be kept is closed */
}

const struct upstream_protocol upstream_h1 = {
	.shared = false,
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
