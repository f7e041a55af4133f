#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data-plane/proxy/request_id.h"

enum { MANY = 3 * REQUEST_ID_POOL + 1 };

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, REQUEST_ID_TEXT + 1);
}

/* Over several fillings of the pool. */
static void test_ids_differ(void **state)
{
	static char ids[MANY][REQUEST_ID_TEXT + 1];
	struct request_ids p;

	(void)state;
	assert_int_equal(request_ids_init(&p, NULL), 0);
	for (size_t i = 0; i < MANY; i++) {
		request_ids_next(&p, ids[i]);
		assert_int_equal(strlen(ids[i]), REQUEST_ID_TEXT);
		assert_int_equal(strspn(ids[i], "0123456789abcdef"), REQUEST_ID_TEXT);
	}
	qsort(ids, MANY, sizeof(ids[0]), compare);
	for (size_t i = 1; i < MANY; i++)
		assert_string_not_equal(ids[i - 1], ids[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_ids_differ)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
