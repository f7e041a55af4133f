#include "common/pki/pem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/lib/oom.h"

#define BEGIN(l) "-----BEGIN " l "-----\n"
#define END(l) "-----END " l "-----\n"
#define BLOCK(l, body) BEGIN(l) body "\n" END(l)

struct good {
	const char *name, *text;
	size_t count;
	const char *label, *der; /* of the last block */
	size_t line;
};

static const struct good good[] = {
	{"nothing", "", 0, NULL, NULL, 0},
	{"only other text", "subject=x\nissuer=y\n", 0, NULL, NULL, 0},
	{"one byte", BLOCK("A", "AA=="), 1, "A", "\0", 1},
	{"padding 1", BLOCK("CERTIFICATE", "YWI="), 1, "CERTIFICATE", "ab", 1},
	{"no padding", BLOCK("CERTIFICATE", "YWJj"), 1, "CERTIFICATE", "abc", 1},
	{"two lines", BLOCK("CERTIFICATE", "YWJj\nZGVm"), 1, "CERTIFICATE", "abcdef", 1},
	{"odd line breaks", BLOCK("X", "Y\nWJ\njZ\nGVm\n"), 1, "X", "abcdef", 1},
	{"padding split over lines", BLOCK("X", "YQ=\n="), 1, "X", "a", 1},
	{"CRLF", "-----BEGIN X-----\r\nYWJj\r\nZGVm\r\n-----END X-----\r\n", 1, "X", "abcdef", 1},
	{"tabs and spaces", BLOCK("X", " YWJj \t\n\tZGVm  "), 1, "X", "abcdef", 1},
	{"spaces after marks", "-----BEGIN X-----  \nYWJj\n-----END X-----\t\n", 1, "X", "abc", 1},
	{"blank lines inside", BLOCK("X", "\n\nYWJj\n\n"), 1, "X", "abc", 1},
	{"no newline at the end", "-----BEGIN X-----\nYWJj\n-----END X-----", 1, "X", "abc", 1},
	{"byte order mark", "\xEF\xBB\xBF" BLOCK("X", "YWJj"), 1, "X", "abc", 1},
	{"text around", "hello\n" BLOCK("X", "YWJj") "between\n" BLOCK("Y Z", "ZGVm") "after", 2,
	 "Y Z", "def", 6},
	{"all digits",
	 BLOCK("X", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"), 1, "X",
	 "\x00\x10\x83\x10\x51\x87\x20\x92\x8b\x30\xd3\x8f\x41\x14\x93\x51\x55\x97\x61\x96\x9b\x71"
	 "\xd7\x9f\x82\x18\xa3\x92\x59\xa7\xa2\x9a\xab\xb2\xdb\xaf\xc3\x1c\xb3\xd3\x5d\xb7\xe3\x9e"
	 "\xbb\xf3\xdf\xbf",
	 1},
};

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(good); i++) {
		const struct good *g = &good[i];
		struct pem_blocks b;
		struct err e = ERR_INIT;

		if (pem_parse(&b, str_from(g->text), &e) < 0)
			fail_msg("%s: %s", g->name, e.message);
		if (b.count != g->count)
			fail_msg("%s: %zu blocks", g->name, b.count);
		if (g->count > 0) {
			const struct pem_block *last = &b.items[b.count - 1];

			assert_string_equal(last->label, g->label);
			assert_memory_equal(last->der.data, g->der, last->der.len);
			assert_int_equal(last->line, g->line);
		}
		pem_free(&b);
	}
}

struct bad {
	const char *name, *text, *want;
};

static const struct bad bad[] = {
	{"no END", BEGIN("X") "YWJj\n", "PEM block 1 (line 1): the END line is missing"},
	{"nothing after BEGIN", "-----BEGIN X-----", "the END line is missing"},
	{"cut inside base64", BEGIN("X") "YW", "cut short or wrongly padded"},
	{"BEGIN inside", BEGIN("X") "YWJj\n" BLOCK("X", "YWJj"), "the END line is missing"},
	{"END of another", BEGIN("X") "YWJj\n" END("Y"), "does not match the BEGIN line"},
	{"END without dashes", BEGIN("X") "YWJj\n-----END X\n", "does not match the BEGIN line"},
	{"END in a line", BEGIN("X") "YWJj-----END X-----\n", "not a base64 character at line 2"},
	{"END without BEGIN", END("X"), "line 1: END without BEGIN"},
	{"END twice", BLOCK("X", "YWJj") END("X"), "line 4: END without BEGIN"},
	{"empty block", BEGIN("X") END("X"), "the block is empty"},
	{"blank block", BEGIN("X") "\n \n" END("X"), "the block is empty"},
	{"empty label", "-----BEGIN -----\nYWJj\n-----END -----\n", "malformed BEGIN line"},
	{"no label", "-----BEGIN-----\nYWJj\n-----END-----\n", "malformed BEGIN line"},
	{"four dashes", "-----BEGIN X----\nYWJj\n-----END X-----\n", "malformed BEGIN line"},
	{"label with dashes", BLOCK("A-----B", "YWJj"), "malformed BEGIN line"},
	{"label with a control byte", BLOCK("A\001", "YWJj"), "malformed BEGIN line"},
	{"label too long",
	 BLOCK("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "YWJj"),
	 "the label is too long"},
	{"junk character", BLOCK("X", "YW!j"), "not a base64 character at line 2"},
	{"junk on line 3", BLOCK("X", "YWJj\nYW.j"), "not a base64 character at line 3"},
	{"URL alphabet", BLOCK("X", "YW_j"), "not a base64 character"},
	{"dash inside", BLOCK("X", "YW-j"), "not a base64 character"},
	{"not ASCII", BLOCK("X", "YW\xC3\xA4j"), "not a base64 character"},
	{"escaped newlines", "-----BEGIN X-----\\nYWJj\\n-----END X-----\\n",
	 "malformed BEGIN line"},
	{"one digit", BLOCK("X", "Y"), "cut short or wrongly padded"},
	{"two digits", BLOCK("X", "YQ"), "cut short or wrongly padded"},
	{"three digits", BLOCK("X", "YWI"), "cut short or wrongly padded"},
	{"too little padding", BLOCK("X", "YQ="), "cut short or wrongly padded"},
	{"too much padding", BLOCK("X", "YWI=="), "cut short or wrongly padded"},
	{"padding only", BLOCK("X", "===="), "cut short or wrongly padded"},
	{"five digits", BLOCK("X", "YWJjY==="), "cut short or wrongly padded"},
	{"digits after padding", BLOCK("X", "YQ==YQ=="), "not a base64 character"},
	{"stray bits 2", BLOCK("X", "YR=="), "stray bits"},
	{"stray bits 1", BLOCK("X", "YWJ="), "stray bits"},
	{"encrypted PKCS#8", BLOCK("ENCRYPTED PRIVATE KEY", "YWJj"), "the key is encrypted"},
	{"encrypted PKCS#1",
	 BEGIN("RSA PRIVATE KEY") "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nYWJj\n" END(
		 "RSA PRIVATE KEY"),
	 "the key is encrypted"},
	{"other header", BEGIN("X") "Comment: hello\n\nYWJj\n" END("X"), "headers inside a block"},
	{"second block bad", BLOCK("X", "YWJj") "x\n" BLOCK("Y", "Y!"), "PEM block 2 (line 5)"},
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(bad); i++) {
		struct pem_blocks b;
		struct err e = ERR_INIT;

		if (pem_parse(&b, str_from(bad[i].text), &e) == 0)
			fail_msg("%s: accepted", bad[i].name);
		if (!strstr(e.message, bad[i].want) || e.kind != ERR_INVALID)
			fail_msg("%s: %s", bad[i].name, e.message);
		assert_int_equal(b.count, 0);
	}
}

static void test_nul_bytes(void **state)
{
	struct pem_blocks b;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(pem_parse(&b, STR("-----BEGIN X-----\nYW\0j\n-----END X-----\n"), &e), -1);
	assert_int_equal(pem_parse(&b, STR("-----BEGIN X\0-----\nYWJj\n-----END X-----\n"), &e),
			 -1);
}

static void test_limits(void **state)
{
	struct buf text = BUF_INIT;
	struct pem_blocks b;
	struct err e = ERR_INIT;

	(void)state;
	for (int i = 0; i < PEM_BLOCKS_MAX; i++)
		assert_int_equal(buf_add_str(&text, STR(BLOCK("X", "YWJj")), &e), 0);
	assert_int_equal(pem_parse(&b, buf_str(&text), &e), 0);
	assert_int_equal(b.count, PEM_BLOCKS_MAX);
	pem_free(&b);
	assert_int_equal(buf_add_str(&text, STR(BLOCK("X", "YWJj")), &e), 0);
	assert_int_equal(pem_parse(&b, buf_str(&text), &e), -1);
	assert_int_equal(e.kind, ERR_LIMIT);
	while (text.len <= PEM_TEXT_MAX)
		assert_int_equal(buf_add_str(&text, STR("x\n"), &e), 0);
	assert_int_equal(pem_parse(&b, buf_str(&text), &e), -1);
	assert_int_equal(e.kind, ERR_LIMIT);
	buf_deinit(&text);
}

static void test_secret_blocks(void **state)
{
	static const char text[] = BLOCK("EC PRIVATE KEY", "YWJj") BLOCK("CERTIFICATE", "YWJj");
	struct pem_blocks b;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(pem_parse(&b, str_from(text), &e), 0);
	assert_true(b.items[0].der.secret);
	assert_false(b.items[1].der.secret);
	pem_free(&b);
}

/* Every length up to a few lines comes back as it was written. */
static void test_round_trip(void **state)
{
	char bytes[200];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 37 + 5);
	for (size_t n = 1; n <= sizeof(bytes); n++) {
		struct buf text = BUF_INIT;
		struct pem_blocks b;
		struct err e = ERR_INIT;

		assert_int_equal(pem_write(&text, "THING", (struct str){bytes, n}, &e), 0);
		assert_int_equal(pem_parse(&b, buf_str(&text), &e), 0);
		assert_int_equal(b.count, 1);
		assert_int_equal(b.items[0].der.len, n);
		assert_memory_equal(b.items[0].der.data, bytes, n);
		pem_free(&b);
		buf_deinit(&text);
	}
}

static void write_and_parse(void *arg)
{
	struct buf text = BUF_INIT;
	struct pem_blocks b;

	(void)arg;
	if (pem_write(&text, "PRIVATE KEY", STR("some bytes"), NULL) == 0 &&
	    pem_parse(&b, buf_str(&text), NULL) == 0)
		pem_free(&b);
	buf_deinit(&text);
}

static void test_out_of_memory(void **state)
{
	(void)state;
	assert_true(oom_each(write_and_parse, NULL) >= 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),	      cmocka_unit_test(test_bad),
		cmocka_unit_test(test_limits),	      cmocka_unit_test(test_nul_bytes),
		cmocka_unit_test(test_secret_blocks), cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
