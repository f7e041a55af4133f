/* The breaker of a CA: opens on failures in a row, lets one probe through, closes on its success.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/core/compiler.h"
#include "control-plane/acme/breaker.h"

#define MS(n) ((uint64_t)(n)*1000000)

/* f: a failure, s: a success, at ms; r: a failure with a Retry-After of 60 s. */
struct step {
	char what;
	unsigned at_ms;
	enum breaker_state want; /* afterwards */
};

static void run(const struct step *steps, size_t n)
{
	struct breaker b = {.state = BREAKER_CLOSED};

	for (size_t i = 0; i < n; i++) {
		uint64_t now = MS(steps[i].at_ms + 1);

		if (steps[i].what == 's' && breaker_state(&b, now) != BREAKER_STATES)
			breaker_success(&b);
		if (steps[i].what == 'f' || steps[i].what == 'r')
			breaker_failure(&b, now, steps[i].what == 'r' ? 60000 : -1, 0);
		if (breaker_state(&b, now) != steps[i].want)
			fail_msg("step %zu: %s", i, breaker_state_name(b.state));
	}
}

static void test_failures_in_a_row(void **state)
{
	static const struct step steps[] = {
		{'f', 0, BREAKER_CLOSED},	{'f', 1, BREAKER_CLOSED},
		{'f', 2, BREAKER_CLOSED},	{'f', 3, BREAKER_CLOSED},
		{'s', 4, BREAKER_CLOSED},	{'f', 5, BREAKER_CLOSED},
		{'f', 6, BREAKER_CLOSED},	{'f', 7, BREAKER_CLOSED},
		{'f', 8, BREAKER_CLOSED},	{'f', 9, BREAKER_OPEN},
		{'s', 10, BREAKER_OPEN},	{'-', 5008, BREAKER_OPEN},
		{'-', 5010, BREAKER_HALF_OPEN}, {'f', 5011, BREAKER_OPEN},
		{'-', 15010, BREAKER_OPEN},	{'-', 15012, BREAKER_HALF_OPEN},
		{'s', 15013, BREAKER_CLOSED},	{'f', 15014, BREAKER_CLOSED},
	};

	(void)state;
	run(steps, array_len(steps));
}

static void test_retry_after_is_the_least(void **state)
{
	static const struct step steps[] = {
		{'r', 0, BREAKER_CLOSED},   {'r', 0, BREAKER_CLOSED},
		{'r', 0, BREAKER_CLOSED},   {'r', 0, BREAKER_CLOSED},
		{'r', 0, BREAKER_OPEN},	    {'f', 1, BREAKER_OPEN},
		{'-', 59999, BREAKER_OPEN}, {'-', 60001, BREAKER_HALF_OPEN},
	};

	(void)state;
	run(steps, array_len(steps));
}

static void test_time_grows_to_five_minutes(void **state)
{
	struct breaker b = {.state = BREAKER_CLOSED};
	uint64_t now = 1, last = 0;

	(void)state;
	for (unsigned i = 0; i < BREAKER_THRESHOLD; i++)
		breaker_failure(&b, now, -1, 0.999);
	for (unsigned i = 0; i < 40; i++) {
		uint64_t open = b.until_ns - now;

		assert_true(open <= MS(300000) && open >= MS(4000));
		assert_true(open >= last);
		assert_int_equal(b.since_ns, 1);
		last = open;
		now = b.until_ns;
		breaker_failure(&b, now, -1, 0.999);
	}
	assert_true(last >= MS(240000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failures_in_a_row),
		cmocka_unit_test(test_retry_after_is_the_least),
		cmocka_unit_test(test_time_grows_to_five_minutes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
