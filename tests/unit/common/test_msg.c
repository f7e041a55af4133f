#include "common/http/msg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/core/compiler.h"

static void test_fields(void **state)
{
	struct http_fields f = {NULL, 0, 0};
	struct arena a;

	(void)state;
	arena_init(&a, 0);
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(http_fields_add(&f, &a, STR("x"), STR("1")), 0);
	assert_int_equal(http_fields_add(&f, &a, STR("accept"), STR("a, Gzip ,b")), 0);
	assert_int_equal(http_fields_add(&f, &a, STR("accept"), STR("c")), 0);
	assert_int_equal(f.count, 102);
	assert_int_equal(http_fields_count(&f, STR("X")), 100);
	assert_int_equal(http_fields_count(&f, STR("y")), 0);
	assert_true(str_eq(http_fields_get(&f, STR("ACCEPT")), STR("a, Gzip ,b")));
	assert_null(http_fields_get(&f, STR("accep")).ptr);
	assert_true(http_fields_has_token(&f, STR("Accept"), STR("gzip")));
	assert_true(http_fields_has_token(&f, STR("accept"), STR("C")));
	assert_false(http_fields_has_token(&f, STR("accept"), STR("zip")));
	assert_false(http_fields_has_token(&f, STR("x"), STR("gzip")));
	arena_deinit(&a);
}

static void test_full_arena(void **state)
{
	struct http_fields f = {NULL, 0, 0};
	struct arena a;

	(void)state;
	arena_init(&a, 16);
	assert_int_equal(http_fields_add(&f, &a, STR("x"), STR("1")), -1);
	assert_int_equal(f.count, 0);
	arena_deinit(&a);
}

static void test_reasons(void **state)
{
	(void)state;
	assert_string_equal(http_reason(200), "OK");
	assert_string_equal(http_reason(404), "Not Found");
	assert_string_equal(http_reason(431), "Request Header Fields Too Large");
	assert_string_equal(http_reason(418), "Unknown");
	assert_string_equal(http_reason(0), "Unknown");
	assert_string_equal(http_reason(999), "Unknown");
}

static const struct {
	struct str in;
	bool plus;
	const char *want; /* NULL: refused */
} escapes[] = {
	{STR(""), false, ""},
	{STR("abc"), false, "abc"},
	{STR("a%20b"), false, "a b"},
	{STR("%41%5a%7E"), false, "AZ~"},
	{STR("a+b"), false, "a+b"},
	{STR("a+b%2B"), true, "a b+"},
	{STR("%C3%A9"), false, "\xc3\xa9"},
	{STR("\xc3\xa9"), false, "\xc3\xa9"},
	{STR("%2525"), false, "%25"},
	{STR("%f0%9f%98%80"), false, "\xf0\x9f\x98\x80"},
	{STR("%"), false, NULL},
	{STR("%2"), false, NULL},
	{STR("a%2"), false, NULL},
	{STR("%g0"), false, NULL},
	{STR("%0g"), false, NULL},
	{STR("% 0"), false, NULL},
	{STR("%%20"), false, NULL},
	{STR("%00"), false, NULL},
	{STR("a\0b"), false, NULL},
	{STR("%ff"), false, NULL},
	{STR("%c3"), false, NULL},
	{STR("%c0%af"), false, NULL},
	{STR("%ed%a0%80"), false, NULL},
	{STR("%f5%80%80%80"), false, NULL},
	{STR("\xff"), false, NULL},
};

static void test_percent_decode(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 0);
	for (size_t i = 0; i < array_len(escapes); i++) {
		struct str out = STR("untouched");
		int result = http_percent_decode(&a, escapes[i].in, escapes[i].plus, &out);

		if (!escapes[i].want) {
			assert_int_equal(result, -1);
			assert_true(str_eq(out, STR("untouched")));
		} else if (result < 0 || !str_eq(out, str_from(escapes[i].want))) {
			fail_msg("%s", escapes[i].in.ptr);
		}
	}
	arena_deinit(&a);
	arena_init(&a, 16);
	assert_int_equal(http_percent_decode(&a, STR("0123456789abcdef"), false, &(struct str){0}),
			 -1);
	arena_deinit(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_full_arena),
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_percent_decode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
