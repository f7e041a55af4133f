/* Raw bytes to the server role of an HTTP/2 connection. The first byte chooses how they are cut and
 * how the server behaves. Checked: each stream is closed once at most, what is held is bounded, and
 * the output stays bounded. */
#include <stdint.h>
#include <stdlib.h>

#include "common/http/h2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ANSWER = 1, LATE = 2, KEEP = 4, RESET = 8, REFUSE = 16 };

struct fuzz_stream {
	struct h2_stream stream;
	struct arena arena;
	struct link link;
	bool closed;
};

struct fuzz {
	struct h2 *h2;
	struct link streams;
	unsigned how;
};

static void check(bool ok)
{
	if (!ok)
		abort();
}

static struct fuzz_stream *of(struct h2_stream *s)
{
	return container_of(s, struct fuzz_stream, stream);
}

static struct h2_stream *on_begin(struct h2 *h, void *arg)
{
	struct fuzz *f = arg;
	struct fuzz_stream *x;

	(void)h;
	if (f->how & REFUSE)
		return NULL;
	x = calloc(1, sizeof(*x));
	if (!x)
		return NULL;
	arena_init(&x->arena, 0);
	h2_stream_init(&x->stream, &x->arena);
	list_init(&x->link);
	list_push(&f->streams, &x->link);
	return &x->stream;
}

static void answer(struct h2 *h, struct h2_stream *s)
{
	struct http_field items[] = {{STR(":status"), STR("200")}};
	struct http_fields fields = {items, 1, 1};
	bool room;

	if (h2_respond(h, s, &fields, false, NULL) == 0)
		(void)!h2_write(h, s, STR("answer"), true, &room, NULL);
}

static void on_head(struct h2 *h, struct h2_stream *s, void *arg)
{
	const struct fuzz *f = arg;

	check(s->arena->used <= 256 << 10);
	if (f->how & RESET)
		h2_reset(h, s, NGHTTP2_INTERNAL_ERROR);
	else if (f->how & ANSWER)
		answer(h, s);
}

static void on_data(struct h2 *h, struct h2_stream *s, struct str bytes, void *arg)
{
	const struct fuzz *f = arg;

	check(!of(s)->closed);
	if (!(f->how & KEEP))
		h2_consumed(h, s, bytes.len);
}

static void on_end(struct h2 *h, struct h2_stream *s, void *arg)
{
	const struct fuzz *f = arg;

	check(!of(s)->closed && s->remote_ended);
	if (f->how & LATE && !(f->how & (ANSWER | RESET)))
		answer(h, s);
}

static void on_drain(struct h2 *h, struct h2_stream *s, void *arg)
{
	(void)h;
	(void)s;
	(void)arg;
}

static void free_stream(struct fuzz_stream *x)
{
	list_remove(&x->link);
	h2_stream_deinit(&x->stream);
	arena_deinit(&x->arena);
	free(x);
}

static void on_close(struct h2 *h, struct h2_stream *s, uint32_t code, void *arg)
{
	(void)h;
	(void)code;
	(void)arg;
	check(!of(s)->closed);
	of(s)->closed = true;
}

static const struct h2_events events = {
	.on_begin = on_begin,
	.on_head = on_head,
	.on_data = on_data,
	.on_end = on_end,
	.on_drain = on_drain,
	.on_close = on_close,
};

static void emit(struct fuzz *f)
{
	struct buf out = BUF_INIT;
	size_t before;

	do {
		before = out.len;
		if (h2_emit(f->h2, &out, 4096, NULL) != 0)
			break;
	} while (out.len > before && out.len < 16 << 20);
	check(out.len < 16 << 20);
	buf_deinit(&out);
	/* As a session does: an exchange that was told its end is used again. */
	list_for_each_safe(it, &f->streams)
	{
		struct fuzz_stream *x = container_of(it, struct fuzz_stream, link);

		if (x->closed)
			free_stream(x);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = {0};
	struct h2_options o = {.server = true, .events = &events, .arg = &f};
	struct str bytes = {(const char *)data, size};
	size_t step;

	if (size < 1)
		return 0;
	list_init(&f.streams);
	f.how = data[0] & 31;
	step = data[0] & 0x80 ? 1 + (data[0] >> 5 & 3) * 7 : size;
	if (h2_create(&f.h2, &o, 0, NULL) != 0)
		return 0;
	for (size_t at = 1; at < size; at += step) {
		int rc = h2_feed(f.h2, str_sub(bytes, at, at + step), at, NULL);

		emit(&f);
		if (rc != 0 || h2_finished(f.h2))
			break;
	}
	h2_free(f.h2);
	list_for_each_safe(it, &f.streams) free_stream(container_of(it, struct fuzz_stream, link));
	return 0;
}
