/* Responses by row of reliability-goals section 7 (UP): each input whole, cut in two at every place
 * and byte by byte, then the end of the connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/core/compiler.h"
#include "common/http/h1_parse.h"

/* Messages are joined by " | ": status, then ` name:value` per field, marks (!close ^upgrade
 * #content-length), ` =content`, ` ~name:value` per trailer, ` +N` for bytes behind the last. What
 * is refused ends with `status reason`. */
struct row {
	const char *name;
	struct str input;
	const char *want;
	const char *method; /* NULL: GET */
};

struct reading {
	struct h1_parser parser;
	struct arena arena;
	struct http_response response;
	struct str method;
	struct buf text;
	struct buf content;
	bool over; /* a final response is complete */
};

static void add_fields(struct buf *out, const struct http_fields *f, const char *mark)
{
	for (size_t i = 0; i < f->count; i++)
		assert_int_equal(buf_addf(out, NULL, " %s%.*s:%.*s", mark,
					  (int)f->items[i].name.len, f->items[i].name.ptr,
					  (int)f->items[i].value.len, f->items[i].value.ptr),
				 0);
}

static void on_head(struct reading *r)
{
	const struct h1_parser *p = &r->parser;

	assert_int_equal(buf_addf(&r->text, NULL, "%u", r->response.status), 0);
	add_fields(&r->text, &r->response.fields, "");
	assert_int_equal(buf_addf(&r->text, NULL, "%s", p->close ? " !close" : ""), 0);
	if (p->upgrade.ptr)
		assert_int_equal(
			buf_addf(&r->text, NULL, " ^%.*s", (int)p->upgrade.len, p->upgrade.ptr), 0);
	if (r->response.content_length >= 0)
		assert_int_equal(
			buf_addf(&r->text, NULL, " #%lld", (long long)r->response.content_length),
			0);
}

static void flush_content(struct reading *r)
{
	if (r->content.len)
		assert_int_equal(buf_addf(&r->text, NULL, " =%s", r->content.data), 0);
	buf_clear(&r->content);
}

static void on_end(struct reading *r)
{
	flush_content(r);
	add_fields(&r->text, &r->parser.trailers, "~");
	if (r->response.status >= 200 || r->response.status == 101) {
		r->over = true;
		return;
	}
	assert_int_equal(buf_addf(&r->text, NULL, " | "), 0);
	h1_parser_start_response(&r->parser, &r->arena, &r->response, r->method);
}

static void on_error(struct reading *r)
{
	flush_content(r);
	assert_int_equal(buf_addf(&r->text, NULL, "%s%u %s", r->text.len ? " " : "",
				  r->parser.status, r->parser.reason),
			 0);
	r->over = true;
}

static void feed(struct reading *r, struct str in, size_t *behind)
{
	enum h1_event event = H1_HEAD;
	struct str body;

	while (!r->over && event != H1_MORE) {
		event = h1_parse(&r->parser, &in, &body);
		if (event == H1_HEAD)
			on_head(r);
		else if (event == H1_BODY)
			assert_int_equal(buf_add_str(&r->content, body, NULL), 0);
		else if (event == H1_END)
			on_end(r);
		else if (event == H1_ERROR)
			on_error(r);
	}
	if (r->over && !r->parser.reason)
		*behind += in.len;
}

/* The input in pieces that end at cut, and after each byte behind it when each_byte. */
static void read_all(struct buf *out, const struct row *row, size_t cut, bool each_byte,
		     const struct h1_limits *limits)
{
	struct reading r = {.method = str_from(row->method ? row->method : "GET")};
	size_t behind = 0;

	h1_parser_init(&r.parser, limits, STR("http"));
	h1_parser_start_response(&r.parser, &r.arena, &r.response, r.method);
	feed(&r, str_sub(row->input, 0, cut), &behind);
	for (size_t at = cut; each_byte && at < row->input.len; at++)
		feed(&r, str_sub(row->input, at, at + 1), &behind);
	if (!each_byte)
		feed(&r, str_sub(row->input, cut, row->input.len), &behind);
	if (!r.over) {
		if (h1_parse_end(&r.parser) == H1_ERROR)
			on_error(&r);
		else
			flush_content(&r);
	}
	if (behind)
		assert_int_equal(buf_addf(&r.text, NULL, " +%zu", behind), 0);
	*out = r.text;
	h1_parser_deinit(&r.parser);
	arena_deinit(&r.arena);
	buf_deinit(&r.content);
}

static void check(const struct row *row, const struct h1_limits *limits)
{
	for (size_t cut = 0; cut <= row->input.len; cut++) {
		for (int each = 0; each < 2; each++) {
			struct buf text = BUF_INIT;

			read_all(&text, row, cut, each, limits);
			if (!str_eq(buf_str(&text), str_from(row->want)))
				fail_msg("%s, cut at %zu: \"%s\", not \"%s\"", row->name, cut,
					 text.data ? text.data : "", row->want);
			buf_deinit(&text);
		}
	}
}

#define OK "HTTP/1.1 200 OK\r\n"
#define ANSWER(fields, body) STR(OK fields "\r\n" body)

/* clang-format off */
static const struct row rows[] = {
	{"length", ANSWER("Content-Length: 3\r\nX-A: 1\r\n", "abc"), "200 x-a:1 #3 =abc", NULL},
	{"length 0", ANSWER("Content-Length: 0\r\n", ""), "200 #0", NULL},
	{"chunks", ANSWER("Transfer-Encoding: chunked\r\n", "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"), "200 =abc", NULL},
	{"trailers", ANSWER("Transfer-Encoding: chunked\r\n", "1\r\na\r\n0\r\ngrpc-status: 0\r\nContent-Length: 1\r\n\r\n"), "200 =a ~grpc-status:0", NULL},
	{"until close", ANSWER("", "abc"), "200 !close =abc", NULL},
	{"until close, nothing", ANSWER("", ""), "200 !close", NULL},
	{"1.0", STR("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na"), "200 !close #1 =a", NULL},
	{"1.0 keep-alive", STR("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na"), "200 #1 =a", NULL},
	{"close", ANSWER("Connection: close\r\nContent-Length: 0\r\n", ""), "200 !close #0", NULL},
	{"no reason", STR("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"), "200 #0", NULL},
	{"no space", STR("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"), "200 #0", NULL},
	{"long reason", STR("HTTP/1.1 404 N\xc3\xb6t at all\r\nContent-Length: 0\r\n\r\n"), "404 #0", NULL},
	{"599", STR("HTTP/1.1 599 x\r\nContent-Length: 0\r\n\r\n"), "599 #0", NULL},
	{"host and expect are fields", ANSWER("Host: a\r\nExpect: b\r\nx_a: c\r\nContent-Length: 0\r\n", ""), "200 host:a expect:b x_a:c #0", NULL},
	{"set-cookie stays apart", ANSWER("Set-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 0\r\n", ""), "200 set-cookie:a set-cookie:b #0", NULL},
	{"UP-07", ANSWER("Keep-Alive: 5\r\nProxy-Connection: x\r\nTE: a\r\nTrailer: b\r\nUpgrade: h2c\r\nConnection: x-b\r\nX-B: 1\r\nContent-Length: 0\r\n", ""), "200 #0", NULL},
	{"interim", STR("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" OK "Content-Length: 0\r\n\r\n"), "100 | 103 link:</a> | 200 #0", NULL},
	{"interim with a length", STR("HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n" OK "Content-Length: 0\r\n\r\n"), "100 #0 | 200 #0", NULL},
	{"interim only", STR("HTTP/1.1 100 Continue\r\n\r\n"), "100 | ", NULL},
	{"switching", STR("HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x01"), "101 ^websocket +2", NULL},
	{"switching to another", STR("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: Foo/2\r\n\r\n"), "101 ^Foo/2", NULL},
	{"UP-04 without the option", STR("HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n"), "101", NULL},
	{"UP-04 two of them", STR("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n\r\n"), "101", NULL},
	{"upgrade with 200 says nothing", ANSWER("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n", ""), "200 #0", NULL},
	{"HEAD with a length", ANSWER("Content-Length: 5\r\n", ""), "200 #5", "HEAD"},
	{"HEAD with chunks", ANSWER("Transfer-Encoding: chunked\r\n", ""), "200", "HEAD"},
	{"HEAD without", ANSWER("", ""), "200", "HEAD"},
	{"UP-06 HEAD with content", ANSWER("Content-Length: 2\r\n", "ab"), "200 #2 +2", "HEAD"},
	{"304 with a length", STR("HTTP/1.1 304 x\r\nContent-Length: 9\r\n\r\n"), "304 #9", NULL},
	{"UP-06 304 with content", STR("HTTP/1.1 304 x\r\nContent-Length: 2\r\n\r\nab"), "304 #2 +2", NULL},
	{"204", STR("HTTP/1.1 204 x\r\n\r\n"), "204", NULL},
	{"204 with length 0", STR("HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n"), "204 #0", NULL},
	{"UP-06 204 with a length", STR("HTTP/1.1 204 x\r\nContent-Length: 1\r\n\r\na"), "204 !close #1 +1", NULL},
	{"UP-06 204 with chunks", STR("HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "204 !close +5", NULL},
	{"UP-03 bytes behind", ANSWER("Content-Length: 1\r\n", "aHTTP/1.1 200 OK\r\n\r\n"), "200 #1 =a +19", NULL},

	{"UP-01 both framings", ANSWER("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "1\r\na\r\n0\r\n\r\n"), "502 UP-01", NULL},
	{"UP-01 both framings for HEAD", ANSWER("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", ""), "502 UP-01", "HEAD"},
	{"UP-01 two lengths", ANSWER("Content-Length: 1\r\nContent-Length: 2\r\n", "a"), "502 UP-01", NULL},
	{"UP-01 two equal lengths", ANSWER("Content-Length: 1\r\nContent-Length: 1\r\n", "a"), "502 UP-01", NULL},
	{"UP-01 list of lengths", ANSWER("Content-Length: 1, 1\r\n", "a"), "502 UP-01", NULL},
	{"UP-01 negative length", ANSWER("Content-Length: -1\r\n", ""), "502 UP-01", NULL},
	{"UP-01 empty length", ANSWER("Content-Length:\r\n", ""), "502 UP-01", NULL},
	{"UP-01 2^63", ANSWER("Content-Length: 9223372036854775808\r\n", ""), "502 UP-01", NULL},
	{"UP-01 2^64", ANSWER("Content-Length: 18446744073709551616\r\n", ""), "502 UP-01", NULL},
	{"UP-01 coding", ANSWER("Transfer-Encoding: gzip, chunked\r\n", ""), "502 UP-01", NULL},
	{"UP-01 identity", ANSWER("Transfer-Encoding: identity\r\n", ""), "502 UP-01", NULL},
	{"UP-01 chunked twice", ANSWER("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", ""), "502 UP-01", NULL},
	{"UP-01 chunks in 1.0", STR("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "502 UP-01", NULL},
	{"UP-01 bad chunk", ANSWER("Transfer-Encoding: chunked\r\n", "x\r\n"), "200 502 H1-26", NULL},
	{"UP-01 chunk too long", ANSWER("Transfer-Encoding: chunked\r\n", "1\r\nab\r\n"), "200 =a 502 H1-28", NULL},
	{"UP-01 name with a space", ANSWER("X A: 1\r\n", ""), "502 H1-08", NULL},
	{"UP-01 folded", ANSWER("X-A: 1\r\n b\r\n", ""), "502 H1-09", NULL},
	{"UP-01 CR in a value", ANSWER("X-A: 1\r2\r\n", ""), "502 H1-11", NULL},
	{"UP-01 NUL in a value", ANSWER("X-A: 1\0\r\n", ""), "502 H1-11", NULL},
	{"UP-01 bare LF", STR("HTTP/1.1 200 OK\nContent-Length: 0\n\n"), "502 H1-10", NULL},
	{"UP-01 empty line first", STR("\r\n" OK "\r\n"), "502 UP-01", NULL},
	{"UP-01 HTTP/2", STR("HTTP/2 200\r\n\r\n"), "502 UP-01", NULL},
	{"UP-01 HTTP/2.0", STR("HTTP/2.0 200 OK\r\n\r\n"), "502 UP-01", NULL},
	{"UP-01 HTTP/0.9", STR("<html>"), "502 UP-01", NULL},
	{"UP-01 http", STR("http/1.1 200 OK\r\n\r\n"), "502 UP-01", NULL},
	{"UP-01 two digits", STR("HTTP/1.1 20 OK\r\n\r\n"), "502 UP-01", NULL},
	{"UP-01 four digits", STR("HTTP/1.1 2000 OK\r\n\r\n"), "502 UP-01", NULL},
	{"UP-01 099", STR("HTTP/1.1 099 x\r\n\r\n"), "502 UP-01", NULL},
	{"UP-01 600", STR("HTTP/1.1 600 x\r\n\r\n"), "502 UP-01", NULL},
	{"UP-01 +20", STR("HTTP/1.1 +20 x\r\n\r\n"), "502 UP-01", NULL},
	{"UP-01 two spaces", STR("HTTP/1.1  200 x\r\n\r\n"), "502 UP-01", NULL},
	{"UP-01 tab", STR("HTTP/1.1\t200 x\r\n\r\n"), "502 UP-01", NULL},
	{"UP-01 NUL in the reason", STR("HTTP/1.1 200 a\0b\r\n\r\n"), "502 UP-01", NULL},
	{"UP-11 TLS", STR("\x15\x03\x01\x00\x02\x02\x46"), "502 UP-01", NULL},
	{"UP-02 nothing", STR(""), "", NULL},
	{"UP-02 part of a line", STR("HTTP/1.1 20"), "502 UP-02", NULL},
	{"UP-02 in the head", STR(OK "X-A: 1\r\n"), "502 UP-02", NULL},
	{"UP-02 content cut", ANSWER("Content-Length: 3\r\n", "ab"), "200 #3 =ab 502 UP-02", NULL},
	{"UP-02 no content", ANSWER("Content-Length: 3\r\n", ""), "200 #3 502 UP-02", NULL},
	{"UP-02 before a chunk", ANSWER("Transfer-Encoding: chunked\r\n", ""), "200 502 UP-02", NULL},
	{"UP-02 in a chunk", ANSWER("Transfer-Encoding: chunked\r\n", "3\r\na"), "200 =a 502 UP-02", NULL},
	{"UP-02 behind a chunk", ANSWER("Transfer-Encoding: chunked\r\n", "1\r\na\r"), "200 =a 502 UP-02", NULL},
	{"UP-02 last chunk cut", ANSWER("Transfer-Encoding: chunked\r\n", "1\r\na\r\n0\r\n"), "200 =a 502 UP-02", NULL},
	{"UP-02 trailers cut", ANSWER("Transfer-Encoding: chunked\r\n", "0\r\nX: 1\r\n"), "200 502 UP-02", NULL},
};
/* clang-format on */

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++)
		check(&rows[i], NULL);
}

static void test_limits(void **state)
{
	static const struct {
		struct row row;
		struct h1_limits limits;
	} limited[] = {
		{{"line", STR("HTTP/1.1 200 a long reason\r\n\r\n"), "502 limit_request_line",
		  NULL},
		 {.request_line = 16}},
		{{"field", ANSWER("X-A: 123456789\r\n", ""), "502 limit_field", NULL},
		 {.field = 10}},
		{{"head", ANSWER("X-A: 1\r\nX-B: 1\r\n", ""), "502 limit_head", NULL},
		 {.head = 30}},
		{{"fields", ANSWER("A: 1\r\nB: 1\r\nC: 1\r\n", ""), "502 limit_fields", NULL},
		 {.fields = 2}},
		{{"trailers", ANSWER("Transfer-Encoding: chunked\r\n", "0\r\nA: 1\r\nB: 1\r\n\r\n"),
		  "200 502 limit_trailer_fields", NULL},
		 {.trailer_fields = 1}},
	};

	(void)state;
	for (size_t i = 0; i < array_len(limited); i++)
		check(&limited[i].row, &limited[i].limits);
}

/* One connection, one response after the other; and nothing after a refused one. */
static void test_next(void **state)
{
	struct arena arena;
	struct h1_parser p;
	struct http_response r;
	struct str body, in = STR(OK "Content-Length: 1\r\n\r\nahello");

	(void)state;
	arena_init(&arena, 0);
	h1_parser_init(&p, NULL, STR("http"));
	h1_parser_start_response(&p, &arena, &r, STR("GET"));
	assert_int_equal(h1_parse(&p, &in, &body), H1_HEAD);
	assert_int_equal(h1_parse(&p, &in, &body), H1_BODY);
	assert_int_equal(h1_parse(&p, &in, &body), H1_END);
	assert_int_equal(in.len, 5);
	h1_parser_start_response(&p, &arena, &r, STR("GET"));
	assert_false(h1_parser_started(&p));
	assert_int_equal(h1_parse(&p, &in, &body), H1_ERROR);
	h1_parser_start_response(&p, &arena, &r, STR("GET"));
	assert_int_equal(h1_parse(&p, &in, &body), H1_ERROR);
	assert_int_equal(h1_parse_end(&p), H1_ERROR);
	h1_parser_deinit(&p);
	arena_deinit(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_next),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
