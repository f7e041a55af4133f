/* The order's state machine: every allowed move, every refused one, and that each state can be left
 * and reached. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "control-plane/acme/order.h"

/* As in the picture of order.h. */
static const char *const allowed[] = {
	"new>authorizing",	  "new>failed",	     "authorizing>publishing",
	"authorizing>finalizing", "authorizing>new", "authorizing>failed",
	"publishing>validating",  "publishing>new",  "publishing>failed",
	"validating>finalizing",  "validating>new",  "validating>failed",
	"finalizing>downloading", "finalizing>new",  "finalizing>failed",
	"downloading>valid",	  "downloading>new", "downloading>failed",
};
/* Where a run ends without a certificate: what may fail may be paused or parked too. */
static const char *const ends[] = {">paused_by_ca", ">parked"};

static bool is_allowed(unsigned from, unsigned to)
{
	char text[64];

	snprintf(text, sizeof(text), "%s>%s", sm_name(&order_sm, from), sm_name(&order_sm, to));
	for (size_t i = 0; i < array_len(allowed); i++)
		if (str_eq(str_from(text), str_from(allowed[i])))
			return true;
	for (size_t i = 0; i < array_len(ends); i++)
		if (from < ORDER_VALID && str_ends(str_from(text), str_from(ends[i])))
			return true;
	return false;
}

static void test_moves(void **state)
{
	size_t moves = 0;

	(void)state;
	for (unsigned from = 0; from < ORDER_STATES; from++) {
		for (unsigned to = 0; to < ORDER_STATES; to++) {
			struct order o = {.state = (enum order_state)from, .id = "test"};

			if (sm_allows(&order_sm, from, to) != is_allowed(from, to))
				fail_msg("%s > %s", sm_name(&order_sm, from),
					 sm_name(&order_sm, to));
			if (!is_allowed(from, to))
				continue;
			order_move(&o, (enum order_state)to);
			assert_int_equal(o.state, to);
			assert_int_equal(json_array_size(o.timeline.waiting), 1);
			timeline_deinit(&o.timeline);
			moves++;
		}
	}
	assert_int_equal(moves, array_len(allowed) + array_len(ends) * ORDER_VALID);
}

static void test_outside(void **state)
{
	(void)state;
	assert_false(sm_allows(&order_sm, ORDER_STATES, ORDER_NEW));
	assert_false(sm_allows(&order_sm, ORDER_NEW, ORDER_STATES));
	assert_false(sm_allows(&order_sm, ORDER_NEW, UINT32_MAX));
}

static void test_reachable_and_ending(void **state)
{
	uint32_t seen = SM_TO(ORDER_NEW);

	(void)state;
	for (int round = 0; round < ORDER_STATES; round++)
		for (unsigned s = 0; s < ORDER_STATES; s++)
			if (seen & SM_TO(s))
				seen |= order_sm.states[s].to;
	assert_int_equal(seen, SM_TO(ORDER_STATES) - 1);
	/* From every state but the ends there is a way to both ends. */
	for (unsigned s = 0; s < ORDER_VALID; s++) {
		uint32_t from = SM_TO(s);

		for (int round = 0; round < ORDER_STATES; round++)
			for (unsigned t = 0; t < ORDER_STATES; t++)
				if (from & SM_TO(t))
					from |= order_sm.states[t].to;
		assert_true(from & SM_TO(ORDER_VALID));
		assert_true(from & SM_TO(ORDER_FAILED));
	}
	assert_int_equal(order_sm.states[ORDER_VALID].to, 0);
	assert_int_equal(order_sm.states[ORDER_FAILED].to, 0);
}

static void test_names(void **state)
{
	static const char *const bad[] = {"", "New", "NEW", "new ", "ready", "validating\n"};
	enum order_state s = ORDER_FAILED;

	(void)state;
	for (unsigned i = 0; i < ORDER_STATES; i++) {
		const char *name = order_state_name((enum order_state)i);

		assert_int_equal(order_state_parse(str_from(name), &s), 0);
		assert_int_equal(s, i);
	}
	for (size_t i = 0; i < array_len(bad); i++)
		assert_int_equal(order_state_parse(str_from(bad[i]), &s), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_moves),
		cmocka_unit_test(test_outside),
		cmocka_unit_test(test_reachable_and_ending),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
