#include "control-plane/fleet/member.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/lib/oom.h"

enum { GRACE = 5000 };

static void report(struct members *m, const char *id, uint64_t revision, bool connected, bool local,
		   uint64_t seen_ms)
{
	const struct member_report r = {.id = id,
					.hostname = local ? id : NULL,
					.revision = revision,
					.connected = connected,
					.local = local,
					.seen_ms = seen_ms};

	assert_int_equal(members_report(m, &r, NULL), 0);
}

static void test_who_is_live(void **state)
{
	static const struct {
		const char *name;
		uint64_t age;
		bool connected, local, live;
	} rows[] = {
		{"here", 1000000, true, true, true},
		{"left just now", 0, false, true, true},
		{"left at the limit", GRACE, false, true, true},
		{"left before it", GRACE + 1, false, true, false},
		{"elsewhere", 100, true, false, true},
		{"elsewhere, control plane silent", GRACE + MEMBER_SILENCE_MS, true, false, true},
		{"elsewhere, control plane dead", GRACE + MEMBER_SILENCE_MS + 1, true, false,
		 false},
		{"left elsewhere", GRACE, false, false, true},
		{"left elsewhere before", GRACE + 1, false, false, false},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct members m;
		uint64_t now = 10000000;
		uint64_t missing = 9;

		members_init(&m, GRACE);
		report(&m, "n", 3, rows[i].connected, rows[i].local, now - rows[i].age);
		if (members_live(&m, 3, now, &missing) != rows[i].live)
			fail_msg("%s", rows[i].name);
		assert_int_equal(missing, 0);
		members_live(&m, 4, now, &missing);
		assert_int_equal(missing, rows[i].live);
		members_expire(&m, now);
		assert_int_equal(members_live(&m, 0, 0, NULL), rows[i].live);
		members_deinit(&m);
	}
}

static void test_a_node_moves(void **state)
{
	struct members m;
	uint64_t missing;

	(void)state;
	members_init(&m, GRACE);
	report(&m, "n", 3, true, true, 1000);
	/* What others say about a node that is here counts for nothing. */
	report(&m, "n", 9, true, false, 1001);
	members_live(&m, 9, 1001, &missing);
	assert_int_equal(missing, 1);
	/* It leaves, and an old "gone" of another control plane changes nothing. */
	report(&m, "n", 3, false, true, 2000);
	report(&m, "n", 0, false, false, 1500);
	members_live(&m, 3, 2000, &missing);
	assert_int_equal(missing, 0);
	/* It is elsewhere now, and lost its disk. */
	report(&m, "n", 0, true, false, 2100);
	members_live(&m, 3, 2100, &missing);
	assert_int_equal(missing, 1);
	report(&m, "n", 4, true, false, 2200);
	/* A row read from the database that is older than a notification. */
	report(&m, "n", 2, true, false, 2150);
	members_live(&m, 4, 2200, &missing);
	assert_int_equal(missing, 0);
	/* And back. */
	report(&m, "n", 5, true, true, 2300);
	assert_int_equal(members_live(&m, 5, 2300, &missing), 1);
	assert_int_equal(missing, 0);
	members_deinit(&m);
}

static void report_of(struct members *m, const char *control_plane, bool connected,
		      uint64_t seen_ms)
{
	const struct member_report r = {.id = "n",
					.revision = connected ? 4 : 3,
					.connected = connected,
					.seen_ms = seen_ms,
					.control_plane = control_plane};

	assert_int_equal(members_report(m, &r, NULL), 0);
}

/* The control plane that a node left says so after the one that it went to. */
static void test_a_node_moves_between_others(void **state)
{
	struct members m;
	uint64_t missing;

	(void)state;
	members_init(&m, GRACE);
	report_of(&m, "cp1", true, 1000);
	report_of(&m, "cp2", true, 2000);
	report_of(&m, "cp1", false, 3000);
	assert_int_equal(members_live(&m, 5, 3000 + GRACE + 1, &missing), 1);
	assert_int_equal(missing, 1);
	report_of(&m, "cp2", false, 4000);
	assert_int_equal(members_live(&m, 5, 4000 + GRACE + 1, &missing), 0);
	members_deinit(&m);
}

static void test_acks_of_another_epoch(void **state)
{
	struct members m;
	uint64_t missing;

	(void)state;
	members_init(&m, GRACE);
	report(&m, "here", 9, true, true, 1000);
	report(&m, "elsewhere", 9, true, false, 1000);
	members_forget_acks(&m);
	assert_int_equal(members_live(&m, 1, 1000, &missing), 2);
	assert_int_equal(missing, 2);
	members_deinit(&m);
}

static void test_missing(void **state)
{
	struct members m;
	json_t *list;

	(void)state;
	members_init(&m, GRACE);
	report(&m, "a", 5, true, true, 0);
	report(&m, "b", 4, true, true, 0);
	report(&m, "gone", 1, false, true, 0);
	list = members_missing(&m, 5, 100000);
	assert_int_equal(json_array_size(list), 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "id")), "b");
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "hostname")),
			    "b");
	assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "revision")),
			 4);
	json_decref(list);
	members_deinit(&m);
}

static void add_two(void *arg)
{
	struct members m;
	const struct member_report a = {.id = "a", .connected = true, .local = true};
	const struct member_report b = {.id = "b", .connected = true, .local = true};
	uint64_t added = 0;

	(void)arg;
	members_init(&m, GRACE);
	added += members_report(&m, &a, NULL) == 0;
	added += members_report(&m, &b, NULL) == 0;
	assert_int_equal(members_live(&m, 0, 0, NULL), added);
	members_deinit(&m);
}

static void test_out_of_memory(void **state)
{
	(void)state;
	assert_true(oom_each(add_two, NULL) > 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_is_live),
		cmocka_unit_test(test_a_node_moves),
		cmocka_unit_test(test_a_node_moves_between_others),
		cmocka_unit_test(test_acks_of_another_epoch),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_out_of_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
