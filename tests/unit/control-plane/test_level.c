/* The log level for a while, and what other control planes tell of it. */
#include "control-plane/fleet/level.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SELF "11111111-1111-4111-8111-111111111111"
#define OTHER "22222222-2222-4222-8222-222222222222"

static int quiet(void **state)
{
	(void)state;
	log_setup("test", LOG_ERROR, LOG_FORMAT_LOGFMT);
	return 0;
}

static void test_for_a_while(void **state)
{
	static const struct {
		uint64_t at_ms;
		enum log_level want;
	} ticks[] = {{0, LOG_CRIT},	 {999, LOG_CRIT},    {60999, LOG_CRIT},
		     {61000, LOG_ERROR}, {61001, LOG_ERROR}, {999999, LOG_ERROR}};
	struct level v = {.until_ms = 0};

	(void)state;
	level_set(&v, LOG_CRIT, 60, 1000);
	for (size_t i = 0; i < array_len(ticks); i++) {
		level_tick(&v, ticks[i].at_ms);
		assert_int_equal(log_level(), ticks[i].want);
	}
}

/* What comes back is what was before the first change, at the time of the last. */
static void test_changes_follow_each_other(void **state)
{
	struct level v = {.until_ms = 0};

	(void)state;
	level_set(&v, LOG_CRIT, 10, 0);
	level_set(&v, LOG_WARN, 10, 5000);
	level_tick(&v, 12000);
	assert_int_equal(log_level(), LOG_WARN);
	level_tick(&v, 15000);
	assert_int_equal(log_level(), LOG_ERROR);
}

static void test_for_good(void **state)
{
	struct level v = {.until_ms = 0};

	(void)state;
	level_set(&v, LOG_CRIT, 10, 0);
	level_set(&v, LOG_WARN, 0, 0);
	level_tick(&v, UINT64_MAX);
	assert_int_equal(log_level(), LOG_WARN);
	log_set_level(LOG_ERROR);
}

static void test_notices(void **state)
{
	static const struct {
		const char *payload;
		enum log_level want;
	} rows[] = {
		{"{\"cp\":\"" OTHER "\",\"log_level\":\"crit\",\"seconds\":0}", LOG_CRIT},
		{"{\"cp\":\"" OTHER "\",\"log_level\":\"warn\",\"seconds\":31622400}", LOG_WARN},
		{"{\"cp\":\"" SELF "\",\"log_level\":\"crit\",\"seconds\":0}", LOG_ERROR},
		{"{\"cp\":\"" OTHER "\",\"log_level\":\"loud\",\"seconds\":0}", LOG_ERROR},
		{"{\"cp\":\"" OTHER "\",\"log_level\":7,\"seconds\":0}", LOG_ERROR},
		{"{\"cp\":\"" OTHER "\",\"log_level\":\"crit\",\"seconds\":-1}", LOG_ERROR},
		{"{\"cp\":\"" OTHER "\",\"log_level\":\"crit\",\"seconds\":31622401}", LOG_ERROR},
		{"{\"cp\":\"" OTHER "\",\"nodes\":[],\"hits\":[]}", LOG_ERROR},
		{"{\"log_level\":\"crit\"}", LOG_ERROR},
		{"{\"cp\":null,\"log_level\":\"crit\"}", LOG_ERROR},
		{"[]", LOG_ERROR},
		{"crit", LOG_ERROR},
		{"", LOG_ERROR},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct level v = {.until_ms = 0};

		log_set_level(LOG_ERROR);
		level_notified(&v, SELF, rows[i].payload, 0);
		if (log_level() != rows[i].want)
			fail_msg("%s: %s", rows[i].payload, log_level_name(log_level()));
	}
	log_set_level(LOG_ERROR);
}

/* What one writes the other reads. */
static void test_there_and_back(void **state)
{
	struct buf notice = BUF_INIT;
	struct level v = {.until_ms = 0};

	(void)state;
	assert_int_equal(level_notice(&notice, OTHER, LOG_CRIT, 5, NULL), 0);
	level_notified(&v, SELF, notice.data, 1000);
	assert_int_equal(log_level(), LOG_CRIT);
	level_tick(&v, 6000);
	assert_int_equal(log_level(), LOG_ERROR);
	buf_deinit(&notice);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_for_a_while),
		cmocka_unit_test(test_changes_follow_each_other),
		cmocka_unit_test(test_for_good),
		cmocka_unit_test(test_notices),
		cmocka_unit_test(test_there_and_back),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
