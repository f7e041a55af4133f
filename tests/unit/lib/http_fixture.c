#include "tests/unit/lib/http_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct gathered {
	struct buf body;
	size_t sent;
};

static const char zeros[16384];

/* --- the server --- */

static void send_big(struct exchange *x)
{
	struct gathered *g = exchange_user(x);

	while (g->sent < HTTP_FIXTURE_BIG) {
		g->sent += sizeof(zeros);
		if (!exchange_write(x, (struct str){zeros, sizeof(zeros)},
				    g->sent >= HTTP_FIXTURE_BIG))
			return;
	}
}

static void respond(struct exchange *x, unsigned status, int64_t length)
{
	struct http_response r = {.status = status, .content_length = length};

	exchange_respond(x, &r, false);
}

static void do_hi(struct exchange *x, struct http_fixture *h)
{
	(void)h;
	exchange_reply(x, 200, STR("text/plain"), STR("hi"), NULL);
}

static void do_late(struct exchange *x, struct http_fixture *h)
{
	h->held = x;
	loop_defer(&h->f.loop, &h->late);
}

static void on_late(struct deferred *d)
{
	struct http_fixture *h = container_of(d, struct http_fixture, late);

	if (h->held)
		do_hi(h->held, h);
	h->held = NULL;
}

static void do_none(struct exchange *x, struct http_fixture *h)
{
	h->held = x;
}

static void do_nothing(struct exchange *x, struct http_fixture *h)
{
	(void)x;
	(void)h;
}

static void do_stream(struct exchange *x, struct http_fixture *h)
{
	(void)h;
	respond(x, 200, -1);
}

static void do_silence(struct exchange *x, struct http_fixture *h)
{
	(void)h;
	exchange_limit_silence(x, HTTP_FIXTURE_SILENCE_MS);
	respond(x, 200, -1);
}

static void do_chunk(struct exchange *x, struct http_fixture *h)
{
	respond(x, 200, -1);
	exchange_write(x, STR("one"), false);
	exchange_write(x, STR("two"), true);
	do_nothing(x, h);
}

static void do_204(struct exchange *x, struct http_fixture *h)
{
	respond(x, 204, -1);
	exchange_write(x, STR("never sent"), true);
	do_nothing(x, h);
}

static void do_trailers(struct exchange *x, struct http_fixture *h)
{
	struct http_field item = {STR("grpc-status"), STR("0")};
	struct http_fields fields = {&item, 1, 1};

	respond(x, 200, -1);
	exchange_write(x, STR("x"), false);
	exchange_trailers(x, &fields);
	do_nothing(x, h);
}

static void do_big(struct exchange *x, struct http_fixture *h)
{
	respond(x, 200, -1);
	send_big(x);
	do_nothing(x, h);
}

static void do_short(struct exchange *x, struct http_fixture *h)
{
	respond(x, 200, 5);
	exchange_write(x, STR("abc"), true);
	do_nothing(x, h);
}

static void do_abort(struct exchange *x, struct http_fixture *h)
{
	(void)h;
	exchange_abort(x, NULL);
	/* Whatever comes after it does nothing. */
	exchange_reply(x, 200, STR_NONE, STR("no"), NULL);
	exchange_abort(x, NULL);
}

static void do_close(struct exchange *x, struct http_fixture *h)
{
	(void)x;
	http_server_close(&h->server, NULL, NULL);
}

static void do_echo(struct exchange *x, struct http_fixture *h)
{
	struct gathered *g = exchange_user(x);

	(void)h;
	exchange_reply(x, 200, STR_NONE, buf_str(&g->body), NULL);
}

struct action {
	const char *path;
	void (*head)(struct exchange *x, struct http_fixture *h);
	void (*body)(struct exchange *x, struct http_fixture *h);  /* each piece */
	void (*ended)(struct exchange *x, struct http_fixture *h); /* the last */
	void (*drain)(struct exchange *x, struct http_fixture *h);
};

static void drain_big(struct exchange *x, struct http_fixture *h)
{
	(void)h;
	send_big(x);
}

static const struct action actions[] = {
	{"/hi", do_hi, NULL, NULL, NULL},
	{"/late", do_late, NULL, NULL, NULL},
	{"/echo", NULL, NULL, do_echo, NULL},
	{"/stream", do_stream, NULL, NULL, NULL},
	{"/silence", do_silence, NULL, NULL, NULL},
	{"/chunk", do_chunk, NULL, NULL, NULL},
	{"/none", do_none, NULL, NULL, NULL},
	{"/204", do_204, NULL, NULL, NULL},
	{"/trailers", do_trailers, NULL, NULL, NULL},
	{"/big", do_big, NULL, NULL, drain_big},
	{"/short", do_short, NULL, NULL, NULL},
	{"/abort-head", do_abort, NULL, NULL, NULL},
	{"/abort-body", NULL, do_abort, NULL, NULL},
	{"/abort-drain", do_big, NULL, NULL, do_abort},
	{"/close-head", do_close, NULL, NULL, NULL},
	{"/close-body", NULL, do_close, NULL, NULL},
};

static const struct action *action_of(struct exchange *x)
{
	struct str path = exchange_request(x)->path;

	for (size_t i = 0; i < array_len(actions); i++) {
		if (str_eq(path, str_from(actions[i].path)))
			return &actions[i];
	}
	return NULL;
}

static void on_body(struct exchange *x, struct str bytes, bool last, void *arg)
{
	struct http_fixture *h = arg;
	const struct action *a = action_of(x);
	struct gathered *g = exchange_user(x);
	struct err e = ERR_INIT;

	h->bodies_ended += last;
	if (a->head == do_stream || a->head == do_silence) {
		exchange_write(x, bytes, last);
		return;
	}
	assert_int_equal(buf_add_str(&g->body, bytes, &e), 0);
	if (a->body)
		a->body(x, h);
	else if (last && a->ended)
		a->ended(x, h);
}

static void on_drain(struct exchange *x, void *arg)
{
	const struct action *a = action_of(x);

	if (a && a->drain)
		a->drain(x, arg);
}

static void on_end(struct exchange *x, const struct err *why, void *arg)
{
	struct http_fixture *h = arg;
	struct gathered *g = exchange_user(x);

	h->ends++;
	h->failed_ends += why->kind != ERR_NONE;
	h->last_why = *why;
	if (h->held == x)
		h->held = NULL;
	if (g)
		buf_deinit(&g->body);
}

static void on_head(struct exchange *x, void *arg);
static const struct http_handler handler = {on_head, on_body, on_drain, on_end};
static const struct http_handler bodiless = {on_head, NULL, on_drain, on_end};

static void on_head(struct exchange *x, void *arg)
{
	struct http_fixture *h = arg;
	const struct action *a = action_of(x);
	struct gathered *g = arena_alloc(exchange_arena(x), sizeof(*g));

	assert_non_null(g);
	exchange_set_user(x, g);
	h->heads++;
	if (!a) {
		exchange_set_handler(x, &bodiless, arg);
		exchange_reply(x, 404, STR_NONE, STR("no such path"), NULL);
		return;
	}
	if (a->head)
		a->head(x, h);
	else if (!exchange_request(x)->has_body && a->ended)
		a->ended(x, h);
}

static void on_rejected(const char *reason, void *arg)
{
	struct http_fixture *h = arg;
	size_t n = strlen(h->rejected);

	snprintf(h->rejected + n, sizeof(h->rejected) - n, "%s ", reason);
}

static int on_accept(struct listener *l, struct conn_options *o, void *arg)
{
	struct http_fixture *h = arg;
	struct err e = ERR_INIT;

	(void)l;
	o->tls = h->tls;
	return http_server_accept(&h->server, o, &e);
}

void http_fixture_init(struct http_fixture *h)
{
	memset(h, 0, sizeof(*h));
	fixture_init(&h->f);
	http_server_init(&h->server, &handler, h);
	h->server.on_rejected = on_rejected;
	deferred_init(&h->late, on_late);
}

void http_fixture_listen(struct http_fixture *h)
{
	struct listener_options lo = {.on_accept = on_accept, .arg = h};
	struct err e = ERR_INIT;

	assert_int_equal(addr_parse(&lo.entry.addr, STR("127.0.0.1:0"), &e), 0);
	if (listener_start(&h->listener, &h->f.loop, &lo, &e) < 0)
		fail_msg("%s", e.message);
}

void http_fixture_deinit(struct http_fixture *h)
{
	http_server_close(&h->server, NULL, NULL);
	run_until(&h->f, h->server.session_count == 0);
	listener_close(h->listener, NULL, NULL);
	fixture_deinit(&h->f);
	assert_int_equal(h->heads, h->ends);
	assert_int_equal(h->server.spare_count, 0);
}

static void start_conn(struct conn **out, struct http_fixture *h, const struct conn_events *events,
		       void *arg)
{
	struct conn_options o = {.events = events, .arg = arg};
	struct err e = ERR_INIT;

	if (conn_connect(out, &h->f.loop, "127.0.0.1", addr_port(listener_addr(h->listener)), &o,
			 &e) < 0)
		fail_msg("%s", e.message);
}

/* --- bytes --- */

static void raw_open(struct conn *c, void *arg)
{
	((struct byte_client *)arg)->open = true;
	conn_read_start(c);
}

static void raw_data(struct conn *c, struct str bytes, void *arg)
{
	struct byte_client *r = arg;
	struct err e = ERR_INIT;

	(void)c;
	assert_int_equal(buf_add_str(&r->got, bytes, &e), 0);
}

static void raw_eof(struct conn *c, void *arg)
{
	((struct byte_client *)arg)->eof = true;
	conn_shutdown(c);
}

static void raw_close(struct conn *c, const struct err *why, void *arg)
{
	struct byte_client *r = arg;

	(void)c;
	r->closed = true;
	r->why = *why;
	r->conn = NULL;
}

static const struct conn_events raw_events = {raw_open, raw_data, NULL, raw_eof, raw_close, NULL};

void byte_connect(struct byte_client *c, struct http_fixture *h)
{
	memset(c, 0, sizeof(*c));
	start_conn(&c->conn, h, &raw_events, c);
	run_until(&h->f, c->open);
}

void byte_send(struct byte_client *c, struct http_fixture *h, struct str bytes, bool bytewise)
{
	size_t step = bytewise ? 1 : bytes.len;

	for (size_t at = 0; at < bytes.len && c->conn; at += step) {
		conn_write(c->conn, str_sub(bytes, at, at + step));
		if (bytewise)
			fixture_spin(&h->f, 2);
	}
}

void byte_deinit(struct byte_client *c, struct http_fixture *h)
{
	if (c->conn)
		conn_close(c->conn);
	run_until(&h->f, c->closed);
	buf_deinit(&c->got);
}

struct str byte_text(struct byte_client *c)
{
	char *at;

	while (c->got.data && (at = strstr(c->got.data, "Date: ")) != NULL) {
		const char *end = strstr(at, "\r\n");
		size_t n;

		if (!end)
			break;
		n = (size_t)(end + 2 - at);
		memmove(at, at + n, c->got.len - (size_t)(at - c->got.data) - n + 1);
		c->got.len -= n;
	}
	return buf_str(&c->got);
}

/* --- streams --- */

static struct h2_call *call_of(struct h2_stream *s)
{
	return container_of(s, struct h2_call, stream);
}

static void call_head(struct h2 *h, struct h2_stream *s, void *arg)
{
	(void)h;
	(void)arg;
	call_of(s)->head = true;
}

static void call_data(struct h2 *h, struct h2_stream *s, struct str bytes, void *arg)
{
	struct h2_client *c = arg;
	struct err e = ERR_INIT;

	assert_int_equal(buf_add_str(&call_of(s)->body, bytes, &e), 0);
	if (!c->no_consume)
		h2_consumed(h, s, bytes.len);
}

static void call_end(struct h2 *h, struct h2_stream *s, void *arg)
{
	(void)h;
	(void)arg;
	call_of(s)->ended = true;
	call_of(s)->trailer = http_fields_get(&s->trailers, STR("grpc-status"));
}

static void call_drain(struct h2 *h, struct h2_stream *s, void *arg)
{
	(void)h;
	(void)arg;
	call_of(s)->drains++;
}

static void call_close(struct h2 *h, struct h2_stream *s, uint32_t code, void *arg)
{
	(void)h;
	(void)arg;
	assert_false(call_of(s)->closed);
	call_of(s)->closed = true;
	call_of(s)->code = code;
}

static void call_goaway(struct h2 *h, uint32_t code, void *arg)
{
	struct h2_client *c = arg;

	(void)h;
	c->goaway = true;
	c->goaway_code = code;
}

static const struct h2_events call_events = {
	.on_head = call_head,
	.on_data = call_data,
	.on_end = call_end,
	.on_drain = call_drain,
	.on_close = call_close,
	.on_goaway = call_goaway,
};

void h2_client_flush(struct h2_client *c)
{
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;

	while (c->conn && !conn_over_high(c->conn) && h2_wants_write(c->h2)) {
		buf_clear(&out);
		assert_int_equal(h2_emit(c->h2, &out, 32 << 10, &e), 0);
		if (out.len == 0)
			break;
		conn_write(c->conn, buf_str(&out));
	}
	buf_deinit(&out);
}

static void client_open(struct conn *conn, void *arg)
{
	struct h2_client *c = arg;

	c->open = true;
	conn_read_start(conn);
	h2_client_flush(c);
}

static void client_data(struct conn *conn, struct str bytes, void *arg)
{
	struct h2_client *c = arg;
	struct err e = ERR_INIT;

	(void)conn;
	if (h2_feed(c->h2, bytes, 0, &e) != 0)
		fail_msg("%s", e.message);
	h2_client_flush(c);
}

static void client_drain(struct conn *conn, void *arg)
{
	(void)conn;
	h2_client_flush(arg);
}

static void client_eof(struct conn *conn, void *arg)
{
	(void)arg;
	conn_close(conn);
}

static void client_close(struct conn *conn, const struct err *why, void *arg)
{
	struct h2_client *c = arg;

	(void)conn;
	(void)why;
	c->closed = true;
	c->conn = NULL;
}

static const struct conn_events client_events = {client_open, client_data,  client_drain,
						 client_eof,  client_close, NULL};

void h2_client_connect(struct h2_client *c, struct http_fixture *h)
{
	struct h2_options o = {.events = &call_events, .arg = c};
	struct err e = ERR_INIT;

	memset(c, 0, sizeof(*c));
	assert_int_equal(h2_create(&c->h2, &o, 0, &e), 0);
	start_conn(&c->conn, h, &client_events, c);
	run_until(&h->f, c->open);
}

void h2_client_deinit(struct h2_client *c, struct http_fixture *h)
{
	if (c->conn)
		conn_close(c->conn);
	run_until(&h->f, c->closed);
	h2_free(c->h2);
}

void h2_call_start(struct h2_call *x, struct h2_client *c, const char *method, const char *path,
		   const struct http_fields *extra, bool end)
{
	struct http_field items[256] = {
		{STR(":method"), str_from(method)},
		{STR(":scheme"), STR("http")},
		{STR(":authority"), STR("a.example:80")},
		{STR(":path"), str_from(path)},
	};
	struct http_fields fields = {items, 4, 256};
	struct err e = ERR_INIT;

	for (size_t i = 0; extra && i < extra->count; i++)
		items[fields.count++] = extra->items[i];
	memset(x, 0, sizeof(*x));
	arena_init(&x->arena, 0);
	h2_stream_init(&x->stream, &x->arena);
	x->client = c;
	assert_int_equal(h2_request(c->h2, &x->stream, &fields, end, &e), 0);
	h2_client_flush(c);
}

void h2_call_deinit(struct h2_call *x)
{
	h2_stream_deinit(&x->stream);
	arena_deinit(&x->arena);
	buf_deinit(&x->body);
}
