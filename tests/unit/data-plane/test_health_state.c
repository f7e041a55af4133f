/* Kong's counters, with letters: S success, C connection failure, T time-out, H bad status. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "data-plane/sync/health_state.h"

static const struct {
	const char *name;
	unsigned successes, tcp, timeouts, http;
	const char *events;
	enum health_level want;
} rows[] = {
	{"nothing", 1, 1, 1, 1, "", HEALTH_HEALTHY},
	{"successes alone", 1, 1, 1, 1, "SSSS", HEALTH_HEALTHY},
	{"one failure of one", 1, 1, 1, 1, "C", HEALTH_UNHEALTHY},
	{"one of two", 1, 2, 2, 2, "C", HEALTH_MOSTLY_HEALTHY},
	{"two of two", 1, 2, 2, 2, "CC", HEALTH_UNHEALTHY},
	{"kinds are counted apart", 1, 2, 2, 2, "CTH", HEALTH_MOSTLY_HEALTHY},
	{"each by its limit", 1, 3, 2, 4, "CTHT", HEALTH_UNHEALTHY},
	{"a success forgets failures", 5, 3, 3, 3, "CCSCC", HEALTH_MOSTLY_HEALTHY},
	{"and all kinds of them", 5, 2, 2, 2, "CTHS", HEALTH_HEALTHY},
	{"an off success forgets nothing", 0, 3, 3, 3, "CCSC", HEALTH_UNHEALTHY},
	{"an off failure counts nothing", 1, 0, 0, 0, "CCCTTTHHH", HEALTH_HEALTHY},
	{"back at once", 1, 1, 1, 1, "CS", HEALTH_HEALTHY},
	{"back after three", 3, 1, 1, 1, "CSSS", HEALTH_HEALTHY},
	{"not after two", 3, 1, 1, 1, "CSS", HEALTH_MOSTLY_UNHEALTHY},
	{"a failure forgets successes", 3, 5, 5, 5, "CCCCCSSCSS", HEALTH_MOSTLY_UNHEALTHY},
	{"and it is unhealthy again", 3, 1, 1, 1, "CSSC", HEALTH_UNHEALTHY},
	{"never back without successes", 0, 1, 1, 1, "CSSSSSS", HEALTH_UNHEALTHY},
	{"what was counted before is gone", 1, 2, 2, 2, "CCSC", HEALTH_MOSTLY_HEALTHY},
};

static enum health_counter counter_of(char c)
{
	return c == 'S'	  ? HEALTH_COUNT_SUCCESS
	       : c == 'C' ? HEALTH_COUNT_TCP
	       : c == 'T' ? HEALTH_COUNT_TIMEOUT
			  : HEALTH_COUNT_HTTP;
}

static void test_counters(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		const unsigned limits[] = {rows[i].successes, rows[i].tcp, rows[i].timeouts,
					   rows[i].http};
		struct health_state s = {.level = HEALTH_HEALTHY};

		for (const char *p = rows[i].events; *p; p++) {
			enum health_counter c = counter_of(*p);
			enum health_level before = s.level;

			assert_true(health_state_count(&s, c, limits[c]) == (s.level != before));
		}
		if (s.level != rows[i].want)
			fail_msg("%s: %d", rows[i].name, s.level);
		assert_true(health_state_is_down(&s) ==
			    (s.level == HEALTH_UNHEALTHY || s.level == HEALTH_MOSTLY_UNHEALTHY));
		assert_true(health_state_is_watched(&s) == (s.level != HEALTH_HEALTHY));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_counters)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
