/* Any bytes as HTTP/1 requests: the same messages and the same answer wherever the bytes are cut;
 * what is accepted is the same message after it was written and parsed again. */
#include <stdlib.h>

#include "common/http/h1_parse.h"
#include "common/http/h1_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Everything that was said, as text; and, when asked for, the messages written again. */
struct record {
	struct h1_parser parser;
	struct arena arena;
	struct http_request request;
	struct buf text;
	struct buf messages; /* those of the text that are whole and have a host */
	size_t start;	     /* of this message in text */
	struct buf content;  /* of this message */
	struct buf *written; /* NULL: none */
};

static void need(bool ok)
{
	if (!ok)
		abort();
}

static void add(struct buf *out, struct str s)
{
	need(buf_add_str(out, s, NULL) == 0);
	need(buf_add(out, "\n", 1, NULL) == 0);
}

static void add_fields(struct buf *out, const struct http_fields *f)
{
	for (size_t i = 0; i < f->count; i++) {
		add(out, f->items[i].name);
		add(out, f->items[i].value);
	}
}

/* What has to survive writing: not the version, not whether an empty body was announced. */
static void add_head(struct record *r)
{
	const struct http_request *q = &r->request;

	r->start = r->text.len;
	add(&r->text, STR("HEAD"));
	add(&r->text, q->method);
	add(&r->text, q->target);
	add(&r->text, q->authority);
	add(&r->text, q->host);
	add_fields(&r->text, &q->fields);
	need(buf_addf(&r->text, NULL, "%d %d %lld\n", q->has_body, q->expect_continue,
		      q->has_body ? (long long)q->content_length : 0) == 0);
	buf_clear(&r->content);
}

static void write_again(struct record *r)
{
	struct h1_writer w;

	if (!r->request.authority.ptr)
		return;
	add(&r->messages, str_sub(buf_str(&r->text), r->start, r->text.len));
	if (!r->written)
		return;
	need(h1_write_request(&w, r->written, &r->request, &(struct h1_request_options){0}, NULL) ==
	     0);
	need(h1_write_body(&w, r->written, buf_str(&r->content), false, NULL) == 0);
	need(h1_write_trailers(&w, r->written, &r->parser.trailers, NULL) == 0);
	need(w.done);
}

static void add_end(struct record *r)
{
	add(&r->text, buf_str(&r->content));
	add(&r->text, STR("END"));
	add_fields(&r->text, &r->parser.trailers);
	write_again(r);
	arena_reset(&r->arena);
	h1_parser_start(&r->parser, &r->arena, &r->request);
}

static enum h1_event feed(struct record *r, struct str in)
{
	enum h1_event event;
	struct str body;

	do {
		event = h1_parse(&r->parser, &in, &body);
		if (event == H1_HEAD)
			add_head(r);
		else if (event == H1_BODY)
			need(body.len > 0 && buf_add_str(&r->content, body, NULL) == 0);
		else if (event == H1_END)
			add_end(r);
	} while (event != H1_MORE && event != H1_ERROR);
	need(event == H1_ERROR || in.len == 0);
	return event;
}

static void record(struct record *r, struct str input, size_t piece, struct buf *written)
{
	const struct h1_limits limits = {
		.head = 256 << 10, .request_line = 64 << 10, .field = 64 << 10};
	enum h1_event event = H1_MORE;

	*r = (struct record){.written = written};
	h1_parser_init(&r->parser, &limits, STR("http"));
	h1_parser_start(&r->parser, &r->arena, &r->request);
	for (size_t at = 0; at < input.len && event == H1_MORE; at += piece)
		event = feed(r, str_sub(input, at, at + piece));
	if (event == H1_ERROR) {
		add(&r->text, buf_str(&r->content));
		need(r->parser.status >= 400 && r->parser.reason);
		need(buf_addf(&r->text, NULL, "%u %s\n", r->parser.status, r->parser.reason) == 0);
	}
}

static void record_free(struct record *r)
{
	h1_parser_deinit(&r->parser);
	arena_deinit(&r->arena);
	buf_deinit(&r->text);
	buf_deinit(&r->messages);
	buf_deinit(&r->content);
}

static void check_cut(struct str input, const struct buf *want, size_t piece)
{
	struct record r;

	record(&r, input, piece, NULL);
	need(str_eq(buf_str(&r.text), buf_str(want)));
	record_free(&r);
}

/* What was written is the same messages, and is written the same again. */
static void check_written(const struct buf *written, const struct buf *messages)
{
	struct buf twice = BUF_INIT;
	struct record r;

	record(&r, buf_str(written), written->len + 1, &twice);
	need(r.parser.status == 0 && !h1_parser_started(&r.parser));
	need(str_eq(buf_str(&r.messages), buf_str(messages)));
	need(str_eq(buf_str(&twice), buf_str(written)));
	record_free(&r);
	buf_deinit(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str input = {(const char *)data, size};
	struct buf written = BUF_INIT;
	struct record whole;

	if (size > 32 << 10)
		return 0;
	record(&whole, input, size + 1, &written);
	check_cut(input, &whole.text, 1);
	check_cut(input, &whole.text, 2 + size / 3);
	check_cut(input, &whole.text, 7);
	check_written(&written, &whole.messages);
	record_free(&whole);
	buf_deinit(&written);
	return 0;
}
