#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "data-plane/sync/backoff.h"

/* FL-08: spread over all of the time, which doubles up to the cap. */
static void test_fl08_jitter(void **state)
{
	static const struct {
		unsigned failures;
		uint64_t most;
	} rows[] = {{0, 500}, {1, 1000}, {2, 2000}, {5, 16000}, {6, 30000}, {1000, 30000}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t low = UINT64_MAX, high = 0;

		for (unsigned n = 0; n < 2000; n++) {
			uint64_t ms = backoff_ms(rows[i].failures);

			assert_true(ms <= rows[i].most);
			low = ms < low ? ms : low;
			high = ms > high ? ms : high;
		}
		assert_true(low < rows[i].most / 10 && high > rows[i].most / 10 * 9);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_fl08_jitter)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
