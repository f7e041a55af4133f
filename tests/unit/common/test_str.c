#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/core/str.h"
#include "tests/unit/lib/oom.h"

static void test_compare(void **state)
{
	static const struct {
		const char *a, *b;
		bool eq, ieq, starts, ends;
	} rows[] = {
		{"", "", true, true, true, true},
		{"a", "", false, false, true, true},
		{"", "a", false, false, false, false},
		{"abc", "abc", true, true, true, true},
		{"abc", "ABC", false, true, false, false},
		{"abc", "ab", false, false, true, false},
		{"abc", "bc", false, false, false, true},
		{"abc", "abcd", false, false, false, false},
		{"[", "{", false, false, false, false},
		{"@", "`", false, false, false, false},
		{"\xc4", "\xe4", false, false, false, false},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct str a = str_from(rows[i].a), b = str_from(rows[i].b);

		assert_int_equal(str_eq(a, b), rows[i].eq);
		assert_int_equal(str_ieq(a, b), rows[i].ieq);
		assert_int_equal(str_starts(a, b), rows[i].starts);
		assert_int_equal(str_ends(a, b), rows[i].ends);
	}
	assert_true(str_eq(STR_NONE, STR("")));
	assert_true(str_starts(STR_NONE, STR_NONE));
	assert_int_equal(str_from(NULL).len, 0);
	assert_false(str_eq((struct str){"a\0b", 3}, (struct str){"a\0c", 3}));
}

static void test_cut(void **state)
{
	static const struct {
		size_t from, to;
		const char *want;
	} rows[] = {
		{0, 5, "hello"},  {1, 3, "el"}, {2, 2, ""},	    {3, 1, ""},
		{0, 99, "hello"}, {99, 99, ""}, {4, SIZE_MAX, "o"}, {SIZE_MAX, 0, ""},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++)
		assert_true(str_eq(str_sub(STR("hello"), rows[i].from, rows[i].to),
				   str_from(rows[i].want)));
	assert_null(str_sub(STR_NONE, 1, 2).ptr);
	assert_int_equal(str_find(STR("a,b,c"), ',', 0), 1);
	assert_int_equal(str_find(STR("a,b,c"), ',', 2), 3);
	assert_int_equal(str_find(STR("a,b,c"), ',', 4), 5);
	assert_int_equal(str_find(STR("a,b,c"), ',', 99), 5);
	assert_int_equal(str_find(STR_NONE, ',', 0), 0);
	assert_true(str_eq(str_trim(STR(" \t a b \t")), STR("a b")));
	assert_true(str_eq(str_trim(STR(" \t ")), STR("")));
	assert_true(str_eq(str_trim(STR("\n")), STR("\n")));
	assert_int_equal(str_trim(STR_NONE).len, 0);
}

static void test_u64(void **state)
{
	static const struct {
		const char *in;
		int rc;
		uint64_t want;
	} rows[] = {
		{"0", 0, 0},
		{"1", 0, 1},
		{"007", 0, 7},
		{"18446744073709551615", 0, UINT64_MAX},
		{"18446744073709551616", -1, 0},
		{"18446744073709551620", -1, 0},
		{"99999999999999999999", -1, 0},
		{"100000000000000000000000000", -1, 0},
		{"", -1, 0},
		{" 1", -1, 0},
		{"1 ", -1, 0},
		{"+1", -1, 0},
		{"-1", -1, 0},
		{"1.0", -1, 0},
		{"0x10", -1, 0},
		{"1e3", -1, 0},
		{"\xb1", -1, 0},
		{"/", -1, 0},
		{":", -1, 0},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		uint64_t got = 4711;

		if (str_u64(str_from(rows[i].in), &got) != rows[i].rc)
			fail_msg("\"%s\"", rows[i].in);
		assert_int_equal(got, rows[i].rc == 0 ? rows[i].want : 4711);
	}
	assert_int_equal(str_u64(STR_NONE, &(uint64_t){0}), -1);
	assert_int_equal(str_u64((struct str){"1\0", 2}, &(uint64_t){0}), -1);
}

static void test_split(void **state)
{
	static const struct {
		const char *in;
		const char *want; /* pieces in brackets */
	} rows[] = {
		{"a,b,c", "[a][b][c]"}, {"a,,b", "[a][][b]"}, {",", "[][]"},   {"", "[]"},
		{"abc", "[abc]"},	{"a,", "[a][]"},      {",a", "[][a]"}, {",,", "[][][]"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct str rest = str_from(rows[i].in), head;
		struct buf got = BUF_INIT;

		while (str_split(&rest, ',', &head))
			assert_int_equal(buf_addf(&got, NULL, "[%.*s]", (int)head.len, head.ptr),
					 0);
		assert_string_equal(got.data, rows[i].want);
		buf_deinit(&got);
	}
	assert_false(str_split(&(struct str){NULL, 0}, ',', &(struct str){NULL, 0}));
}

static void test_dup(void **state)
{
	char *copy = str_dup((struct str){"a\0b", 3});

	(void)state;
	assert_memory_equal(copy, "a\0b", 4);
	free(copy);
	copy = str_dup(STR_NONE);
	assert_string_equal(copy, "");
	free(copy);
}

static void test_buf(void **state)
{
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;

	(void)state;
	assert_string_equal(buf_str(&b).ptr, "");
	buf_consume(&b, 0);
	buf_clear(&b);
	assert_int_equal(buf_add(&b, NULL, 0, &e), 0);
	assert_int_equal(buf_add_str(&b, STR_NONE, &e), 0);
	assert_int_equal(buf_add(&b, "hello", 5, &e), 0);
	assert_int_equal(buf_addf(&b, &e, " %d%s", 42, "!"), 0);
	assert_string_equal(b.data, "hello 42!");
	buf_consume(&b, 6);
	assert_string_equal(b.data, "42!");
	buf_consume(&b, 3);
	assert_string_equal(b.data, "");
	for (int i = 0; i < 1000; i++)
		assert_int_equal(buf_addf(&b, &e, "%03d", i), 0);
	assert_int_equal(b.len, 3000);
	assert_memory_equal(b.data + 2997, "999", 4);
	buf_clear(&b);
	assert_int_equal(b.len, 0);
	assert_true(b.cap >= 3000);
	buf_deinit(&b);
	assert_null(b.data);
	assert_int_equal(buf_add(&b, "x", 1, &e), 0);
	buf_deinit(&b);
	buf_deinit(&b);
}

static void test_buf_limit(void **state)
{
	static const struct {
		size_t have, add;
		int rc;
	} rows[] = {
		{0, 10, 0}, {0, 11, -1}, {10, 0, 0},	    {10, 1, -1},
		{9, 1, 0},  {9, 2, -1},	 {5, SIZE_MAX, -1}, {5, SIZE_MAX - 5, -1},
	};
	static const char bytes[16] = "0123456789abcde";

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct err e = ERR_INIT;
		struct buf b;

		buf_init(&b, 10);
		assert_int_equal(buf_add(&b, bytes, rows[i].have, &e), 0);
		assert_int_equal(buf_reserve(&b, rows[i].add, &e), rows[i].rc);
		if (rows[i].rc < 0)
			assert_int_equal(e.kind, ERR_LIMIT);
		assert_int_equal(b.len, rows[i].have);
		if (b.data)
			assert_memory_equal(b.data, bytes, b.len);
		buf_deinit(&b);
	}
}

static void test_buf_secret(void **state)
{
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	char *data;

	(void)state;
	b.secret = true;
	for (int i = 0; i < 100; i++)
		assert_int_equal(buf_add(&b, "secret bytes ", 13, &e), 0);
	assert_memory_equal(b.data + 99 * 13, "secret bytes ", 14);
	data = b.data;
	buf_clear(&b);
	for (size_t i = 0; i < 1300; i++)
		assert_int_equal(data[i], 0);
	assert_int_equal(buf_add(&b, "secret", 6, &e), 0);
	buf_consume(&b, 4);
	assert_string_equal(b.data, "et");
	for (size_t i = 3; i < 6; i++)
		assert_int_equal(b.data[i], 0);
	buf_deinit(&b);
}

static void oom_scenario(void *arg)
{
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	char *copy;

	b.secret = *(bool *)arg;
	for (int i = 0; i < 60; i++) {
		size_t before = b.len;

		if (buf_addf(&b, &e, "%03d", i) < 0) {
			assert_int_equal(e.kind, ERR_MEMORY);
			assert_int_equal(b.len, before);
			if (before)
				assert_int_equal(strlen(b.data), before);
		}
	}
	copy = str_dup(STR("x"));
	free(copy);
	buf_deinit(&b);
}

static void test_out_of_memory(void **state)
{
	bool secret[] = {false, true};

	(void)state;
	assert_true(oom_each(oom_scenario, &secret[0]) >= 3);
	assert_true(oom_each(oom_scenario, &secret[1]) >= 3);
}

static void test_decimal(void **state)
{
	static const struct {
		uint64_t n;
		const char *text;
	} rows[] = {
		{0, "0"},
		{9, "9"},
		{10, "10"},
		{65535, "65535"},
		{UINT64_MAX, "18446744073709551615"},
	};
	char out[STR_DECIMAL_SIZE];

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++)
		assert_true(str_eq(str_decimal(out, rows[i].n), str_from(rows[i].text)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compare),	      cmocka_unit_test(test_cut),
		cmocka_unit_test(test_u64),	      cmocka_unit_test(test_split),
		cmocka_unit_test(test_dup),	      cmocka_unit_test(test_buf),
		cmocka_unit_test(test_buf_limit),     cmocka_unit_test(test_buf_secret),
		cmocka_unit_test(test_out_of_memory), cmocka_unit_test(test_decimal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
