/* Sessions over HTTP/2: streams of one client, and what ends them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/lib/http_fixture.h"

static void begin(struct http_fixture *h, struct h2_client *c)
{
	h->server.http2 = true;
	http_fixture_listen(h);
	h2_client_connect(c, h);
}

static void finish(struct http_fixture *h, struct h2_client *c)
{
	h2_client_deinit(c, h);
	http_fixture_deinit(h);
}

static const struct {
	const char *name, *method, *path;
	struct http_field extra[3];
	unsigned body; /* "hello" is sent */
	unsigned status;
	const char *want;
	unsigned long code; /* of the close */
	const char *rejected;
	bool unseen; /* the handler gets nothing of it */
} rows[] = {
	{"one request", "GET", "/hi", {{{0}, {0}}}, false, 200, "hi", 0, "", false},
	{"later", "GET", "/late", {{{0}, {0}}}, false, 200, "hi", 0, "", false},
	{"HEAD", "HEAD", "/hi", {{{0}, {0}}}, false, 200, "", 0, "", false},
	{"HEAD without length", "HEAD", "/chunk", {{{0}, {0}}}, false, 200, "", 0, "", false},
	{"204", "GET", "/204", {{{0}, {0}}}, false, 204, "", 0, "", false},
	{"pieces", "GET", "/chunk", {{{0}, {0}}}, false, 200, "onetwo", 0, "", false},
	{"trailers", "GET", "/trailers", {{{0}, {0}}}, false, 200, "x", 0, "", false},
	{"echo", "POST", "/echo", {{{0}, {0}}}, true, 200, "hello", 0, "", false},
	{"stream", "POST", "/stream", {{{0}, {0}}}, true, 200, "hello", 0, "", false},
	{"no handler for the body",
	 "POST",
	 "/x",
	 {{{0}, {0}}},
	 true,
	 404,
	 "no such path",
	 0,
	 "",
	 false},
	{"100",
	 "POST",
	 "/echo",
	 {{STR("expect"), STR("100-continue")}},
	 true,
	 200,
	 "hello",
	 0,
	 "",
	 false},
	{"same host",
	 "GET",
	 "/hi",
	 {{STR("host"), STR("A.example:80")}},
	 false,
	 200,
	 "hi",
	 0,
	 "",
	 false},
	{"short of its length", "GET", "/short", {{{0}, {0}}}, false, 0, "", 2, "", false},
	{"abort in on_head", "GET", "/abort-head", {{{0}, {0}}}, false, 0, "", 2, "", false},
	{"abort in on_body", "POST", "/abort-body", {{{0}, {0}}}, true, 0, "", 2, "", false},
	{"H2-07 path", "GET", "/a#b", {{{0}, {0}}}, false, 0, "", 1, "H2-07 PROTOCOL_ERROR ", true},
	{"H2-07 method", "G T", "/hi", {{{0}, {0}}}, false, 0, "", 1, NULL, true},
	{"H2-08 upper case is lowered by the client library",
	 "GET",
	 "/hi",
	 {{STR("X-A"), STR("1")}},
	 false,
	 200,
	 "hi",
	 0,
	 "",
	 false},
	{"H2-09 connection",
	 "GET",
	 "/hi",
	 {{STR("connection"), STR("close")}},
	 false,
	 0,
	 "",
	 1,
	 NULL,
	 true},
	{"H2-10 other host",
	 "GET",
	 "/hi",
	 {{STR("host"), STR("b.example")}},
	 false,
	 0,
	 "",
	 1,
	 "H2-10 PROTOCOL_ERROR ",
	 true},
	{"H2-11 length",
	 "POST",
	 "/echo",
	 {{STR("content-length"), STR("3")}},
	 true,
	 0,
	 "",
	 1,
	 NULL,
	 false},
	{"H1-17 TRACE",
	 "TRACE",
	 "/hi",
	 {{{0}, {0}}},
	 false,
	 405,
	 "Method Not Allowed",
	 0,
	 "H1-17 ",
	 true},
	{"other expectation",
	 "POST",
	 "/echo",
	 {{STR("expect"), STR("x")}},
	 false,
	 417,
	 "Expectation Failed",
	 0,
	 "H1-24 ",
	 true},
	{"413 by length",
	 "POST",
	 "/echo",
	 {{STR("content-length"), STR("2000")}},
	 false,
	 413,
	 "Content Too Large",
	 0,
	 NULL,
	 true},
};

static void check_row(size_t i)
{
	struct http_field extra[3];
	struct http_fields fields = {extra, 0, 3};
	struct http_fixture h;
	struct h2_client c;
	struct h2_call x;
	struct err e = ERR_INIT;
	bool room;

	while (fields.count < 3 && rows[i].extra[fields.count].name.ptr) {
		extra[fields.count] = rows[i].extra[fields.count];
		fields.count++;
	}
	http_fixture_init(&h);
	h.server.limits.body = 1000;
	begin(&h, &c);
	h2_call_start(&x, &c, rows[i].method, rows[i].path, &fields,
		      !rows[i].body && strcmp(rows[i].method, "POST") != 0);
	if (rows[i].body)
		assert_int_equal(h2_write(c.h2, &x.stream, STR("hello"), true, &room, &e), 0);
	h2_client_flush(&c);
	run_until(&h.f, x.closed);
	if (x.code != rows[i].code || x.stream.status != rows[i].status ||
	    !str_eq(buf_str(&x.body), str_from(rows[i].want)))
		fail_msg("%s: code %u, status %u, body %s", rows[i].name, x.code, x.stream.status,
			 buf_str(&x.body).ptr);
	if (strcmp(rows[i].path, "/trailers") == 0)
		assert_true(str_eq(x.trailer, STR("0")));
	run_until(&h.f, h.ends == h.heads);
	assert_int_equal(h.heads, !rows[i].unseen);
	assert_int_equal(h.failed_ends, rows[i].code != 0 && !rows[i].unseen);
	if (rows[i].rejected)
		assert_string_equal(h.rejected, rows[i].rejected);
	h2_call_deinit(&x);
	finish(&h, &c);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++)
		check_row(i);
}

static void test_too_many_fields(void **state)
{
	struct http_field extra[200];
	struct http_fields fields = {extra, 200, 200};
	struct http_fixture h;
	struct h2_client c;
	struct h2_call x;

	(void)state;
	for (size_t i = 0; i < 200; i++)
		extra[i] = (struct http_field){STR("cookie"), STR("a=b")};
	http_fixture_init(&h);
	begin(&h, &c);
	h2_call_start(&x, &c, "POST", "/hi", &fields, false);
	run_until(&h.f, x.closed); /* H2-05, H2-21 */
	assert_int_equal(x.stream.status, 431);
	assert_int_equal(x.code, NGHTTP2_NO_ERROR);
	assert_int_equal(h.heads, 0);
	h2_call_deinit(&x);
	finish(&h, &c);
}

enum { MANY = 100 };

static void test_many_streams(void **state)
{
	static const char *const paths[] = {"/hi", "/chunk", "/late", "/echo"};
	struct h2_call x[MANY];
	struct http_fixture h;
	struct h2_client c;

	(void)state;
	http_fixture_init(&h);
	begin(&h, &c);
	for (size_t i = 0; i < MANY; i++)
		h2_call_start(&x[i], &c, "GET", paths[i % 2], NULL, true);
	for (size_t i = 0; i < MANY; i++) {
		run_until(&h.f, x[i].closed);
		assert_int_equal(x[i].stream.status, 200);
		h2_call_deinit(&x[i]);
	}
	assert_int_equal(h.ends, MANY);
	assert_int_equal(h.failed_ends, 0);
	finish(&h, &c);
}

static void test_big_bodies(void **state)
{
	static char chunk[60000];
	struct http_fixture h;
	struct h2_client c;
	struct h2_call down, up, small;
	struct err e = ERR_INIT;
	bool room = true;

	(void)state;
	http_fixture_init(&h);
	begin(&h, &c);
	h2_call_start(&down, &c, "GET", "/big", NULL, true);
	h2_call_start(&up, &c, "POST", "/stream", NULL, false);
	for (size_t i = 0; i < 100; i++) {
		assert_int_equal(h2_write(c.h2, &up.stream, (struct str){chunk, sizeof(chunk)},
					  i == 99, &room, &e),
				 0);
	}
	assert_false(room);
	h2_client_flush(&c);
	h2_call_start(&small, &c, "GET", "/hi", NULL, true);
	run_until(&h.f, small.closed); /* H2-17 */
	run_until(&h.f, down.closed && up.closed);
	assert_int_equal(down.body.len, HTTP_FIXTURE_BIG);
	assert_int_equal(up.body.len, 100 * sizeof(chunk));
	assert_true(up.drains > 0);
	assert_int_equal(h.failed_ends, 0);
	h2_call_deinit(&down);
	h2_call_deinit(&up);
	h2_call_deinit(&small);
	finish(&h, &c);
}

/* A stream whose window stays shut holds little and is reset in the end; others go on. */
static void test_stalled_stream(void **state)
{
	struct http_fixture h;
	struct h2_client c;
	struct h2_call stalled, other;

	(void)state;
	http_fixture_init(&h);
	h.server.limits.write_idle_ms = 60;
	begin(&h, &c);
	c.no_consume = true;
	h2_call_start(&stalled, &c, "GET", "/big", NULL, true);
	run_until(&h.f, stalled.body.len == 65535);
	h2_call_start(&other, &c, "GET", "/hi", NULL, true);
	run_until(&h.f, other.closed);
	run_until(&h.f, stalled.closed); /* SL-05 */
	assert_int_equal(stalled.code, NGHTTP2_CANCEL);
	run_until(&h.f, h.ends == 2);
	assert_int_equal(h.last_why.kind, ERR_TIMEOUT);
	h2_call_deinit(&stalled);
	h2_call_deinit(&other);
	finish(&h, &c);
}

static void test_manual_window(void **state)
{
	static char chunk[200000];
	struct http_fixture h;
	struct h2_client c;
	struct h2_call up;
	struct err e = ERR_INIT;
	bool room;

	(void)state;
	http_fixture_init(&h);
	h.server.manual_window = true;
	begin(&h, &c);
	h2_call_start(&up, &c, "POST", "/none", NULL, false);
	assert_int_equal(
		h2_write(c.h2, &up.stream, (struct str){chunk, sizeof(chunk)}, true, &room, &e), 0);
	h2_client_flush(&c);
	run_until(&h.f, h.held && up.stream.taken == 65535);
	fixture_spin(&h.f, 20);
	assert_int_equal(up.stream.taken, 65535);
	exchange_consumed(h.held, 65535);
	run_until(&h.f, up.stream.taken > 65535);
	/* What is not consumed at the end is not missing for the others. */
	exchange_abort(h.held, NULL);
	run_until(&h.f, up.closed);
	h2_call_deinit(&up);
	finish(&h, &c);
}

static void test_client_resets(void **state)
{
	static const char *const paths[] = {"/none", "/stream"};
	struct http_fixture h;
	struct h2_client c;
	struct h2_call x[2];

	(void)state;
	http_fixture_init(&h);
	begin(&h, &c);
	for (unsigned i = 0; i < 2; i++) {
		h2_call_start(&x[i], &c, "POST", paths[i], NULL, false);
		run_until(&h.f, h.heads == i + 1);
		h2_reset(c.h2, &x[i].stream, NGHTTP2_CANCEL);
		h2_client_flush(&c);
		run_until(&h.f, h.ends == i + 1);
		assert_int_equal(h.last_why.code, NGHTTP2_CANCEL);
		h2_call_deinit(&x[i]);
	}
	assert_int_equal(h.failed_ends, 2);
	finish(&h, &c);
}

static void test_client_goes(void **state)
{
	struct http_fixture h;
	struct h2_client c;
	struct h2_call x;

	(void)state;
	http_fixture_init(&h);
	begin(&h, &c);
	h2_call_start(&x, &c, "POST", "/stream", NULL, false);
	run_until(&h.f, x.head);
	conn_close(c.conn);
	run_until(&h.f, h.ends == 1);
	assert_int_equal(h.failed_ends, 1);
	h2_call_deinit(&x);
	finish(&h, &c);
}

static void test_drain(void **state)
{
	struct http_fixture h;
	struct h2_client c;
	struct h2_call held, between;

	(void)state;
	http_fixture_init(&h);
	begin(&h, &c);
	h2_call_start(&held, &c, "GET", "/none", NULL, true);
	run_until(&h.f, h.held);
	/* H2-19: sent before the GOAWAY arrives, and served. */
	h2_call_start(&between, &c, "GET", "/hi", NULL, true);
	http_server_drain(&h.server);
	run_until(&h.f, c.goaway && between.closed);
	assert_int_equal(between.stream.status, 200);
	assert_int_equal(c.goaway_code, NGHTTP2_NO_ERROR);
	assert_false(c.closed);
	exchange_reply(h.held, 200, STR_NONE, STR("x"), NULL);
	run_until(&h.f, held.closed);
	assert_int_equal(held.code, 0);
	run_until(&h.f, c.closed);
	h2_call_deinit(&held);
	h2_call_deinit(&between);
	finish(&h, &c);
}

static void test_requests_per_connection(void **state)
{
	struct http_fixture h;
	struct h2_client c;
	struct h2_call x[4];

	(void)state;
	http_fixture_init(&h);
	h.server.limits.requests_per_connection = 3;
	begin(&h, &c);
	for (size_t i = 0; i < 4; i++) {
		h2_call_start(&x[i], &c, "GET", "/hi", NULL, true);
		if (i == 3)
			break;
		run_until(&h.f, x[i].closed);
	}
	run_until(&h.f, c.goaway && c.closed);
	assert_int_equal(c.goaway_code, 0);
	for (size_t i = 0; i < 4; i++)
		h2_call_deinit(&x[i]);
	finish(&h, &c);
}

static void test_idle(void **state)
{
	struct http_fixture h;
	struct h2_client c;

	(void)state;
	http_fixture_init(&h);
	h.server.limits.idle_ms = 10;
	begin(&h, &c);
	run_until(&h.f, c.closed);
	assert_true(c.goaway);
	assert_int_equal(c.goaway_code, 0);
	finish(&h, &c);
}

/* As over HTTP/1; others on the connection go on. */
static void test_stream_that_falls_silent(void **state)
{
	struct http_fixture h;
	struct h2_client c;
	struct h2_call silent, other;

	(void)state;
	http_fixture_init(&h);
	h.server.limits.body_idle_ms = 10;
	begin(&h, &c);
	h2_call_start(&silent, &c, "POST", "/silence", NULL, false);
	h2_call_start(&other, &c, "POST", "/stream", NULL, false);
	run_until(&h.f, silent.head && other.head);
	run_until(&h.f, silent.closed);
	assert_false(other.closed);
	assert_string_equal(h.rejected, "silence ");
	assert_int_equal(h.last_why.kind, ERR_TIMEOUT);
	h2_call_deinit(&silent);
	h2_call_deinit(&other);
	finish(&h, &c);
}

static void test_ping(void **state)
{
	struct http_fixture h;
	struct h2_client c;
	struct h2_call x;
	uint64_t end;

	(void)state;
	http_fixture_init(&h);
	h.server.limits.ping_ms = 20;
	begin(&h, &c);
	h2_call_start(&x, &c, "POST", "/stream", NULL, false);
	run_until(&h.f, x.head);
	/* A client that answers lives. */
	for (end = uv_now(&h.f.loop.uv) + 100; uv_now(&h.f.loop.uv) < end;)
		fixture_spin(&h.f, 1);
	assert_int_equal(h.ends, 0);
	conn_read_stop(c.conn);
	run_until(&h.f, h.ends == 1);
	assert_int_equal(h.last_why.kind, ERR_TIMEOUT);
	assert_string_equal(h.rejected, "ping_timeout ");
	conn_read_start(c.conn);
	h2_call_deinit(&x);
	finish(&h, &c);
}

/* The preface in pieces, HTTP/1 that begins like it, and where it is not offered. */
static const struct {
	const char *name, *input, *want;
	bool http2, bytewise;
} prefaces[] = {
	{"HTTP/1", "GET /hi HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200", true, false},
	{"HTTP/1 bytewise", "GET /hi HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200", true, true},
	{"begins like it", "PRI /hi HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200", true, false},
	{"begins like it, bytewise", "PRI /hi HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200", true,
	 true},
	{"H1-38 not offered", H1_PREFACE, "HTTP/1.1 505", false, false},
};

static void test_prefaces(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(prefaces); i++) {
		struct http_fixture h;
		struct byte_client c;

		http_fixture_init(&h);
		h.server.http2 = prefaces[i].http2;
		http_fixture_listen(&h);
		byte_connect(&c, &h);
		byte_send(&c, &h, str_from(prefaces[i].input), prefaces[i].bytewise);
		run_until(&h.f, c.got.len > strlen(prefaces[i].want));
		if (strncmp(c.got.data, prefaces[i].want, strlen(prefaces[i].want)) != 0)
			fail_msg("%s: %s", prefaces[i].name, c.got.data);
		byte_deinit(&c, &h);
		http_fixture_deinit(&h);
	}
}

/* No path without a deadline (SL-02). */
static void test_part_of_a_preface(void **state)
{
	struct http_fixture h;
	struct byte_client c;

	(void)state;
	http_fixture_init(&h);
	h.server.http2 = true;
	h.server.limits.head_ms = 30;
	http_fixture_listen(&h);
	byte_connect(&c, &h);
	byte_send(&c, &h, STR("PRI * HT"), false);
	run_until(&h.f, c.closed);
	byte_deinit(&c, &h);
	http_fixture_deinit(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_too_many_fields),
		cmocka_unit_test(test_many_streams),
		cmocka_unit_test(test_big_bodies),
		cmocka_unit_test(test_stalled_stream),
		cmocka_unit_test(test_manual_window),
		cmocka_unit_test(test_client_resets),
		cmocka_unit_test(test_client_goes),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_requests_per_connection),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_stream_that_falls_silent),
		cmocka_unit_test(test_ping),
		cmocka_unit_test(test_prefaces),
		cmocka_unit_test(test_part_of_a_preface),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
