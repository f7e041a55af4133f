#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/core/err.h"

static void test_set_and_prefix(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(err_set(&e, ERR_NOT_FOUND, "no %s number %d", "thing", 7), -1);
	assert_int_equal(e.kind, ERR_NOT_FOUND);
	assert_int_equal(e.code, 0);
	assert_string_equal(e.message, "no thing number 7");
	assert_int_equal(err_prefix(&e, "looking in %s", "box"), -1);
	assert_string_equal(e.message, "looking in box: no thing number 7");
	assert_int_equal(e.kind, ERR_NOT_FOUND);
	err_clear(&e);
	assert_int_equal(e.kind, ERR_NONE);
	assert_string_equal(e.message, "");
}

static void test_errno_and_memory(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(err_errno(&e, ERR_UNAVAILABLE, ENOENT, "file %s", "x"), -1);
	assert_int_equal(e.code, ENOENT);
	assert_string_equal(e.message, "file x: No such file or directory");
	assert_int_equal(err_memory(&e, "a list"), -1);
	assert_int_equal(e.kind, ERR_MEMORY);
	assert_string_equal(e.message, "out of memory: a list");
}

static void test_openssl(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	OPENSSL_init_ssl(OPENSSL_INIT_LOAD_SSL_STRINGS, NULL); /* loads the texts */
	ERR_raise(ERR_LIB_SSL, SSL_R_NO_SHARED_CIPHER);
	ERR_raise(ERR_LIB_SSL, SSL_R_BAD_LENGTH);
	assert_int_equal(err_openssl(&e, ERR_DENIED, "with %s", "peer"), -1);
	assert_string_equal(e.message, "with peer: no shared cipher");
	assert_int_equal(e.code, SSL_R_NO_SHARED_CIPHER);
	assert_int_equal(ERR_peek_error(), 0);
	assert_int_equal(err_openssl(&e, ERR_INTERNAL, "again"), -1);
	assert_string_equal(e.message, "again: unknown OpenSSL error");
	/* A system call's errno has no reason string in the table. */
	ERR_raise(ERR_LIB_SYS, ENOENT);
	assert_int_equal(err_openssl(&e, ERR_INTERNAL, "file"), -1);
	assert_string_equal(e.message, "file: No such file or directory");
}

static void test_nobody_cares(void **state)
{
	(void)state;
	assert_int_equal(err_set(NULL, ERR_INVALID, "x"), -1);
	assert_int_equal(err_errno(NULL, ERR_INVALID, EIO, "x"), -1);
	ERR_raise(ERR_LIB_SSL, SSL_R_BAD_LENGTH);
	assert_int_equal(err_openssl(NULL, ERR_INVALID, "x"), -1);
	assert_int_equal(ERR_peek_error(), 0);
	assert_int_equal(err_memory(NULL, "x"), -1);
	assert_int_equal(err_prefix(NULL, "x"), -1);
	err_clear(NULL);
}

/* A message of `fill` bytes, then one character: the cut never leaves half of it. */
static void test_cut(void **state)
{
	static const char *const last[] = {"x", "\xc3\xbc", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
	char fill[ERR_MESSAGE_SIZE + 8];

	(void)state;
	for (size_t n = ERR_MESSAGE_SIZE - 12; n < ERR_MESSAGE_SIZE + 4; n++) {
		for (size_t k = 0; k < array_len(last); k++) {
			struct err e = ERR_INIT;
			size_t whole = n + strlen(last[k]) * 3, len;

			memset(fill, 'a', n);
			fill[n] = '\0';
			err_set(&e, ERR_INVALID, "%s%s%s%s", fill, last[k], last[k], last[k]);
			len = strlen(e.message);
			if (whole < ERR_MESSAGE_SIZE) {
				assert_int_equal(len, whole);
				continue;
			}
			assert_true(len >= 6 && len < ERR_MESSAGE_SIZE);
			assert_string_equal(e.message + len - 3, "...");
			/* Before the dots: a's and whole characters. */
			len -= 3;
			if (len > n)
				assert_int_equal((len - n) % strlen(last[k]), 0);
		}
	}
}

static void test_prefix_of_full_message(void **state)
{
	char fill[ERR_MESSAGE_SIZE * 2];
	struct err e = ERR_INIT;

	(void)state;
	memset(fill, 'b', sizeof(fill) - 1);
	fill[sizeof(fill) - 1] = '\0';
	err_set(&e, ERR_LIMIT, "%s", fill);
	err_prefix(&e, "first");
	assert_memory_equal(e.message, "first: bbb", 10);
	err_prefix(&e, "%s", fill);
	assert_int_equal(strlen(e.message), ERR_MESSAGE_SIZE - 1);
	assert_string_equal(e.message + ERR_MESSAGE_SIZE - 4, "...");
	assert_int_equal(e.kind, ERR_LIMIT);
}

static void test_kinds(void **state)
{
	static const struct {
		const char *name;
		enum err_kind kind;
		bool temporary;
	} rows[] = {
		{"none", ERR_NONE, false},
		{"invalid", ERR_INVALID, false},
		{"not_found", ERR_NOT_FOUND, false},
		{"conflict", ERR_CONFLICT, false},
		{"limit", ERR_LIMIT, true},
		{"denied", ERR_DENIED, false},
		{"unavailable", ERR_UNAVAILABLE, true},
		{"timeout", ERR_TIMEOUT, true},
		{"memory", ERR_MEMORY, true},
		{"internal", ERR_INTERNAL, false},
		{"unknown", (enum err_kind)(ERR_INTERNAL + 1), false},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		const struct err e = {.kind = rows[i].kind};

		assert_string_equal(err_kind_name(rows[i].kind), rows[i].name);
		assert_int_equal(err_is_temporary(&e), rows[i].temporary);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set_and_prefix),
		cmocka_unit_test(test_errno_and_memory),
		cmocka_unit_test(test_openssl),
		cmocka_unit_test(test_nobody_cares),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_prefix_of_full_message),
		cmocka_unit_test(test_kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
