#include "common/http/h1_write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "common/core/compiler.h"

enum { MAX_FIELDS = 4 };

struct head_row {
	const char *name;
	unsigned status;
	int64_t length;
	struct http_field fields[MAX_FIELDS];
	struct h1_head_options options;
	const char *want; /* the whole head */
	enum h1_framing framing;
	bool close;
	bool done;
};

#define F(name, value)                                                                             \
	{                                                                                          \
		STR(name), STR(value)                                                              \
	}
#define NONE                                                                                       \
	{                                                                                          \
		{                                                                                  \
			{NULL, 0},                                                                 \
			{                                                                          \
				NULL, 0                                                            \
			}                                                                          \
		}                                                                                  \
	}

/* clang-format off */
static const struct head_row heads[] = {
	{"length", 200, 3, NONE, {.version = HTTP_11}, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", H1_FRAMING_LENGTH, false, false},
	{"length zero", 200, 0, NONE, {.version = HTTP_11}, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", H1_FRAMING_NONE, false, false},
	{"largest length", 200, INT64_MAX, NONE, {.version = HTTP_11}, "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n", H1_FRAMING_LENGTH, false, false},
	{"unknown length", 200, -1, NONE, {.version = HTTP_11}, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", H1_FRAMING_CHUNKED, false, false},
	{"unknown length to 1.0", 200, -1, NONE, {.version = HTTP_10}, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", H1_FRAMING_CLOSE, true, false},
	{"length to 1.0", 200, 1, NONE, {.version = HTTP_10}, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n", H1_FRAMING_LENGTH, false, false},
	{"end", 404, -1, NONE, {.version = HTTP_11, .end = true}, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", H1_FRAMING_NONE, false, true},
	{"close", 400, 2, NONE, {.version = HTTP_11, .close = true}, "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\nConnection: close\r\n\r\n", H1_FRAMING_LENGTH, true, false},
	{"HEAD with length", 200, 9, NONE, {.version = HTTP_11, .head_only = true}, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", H1_FRAMING_NONE, false, true},
	{"HEAD without length", 200, -1, NONE, {.version = HTTP_11, .head_only = true}, "HTTP/1.1 200 OK\r\n\r\n", H1_FRAMING_NONE, false, true},
	{"HEAD without length to 1.0", 200, -1, NONE, {.version = HTTP_10, .head_only = true}, "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n", H1_FRAMING_NONE, false, true},
	{"204", 204, -1, NONE, {.version = HTTP_11}, "HTTP/1.1 204 No Content\r\n\r\n", H1_FRAMING_NONE, false, true},
	{"204 with a length", 204, 5, NONE, {.version = HTTP_11}, "HTTP/1.1 204 No Content\r\n\r\n", H1_FRAMING_NONE, false, true},
	{"304", 304, -1, NONE, {.version = HTTP_11}, "HTTP/1.1 304 Not Modified\r\n\r\n", H1_FRAMING_NONE, false, true},
	{"304 with a length", 304, 5, NONE, {.version = HTTP_11}, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", H1_FRAMING_NONE, false, true},
	{"unlisted status", 599, 0, NONE, {.version = HTTP_11}, "HTTP/1.1 599 Unknown\r\nContent-Length: 0\r\n\r\n", H1_FRAMING_NONE, false, false},
	{"date and server", 200, 0, NONE, {.version = HTTP_11, .date = {"D", 1}, .server = {"S", 1}}, "HTTP/1.1 200 OK\r\nDate: D\r\nServer: S\r\nContent-Length: 0\r\n\r\n", H1_FRAMING_NONE, false, false},
	{"server of the answer wins", 200, 0, {F("server", "mine")}, {.version = HTTP_11, .server = {"S", 1}}, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nserver: mine\r\n\r\n", H1_FRAMING_NONE, false, false},
	{"a date of its own", 200, 0, {F("Date", "old"), F("a", "b")}, {.version = HTTP_11, .date = {"D", 1}}, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: old\r\na: b\r\n\r\n", H1_FRAMING_NONE, false, false},
	{"426 says to what", 426, 0, {F("upgrade", "TLS/1.2")}, {.version = HTTP_11}, "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nUpgrade: TLS/1.2\r\nConnection: Upgrade\r\n\r\n", H1_FRAMING_NONE, false, false},
	{"426 and the end", 426, 0, {F("upgrade", "TLS/1.2")}, {.version = HTTP_11, .close = true}, "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nUpgrade: TLS/1.2\r\nConnection: Upgrade, close\r\n\r\n", H1_FRAMING_NONE, true, false},
	{"fields", 200, 0, {F("a", "1"), F("set-cookie", "x"), F("set-cookie", ""), F("b", "\xff\t")}, {.version = HTTP_11}, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\na: 1\r\nset-cookie: x\r\nset-cookie: \r\nb: \xff\t\r\n\r\n", H1_FRAMING_NONE, false, false},
	{"UP-07 framing fields are ours", 200, 1, {F("content-length", "9"), F("Transfer-Encoding", "chunked")}, {.version = HTTP_11}, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", H1_FRAMING_LENGTH, false, false},
	{"UP-07 hop-by-hop", 200, 0, {F("connection", "close"), F("keep-alive", "1"), F("upgrade", "h2c"), F("te", "x")}, {.version = HTTP_11}, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", H1_FRAMING_NONE, false, false},
	{"UP-07 more of them", 200, 0, {F("trailer", "x"), F("proxy-connection", "close"), F("http2-settings", "x")}, {.version = HTTP_11}, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", H1_FRAMING_NONE, false, false},
	{"status 100", 100, 0, NONE, {.version = HTTP_11}, NULL, 0, false, false},
	{"status 0", 0, 0, NONE, {.version = HTTP_11}, NULL, 0, false, false},
	{"status 600", 600, 0, NONE, {.version = HTTP_11}, NULL, 0, false, false},
	{"CR LF in a value", 200, 0, {F("a", "1\r\nb: 2")}, {.version = HTTP_11}, NULL, 0, false, false},
	{"LF in a value", 200, 0, {F("a", "1\nb: 2")}, {.version = HTTP_11}, NULL, 0, false, false},
	{"nul in a value", 200, 0, {F("a", "1\0")}, {.version = HTTP_11}, NULL, 0, false, false},
	{"space in a name", 200, 0, {F("a b", "1")}, {.version = HTTP_11}, NULL, 0, false, false},
	{"colon in a name", 200, 0, {F("a:", "1")}, {.version = HTTP_11}, NULL, 0, false, false},
	{"LF in a name", 200, 0, {F("a\n", "1")}, {.version = HTTP_11}, NULL, 0, false, false},
	{"bad value of a dropped field", 200, 0, {F("connection", "\r\n")}, {.version = HTTP_11}, NULL, 0, false, false},
};
/* clang-format on */

static size_t count_fields(const struct http_field *f)
{
	size_t n = 0;

	while (n < MAX_FIELDS && f[n].name.ptr)
		n++;
	return n;
}

static void test_heads(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(heads); i++) {
		const struct head_row *row = &heads[i];
		struct http_field fields[MAX_FIELDS];
		struct http_response r = {.status = row->status,
					  .fields = {fields, 0, MAX_FIELDS},
					  .content_length = row->length};
		struct h1_writer w;
		struct buf out = BUF_INIT;
		struct err e = ERR_INIT;

		memcpy(fields, row->fields, sizeof(fields));
		r.fields.count = count_fields(fields);
		if (!row->want) {
			assert_int_equal(h1_write_head(&w, &out, &r, &row->options, &e), -1);
			assert_int_equal(e.kind, ERR_INVALID);
			assert_int_equal(out.len, 0);
			buf_deinit(&out);
			continue;
		}
		assert_int_equal(h1_write_head(&w, &out, &r, &row->options, &e), 0);
		if (!str_eq(buf_str(&out), str_from(row->want)))
			fail_msg("%s: got \"%s\"", row->name, out.data);
		if (w.framing != row->framing || w.close != row->close || w.done != row->done)
			fail_msg("%s: framing %d close %d done %d", row->name, w.framing, w.close,
				 w.done);
		buf_deinit(&out);
	}
}

enum { MAX_PIECES = 4 };

static const struct {
	const char *name;
	struct h1_writer writer;
	const char *pieces[MAX_PIECES]; /* the last one before NULL ends the body */
	const char *want;		/* NULL: refused */
} bodies[] = {
	{"chunks",
	 {.framing = H1_FRAMING_CHUNKED},
	 {"a", "0123456789abcdef"},
	 "1\r\na\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"},
	{"empty piece is no chunk",
	 {.framing = H1_FRAMING_CHUNKED},
	 {"a", "", "b"},
	 "1\r\na\r\n1\r\nb\r\n0\r\n\r\n"},
	{"empty chunked body", {.framing = H1_FRAMING_CHUNKED}, {""}, "0\r\n\r\n"},
	{"length", {.framing = H1_FRAMING_LENGTH, .left = 3}, {"ab", "c"}, "abc"},
	{"length, end apart", {.framing = H1_FRAMING_LENGTH, .left = 3}, {"abc", ""}, "abc"},
	{"length too short", {.framing = H1_FRAMING_LENGTH, .left = 3}, {"ab"}, NULL},
	{"length too long", {.framing = H1_FRAMING_LENGTH, .left = 3}, {"ab", "cd"}, NULL},
	{"length zero, bytes", {.framing = H1_FRAMING_NONE}, {"a"}, NULL},
	{"length zero, no bytes", {.framing = H1_FRAMING_NONE}, {""}, ""},
	{"until close", {.framing = H1_FRAMING_CLOSE}, {"a", "b"}, "ab"},
	{"HEAD drops", {.framing = H1_FRAMING_NONE, .done = true}, {"a", "b"}, ""},
};

static void test_bodies(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(bodies); i++) {
		struct h1_writer w = bodies[i].writer;
		struct buf out = BUF_INIT;
		struct err e = ERR_INIT;
		int result = 0;

		for (size_t k = 0; k < MAX_PIECES && bodies[i].pieces[k] && result == 0; k++) {
			bool last = k + 1 == MAX_PIECES || !bodies[i].pieces[k + 1];

			result = h1_write_body(&w, &out, str_from(bodies[i].pieces[k]), last, &e);
		}
		if (!bodies[i].want) {
			assert_int_equal(result, -1);
			assert_int_equal(e.kind, ERR_INTERNAL);
		} else if (result < 0 || !w.done ||
			   !str_eq(buf_str(&out), str_from(bodies[i].want))) {
			fail_msg("%s: %d \"%s\"", bodies[i].name, result, out.data);
		}
		buf_deinit(&out);
	}
}

static void test_trailers(void **state)
{
	struct http_field items[] = {F("grpc-status", "0"), F("connection", "x")};
	struct http_fields trailers = {items, 2, 2};
	struct h1_writer w = {.framing = H1_FRAMING_CHUNKED};
	struct buf out = BUF_INIT;

	(void)state;
	assert_int_equal(h1_write_trailers(&w, &out, &trailers, NULL), 0);
	assert_string_equal(out.data, "0\r\ngrpc-status: 0\r\n\r\n");
	assert_true(w.done);
	buf_clear(&out);
	w = (struct h1_writer){.framing = H1_FRAMING_LENGTH, .left = 1};
	assert_int_equal(h1_write_trailers(&w, &out, &trailers, NULL), -1);
	w.left = 0;
	assert_int_equal(h1_write_trailers(&w, &out, &trailers, NULL), 0);
	assert_int_equal(out.len, 0);
	items[0].value = STR("0\r\n");
	w = (struct h1_writer){.framing = H1_FRAMING_CHUNKED};
	assert_int_equal(h1_write_trailers(&w, &out, &trailers, NULL), -1);
	assert_int_equal(out.len, 0);
	buf_deinit(&out);
}

static void test_interim(void **state)
{
	struct http_field items[] = {F("link", "</a>")};
	struct http_fields fields = {items, 1, 1};
	struct buf out = BUF_INIT;

	(void)state;
	assert_int_equal(h1_write_interim(&out, HTTP_11, 100, NULL, NULL), 0);
	assert_string_equal(out.data, "HTTP/1.1 100 Continue\r\n\r\n");
	buf_clear(&out);
	assert_int_equal(h1_write_interim(&out, HTTP_11, 103, &fields, NULL), 0);
	assert_string_equal(out.data, "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
	buf_clear(&out);
	assert_int_equal(h1_write_interim(&out, HTTP_10, 100, NULL, NULL), 0);
	assert_int_equal(out.len, 0);
	assert_int_equal(h1_write_interim(&out, HTTP_11, 101, NULL, NULL), -1);
	assert_int_equal(h1_write_interim(&out, HTTP_11, 200, NULL, NULL), -1);
	assert_int_equal(h1_write_interim(&out, HTTP_11, 99, NULL, NULL), -1);
	buf_deinit(&out);
}

#define REQUEST(m, t, a, length, body)                                                             \
	{                                                                                          \
		.version = HTTP_11, .method = {m, sizeof(m) - 1}, .target = {t, sizeof(t) - 1},    \
		.authority = {a, sizeof(a) - 1}, .content_length = length, .has_body = body        \
	}

/* clang-format off */
static const struct {
	const char *name;
	struct http_request request;
	struct h1_request_options options;
	const char *want;
} requests[] = {
	{"GET", REQUEST("GET", "/a?b", "h:1", -1, false), {0}, "GET /a?b HTTP/1.1\r\nHost: h:1\r\n\r\n"},
	{"close", REQUEST("GET", "/", "h", -1, false), {.close = true}, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"},
	{"length", REQUEST("POST", "/", "h", 3, true), {0}, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n"},
	{"chunks", REQUEST("POST", "/", "h", -1, true), {0}, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{"POST without a body", REQUEST("POST", "/", "h", -1, false), {0}, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"},
	{"length zero said", REQUEST("GET", "/", "h", 0, false), {0}, "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"},
	{"upgrade", REQUEST("GET", "/", "h", -1, false), {.upgrade = STR("websocket")}, "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"},
	{"trailers wanted", REQUEST("GET", "/", "h", -1, false), {.te_trailers = true}, "GET / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nConnection: TE\r\n\r\n"},
	{"trailers and the end", REQUEST("GET", "/", "h", -1, false), {.te_trailers = true, .close = true}, "GET / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nConnection: TE, close\r\n\r\n"},
	{"bad token of an upgrade", REQUEST("GET", "/", "h", -1, false), {.upgrade = STR("a\r\nb")}, NULL},
	{"space in the target", REQUEST("GET", "/ b", "h", -1, false), {0}, NULL},
	{"line end in the target", REQUEST("GET", "/\r\n", "h", -1, false), {0}, NULL},
	{"bad method", REQUEST("G T", "/", "h", -1, false), {0}, NULL},
	{"no method", REQUEST("", "/", "h", -1, false), {0}, NULL},
	{"line end in the authority", REQUEST("GET", "/", "h\r\nx: y", -1, false), {0}, NULL},
};
/* clang-format on */

static void test_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(requests); i++) {
		struct h1_writer w;
		struct buf out = BUF_INIT;
		int result = h1_write_request(&w, &out, &requests[i].request, &requests[i].options,
					      NULL);

		if (!requests[i].want)
			assert_int_equal(result, -1);
		else if (result < 0 || !str_eq(buf_str(&out), str_from(requests[i].want)))
			fail_msg("%s: \"%s\"", requests[i].name, out.data);
		buf_deinit(&out);
	}
}

/* A full buffer: an error, and nothing half written. */
static void test_full_buffer(void **state)
{
	struct http_response r = {.status = 200, .content_length = -1};
	struct h1_head_options o = {.version = HTTP_11};
	struct h1_writer w;
	struct buf out;
	struct err e = ERR_INIT;

	(void)state;
	buf_init(&out, 8);
	assert_int_equal(h1_write_head(&w, &out, &r, &o, &e), -1);
	assert_int_equal(e.kind, ERR_LIMIT);
	w = (struct h1_writer){.framing = H1_FRAMING_CHUNKED};
	assert_int_equal(h1_write_body(&w, &out, STR("abcdefgh"), true, &e), -1);
	assert_false(w.done);
	assert_int_equal(out.len, 0);
	buf_deinit(&out);
}

/* --- fields that came in as lines --- */

/* What the lines do not vouch for is checked and written by itself. */
static const struct {
	const char *name, *lines;
	size_t at[3]; /* of names; SIZE_MAX: no more */
	size_t name_len, value_len;
	size_t gap;	  /* from a name's end to its value */
	const char *want; /* NULL: refused */
} line_rows[] = {
	{"all", "a: 1\r\nb: 2\r\nc: 3\r\n", {0, 6, 12}, 1, 1, 2, "a: 1\r\nb: 2\r\nc: 3\r\n"},
	{"one was taken out",
	 "a: 1\r\nb: 2\r\nc: 3\r\n",
	 {0, 12, SIZE_MAX},
	 1,
	 1,
	 2,
	 "a: 1\r\nc: 3\r\n"},
	{"another order",
	 "a: 1\r\nb: 2\r\nc: 3\r\n",
	 {12, 0, 6},
	 1,
	 1,
	 2,
	 "c: 3\r\na: 1\r\nb: 2\r\n"},
	{"twice", "a: 1\r\n", {0, 0, SIZE_MAX}, 1, 1, 2, "a: 1\r\na: 1\r\n"},
	{"a part of a value", "a: 12\r\n", {0, SIZE_MAX, 0}, 1, 1, 2, "a: 1\r\n"},
	{"a value from its second byte", "a: 12\r\n", {0, SIZE_MAX, 0}, 1, 1, 3, "a: 2\r\n"},
	{"a value up to the end", "a: 1\r\nb: 2\r\n", {6, SIZE_MAX, 0}, 1, 2, 2, NULL},
	{"a name over its colon", "a: : 1\r\n", {0, SIZE_MAX, 0}, 2, 1, 3, NULL},
	{"a name without its first byte", "ab: 1\r\n", {1, SIZE_MAX, 0}, 1, 1, 2, "b: 1\r\n"},
};

static void test_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(line_rows); i++) {
		struct http_field fields[3];
		struct http_response r = {
			.status = 204, .content_length = -1, .fields = {fields, 0, 3}};
		const char *lines = line_rows[i].lines;
		struct buf out = BUF_INIT;
		struct h1_writer w;
		struct h1_head_options o = {.version = HTTP_11};
		char want[128];

		r.lines.of[i % 2] = str_from(lines);
		for (; r.fields.count < 3 && line_rows[i].at[r.fields.count] != SIZE_MAX;
		     r.fields.count++) {
			const char *name = lines + line_rows[i].at[r.fields.count];

			fields[r.fields.count] = (struct http_field){
				{name, line_rows[i].name_len},
				{name + line_rows[i].name_len + line_rows[i].gap,
				 line_rows[i].value_len}};
		}
		if (h1_write_head(&w, &out, &r, &o, NULL) < 0) {
			assert_null(line_rows[i].want);
			assert_int_equal(out.len, 0);
		} else {
			assert_non_null(line_rows[i].want);
			snprintf(want, sizeof(want), "HTTP/1.1 204 No Content\r\n%s\r\n",
				 line_rows[i].want);
			if (!str_eq(buf_str(&out), str_from(want)))
				fail_msg("%s: got %s", line_rows[i].name, out.data);
		}
		buf_deinit(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heads),	    cmocka_unit_test(test_lines),
		cmocka_unit_test(test_bodies),	    cmocka_unit_test(test_trailers),
		cmocka_unit_test(test_interim),	    cmocka_unit_test(test_requests),
		cmocka_unit_test(test_full_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
