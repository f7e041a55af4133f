/* Batches copy what they are given, and stay whole when memory runs out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "control-plane/store/pg.h"
#include "tests/unit/lib/oom.h"

static void test_copies(void **state)
{
	char sql[] = "SELECT $1", value[] = "x";
	const char *params[] = {value, NULL};
	struct pg_batch b;

	(void)state;
	pg_batch_init(&b);
	assert_int_equal(pg_batch_add(&b, sql, params, array_len(params), NULL), 0);
	sql[0] = value[0] = '!';
	assert_string_equal(b.statements[0].sql, "SELECT $1");
	assert_int_equal(b.statements[0].n, 2);
	assert_string_equal(b.statements[0].params[0], "x");
	assert_null(b.statements[0].params[1]);
	pg_batch_deinit(&b);
}

static void test_many(void **state)
{
	struct pg_batch b;

	(void)state;
	pg_batch_init(&b);
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(pg_batch_add(&b, i % 2 ? "odd" : "even", NULL, 0, NULL), 0);
	assert_int_equal(b.count, 100);
	for (size_t i = 0; i < 100; i++)
		assert_string_equal(b.statements[i].sql, i % 2 ? "odd" : "even");
	pg_batch_deinit(&b);
}

static void test_used_again(void **state)
{
	struct pg_batch b;

	(void)state;
	pg_batch_init(&b);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pg_batch_add(&b, "SELECT 1", NULL, 0, NULL), 0);
		assert_int_equal(b.count, 1);
		pg_batch_deinit(&b);
		pg_batch_deinit(&b);
	}
}

static void without_memory(void *arg)
{
	const char *params[] = {"a", NULL, "b"};
	struct err e = ERR_INIT;
	struct pg_batch b;
	size_t n = 0;

	(void)arg;
	pg_batch_init(&b);
	while (n < 20 && pg_batch_add(&b, "SELECT $1, $2, $3", params, array_len(params), &e) == 0)
		n++;
	assert_int_equal(b.count, n);
	assert_int_equal(e.kind, n < 20 ? ERR_MEMORY : ERR_NONE);
	pg_batch_deinit(&b);
}

static void test_out_of_memory(void **state)
{
	(void)state;
	assert_true(oom_each(without_memory, NULL) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_used_again),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
