/* Until when the text of an answer's head is read: it is freed as early as its owner may, and the
 * address sanitizer sees who still looks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/http/h2.h"

#define BEGIN "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
/* GET / on stream 1, its side ended. */
#define GET "\0\0\6\1\5\0\0\0\1\x82\x84\x86\x41\1a"
/* HEADERS of a POST, whose body is open. */
#define POST "\0\0\6\1\4\0\0\0\1\x83\x84\x86\x41\1a"

enum what {
	SENT,		/* emitted before */
	DETACHED,	/* forgotten without more ado */
	RESET,		/* and forgotten */
	PEER_RESETS,	/* RST_STREAM comes */
	PEER_GOES_WILD, /* a stream error of the peer's */
	TERMINATED,	/* GOAWAY waits behind it */
};

static const struct {
	const char *name;
	enum what what;
	struct str request;
	struct str then; /* comes when the answer waits */
	unsigned heads;	 /* HEADERS that go out */
	unsigned resets; /* RST_STREAM that go out */
} rows[] = {
	{"sent", SENT, STR(GET), STR(""), 1, 0},
	{"detached", DETACHED, STR(GET), STR(""), 0, 1},
	{"reset and detached", RESET, STR(GET), STR(""), 0, 1},
	{"detached while the request goes on", DETACHED, STR(POST), STR(""), 0, 1},
	{"the peer resets", PEER_RESETS, STR(GET), STR("\0\0\4\3\0\0\0\0\1\0\0\0\x8"), 0, 0},
	{"the peer resets an open one", PEER_RESETS, STR(POST), STR("\0\0\4\3\0\0\0\0\1\0\0\0\x8"),
	 0, 0},
	{"the peer breaks a window", PEER_GOES_WILD, STR(POST),
	 STR("\0\0\4\x8\0\0\0\0\1\x7f\xff\xff\xff"), 0, 1},
	{"the connection ends", TERMINATED, STR(GET), STR(""), 0, 0},
};

struct bed {
	struct h2 *h2;
	struct h2_stream stream;
	struct arena arena;
	unsigned begun, closes;
};

static struct h2_stream *on_begin(struct h2 *h, void *arg)
{
	struct bed *b = arg;

	(void)h;
	assert_int_equal(b->begun++, 0);
	h2_stream_init(&b->stream, &b->arena);
	return &b->stream;
}

static void on_stream(struct h2 *h, struct h2_stream *s, void *arg)
{
	(void)h;
	(void)s;
	(void)arg;
}

static void on_data(struct h2 *h, struct h2_stream *s, struct str bytes, void *arg)
{
	(void)arg;
	h2_consumed(h, s, bytes.len);
}

static void on_close(struct h2 *h, struct h2_stream *s, uint32_t code, void *arg)
{
	(void)h;
	(void)s;
	(void)code;
	((struct bed *)arg)->closes++;
}

static const struct h2_events events = {
	.on_begin = on_begin,
	.on_head = on_stream,
	.on_data = on_data,
	.on_end = on_stream,
	.on_drain = on_stream,
	.on_close = on_close,
};

static char *copy(const char *text)
{
	char *out = strdup(text);

	assert_non_null(out);
	return out;
}

/* Bytes out, and how many frames of each type were among them. */
static void emit(struct bed *b, unsigned types[16])
{
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;
	size_t at = 0;

	assert_int_equal(h2_emit(b->h2, &out, 1 << 20, &e), 0);
	while (at + 9 <= out.len) {
		const unsigned char *p = (const unsigned char *)out.data + at;

		types[p[3] & 15]++;
		at += 9 + ((size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2]);
	}
	buf_deinit(&out);
}

static void let_go(struct bed *b, size_t i, unsigned types[16])
{
	struct err e = ERR_INIT;

	switch (rows[i].what) {
	case SENT:
		emit(b, types);
		break;
	case RESET:
		h2_reset(b->h2, &b->stream, NGHTTP2_CANCEL);
		h2_detach(b->h2, &b->stream);
		break;
	case TERMINATED:
		h2_terminate(b->h2, NGHTTP2_NO_ERROR);
		h2_detach(b->h2, &b->stream);
		break;
	case DETACHED:
		h2_detach(b->h2, &b->stream);
		break;
	case PEER_RESETS:
		assert_int_equal(h2_feed(b->h2, rows[i].then, 0, &e), 0);
		assert_int_equal(b->closes, 1);
		break;
	case PEER_GOES_WILD:
		assert_int_equal(h2_feed(b->h2, rows[i].then, 0, &e), 0);
		h2_detach(b->h2, &b->stream);
		break;
	}
}

static void check_row(size_t i)
{
	struct bed b = {0};
	const struct h2_options o = {.server = true, .events = &events, .arg = &b};
	char *text[] = {copy(":status"), copy("200"), copy("x-name"), copy("a value")};
	struct http_field items[] = {{str_from(text[0]), str_from(text[1])},
				     {str_from(text[2]), str_from(text[3])}};
	struct http_fields fields = {items, 2, 2};
	unsigned types[16] = {0};
	struct err e = ERR_INIT;
	bool room;

	arena_init(&b.arena, 0);
	assert_int_equal(h2_create(&b.h2, &o, 0, &e), 0);
	assert_int_equal(h2_feed(b.h2, STR(BEGIN), 0, &e), 0);
	assert_int_equal(h2_feed(b.h2, rows[i].request, 0, &e), 0);
	assert_int_equal(h2_respond(b.h2, &b.stream, &fields, false, &e), 0);
	assert_int_equal(h2_write(b.h2, &b.stream, STR("body"), true, &room, &e), 0);
	let_go(&b, i, types);
	for (size_t n = 0; n < 4; n++)
		free(text[n]);
	arena_reset(&b.arena);
	emit(&b, types);
	assert_int_equal(types[NGHTTP2_HEADERS], rows[i].heads);
	assert_int_equal(types[NGHTTP2_RST_STREAM], rows[i].resets);
	h2_free(b.h2);
	h2_stream_deinit(&b.stream);
	arena_deinit(&b.arena);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		print_message("%s\n", rows[i].name);
		check_row(i);
	}
}

/* Freed with its answer still to be sent. */
static void test_freed(void **state)
{
	struct bed b = {0};
	const struct h2_options o = {.server = true, .events = &events, .arg = &b};
	char *value = copy("200");
	struct http_field items[] = {{STR(":status"), str_from(value)}};
	struct http_fields fields = {items, 1, 1};
	struct err e = ERR_INIT;

	(void)state;
	arena_init(&b.arena, 0);
	assert_int_equal(h2_create(&b.h2, &o, 0, &e), 0);
	assert_int_equal(h2_feed(b.h2, STR(BEGIN GET), 0, &e), 0);
	assert_int_equal(h2_respond(b.h2, &b.stream, &fields, true, &e), 0);
	free(value);
	h2_free(b.h2);
	h2_stream_deinit(&b.stream);
	arena_deinit(&b.arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_freed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
