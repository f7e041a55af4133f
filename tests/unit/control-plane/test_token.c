/* Token texts: what is made comes back, and nothing else is taken for one. */
#include "control-plane/admin/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tests/unit/lib/oom.h"

static void test_round_trip(void **state)
{
	struct token made, read, other;
	char text[TOKEN_TEXT_SIZE], again[TOKEN_TEXT_SIZE], hash[TOKEN_HASH_HEX_SIZE];
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(token_make(&made, text, &e), 0);
	assert_int_equal(strlen(text), TOKEN_TEXT_SIZE - 1);
	assert_int_equal(token_parse(&read, str_from(text), &e), 0);
	assert_string_equal(read.id, made.id);
	token_hash_hex(&made, hash);
	assert_int_equal(strlen(hash), TOKEN_HASH_HEX_SIZE - 1);
	assert_true(token_matches(&read, str_from(hash)));
	assert_int_equal(token_make(&other, again, &e), 0);
	assert_string_not_equal(text, again);
	assert_false(token_matches(&other, str_from(hash)));
}

/* The hash is SHA-256 of the secret: known answer for 32 zero bytes. */
static void test_hash(void **state)
{
	struct token t;
	char hash[TOKEN_HASH_HEX_SIZE];

	(void)state;
	assert_int_equal(
		token_parse(&t,
			    STR("cardea_"
				"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
			    NULL),
		0);
	assert_string_equal(t.id, "00000000-0000-0000-0000-000000000000");
	token_hash_hex(&t, hash);
	assert_string_equal(hash,
			    "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925");
}

#define A16 "AAAAAAAAAAAAAAAA"
#define A64 A16 A16 A16 A16

static const char *const bad[] = {
	"",
	"cardea_",
	"cardea_" A16,
	"cardea_" A64 "A",
	"cardea_" A16 A16 A16 "AAAAAAAAAAAAAAA",
	"Cardea_" A64,
	"cardea-" A64,
	"xcardea" A64,
	" cardea_" A16 A16 A16 "AAAAAAAAAAAAAAA",
	"cardea_" A16 A16 A16 "AAAAAAAAAAAAAAA=",
	"cardea_" A16 A16 A16 "AAAAAAAAAAAAAAA+",
	"cardea_" A16 A16 A16 "AAAAAAAAAAAAAAA/",
	"cardea_" A16 A16 A16 "AAAAAAAAAAAAAAA ",
	"cardea_" A16 A16 A16 "AAAAAAAAAAAAAAA\n",
	"cardea_" A16 A16 A16 "AAAAAAAAAAAAAA\xc3\xa9",
};

static void test_bad_texts(void **state)
{
	struct token before, t;

	(void)state;
	memset(&t, 7, sizeof(t));
	before = t;
	for (size_t i = 0; i < array_len(bad); i++) {
		struct err e = ERR_INIT;

		if (token_parse(&t, str_from(bad[i]), &e) == 0)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(e.kind, ERR_INVALID);
		assert_string_equal(e.message, "not a token");
		assert_memory_equal(&t, &before, sizeof(t));
	}
	assert_int_equal(token_parse(&t, STR("cardea_\0" A16 A16 A16 "AAAAAAAAAAAAAAA"), NULL), -1);
}

static void test_stored_hashes(void **state)
{
	static const char *const rows[] = {"", "00", NULL};
	struct token t;
	char text[TOKEN_TEXT_SIZE], hash[TOKEN_HASH_HEX_SIZE];

	(void)state;
	assert_int_equal(token_make(&t, text, NULL), 0);
	for (size_t i = 0; i < array_len(rows); i++)
		assert_false(token_matches(&t, str_from(rows[i])));
	token_hash_hex(&t, hash);
	for (size_t i = 0; i < TOKEN_HASH_HEX_SIZE - 1; i++) {
		hash[i] = hash[i] == '0' ? '1' : '0';
		assert_false(token_matches(&t, str_from(hash)));
		token_hash_hex(&t, hash);
	}
}

static void make_once(void *arg)
{
	struct token t;
	char text[TOKEN_TEXT_SIZE];
	struct err e = ERR_INIT;
	int rc = token_make(&t, text, &e);

	(void)arg;
	assert_int_equal(e.kind, rc < 0 ? ERR_MEMORY : ERR_NONE);
}

static void test_out_of_memory(void **state)
{
	(void)state;
	assert_true(oom_each(make_once, NULL) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_hash),
		cmocka_unit_test(test_bad_texts),     cmocka_unit_test(test_stored_hashes),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
