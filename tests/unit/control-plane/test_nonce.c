/* The nonce pool: order, bounds, age, and what is no nonce. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/core/clock.h"
#include "control-plane/acme/nonce.h"

static const uint64_t second = 1000000000;

static int setup(void **state)
{
	(void)state;
	clock_fake(second, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	clock_fake_end();
	return 0;
}

static void test_last_in_first_out(void **state)
{
	struct nonce_pool p;
	char out[ACME_NONCE_SIZE];

	(void)state;
	nonce_pool_init(&p);
	assert_false(nonce_take(&p, out));
	nonce_put(&p, STR("one"));
	nonce_put(&p, STR("two"));
	assert_true(nonce_take(&p, out));
	assert_string_equal(out, "two");
	nonce_put(&p, STR("three"));
	assert_true(nonce_take(&p, out));
	assert_string_equal(out, "three");
	assert_true(nonce_take(&p, out));
	assert_string_equal(out, "one");
	assert_false(nonce_take(&p, out));
}

static void test_full_pool_drops_the_oldest(void **state)
{
	struct nonce_pool p;
	char out[ACME_NONCE_SIZE], text[16];

	(void)state;
	nonce_pool_init(&p);
	for (int i = 0; i < NONCE_POOL_MAX + 10; i++) {
		snprintf(text, sizeof(text), "n%d", i);
		nonce_put(&p, str_from(text));
	}
	assert_int_equal(p.count, NONCE_POOL_MAX);
	for (int i = NONCE_POOL_MAX + 9; i >= 10; i--) {
		snprintf(text, sizeof(text), "n%d", i);
		assert_true(nonce_take(&p, out));
		assert_string_equal(out, text);
	}
	assert_false(nonce_take(&p, out));
}

static void test_age(void **state)
{
	struct nonce_pool p;
	char out[ACME_NONCE_SIZE];

	(void)state;
	nonce_pool_init(&p);
	nonce_put(&p, STR("old"));
	clock_fake_advance(30 * second);
	nonce_put(&p, STR("young"));
	clock_fake_advance(20 * second);
	assert_true(nonce_take(&p, out));
	assert_string_equal(out, "young");
	assert_false(nonce_take(&p, out));
	assert_int_equal(p.count, 0);
}

static void test_malformed_ones_are_not_kept(void **state)
{
	static const struct str bad[] = {
		{"", 0},     {"a b", 3}, {"a=", 2},	   {"a+b", 3},	       {"a/b", 3},
		{"a\0b", 3}, {"\"", 1},	 {"a\xc3\xa4", 3}, {"a\r\nX-Y: z", 9},
	};
	struct nonce_pool p;
	char out[ACME_NONCE_SIZE], longest[ACME_NONCE_SIZE];

	(void)state;
	nonce_pool_init(&p);
	for (size_t i = 0; i < array_len(bad); i++)
		nonce_put(&p, bad[i]);
	memset(longest, 'x', sizeof(longest));
	nonce_put(&p, (struct str){longest, sizeof(longest)});
	assert_int_equal(p.count, 0);
	nonce_put(&p, (struct str){longest, sizeof(longest) - 1});
	assert_true(nonce_take(&p, out));
	assert_int_equal(strlen(out), sizeof(longest) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_last_in_first_out, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_pool_drops_the_oldest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_age, setup, teardown),
		cmocka_unit_test_setup_teardown(test_malformed_ones_are_not_kept, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
