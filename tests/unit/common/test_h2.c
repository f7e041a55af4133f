/* Two HTTP/2 ends joined in memory, and a server fed with frames made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/http/h2.h"
#include "tests/unit/lib/oom.h"

enum { STREAMS = 64 };

/* One stream as one end sees it. */
struct seen {
	struct h2_stream stream;
	struct arena arena;
	struct buf body;
	unsigned heads, ends, drains, closes;
	uint32_t code;
};

struct end {
	struct h2 *h2;
	struct seen seen[STREAMS];
	size_t count;
	bool refuse;	 /* set: on_begin gives NULL */
	bool keep;	 /* set: gives no window back */
	bool reset_head; /* set: h2_reset in on_head */
	unsigned pongs, goaways;
	uint32_t goaway_code;
	char rejected[256];
};

static struct seen *seen_of(struct h2_stream *s)
{
	return container_of(s, struct seen, stream);
}

static struct seen *seen_new(struct end *n)
{
	struct seen *x = &n->seen[n->count++];

	assert_true(n->count <= STREAMS);
	arena_init(&x->arena, 0);
	h2_stream_init(&x->stream, &x->arena);
	return x;
}

static struct h2_stream *on_begin(struct h2 *h, void *arg)
{
	struct end *n = arg;

	(void)h;
	return n->refuse || n->count == STREAMS ? NULL : &seen_new(n)->stream;
}

static void on_head(struct h2 *h, struct h2_stream *s, void *arg)
{
	struct end *n = arg;

	seen_of(s)->heads++;
	if (n->reset_head)
		h2_reset(h, s, NGHTTP2_CANCEL);
}

static void on_data(struct h2 *h, struct h2_stream *s, struct str bytes, void *arg)
{
	struct end *n = arg;

	(void)!buf_add_str(&seen_of(s)->body, bytes, NULL);
	if (!n->keep)
		h2_consumed(h, s, bytes.len);
}

static void on_end(struct h2 *h, struct h2_stream *s, void *arg)
{
	(void)h;
	(void)arg;
	seen_of(s)->ends++;
}

static void on_drain(struct h2 *h, struct h2_stream *s, void *arg)
{
	(void)h;
	(void)arg;
	seen_of(s)->drains++;
}

static void on_close(struct h2 *h, struct h2_stream *s, uint32_t code, void *arg)
{
	(void)h;
	(void)arg;
	seen_of(s)->closes++;
	seen_of(s)->code = code;
}

static void on_goaway(struct h2 *h, uint32_t code, void *arg)
{
	struct end *n = arg;

	(void)h;
	n->goaways++;
	n->goaway_code = code;
}

static void on_pong(struct h2 *h, void *arg)
{
	(void)h;
	((struct end *)arg)->pongs++;
}

static void on_rejected(struct h2 *h, const char *reason, void *arg)
{
	struct end *n = arg;
	size_t used = strlen(n->rejected);

	(void)h;
	snprintf(n->rejected + used, sizeof(n->rejected) - used, "%s ", reason);
}

static const struct h2_events events = {on_begin, on_head,   on_data, on_end,	   on_drain,
					on_close, on_goaway, on_pong, on_rejected, NULL};

static void end_init(struct end *n, bool server)
{
	struct h2_options o = {.server = server, .events = &events, .arg = n};
	struct err e = ERR_INIT;

	memset(n, 0, sizeof(*n));
	assert_int_equal(h2_create(&n->h2, &o, 0, &e), 0);
}

static void end_deinit(struct end *n)
{
	h2_free(n->h2);
	for (size_t i = 0; i < n->count; i++) {
		h2_stream_deinit(&n->seen[i].stream);
		arena_deinit(&n->seen[i].arena);
		buf_deinit(&n->seen[i].body);
	}
}

/* Gives what one end has to the other; false when there was nothing. */
static bool pass(struct end *from, struct end *to, size_t step)
{
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;
	bool any;

	assert_int_equal(h2_emit(from->h2, &out, 5000, &e), 0);
	any = out.len > 0;
	for (size_t at = 0; at < out.len; at += step)
		(void)!h2_feed(to->h2, str_sub(buf_str(&out), at, at + step), 0, &e);
	buf_deinit(&out);
	return any;
}

static void settle(struct end *a, struct end *b, size_t step)
{
	bool any = true;

	while (any) {
		any = pass(a, b, step);
		any = pass(b, a, step) || any;
	}
}

static struct seen *request(struct end *client, const char *path, bool end)
{
	struct http_field items[] = {
		{STR(":method"), STR("POST")},
		{STR(":scheme"), STR("https")},
		{STR(":authority"), STR("a.example")},
		{STR(":path"), str_from(path)},
		{STR("x-a"), STR("1")},
	};
	struct http_fields fields = {items, array_len(items), array_len(items)};
	struct seen *x = seen_new(client);
	struct err e = ERR_INIT;

	assert_int_equal(h2_request(client->h2, &x->stream, &fields, end, &e), 0);
	return x;
}

static void respond(struct end *server, struct seen *x, bool end)
{
	struct http_field items[] = {{STR(":status"), STR("200")}, {STR("x-b"), STR("2")}};
	struct http_fields fields = {items, 2, 2};
	struct err e = ERR_INIT;

	assert_int_equal(h2_respond(server->h2, &x->stream, &fields, end, &e), 0);
}

static bool put(struct end *n, struct seen *x, struct str bytes, bool last)
{
	struct err e = ERR_INIT;
	bool room;

	assert_int_equal(h2_write(n->h2, &x->stream, bytes, last, &room, &e), 0);
	return room;
}

static void test_exchange(void **state)
{
	static const size_t steps[] = {100000, 1, 13};

	(void)state;
	for (size_t i = 0; i < array_len(steps); i++) {
		struct http_field item = {STR("grpc-status"), STR("0")};
		struct http_fields trailers = {&item, 1, 1};
		struct end c, s;
		struct seen *x, *y;
		struct err e = ERR_INIT;

		end_init(&c, false);
		end_init(&s, true);
		x = request(&c, "/p?q", false);
		put(&c, x, STR("ping"), false);
		settle(&c, &s, steps[i]);
		y = &s.seen[0];
		assert_int_equal(s.count, 1);
		assert_true(str_eq(y->stream.path, STR("/p?q")));
		assert_true(str_eq(y->stream.method, STR("POST")));
		assert_true(str_eq(http_fields_get(&y->stream.fields, STR("x-a")), STR("1")));
		assert_true(str_eq(buf_str(&y->body), STR("ping")));
		assert_int_equal(y->ends, 0);
		respond(&s, y, false);
		put(&s, y, STR("pong"), false);
		settle(&c, &s, steps[i]);
		assert_int_equal(x->stream.status, 200);
		assert_true(str_eq(buf_str(&x->body), STR("pong")));
		assert_int_equal(x->ends, 0);
		put(&c, x, STR_NONE, true);
		assert_int_equal(h2_trailers(s.h2, &y->stream, &trailers, &e), 0);
		settle(&c, &s, steps[i]);
		assert_true(
			str_eq(http_fields_get(&x->stream.trailers, STR("grpc-status")), STR("0")));
		assert_int_equal(x->ends + y->ends, 2);
		assert_int_equal(x->closes + y->closes, 2);
		assert_int_equal(x->code + y->code, 0);
		assert_int_equal(h2_open_streams(s.h2) + h2_open_streams(c.h2), 0);
		end_deinit(&c);
		end_deinit(&s);
	}
}

static void test_back_pressure(void **state)
{
	static char block[50000];
	struct end c, s;
	struct seen *x;

	(void)state;
	end_init(&c, false);
	end_init(&s, true);
	s.keep = true;
	x = request(&c, "/", false);
	assert_true(put(&c, x, (struct str){block, sizeof(block)}, false));
	assert_false(put(&c, x, (struct str){block, sizeof(block)}, false));
	settle(&c, &s, 100000);
	assert_int_equal(s.seen[0].body.len, H2_WINDOW);
	assert_int_equal(x->drains, 0 + (2 * sizeof(block) - H2_WINDOW < H2_STREAM_HIGH / 2));
	assert_false(put(&c, x, (struct str){block, sizeof(block)}, true));
	settle(&c, &s, 100000);
	h2_consumed(s.h2, &s.seen[0].stream, H2_WINDOW);
	settle(&c, &s, 100000);
	h2_consumed(s.h2, &s.seen[0].stream, H2_WINDOW);
	settle(&c, &s, 100000);
	assert_int_equal(s.seen[0].body.len, 3 * sizeof(block));
	assert_int_equal(s.seen[0].ends, 1);
	assert_true(x->drains > 0);
	end_deinit(&c);
	end_deinit(&s);
}

/* Windows of streams that went without being consumed come back to the connection. */
static void test_connection_window_is_not_lost(void **state)
{
	static char block[H2_WINDOW];
	struct end c, s;

	(void)state;
	end_init(&c, false);
	end_init(&s, true);
	s.keep = true;
	for (size_t i = 0; i < 40; i++) { /* more than H2_CONNECTION_WINDOW in total */
		struct seen *x = request(&c, "/", false);

		put(&c, x, (struct str){block, sizeof(block)}, false);
		settle(&c, &s, 100000);
		assert_int_equal(s.seen[i].body.len, sizeof(block));
		h2_reset(i % 2 ? c.h2 : s.h2, i % 2 ? &x->stream : &s.seen[i].stream,
			 NGHTTP2_CANCEL);
		settle(&c, &s, 100000);
		assert_int_equal(x->closes, 1);
		assert_int_equal(x->code, NGHTTP2_CANCEL);
		assert_int_equal(s.seen[i].closes, 1);
	}
	end_deinit(&c);
	end_deinit(&s);
}

static void test_resets_and_refusals(void **state)
{
	struct end c, s;
	struct seen *x;

	(void)state;
	end_init(&c, false);
	end_init(&s, true);
	s.refuse = true;
	x = request(&c, "/", true);
	settle(&c, &s, 1);
	assert_int_equal(x->code, NGHTTP2_REFUSED_STREAM);
	s.refuse = false;
	s.reset_head = true;
	x = request(&c, "/", true);
	settle(&c, &s, 1);
	assert_int_equal(s.seen[0].heads, 1);
	assert_int_equal(s.seen[0].ends, 0);
	assert_int_equal(x->code, NGHTTP2_CANCEL);
	s.reset_head = false;
	x = request(&c, "/", false); /* H2-21: answered before its end */
	settle(&c, &s, 1);
	respond(&s, &s.seen[1], true);
	h2_reset_after_end(s.h2, &s.seen[1].stream);
	settle(&c, &s, 1);
	assert_int_equal(x->stream.status, 200);
	assert_int_equal(x->closes, 1);
	assert_int_equal(x->code, NGHTTP2_NO_ERROR);
	end_deinit(&c);
	end_deinit(&s);
}

static void test_detached_stream(void **state)
{
	struct end c, s;
	struct seen *x;

	(void)state;
	end_init(&c, false);
	end_init(&s, true);
	x = request(&c, "/", false);
	settle(&c, &s, 100);
	respond(&s, &s.seen[0], false);
	put(&s, &s.seen[0], STR("abc"), false);
	h2_reset(s.h2, &s.seen[0].stream, NGHTTP2_INTERNAL_ERROR);
	h2_detach(s.h2, &s.seen[0].stream);
	memset(&s.seen[0].stream.draining, 0xff, sizeof(struct link)); /* nobody may look */
	settle(&c, &s, 100);
	assert_int_equal(s.seen[0].closes, 0);
	assert_int_equal(x->code, NGHTTP2_INTERNAL_ERROR);
	assert_int_equal(h2_open_streams(s.h2), 0);
	end_deinit(&c);
	end_deinit(&s);
}

static void test_ping_and_graceful_end(void **state)
{
	struct end c, s;
	struct seen *x;

	(void)state;
	end_init(&c, false);
	end_init(&s, true);
	x = request(&c, "/", true);
	settle(&c, &s, 100);
	h2_ping(s.h2);
	h2_ping(c.h2);
	h2_notice(s.h2);
	settle(&c, &s, 100);
	assert_int_equal(s.pongs + c.pongs, 2);
	assert_int_equal(c.goaways, 1);
	h2_goaway(s.h2);
	settle(&c, &s, 100);
	assert_int_equal(c.goaways, 2);
	assert_false(h2_finished(s.h2));
	respond(&s, &s.seen[0], true);
	settle(&c, &s, 100);
	assert_int_equal(x->closes, 1);
	assert_int_equal(x->code, 0);
	assert_true(h2_finished(s.h2));
	assert_true(h2_finished(c.h2));
	end_deinit(&c);
	end_deinit(&s);
}

/* --- frames by hand --- */

#define MAGIC "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define SETTINGS "\0\0\0\4\0\0\0\0\0"
/* GET / on stream `id`: indexed fields, :authority "a". */
#define GET_FRAME(id) "\0\0\6\1\5\0\0\0" id "\x82\x84\x86\x41\1a"

static const struct {
	const char *name;
	struct str input; /* behind magic and SETTINGS */
	unsigned repeat;  /* of input; 0: once, without magic and SETTINGS */
	int fed;	  /* what the last h2_feed says */
	const char *rejected;
} frames[] = {
	{"not HTTP/2", STR("GET / HTTP/1.1\r\n\r\nxxxxxxxxxxxxxxxxx"), 0, -1, "H2-14 "},
	{"magic without SETTINGS", STR(MAGIC "\0\0\x8\6\0\0\0\0\0\0\0\0\0\0\0\0\0"), 0, 0,
	 "PROTOCOL_ERROR "},
	{"one request", STR(GET_FRAME("\1")), 1, 0, ""},
	{"H2-14 a lower id is not served", STR(GET_FRAME("\3") GET_FRAME("\1")), 1, 0, ""},
	{"H2-14 even id", STR(GET_FRAME("\2")), 1, 0, "PROTOCOL_ERROR "},
	{"H2-14 stream 0", STR(GET_FRAME("\0")), 1, 0, "PROTOCOL_ERROR "},
	{"H2-14 DATA on an idle stream", STR("\0\0\1\0\0\0\0\0\1x"), 1, 0, "PROTOCOL_ERROR "},
	{"H2-14 frame between HEADERS and CONTINUATION",
	 STR("\0\0\1\1\0\0\0\0\1\x82\0\0\x8\6\0\0\0\0\0\0\0\0\0\0\0\0\0"), 1, 0, "PROTOCOL_ERROR "},
	{"H2-14 RST_STREAM of a wrong length", STR(GET_FRAME("\1") "\0\0\3\3\0\0\0\0\1\0\0\0"), 1,
	 0, "FRAME_SIZE_ERROR "},
	{"H2-15 index 0", STR("\0\0\1\1\5\0\0\0\1\x80"), 1, 0, "COMPRESSION_ERROR "},
	{"H2-15 index beyond", STR("\0\0\1\1\5\0\0\0\1\xfe"), 1, 0, "COMPRESSION_ERROR "},
	{"H2-16 PUSH_PROMISE", STR("\0\0\5\5\4\0\0\0\1\0\0\0\2\x82"), 1, 0, "PROTOCOL_ERROR "},
	{"H2-07 no pseudo-fields", STR("\0\0\1\1\5\0\0\0\1\x90"), 1, 0, "PROTOCOL_ERROR "},
	{"H2-07 twice :method", STR("\0\0\4\1\5\0\0\0\1\x82\x82\x84\x86"), 1, 0, "PROTOCOL_ERROR "},
	{"H2-06 PING", STR("\0\0\x8\6\1\0\0\0\0\0\0\0\0\0\0\0\0"), 1100, -1, "H2-06 "},
	{"H2-06 SETTINGS", STR(SETTINGS), 1100, -1, NULL},
	{"H2-03 CONTINUATION",
	 STR("\0\0\1\1\0\0\0\0\1\x82\0\0\0\x9\0\0\0\0\1\0\0\0\x9\0\0\0\0\1"
	     "\0\0\0\x9\0\0\0\0\1\0\0\0\x9\0\0\0\0\1\0\0\0\x9\0\0\0\0\1"
	     "\0\0\0\x9\0\0\0\0\1\0\0\0\x9\0\0\0\0\1\0\0\0\x9\0\0\0\0\1"
	     "\0\0\0\x9\0\0\0\0\1"),
	 1, -1, "H2-03 "},
};

static int feed(struct end *s, struct str bytes)
{
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;
	int rc = h2_feed(s->h2, bytes, 0, &e);

	/* Acks go out between, as on a connection. */
	assert_int_equal(h2_emit(s->h2, &out, 1 << 20, &e), 0);
	buf_deinit(&out);
	return rc;
}

static void test_frames(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(frames); i++) {
		struct end s;
		int rc = 0;

		end_init(&s, true);
		if (frames[i].repeat == 0)
			rc = feed(&s, frames[i].input);
		else
			assert_int_equal(feed(&s, STR(MAGIC SETTINGS)), 0);
		for (unsigned n = 0; n < frames[i].repeat && rc == 0; n++)
			rc = feed(&s, frames[i].input);
		if (rc != frames[i].fed)
			fail_msg("%s: feed gave %d", frames[i].name, rc);
		if (frames[i].rejected && strcmp(s.rejected, frames[i].rejected) != 0)
			fail_msg("%s: rejected %s", frames[i].name, s.rejected);
		assert_true(s.count <= 1);
		end_deinit(&s);
	}
}

/* H2-01: HEADERS and RST_STREAM again and again. */
static void test_rapid_reset(void **state)
{
	struct end s;
	unsigned n = 0;
	int rc = 0;

	(void)state;
	end_init(&s, true);
	assert_int_equal(feed(&s, STR(MAGIC SETTINGS)), 0);
	while (rc == 0 && n < 5000) {
		unsigned id = 2 * n++ + 1;
		unsigned char bytes[] = {0,
					 0,
					 6,
					 1,
					 5,
					 0,
					 0,
					 (unsigned char)(id >> 8),
					 (unsigned char)id,
					 0x82,
					 0x84,
					 0x86,
					 0x41,
					 1,
					 'a',
					 0,
					 0,
					 4,
					 3,
					 0,
					 0,
					 0,
					 (unsigned char)(id >> 8),
					 (unsigned char)id,
					 0,
					 0,
					 0,
					 8};

		rc = feed(&s, (struct str){(const char *)bytes, sizeof(bytes)});
		if (s.count == STREAMS) { /* told their end: used again */
			for (size_t i = 0; i < STREAMS; i++) {
				assert_int_equal(s.seen[i].closes, 1);
				arena_deinit(&s.seen[i].arena);
			}
			memset(s.seen, 0, sizeof(s.seen));
			s.count = 0;
		}
	}
	assert_int_equal(n, 1001);
	assert_string_equal(s.rejected, "H2-01 ");
	assert_true(h2_finished(s.h2));
	end_deinit(&s);
}

/* H2-04: one large entry of the table, referred to many times. */
static void test_hpack_bomb(void **state)
{
	static const unsigned char prefix[] = {0x82, 0x84, 0x86, 0x41, 1,    'a',
					       0x40, 1,	   'x',	 0x7f, 0xa1, 0x1e};
	static unsigned char block[9 + 12 + 4000 + 3000];
	struct end s;
	size_t length = sizeof(block) - 9;

	(void)state;
	end_init(&s, true);
	assert_int_equal(feed(&s, STR(MAGIC SETTINGS)), 0);
	memcpy(block, "\0\0\0\1\5\0\0\0\1", 9);
	block[1] = (unsigned char)(length >> 8);
	block[2] = (unsigned char)length;
	memcpy(block + 9, prefix, sizeof(prefix));
	memset(block + 9 + 12, 'v', 4000);
	memset(block + 9 + 12 + 4000, 0xbe, 3000);
	assert_int_equal(feed(&s, (struct str){(const char *)block, sizeof(block)}), -1);
	assert_string_equal(s.rejected, "H2-04 ");
	assert_true(s.seen[0].arena.used < 64 << 10);
	end_deinit(&s);
}

static void oom_scenario(void *arg)
{
	struct h2_options o = {.server = true, .events = &events};
	struct end *n = arg;
	struct err e = ERR_INIT;
	struct buf out = BUF_INIT;
	struct http_field items[] = {{STR(":status"), STR("200")}};
	struct http_fields fields = {items, 1, 1};
	bool room;

	memset(n, 0, sizeof(*n));
	o.arg = n;
	if (h2_create(&n->h2, &o, 0, &e) != 0)
		return;
	(void)!h2_feed(n->h2, STR(MAGIC SETTINGS GET_FRAME("\1")), 0, &e);
	if (n->count == 1 && n->seen[0].heads == 1 &&
	    h2_respond(n->h2, &n->seen[0].stream, &fields, false, &e) == 0)
		(void)!h2_write(n->h2, &n->seen[0].stream, STR("body"), true, &room, &e);
	(void)!h2_emit(n->h2, &out, 1 << 20, &e);
	buf_deinit(&out);
	end_deinit(n);
}

static void test_out_of_memory(void **state)
{
	static struct end n;

	(void)state;
	assert_true(oom_each(oom_scenario, &n) > 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exchange),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_connection_window_is_not_lost),
		cmocka_unit_test(test_resets_and_refusals),
		cmocka_unit_test(test_detached_stream),
		cmocka_unit_test(test_ping_and_graceful_end),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_rapid_reset),
		cmocka_unit_test(test_hpack_bomb),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
