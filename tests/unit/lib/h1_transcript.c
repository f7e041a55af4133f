#include "tests/unit/lib/h1_transcript.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct reader {
	struct h1_parser parser;
	struct arena arena;
	struct http_request request;
	struct buf *out;
	bool in_message; /* head was written */
	bool in_content;
};

static void add(struct buf *out, struct str s)
{
	assert_int_equal(buf_add_str(out, s, NULL), 0);
}

static void add_fields(struct buf *out, const char *before, const struct http_fields *f)
{
	for (size_t i = 0; i < f->count; i++) {
		add(out, str_from(before));
		add(out, f->items[i].name);
		add(out, STR(":"));
		add(out, f->items[i].value);
	}
}

static void separate(struct reader *r)
{
	if (r->out->len > 0)
		add(r->out, r->in_message ? STR(" ") : STR(" | "));
}

static void add_head(struct reader *r)
{
	const struct http_request *q = &r->request;

	separate(r);
	add(r->out, q->method);
	add(r->out, STR(" "));
	add(r->out, q->target);
	add(r->out, STR(" "));
	add(r->out, q->host.ptr ? q->host : STR("-"));
	add_fields(r->out, " ", &q->fields);
	if (r->parser.close)
		add(r->out, STR(" !close"));
	if (r->parser.te_trailers)
		add(r->out, STR(" !te"));
	if (q->expect_continue)
		add(r->out, STR(" !expect"));
	if (r->parser.upgrade.ptr)
		add(r->out, STR(" !upgrade"));
	if (r->parser.refuse)
		assert_int_equal(buf_addf(r->out, NULL, " !%u", r->parser.refuse), 0);
	r->in_message = true;
	r->in_content = false;
}

static void add_end(struct reader *r)
{
	add_fields(r->out, " ~", &r->parser.trailers);
	r->in_message = false;
	arena_reset(&r->arena);
	h1_parser_start(&r->parser, &r->arena, &r->request);
}

static void add_event(struct reader *r, enum h1_event event, struct str body)
{
	if (event == H1_HEAD) {
		add_head(r);
	} else if (event == H1_BODY) {
		add(r->out, r->in_content ? STR("") : STR(" ="));
		add(r->out, body);
		r->in_content = true;
	} else if (event == H1_END) {
		add_end(r);
	} else if (event == H1_ERROR) {
		separate(r);
		assert_int_equal(
			buf_addf(r->out, NULL, "%u %s", r->parser.status, r->parser.reason), 0);
	}
}

/* A copy of its own, so that a sanitizer sees what is read beyond it, or kept of it. */
static bool feed(struct reader *r, struct str piece)
{
	char *copy = test_malloc(piece.len + 1);
	struct str in = {copy, piece.len};
	struct str body = STR_NONE;
	enum h1_event event;

	memcpy(copy, piece.ptr, piece.len);
	do {
		event = h1_parse(&r->parser, &in, &body);
		add_event(r, event, body);
	} while (event != H1_MORE && event != H1_ERROR);
	test_free(copy);
	return event == H1_MORE;
}

void h1_transcript(struct buf *out, struct str input, size_t cut, bool each_byte,
		   const struct h1_limits *limits)
{
	struct reader r = {.out = out};
	size_t at = 0;
	size_t end = cut;
	bool more = true;

	h1_parser_init(&r.parser, limits, STR("http"));
	arena_init(&r.arena, 0);
	h1_parser_start(&r.parser, &r.arena, &r.request);
	while (more && at < input.len) {
		more = feed(&r, str_sub(input, at, end));
		at = end;
		end = each_byte ? at + 1 : input.len;
	}
	if (h1_parser_started(&r.parser)) {
		if (!r.in_message)
			separate(&r);
		add(out, STR("..."));
	}
	h1_parser_deinit(&r.parser);
	arena_deinit(&r.arena);
}

static void check_cut(const char *name, struct str input, struct str want,
		      const struct h1_limits *limits, size_t cut, bool each_byte)
{
	struct buf got = BUF_INIT;

	h1_transcript(&got, input, cut, each_byte, limits);
	if (!str_eq(buf_str(&got), want))
		fail_msg("%s, cut at %zu%s:\n got  \"%.*s\"\n want \"%.*s\"", name, cut,
			 each_byte ? " and each byte behind" : "", (int)got.len, got.data,
			 (int)want.len, want.ptr);
	buf_deinit(&got);
}

void h1_check(const char *name, struct str input, struct str want, const struct h1_limits *limits)
{
	check_cut(name, input, want, limits, input.len, false);
	for (size_t cut = 1; cut < input.len; cut++)
		check_cut(name, input, want, limits, cut, false);
	check_cut(name, input, want, limits, input.len > 0, true);
}

void h1_check_rows(const struct h1_row *rows, size_t count)
{
	static const struct {
		struct str input;
		const char *want;
	} before[] = {
		{STR_NONE, ""},
		{STR("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "GET / a"},
		{STR("PUT /x HTTP/1.1\r\nHost: b\r\nContent-Length: 4\r\n\r\n\r\n\r\n"),
		 "PUT /x b =\r\n\r\n"},
		{STR("PUT /x HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n"
		     "2;e\r\nhi\r\n0\r\nT: 1\r\n\r\n"),
		 "PUT /x b =hi ~t:1"},
	};

	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < array_len(before); k++) {
			struct buf input = BUF_INIT;
			struct buf want = BUF_INIT;

			add(&input, before[k].input);
			add(&input, rows[i].input);
			add(&want, str_from(before[k].want));
			if (k > 0 && rows[i].input.len > 0)
				add(&want, STR(" | "));
			add(&want, str_from(rows[i].want));
			h1_check(rows[i].name, buf_str(&input), buf_str(&want), NULL);
			buf_deinit(&input);
			buf_deinit(&want);
		}
	}
}
