/* Time lines: what an entry says, what joins the last one, bounds, and no memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/core/str.h"
#include "control-plane/acme/timeline.h"
#include "tests/unit/lib/oom.h"

static void check(struct timeline *t, const char *expected)
{
	json_t *sent = timeline_send(t);
	char *text = json_dumps(sent, JSON_COMPACT | JSON_REAL_PRECISION(14));

	assert_string_equal(text, expected);
	free(text);
	json_decref(sent);
	assert_null(t->waiting);
	timeline_stored(t);
}

static void test_entries(void **state)
{
	static const struct {
		const char *by, *detail, *expected;
	} rows[] = {
		{NULL, NULL, "[{\"at\":1764333333.25,\"event\":\"new\"}]"},
		{"", "", "[{\"at\":1764333333.25,\"event\":\"new\"}]"},
		{"cp", NULL, "[{\"at\":1764333333.25,\"event\":\"new\",\"by\":\"cp\"}]"},
		{NULL, "a \"b\"\n",
		 "[{\"at\":1764333333.25,\"event\":\"new\",\"detail\":\"a \\\"b\\\"\\n\"}]"},
		/* What is no UTF-8 is left out, and the entry stays. */
		{NULL, "\xff", "[{\"at\":1764333333.25,\"event\":\"new\"}]"},
	};
	struct timeline t = {NULL, NULL};

	(void)state;
	check(&t, "[]");
	for (size_t i = 0; i < array_len(rows); i++) {
		timeline_add(&t, INT64_C(1764333333250), "new", rows[i].by, rows[i].detail);
		check(&t, rows[i].expected);
	}
}

static void test_nodes_join_the_last(void **state)
{
	struct timeline t = {NULL, NULL};

	(void)state;
	timeline_add_node(&t, 1500, "asked for", "a");
	timeline_add_node(&t, 2500, "asked for", "b");
	timeline_add_node(&t, 3500, "asked for", "a");
	timeline_add(&t, 4500, "valid", NULL, NULL);
	timeline_add_node(&t, 5500, "asked for", "a");
	timeline_add_node(&t, 6500, "other", "a");
	check(&t, "[{\"at\":1.5,\"event\":\"asked for\",\"nodes\":[\"a\",\"b\"]},"
		  "{\"at\":4.5,\"event\":\"valid\"},"
		  "{\"at\":5.5,\"event\":\"asked for\",\"nodes\":[\"a\"]},"
		  "{\"at\":6.5,\"event\":\"other\",\"nodes\":[\"a\"]}]");
}

static void test_bounds(void **state)
{
	struct timeline t = {NULL, NULL};

	(void)state;
	for (int i = 0; i < TIMELINE_WAITING_MAX + 5; i++)
		timeline_add(&t, i, "e", NULL, NULL);
	assert_int_equal(json_array_size(t.waiting), TIMELINE_WAITING_MAX);
	timeline_deinit(&t);
	for (int i = 0; i < TIMELINE_NODES_MAX + 5; i++) {
		char node[16];

		snprintf(node, sizeof(node), "n%d", i);
		timeline_add_node(&t, i, "e", node);
	}
	assert_int_equal(json_array_size(t.waiting), 1);
	assert_int_equal(json_array_size(json_object_get(json_array_get(t.waiting, 0), "nodes")),
			 TIMELINE_NODES_MAX);
	timeline_deinit(&t);
	timeline_deinit(&t);
}

/* A statement that failed is followed by another one, which has what came meanwhile too. */
static void test_sent_again(void **state)
{
	struct timeline t = {NULL, NULL};

	(void)state;
	timeline_add(&t, 1000, "first", NULL, NULL);
	json_decref(timeline_send(&t));
	timeline_add(&t, 2000, "second", NULL, NULL);
	check(&t, "[{\"at\":1.0,\"event\":\"first\"},{\"at\":2.0,\"event\":\"second\"}]");
	check(&t, "[]");
	timeline_add(&t, 3000, "third", NULL, NULL);
	json_decref(timeline_send(&t));
	timeline_deinit(&t);
}

/* Whatever fails, the others are told, and nothing leaks. */
static void scenario(void *arg)
{
	struct timeline t = {NULL, NULL};

	(void)arg;
	timeline_add(&t, 1, "new", "cp", "detail");
	timeline_add_node(&t, 2, "asked for", "a");
	timeline_add_node(&t, 3, "asked for", "b");
	json_decref(timeline_send(&t));
	json_decref(timeline_send(&t));
	timeline_deinit(&t);
}

static void test_memory(void **state)
{
	(void)state;
	oom_each(scenario, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entries), cmocka_unit_test(test_nodes_join_the_last),
		cmocka_unit_test(test_bounds),	cmocka_unit_test(test_sent_again),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
