/* tls/p256: the short way gives what the general way gives, and takes nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "data-plane/tls/p256.h"
#include "tests/unit/lib/testcert.h"
#include "tests/unit/lib/testchange.h"

static struct {
	struct p256 *p;
	struct buf leaf[3], key[3]; /* P-256, P-256, RSA */
} bed;

static int setup(void **state)
{
	struct testca ca;
	struct err e = ERR_INIT;

	(void)state;
	memset(&bed, 0, sizeof(bed));
	testca_init(&ca, "ca");
	for (int i = 0; i < 3; i++) {
		const struct testcert_options o = {.san = "DNS:a.example", .rsa = i == 2};
		X509 *cert;
		EVP_PKEY *key;

		testcert_issue(&ca, &o, &cert, &key);
		testder_cert(&bed.leaf[i], cert);
		testder_key(&bed.key[i], key);
		X509_free(cert);
		EVP_PKEY_free(key);
	}
	testca_deinit(&ca);
	return p256_create(&bed.p, &e);
}

static int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		buf_deinit(&bed.leaf[i]);
		buf_deinit(&bed.key[i]);
	}
	p256_free(bed.p);
	return 0;
}

static bool takes(struct str leaf, struct str key)
{
	X509 *cert = NULL;
	EVP_PKEY *pkey = NULL;
	bool ok = p256_parse(bed.p, leaf, key, &cert, &pkey);

	assert_true(ok == (cert != NULL) && ok == (pkey != NULL));
	X509_free(cert);
	EVP_PKEY_free(pkey);
	return ok;
}

static void test_same_as_general(void **state)
{
	struct str leaf = buf_str(&bed.leaf[0]), key = buf_str(&bed.key[0]);
	const unsigned char *at = (const unsigned char *)key.ptr;
	unsigned char digest[32] = {1}, signature[128];
	size_t n = sizeof(signature);
	struct buf der = BUF_INIT;
	EVP_PKEY_CTX *c;
	EVP_PKEY *pkey, *general;
	X509 *cert;

	(void)state;
	assert_true(p256_parse(bed.p, leaf, key, &cert, &pkey));
	assert_true(str_eq(testder_cert(&der, cert), leaf));
	assert_int_equal(X509_check_private_key(cert, pkey), 1);
	general = d2i_AutoPrivateKey(NULL, &at, (long)key.len);
	assert_int_equal(EVP_PKEY_eq(pkey, general), 1);
	c = EVP_PKEY_CTX_new(pkey, NULL);
	assert_int_equal(EVP_PKEY_sign_init(c), 1);
	assert_int_equal(EVP_PKEY_sign(c, signature, &n, digest, sizeof(digest)), 1);
	EVP_PKEY_CTX_free(c);
	c = EVP_PKEY_CTX_new(general, NULL);
	assert_int_equal(EVP_PKEY_verify_init(c), 1);
	assert_int_equal(EVP_PKEY_verify(c, signature, n, digest, sizeof(digest)), 1);
	EVP_PKEY_CTX_free(c);
	buf_deinit(&der);
	X509_free(cert);
	EVP_PKEY_free(pkey);
	EVP_PKEY_free(general);
}

static void test_refused(void **state)
{
	struct str leaf = buf_str(&bed.leaf[0]), key = buf_str(&bed.key[0]);

	(void)state;
	assert_true(takes(leaf, key));
	assert_false(takes(leaf, buf_str(&bed.key[1]))); /* another leaf's key */
	assert_false(takes(buf_str(&bed.leaf[2]), key));
	assert_false(takes(buf_str(&bed.leaf[2]), buf_str(&bed.key[2])));
	assert_false(takes(leaf, STR("")));
	assert_false(takes(STR(""), key));
	assert_false(takes(str_sub(leaf, 0, leaf.len - 1), key));
	assert_false(takes(leaf, str_sub(key, 0, key.len - 1)));
	/* A byte of the key changed: never taken where it shows (head, middle, public half). */
	for (size_t i = 0; i < key.len; i++) {
		bool is_private = i >= 36 && i < 36 + 32;

		bed.key[0].data[i] ^= 1;
		if (!is_private)
			assert_false(takes(leaf, key));
		bed.key[0].data[i] ^= 1;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_same_as_general, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
