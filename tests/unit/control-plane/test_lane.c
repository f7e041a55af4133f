/* How many orders of each lane may be taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/core/compiler.h"
#include "control-plane/acme/lane.h"

struct row {
	unsigned used[LANES];
	unsigned max;
	unsigned want[LANES];
};

static const struct row rows[] = {
	{{0, 0, 0, 0}, 1000, {900, 800, 700, 200}},
	/* Whoever fails never takes more than a fifth, whatever is free. */
	{{0, 0, 0, 200}, 1000, {800, 800, 700, 0}},
	{{0, 0, 0, 900}, 1000, {100, 100, 100, 0}},
	/* A flood of one lane leaves room for the others. */
	{{0, 800, 0, 0}, 1000, {200, 0, 200, 200}},
	{{900, 0, 0, 0}, 1000, {0, 100, 100, 100}},
	{{0, 0, 700, 0}, 1000, {300, 300, 0, 200}},
	{{900, 100, 0, 0}, 1000, {0, 0, 0, 0}},
	{{2000, 0, 0, 0}, 1000, {0, 0, 0, 0}},
	/* Small ones: each lane has at least one. */
	{{0, 0, 0, 0}, 1, {1, 1, 1, 1}},
	{{0, 0, 0, 0}, 2, {2, 2, 2, 1}},
	{{0, 0, 0, 1}, 2, {1, 1, 1, 0}},
	{{0, 0, 1, 0}, 1, {0, 0, 0, 0}},
	{{0, 0, 0, 0}, 0, {0, 0, 0, 0}},
	{{0, 0, 0, 0}, 65536, {58983, 52429, 45876, 13108}},
};

static void test_room(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		unsigned room[LANES];

		lane_room(rows[i].used, rows[i].max, room);
		for (unsigned l = 0; l < LANES; l++)
			if (room[l] != rows[i].want[l])
				fail_msg("row %zu, %s: %u", i, lane_name(l), room[l]);
	}
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(lane_name(LANE_EMERGENCY), "emergency");
	assert_string_equal(lane_name(LANE_RETRY), "retry");
	assert_string_equal(lane_name(LANES), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
