/* Sets of names: order and repetition do not matter, what is no name is refused, and how a
 * validation request asks for an address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "control-plane/acme/names.h"

enum { ROW_MAX = 4 };

static const struct {
	const char *names[ROW_MAX];
	const char *want;
} good[] = {
	{{"a.example"}, "a.example"},
	{{"b.example", "A.example"}, "a.example b.example"},
	{{"b.example", "a.example", "B.EXAMPLE"}, "a.example b.example"},
	{{"example.com", "*.EXAMPLE.com"}, "*.example.com example.com"},
	{{"z.example", "192.0.2.1", "2001:DB8:0::1"}, "192.0.2.1 2001:db8::1 z.example"},
};

static const struct {
	const char *names[ROW_MAX];
	const char *want;
} bad[] = {
	{{"a.example", ""}, "empty"},	      {{"a.example", "*.example"}, "wildcard"},
	{{"a.example", "b example"}, "0x20"}, {{"a.example", "[::1]"}, "brackets"},
	{{"a.example", "1.2.3"}, "number"},   {{NULL}, "1 to 100"},
};

static size_t strs(struct str *out, const char *const *names)
{
	size_t n = 0;

	for (; n < ROW_MAX && names[n]; n++)
		out[n] = str_from(names[n]);
	return n;
}

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(good); i++) {
		struct str names[ROW_MAX];
		size_t n = strs(names, good[i].names);
		struct buf out = BUF_INIT;
		struct err e = ERR_INIT;

		if (names_make(&out, names, n, &e) != 0)
			fail_msg("%zu: %s", i, e.message);
		assert_string_equal(out.data, good[i].want);
		buf_deinit(&out);
	}
}

static void test_bad(void **state)
{
	static struct str many[NAMES_MAX + 1];
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < array_len(bad); i++) {
		struct str names[ROW_MAX];
		size_t n = strs(names, bad[i].names);

		assert_int_equal(names_make(&out, names, n, &e), -1);
		if (!strstr(e.message, bad[i].want))
			fail_msg("%zu: %s", i, e.message);
		assert_int_equal(out.len, 0);
	}
	for (size_t i = 0; i < array_len(many); i++)
		many[i] = STR("a.example");
	assert_int_equal(names_make(&out, many, array_len(many), &e), -1);
	assert_int_equal(e.kind, ERR_LIMIT);
	assert_int_equal(names_make(&out, many, NAMES_MAX, &e), 0);
	buf_deinit(&out);
}

static void test_parts(void **state)
{
	struct str rest;

	(void)state;
	assert_true(str_eq(names_first(STR("a b c"), &rest), STR("a")));
	assert_true(str_eq(rest, STR("b c")));
	assert_true(str_eq(names_first(STR("a"), &rest), STR("a")));
	assert_true(str_eq(rest, STR("")));
	assert_int_equal(names_count(STR("")), 0);
	assert_int_equal(names_count(STR("a")), 1);
	assert_int_equal(names_count(STR("a b c")), 3);
	assert_true(names_has(STR("a.b b.c"), STR("b.c")));
	assert_false(names_has(STR("a.b b.c"), STR("b")));
	assert_false(names_has(STR("a.b b.c"), STR("b.c ")));
	assert_false(names_has(STR(""), STR("a")));
}

static void test_sni(void **state)
{
	static const struct {
		struct str name;
		const char *want;
	} rows[] = {
		{STR("a.example"), "a.example"},
		{STR("192.0.2.1"), "1.2.0.192.in-addr.arpa"},
		{STR("2001:db8::1"), "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0."
				     "0.2.ip6.arpa"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		char out[NAMES_REVERSE_SIZE];

		names_sni(rows[i].name, out);
		assert_string_equal(out, rows[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_sni),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
