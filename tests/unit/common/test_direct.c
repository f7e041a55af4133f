/* Certificates and keys the direct way: what it takes, the general way takes too. */
#include "common/pki/direct.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/pki/cert.h"
#include "common/pki/key.h"

enum { NOW = 1790000000, DAY = 24 * 3600 };

struct made {
	X509 *cert;
	EVP_PKEY *key;
	struct buf der;
};

static void make(struct made *m, const char *name, EVP_PKEY *key, const struct made *ca)
{
	const char *names[] = {name, NULL};
	const struct cert_make how = {.common_name = name,
				      .names = ca ? names : NULL,
				      .ca = !ca,
				      .server = ca != NULL,
				      .not_before = NOW,
				      .not_after = NOW + 90LL * DAY};

	*m = (struct made){NULL, key, BUF_INIT};
	assert_int_equal(
		cert_make(&m->cert, &how, key, ca ? ca->cert : NULL, ca ? ca->key : NULL, NULL), 0);
	assert_int_equal(cert_to_der(&m->der, m->cert, NULL), 0);
}

static void drop(struct made *m)
{
	X509_free(m->cert);
	EVP_PKEY_free(m->key);
	buf_deinit(&m->der);
}

static EVP_PKEY *ec(const char *curve)
{
	EVP_PKEY *key = EVP_EC_gen(curve);

	assert_non_null(key);
	return key;
}

static EVP_PKEY *rsa(void)
{
	EVP_PKEY *key = EVP_RSA_gen(2048);

	assert_non_null(key);
	return key;
}

/* The key's bytes in PKCS#8, or in the form before it. */
static EVP_PKEY *again(EVP_PKEY *key, bool pkcs8)
{
	unsigned char *bytes = NULL;
	struct buf der = BUF_INIT;
	EVP_PKEY *out;
	int n;

	if (pkcs8) {
		assert_int_equal(key_to_der(&der, key, NULL), 0);
		out = direct_private(STR("PRIVATE KEY"), buf_str(&der));
		buf_deinit(&der);
		return out;
	}
	n = i2d_PrivateKey(key, &bytes);
	assert_true(n > 0);
	out = direct_private(EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA ? STR("RSA PRIVATE KEY")
								       : STR("EC PRIVATE KEY"),
			     (struct str){(char *)bytes, (size_t)n});
	OPENSSL_free(bytes);
	return out;
}

static void check_kind(EVP_PKEY *ca_key, EVP_PKEY *leaf_key, EVP_PKEY *other_key)
{
	struct made ca, leaf;
	X509 *ca_direct, *leaf_direct;
	EVP_PKEY *ca_public, *leaf_public;

	make(&ca, "an authority", ca_key, NULL);
	make(&leaf, "a.example.com", leaf_key, &ca);
	ca_direct = direct_cert(buf_str(&ca.der));
	leaf_direct = direct_cert(buf_str(&leaf.der));
	assert_non_null(ca_direct);
	assert_non_null(leaf_direct);
	ca_public = direct_public(ca_direct);
	leaf_public = direct_public(leaf_direct);
	assert_int_equal(EVP_PKEY_eq(leaf_public, X509_get0_pubkey(leaf.cert)), 1);
	assert_int_equal(key_check_strength(leaf_public, NULL), 0);
	assert_true(direct_issued(ca_direct, ca_public, leaf_direct, buf_str(&leaf.der)));
	assert_false(direct_issued(leaf_direct, leaf_public, ca_direct, buf_str(&ca.der)));
	assert_false(direct_issued(ca_direct, leaf_public, leaf_direct, buf_str(&leaf.der)));
	for (int pkcs8 = 0; pkcs8 < 2; pkcs8++) {
		EVP_PKEY *own = again(leaf_key, pkcs8), *other = again(other_key, pkcs8);

		assert_true(direct_same(leaf_public, own));
		assert_false(direct_same(leaf_public, other));
		EVP_PKEY_free(own);
		EVP_PKEY_free(other);
	}
	assert_int_equal(ERR_peek_error(), 0);
	EVP_PKEY_free(ca_public);
	EVP_PKEY_free(leaf_public);
	X509_free(ca_direct);
	X509_free(leaf_direct);
	EVP_PKEY_free(other_key);
	drop(&leaf);
	drop(&ca);
}

static void test_kinds(void **state)
{
	(void)state;
	check_kind(ec("P-256"), ec("P-256"), ec("P-256"));
	check_kind(ec("P-384"), ec("P-521"), ec("P-521"));
	check_kind(ec("P-256"), ec("P-384"), ec("P-256"));
	check_kind(rsa(), ec("P-256"), rsa());
	check_kind(ec("P-256"), rsa(), rsa());
}

/* A new key is like any other on its curve, and no two are the same. */
static void test_new_keys(void **state)
{
	static const struct {
		int nid;
		const char *curve;
	} rows[] = {
		{NID_X9_62_prime256v1, "P-256"}, {NID_secp384r1, "P-384"}, {NID_secp521r1, "P-521"},
		{NID_secp256k1, NULL},		 {NID_X25519, NULL},	   {NID_undef, NULL},
		{NID_rsaEncryption, NULL},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		EVP_PKEY *one = direct_new_key(rows[i].nid), *two;

		assert_true(!one == !rows[i].curve);
		if (!one)
			continue;
		two = direct_new_key(rows[i].nid);
		assert_int_equal(EVP_PKEY_eq(one, two), 0);
		check_kind(ec(rows[i].curve), one, two);
	}
	assert_int_equal(ERR_peek_error(), 0);
}

static void test_other_kinds_go_the_general_way(void **state)
{
	EVP_PKEY *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	EVP_PKEY *curve = ec("secp256k1");
	struct buf der = BUF_INIT;

	(void)state;
	assert_int_equal(key_to_der(&der, ed, NULL), 0);
	assert_null(direct_private(STR("PRIVATE KEY"), buf_str(&der)));
	buf_clear(&der);
	assert_int_equal(key_to_der(&der, curve, NULL), 0);
	assert_null(direct_private(STR("PRIVATE KEY"), buf_str(&der)));
	assert_null(direct_private(STR("ENCRYPTED PRIVATE KEY"), buf_str(&der)));
	assert_null(direct_private(STR("PRIVATE KEY"), STR("")));
	assert_int_equal(ERR_peek_error(), 0);
	buf_deinit(&der);
	EVP_PKEY_free(ed);
	EVP_PKEY_free(curve);
}

/* The scalar of one key beside the public point of another. */
static void test_halves_of_two_keys(void **state)
{
	EVP_PKEY *one = ec("P-256"), *two = ec("P-256"), *mixed;
	struct buf a = BUF_INIT, b = BUF_INIT;
	struct made ca, leaf;
	X509 *cert;
	EVP_PKEY *public_key;

	(void)state;
	make(&ca, "an authority", ec("P-256"), NULL);
	make(&leaf, "a.example.com", one, &ca);
	assert_int_equal(key_to_der(&a, one, NULL), 0);
	assert_int_equal(key_to_der(&b, two, NULL), 0);
	/* PKCS#8 of P-256 ends with the point of 65 bytes. */
	memcpy(b.data + b.len - 65, a.data + a.len - 65, 65);
	mixed = direct_private(STR("PRIVATE KEY"), buf_str(&b));
	cert = direct_cert(buf_str(&leaf.der));
	public_key = direct_public(cert);
	assert_false(mixed && direct_same(public_key, mixed));
	EVP_PKEY_free(mixed);
	EVP_PKEY_free(public_key);
	EVP_PKEY_free(two);
	X509_free(cert);
	buf_deinit(&a);
	buf_deinit(&b);
	drop(&leaf);
	drop(&ca);
}

/* Each byte of a leaf is changed in turn. */
static void test_changed_bytes(void **state)
{
	struct made ca, leaf;
	X509 *ca_direct;
	EVP_PKEY *ca_public;
	size_t taken = 0;

	(void)state;
	make(&ca, "an authority", ec("P-256"), NULL);
	make(&leaf, "a.example.com", ec("P-256"), &ca);
	ca_direct = direct_cert(buf_str(&ca.der));
	ca_public = direct_public(ca_direct);
	for (size_t i = 0; i < leaf.der.len; i++) {
		X509 *direct, *general = NULL;

		leaf.der.data[i] ^= 1;
		direct = direct_cert(buf_str(&leaf.der));
		if (direct && direct_issued(ca_direct, ca_public, direct, buf_str(&leaf.der))) {
			taken++;
			assert_int_equal(cert_from_der(&general, buf_str(&leaf.der), NULL), 0);
			assert_int_equal(X509_check_issued(ca.cert, general), X509_V_OK);
			assert_int_equal(X509_verify(general, ca.key), 1);
		}
		X509_free(direct);
		X509_free(general);
		leaf.der.data[i] ^= 1;
	}
	assert_true(taken < 8); /* nothing that is signed */
	X509_free(ca_direct);
	EVP_PKEY_free(ca_public);
	drop(&leaf);
	drop(&ca);
}

/* An authority that may not sign certificates, and one that only has the name. */
static void test_who_may_issue(void **state)
{
	struct made ca, leaf, same_name;
	X509 *direct, *issuer;
	EVP_PKEY *public_key;

	(void)state;
	make(&ca, "an authority", ec("P-256"), NULL);
	make(&leaf, "a.example.com", ec("P-256"), &ca);
	make(&same_name, "an authority", ec("P-256"), NULL);
	direct = direct_cert(buf_str(&leaf.der));
	issuer = direct_cert(buf_str(&same_name.der));
	public_key = direct_public(issuer);
	assert_false(direct_issued(issuer, public_key, direct, buf_str(&leaf.der)));
	X509_free(issuer);
	EVP_PKEY_free(public_key);
	issuer = direct_cert(buf_str(&leaf.der)); /* no authority */
	public_key = direct_public(issuer);
	assert_false(direct_issued(issuer, public_key, direct, buf_str(&leaf.der)));
	X509_free(issuer);
	EVP_PKEY_free(public_key);
	X509_free(direct);
	drop(&same_name);
	drop(&leaf);
	drop(&ca);
}

static void test_bad_bytes(void **state)
{
	static const struct str bad[] = {{"", 0}, {"\x30", 1}, {"\x30\x80", 2}, {"junk", 4}};
	struct made ca;

	(void)state;
	for (size_t i = 0; i < array_len(bad); i++) {
		assert_null(direct_cert(bad[i]));
		assert_null(direct_private(STR("PRIVATE KEY"), bad[i]));
		assert_null(direct_private(STR("EC PRIVATE KEY"), bad[i]));
		assert_null(direct_private(STR("RSA PRIVATE KEY"), bad[i]));
	}
	make(&ca, "an authority", ec("P-256"), NULL);
	assert_int_equal(buf_add(&ca.der, "x", 1, NULL), 0); /* bytes after the end */
	assert_null(direct_cert(buf_str(&ca.der)));
	assert_int_equal(ERR_peek_error(), 0);
	drop(&ca);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_new_keys),
		cmocka_unit_test(test_other_kinds_go_the_general_way),
		cmocka_unit_test(test_halves_of_two_keys),
		cmocka_unit_test(test_changed_bytes),
		cmocka_unit_test(test_who_may_issue),
		cmocka_unit_test(test_bad_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
