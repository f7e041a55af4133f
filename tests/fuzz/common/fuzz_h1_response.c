/* Any bytes as HTTP/1 responses: the same messages, and the same end, wherever the bytes are cut.
 * The first byte says what was asked. */
#include <stdlib.h>

#include "common/http/h1_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct record {
	struct h1_parser parser;
	struct arena arena;
	struct http_response response;
	struct str method;
	struct buf text;
	bool over;
};

static void need(bool ok)
{
	if (!ok)
		abort();
}

static void add(struct buf *out, struct str s)
{
	need(buf_add_str(out, s, NULL) == 0);
}

static void add_fields(struct buf *out, const struct http_fields *f)
{
	for (size_t i = 0; i < f->count; i++) {
		add(out, f->items[i].name);
		add(out, f->items[i].value);
		add(out, STR("\n"));
	}
}

static void on_head(struct record *r)
{
	need(r->response.status >= 100 && r->response.status <= 599);
	need(buf_addf(&r->text, NULL, "%u %lld %d\n", r->response.status,
		      (long long)r->response.content_length, r->parser.close) == 0);
	add_fields(&r->text, &r->response.fields);
}

static void on_end(struct record *r)
{
	add(&r->text, STR("END\n"));
	add_fields(&r->text, &r->parser.trailers);
	r->over = r->parser.close || r->response.status == 101;
	arena_reset(&r->arena);
	h1_parser_start_response(&r->parser, &r->arena, &r->response, r->method);
}

static void on_error(struct record *r)
{
	need((r->parser.status == 502 || r->parser.status == 500) && r->parser.reason);
	add(&r->text, str_from(r->parser.reason));
	r->over = true;
}

static void feed(struct record *r, struct str in)
{
	enum h1_event event = H1_HEAD;
	struct str body;

	while (!r->over && event != H1_MORE) {
		event = h1_parse(&r->parser, &in, &body);
		if (event == H1_HEAD)
			on_head(r);
		else if (event == H1_BODY)
			add(&r->text, body);
		else if (event == H1_END)
			on_end(r);
		else if (event == H1_ERROR)
			on_error(r);
	}
}

static void record(struct record *r, struct str input, size_t piece)
{
	static const struct str methods[] = {{"GET", 3}, {"HEAD", 4}};

	*r = (struct record){.method = methods[input.len > 0 && (input.ptr[0] & 1)]};
	h1_parser_init(&r->parser, NULL, STR("http"));
	h1_parser_start_response(&r->parser, &r->arena, &r->response, r->method);
	for (size_t at = 1; at < input.len; at += piece)
		feed(r, str_sub(input, at, at + piece));
	if (!r->over && h1_parse_end(&r->parser) == H1_ERROR)
		on_error(r);
}

static void record_free(struct record *r)
{
	h1_parser_deinit(&r->parser);
	arena_deinit(&r->arena);
	buf_deinit(&r->text);
}

static void check_cut(struct str input, const struct buf *want, size_t piece)
{
	struct record r;

	record(&r, input, piece);
	need(str_eq(buf_str(&r.text), buf_str(want)));
	record_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str input = {(const char *)data, size};
	struct record whole;

	if (size > 32 << 10)
		return 0;
	record(&whole, input, size + 1);
	check_cut(input, &whole.text, 1);
	check_cut(input, &whole.text, 7);
	check_cut(input, &whole.text, 2 + size / 3);
	record_free(&whole);
	return 0;
}
