/* What cert_pair_from_pem refuses in a leaf itself; chains and keys are in test_cert.c. */
#include "common/pki/cert.h"

#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/pki/key.h"

enum { NOW = 1790000000, DAY = 24 * 3600 };

/* A sound self-signed certificate. */
static X509 *make_leaf(EVP_PKEY *key)
{
	static const char *const names[] = {"example.com", NULL};
	const struct cert_make m = {.common_name = "example.com",
				    .names = names,
				    .server = true,
				    .not_before = NOW,
				    .not_after = NOW + 90LL * DAY};
	X509 *cert = NULL;
	struct err e = ERR_INIT;

	if (cert_make(&cert, &m, key, NULL, NULL, &e) < 0)
		fail_msg("%s", e.message);
	return cert;
}

/* Ways to spoil the leaf before it is signed again. */
static void serial_zero(X509 *cert)
{
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), 0), 1);
}

static void serial_negative(X509 *cert)
{
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), -5), 1);
}

static void serial_long(X509 *cert)
{
	unsigned char bytes[22];

	memset(bytes, 0x11, sizeof(bytes));
	assert_int_equal(ASN1_STRING_set(X509_get_serialNumber(cert), bytes, sizeof(bytes)), 1);
}

static void version_1(X509 *cert)
{
	while (X509_get_ext_count(cert) > 0)
		X509_EXTENSION_free(X509_delete_ext(cert, 0));
	assert_int_equal(X509_set_version(cert, X509_VERSION_1), 1);
}

static void dates(X509 *cert, int64_t from, int64_t to)
{
	assert_non_null(ASN1_TIME_adj(X509_getm_notBefore(cert), (time_t)from, 0, 0));
	assert_non_null(ASN1_TIME_adj(X509_getm_notAfter(cert), (time_t)to, 0, 0));
}

static void dates_reversed(X509 *cert)
{
	dates(cert, NOW, NOW - 1);
}

static void dates_expired(X509 *cert)
{
	dates(cert, 1000, 2000);
}

static void dates_future(X509 *cert)
{
	dates(cert, NOW + 3650LL * DAY, NOW + 3651LL * DAY);
}

static void dates_century(X509 *cert)
{
	dates(cert, NOW, NOW + 36500LL * DAY);
}

static void dates_too_long(X509 *cert)
{
	dates(cert, NOW, NOW + 36526LL * DAY);
}

static void replace_san(X509 *cert, const char *bytes, size_t len)
{
	int at = X509_get_ext_by_NID(cert, NID_subject_alt_name, -1);
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	GENERAL_NAME *name = GENERAL_NAME_new();

	if (at >= 0)
		X509_EXTENSION_free(X509_delete_ext(cert, at));
	if (bytes) {
		name->type = GEN_DNS;
		name->d.dNSName = ASN1_IA5STRING_new();
		assert_int_equal(ASN1_STRING_set(name->d.dNSName, bytes, (int)len), 1);
		sk_GENERAL_NAME_push(names, name);
		name = NULL;
		assert_int_equal(
			X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_APPEND),
			1);
	}
	GENERAL_NAME_free(name);
	GENERAL_NAMES_free(names);
}

#define SAN(fn, text)                                                                              \
	static void fn(X509 *cert)                                                                 \
	{                                                                                          \
		replace_san(cert, text, sizeof(text) - 1);                                         \
	}
SAN(san_nul, "good.example\0.evil.example")
SAN(san_control, "a\tb.example")
SAN(san_not_ascii, "b\xC3\xBC"
		   "cher.example")
SAN(san_empty, "")
SAN(san_address, "192.0.2.1")
SAN(san_address6, "2001:db8::1")
SAN(san_star_middle, "a.*.example")
SAN(san_star_part, "a*.example")
SAN(san_star_twice, "*.*.example")
SAN(san_star_only, "*")
SAN(san_star_dot, "*.")

static void san_none(X509 *cert)
{
	replace_san(cert, NULL, 0);
}

static void san_unreadable(X509 *cert)
{
	ASN1_OCTET_STRING *junk = ASN1_OCTET_STRING_new();
	X509_EXTENSION *extension;

	san_none(cert);
	assert_int_equal(ASN1_OCTET_STRING_set(junk, (const unsigned char *)"junk", 4), 1);
	extension = X509_EXTENSION_create_by_NID(NULL, NID_subject_alt_name, 0, junk);
	assert_int_equal(X509_add_ext(cert, extension, -1), 1);
	X509_EXTENSION_free(extension);
	ASN1_OCTET_STRING_free(junk);
}

static void cn_set(X509 *cert, const char *bytes, int len)
{
	X509_NAME *name = X509_NAME_new();

	assert_int_equal(X509_NAME_add_entry_by_NID(name, NID_commonName, V_ASN1_UTF8STRING,
						    (const unsigned char *)bytes, len, -1, 0),
			 1);
	assert_int_equal(X509_set_subject_name(cert, name), 1);
	X509_NAME_free(name);
}

static void cn_nul(X509 *cert)
{
	cn_set(cert, "a.example\0b", 11);
}

static void cn_not_ascii(X509 *cert)
{
	cn_set(cert,
	       "b\xC3\xBC"
	       "cher",
	       7);
}

static void unchanged(X509 *cert)
{
	(void)cert;
}

static void test_spoiled_leaves(void **state)
{
	static const struct {
		const char *name;
		void (*spoil)(X509 *cert);
		const char *digest;
		const char *want; /* NULL: accepted */
	} rows[] = {
		{"as made", unchanged, "SHA256", NULL},
		{"SHA-512", unchanged, "SHA512", NULL},
		{"no names", san_none, "SHA256", NULL},
		{"expired", dates_expired, "SHA256", NULL},
		{"in the future", dates_future, "SHA256", NULL},
		{"100 years", dates_century, "SHA256", NULL},
		{"over 100 years", dates_too_long, "SHA256", "more than 100 years"},
		{"reversed dates", dates_reversed, "SHA256", "notAfter is before notBefore"},
		{"SHA-1", unchanged, "SHA1", "signed with SHA1"},
		{"MD5", unchanged, "MD5", "signed with MD5"},
		{"serial zero", serial_zero, "SHA256", "serial number zero"},
		{"serial negative", serial_negative, "SHA256", "negative serial number"},
		{"serial long", serial_long, "SHA256", "serial number of 22 bytes"},
		{"version 1", version_1, "SHA256", "version 1; version 3 is needed"},
		{"NUL in a name", san_nul, "SHA256", "byte 0x00 inside"},
		{"control in a name", san_control, "SHA256", "byte 0x09 inside"},
		{"not ASCII", san_not_ascii, "SHA256", "byte 0xc3 inside"},
		{"empty name", san_empty, "SHA256", "a DNS name of 0 bytes"},
		{"IPv4 as DNS", san_address, "SHA256", "an address written as a DNS name"},
		{"IPv6 as DNS", san_address6, "SHA256", "an address written as a DNS name"},
		{"star in the middle", san_star_middle, "SHA256", "whole first label"},
		{"star in a label", san_star_part, "SHA256", "whole first label"},
		{"two stars", san_star_twice, "SHA256", "whole first label"},
		{"star alone", san_star_only, "SHA256", "whole first label"},
		{"star and dot", san_star_dot, "SHA256", "whole first label"},
		{"unreadable names", san_unreadable, "SHA256", "unreadable subject alternative"},
		{"NUL in CN", cn_nul, "SHA256", "the common name has byte 0x00"},
		{"not ASCII in CN", cn_not_ascii, "SHA256", "the common name has byte 0xc3"},
	};
	EVP_PKEY *key = NULL;
	struct buf key_pem = BUF_INIT;

	(void)state;
	key_pem.secret = true;
	assert_int_equal(key_generate(&key, KEY_RSA_2048, NULL), 0);
	assert_int_equal(key_to_pem(&key_pem, key, NULL), 0);
	for (size_t i = 0; i < array_len(rows); i++) {
		X509 *cert = make_leaf(key);
		struct buf pem = BUF_INIT;
		struct cert_pair pair;
		struct err e = ERR_INIT;
		int got;

		rows[i].spoil(cert);
		assert_true(X509_sign(cert, key, EVP_get_digestbyname(rows[i].digest)) > 0);
		assert_int_equal(cert_to_pem(&pem, cert, &e), 0);
		got = cert_pair_from_pem(&pair, buf_str(&pem), buf_str(&key_pem), &e);
		if (rows[i].want ? got == 0 || !strstr(e.message, rows[i].want) : got < 0)
			fail_msg("%s: %d %s", rows[i].name, got, e.message);
		if (got == 0)
			cert_pair_free(&pair);
		X509_free(cert);
		buf_deinit(&pem);
	}
	EVP_PKEY_free(key);
	buf_deinit(&key_pem);
}

static void test_weak_keys(void **state)
{
	static const struct {
		const char *curve; /* NULL: RSA */
		const char *want;
	} rows[] = {
		{NULL, "PEM block 1 (line 1): RSA key of 1024 bits"},
		{"secp224r1", "EC key on curve secp224r1"},
		{"secp256k1", "EC key on curve secp256k1"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		EVP_PKEY *key = rows[i].curve ? EVP_EC_gen(rows[i].curve) : EVP_RSA_gen(1024);
		X509 *cert = make_leaf(key);
		struct buf cert_pem = BUF_INIT, key_pem = BUF_INIT;
		struct cert_pair pair;
		struct err e = ERR_INIT;

		assert_int_equal(cert_to_pem(&cert_pem, cert, &e), 0);
		assert_int_equal(key_to_pem(&key_pem, key, &e), 0);
		assert_int_equal(
			cert_pair_from_pem(&pair, buf_str(&cert_pem), buf_str(&key_pem), &e), -1);
		if (!strstr(e.message, rows[i].want))
			fail_msg("%zu: %s", i, e.message);
		X509_free(cert);
		EVP_PKEY_free(key);
		buf_deinit(&cert_pem);
		buf_deinit(&key_pem);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spoiled_leaves),
		cmocka_unit_test(test_weak_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
