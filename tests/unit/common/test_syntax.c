#include "common/http/syntax.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/core/compiler.h"

static void test_classes(void **state)
{
	static const char separators[] = "\"(),/:;<=>?@[\\]{} \t\x7f";

	(void)state;
	for (int c = 0; c < 256; c++) {
		char byte = (char)c;
		struct str s = {&byte, 1};
		bool token = c > 0x20 && c < 0x7f && !memchr(separators, c, sizeof(separators));
		bool value = c == '\t' || (c >= 0x20 && c != 0x7f);
		bool target = c > 0x20 && c < 0x7f && c != '#' && c != '"' && c != '%';

		assert_int_equal(http_is_token(s), token);
		assert_int_equal(http_token_lower[c], token ? (unsigned char)ascii_lower(byte) : 0);
		assert_int_equal(http_is_field_value(s), value);
		assert_int_equal(http_is_target(s), target);
	}
	assert_false(http_is_token(STR("")));
	assert_true(http_is_field_value(STR("")));
	assert_false(http_is_target(STR("")));
}

/* Every byte at every place of a value that is looked at eight bytes at a time. */
static void test_value_words(void **state)
{
	char text[20];

	(void)state;
	for (size_t at = 0; at < sizeof(text); at++) {
		for (int c = 0; c < 256; c++) {
			bool want = c == '\t' || (c >= 0x20 && c != 0x7f);

			memset(text, 0xff, sizeof(text));
			text[at] = (char)c;
			assert_int_equal(http_is_field_value((struct str){text, sizeof(text)}),
					 want);
			memset(text, ' ', sizeof(text));
			text[at] = (char)c;
			assert_int_equal(http_is_field_value((struct str){text, sizeof(text)}),
					 want);
			text[at ? 0 : 1] = '\t';
			assert_int_equal(http_is_field_value((struct str){text, sizeof(text)}),
					 want);
		}
	}
}

static const struct {
	struct str in;
	bool want;
} texts[] = {
	{STR(""), true},
	{STR("a\x7f"), true},
	{STR("\xc2\x80"), true},
	{STR("\xdf\xbf"), true},
	{STR("\xe0\xa0\x80"), true},
	{STR("\xed\x9f\xbf"), true},
	{STR("\xee\x80\x80"), true},
	{STR("\xf0\x90\x80\x80"), true},
	{STR("\xf4\x8f\xbf\xbf"), true},
	{STR("\x80"), false},
	{STR("\xc0\x80"), false},
	{STR("\xc1\xbf"), false},
	{STR("\xc2"), false},
	{STR("\xc2\x41"), false},
	{STR("\xe0\x9f\xbf"), false},
	{STR("\xe1\x80"), false},
	{STR("\xed\xa0\x80"), false},
	{STR("\xf0\x8f\xbf\xbf"), false},
	{STR("\xf1\x80\x80"), false},
	{STR("\xf4\x90\x80\x80"), false},
	{STR("\xf8\x88\x80\x80\x80"), false},
	{STR("\xff"), false},
};

static void test_utf8(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(texts); i++)
		if (http_is_utf8(texts[i].in) != texts[i].want)
			fail_msg("text %zu", i);
}

static void test_long_authority(void **state)
{
	char name[300];
	struct str host;

	(void)state;
	memset(name, 'a', sizeof(name));
	assert_true(http_is_authority((struct str){name, 255}, &host));
	assert_int_equal(host.len, 255);
	assert_false(http_is_authority((struct str){name, 256}, &host));
	assert_false(http_is_authority(STR_NONE, &host));
	memcpy(name, "[::1", 4);
	assert_false(http_is_authority((struct str){name, 200}, &host));
}

static void test_sets(void **state)
{
	(void)state;
	assert_true(http_is_hop_by_hop(STR("Keep-Alive")));
	assert_false(http_is_hop_by_hop(STR("keep-aliv")));
	assert_true(http_is_protected(STR("x-forwarded-anything")));
	assert_true(http_is_protected(STR("x-forwarded-")));
	assert_false(http_is_protected(STR("x-forwarded")));
	assert_true(http_is_alias(STR("content_length")));
	assert_true(http_is_alias(STR("x-forwarded_for")));
	assert_true(http_is_alias(STR("ssl_client_verify")));
	assert_true(http_is_alias(STR("x_consumer_id")));
	assert_false(http_is_alias(STR("content-length")));
	assert_false(http_is_alias(STR("my_field")));
	assert_false(http_is_alias(STR("")));
	assert_true(http_is_forbidden_trailer(STR("content-md5")));
	assert_true(http_is_forbidden_trailer(STR("te")));
	assert_false(http_is_forbidden_trailer(STR("grpc-status")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_classes), cmocka_unit_test(test_value_words),
		cmocka_unit_test(test_utf8),	cmocka_unit_test(test_long_authority),
		cmocka_unit_test(test_sets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
