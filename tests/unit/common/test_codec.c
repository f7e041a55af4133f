#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/core/codec.h"
#include "tests/unit/lib/oom.h"

/* RFC 4648 section 10, and what tells the alphabets apart. */
static const struct {
	struct str bytes;
	const char *std, *url, *hex;
} pairs[] = {
	{{"", 0}, "", "", ""},
	{{"f", 1}, "Zg==", "Zg", "66"},
	{{"fo", 2}, "Zm8=", "Zm8", "666f"},
	{{"foo", 3}, "Zm9v", "Zm9v", "666f6f"},
	{{"foob", 4}, "Zm9vYg==", "Zm9vYg", "666f6f62"},
	{{"fooba", 5}, "Zm9vYmE=", "Zm9vYmE", "666f6f6261"},
	{{"foobar", 6}, "Zm9vYmFy", "Zm9vYmFy", "666f6f626172"},
	{{"\xfb\xff\xfe", 3}, "+//+", "-__-", "fbfffe"},
	{{"\0\0", 2}, "AAA=", "AAA", "0000"},
};

typedef int code_fn(struct buf *out, struct str in, struct err *e);

static void check(code_fn *encode, code_fn *decode, struct str bytes, const char *text)
{
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;

	/* Both append. */
	assert_int_equal(buf_add(&out, "<", 1, &e), 0);
	assert_int_equal(encode(&out, bytes, &e), 0);
	assert_string_equal(out.data + 1, text);
	buf_clear(&out);
	assert_int_equal(buf_add(&out, "<", 1, &e), 0);
	assert_int_equal(decode(&out, str_from(text), &e), 0);
	assert_int_equal(out.len, bytes.len + 1);
	assert_memory_equal(out.data + 1, bytes.ptr, bytes.len);
	assert_int_equal(out.data[out.len], '\0');
	buf_deinit(&out);
}

static void test_pairs(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(pairs); i++) {
		check(base64_encode, base64_decode, pairs[i].bytes, pairs[i].std);
		check(base64url_encode, base64url_decode, pairs[i].bytes, pairs[i].url);
		check(hex_encode, hex_decode, pairs[i].bytes, pairs[i].hex);
	}
}

static const struct {
	code_fn *decode;
	struct str in;
} refused[] = {
	{base64_decode, {"Z", 1}},
	{base64_decode, {"Zg", 2}},
	{base64_decode, {"Zg=", 3}},
	{base64_decode, {"Zm8", 3}},
	{base64_decode, {"=", 1}},
	{base64_decode, {"====", 4}},
	{base64_decode, {"Z===", 4}},
	{base64_decode, {"Zg==Zg==", 8}},
	{base64_decode, {"Zh==", 4}},
	{base64_decode, {"Zm9=", 4}},
	{base64_decode, {"Zm9v\n", 5}},
	{base64_decode, {"Zm9v    ", 8}},
	{base64_decode, {"Zm-_", 4}},
	{base64_decode, {"Zm\0v", 4}},
	{base64_decode, {"Zm\xc3\xbc", 4}},
	{base64_decode, {"Z=g=", 4}},
	{base64_decode, {"Zg==\n", 5}},
	{base64_decode, {"Zm9vZm9v!Zm9v", 13}},
	{base64url_decode, {"Z", 1}},
	{base64url_decode, {"Zg==", 4}},
	{base64url_decode, {"Zm8=", 4}},
	{base64url_decode, {"Zm+/", 4}},
	{base64url_decode, {"Zh", 2}},
	{base64url_decode, {"Zm9", 3}},
	{base64url_decode, {"Zm9v ", 5}},
	{base64url_decode, {"Zm9vZ", 5}},
	{hex_decode, {"0", 1}},
	{hex_decode, {"000", 3}},
	{hex_decode, {"0g", 2}},
	{hex_decode, {"0x00", 4}},
	{hex_decode, {" 00 ", 4}},
	{hex_decode, {"00\0", 3}},
	{hex_decode, {"ff@f", 4}},
	{hex_decode, {"00:00", 5}},
};

/* Nothing of a refused text stays in the buffer. */
static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(refused); i++) {
		struct buf out = BUF_INIT;
		struct err e = ERR_INIT;

		assert_int_equal(buf_add(&out, "before", 6, &e), 0);
		if (refused[i].decode(&out, refused[i].in, &e) != -1)
			fail_msg("row %zu accepted", i);
		assert_int_equal(e.kind, ERR_INVALID);
		assert_int_equal(out.len, 6);
		assert_string_equal(out.data, "before");
		buf_deinit(&out);
	}
}

static void test_absent_and_upper_case(void **state)
{
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(base64_encode(&out, STR_NONE, &e), 0);
	assert_int_equal(base64_decode(&out, STR_NONE, &e), 0);
	assert_int_equal(hex_decode(&out, STR("aBcDeF"), &e), 0);
	assert_memory_equal(out.data, "\xab\xcd\xef", 4);
	buf_deinit(&out);
}

static void test_limits(void **state)
{
	static code_fn *const all[] = {base64_encode, base64url_encode, hex_encode,
				       base64_decode, base64url_decode, hex_decode};

	(void)state;
	for (size_t i = 0; i < array_len(all); i++) {
		struct err e = ERR_INIT;
		struct buf out;

		buf_init(&out, 5);
		assert_int_equal(all[i](&out, STR("0000000000000000"), &e), -1);
		assert_int_equal(e.kind, ERR_LIMIT);
		assert_int_equal(out.len, 0);
		buf_deinit(&out);
	}
}

static void oom_scenario(void *arg)
{
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;

	(void)arg;
	if (base64_encode(&out, STR("some bytes"), &e) < 0)
		assert_int_equal(e.kind, ERR_MEMORY);
	if (hex_decode(&out, STR("0123456789abcdef"), &e) < 0)
		assert_int_equal(e.kind, ERR_MEMORY);
	buf_deinit(&out);
}

static void test_out_of_memory(void **state)
{
	(void)state;
	assert_true(oom_each(oom_scenario, NULL) >= 1);
}

static void test_uuid(void **state)
{
	static const struct {
		const char *in;
		bool want;
	} rows[] = {
		{"00000000-0000-0000-0000-000000000000", true},
		{"c9a646d3-9c61-4cb7-bfcd-ee2522c8f633", true},
		{"C9A646D3-9C61-4CB7-BFCD-EE2522C8F633", true},
		{"ffffffff-ffff-ffff-ffff-ffffffffffff", true},
		{"", false},
		{"c9a646d3-9c61-4cb7-bfcd-ee2522c8f63", false},
		{"c9a646d3-9c61-4cb7-bfcd-ee2522c8f6333", false},
		{"c9a646d39c614cb7bfcdee2522c8f633", false},
		{"c9a646d3-9c61-4cb7-bfcd-ee2522c8f63g", false},
		{"c9a646d39-c61-4cb7-bfcd-ee2522c8f633", false},
		{"{c9a646d3-9c61-4cb7-bfcd-ee2522c8f6}", false},
		{"c9a646d3_9c61_4cb7_bfcd_ee2522c8f633", false},
		{"c9a646d3-9c61-4cb7-bfcd-ee2522c8f63 ", false},
		{"------------------------------------", false},
	};
	unsigned char bytes[16];
	char text[UUID_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		if (uuid_is(str_from(rows[i].in)) != rows[i].want)
			fail_msg("%s", rows[i].in);
		if (!rows[i].want)
			continue;
		uuid_bytes(str_from(rows[i].in), bytes);
		uuid_text(bytes, text);
		assert_true(str_ieq(str_from(text), str_from(rows[i].in)));
	}
	assert_false(uuid_is(STR_NONE));
}

static void test_uuid_make(void **state)
{
	char a[UUID_TEXT_SIZE], b[UUID_TEXT_SIZE];
	struct err e = ERR_INIT;

	(void)state;
	for (int i = 0; i < 100; i++) {
		assert_int_equal(uuid_make(a, &e), 0);
		assert_int_equal(uuid_make(b, &e), 0);
		assert_true(uuid_is(str_from(a)));
		assert_int_equal(a[14], '4');
		assert_non_null(strchr("89ab", a[19]));
		assert_string_not_equal(a, b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_absent_and_upper_case),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_out_of_memory),
		cmocka_unit_test(test_uuid),
		cmocka_unit_test(test_uuid_make),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
