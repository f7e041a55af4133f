#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "control-plane/fleet/target_health.h"

#define T1 "00000000-0000-4000-8000-000000000001"
#define T2 "00000000-0000-4000-8000-000000000002"

/* What is told, one after the other; then what is shown of T1. */
static const struct {
	const char *name;
	struct {
		const char *node, *target, *address;
		enum target_state state;
	} told[6];
	const char *forgotten; /* node, in the end */
	const char *want;
} rows[] = {
	{"nothing", {{NULL, NULL, NULL, TARGET_HEALTHY}}, NULL, "null"},
	{"one",
	 {{"a", T1, "10.0.0.1:80", TARGET_HEALTHY}},
	 NULL,
	 "{\"addresses\":[{\"health\":\"HEALTHY\",\"ip\":\"10.0.0.1\",\"port\":80,\"weight\":5}],"
	 "\"available\":5,\"health\":\"HEALTHY\",\"unavailable\":0}"},
	{"another target's", {{"a", T2, "10.0.0.1:80", TARGET_HEALTHY}}, NULL, "null"},
	{"it changes",
	 {{"a", T1, "[2001:db8::1]:80", TARGET_HEALTHY},
	  {"a", T1, "[2001:db8::1]:80", TARGET_UNHEALTHY}},
	 NULL,
	 "{\"addresses\":[{\"health\":\"UNHEALTHY\",\"ip\":\"2001:db8::1\",\"port\":80,"
	 "\"weight\":5}],\"available\":0,\"health\":\"UNHEALTHY\",\"unavailable\":5}"},
	{"one of two nodes is enough",
	 {{"a", T1, "10.0.0.1:80", TARGET_UNHEALTHY}, {"b", T1, "10.0.0.1:80", TARGET_HEALTHY}},
	 NULL,
	 "{\"addresses\":[{\"health\":\"HEALTHY\",\"ip\":\"10.0.0.1\",\"port\":80,\"weight\":5}],"
	 "\"available\":5,\"health\":\"HEALTHY\",\"unavailable\":0}"},
	{"one of two addresses is enough",
	 {{"a", T1, "10.0.0.1:80", TARGET_UNHEALTHY}, {"a", T1, "10.0.0.2:80", TARGET_HEALTHY}},
	 NULL,
	 "{\"addresses\":[{\"health\":\"UNHEALTHY\",\"ip\":\"10.0.0.1\",\"port\":80,\"weight\":5},"
	 "{\"health\":\"HEALTHY\",\"ip\":\"10.0.0.2\",\"port\":80,\"weight\":5}],"
	 "\"available\":5,\"health\":\"HEALTHY\",\"unavailable\":5}"},
	{"no address",
	 {{"a", T1, "", TARGET_DNS_ERROR}},
	 NULL,
	 "{\"addresses\":[],\"available\":0,\"health\":\"DNS_ERROR\",\"unavailable\":0}"},
	{"it goes",
	 {{"a", T1, "10.0.0.1:80", TARGET_HEALTHY}, {"a", T1, "10.0.0.1:80", TARGET_GONE}},
	 NULL,
	 "null"},
	{"what was not there goes", {{"a", T1, "10.0.0.1:80", TARGET_GONE}}, NULL, "null"},
	{"its node goes", {{"a", T1, "10.0.0.1:80", TARGET_HEALTHY}}, "a", "null"},
	{"the node with the good news goes",
	 {{"a", T1, "10.0.0.1:80", TARGET_UNHEALTHY}, {"b", T1, "10.0.0.1:80", TARGET_HEALTHY}},
	 "b",
	 "{\"addresses\":[{\"health\":\"UNHEALTHY\",\"ip\":\"10.0.0.1\",\"port\":80,\"weight\":5}"
	 "],\"available\":0,\"health\":\"UNHEALTHY\",\"unavailable\":5}"},
	{"an address that is none is not shown",
	 {{"a", T1, "nonsense", TARGET_UNHEALTHY}},
	 NULL,
	 "{\"addresses\":[],\"available\":0,\"health\":\"DNS_ERROR\",\"unavailable\":5}"},
};

/* What waits to be written is not shown. */
static void check_merging(bool shared)
{
	for (size_t i = 0; i < array_len(rows); i++) {
		struct target_health t;
		struct err e = ERR_INIT;
		json_t *shown;
		char *text;

		target_health_init(&t, shared);
		for (size_t k = 0; rows[i].told[k].node; k++) {
			struct target_report r = {.weight = 5, .verdict = rows[i].told[k].state};

			memcpy(r.target, rows[i].told[k].target, sizeof(r.target));
			snprintf(r.address, sizeof(r.address), "%s", rows[i].told[k].address);
			assert_int_equal(target_health_report(&t, rows[i].told[k].node, &r, &e), 0);
		}
		if (rows[i].forgotten)
			target_health_forget(&t, rows[i].forgotten);
		shown = target_health_json(&t, T1);
		text = shown ? json_dumps(shown, JSON_SORT_KEYS | JSON_COMPACT) : NULL;
		if (strcmp(text ? text : "null", rows[i].want) != 0)
			fail_msg("%s: %s", rows[i].name, text ? text : "null");
		free(text);
		json_decref(shown);
		target_health_deinit(&t);
	}
}

static void test_merging(void **state)
{
	(void)state;
	check_merging(false);
	check_merging(true);
}

/* Steps on one table: "node+target address state" is told, "begin node", "forget node", "take N",
 * "untake"; what is taken is written down as "|begun;rows". */
static const struct {
	const char *name;
	const char *steps[10];
	const char *want;
} shared_rows[] = {
	{"nothing", {"take 9"}, "|;"},
	{"one", {"a T1 x 1", "take 9", "take 9"}, "|;aT1x1|;"},
	{"what did not change", {"a T1 x 1", "take 9", "a T1 x 1", "take 9"}, "|;aT1x1|;"},
	{"what changed", {"a T1 x 1", "take 9", "a T1 x 2", "take 9"}, "|;aT1x1|;aT1x2"},
	{"only the last", {"a T1 x 1", "a T1 x 2", "a T1 x 1", "take 9"}, "|;aT1x1"},
	{"as many as fit",
	 {"a T1 x 1", "a T1 y 1", "a T2 x 2", "take 2", "take 2"},
	 "|;aT1x1aT1y1|;aT2x2"},
	{"it goes", {"a T1 x 1", "take 9", "a T1 x 4", "take 9", "take 9"}, "|;aT1x1|;aT1x4|;"},
	{"it goes before it was taken", {"a T1 x 1", "a T1 x 4", "take 9", "take 9"}, "|;aT1x4|;"},
	{"it goes and comes",
	 {"a T1 x 1", "take 9", "a T1 x 4", "a T1 x 1", "take 9"},
	 "|;aT1x1|;aT1x1"},
	{"what was not there goes", {"a T1 x 4", "take 9"}, "|;"},
	{"begins", {"begin a", "take 9", "take 9"}, "|a;|;"},
	{"begins anew",
	 {"a T1 x 1", "a T1 y 1", "take 9", "begin a", "a T1 x 1", "take 9"},
	 "|;aT1x1aT1y1|a;aT1x1"},
	{"begins while rows wait", {"a T1 x 1", "begin a", "b T1 x 2", "take 9"}, "|a;bT1x2"},
	{"gone", {"begin a", "a T1 x 1", "forget a", "take 9"}, "|;"},
	{"not written", {"a T1 x 1", "take 9", "untake", "take 9", "take 9"}, "|;aT1x1|a;aT1x1|;"},
	{"not written, and gone",
	 {"a T1 x 1", "a T1 y 1", "take 9", "a T1 x 4", "take 9", "untake", "take 9"},
	 "|;aT1x1aT1y1|;aT1x4|a;aT1y1"},
};

static void tell(struct target_health *t, const char *step)
{
	struct target_report r = {.weight = 5};
	char node[8], target[8];
	struct err e = ERR_INIT;
	char verdict[2];

	assert_int_equal(sscanf(step, "%7s %7s %63s %1s", node, target, r.address, verdict), 4);
	snprintf(r.target, sizeof(r.target), "%s", target);
	r.verdict = (enum target_state)(verdict[0] - '0');
	assert_int_equal(target_health_report(t, node, &r, &e), 0);
}

static void take(struct target_health *t, size_t max, char *out, size_t size)
{
	struct target_changes c;
	struct err e = ERR_INIT;
	size_t n = 0, i;
	json_t *x;

	assert_int_equal(target_health_take(t, max, &c, &e), 0);
	n += (size_t)snprintf(out + n, size - n, "|");
	json_array_foreach(c.begun, i, x) n +=
		(size_t)snprintf(out + n, size - n, "%s", json_string_value(x));
	n += (size_t)snprintf(out + n, size - n, ";");
	json_array_foreach(c.rows, i, x)
	{
		assert_int_equal(json_integer_value(json_array_get(x, 3)), 5);
		n += (size_t)snprintf(out + n, size - n, "%s%s%s%d",
				      json_string_value(json_array_get(x, 0)),
				      json_string_value(json_array_get(x, 1)),
				      json_string_value(json_array_get(x, 2)),
				      (int)json_integer_value(json_array_get(x, 4)));
	}
	json_decref(c.rows);
	json_decref(c.begun);
}

static void test_changes(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(shared_rows); i++) {
		struct target_health t;
		char got[256] = "";
		struct err e = ERR_INIT;

		target_health_init(&t, true);
		for (size_t k = 0; k < 10 && shared_rows[i].steps[k]; k++) {
			const char *step = shared_rows[i].steps[k];
			size_t n = strlen(got);

			if (strncmp(step, "begin ", 6) == 0)
				assert_int_equal(target_health_begin(&t, step + 6, &e), 0);
			else if (strncmp(step, "forget ", 7) == 0)
				target_health_forget(&t, step + 7);
			else if (strncmp(step, "take ", 5) == 0)
				take(&t, (size_t)(step[5] - '0'), got + n, sizeof(got) - n);
			else if (strcmp(step, "untake") == 0)
				target_health_untake(&t);
			else
				tell(&t, step);
		}
		if (strcmp(got, shared_rows[i].want) != 0)
			fail_msg("%s: %s", shared_rows[i].name, got);
		target_health_deinit(&t);
	}
}

/* Alone, nothing waits. */
static void test_not_shared(void **state)
{
	struct target_health t;
	struct err e = ERR_INIT;

	(void)state;
	target_health_init(&t, false);
	assert_int_equal(target_health_begin(&t, "a", &e), 0);
	tell(&t, "a T1 x 1");
	tell(&t, "a T1 x 4");
	target_health_untake(&t);
	assert_false(target_health_has_changes(&t));
	target_health_deinit(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_merging),
					   cmocka_unit_test(test_changes),
					   cmocka_unit_test(test_not_shared)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
