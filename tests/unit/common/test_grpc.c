#include "common/http/grpc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/core/compiler.h"

/* What came out of a reader: "abc|de|". */
static int collect(struct str message, void *arg, struct err *e)
{
	struct buf *out = arg;

	if (str_eq(message, STR("stop")))
		return err_set(e, ERR_DENIED, "stopped");
	if (buf_add_str(out, message, e) < 0)
		return -1;
	return buf_add_str(out, STR("|"), e);
}

static const struct row {
	const char *name;
	struct str input;
	const char *want;
	enum err_kind kind;
	size_t max;
} rows[] = {
	{"one", STR("\0\0\0\0\3abc"), "abc|", ERR_NONE, 0},
	{"empty message", STR("\0\0\0\0\0"), "|", ERR_NONE, 0},
	{"three", STR("\0\0\0\0\1a\0\0\0\0\0\0\0\0\0\2bc"), "a||bc|", ERR_NONE, 0},
	{"at the limit", STR("\0\0\0\0\3abc"), "abc|", ERR_NONE, 3},
	{"nothing", STR(""), "", ERR_NONE, 0},
	{"half a prefix", STR("\0\0\0"), "", ERR_NONE, 0},
	{"half a message", STR("\0\0\0\0\3ab"), "", ERR_NONE, 0},
	{"one and a half", STR("\0\0\0\0\1a\0\0\0\0\3ab"), "a|", ERR_NONE, 0},
	{"compressed", STR("\1\0\0\0\1a"), "", ERR_INVALID, 0},
	{"compressed second", STR("\0\0\0\0\1a\1\0\0\0\1a"), "a|", ERR_INVALID, 0},
	{"unknown flag", STR("\2\0\0\0\1a"), "", ERR_INVALID, 0},
	{"flag 0x80", STR("\200\0\0\0\1a"), "", ERR_INVALID, 0},
	{"text instead", STR("HTTP/1.1 200 OK"), "", ERR_INVALID, 0},
	{"over the limit", STR("\0\0\0\0\4abcd"), "", ERR_LIMIT, 3},
	{"over the limit, no bytes yet", STR("\0\0\0\0\4"), "", ERR_LIMIT, 3},
	{"over the default limit", STR("\0\0\100\0\1"), "", ERR_LIMIT, 0},
	{"largest length", STR("\0\377\377\377\377"), "", ERR_LIMIT, 0},
	{"second over the limit", STR("\0\0\0\0\1a\0\0\0\0\4abcd"), "a|", ERR_LIMIT, 3},
	{"handler stops", STR("\0\0\0\0\1a\0\0\0\0\4stop\0\0\0\0\1b"), "a|", ERR_DENIED, 0},
};

static void check(const struct row *row, size_t cut, bool each_byte)
{
	struct grpc_reader r;
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;
	size_t at = 0;
	size_t end = cut;
	int result = 0;

	grpc_reader_init(&r, row->max);
	while (result == 0 && at < row->input.len) {
		result = grpc_feed(&r, str_sub(row->input, at, end), collect, &out, &e);
		at = end;
		end = each_byte ? at + 1 : row->input.len;
	}
	if (e.kind != row->kind || (result < 0) != (row->kind != ERR_NONE) ||
	    !str_eq(buf_str(&out), str_from(row->want)))
		fail_msg("%s cut at %zu: %s \"%s\"", row->name, cut, e.message,
			 out.data ? out.data : "");
	buf_deinit(&out);
	grpc_reader_deinit(&r);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		for (size_t cut = 1; cut <= rows[i].input.len; cut++)
			check(&rows[i], cut, false);
		check(&rows[i], 1, true);
	}
}

static void test_frame(void **state)
{
	struct buf out = BUF_INIT;
	unsigned char prefix[GRPC_PREFIX_SIZE];
	struct buf small;

	(void)state;
	assert_int_equal(grpc_frame(&out, STR("abc"), NULL), 0);
	assert_int_equal(grpc_frame(&out, STR_NONE, NULL), 0);
	assert_true(str_eq(buf_str(&out), STR("\0\0\0\0\3abc\0\0\0\0\0")));
	grpc_prefix(prefix, 0x01020304);
	assert_memory_equal(prefix, "\0\1\2\3\4", GRPC_PREFIX_SIZE);
	buf_deinit(&out);
	buf_init(&small, 7);
	assert_int_equal(grpc_frame(&small, STR("abc"), NULL), -1);
	assert_int_equal(small.len, 0);
	buf_deinit(&small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
