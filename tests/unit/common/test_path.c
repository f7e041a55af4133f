/* http/path: the normal form of paths. */
#include "common/http/path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

/* in; its normal form; what is sent upstream for that, NULL: the same. */
static const struct {
	const char *in, *want, *sent;
} rows[] = {
	{"/", "/", NULL},
	{"/a", "/a", NULL},
	{"/a/", "/a/", NULL},
	{"/a/b.c", "/a/b.c", NULL},
	/* dots */
	{"/.", "/", NULL},
	{"/./", "/", NULL},
	{"/..", "/", NULL},
	{"/../", "/", NULL},
	{"/../..", "/", NULL},
	{"/../../a", "/a", NULL},
	{"/a/.", "/a/", NULL},
	{"/a/./b", "/a/b", NULL},
	{"/a/..", "/", NULL},
	{"/a/../", "/", NULL},
	{"/a/../b", "/b", NULL},
	{"/a/b/..", "/a/", NULL},
	{"/a/b/../..", "/", NULL},
	{"/a/b/../../..", "/", NULL},
	{"/a/b/../../../c", "/c", NULL},
	{"/a/b/c/./../../g", "/a/g", NULL},
	{"/...", "/...", NULL},
	{"/..a", "/..a", NULL},
	{"/a..", "/a..", NULL},
	{"/.a/.b", "/.a/.b", NULL},
	{"/a/.../b", "/a/.../b", NULL},
	{"/a/..;/b", "/a/..;/b", NULL}, /* no parameters: a name as any other */
	{"/a/.;/b", "/a/.;/b", NULL},
	/* slashes */
	{"//", "/", NULL},
	{"///", "/", NULL},
	{"//a", "/a", NULL},
	{"/a//b", "/a/b", NULL},
	{"/a///b//", "/a/b/", NULL},
	{"//evil.example/x", "/evil.example/x", NULL}, /* TR-06: never //host */
	{"/a//../b", "/b", NULL},
	{"/a/b//../c", "/a/c", NULL},
	{"//../..//a", "/a", NULL},
	{"/a/..//", "/", NULL},
	{"/.//a", "/a", NULL},
	/* escapes of what is unreserved, once */
	{"/%61", "/a", NULL},
	{"/%41%5A%7a%30%39", "/AZz09", NULL},
	{"/%2D%2E%5F%7E", "/-._~", NULL},
	{"/%7ea", "/~a", NULL},
	{"/%2e", "/", NULL},
	{"/%2E%2e", "/", NULL},
	{"/a/%2e%2E/b", "/b", NULL},
	{"/a/.%2e/b", "/b", NULL},
	{"/a/%2e./b", "/b", NULL},
	{"/a/%2e/b", "/a/b", NULL},
	{"/a%2e%2e/b", "/a../b", NULL},
	/* twice encoded is encoded once after it */
	{"/%2561", "/%2561", NULL},
	{"/%252e%252e/a", "/%252e%252e/a", NULL},
	{"/a/%252E%252E/b", "/a/%252E%252E/b", NULL},
	{"/%25%32%65", "/%252e", NULL},
	/* escapes of what is reserved stay, in upper case; a slash is no separator */
	{"/a%2fb", "/a%2Fb", NULL},
	{"/a%2F%2Fb", "/a%2F%2Fb", NULL},
	{"/a/..%2f..%2fb", "/a/..%2F..%2Fb", NULL},
	{"/a/..%2F/b", "/a/..%2F/b", NULL},
	{"/%2f", "/%2F", NULL},
	{"/%3a%3f%23%5b%5d%40", "/%3A%3F%23%5B%5D%40", NULL},
	{"/%21%24%26%27%28%29%2a%2b%2c%3b%3d", "/%21%24%26%27%28%29%2A%2B%2C%3B%3D", NULL},
	{"/!$&'()*+,;=:@", "/!$&'()*+,;=:@", NULL},
	/* the rest is decoded to be matched and encoded to be sent */
	{"/a%20b", "/a b", "/a%20b"},
	{"/%c3%a9", "/\xc3\xa9", "/%C3%A9"},
	{"/%C3%A9", "/\xc3\xa9", "/%C3%A9"},
	{"/%ff", "/\xff", "/%FF"},
	{"/%5c", "/\\", "/%5C"},
	{"/\\", "/\\", "/%5C"},
	{"/a\\..\\b", "/a\\..\\b", "/a%5C..%5Cb"}, /* no separator, here and there */
	{"/a%5c..%5Cb", "/a\\..\\b", "/a%5C..%5Cb"},
	{"/%22%3C%3E%5E%60%7B%7C%7D", "/\"<>^`{|}", "/%22%3C%3E%5E%60%7B%7C%7D"},
	{"/a|b", "/a|b", "/a%7Cb"},
	{"/%0d%0aX:%20y", "/\r\nX: y", "/%0D%0AX:%20y"},
	{"/%7f%01", "/\x7f\x01", "/%7F%01"},
	/* what is no escape */
	{"/%", "/%", NULL},
	{"/%4", "/%4", NULL},
	{"/%zz", "/%zz", NULL},
	{"/%%41", "/%A", NULL},
	{"/%g1%61", "/%g1a", NULL},
	/* not a path */
	{"", "", NULL},
	{"*", "*", NULL},
	{"..", "..", NULL},
};

static void test_rows(void **state)
{
	char out[128] = "";

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct str in = str_from(rows[i].in), want = str_from(rows[i].want);
		struct str sent = rows[i].sent ? str_from(rows[i].sent) : want;
		struct str got = {out, http_path_normalise(out, in)};
		struct buf b = BUF_INIT;

		if (!str_eq(got, want))
			fail_msg("%s: %.*s, not %s", rows[i].in, (int)got.len, got.ptr,
				 rows[i].want);
		if (http_path_is_normal(in) && !str_eq(in, want))
			fail_msg("%s is not normal", rows[i].in);
		assert_int_equal(buf_add_str(&b, STR(" "), NULL), 0);
		assert_int_equal(buf_add_str(&b, got, NULL), 0);
		assert_int_equal(http_path_escape(&b, 1, NULL), 0);
		if (!str_eq(str_sub(buf_str(&b), 1, b.len), sent))
			fail_msg("%s: %s is sent", rows[i].in, b.data + 1);
		assert_int_equal(b.data[0], ' ');
		assert_int_equal(b.data[b.len], '\0');
		buf_deinit(&b);
	}
}

/* A whole byte at a time: the escape of each means the byte itself, or stays. */
static void test_every_byte(void **state)
{
	static const char reserved[] = "!*'();:@&=+$,/?%#[]";

	(void)state;
	for (unsigned byte = 1; byte < 256; byte++) {
		char in[8], out[8];
		struct str got;

		snprintf(in, sizeof(in), "/x%%%02x", byte);
		got = (struct str){out, http_path_normalise(out, str_from(in))};
		if (memchr(reserved, (int)byte, sizeof(reserved) - 1)) {
			snprintf(in, sizeof(in), "/x%%%02X", byte);
			assert_true(str_eq(got, str_from(in)));
		} else {
			assert_int_equal(got.len, 3);
			assert_int_equal((unsigned char)out[2], byte);
		}
	}
}

static void test_in_place(void **state)
{
	char text[] = "/a/%2e%2e/%62//c";
	size_t n = http_path_normalise(text, (struct str){text, sizeof(text) - 1});

	(void)state;
	assert_true(str_eq((struct str){text, n}, STR("/b/c")));
}

static void test_limit(void **state)
{
	struct buf b;
	struct err e = ERR_INIT;

	(void)state;
	buf_init(&b, 8);
	assert_int_equal(buf_add_str(&b, STR("/ a b"), NULL), 0);
	assert_int_equal(http_path_escape(&b, 0, &e), -1);
	assert_int_equal(e.kind, ERR_LIMIT);
	assert_true(str_eq(buf_str(&b), STR("/ a b")));
	buf_deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_in_place),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
