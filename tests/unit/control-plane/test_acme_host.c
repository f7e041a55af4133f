/* Host names for orders: many that are refused, with the reason that is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "control-plane/acme/acme.h"

struct row {
	const char *input;
	const char *want; /* normalised, or what the reason contains */
};

static const struct row good[] = {
	{"a.example.com", "a.example.com"},
	{"A.EXAMPLE.Com", "a.example.com"},
	{"xn--mnchen-3ya.de", "xn--mnchen-3ya.de"},
	{"XN--MNCHEN-3YA.DE", "xn--mnchen-3ya.de"},
	{"localhost", "localhost"},
	{"1.2.3.4.example", "1.2.3.4.example"},
	{"a-b.c--d.example", "a-b.c--d.example"},
	{"0xff.example", "0xff.example"},
	{"123.com", "123.com"},
	{"1.2.3.4", "1.2.3.4"},
	{"127.0.0.1", "127.0.0.1"},
	{"::1", "::1"},
	{"2001:DB8:0:0::1", "2001:db8::1"},
	{"::ffff:1.2.3.4", "::ffff:1.2.3.4"},
};

static const struct row bad[] = {
	{"", "empty"},
	{"*", "wildcard"},
	{"*.example.com", "wildcard"},
	{"a.*.example.com", "wildcard"},
	{"f*.example.com", "wildcard"},
	{"[::1]", "brackets"},
	{"::1%lo", "0x3a"},
	{"01.2.3.4", "number"},
	{"1.2.3", "number"},
	{"2130706433", "number"},
	{"0x7f000001", "number"},
	{"a.0x1", "number"},
	{"256.256.256.256", "number"},
	{"example.1", "number"},
	{"m\xc3\xbcnchen.de", "A-labels"},
	{"\xff.de", "A-labels"},
	{"example.com.", "ends with a dot"},
	{".", "ends with a dot"},
	{".example.com", "empty label"},
	{"a..b", "empty label"},
	{"a b.com", "0x20"},
	{" a.com", "0x20"},
	{"a.com\n", "0x0a"},
	{"a_b.com", "0x5f"},
	{"a.com:443", "0x3a"},
	{"https://a.com", "0x3a"},
	{"a.com/", "0x2f"},
	{"user@a.com", "0x40"},
	{"a,b.com", "0x2c"},
	{"a.com?x", "0x3f"},
	{"%61.com", "0x25"},
	{"-a.com", "hyphen"},
	{"a-.com", "hyphen"},
	{"a.-", "hyphen"},
	{"ab--c.com", "no A-label"},
	{"xn--.com", "hyphen"},
	{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.com", "longer than 63"},
};

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(good); i++) {
		char out[254];
		struct err e = ERR_INIT;

		if (acme_host(str_from(good[i].input), out, &e) != 0)
			fail_msg("%s: %s", good[i].input, e.message);
		assert_string_equal(out, good[i].want);
	}
}

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(bad); i++) {
		char out[254] = "untouched";
		struct err e = ERR_INIT;

		if (acme_host(str_from(bad[i].input), out, &e) == 0)
			fail_msg("'%s' was accepted as %s", bad[i].input, out);
		assert_int_equal(e.kind, ERR_INVALID);
		assert_string_equal(out, "untouched");
		if (!strstr(e.message, bad[i].want))
			fail_msg("'%s': %s", bad[i].input, e.message);
	}
}

static void test_nul_and_length(void **state)
{
	char host[260], out[254];
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(acme_host((struct str){"a\0b.com", 7}, out, &e), -1);
	for (size_t i = 0; i < sizeof(host); i++)
		host[i] = i % 50 == 49 ? '.' : 'a';
	assert_int_equal(acme_host((struct str){host, 253}, out, &e), 0);
	assert_int_equal(strlen(out), 253);
	assert_int_equal(acme_host((struct str){host, 254}, out, &e), -1);
	assert_non_null(strstr(e.message, "253"));
}

static void test_wildcards(void **state)
{
	static const struct row rows[] = {
		{"*.example.com", "*.example.com"},
		{"*.A.Example.COM", "*.a.example.com"},
		{"a.example.com", "a.example.com"},
		{"192.0.2.1", "192.0.2.1"},
		{"*.com", "!two labels"},
		{"*.", "!empty"},
		{"*", "!wildcard"},
		{"*.*.example.com", "!wildcard"},
		{"a.*.example.com", "!wildcard"},
		{"*a.example.com", "!wildcard"},
		{"*..example.com", "!empty label"},
		{"*.example.com.", "!dot"},
		{"*.192.0.2.1", "!two labels"},
		{"*.::1", "!two labels"},
		{"*.1.2.3", "!number"},
		{"*.ex ample.com", "!0x20"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		char out[256] = "";
		struct err e = ERR_INIT;
		bool refused = rows[i].want[0] == '!';
		int rc = acme_name(str_from(rows[i].input), out, &e);

		if ((rc != 0) != refused)
			fail_msg("%s: %d %s", rows[i].input, rc, e.message);
		if (refused && !strstr(e.message, rows[i].want + 1))
			fail_msg("%s: %s", rows[i].input, e.message);
		if (!refused)
			assert_string_equal(out, rows[i].want);
	}
}

static void test_wildcard_length(void **state)
{
	char name[260], out[256];

	(void)state;
	for (size_t i = 0; i < sizeof(name); i++)
		name[i] = i % 50 == 49 ? '.' : 'a';
	memcpy(name, "*.", 2);
	assert_int_equal(acme_name((struct str){name, 253}, out, NULL), 0);
	assert_int_equal(strlen(out), 253);
	assert_int_equal(acme_name((struct str){name, 254}, out, NULL), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_nul_and_length),
		cmocka_unit_test(test_wildcards),
		cmocka_unit_test(test_wildcard_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
