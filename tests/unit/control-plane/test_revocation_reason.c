/* Reasons of a revocation: names and codes, those that a holder cannot give, what each leads to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "control-plane/acme/revocation_reason.h"

static void test_taken(void **state)
{
	static const struct {
		const char *text;
		int code;
		bool replace;
		enum lane lane;
	} rows[] = {
		{"unspecified", 0, true, LANE_RENEWAL},
		{"0", 0, true, LANE_RENEWAL},
		{"keyCompromise", 1, true, LANE_EMERGENCY},
		{"KEYCOMPROMISE", 1, true, LANE_EMERGENCY},
		{"1", 1, true, LANE_EMERGENCY},
		{"affiliationChanged", 3, true, LANE_RENEWAL},
		{"superseded", 4, true, LANE_RENEWAL},
		{"cessationOfOperation", 5, false, LANE_RENEWAL},
		{"5", 5, false, LANE_RENEWAL},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		const struct revocation_reason *r = NULL;

		if (revocation_reason_parse(str_from(rows[i].text), &r, NULL) != 0)
			fail_msg("refused: %s", rows[i].text);
		assert_int_equal(r->code, rows[i].code);
		assert_int_equal(r->replace, rows[i].replace);
		assert_int_equal(r->lane, rows[i].lane);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{"", "cannot be given"},
		{"-1", "cannot be given"},
		{"7", "cannot be given; one of"},
		{"11", "cannot be given"},
		{"1 ", "cannot be given"},
		{" 1", "cannot be given"},
		{"99999999999999999999", "cannot be given"},
		{"key compromise", "cannot be given"},
		{"keyCompromised", "cannot be given"},
		{"2", "authority's own key"},
		{"cACompromise", "authority's own key"},
		{"6", "do not suspend"},
		{"certificateHold", "do not suspend"},
		{"8", "certificateHold"},
		{"9", "the authority gives it"},
		{"privilegeWithdrawn", "the authority gives it"},
		{"10", "attribute authorities"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		const struct revocation_reason *r = NULL;
		struct err e = ERR_INIT;

		if (revocation_reason_parse(str_from(rows[i].text), &r, &e) == 0)
			fail_msg("taken: %s", rows[i].text);
		assert_null(r);
		assert_int_equal(e.kind, ERR_INVALID);
		if (!strstr(e.message, rows[i].says) || !strstr(e.message, "keyCompromise (1)"))
			fail_msg("%s: %s", rows[i].text, e.message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
