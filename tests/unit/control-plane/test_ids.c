/* UUIDs as an array of the database. */
#include "control-plane/acme/ids.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_ids(void **state)
{
	static const char *const want[] = {"{}", "{a}", "{a,b}", "{a,b,c}"};

	(void)state;
	for (size_t n = 0; n < array_len(want); n++) {
		struct buf out = BUF_INIT;

		for (size_t i = 0; i < n; i++)
			assert_int_equal(ids_add(&out, (const char *[]){"a", "b", "c"}[i], NULL),
					 0);
		assert_int_equal(ids_end(&out, NULL), 0);
		assert_string_equal(out.data, want[n]);
		buf_deinit(&out);
	}
}

static void test_limit(void **state)
{
	struct buf out = BUF_INIT;

	(void)state;
	buf_init(&out, 2);
	assert_int_equal(ids_add(&out, "a", NULL), 0);
	assert_int_equal(ids_add(&out, "b", NULL), -1);
	assert_int_equal(ids_end(&out, NULL), -1);
	buf_deinit(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_ids),
					   cmocka_unit_test(test_limit)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
