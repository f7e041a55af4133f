/* Redis' protocol: whole replies, replies in pieces, and bytes that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "control-plane/acme/resp.h"

enum { TEXT_MAX = 16 };

static void test_replies(void **state)
{
	static const struct {
		struct str bytes;
		enum resp_kind kind;
		struct str text;
		int64_t number;
		size_t items;
	} rows[] = {
		{STR("+OK\r\n"), RESP_STATUS, STR("OK"), 0, 0},
		{STR("+\r\n"), RESP_STATUS, STR(""), 0, 0},
		{STR("-ERR no\r\n"), RESP_ERROR, STR("ERR no"), 0, 0},
		{STR(":1000\r\n"), RESP_NUMBER, {NULL, 0}, 1000, 0},
		{STR(":-9223372036854775807\r\n"), RESP_NUMBER, {NULL, 0}, -INT64_MAX, 0},
		{STR("$-1\r\n"), RESP_NULL, {NULL, 0}, -1, 0},
		{STR("*-1\r\n"), RESP_NULL, {NULL, 0}, -1, 0},
		{STR("$0\r\n\r\n"), RESP_TEXT, STR(""), 0, 0},
		{STR("$4\r\na\r\nb\r\n"), RESP_TEXT, STR("a\r\nb"), 4, 0},
		{STR("$16\r\n0123456789abcdef\r\n"), RESP_TEXT, STR("0123456789abcdef"), 16, 0},
		{STR("*0\r\n"), RESP_LIST, {NULL, 0}, 0, 0},
		{STR("*2\r\n$1\r\n0\r\n*1\r\n$1\r\nk\r\n"), RESP_LIST,
		 STR("$1\r\n0\r\n*1\r\n$1\r\nk\r\n"), 2, 2},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct resp p;
		size_t used = 99;

		/* Every beginning of it is not enough, and no error. */
		for (size_t n = 0; n < rows[i].bytes.len; n++) {
			assert_int_equal(
				resp_read(str_sub(rows[i].bytes, 0, n), TEXT_MAX, &p, &used, NULL),
				0);
			assert_int_equal(used, 0);
		}
		assert_int_equal(resp_read(rows[i].bytes, TEXT_MAX, &p, &used, NULL), 0);
		assert_int_equal(used, rows[i].bytes.len);
		assert_int_equal(p.kind, rows[i].kind);
		assert_int_equal(p.number, rows[i].number);
		assert_int_equal(p.items, rows[i].items);
		assert_true(p.kind == RESP_LIST || str_eq(p.text, rows[i].text));
	}
}

static void test_no_replies(void **state)
{
	static const struct {
		struct str bytes;
		enum err_kind kind;
	} rows[] = {
		{STR("HTTP/1.1 400 Bad Request\r\n"), ERR_INVALID},
		{STR("\x16\x03\x01\x02"), ERR_INVALID},
		{STR("\r\n"), ERR_INVALID},
		{STR("+OK\rx"), ERR_INVALID},
		{STR(":\r\n"), ERR_INVALID},
		{STR(":-\r\n"), ERR_INVALID},
		{STR(":--1\r\n"), ERR_INVALID},
		{STR(":1x\r\n"), ERR_INVALID},
		{STR(":9223372036854775808\r\n"), ERR_INVALID},
		{STR("$1x\r\n"), ERR_INVALID},
		{STR("$1\r\nab\r\n"), ERR_INVALID},
		{STR("$17\r\n"), ERR_LIMIT},
		{STR("$9223372036854775807\r\n"), ERR_LIMIT},
		{STR("*9223372036854775807\r\n"), ERR_LIMIT},
		{STR("*1048577\r\n"), ERR_LIMIT},
		{STR("*1\r\nx"), ERR_INVALID},
		{STR("*1\r\n$17\r\n"), ERR_LIMIT},
		{STR("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n"), ERR_INVALID},
	};
	struct buf line = BUF_INIT;
	struct resp p;
	size_t used;

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct err e = ERR_INIT;

		assert_int_equal(resp_read(rows[i].bytes, TEXT_MAX, &p, &used, &e), -1);
		assert_int_equal(e.kind, rows[i].kind);
	}
	/* A line without an end is not waited for for ever. */
	for (size_t i = 0; i < RESP_LINE_MAX + 1; i++)
		assert_int_equal(buf_add(&line, "+", 1, NULL), 0);
	assert_int_equal(resp_read(buf_str(&line), TEXT_MAX, &p, &used, NULL), -1);
	buf_deinit(&line);
}

static void test_items(void **state)
{
	struct str bytes = STR("*3\r\n$1\r\na\r\n:7\r\n*1\r\n$-1\r\n"), rest;
	struct resp p, item;
	size_t used;

	(void)state;
	assert_int_equal(resp_read(bytes, TEXT_MAX, &p, &used, NULL), 0);
	rest = p.text;
	assert_true(resp_next(&rest, &item) && str_eq(item.text, STR("a")));
	assert_true(resp_next(&rest, &item) && item.number == 7);
	assert_true(resp_next(&rest, &item) && item.kind == RESP_LIST && item.items == 1);
	assert_false(resp_next(&rest, &item));
}

static void test_commands(void **state)
{
	const struct str words[] = {STR("SET"), STR("k\r\n"), STR("")};
	struct buf out = BUF_INIT;
	struct resp p;
	size_t used;

	(void)state;
	assert_int_equal(resp_command(&out, words, array_len(words), NULL), 0);
	assert_string_equal(out.data, "*3\r\n$3\r\nSET\r\n$3\r\nk\r\n\r\n$0\r\n\r\n");
	assert_int_equal(resp_read(buf_str(&out), TEXT_MAX, &p, &used, NULL), 0);
	assert_int_equal(used, out.len);
	out.limit = out.len + 3;
	assert_int_equal(resp_command(&out, words, array_len(words), NULL), -1);
	buf_deinit(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_no_replies),
		cmocka_unit_test(test_items),
		cmocka_unit_test(test_commands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
