/* Failed attempts per address. */
#include "control-plane/admin/throttle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include "common/core/clock.h"
#include "tests/unit/lib/oom.h"

static const uint64_t second = 1000000000;

static struct addr at(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(&a, str_from(text), NULL), 0);
	return a;
}

static void fail_times(struct throttle *t, const char *from, unsigned n)
{
	struct addr a = at(from);

	for (unsigned i = 0; i < n; i++)
		throttle_failed(t, &a);
}

static unsigned wait_of(const struct throttle *t, const char *from)
{
	struct addr a = at(from);

	return throttle_wait(t, &a);
}

static void test_window(void **state)
{
	struct throttle t;

	(void)state;
	clock_fake(second, 0);
	throttle_init(&t, 3);
	assert_int_equal(wait_of(&t, "192.0.2.1:1"), 0);
	fail_times(&t, "192.0.2.1:1", 2);
	assert_int_equal(wait_of(&t, "192.0.2.1:1"), 0);
	clock_fake_advance(10 * second);
	fail_times(&t, "192.0.2.1:2", 1);
	assert_int_equal(wait_of(&t, "192.0.2.1:3"), 51);
	assert_int_equal(wait_of(&t, "192.0.2.2:1"), 0);
	fail_times(&t, "192.0.2.1:2", 100);
	assert_int_equal(wait_of(&t, "192.0.2.1:3"), 51);
	clock_fake_advance(49 * second);
	assert_int_equal(wait_of(&t, "192.0.2.1:3"), 2);
	clock_fake_advance(1 * second);
	assert_int_equal(wait_of(&t, "192.0.2.1:3"), 0);
	fail_times(&t, "192.0.2.1:2", 2);
	assert_int_equal(wait_of(&t, "192.0.2.1:3"), 0);
	fail_times(&t, "192.0.2.1:2", 1);
	assert_int_equal(wait_of(&t, "192.0.2.1:3"), 61);
	throttle_deinit(&t);
	clock_fake_end();
}

static void test_what_is_one_address(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} rows[] = {
		{"192.0.2.1:1", "192.0.2.1:2", true},
		{"192.0.2.1:1", "192.0.2.2:1", false},
		{"192.0.2.1:1", "[::ffff:192.0.2.1]:1", true},
		{"[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:1", false},
		{"[2001:db8::1]:1", "[2001:db8::2]:1", true},
		{"[2001:db8:0:1::1]:1", "[2001:db8:0:2::1]:1", false},
		{"0.0.0.0:1", "[::]:1", false},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct throttle t;

		throttle_init(&t, 1);
		fail_times(&t, rows[i].a, 1);
		assert_true(wait_of(&t, rows[i].a) > 0);
		if ((wait_of(&t, rows[i].b) > 0) != rows[i].same)
			fail_msg("%s, %s", rows[i].a, rows[i].b);
		throttle_deinit(&t);
	}
}

static void test_off(void **state)
{
	struct throttle t;

	(void)state;
	throttle_init(&t, 0);
	fail_times(&t, "192.0.2.1:1", 1000);
	assert_int_equal(wait_of(&t, "192.0.2.1:1"), 0);
	throttle_deinit(&t);
}

static void numbered(char out[32], unsigned n)
{
	snprintf(out, 32, "10.%u.%u.%u:1", n >> 16 & 255, n >> 8 & 255, n & 255);
}

/* Full: the one that failed longest ago goes, and one that fails on stays. */
static void test_bound(void **state)
{
	struct throttle t;
	char text[32];

	(void)state;
	throttle_init(&t, 1);
	for (unsigned i = 0; i < THROTTLE_ADDRESSES_MAX; i++) {
		numbered(text, i);
		fail_times(&t, text, 1);
	}
	numbered(text, 0);
	fail_times(&t, text, 1);
	fail_times(&t, "192.0.2.1:1", 1);
	assert_int_equal(t.entries.count, THROTTLE_ADDRESSES_MAX);
	assert_true(wait_of(&t, text) > 0);
	assert_true(wait_of(&t, "192.0.2.1:1") > 0);
	numbered(text, 1);
	assert_int_equal(wait_of(&t, text), 0);
	numbered(text, 2);
	assert_true(wait_of(&t, text) > 0);
	throttle_deinit(&t);
}

/* A failure that could not be counted leaves the table as it was. */
static void fail_once(void *arg)
{
	struct throttle t;
	struct addr a = at("192.0.2.1:1");

	(void)arg;
	throttle_init(&t, 1);
	throttle_failed(&t, &a);
	assert_true(t.entries.count <= 1);
	throttle_failed(&t, &a);
	assert_true(throttle_wait(&t, &a) > 0);
	throttle_deinit(&t);
}

static void test_out_of_memory(void **state)
{
	(void)state;
	assert_true(oom_each(fail_once, NULL) >= 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_window),	      cmocka_unit_test(test_what_is_one_address),
		cmocka_unit_test(test_off),	      cmocka_unit_test(test_bound),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
