/* pki/signer: loaded pairs make signatures that plain OpenSSL verifies; what does not fit is
 * refused, and no error is left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "common/pki/signer.h"
#include "tests/unit/lib/testcert.h"
#include "tests/unit/lib/testchange.h"

static struct {
	struct testca ca;
	struct signer *signer;
	X509 *cert;
	struct buf leaf, key;		  /* of one pair */
	struct buf other_leaf, other_key; /* of another */
	struct buf rsa_leaf, rsa_key;
} bed;

static X509 *issue(bool rsa, struct buf *leaf, struct buf *key)
{
	const struct testcert_options o = {.name = "a.example", .rsa = rsa};
	EVP_PKEY *pkey;
	X509 *cert;

	testcert_issue(&bed.ca, &o, &cert, &pkey);
	testder_cert(leaf, cert);
	testder_key(key, pkey);
	EVP_PKEY_free(pkey);
	return cert;
}

static int setup(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	memset(&bed, 0, sizeof(bed));
	testca_init(&bed.ca, "ca");
	bed.cert = issue(false, &bed.leaf, &bed.key);
	X509_free(issue(false, &bed.other_leaf, &bed.other_key));
	X509_free(issue(true, &bed.rsa_leaf, &bed.rsa_key));
	assert_int_equal(signer_create(&bed.signer, &e), 0);
	return 0;
}

static int teardown(void **state)
{
	struct buf *bufs[] = {&bed.leaf,      &bed.key,	     &bed.other_leaf,
			      &bed.other_key, &bed.rsa_leaf, &bed.rsa_key};

	(void)state;
	for (size_t i = 0; i < array_len(bufs); i++)
		buf_deinit(bufs[i]);
	X509_free(bed.cert);
	signer_free(bed.signer);
	testca_deinit(&bed.ca);
	return 0;
}

static void test_takes(void **state)
{
	char broken[138];

	(void)state;
	assert_true(signer_takes(buf_str(&bed.key)));
	assert_false(signer_takes(buf_str(&bed.rsa_key)));
	assert_false(signer_takes(STR("")));
	assert_false(signer_takes(str_sub(buf_str(&bed.key), 0, bed.key.len - 1)));
	for (size_t i = 0; i < 73; i++) {
		if (i >= 36 && i < 68) /* the scalar */
			continue;
		memcpy(broken, bed.key.data, sizeof(broken));
		broken[i] = (char)(broken[i] ^ 1);
		assert_false(signer_takes((struct str){broken, sizeof(broken)}));
	}
}

static bool verifies(EVP_PKEY *key, const char *digest)
{
	EVP_MD_CTX *sign = EVP_MD_CTX_new(), *verify = EVP_MD_CTX_new();
	const unsigned char text[] = "text";
	unsigned char signature[100];
	size_t len = sizeof(signature);
	bool ok;

	assert_int_equal(EVP_DigestSignInit_ex(sign, NULL, digest, NULL, NULL, key, NULL), 1);
	assert_int_equal(EVP_DigestSign(sign, signature, &len, text, sizeof(text)), 1);
	assert_int_equal(EVP_DigestVerifyInit_ex(verify, NULL, digest, NULL, NULL,
						 X509_get0_pubkey(bed.cert), NULL),
			 1);
	ok = EVP_DigestVerify(verify, signature, len, text, sizeof(text)) == 1;
	EVP_MD_CTX_free(sign);
	EVP_MD_CTX_free(verify);
	return ok;
}

static void test_signs(void **state)
{
	struct err e = ERR_INIT;
	EVP_PKEY *key;
	X509 *cert;
	char group[32];

	(void)state;
	ERR_clear_error();
	assert_int_equal(
		signer_load(bed.signer, buf_str(&bed.leaf), buf_str(&bed.key), &cert, &key, &e), 0);
	assert_int_equal(ERR_peek_error(), 0);
	X509_get_extension_flags(cert);
	assert_int_equal(ERR_peek_error(), 0);
	assert_int_equal(X509_cmp(cert, bed.cert), 0);
	assert_true(verifies(key, "SHA256"));
	assert_true(verifies(key, "SHA384"));
	assert_true(EVP_PKEY_is_a(key, "EC"));
	assert_int_equal(EVP_PKEY_get_bits(key), 256);
	assert_int_equal(EVP_PKEY_get_group_name(key, group, sizeof(group), NULL), 1);
	assert_string_equal(group, "prime256v1");
	EVP_PKEY_free(key);
	X509_free(cert);
}

/* A chain needs to parse only, a leaf must be for the key. */
static void test_needs_a_pair(void **state)
{
	const struct {
		const char *name;
		struct str leaf, chain, key;
		int want;
	} rows[] = {
		{"fits", buf_str(&bed.leaf), buf_str(&bed.other_leaf), buf_str(&bed.key), 0},
		{"chain of another kind", buf_str(&bed.leaf), buf_str(&bed.rsa_leaf),
		 buf_str(&bed.key), 0},
		{"another key", buf_str(&bed.leaf), STR(""), buf_str(&bed.other_key), -1},
		{"another leaf", buf_str(&bed.other_leaf), STR(""), buf_str(&bed.key), -1},
		{"RSA leaf", buf_str(&bed.rsa_leaf), STR(""), buf_str(&bed.key), -1},
		{"leaf cut", str_sub(buf_str(&bed.leaf), 0, bed.leaf.len - 1), STR(""),
		 buf_str(&bed.key), -1},
		{"no leaf", STR(""), STR(""), buf_str(&bed.key), -1},
		{"leaf is none", STR("\x30\x03\x02\x01\x01"), STR(""), buf_str(&bed.key), -1},
		{"chain is none", buf_str(&bed.leaf), STR("\x30\x00"), buf_str(&bed.key), -1},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct err e = ERR_INIT;
		int rc = signer_check(bed.signer, rows[i].leaf, &rows[i].chain,
				      rows[i].chain.len > 0, rows[i].key, &e);

		if (rc != rows[i].want)
			fail_msg("%s: %d, %s", rows[i].name, rc, e.message);
		assert_int_equal(e.kind, rc == 0 ? ERR_NONE : ERR_INVALID);
		assert_int_equal(ERR_peek_error(), 0);
	}
}

/* The public point of the leaf and of the key changed together: not on the curve any more. */
static void test_not_on_the_curve(void **state)
{
	const ASN1_BIT_STRING *bits = X509_get0_pubkey_bitstr(bed.cert);
	char *at = memmem(bed.leaf.data, bed.leaf.len, ASN1_STRING_get0_data(bits), 65);
	struct err e = ERR_INIT;

	(void)state;
	assert_non_null(at);
	at[64] = (char)(at[64] ^ 1);
	bed.key.data[bed.key.len - 1] = (char)(bed.key.data[bed.key.len - 1] ^ 1);
	assert_int_equal(
		signer_check(bed.signer, buf_str(&bed.leaf), NULL, 0, buf_str(&bed.key), &e), -1);
	assert_int_equal(ERR_peek_error(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_takes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_signs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_needs_a_pair, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_on_the_curve, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
