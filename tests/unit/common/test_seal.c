#include "common/pki/seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/lib/oom.h"

#define HEX0 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define HEX1 "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeffe0e1e2e3e4e5e6e7e8e9eaebecedeeef"

static struct keyring *ring(const char *text)
{
	struct keyring *k = NULL;
	struct err e = ERR_INIT;

	if (keyring_from_text(&k, str_from(text), &e) < 0)
		fail_msg("%s", e.message);
	return k;
}

static void test_keyring_text(void **state)
{
	static const char *const good[] = {
		"1 " HEX0,
		"1 " HEX0 "\n",
		"# comment\n\n 1  " HEX0 " \r\n2 " HEX1 "\n",
		"4294967295 " HEX0,
	};
	static const struct {
		const char *text, *want;
	} bad[] = {
		{"", "no key"},
		{"# nothing\n", "no key"},
		{"1", "line 1: key 1 is not 64 hex digits"},
		{HEX0, "line 1: expected"},
		{"0 " HEX0, "line 1: expected"},
		{"-1 " HEX0, "line 1: expected"},
		{"4294967296 " HEX0, "line 1: expected"},
		{"x " HEX0, "line 1: expected"},
		{"1 " HEX0 "00", "line 1: key 1 is not 64 hex digits"},
		{"1 0" HEX0, "line 1: key 1 is not 64 hex digits"},
		{"1 " HEX0 "\n1 " HEX1, "line 2: key id 1 stands twice"},
		{"1 zz0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
		 "line 1: key 1 is not 64 hex digits"},
		{"1 " HEX0 "\n2 short", "line 2: key 2 is not 64 hex digits"},
		{"1 " HEX0 " extra", "line 1: key 1 is not 64 hex digits"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(good); i++)
		keyring_free(ring(good[i]));
	for (size_t i = 0; i < array_len(bad); i++) {
		struct keyring *k = NULL;
		struct err e = ERR_INIT;

		assert_int_equal(keyring_from_text(&k, str_from(bad[i].text), &e), -1);
		assert_null(k);
		if (!strstr(e.message, bad[i].want))
			fail_msg("%zu: %s", i, e.message);
		assert_null(strstr(e.message, "0102030405"));
	}
	keyring_free(NULL);
}

static void test_file_modes(void **state)
{
	static const struct {
		mode_t mode;
		int want;
	} rows[] = {{0400, 0}, {0600, 0}, {0640, -1}, {0644, -1}, {0604, -1}, {0700, -1}};
	char path[] = "/tmp/cardea-keyring-XXXXXX";
	int fd = mkstemp(path);
	struct keyring *k = NULL;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(write(fd, "7 " HEX0 "\n", 67), 67);
	close(fd);
	for (size_t i = 0; i < array_len(rows); i++) {
		assert_int_equal(chmod(path, rows[i].mode), 0);
		assert_int_equal(keyring_load(&k, path, &e), rows[i].want);
		if (rows[i].want == 0)
			keyring_free(k);
		else
			assert_non_null(strstr(e.message, "0400 or 0600 is required"));
	}
	unlink(path);
	assert_int_equal(keyring_load(&k, path, &e), -1);
	assert_int_equal(e.kind, ERR_NOT_FOUND);
	assert_int_equal(keyring_load(&k, "/", &e), -1);
}

static void test_round_trip(void **state)
{
	static const size_t sizes[] = {0, 1, 31, 32, 33, 1000, 100000};
	struct keyring *k = ring("1 " HEX0);
	struct err e = ERR_INIT;
	static char plain[100000];

	(void)state;
	memset(plain, 'k', sizeof(plain));
	for (size_t i = 0; i < array_len(sizes); i++) {
		struct buf sealed = BUF_INIT, again = BUF_INIT, back = BUF_INIT;
		struct str text = {plain, sizes[i]};

		back.secret = true;
		assert_int_equal(seal(k, STR("certificate/1"), text, &sealed, &e), 0);
		assert_int_equal(seal(k, STR("certificate/1"), text, &again, &e), 0);
		assert_int_equal(sealed.len, again.len);
		assert_false(str_eq(buf_str(&sealed), buf_str(&again)));
		assert_int_equal(unseal(k, STR("certificate/1"), buf_str(&sealed), &back, &e), 0);
		assert_true(str_eq(buf_str(&back), text));
		buf_deinit(&sealed);
		buf_deinit(&again);
		buf_deinit(&back);
	}
	keyring_free(k);
}

/* Appends: what stood in the buffers before stays. */
static void test_appends(void **state)
{
	struct keyring *k = ring("1 " HEX0);
	struct buf sealed = BUF_INIT, back = BUF_INIT;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(buf_add(&sealed, "ab", 2, &e), 0);
	assert_int_equal(buf_add(&back, "cd", 2, &e), 0);
	assert_int_equal(seal(k, STR("x"), STR("secret"), &sealed, &e), 0);
	assert_int_equal(unseal(k, STR("x"), str_sub(buf_str(&sealed), 2, sealed.len), &back, &e),
			 0);
	assert_string_equal(back.data, "cdsecret");
	buf_deinit(&sealed);
	buf_deinit(&back);
	keyring_free(k);
}

static void test_rotation(void **state)
{
	struct keyring *old = ring("1 " HEX0);
	struct keyring *both = ring("1 " HEX0 "\n2 " HEX1);
	struct keyring *late = ring("2 " HEX1);
	struct keyring *wrong = ring("1 " HEX1);
	struct buf by_old = BUF_INIT, by_both = BUF_INIT, out = BUF_INIT;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(seal(old, STR("x"), STR("s"), &by_old, &e), 0);
	assert_int_equal(seal(both, STR("x"), STR("s"), &by_both, &e), 0);
	assert_int_equal(unseal(both, STR("x"), buf_str(&by_old), &out, &e), 0);
	assert_int_equal(unseal(late, STR("x"), buf_str(&by_both), &out, &e), 0);
	assert_int_equal(unseal(old, STR("x"), buf_str(&by_both), &out, &e), -1);
	assert_int_equal(e.kind, ERR_NOT_FOUND);
	assert_non_null(strstr(e.message, "key 2"));
	assert_int_equal(unseal(wrong, STR("x"), buf_str(&by_old), &out, &e), -1);
	assert_int_equal(e.kind, ERR_DENIED);
	buf_deinit(&by_old);
	buf_deinit(&by_both);
	buf_deinit(&out);
	keyring_free(old);
	keyring_free(both);
	keyring_free(late);
	keyring_free(wrong);
}

static void test_damage(void **state)
{
	struct keyring *k = ring("1 " HEX0);
	struct buf sealed = BUF_INIT, out = BUF_INIT;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(seal(k, STR("certificate/1"), STR("the key"), &sealed, &e), 0);
	assert_int_equal(unseal(k, STR("certificate/2"), buf_str(&sealed), &out, &e), -1);
	assert_int_equal(e.kind, ERR_DENIED);
	assert_int_equal(unseal(k, STR(""), buf_str(&sealed), &out, &e), -1);
	for (size_t n = 0; n < sealed.len; n++)
		assert_int_equal(
			unseal(k, STR("certificate/1"), str_sub(buf_str(&sealed), 0, n), &out, &e),
			-1);
	for (size_t i = 0; i < sealed.len * 8; i++) {
		sealed.data[i / 8] = (char)(sealed.data[i / 8] ^ (1 << i % 8));
		assert_int_equal(unseal(k, STR("certificate/1"), buf_str(&sealed), &out, &e), -1);
		sealed.data[i / 8] = (char)(sealed.data[i / 8] ^ (1 << i % 8));
	}
	assert_int_equal(out.len, 0);
	assert_int_equal(unseal(k, STR("certificate/1"), buf_str(&sealed), &out, &e), 0);
	buf_deinit(&sealed);
	buf_deinit(&out);
	keyring_free(k);
}

static void seal_and_open(void *arg)
{
	struct keyring *k = NULL;
	struct buf sealed = BUF_INIT, out = BUF_INIT;

	(void)arg;
	if (keyring_from_text(&k, STR("1 " HEX0), NULL) == 0 &&
	    seal(k, STR("x"), STR("secret"), &sealed, NULL) == 0)
		(void)!unseal(k, STR("x"), buf_str(&sealed), &out, NULL);
	buf_deinit(&sealed);
	buf_deinit(&out);
	keyring_free(k);
}

static void test_out_of_memory(void **state)
{
	(void)state;
	assert_true(oom_each(seal_and_open, NULL) >= 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keyring_text),  cmocka_unit_test(test_file_modes),
		cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_appends),
		cmocka_unit_test(test_rotation),      cmocka_unit_test(test_damage),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
