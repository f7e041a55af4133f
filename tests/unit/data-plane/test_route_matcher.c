/* tables/route_matcher: where expressions end, and what their named groups caught. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <pcre2.h>

#include "data-plane/tables/route_matcher.h"
#include "tests/unit/lib/oom.h"

static pcre2_code *compile(const char *text)
{
	int code;
	size_t at;
	pcre2_code *regex = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, PCRE2_ANCHORED,
					  &code, &at, NULL);

	assert_non_null(regex);
	return regex;
}

static const struct {
	const char *regex, *text;
	long end;
	const char *captures; /* "name=value " of each, in the table's order */
} rows[] = {
	{"/u/(?<id>\\d+)", "/u/42/x", 5, "id=42 "},
	{"/u/(?<id>\\d+)", "/u/x", -1, ""},
	{"/u/(?<id>\\d+)", "", -1, ""},
	{"/u/(\\d+)", "/u/42", 5, ""},
	{"/(?<b>[a-z]+)/(?<a>[0-9]*)", "/x/", 3, "a= b=x "},
	{"/(?:x(?<n>1)|y)", "/y", 2, ""},
	{"/(?:x(?<n>1)|y(?<m>2))", "/x1", 3, "n=1 "},
	{"/(?:x(?<n>1)|y(?<m>2))", "/y2", 3, "m=2 "},
	{"/(?J)(?:x(?<n>1)|y(?<n>2))", "/y2", 3, "n=2 "},
	{"/(?<n>a)\\Kb", "/ab", 3, "n=a "},
	{"/(a+)+$", "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", -1, ""},
	{"/(?<n>(a+)+)$", "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", -1, ""},
};

static void print_captures(const struct route_captures *c, char *out, size_t size)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < c->count; i++)
		n += (size_t)snprintf(out + n, size - n, "%.*s=%.*s ", (int)c->items[i].name.len,
				      c->items[i].name.ptr, (int)c->items[i].value.len,
				      c->items[i].value.ptr);
}

static void test_rows(void **state)
{
	struct route_matcher *m = route_matcher_create();
	struct arena a;

	(void)state;
	assert_non_null(m);
	arena_init(&a, 0);
	for (size_t i = 0; i < array_len(rows); i++) {
		pcre2_code *regex = compile(rows[i].regex);
		struct str text = str_from(rows[i].text);
		struct route_captures c;
		char got[128];

		if (route_matcher_end(m, regex, text) != rows[i].end)
			fail_msg("%s on %s", rows[i].regex, rows[i].text);
		assert_int_equal(route_matcher_captures(m, regex, text, &a, &c), 0);
		print_captures(&c, got, sizeof(got));
		assert_string_equal(got, rows[i].captures);
		pcre2_code_free(regex);
	}
	arena_deinit(&a);
	route_matcher_free(m);
	route_matcher_free(NULL);
}

static void test_find(void **state)
{
	const struct route_capture items[] = {{STR("id"), STR("42")}, {STR("none"), STR("")}};
	const struct route_captures c = {items, array_len(items)}, empty = {0};

	(void)state;
	assert_true(str_eq(route_capture_find(&c, STR("id")), STR("42")));
	assert_non_null(route_capture_find(&c, STR("none")).ptr);
	assert_null(route_capture_find(&c, STR("ID")).ptr);
	assert_null(route_capture_find(&c, STR("i")).ptr);
	assert_null(route_capture_find(&empty, STR("id")).ptr);
}

/* A name behind the last group that is kept has no value; those before it do. */
static void test_many_groups(void **state)
{
	struct route_matcher *m = route_matcher_create();
	struct str text = STR("/z");
	struct route_captures c;
	char pattern[1024];
	size_t n = (size_t)snprintf(pattern, sizeof(pattern), "/(?<first>z)");
	struct arena a;
	pcre2_code *regex;

	(void)state;
	assert_non_null(m);
	for (unsigned i = 1; i < ROUTE_GROUPS_MAX; i++)
		n += (size_t)snprintf(pattern + n, sizeof(pattern) - n, "()");
	snprintf(pattern + n, sizeof(pattern) - n, "(?<last>)");
	regex = compile(pattern);
	arena_init(&a, 0);
	assert_int_equal(route_matcher_captures(m, regex, text, &a, &c), 0);
	assert_int_equal(c.count, 1);
	assert_true(str_eq(route_capture_find(&c, STR("first")), STR("z")));
	assert_null(route_capture_find(&c, STR("last")).ptr);
	arena_deinit(&a);
	pcre2_code_free(regex);
	route_matcher_free(m);
}

static void oom_scenario(void *arg)
{
	struct route_matcher *m = route_matcher_create();
	struct route_captures c;
	struct arena a;

	if (!m)
		return;
	arena_init(&a, 0);
	if (route_matcher_captures(m, arg, STR("/u/42"), &a, &c) == 0)
		assert_true(str_eq(route_capture_find(&c, STR("id")), STR("42")));
	arena_deinit(&a);
	route_matcher_free(m);
}

static void test_oom(void **state)
{
	pcre2_code *regex = compile("/u/(?<id>\\d+)");

	(void)state;
	assert_true(oom_each(oom_scenario, regex) >= 2);
	pcre2_code_free(regex);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_many_groups),
		cmocka_unit_test(test_oom),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
