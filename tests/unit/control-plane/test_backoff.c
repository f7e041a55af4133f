/* Waiting and renewing: arithmetic by table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "control-plane/acme/backoff.h"

struct backoff_row {
	struct backoff b;
	unsigned attempt;
	double by_chance;
	uint64_t want;
};

static const struct backoff_row backoffs[] = {
	{{1000, 60000, 2}, 1, 0.5, 500},     {{1000, 60000, 2}, 2, 0.5, 1000},
	{{1000, 60000, 2}, 4, 0.75, 6000},   {{1000, 60000, 2}, 7, 0.5, 30000},
	{{1000, 60000, 2}, 100, 0.5, 30000}, {{1000, 60000, 2}, UINT32_MAX, 0.999, 59940},
	{{1000, 60000, 4}, 3, 0.5, 8000},    {{1000, 60000, 2}, 1, 0.0, BACKOFF_FLOOR_MS},
	{{1000, 60000, 2}, 0, 0.5, 500},     {{120000, 60000, 2}, 1, 0.5, 30000},
};

static void test_backoff(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(backoffs); i++)
		assert_int_equal(
			backoff_ms(&backoffs[i].b, backoffs[i].attempt, backoffs[i].by_chance),
			backoffs[i].want);
}

struct poll_row {
	unsigned n;
	int64_t hint;
	uint64_t want;
};

static const struct poll_row polls[] = {
	{0, RETRY_AFTER_NONE, 10},
	{1, RETRY_AFTER_NONE, 20},
	{8, RETRY_AFTER_NONE, 2560},
	{9, RETRY_AFTER_NONE, 5000},
	{1000, RETRY_AFTER_NONE, 5000},
	{0, 0, 10},
	{0, 3000, 3000},
	{10, 3000, 5000},
	{0, 86400000, 15000},
	{0, INT64_MAX, 15000},
};

static void test_poll(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(polls); i++)
		assert_int_equal(backoff_poll_ms(polls[i].n, polls[i].hint), polls[i].want);
}

struct retry_row {
	const char *text;
	int64_t want; /* < 0: refused */
};

/* Now is Sun, 06 Nov 1994 08:49:37 GMT. */
static const struct retry_row retries[] = {
	{"0", 0},
	{"120", 120000},
	{" 120\t", 120000},
	{"2592001", 2592000000},
	{"18446744073709551615", 2592000000},
	{"Sun, 06 Nov 1994 08:50:37 GMT", 60000},
	{"Sun, 06 Nov 1994 08:49:37 GMT", 0},
	{"Sun, 06 Nov 1994 08:00:00 GMT", 0},
	{"Fri, 31 Dec 2199 23:59:59 GMT", 2592000000},
	{"", -1},
	{"soon", -1},
	{"-1", -1},
	{"1.5", -1},
	{"12s", -1},
	{"18446744073709551616", -1},
	{"Sun, 06 Nov 1994 08:50:37", -1},
	{"1994-11-06T08:50:37Z", -1},
};

static void test_retry_after(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(retries); i++) {
		int64_t ms = -1;
		int rc = retry_after_parse(str_from(retries[i].text), 784111777, &ms, NULL);

		if ((rc == 0) != (retries[i].want >= 0) || ms != retries[i].want)
			fail_msg("'%s': %d, %lld ms", retries[i].text, rc, (long long)ms);
	}
}

struct renewal_row {
	const char *name;
	int64_t lifetime_s;
	double fraction, by_chance;
	int64_t want_ms; /* after not_before */
};

static const struct renewal_row renewals[] = {
	{"90 days", 90 * 86400, 1.0 / 3, 0, 60 * INT64_C(86400000)},
	{"90 days, earliest", 90 * 86400, 1.0 / 3, 1, 57 * INT64_C(86400000)},
	{"6 days", 6 * 86400, 1.0 / 3, 0, 4 * INT64_C(86400000)},
	{"6 days, earliest", 6 * 86400, 1.0 / 3, 1, 328320000},
	{"a minute", 60, 1.0 / 3, 0, 40000},
	{"a minute, earliest", 60, 1.0 / 3, 1, 38000},
	{"a minute, by half", 60, 0.5, 0.5, 28500},
	{"backwards", -60, 1.0 / 3, 0.5, -60000},
	{"nothing", 0, 1.0 / 3, 0.5, 0},
};

static void test_renewal(void **state)
{
	const int64_t from = 1700000000;

	(void)state;
	for (size_t i = 0; i < array_len(renewals); i++) {
		const struct renewal_row *r = &renewals[i];
		int64_t got =
			renewal_time_ms(from, from + r->lifetime_s, r->fraction, r->by_chance) -
			from * 1000;

		if (got < r->want_ms - 1 || got > r->want_ms + 1)
			fail_msg("%s: %lld", r->name, (long long)got);
	}
}

static void test_renewal_pause(void **state)
{
	static const struct {
		const char *name;
		int64_t before, after, now, want;
	} rows[] = {
		{"90 days, fresh", 0, 90 * 86400, 3600, INT64_C(9) * 86400 * 1000},
		{"six days, fresh", 0, 6 * 86400, 0, INT64_C(51840) * 1000},
		{"a minute", 0, 60, 0, 6000},
		{"a tenth is just half of what is left", 0, 1000, 800, 100000},
		{"less than that is left", 0, 1000, 900, 50000},
		{"a second is left", 0, 1000, 999, 500},
		{"over", 0, 1000, 1000, 0},
		{"long over", 0, 1000, 90000, 0},
		{"not valid yet", 1000, 2000, 0, 100000},
		{"ends before it begins", 2000, 1000, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		int64_t got = renewal_pause_ms(rows[i].before, rows[i].after, rows[i].now);

		if (got != rows[i].want)
			fail_msg("%s: %lld", rows[i].name, (long long)got);
	}
}

static void test_chance(void **state)
{
	double low = 1, high = 0;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		double c = chance();

		assert_true(c >= 0 && c < 1);
		low = c < low ? c : low;
		high = c > high ? c : high;
	}
	assert_true(low < 0.1 && high > 0.9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_backoff),	      cmocka_unit_test(test_poll),
		cmocka_unit_test(test_retry_after),   cmocka_unit_test(test_renewal),
		cmocka_unit_test(test_renewal_pause), cmocka_unit_test(test_chance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
