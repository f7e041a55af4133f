#include "data-plane/proxy/budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static unsigned spend(struct retry_budget *b, struct str upstream)
{
	unsigned n = 0;

	while (n < 1000 && budget_retry(b, upstream))
		n++;
	return n;
}

/* UP-10: after the burst, one retry for five requests. */
static void test_share(void **state)
{
	struct retry_budget b = {{0}};
	unsigned retries = 0;

	(void)state;
	assert_int_equal(spend(&b, STR("a")), BUDGET_BURST);
	for (int i = 0; i < 100; i++) {
		budget_request(&b, STR("a"));
		retries += budget_retry(&b, STR("a"));
	}
	assert_int_equal(retries, 20);
	assert_false(budget_retry(&b, STR("a")));
}

static void test_a_quiet_upstream_saves_no_more_than_the_burst(void **state)
{
	struct retry_budget b = {{0}};

	(void)state;
	for (int i = 0; i < 10000; i++)
		budget_request(&b, STR("a"));
	assert_int_equal(spend(&b, STR("a")), BUDGET_BURST);
}

static void test_upstreams_apart(void **state)
{
	struct retry_budget b = {{0}};

	(void)state;
	assert_int_equal(spend(&b, STR("a")), BUDGET_BURST);
	assert_int_equal(spend(&b, STR("b")), BUDGET_BURST);
	assert_int_equal(spend(&b, STR_NONE), BUDGET_BURST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_share),
		cmocka_unit_test(test_a_quiet_upstream_saves_no_more_than_the_burst),
		cmocka_unit_test(test_upstreams_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
