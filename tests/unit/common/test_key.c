#include "common/pki/key.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/pki/pem.h"

static void test_types(void **state)
{
	static const char *const bad[] = {"",		"ecdsa",    "ecdsa-p256 ",
					  "ECDSA-P256", "rsa-1024", "rsa"};
	enum key_type type;

	(void)state;
	for (int i = KEY_EC_P256; i <= KEY_RSA_4096; i++) {
		assert_int_equal(key_type_parse(str_from(key_type_name((enum key_type)i)), &type),
				 0);
		assert_int_equal(type, i);
	}
	for (size_t i = 0; i < array_len(bad); i++)
		assert_int_equal(key_type_parse(str_from(bad[i]), &type), -1);
}

/* What operators bring: the forms of a key that OpenSSL and others write. */
enum form { PKCS8, TRADITIONAL, ENCRYPTED, PUBLIC };

static void write_key(struct buf *out, EVP_PKEY *key, enum form form)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data;
	long n;

	if (form == PKCS8)
		assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL),
				 1);
	else if (form == TRADITIONAL)
		assert_int_equal(
			PEM_write_bio_PrivateKey_traditional(bio, key, NULL, NULL, 0, NULL, NULL),
			1);
	else if (form == ENCRYPTED)
		assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, EVP_aes_128_cbc(), "word",
							       4, NULL, NULL),
				 1);
	else
		assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
	n = BIO_get_mem_data(bio, &data);
	assert_int_equal(buf_add(out, data, (size_t)n, NULL), 0);
	BIO_free(bio);
}

static void test_forms(void **state)
{
	static const enum key_type types[] = {KEY_EC_P256, KEY_EC_P384, KEY_RSA_2048};

	(void)state;
	for (size_t i = 0; i < array_len(types); i++) {
		for (enum form form = PKCS8; form <= TRADITIONAL; form++) {
			struct err e = ERR_INIT;
			struct buf pem = BUF_INIT;
			EVP_PKEY *key = NULL, *back = NULL;

			assert_int_equal(form == PKCS8 ? key_generate_once(&key, types[i], &e)
						       : key_generate(&key, types[i], &e),
					 0);
			write_key(&pem, key, form);
			assert_int_equal(key_from_pem(&back, buf_str(&pem), &e), 0);
			assert_int_equal(EVP_PKEY_eq(key, back), 1);
			assert_int_equal(key_check_strength(back, &e), 0);
			EVP_PKEY_free(key);
			EVP_PKEY_free(back);
			buf_deinit(&pem);
		}
	}
}

static void test_round_trip(void **state)
{
	struct err e = ERR_INIT;
	struct buf der = BUF_INIT, pem = BUF_INIT;
	EVP_PKEY *key = NULL, *from_der = NULL, *from_pem = NULL, *opened = NULL;

	(void)state;
	assert_int_equal(key_generate(&key, KEY_EC_P256, &e), 0);
	assert_int_equal(key_to_der(&der, key, &e), 0);
	assert_int_equal(key_to_pem(&pem, key, &e), 0);
	assert_true(str_starts(buf_str(&pem), STR("-----BEGIN PRIVATE KEY-----\n")));
	assert_int_equal(key_from_der(&from_der, buf_str(&der), &e), 0);
	assert_int_equal(key_from_pem(&from_pem, buf_str(&pem), &e), 0);
	assert_int_equal(key_open(&opened, buf_str(&der), &e), 0);
	assert_int_equal(EVP_PKEY_eq(key, from_der), 1);
	assert_int_equal(EVP_PKEY_eq(key, opened), 1);
	EVP_PKEY_free(opened);
	assert_int_equal(EVP_PKEY_eq(key, from_pem), 1);
	/* every cut of the DER is refused, and so is a byte too many */
	for (size_t n = 0; n < der.len; n++) {
		EVP_PKEY *none = NULL;

		assert_int_equal(key_from_der(&none, str_sub(buf_str(&der), 0, n), &e), -1);
		assert_null(none);
		assert_int_equal(key_open(&none, str_sub(buf_str(&der), 0, n), &e), -1);
		assert_null(none);
	}
	assert_int_equal(buf_add(&der, "x", 1, &e), 0);
	assert_int_equal(key_from_der(&from_der, buf_str(&der), &e), -1);
	assert_non_null(strstr(e.message, "bytes after its end"));
	assert_int_equal(key_open(&opened, buf_str(&der), &e), -1);
	assert_non_null(strstr(e.message, "bytes after its end"));
	EVP_PKEY_free(key);
	EVP_PKEY_free(from_der);
	EVP_PKEY_free(from_pem);
	buf_deinit(&der);
	buf_deinit(&pem);
}

struct bad {
	const char *text, *want;
};

static void test_bad_pem(void **state)
{
	static const struct bad bad[] = {
		{"", "invalid key: no PEM block with a private key"},
		{"garbage", "invalid key: no PEM block with a private key"},
		{"-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n",
		 "invalid key: no PEM block with a private key"},
		{"-----BEGIN PRIVATE KEY-----\nYWJj\n-----END PRIVATE KEY-----\n", "invalid key: "},
		{"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n", "invalid key: "},
		{"-----BEGIN PRIVATE KEY-----\nY!Jj\n-----END PRIVATE KEY-----\n",
		 "invalid key: PEM block 1 (line 1): not a base64 character"},
		{"-----BEGIN PRIVATE KEY-----\nYWJj\n", "invalid key: PEM block 1 (line 1)"},
		{"-----BEGIN PRIVATE KEY-----\nYWJj\n-----END PRIVATE KEY-----\n"
		 "-----BEGIN EC PRIVATE KEY-----\nYWJj\n-----END EC PRIVATE KEY-----\n",
		 "invalid key: a second key at PEM block 2 (line 4)"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(bad); i++) {
		struct err e = ERR_INIT;
		EVP_PKEY *key = NULL;

		assert_int_equal(key_from_pem(&key, str_from(bad[i].text), &e), -1);
		assert_null(key);
		assert_int_equal(e.kind, ERR_INVALID);
		if (!strstr(e.message, bad[i].want))
			fail_msg("%zu: %s", i, e.message);
	}
}

static void test_refused_forms(void **state)
{
	struct err e = ERR_INIT;
	struct buf encrypted = BUF_INIT, public = BUF_INIT;
	EVP_PKEY *key = NULL, *back = NULL;

	(void)state;
	assert_int_equal(key_generate(&key, KEY_EC_P256, &e), 0);
	write_key(&encrypted, key, ENCRYPTED);
	write_key(&public, key, PUBLIC);
	assert_int_equal(key_from_pem(&back, buf_str(&encrypted), &e), -1);
	assert_non_null(strstr(e.message, "the key is encrypted"));
	assert_int_equal(key_from_pem(&back, buf_str(&public), &e), -1);
	EVP_PKEY_free(key);
	buf_deinit(&encrypted);
	buf_deinit(&public);
}

static void test_strength(void **state)
{
	static const struct {
		const char *kind, *want; /* want NULL: accepted */
		unsigned bits;
	} rows[] = {
		{"P-256", NULL, 0},
		{"P-384", NULL, 0},
		{"P-521", NULL, 0},
		{"RSA", NULL, 2048},
		{"RSA", "RSA key of 512 bits", 512},
		{"RSA", "RSA key of 1024 bits", 1024},
		{"RSA", "RSA key of 2040 bits", 2040},
		{"P-192", "curve prime192v1", 0},
		{"secp224r1", "curve secp224r1", 0},
		{"secp256k1", "curve secp256k1", 0},
		{"brainpoolP256r1", "curve brainpoolP256r1", 0},
		{"ED25519", "ED25519 key", 0},
		{"X25519", "X25519 key", 0},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct err e = ERR_INIT;
		EVP_PKEY *key;
		int got;

		if (rows[i].bits)
			key = EVP_RSA_gen(rows[i].bits);
		else if (str_ends(str_from(rows[i].kind), STR("25519")))
			key = EVP_PKEY_Q_keygen(NULL, NULL, rows[i].kind);
		else
			key = EVP_EC_gen(rows[i].kind);
		assert_non_null(key);
		got = key_check_strength(key, &e);
		if (rows[i].want ? got == 0 || !strstr(e.message, rows[i].want) : got < 0)
			fail_msg("%s %u: %d %s", rows[i].kind, rows[i].bits, got, e.message);
		EVP_PKEY_free(key);
	}
}

static void test_explicit_curve(void **state)
{
	struct err e = ERR_INIT;
	struct buf der = BUF_INIT;
	EVP_PKEY *key = NULL, *back = NULL;

	(void)state;
	key = EVP_EC_gen("P-256");
	assert_int_equal(EVP_PKEY_set_utf8_string_param(key, "encoding", "explicit"), 1);
	assert_int_equal(key_to_der(&der, key, &e), 0);
	assert_int_equal(key_from_der(&back, buf_str(&der), &e), 0);
	assert_int_equal(key_check_strength(back, &e), -1);
	assert_non_null(strstr(e.message, "explicit curve parameters"));
	EVP_PKEY_free(key);
	EVP_PKEY_free(back);
	buf_deinit(&der);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types),	       cmocka_unit_test(test_forms),
		cmocka_unit_test(test_bad_pem),	       cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_strength),       cmocka_unit_test(test_refused_forms),
		cmocka_unit_test(test_explicit_curve),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
