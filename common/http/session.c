/* Server sessions: the connection's events, the turn of a session, closing.
 *
 * Happy path: on_open -> H1, H2 or SNIFF -> on_data -> protocol -> exchanges -> session_run ->
 * conn_write ... -> on_close -> freed.
 * Failure paths:
 *  - out of memory at on_open: conn_close, no session
 *  - the conn closes at any moment: on_close ends every exchange with its reason
 *  - a limit or a rule: the protocol answers and calls session_shutdown or session_close */
#include "common/http/session.h"

#include <stdlib.h>

#include "common/core/clock.h"
#include "common/http/session_internal.h"

static const struct sm_state session_states[SESSION_STATES] = {
	[SESSION_OPENING] = {"opening", SM_TO(SESSION_SNIFF) | SM_TO(SESSION_H1) |
						SM_TO(SESSION_H2) | SM_TO(SESSION_CLOSED)},
	[SESSION_SNIFF] = {"sniff", SM_TO(SESSION_H1) | SM_TO(SESSION_H2) | SM_TO(SESSION_LINGER) |
					    SM_TO(SESSION_CLOSED)},
	[SESSION_H1] = {"h1", SM_TO(SESSION_LINGER) | SM_TO(SESSION_CLOSED)},
	[SESSION_H2] = {"h2", SM_TO(SESSION_LINGER) | SM_TO(SESSION_CLOSED)},
	[SESSION_LINGER] = {"linger", SM_TO(SESSION_CLOSED)},
	[SESSION_CLOSED] = {"closed", 0},
};
static const struct sm session_sm = {"session", session_states, SESSION_STATES};

void session_move(struct session *s, enum session_state to)
{
	s->state = (enum session_state)sm_move(&session_sm, s->state, to, NULL);
}

uint64_t session_clock(void)
{
	return clock_mono_ns() / 1000000;
}

struct str session_date(struct http_server *server)
{
	time_t now = (time_t)clock_wall_s();
	struct tm tm;

	if (server->date_s != now && gmtime_r(&now, &tm)) {
		server->date_len = strftime(server->date, sizeof(server->date),
					    "%a, %d %b %Y %H:%M:%S GMT", &tm);
		server->date_s = now;
	}
	return (struct str){server->date, server->date_len};
}

void session_rejected(struct session *s, const char *reason)
{
	if (s->server->on_rejected)
		s->server->on_rejected(reason, s->server->arg);
}

bool session_overloaded(const struct session *s)
{
	return s->server->overloaded && s->server->overloaded(s->server->arg);
}

/* --- output --- */

void session_borrow(struct session *s, struct buf *b)
{
	if (b->data)
		return;
	if (s->server->scratch_count > 0)
		*b = s->server->scratch[--s->server->scratch_count];
}

void session_return(struct session *s, struct buf *b)
{
	buf_clear(b);
	if (s->server->scratch_count == HTTP_SCRATCHES || b->cap > SESSION_BATCH_KEPT)
		buf_deinit(b);
	else if (b->data)
		s->server->scratch[s->server->scratch_count++] = *b;
	*b = (struct buf)BUF_INIT;
}

void session_send(struct session *s, struct str bytes)
{
	s->given += bytes.len;
	conn_write(s->conn, bytes);
}

/* --- the turn --- */

static void arm(struct session *s, uint64_t at)
{
	if (s->gone || at >= s->armed_ms)
		return;
	s->armed_ms = at;
	conn_wake(s->conn, at > s->now_ms ? at - s->now_ms : 1);
}

static bool speaks(const struct session *s)
{
	return s->state == SESSION_H1 || s->state == SESSION_H2;
}

static bool tell_drained(struct session *s)
{
	struct link *it = list_first(&s->drained);
	struct exchange *x;

	if (!it)
		return false;
	x = container_of(it, struct exchange, due);
	list_remove(it);
	if (x->state == EXCHANGE_OPEN && !x->silent && x->handler->on_drain)
		x->handler->on_drain(x, x->arg);
	return true;
}

static bool tell_ended(struct session *s)
{
	struct link *it = list_first(&s->ended);

	if (!it)
		return false;
	exchange_tell_end(container_of(it, struct exchange, link));
	return true;
}

static void run(struct session *s)
{
	bool again;

	do {
		/* All at once: what follows looks at the whole connection. */
		while (tell_drained(s) || tell_ended(s))
			;
		again = speaks(s) && s->protocol->next(s);
		if (speaks(s))
			s->protocol->flush(s);
		again = again || !list_empty(&s->drained) || !list_empty(&s->ended);
	} while (again);
}

static void free_spares(struct http_server *server)
{
	list_for_each_safe(it, &server->spares)
	{
		list_remove(it);
		exchange_free(container_of(it, struct exchange, link));
	}
	server->spare_count = 0;
	while (server->scratch_count > 0)
		buf_deinit(&server->scratch[--server->scratch_count]);
	h2_mem_deinit(&server->h2_mem);
}

/* One connection less. The owner may free the server in its callback: nobody looks at it
 * afterwards. */
static void server_left(struct http_server *server)
{
	void (*closed)(void *arg) = server->on_closed;

	if (!closed || !list_empty(&server->conns) || server->session_count > 0)
		return;
	server->on_closed = NULL;
	closed(server->on_closed_arg);
}

/* The conn is gone and nothing is left to tell. */
static void leave_server(struct session *s)
{
	struct http_server *server = s->server;

	deferred_cancel(&s->due);
	list_remove(&s->link);
	if (s->protocol)
		s->protocol->deinit(s);
	buf_deinit(&s->out);
	server->session_count--;
	if (server->session_count == 0)
		free_spares(server);
	free(s);
	server_left(server);
}

static uint64_t sniff_deadline(const struct session *s)
{
	return s->opened_ms + s->server->limits.head_ms;
}

void session_enter(struct session *s)
{
	if (s->entered++ == 0)
		s->now_ms = session_clock();
}

void session_leave(struct session *s)
{
	assert(s->entered > 0);
	if (s->entered > 1) {
		s->entered--;
		return;
	}
	run(s);
	s->entered = 0;
	if (s->gone)
		leave_server(s);
	else if (speaks(s))
		arm(s, s->protocol->deadline(s));
	else if (s->state == SESSION_SNIFF)
		arm(s, sniff_deadline(s));
}

void session_touched(struct session *s)
{
	if (s->entered > 0)
		return;
	/* Not sent at once: head and body of an answer are to be one record and one write. */
	loop_defer(conn_loop(s->conn), &s->due);
}

static void conn_ended(struct http_server *server)
{
	if (server->listener)
		listener_done(server->listener);
}

static void end_all(struct session *s, const struct err *why)
{
	list_for_each_safe(it, &s->live) exchange_end(container_of(it, struct exchange, link), why);
}

struct conn *session_give(struct session *s)
{
	struct conn *c = s->conn;

	assert(s->entered == 0);
	s->protocol->flush(s);
	session_move(s, SESSION_CLOSED);
	end_all(s, NULL);
	s->gone = true;
	conn_wake(c, 0);
	/* It may be closed and freed before on_end is told. */
	s->conn = NULL;
	conn_ended(s->server);
	loop_defer(conn_loop(c), &s->due);
	return c;
}

void session_shutdown(struct session *s, const struct err *why)
{
	if (s->state == SESSION_LINGER || s->state == SESSION_CLOSED)
		return;
	if (speaks(s))
		s->protocol->flush(s);
	session_move(s, SESSION_LINGER);
	end_all(s, why);
	conn_shutdown(s->conn);
}

void session_close(struct session *s, const struct err *why)
{
	if (s->state == SESSION_CLOSED)
		return;
	session_move(s, SESSION_CLOSED);
	end_all(s, why);
	if (why && why->kind != ERR_NONE)
		conn_fail(s->conn, why);
	else
		conn_close(s->conn);
}

/* --- the conn's events --- */

static void start(struct session *s, enum session_state state)
{
	struct err e = ERR_INIT;

	session_move(s, state);
	if (state == SESSION_H1) {
		session_h1_start(s);
	} else if (session_h2_start(s, &e) != 0) {
		session_close(s, &e);
		return;
	}
	s->protocol = state == SESSION_H2 ? &session_h2 : &session_h1;
	if (s->server->draining)
		s->protocol->drain(s);
}

static void sniff(struct session *s, struct str bytes)
{
	enum h1_preface found = h1_preface(s->preface, bytes);

	if (found == H1_PREFACE_PART) {
		s->preface += bytes.len;
		return;
	}
	start(s, found == H1_PREFACE_WHOLE ? SESSION_H2 : SESSION_H1);
	if (speaks(s) && s->preface > 0)
		s->protocol->input(s, (struct str){H1_PREFACE, s->preface});
	if (speaks(s))
		s->protocol->input(s, bytes);
}

static void on_data(struct conn *c, struct str bytes, void *arg)
{
	struct session *s = arg;

	(void)c;
	session_enter(s);
	s->active_ms = s->now_ms;
	if (s->state == SESSION_SNIFF)
		sniff(s, bytes);
	else if (speaks(s))
		s->protocol->input(s, bytes);
	session_leave(s);
}

static void on_drain(struct conn *c, void *arg)
{
	struct session *s = arg;

	(void)c;
	session_enter(s);
	session_leave(s);
}

static void on_eof(struct conn *c, void *arg)
{
	struct session *s = arg;

	(void)c;
	session_enter(s);
	if (speaks(s))
		s->protocol->eof(s);
	else
		session_shutdown(s, NULL);
	session_leave(s);
}

static void on_close(struct conn *c, const struct err *why, void *arg)
{
	struct session *s = arg;
	struct err e = *why;

	(void)c;
	if (e.kind == ERR_NONE)
		err_set(&e, ERR_UNAVAILABLE, "the connection was closed");
	session_enter(s);
	if (s->state != SESSION_CLOSED)
		session_move(s, SESSION_CLOSED);
	end_all(s, &e);
	s->gone = true;
	conn_ended(s->server);
	session_leave(s);
}

static void on_wake(struct conn *c, void *arg)
{
	struct session *s = arg;

	(void)c;
	session_enter(s);
	s->armed_ms = SESSION_NEVER;
	if (s->state == SESSION_SNIFF && s->now_ms >= sniff_deadline(s)) {
		session_rejected(s, "head_timeout");
		session_close(s, NULL);
	}
	if (speaks(s))
		s->protocol->check(s);
	session_leave(s);
}

static const struct conn_events session_events = {
	.on_data = on_data,
	.on_wake = on_wake,
	.on_drain = on_drain,
	.on_eof = on_eof,
	.on_close = on_close,
};

static void on_due(struct deferred *d)
{
	struct session *s = container_of(d, struct session, due);

	session_enter(s);
	session_leave(s);
}

static struct session *new_session(struct http_server *server, struct conn *c)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->server = server;
	s->conn = c;
	list_init(&s->link);
	list_init(&s->live);
	list_init(&s->ended);
	list_init(&s->drained);
	deferred_init(&s->due, on_due);
	s->armed_ms = SESSION_NEVER;
	s->now_ms = session_clock();
	s->active_ms = s->now_ms;
	s->opened_ms = s->now_ms;
	list_push(&server->sessions, &s->link);
	server->session_count++;
	return s;
}

static void server_on_open(struct conn *c, void *arg)
{
	struct http_server *server = arg;
	struct session *s;

	/* It was for the handshake alone (RFC 8737 section 4). */
	if (str_eq(conn_alpn(c), STR("acme-tls/1"))) {
		conn_shutdown(c);
		return;
	}
	s = server->closed ? NULL : new_session(server, c);
	if (!s) {
		conn_close(c);
		return;
	}
	session_limits(&server->limits);
	conn_set_events(c, &session_events, s);
	session_enter(s);
	if (str_eq(conn_alpn(c), STR("h2")))
		start(s, SESSION_H2);
	else if (server->http2 && !conn_ssl(c))
		session_move(s, SESSION_SNIFF);
	else
		start(s, SESSION_H1);
	if (s->state != SESSION_CLOSED)
		conn_read_start(c);
	session_leave(s);
}

/* It never opened. */
static void server_on_close(struct conn *c, const struct err *why, void *arg)
{
	(void)c;
	(void)why;
	conn_ended(arg);
	server_left(arg);
}

static void server_on_data(struct conn *c, struct str bytes, void *arg)
{
	(void)c;
	(void)bytes;
	(void)arg;
}

static const struct conn_events server_events = {
	.on_open = server_on_open,
	.on_data = server_on_data,
	.on_close = server_on_close,
};

/* --- the server --- */

void http_server_init(struct http_server *s, const struct http_handler *handler, void *arg)
{
	memset(s, 0, sizeof(*s));
	s->handler = handler;
	s->arg = arg;
	list_init(&s->sessions);
	list_init(&s->conns);
	list_init(&s->spares);
}

/* H1-38 */
#define PLAIN_HTTP_TEXT "This port speaks TLS: use https.\n"
#define PLAIN_HTTP_REPLY                                                                           \
	"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 33\r\n"           \
	"Connection: close\r\n\r\n" PLAIN_HTTP_TEXT
static_assert(sizeof(PLAIN_HTTP_TEXT) - 1 == 33, "Content-Length above");

static bool is_full(const struct http_server *s)
{
	unsigned n = 0;

	list_for_each(it, &s->conns) n++;
	return s->max_connections && n >= s->max_connections;
}

int http_server_accept(struct http_server *s, struct conn_options *o, struct err *e)
{
	if (s->draining || s->closed)
		return err_set(e, ERR_UNAVAILABLE, "the server takes no more connections");
	if (is_full(s)) {
		if (s->on_rejected)
			s->on_rejected("connections", s->arg);
		return err_set(e, ERR_LIMIT, "%u connections are open", s->max_connections);
	}
	o->events = &server_events;
	o->arg = s;
	o->write_high = SESSION_WRITE_HIGH;
	o->group = &s->conns;
	o->plain_http_reply = STR(PLAIN_HTTP_REPLY);
	return 0;
}

void http_server_drain(struct http_server *s)
{
	s->draining = true;
	list_for_each_safe(it, &s->sessions)
	{
		struct session *x = container_of(it, struct session, link);

		session_enter(x);
		if (speaks(x))
			x->protocol->drain(x);
		else if (x->state == SESSION_SNIFF)
			session_shutdown(x, NULL);
		session_leave(x);
	}
}

bool http_server_close(struct http_server *s, void (*closed)(void *arg), void *arg)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_UNAVAILABLE, "the server was closed");
	s->closed = true;
	list_for_each_safe(it, &s->sessions)
	{
		struct session *x = container_of(it, struct session, link);

		session_close(x, &e);
		session_touched(x);
	}
	conn_close_group(&s->conns);
	if (list_empty(&s->conns) && s->session_count == 0)
		return false;
	s->on_closed = closed;
	s->on_closed_arg = arg;
	return true;
}
