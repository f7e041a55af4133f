#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/core/arena.h"
#include "tests/unit/lib/oom.h"

static void test_alloc(void **state)
{
	static const size_t sizes[] = {1, 0, 15, 16, 17, 4095, 4096, 4097, 100000, 3, 4080, 8};
	unsigned char *got[array_len(sizes)];
	struct arena a;

	(void)state;
	arena_init(&a, 0);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < array_len(sizes); i++) {
			got[i] = arena_alloc(&a, sizes[i]);
			assert_non_null(got[i]);
			assert_int_equal((uintptr_t)got[i] % 16, 0);
			for (size_t k = 0; k < sizes[i]; k++)
				assert_int_equal(got[i][k], 0);
			memset(got[i], (int)(i + 1), sizes[i]);
		}
		/* Nobody wrote into another's bytes. */
		for (size_t i = 0; i < array_len(sizes); i++)
			for (size_t k = 0; k < sizes[i]; k++)
				assert_int_equal(got[i][k], i + 1);
		arena_reset(&a);
		assert_int_equal(a.used, 0);
	}
	arena_deinit(&a);
	arena_deinit(&a);
}

/* Small blocks, and what a secret arena leaves behind. */
static void test_settings(void **state)
{
	struct arena a;
	char *first;

	(void)state;
	arena_init(&a, 0);
	a.block = 64;
	a.secret = true;
	first = arena_alloc(&a, 48);
	memset(first, 's', 48);
	for (size_t i = 0; i < 100; i++)
		memset(arena_alloc(&a, i), 'x', i);
	arena_reset(&a);
	first = arena_alloc(&a, 16);
	memset(first, 's', 16);
	arena_reset(&a);
	assert_int_equal(first[0], 0); /* its block was kept */
	arena_deinit(&a);
	assert_int_equal(a.block, 64);
	assert_true(a.secret);
}

static void test_limit(void **state)
{
	static const struct {
		size_t first, second;
		bool ok;
	} rows[] = {
		{0, 160, true},
		{0, 161, false},
		{160, 0, true},
		{160, 1, false},
		{144, 16, true},
		{145, 16, false},
		{16, SIZE_MAX, false},
		{16, SIZE_MAX - 15, false},
		{16, SIZE_MAX / 2, false},
		{16, SIZE_MAX / 2 + 1, false},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct arena a;

		arena_init(&a, 160);
		assert_non_null(arena_alloc(&a, rows[i].first));
		if ((arena_alloc(&a, rows[i].second) != NULL) != rows[i].ok)
			fail_msg("row %zu", i);
		arena_reset(&a);
		assert_non_null(arena_alloc(&a, 160));
		arena_deinit(&a);
		assert_int_equal(a.limit, 160);
	}
	/* Sizes near the end of the address space, without a limit. */
	for (size_t n = 0; n < 40; n++) {
		struct arena a;

		arena_init(&a, 0);
		assert_null(arena_alloc(&a, SIZE_MAX - n));
		arena_deinit(&a);
	}
}

static void test_str(void **state)
{
	struct arena a;
	struct str s;

	(void)state;
	arena_init(&a, 64);
	s = arena_str(&a, (struct str){"a\0b", 3});
	assert_int_equal(s.len, 3);
	assert_memory_equal(s.ptr, "a\0b", 4);
	s = arena_str(&a, STR_NONE);
	assert_int_equal(s.len, 0);
	assert_string_equal(s.ptr, "");
	s = arena_str(&a, STR("0123456789012345678901234567890123456789"));
	assert_null(s.ptr);
	arena_deinit(&a);
}

static void oom_scenario(void *arg)
{
	struct arena a;

	(void)arg;
	arena_init(&a, 0);
	for (size_t i = 0; i < 10; i++) {
		size_t before = a.used;

		if (!arena_alloc(&a, 3000))
			assert_int_equal(a.used, before);
	}
	arena_reset(&a);
	(void)arena_str(&a, STR("text"));
	arena_deinit(&a);
}

static void test_out_of_memory(void **state)
{
	(void)state;
	assert_true(oom_each(oom_scenario, NULL) >= 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alloc),	      cmocka_unit_test(test_settings),
		cmocka_unit_test(test_limit),	      cmocka_unit_test(test_str),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
