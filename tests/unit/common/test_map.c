#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/core/map.h"
#include "tests/unit/lib/oom.h"

enum { MANY = 5000 };

static char values[MANY];

static struct str key_of(char out[16], unsigned i)
{
	return (struct str){out, (size_t)snprintf(out, 16, "key-%u", i)};
}

static void test_few(void **state)
{
	struct err e = ERR_INIT;
	void *old = &e;
	struct map m;

	(void)state;
	map_init(&m);
	assert_null(map_get(&m, STR("a")));
	assert_null(map_remove(&m, STR("a")));
	assert_int_equal(map_put(&m, STR("a"), &values[1], &old, &e), 0);
	assert_null(old);
	assert_int_equal(map_put(&m, STR("a"), &values[2], &old, &e), 0);
	assert_ptr_equal(old, &values[1]);
	assert_int_equal(m.count, 1);
	assert_ptr_equal(map_get(&m, STR("a")), &values[2]);
	assert_null(map_get(&m, STR("A")));
	assert_null(map_get(&m, STR("ab")));
	assert_ptr_equal(map_remove(&m, STR("a")), &values[2]);
	assert_int_equal(m.count, 0);
	assert_null(map_get(&m, STR("a")));
	map_deinit(&m);
	map_deinit(&m);
}

/* Empty keys, absent ones, keys with NUL bytes, prefixes of each other. */
static void test_odd_keys(void **state)
{
	static const struct str keys[] = {
		{"", 0},	{"\0", 1},	   {"\0\0", 2},	    {"a\0b", 3},
		{"a\0c", 3},	{"a", 1},	   {"aaaaaaaa", 8}, {"aaaaaaaaa", 9},
		{"aaaaaaa", 7}, {"aaaaaaaa\0", 9}, {"\xff\xff", 2},
	};
	struct err e = ERR_INIT;
	struct map m;

	(void)state;
	map_init(&m);
	for (size_t i = 0; i < array_len(keys); i++)
		assert_int_equal(map_put(&m, keys[i], &values[i], NULL, &e), 0);
	assert_int_equal(m.count, array_len(keys));
	for (size_t i = 0; i < array_len(keys); i++)
		assert_ptr_equal(map_get(&m, keys[i]), &values[i]);
	assert_ptr_equal(map_get(&m, STR_NONE), &values[0]);
	assert_int_equal(map_put(&m, STR_NONE, &values[20], NULL, &e), 0);
	assert_int_equal(m.count, array_len(keys));
	map_deinit(&m);
}

static void test_many(void **state)
{
	struct err e = ERR_INIT;
	char text[16];
	struct map m;

	(void)state;
	map_init(&m);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(map_put(&m, key_of(text, i), &values[i], NULL, &e), 0);
	for (unsigned i = 0; i < MANY; i += 2)
		assert_ptr_equal(map_remove(&m, key_of(text, i)), &values[i]);
	assert_int_equal(m.count, MANY / 2);
	for (unsigned i = 0; i < MANY; i++)
		assert_ptr_equal(map_get(&m, key_of(text, i)), i % 2 ? &values[i] : NULL);
	map_deinit(&m);
}

/* Coming and going must not grow the table nor fill it with tombstones. */
static void test_churn(void **state)
{
	struct err e = ERR_INIT;
	char text[16];
	struct map m;

	(void)state;
	map_init(&m);
	for (unsigned i = 0; i < 50000; i++) {
		assert_int_equal(map_put(&m, key_of(text, i), &values[0], NULL, &e), 0);
		if (i >= 10)
			assert_non_null(map_remove(&m, key_of(text, i - 10)));
	}
	assert_int_equal(m.count, 10);
	assert_true(m.cap <= 64);
	assert_null(map_get(&m, STR("nobody")));
	map_deinit(&m);
}

static void test_walk(void **state)
{
	struct err e = ERR_INIT;
	unsigned seen = 0, removed = 0;
	struct str key;
	char text[16];
	size_t pos = 0;
	struct map m;
	void *value;

	(void)state;
	map_init(&m);
	assert_false(map_next(&m, &pos, &key, &value));
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(map_put(&m, key_of(text, i), &values[i], NULL, &e), 0);
	for (pos = 0; map_next(&m, &pos, &key, &value); seen++) {
		assert_ptr_equal(map_get(&m, key), value);
		if (seen % 3 == 0) {
			struct buf copy = BUF_INIT;

			assert_int_equal(buf_add_str(&copy, key, &e), 0);
			assert_ptr_equal(map_remove(&m, buf_str(&copy)), value);
			buf_deinit(&copy);
			removed++;
		}
	}
	assert_int_equal(seen, 1000);
	assert_int_equal(m.count, 1000 - removed);
	for (pos = 0, seen = 0; map_next(&m, &pos, NULL, NULL); seen++)
		;
	assert_int_equal(seen, m.count);
	map_deinit(&m);
}

/* A put that fails leaves the map as it was. */
static void oom_scenario(void *arg)
{
	struct err e = ERR_INIT;
	unsigned stored = 0;
	char text[16];
	struct map m;

	(void)arg;
	map_init(&m);
	for (unsigned i = 0; i < 40; i++) {
		if (map_put(&m, key_of(text, i), &values[i], NULL, &e) == 0)
			stored++;
		else
			assert_null(map_get(&m, key_of(text, i)));
		assert_int_equal(m.count, stored);
	}
	map_deinit(&m);
}

static void test_out_of_memory(void **state)
{
	(void)state;
	assert_true(oom_each(oom_scenario, NULL) >= 42);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_few),  cmocka_unit_test(test_odd_keys),
		cmocka_unit_test(test_many), cmocka_unit_test(test_churn),
		cmocka_unit_test(test_walk), cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
