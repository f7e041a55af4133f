#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/core/clock.h"

static void test_clocks(void **state)
{
	uint64_t before = clock_mono_ns();

	(void)state;
	assert_true(clock_mono_ns() >= before);
	assert_true(clock_wall_s() > 1700000000);
	clock_fake(1000, 5000);
	assert_int_equal(clock_mono_ns(), 1000);
	assert_int_equal(clock_wall_ms(), 5000);
	clock_fake_advance(2500000);
	assert_int_equal(clock_mono_ns(), 2501000);
	assert_int_equal(clock_wall_ms(), 5002);
	assert_int_equal(clock_wall_s(), 5);
	clock_fake_end();
	assert_true(clock_wall_s() > 1700000000);
}

/* Many small steps are as good as one large. */
static void test_small_steps(void **state)
{
	(void)state;
	clock_fake(0, 0);
	for (int i = 0; i < 10000; i++)
		clock_fake_advance(500000);
	assert_int_equal(clock_mono_ns(), 5000000000);
	assert_int_equal(clock_wall_ms(), 5000);
	clock_fake_end();
}

static void test_text(void **state)
{
	static const struct {
		int64_t in;
		const char *want;
	} rows[] = {
		{0, "1970-01-01T00:00:00Z"},
		{951782400, "2000-02-29T00:00:00Z"},
		{1795253580, "2026-11-21T09:33:00Z"},
		{-1, "1969-12-31T23:59:59Z"},
		{253402300799, "9999-12-31T23:59:59Z"},
		{INT64_MAX, ""},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		char text[CLOCK_TEXT_SIZE];

		clock_text(rows[i].in, text, sizeof(text));
		assert_string_equal(text, rows[i].want);
	}
}

enum { BAD = -999 };

struct row {
	const char *in;
	int64_t want;
};

static void check(const struct row *row, int rc, int64_t got, const struct err *e)
{
	if ((rc == 0) != (row->want != BAD) || got != row->want)
		fail_msg("\"%s\": %d, %lld %s", row->in, rc, (long long)got, e->message);
	if (rc < 0)
		assert_int_equal(e->kind, ERR_INVALID);
}

static void test_http_date(void **state)
{
	static const struct row rows[] = {
		{"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
		{"Thu, 01 Jan 1970 00:00:00 GMT", 0},
		{"Sat, 21 Nov 2026 09:33:00 GMT", 1795253580},
		{"Tue, 29 Feb 2000 00:00:00 GMT", 951782400},
		{"Sat, 30 Jun 2012 23:59:60 GMT", 1341100800},
		{"", BAD},
		{"Sun, 06 Nov 1994 08:49:37", BAD},
		{"Sun, 06 Nov 1994 08:49:37 UTC", BAD},
		{"Sun, 06 Nov 1994 08:49:37 GMT ", BAD},
		{" Sun, 06 Nov 1994 08:49:37 GMT", BAD},
		{"Sunday, 06-Nov-94 08:49:37 GMT", BAD},
		{"Sun Nov  6 08:49:37 1994", BAD},
		{"Sun, 6 Nov 1994 08:49:37 GMT", BAD},
		{"Sun, 06 nov 1994 08:49:37 GMT", BAD},
		{"Sun, 06 Nov 94 08:49:37 GMT", BAD},
		{"Sun, 06 Nov 1994 8:49:37 GMT", BAD},
		{"Sun, 06 Nov 1994 24:00:00 GMT", BAD},
		{"Sun, 06 Nov 1994 08:60:00 GMT", BAD},
		{"Sun, 06 Nov 1994 08:49:61 GMT", BAD},
		{"Sun, 00 Nov 1994 08:49:37 GMT", BAD},
		{"Sun, 31 Nov 1994 08:49:37 GMT", BAD},
		{"Mon, 29 Feb 1900 08:49:37 GMT", BAD},
		{"Mon, 29 Feb 2023 08:49:37 GMT", BAD},
		{"Sun, -6 Nov 1994 08:49:37 GMT", BAD},
		{"Sun, 06 Nov 1994 08:49:37 GMTx", BAD},
		{"Sun, 06 Nov 1994 08.49.37 GMT", BAD},
		{"1234567", BAD},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct err e = ERR_INIT;
		int64_t got = BAD;
		int rc = clock_parse_http_date(str_from(rows[i].in), &got, &e);

		check(&rows[i], rc, got, &e);
	}
	assert_int_equal(clock_parse_http_date(STR_NONE, &(int64_t){0}, NULL), -1);
}

static void test_rfc3339(void **state)
{
	static const struct row rows[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"2026-11-21T09:33:00Z", 1795253580},
		{"2026-11-21t09:33:00z", 1795253580},
		{"2026-11-21T09:33:00.123456789Z", 1795253580},
		{"2026-11-21T10:33:00+01:00", 1795253580},
		{"2026-11-21T04:03:00-05:30", 1795253580},
		{"2000-02-29T00:00:00-00:00", 951782400},
		{"1969-12-31T23:59:59Z", -1},
		{"", BAD},
		{"2026-11-21", BAD},
		{"2026-11-21T09:33Z", BAD},
		{"2026-11-21T09:33:00", BAD},
		{"2026-11-21 09:33:00Z", BAD},
		{"2026-11-21T09:33:00.Z", BAD},
		{"2026-11-21T09:33:00,5Z", BAD},
		{"2026-11-21T09:33:00+0100", BAD},
		{"2026-11-21T09:33:00+01", BAD},
		{"2026-11-21T09:33:00+24:00", BAD},
		{"2026-11-21T09:33:00+01:60", BAD},
		{"2026-11-21T09:33:00ZZ", BAD},
		{"2026-11-21T09:33:00Z ", BAD},
		{" 2026-11-21T09:33:00Z", BAD},
		{"2026-13-21T09:33:00Z", BAD},
		{"2026-00-21T09:33:00Z", BAD},
		{"2026-11-31T09:33:00Z", BAD},
		{"2026-02-29T09:33:00Z", BAD},
		{"2026-11-21T25:33:00Z", BAD},
		{"26-11-21T09:33:00Z", BAD},
		{"+2026-11-21T09:33:00Z", BAD},
		{"2026-1-21T09:33:00Z", BAD},
		{"2026-11-21T09:33:0\xff", BAD},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct err e = ERR_INIT;
		int64_t got = BAD;
		int rc = clock_parse_rfc3339(str_from(rows[i].in), &got, &e);

		check(&rows[i], rc, got, &e);
	}
	assert_int_equal(clock_parse_rfc3339(STR_NONE, &(int64_t){0}, NULL), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clocks),	cmocka_unit_test(test_small_steps),
		cmocka_unit_test(test_text),	cmocka_unit_test(test_http_date),
		cmocka_unit_test(test_rfc3339),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
