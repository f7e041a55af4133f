/* Sessions over HTTP/1: what a client sends on one connection, and all that it gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/lib/http_fixture.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a.example\r\n\r\n"
#define POST(path, fields) "POST " path " HTTP/1.1\r\nHost: a.example\r\n" fields "\r\n"
#define HI "HTTP/1.1 200 OK\r\nContent-Length: 2\r\ncontent-type: text/plain\r\n\r\nhi"
#define HI_CLOSE                                                                                   \
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n"                            \
	"content-type: text/plain\r\n\r\nhi"
#define REFUSED(line, length, text)                                                                \
	"HTTP/1.1 " line "\r\nContent-Length: " length "\r\nConnection: close\r\n"                 \
	"content-type: text/plain; charset=utf-8\r\n\r\n" text
#define BAD REFUSED("400 Bad Request", "11", "Bad Request")

enum { OPEN, CLOSED };

static const struct {
	const char *name, *input, *want;
	int then;	      /* whether the server ends the connection by itself */
	const char *rejected; /* reasons */
} rows[] = {
	{"one request", GET("/hi"), HI, OPEN, ""},
	{"keep-alive", GET("/hi") GET("/hi"), HI HI, OPEN, ""},
	{"pipelined with an answer that waits", GET("/late") GET("/hi") GET("/late"), HI HI HI,
	 OPEN, ""},
	{"H1-31 good and bad", GET("/late") "BAD\r\n\r\n", HI BAD, CLOSED, "H1-14 "},
	{"H1-32 bytes behind close",
	 "GET /hi HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET("/hi"), HI_CLOSE, CLOSED,
	 ""},
	{"H1-32 with an answer that waits",
	 "GET /late HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET("/hi"), HI_CLOSE, CLOSED,
	 ""},
	{"HTTP/1.0", "GET /hi HTTP/1.0\r\nHost: a\r\n\r\n", HI_CLOSE, CLOSED, ""},
	{"HEAD", "HEAD /hi HTTP/1.1\r\nHost: a\r\n\r\n" GET("/hi"),
	 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\ncontent-type: text/plain\r\n\r\n" HI, OPEN, ""},
	{"204", GET("/204") GET("/hi"), "HTTP/1.1 204 No Content\r\n\r\n" HI, OPEN, ""},
	{"unknown length", GET("/chunk"),
	 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	 "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n",
	 OPEN, ""},
	{"unknown length to 1.0", "GET /chunk HTTP/1.0\r\nHost: a\r\n\r\n",
	 "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nonetwo", CLOSED, ""},
	{"body", POST("/echo", "Content-Length: 5\r\n") "hello" GET("/hi"),
	 "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello" HI, OPEN, ""},
	{"chunked body",
	 POST("/echo", "Transfer-Encoding: chunked\r\n") "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
	 "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", OPEN, ""},
	{"100", POST("/echo", "Content-Length: 2\r\nExpect: 100-continue\r\n") "ab",
	 "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", OPEN, ""},
	{"answered instead of 100",
	 POST("/hi", "Content-Length: 2\r\nExpect: 100-continue\r\n") GET("/hi"), HI_CLOSE, CLOSED,
	 ""},
	{"H1-25 answer before the body", POST("/hi", "Content-Length: 5\r\n") "hello" GET("/hi"),
	 HI HI, OPEN, ""},
	{"413 by length", POST("/echo", "Content-Length: 2000\r\n"),
	 REFUSED("413 Content Too Large", "17", "Content Too Large"), CLOSED, "limit_body "},
	{"413 by chunk", POST("/echo", "Transfer-Encoding: chunked\r\n") "7d0\r\n",
	 REFUSED("413 Content Too Large", "17", "Content Too Large"), CLOSED, "limit_body "},
	{"bad chunk", POST("/echo", "Transfer-Encoding: chunked\r\n") "zz\r\n", BAD, CLOSED,
	 "H1-26 "},
	{"bad chunk after the head was sent",
	 POST("/stream", "Transfer-Encoding: chunked\r\n") "zz\r\n", NULL, CLOSED, "H1-26 "},
	{"H1-17 TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n" GET("/hi"),
	 "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 18\r\n"
	 "content-type: text/plain; charset=utf-8\r\n\r\nMethod Not Allowed" HI,
	 OPEN, "H1-17 "},
	{"H1-38 TLS bytes", "\x16\x03\x01\x02\r\n", BAD, CLOSED, NULL},
	{"no handler for the body", POST("/x", "Content-Length: 5\r\n") "hello" GET("/hi"),
	 "HTTP/1.1 404 Not Found\r\nContent-Length: 12\r\n\r\nno such path" HI, OPEN, ""},
	{"shorter than promised", GET("/short"), NULL, CLOSED, ""},
	{"abort in on_head", GET("/abort-head") GET("/hi"), "", CLOSED, ""},
	{"abort in on_body", POST("/abort-body", "Content-Length: 5\r\n") "hello", "", CLOSED, ""},
	{"server closed in on_head", GET("/close-head"), "", CLOSED, ""},
	{"server closed in on_body", POST("/close-body", "Content-Length: 5\r\n") "hello", "",
	 CLOSED, ""},
};

static void check_row(size_t i, bool bytewise)
{
	struct http_fixture h;
	struct byte_client c;

	http_fixture_init(&h);
	h.server.limits.body = 1000;
	http_fixture_listen(&h);
	byte_connect(&c, &h);
	byte_send(&c, &h, str_from(rows[i].input), bytewise);
	if (rows[i].then == CLOSED)
		run_until(&h.f, c.eof || c.closed);
	else
		run_until(&h.f, byte_text(&c).len >= strlen(rows[i].want));
	fixture_spin(&h.f, 3);
	assert_int_equal(c.eof || c.closed, rows[i].then == CLOSED);
	if (rows[i].want && (byte_text(&c).len != strlen(rows[i].want) ||
			     strncmp(c.got.data ? c.got.data : "", rows[i].want, c.got.len) != 0))
		fail_msg("%s%s: got\n%s", rows[i].name, bytewise ? " (bytewise)" : "", c.got.data);
	if (rows[i].rejected && strcmp(h.rejected, rows[i].rejected) != 0)
		fail_msg("%s: rejected %s", rows[i].name, h.rejected);
	byte_deinit(&c, &h);
	http_fixture_deinit(&h);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		check_row(i, false);
		check_row(i, true); /* H1-39 */
	}
}

static const struct {
	const char *name, *input, *want, *rejected;
	struct http_limits limits;
} late_rows[] = {
	{"SL-03 head",
	 "GET / HT",
	 REFUSED("408 Request Timeout", "15", "Request Timeout"),
	 "head_timeout ",
	 {.head_ms = 30}},
	{"body",
	 POST("/echo", "Content-Length: 5\r\n") "he",
	 REFUSED("408 Request Timeout", "15", "Request Timeout"),
	 "body_timeout ",
	 {.body_idle_ms = 30}},
	{"idle", "", "", "", {.idle_ms = 30}},
	{"idle after a request", GET("/hi"), HI, "", {.idle_ms = 30}},
	{"requests per connection",
	 GET("/hi") GET("/hi") GET("/hi"),
	 HI HI_CLOSE,
	 "",
	 {.requests_per_connection = 2}},
};

static void test_limits(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(late_rows); i++) {
		struct http_fixture h;
		struct byte_client c;

		http_fixture_init(&h);
		h.server.limits = late_rows[i].limits;
		http_fixture_listen(&h);
		byte_connect(&c, &h);
		byte_send(&c, &h, str_from(late_rows[i].input), false);
		run_until(&h.f, c.eof || c.closed);
		if (strcmp(byte_text(&c).ptr, late_rows[i].want) != 0)
			fail_msg("%s: got\n%s", late_rows[i].name, c.got.data);
		assert_string_equal(h.rejected, late_rows[i].rejected);
		byte_deinit(&c, &h);
		http_fixture_deinit(&h);
	}
}

/* A body that the handler takes as a stream may pause for as long as it likes. */
static void test_stream_has_no_body_timeout(void **state)
{
	struct http_fixture h;
	struct byte_client c;
	struct timer t;

	(void)state;
	http_fixture_init(&h);
	h.server.limits.body_idle_ms = 10;
	http_fixture_listen(&h);
	byte_connect(&c, &h);
	byte_send(&c, &h, STR(POST("/stream", "Transfer-Encoding: chunked\r\n") "2\r\nab\r\n"),
		  false);
	timer_init(&t, &h.f.loop, NULL);
	run_until(&h.f, c.got.data && strstr(c.got.data, "ab"));
	for (uint64_t end = uv_now(&h.f.loop.uv) + 40; uv_now(&h.f.loop.uv) < end;)
		fixture_spin(&h.f, 1);
	byte_send(&c, &h, STR("2\r\ncd\r\n0\r\n\r\n"), false);
	run_until(&h.f, strstr(c.got.data, "cd") && strstr(c.got.data, "0\r\n\r\n"));
	timer_close(&t, NULL);
	byte_deinit(&c, &h);
	http_fixture_deinit(&h);
}

/* Unless the handler says for how long. What comes from either side starts it anew. */
static void test_stream_that_falls_silent(void **state)
{
	struct http_fixture h;
	struct byte_client c;

	(void)state;
	http_fixture_init(&h);
	h.server.limits.body_idle_ms = 10;
	http_fixture_listen(&h);
	byte_connect(&c, &h);
	byte_send(&c, &h, STR(POST("/silence", "Transfer-Encoding: chunked\r\n") "2\r\nab\r\n"),
		  false);
	run_until(&h.f, c.got.data && strstr(c.got.data, "ab"));
	run_until(&h.f, c.closed || c.eof);
	assert_string_equal(h.rejected, "silence ");
	assert_int_equal(h.last_why.kind, ERR_TIMEOUT);
	assert_null(strstr(c.got.data, "0\r\n\r\n"));
	byte_deinit(&c, &h);
	http_fixture_deinit(&h);
}

static void test_big_answer(void **state)
{
	struct http_fixture h;
	struct byte_client c;

	(void)state;
	http_fixture_init(&h);
	http_fixture_listen(&h);
	byte_connect(&c, &h);
	byte_send(&c, &h, STR("GET /big HTTP/1.0\r\nHost: a\r\n\r\n"), false);
	run_until(&h.f, c.eof);
	assert_true(c.got.len > HTTP_FIXTURE_BIG);
	byte_deinit(&c, &h);
	http_fixture_deinit(&h);
	assert_int_equal(h.failed_ends, 0);
}

static void test_slow_reader(void **state)
{
	static const char *const paths[] = {GET("/big"), GET("/abort-drain")};

	(void)state;
	for (size_t i = 0; i < array_len(paths); i++) {
		struct http_fixture h;
		struct byte_client c;

		http_fixture_init(&h);
		h.server.limits.write_idle_ms = 40;
		http_fixture_listen(&h);
		byte_connect(&c, &h);
		conn_read_stop(c.conn);
		byte_send(&c, &h, str_from(paths[i]), false);
		if (i == 0) { /* SL-05 */
			run_until(&h.f, h.ends == 1);
			assert_int_equal(h.last_why.kind, ERR_TIMEOUT);
			assert_string_equal(h.rejected, "write_idle ");
		} else {
			run_until(&h.f, h.heads == 1);
			conn_read_start(c.conn);
			run_until(&h.f, h.ends == 1);
		}
		assert_int_equal(h.failed_ends, 1);
		conn_read_start(c.conn);
		byte_deinit(&c, &h);
		http_fixture_deinit(&h);
	}
}

static void test_client_goes(void **state)
{
	static const char *const inputs[] = {
		GET("/none"), POST("/echo", "Content-Length: 9\r\n") "abc", "GET /hi HT"};

	(void)state;
	for (size_t i = 0; i < array_len(inputs); i++) {
		struct http_fixture h;
		struct byte_client c;

		http_fixture_init(&h);
		http_fixture_listen(&h);
		byte_connect(&c, &h);
		byte_send(&c, &h, str_from(inputs[i]), false);
		run_until(&h.f, h.heads == (i < 2) && h.server.session_count == 1);
		fixture_spin(&h.f, 5);
		conn_shutdown(c.conn);
		if (i == 0) { /* H1-37: answered although half closed */
			fixture_spin(&h.f, 5);
			assert_int_equal(h.ends, 0);
			exchange_reply(h.held, 200, STR_NONE, STR("x"), NULL);
		}
		run_until(&h.f, h.server.session_count == 0);
		assert_int_equal(h.failed_ends, i == 1);
		byte_deinit(&c, &h);
		http_fixture_deinit(&h);
	}
}

static void test_drain(void **state)
{
	struct http_fixture h;
	struct byte_client idle, busy;

	(void)state;
	http_fixture_init(&h);
	http_fixture_listen(&h);
	byte_connect(&idle, &h);
	byte_connect(&busy, &h);
	byte_send(&busy, &h, STR(GET("/none")), false);
	run_until(&h.f, h.held && h.server.session_count == 2);
	http_server_drain(&h.server);
	run_until(&h.f, idle.eof);
	assert_false(busy.eof);
	exchange_reply(h.held, 200, STR("text/plain"), STR("hi"), NULL);
	run_until(&h.f, busy.eof);
	assert_string_equal(byte_text(&busy).ptr, HI_CLOSE);
	byte_deinit(&idle, &h);
	byte_deinit(&busy, &h);
	http_fixture_deinit(&h);
}

/* Nothing is told from inside an exchange_* call. */
static void test_late_calls(void **state)
{
	struct http_fixture h;
	struct byte_client c;
	struct exchange *x;

	(void)state;
	http_fixture_init(&h);
	http_fixture_listen(&h);
	byte_connect(&c, &h);
	byte_send(&c, &h, STR(GET("/none")), false);
	run_until(&h.f, h.held);
	x = h.held;
	exchange_reply(x, 200, STR("text/plain"), STR("hi"), NULL);
	assert_int_equal(h.ends, 0);
	exchange_reply(x, 500, STR_NONE, STR("ignored"), NULL);
	exchange_abort(x, NULL);
	run_until(&h.f, h.ends == 1);
	run_until(&h.f, byte_text(&c).len == strlen(HI));
	assert_int_equal(h.failed_ends, 0);
	byte_deinit(&c, &h);
	http_fixture_deinit(&h);
}

static struct str error_body(unsigned status, struct str *type, void *arg)
{
	(void)arg;
	*type = STR("application/json");
	return status == 400 ? STR("{\"message\":\"Bad request\"}") : STR("{}");
}

static void test_error_body(void **state)
{
	struct http_fixture h;
	struct byte_client c;

	(void)state;
	http_fixture_init(&h);
	h.server.error_body = error_body;
	h.server.server_header = "cardea/1";
	http_fixture_listen(&h);
	byte_connect(&c, &h);
	byte_send(&c, &h, STR("BAD\r\n\r\n"), false);
	run_until(&h.f, c.eof);
	assert_string_equal(byte_text(&c).ptr,
			    "HTTP/1.1 400 Bad Request\r\nServer: cardea/1\r\nContent-Length: 25\r\n"
			    "Connection: close\r\ncontent-type: application/json\r\n\r\n"
			    "{\"message\":\"Bad request\"}");
	byte_deinit(&c, &h);
	http_fixture_deinit(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_stream_has_no_body_timeout),
		cmocka_unit_test(test_stream_that_falls_silent),
		cmocka_unit_test(test_big_answer),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_client_goes),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_late_calls),
		cmocka_unit_test(test_error_body),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
