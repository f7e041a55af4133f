/* Pages of other origins. */
#include "control-plane/admin/origin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static const struct {
	const char *configured;
	bool auth;
	const char *origin, *want;
} answers[] = {
	{NULL, false, NULL, "*"},
	{NULL, false, "https://a", "https://a"},
	{NULL, true, NULL, NULL},
	{NULL, true, "https://a", NULL},
	{NULL, true, "null", NULL},
	{"https://a, https://b", false, "https://b", "https://b"},
	{"https://a, https://b", false, "https://c", "https://a"},
	{"https://a, https://b", false, NULL, "https://a"},
	{"https://a, https://b", true, "https://b", "https://b"},
	{"https://a, https://b", true, "HTTPS://B", "HTTPS://B"},
	{"https://a, https://b", true, "https://b.evil", "https://a"},
	{"https://a, https://b", true, "https://", "https://a"},
	{"https://a, https://b", true, "null", "https://a"},
	{"https://a, https://b", true, "", "https://a"},
	{",", true, "", ""},
};

static void test_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(answers); i++) {
		struct str got = origin_allowed(answers[i].configured, answers[i].auth,
						str_from(answers[i].origin));

		if (!got.ptr != !answers[i].want ||
		    (got.ptr && !str_eq(got, str_from(answers[i].want))))
			fail_msg("row %zu: %.*s", i, (int)got.len, got.ptr ? got.ptr : "");
	}
}

static const struct {
	const char *configured, *scheme, *authority, *origin;
	bool want;
} trusted[] = {
	{NULL, "https", "cp:8444", NULL, true},
	{NULL, "https", "cp:8444", "https://cp:8444", true},
	{NULL, "https", "cp:8444", "https://CP:8444", true},
	{NULL, "https", "cp:8444", "http://cp:8444", false},
	{NULL, "https", "cp:8444", "https://cp", false},
	{NULL, "https", "cp:8444", "https://cp:84444", false},
	{NULL, "https", "cp:8444", "https://cp:8444.evil", false},
	{NULL, "https", "cp:8444", "https://evil", false},
	{NULL, "https", "cp:8444", "httpscp:8444", false},
	{NULL, "https", "cp:8444", "null", false},
	{NULL, "https", "cp:8444", "", false},
	{NULL, "https", "", "https://", false},
	{"https://gui", "https", "cp:8444", "https://gui", true},
	{"https://gui", "https", "cp:8444", "https://evil", false},
	{"https://gui", "https", "cp:8444", "https://cp:8444", true},
};

static void test_trusted(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(trusted); i++) {
		struct http_request q = {.scheme = str_from(trusted[i].scheme),
					 .authority = str_from(trusted[i].authority)};
		struct arena a;

		arena_init(&a, 0);
		if (trusted[i].origin)
			assert_int_equal(http_fields_add(&q.fields, &a, STR("origin"),
							 str_from(trusted[i].origin)),
					 0);
		if (origin_trusted(trusted[i].configured, &q) != trusted[i].want)
			fail_msg("row %zu", i);
		/* Of two nobody knows which one a page has. */
		assert_int_equal(http_fields_add(&q.fields, &a, STR("origin"), STR("https://gui")),
				 0);
		if (trusted[i].origin)
			assert_false(origin_trusted(trusted[i].configured, &q));
		arena_deinit(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_trusted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
