/* Row SL-09: tight from 90 % on, free again below 80 %. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data-plane/proxy/memory_guard.h"

static void test_steps(void **state)
{
	static const struct {
		uint64_t resident;
		bool tight;
	} steps[] = {{0, false},  {899, false}, {900, true},  {950, true},
		     {899, true}, {800, true},	{799, false}, {850, false},
		     {900, true}, {5000, true}, {100, false}, {899, false}};
	struct memory_guard g;
	bool before = false;

	(void)state;
	assert_int_equal(memory_guard_init(&g, 1000, NULL), 0);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		bool changed = memory_guard_judge(&g, steps[i].resident);

		assert_int_equal(memory_guard_is_tight(&g), steps[i].tight);
		assert_int_equal(changed, steps[i].tight != before);
		before = steps[i].tight;
	}
	memory_guard_deinit(&g);
}

static void test_measures_this_process(void **state)
{
	struct memory_guard small, large;

	(void)state;
	assert_int_equal(memory_guard_init(&small, 4096, NULL), 0);
	assert_int_equal(memory_guard_init(&large, UINT64_MAX / 2, NULL), 0);
	assert_true(memory_guard_sample(&small));
	assert_true(memory_guard_is_tight(&small));
	assert_false(memory_guard_sample(&small)); /* no news */
	assert_false(memory_guard_sample(&large));
	assert_true(large.resident > 100000);
	memory_guard_deinit(&small);
	memory_guard_deinit(&large);
}

static void test_no_limit(void **state)
{
	struct memory_guard g;

	(void)state;
	assert_int_equal(memory_guard_init(&g, 0, NULL), 0);
	assert_false(memory_guard_sample(&g));
	assert_false(memory_guard_is_tight(&g));
	memory_guard_deinit(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_measures_this_process),
		cmocka_unit_test(test_no_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
