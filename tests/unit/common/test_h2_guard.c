/* Floods of HTTP/2 frames: how many of each are allowed, and which row ends the connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <nghttp2/nghttp2.h>

#include "common/http/h2_guard.h"

static struct str frame(unsigned char *out, unsigned type, unsigned flags, size_t length)
{
	memset(out, 0, 9 + length);
	out[1] = (unsigned char)(length >> 8);
	out[2] = (unsigned char)length;
	out[3] = (unsigned char)type;
	out[4] = (unsigned char)flags;
	out[8] = 1;
	return (struct str){(const char *)out, 9 + length};
}

static const struct {
	const char *name;
	unsigned type, flags;
	size_t length;
	unsigned allowed; /* at once; 0: any number */
	const char *row;
} rows[] = {
	{"H2-01 rapid reset", NGHTTP2_RST_STREAM, 0, 4, H2_RESET_BURST, "H2-01"},
	{"H2-03 continuations", NGHTTP2_CONTINUATION, 0, 10, H2_CONTINUATIONS, "H2-03"},
	{"H2-06 ping", NGHTTP2_PING, 0, 8, H2_NOISE_BURST, "H2-06"},
	{"H2-06 settings", NGHTTP2_SETTINGS, 0, 0, H2_NOISE_BURST, "H2-06"},
	{"H2-06 priority", NGHTTP2_PRIORITY, 0, 5, H2_NOISE_BURST, "H2-06"},
	{"H2-06 priority update", 0x10, 0, 5, H2_NOISE_BURST, "H2-06"},
	{"H2-06 unknown", 0xfa, 0, 300, H2_NOISE_BURST, "H2-06"},
	{"H2-06 empty data", NGHTTP2_DATA, 0, 0, H2_NOISE_BURST, "H2-06"},
	{"H2-06 window updates", NGHTTP2_WINDOW_UPDATE, 0, 4, H2_UPDATES_SPARE, "H2-06"},
	{"data", NGHTTP2_DATA, 0, 1, 0, NULL},
	{"end of data", NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 0, 0, NULL},
	{"headers", NGHTTP2_HEADERS, 0, 20, 0, NULL},
};

static const char *feed(struct h2_guard *g, struct str bytes, size_t step)
{
	const char *row = NULL;

	for (size_t at = 0; at < bytes.len && !row; at += step)
		row = h2_guard_feed(g, str_sub(bytes, at, at + step), 0);
	return row;
}

static void check_row(size_t i, size_t step)
{
	unsigned limit = rows[i].allowed ? rows[i].allowed : 5000;
	unsigned char bytes[512];
	struct h2_guard g;
	const char *row;

	h2_guard_init(&g, false, 0);
	for (unsigned n = 0; n < limit; n++) {
		row = feed(&g, frame(bytes, rows[i].type, rows[i].flags, rows[i].length), step);
		if (row)
			fail_msg("%s: %s after %u", rows[i].name, row, n);
	}
	row = feed(&g, frame(bytes, rows[i].type, rows[i].flags, rows[i].length), step);
	if ((row == NULL) != (rows[i].row == NULL) || (row && strcmp(row, rows[i].row) != 0))
		fail_msg("%s: got %s", rows[i].name, row ? row : "nothing");
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		check_row(i, 1000);
		check_row(i, 1);
		check_row(i, 7);
	}
}

static void test_refill(void **state)
{
	unsigned char bytes[32];
	struct h2_guard g;
	unsigned n = 0;

	(void)state;
	h2_guard_init(&g, false, 0);
	while (!h2_guard_feed(&g, frame(bytes, NGHTTP2_SETTINGS, 0, 0), 0))
		n++;
	assert_int_equal(n, H2_NOISE_BURST);
	for (n = 0; !h2_guard_feed(&g, frame(bytes, NGHTTP2_SETTINGS, 0, 0), 1000);)
		n++;
	assert_int_equal(n, H2_NOISE_RATE);
	for (n = 0; !h2_guard_feed(&g, frame(bytes, NGHTTP2_SETTINGS, 0, 0), UINT64_MAX);)
		n++;
	assert_int_equal(n, H2_NOISE_BURST);
}

static void test_both_kinds_of_resets_share_one_limit(void **state)
{
	unsigned char bytes[32];
	struct h2_guard g;

	(void)state;
	h2_guard_init(&g, false, 0);
	for (unsigned i = 0; i < H2_RESET_BURST / 2; i++) {
		assert_null(h2_guard_feed(&g, frame(bytes, NGHTTP2_RST_STREAM, 0, 4), 0));
		assert_null(h2_guard_reset_sent(&g, 0));
	}
	assert_string_equal(h2_guard_reset_sent(&g, 0), "H2-02");
}

static void test_data_earns_window_updates(void **state)
{
	unsigned char bytes[32];
	struct h2_guard g;

	(void)state;
	h2_guard_init(&g, false, 0);
	for (unsigned i = 0; i < 1000; i++)
		h2_guard_data_sent(&g);
	for (unsigned i = 0; i < H2_UPDATES_SPARE + 1000 * H2_UPDATES_PER_DATA; i++)
		assert_null(h2_guard_feed(&g, frame(bytes, NGHTTP2_WINDOW_UPDATE, 0, 4), 0));
	assert_non_null(h2_guard_feed(&g, frame(bytes, NGHTTP2_WINDOW_UPDATE, 0, 4), 0));
}

static void test_preface_is_skipped(void **state)
{
	unsigned char bytes[32];
	struct h2_guard g;

	(void)state;
	h2_guard_init(&g, true, 0);
	assert_null(feed(&g, STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 5));
	for (unsigned i = 0; i < H2_RESET_BURST; i++)
		assert_null(h2_guard_feed(&g, frame(bytes, NGHTTP2_RST_STREAM, 0, 4), 0));
	assert_non_null(h2_guard_feed(&g, frame(bytes, NGHTTP2_RST_STREAM, 0, 4), 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_refill),
		cmocka_unit_test(test_both_kinds_of_resets_share_one_limit),
		cmocka_unit_test(test_data_earns_window_updates),
		cmocka_unit_test(test_preface_is_skipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
