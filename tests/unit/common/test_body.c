/* Kong's form rules (kong-admin-api.md 1.3). */
#include "common/http/body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/core/compiler.h"

struct row {
	const char *name;
	struct str input;
	const char *want; /* JSON; NULL: refused */
};

#define PEM "-----BEGIN CERTIFICATE-----\nAbC+/=\n\r\n-----END CERTIFICATE-----\n"

/* clang-format off */
static const struct row forms[] = {
	{"empty", STR(""), "{}"},
	{"one", STR("a=1"), "{\"a\":\"1\"}"},
	{"strings stay strings", STR("a=true&b=null&c=1.5"), "{\"a\":\"true\",\"b\":\"null\",\"c\":\"1.5\"}"},
	{"empty value", STR("a="), "{\"a\":\"\"}"},
	{"no equals sign is true", STR("a"), "{\"a\":true}"},
	{"equals in the value", STR("a=b=c"), "{\"a\":\"b=c\"}"},
	{"empty pieces", STR("&a=1&&b=2&"), "{\"a\":\"1\",\"b\":\"2\"}"},
	{"empty name", STR("=1&a=2"), "{\"a\":\"2\"}"},
	{"plus and escapes", STR("a+b=c+d%2B%26%3d"), "{\"a b\":\"c d+&=\"}"},
	{"UTF-8", STR("a=%C3%A9\xc3\xa9"), "{\"a\":\"\xc3\xa9\xc3\xa9\"}"},
	{"repeated", STR("a=1&a=2"), "{\"a\":[\"1\",\"2\"]}"},
	{"three times", STR("a=1&a=2&a=3"), "{\"a\":[\"1\",\"2\",\"3\"]}"},
	{"nested", STR("a.b.c=1&a.b.d=2&a.e=3"), "{\"a\":{\"b\":{\"c\":\"1\",\"d\":\"2\"},\"e\":\"3\"}}"},
	{"nested repeated", STR("a.b=1&a.b=2"), "{\"a\":{\"b\":[\"1\",\"2\"]}}"},
	{"append", STR("a[]=1&a[]=2"), "{\"a\":[\"1\",\"2\"]}"},
	{"append one", STR("a[]=1"), "{\"a\":[\"1\"]}"},
	{"plain, then append", STR("a=1&a[]=2"), "{\"a\":[\"1\",\"2\"]}"},
	{"append, then plain", STR("a[]=1&a=2"), "{\"a\":[\"1\",\"2\"]}"},
	{"positions", STR("a[1]=x&a[2]=y"), "{\"a\":[\"x\",\"y\"]}"},
	{"positions in any order", STR("a[3]=z&a[1]=x&a[2]=y"), "{\"a\":[\"x\",\"y\",\"z\"]}"},
	{"holes close", STR("a[3]=z&a[1]=x"), "{\"a\":[\"x\",\"z\"]}"},
	{"last position", STR("a[1000]=x"), "{\"a\":[\"x\"]}"},
	{"key", STR("a[k]=1"), "{\"a\":{\"k\":\"1\"}}"},
	{"key and append", STR("headers[x-foo][]=1&headers[x-foo][]=2&headers[y][]=3"), "{\"headers\":{\"x-foo\":[\"1\",\"2\"],\"y\":[\"3\"]}}"},
	{"dot in brackets", STR("a[x.y]=1"), "{\"a\":{\"x.y\":\"1\"}}"},
	{"config map", STR("config.m[k]=v"), "{\"config\":{\"m\":{\"k\":\"v\"}}}"},
	{"record in a position", STR("a[1].b=1&a[1].c=2&a[2].b=3"), "{\"a\":[{\"b\":\"1\",\"c\":\"2\"},{\"b\":\"3\"}]}"},
	{"list in a position", STR("a[1][1]=x&a[1][2]=y"), "{\"a\":[[\"x\",\"y\"]]}"},
	{"append of records", STR("a[].b=1&a[].b=2"), "{\"a\":[{\"b\":\"1\"},{\"b\":\"2\"}]}"},
	{"escaped brackets", STR("a%5B%5D=1&b%5Bk%5D=2&c%2Ed=3"), "{\"a\":[\"1\"],\"b\":{\"k\":\"2\"},\"c\":{\"d\":\"3\"}}"},
	{"foreign", STR("service.id=x&certificate.id=y"), "{\"service\":{\"id\":\"x\"},\"certificate\":{\"id\":\"y\"}}"},
	{"PEM", STR("cert=-----BEGIN+CERTIFICATE-----%0AAbC%2B%2F%3D%0A%0D%0A-----END+CERTIFICATE-----%0A"), "PEM"},
	{"closing bracket alone is a letter", STR("a]=1"), "{\"a]\":\"1\"}"},
	{"bad escape", STR("a=%"), NULL},
	{"bad escape, one digit", STR("a=%2"), NULL},
	{"bad escape, no hex", STR("a=%zz"), NULL},
	{"bad escape in a name", STR("%zz=a"), NULL},
	{"NUL", STR("a=%00"), NULL},
	{"raw NUL", STR("a=b\0c"), NULL},
	{"NUL in a name", STR("a%00b=1"), NULL},
	{"no UTF-8", STR("a=%ff"), NULL},
	{"no UTF-8, overlong", STR("a=%c0%80"), NULL},
	{"no UTF-8 in a name", STR("%ff=a"), NULL},
	{"surrogate", STR("a=%ed%a0%80"), NULL},
	{"position zero", STR("a[0]=x"), NULL},
	{"position 1001", STR("a[1001]=x"), NULL},
	{"position huge", STR("a[18446744073709551615]=x"), NULL},
	{"open bracket", STR("a[=1"), NULL},
	{"open bracket, key", STR("a[b=1"), NULL},
	{"bracket first", STR("[a]=1"), NULL},
	{"empty bracket first", STR("[]=1"), NULL},
	{"text behind a bracket", STR("a[b]c=1"), NULL},
	{"brackets in brackets", STR("a[b[c]]=1"), NULL},
	{"leading dot", STR(".a=1"), NULL},
	{"trailing dot", STR("a.=1"), NULL},
	{"two dots", STR("a..b=1"), NULL},
	{"only a dot", STR(".=1"), NULL},
	{"dot behind a bracket, nothing", STR("a[b].=1"), NULL},
	{"scalar and record", STR("a=1&a.b=2"), NULL},
	{"record and scalar", STR("a.b=2&a=1"), NULL},
	{"list and record", STR("a[]=1&a.b=2"), NULL},
	{"record and list", STR("a.b=1&a[]=2"), NULL},
	{"record and position", STR("a.b=1&a[1]=2"), NULL},
	{"true and list", STR("a&a[]=1"), NULL},
};

#define PART(head, text) "--b\r\nContent-Disposition: form-data; " head "\r\n\r\n" text "\r\n"

static const struct row parts[] = {
	{"field", STR(PART("name=\"a\"", "1") "--b--\r\n"), "{\"a\":\"1\"}"},
	{"no line end behind", STR(PART("name=\"a\"", "1") "--b--"), "{\"a\":\"1\"}"},
	{"none", STR("--b--\r\n"), "{}"},
	{"name without quotes", STR(PART("name=a", "1") "--b--"), "{\"a\":\"1\"}"},
	{"file", STR(PART("name=\"cert\"; filename=\"c.pem\"\r\nContent-Type: application/x-pem-file", PEM) "--b--"), "PEM"},
	{"file name first", STR(PART("filename=\"a;name=x\"; name=\"cert\"", PEM) "--b--"), "PEM"},
	{"two", STR(PART("name=\"a\"", "1") PART("name=\"b.c\"", "2") "--b--"), "{\"a\":\"1\",\"b\":{\"c\":\"2\"}}"},
	{"repeated", STR(PART("name=\"a\"", "1") PART("name=\"a\"", "2") "--b--"), "{\"a\":[\"1\",\"2\"]}"},
	{"append", STR(PART("name=\"snis[]\"", "a.com") "--b--"), "{\"snis\":[\"a.com\"]}"},
	{"positions", STR(PART("name=\"snis[2]\"", "y") PART("name=\"snis[1]\"", "x") "--b--"), "{\"snis\":[\"x\",\"y\"]}"},
	{"empty value", STR(PART("name=\"a\"", "") "--b--"), "{\"a\":\"\"}"},
	{"line ends in the value", STR(PART("name=\"a\"", "\r\n\n\r\n") "--b--"), "{\"a\":\"\\r\\n\\n\\r\\n\"}"},
	{"dashes in the value", STR(PART("name=\"a\"", " --b --b-- \r\n--") "--b--"), "{\"a\":\" --b --b-- \\r\\n--\"}"},
	{"preamble and epilogue", STR("hello\r\n" PART("name=\"a\"", "1") "--b--\r\nbye"), "{\"a\":\"1\"}"},
	{"padding behind the boundary", STR("--b \t\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--b--"), "{\"a\":\"1\"}"},
	{"escaped quote", STR(PART("name=\"a\\\"b\"", "1") "--b--"), "{\"a\\\"b\":\"1\"}"},
	{"field names in any case", STR("--b\r\ncontent-DISPOSITION: Form-Data; NAME=a\r\n\r\n1\r\n--b--"), "{\"a\":\"1\"}"},
	{"8bit", STR(PART("name=a\r\nContent-Transfer-Encoding: 8bit", "1") "--b--"), "{\"a\":\"1\"}"},
	{"a value that begins like a boundary", STR(PART("name=\"a\"", "--b") "--b--"), NULL},
	{"empty body", STR(""), NULL},
	{"no boundary in it", STR("a=1"), NULL},
	{"other boundary", STR("--c\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--c--"), NULL},
	{"no closing boundary", STR(PART("name=a", "1")), NULL},
	{"cut in the head", STR("--b\r\nContent-Disposition: form-data; name=a\r\n"), NULL},
	{"cut in the boundary", STR(PART("name=a", "1") "--"), NULL},
	{"cut behind the boundary", STR(PART("name=a", "1") "--b"), NULL},
	{"text behind the boundary", STR("--bx\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--b--"), NULL},
	{"no head", STR("--b\r\n\r\n1\r\n--b--"), NULL},
	{"no end of head", STR("--b\r\nContent-Disposition: form-data; name=a\r\n--b--"), NULL},
	{"no disposition", STR("--b\r\nContent-Type: text/plain\r\n\r\n1\r\n--b--"), NULL},
	{"two dispositions", STR(PART("name=a\r\nContent-Disposition: form-data; name=b", "1") "--b--"), NULL},
	{"attachment", STR("--b\r\nContent-Disposition: attachment; name=a\r\n\r\n1\r\n--b--"), NULL},
	{"no name", STR(PART("filename=\"a\"", "1") "--b--"), NULL},
	{"empty name", STR(PART("name=\"\"", "1") "--b--"), NULL},
	{"open quote", STR(PART("name=\"a", "1") "--b--"), NULL},
	{"no colon", STR("--b\r\nContent-Disposition\r\n\r\n1\r\n--b--"), NULL},
	{"bad field name", STR("--b\r\nContent Disposition: form-data; name=a\r\n\r\n1\r\n--b--"), NULL},
	{"base64", STR(PART("name=a\r\nContent-Transfer-Encoding: base64", "MQ==") "--b--"), NULL},
	{"NUL", STR(PART("name=a", "1\0") "--b--"), NULL},
	{"no UTF-8", STR(PART("name=a", "\xff") "--b--"), NULL},
	{"no UTF-8 in the name", STR(PART("name=\"\xff\"", "1") "--b--"), NULL},
	{"NUL in the name", STR(PART("name=\"a\0b\"", "1") "--b--"), NULL},
	{"bad name", STR(PART("name=\"a[\"", "1") "--b--"), NULL},
	{"LF line ends", STR("--b\nContent-Disposition: form-data; name=a\n\n1\n--b--"), NULL},
};

static const struct row objects[] = {
	{"empty object", STR("{}"), "{}"},
	{"spaces around", STR(" {\"a\": [1, null, true]} \n"), "{\"a\":[1,null,true]}"},
	{"dotted names stay", STR("{\"a.b\":1}"), "{\"a.b\":1}"},
	{"empty", STR(""), NULL},
	{"spaces", STR("  "), NULL},
	{"array", STR("[]"), NULL},
	{"string", STR("\"a\""), NULL},
	{"number", STR("1"), NULL},
	{"null", STR("null"), NULL},
	{"cut", STR("{\"a\":1"), NULL},
	{"text behind", STR("{} x"), NULL},
	{"two objects", STR("{}{}"), NULL},
	{"trailing comma", STR("{\"a\":1,}"), NULL},
	{"single quotes", STR("{'a':1}"), NULL},
	{"comment", STR("{/**/}"), NULL},
	{"NaN", STR("{\"a\":NaN}"), NULL},
	{"number too large", STR("{\"a\":1e999}"), NULL},
	{"integer too large", STR("{\"a\":9223372036854775808}"), NULL},
	{"leading zero", STR("{\"a\":01}"), NULL},
	{"duplicate key", STR("{\"a\":1,\"a\":2}"), NULL},
	{"duplicate key, escaped", STR("{\"a\":1,\"\\u0061\":2}"), NULL},
	{"NUL in a string", STR("{\"a\":\"\\u0000\"}"), NULL},
	{"NUL in a key", STR("{\"\\u0000\":1}"), NULL},
	{"raw NUL", STR("{}\0"), NULL},
	{"no UTF-8", STR("{\"a\":\"\xff\"}"), NULL},
	{"lone surrogate", STR("{\"a\":\"\\ud800\"}"), NULL},
	{"raw line end", STR("{\"a\":\"\n\"}"), NULL},
	{"byte order mark", STR("\xef\xbb\xbf{}"), NULL},
};
/* clang-format on */

static int decode_b(json_t **out, struct str bytes, struct err *e)
{
	return body_multipart(out, bytes, STR("multipart/form-data; boundary=b"), e);
}

static json_t *wanted(const char *text)
{
	if (strcmp(text, "PEM") == 0)
		return json_pack("{s:s}", "cert", PEM);
	return json_loads(text, 0, NULL);
}

static void check(const struct row *rows, size_t count,
		  int (*decode)(json_t **out, struct str bytes, struct err *e))
{
	for (size_t i = 0; i < count; i++) {
		json_t *got = NULL;
		struct err e = ERR_INIT;
		int result = decode(&got, rows[i].input, &e);

		if (!rows[i].want) {
			if (result == 0 || got || e.kind != ERR_INVALID || !e.message[0])
				fail_msg("%s: accepted", rows[i].name);
		} else {
			json_t *want = wanted(rows[i].want);

			if (result < 0 || !json_equal(got, want))
				fail_msg("%s: %s", rows[i].name, e.message);
			json_decref(want);
		}
		json_decref(got);
	}
}

static void test_forms(void **state)
{
	(void)state;
	check(forms, array_len(forms), body_form);
}

static void test_multipart(void **state)
{
	(void)state;
	check(parts, array_len(parts), decode_b);
}

static void test_json(void **state)
{
	json_t *out = NULL;
	struct err e = ERR_INIT;

	(void)state;
	check(objects, array_len(objects), body_json);
	assert_int_equal(body_json(&out, STR("x"), &e), -1);
	assert_string_equal(e.message, "Cannot parse JSON body");
}

static const struct {
	const char *type;
	bool good;
} types[] = {
	{"multipart/form-data; boundary=b", true},
	{"multipart/form-data;boundary=b", true},
	{"multipart/form-data; charset=utf-8; BOUNDARY=\"b\"", true},
	{"multipart/form-data; x=\"boundary=c\"; boundary=b", true},
	{"multipart/form-data; boundary=b; x=y", true},
	{"multipart/form-data", false},
	{"multipart/form-data; boundary", false},
	{"multipart/form-data; boundary=", false},
	{"multipart/form-data; boundary=\"\"", false},
	{"multipart/form-data; boundary=\"b", false},
	{"multipart/form-data; xboundary=b", false},
	{"multipart/form-data; boundary=c", false},
	{"multipart/form-data; "
	 "boundary=0123456789012345678901234567890123456789012345678901234567890"
	 "1234567890",
	 false},
	{"", false},
};

static void test_boundary(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(types); i++) {
		json_t *got = NULL;
		int result = body_multipart(&got, STR(PART("name=a", "1") "--b--"),
					    str_from(types[i].type), NULL);

		if ((result == 0) != types[i].good)
			fail_msg("%s", types[i].type);
		json_decref(got);
	}
}

/* count times the piece, between start and end. */
static int decode_many(const char *start, const char *piece, unsigned count, const char *end,
		       int (*decode)(json_t **out, struct str bytes, struct err *e), struct err *e)
{
	struct buf input = BUF_INIT;
	json_t *got = NULL;
	int result;

	assert_int_equal(buf_add_str(&input, str_from(start), NULL), 0);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(buf_add_str(&input, str_from(piece), NULL), 0);
	assert_int_equal(buf_add_str(&input, str_from(end), NULL), 0);
	result = decode(&got, buf_str(&input), e);
	json_decref(got);
	buf_deinit(&input);
	return result;
}

static void test_limits(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(decode_many("", "a=1&", 1000, "", body_form, &e), 0);
	assert_int_equal(decode_many("", "a=1&", 1001, "", body_form, &e), -1);
	assert_int_equal(e.kind, ERR_LIMIT);
	assert_string_equal(e.message, "Too many arguments");
	assert_int_equal(decode_many("", PART("name=a", "1"), 1000, "--b--", decode_b, &e), 0);
	err_clear(&e);
	assert_int_equal(decode_many("", PART("name=a", "1"), 1001, "--b--", decode_b, &e), -1);
	assert_string_equal(e.message, "Too many arguments");
	assert_int_equal(decode_many("a", ".a", 63, "=1", body_form, &e), 0);
	assert_int_equal(decode_many("a", ".a", 64, "=1", body_form, &e), -1);
	assert_int_equal(decode_many("a", "[]", 64, "=1", body_form, &e), -1);
	assert_int_equal(decode_many("{", "\"a\":{", 63,
				     "}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}"
				     "}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}",
				     body_json, &e),
			 0);
	assert_int_equal(decode_many("{\"a\":", "[", 64,
				     "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"
				     "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}",
				     body_json, &e),
			 -1);
	assert_int_equal(decode_many("{\"a\":", "[", 100000, "", body_json, &e), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),  cmocka_unit_test(test_multipart),
		cmocka_unit_test(test_json),   cmocka_unit_test(test_boundary),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
