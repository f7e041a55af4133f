/* The certificate of a validation request: its one name, or the address that a reverse name stands
 * for, and the identifier. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include "data-plane/tls/validation.h"

static const struct {
	const char *server_name;
	const char *address; /* NULL: a DNS name, server_name itself */
} rows[] = {
	{"a.example", NULL},
	{"1.2.0.192.in-addr.arpa", "192.0.2.1"},
	{"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", "2001:db8::1"},
	/* No addresses. */
	{"2.0.192.in-addr.arpa", NULL},
	{"0.1.2.0.192.in-addr.arpa", NULL},
	{"256.2.0.192.in-addr.arpa", NULL},
	{"x.2.0.192.in-addr.arpa", NULL},
	{"1.0.ip6.arpa", NULL},
	{"g.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", NULL},
};

static void test_certificate(void **state)
{
	static const struct str key_authorization = STR("token.thumbprint");
	unsigned char digest[SHA256_DIGEST_LENGTH];

	(void)state;
	SHA256((const unsigned char *)key_authorization.ptr, key_authorization.len, digest);
	for (size_t i = 0; i < array_len(rows); i++) {
		ASN1_OBJECT *id = OBJ_txt2obj("1.3.6.1.5.5.7.1.31", 1);
		X509 *cert = NULL;
		EVP_PKEY *key = NULL;
		X509_EXTENSION *x;
		GENERAL_NAMES *san;
		const unsigned char *bytes;

		assert_int_equal(validation_certificate(&cert, &key, str_from(rows[i].server_name),
							key_authorization, NULL),
				 0);
		san = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
		assert_int_equal(sk_GENERAL_NAME_num(san), 1);
		assert_int_equal(sk_GENERAL_NAME_value(san, 0)->type,
				 rows[i].address ? GEN_IPADD : GEN_DNS);
		if (rows[i].address)
			assert_int_equal(X509_check_ip_asc(cert, rows[i].address, 0), 1);
		else
			assert_int_equal(X509_check_host(cert, rows[i].server_name, 0, 0, NULL), 1);
		x = X509_get_ext(cert, X509_get_ext_by_OBJ(cert, id, -1));
		assert_int_equal(X509_EXTENSION_get_critical(x), 1);
		assert_int_equal(ASN1_STRING_length(X509_EXTENSION_get_data(x)), 34);
		bytes = ASN1_STRING_get0_data(X509_EXTENSION_get_data(x));
		assert_int_equal(bytes[0], V_ASN1_OCTET_STRING);
		assert_memory_equal(bytes + 2, digest, sizeof(digest));
		assert_int_equal(X509_verify(cert, key), 1);
		GENERAL_NAMES_free(san);
		ASN1_OBJECT_free(id);
		X509_free(cert);
		EVP_PKEY_free(key);
	}
}

static void test_no_name(void **state)
{
	X509 *cert = NULL;
	EVP_PKEY *key = NULL;

	(void)state;
	assert_int_equal(validation_certificate(&cert, &key, STR(""), STR("x"), NULL), -1);
	assert_null(key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_certificate),
		cmocka_unit_test(test_no_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
