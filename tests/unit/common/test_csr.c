#include "common/pki/csr.h"

#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/pki/key.h"

static void test_request(void **state)
{
	static const enum key_type types[] = {KEY_EC_P256, KEY_RSA_2048};
	const struct str names[] = {STR("a.example"), STR("*.b.example"),
				    STR("xn--80ak6aa92e.com")};

	(void)state;
	for (size_t t = 0; t < array_len(types); t++) {
		struct err e = ERR_INIT;
		struct buf der = BUF_INIT;
		EVP_PKEY *key = NULL;
		const unsigned char *p;
		X509_REQ *req;
		STACK_OF(X509_EXTENSION) * extensions;
		GENERAL_NAMES *san;

		assert_int_equal(key_generate(&key, types[t], &e), 0);
		assert_int_equal(csr_make(&der, key, names, array_len(names), &e), 0);
		p = (const unsigned char *)der.data;
		req = d2i_X509_REQ(NULL, &p, (long)der.len);
		assert_non_null(req);
		assert_int_equal(X509_REQ_verify(req, key), 1);
		assert_int_equal(X509_NAME_entry_count(X509_REQ_get_subject_name(req)), 0);
		extensions = X509_REQ_get_extensions(req);
		assert_int_equal(sk_X509_EXTENSION_num(extensions), 1);
		san = X509V3_get_d2i(extensions, NID_subject_alt_name, NULL, NULL);
		assert_int_equal(sk_GENERAL_NAME_num(san), (int)array_len(names));
		for (int i = 0; i < (int)array_len(names); i++) {
			const ASN1_IA5STRING *name = sk_GENERAL_NAME_value(san, i)->d.dNSName;

			assert_int_equal(sk_GENERAL_NAME_value(san, i)->type, GEN_DNS);
			assert_true(str_eq(names[i],
					   (struct str){(const char *)ASN1_STRING_get0_data(name),
							(size_t)ASN1_STRING_length(name)}));
		}
		GENERAL_NAMES_free(san);
		sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
		X509_REQ_free(req);
		EVP_PKEY_free(key);
		buf_deinit(&der);
	}
}

static void test_bad_names(void **state)
{
	static const struct {
		struct str name;
		const char *want;
	} rows[] = {
		{{"", 0}, "not a name"},
		{{"a b", 3}, "not a name"},
		{{"a\0b", 3}, "not a name"},
		{{"a\nb", 3}, "not a name"},
		{{"b\xC3\xBC"
		  "cher.example",
		  14},
		 "not a name"},
		{{NULL, 0}, "not a name"},
	};
	EVP_PKEY *key = NULL;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(key_generate(&key, KEY_EC_P256, &e), 0);
	for (size_t i = 0; i < array_len(rows); i++) {
		const struct str names[] = {STR("ok.example"), rows[i].name};
		struct buf out = BUF_INIT;

		assert_int_equal(csr_make(&out, key, names, 2, &e), -1);
		if (!strstr(e.message, rows[i].want))
			fail_msg("%zu: %s", i, e.message);
		assert_int_equal(out.len, 0);
		buf_deinit(&out);
	}
	EVP_PKEY_free(key);
}

/* RFC 8738 section 4. */
static void test_addresses(void **state)
{
	const struct str names[] = {STR("192.0.2.1"), STR("2001:db8::1"), STR("a.example")};
	static const int types[] = {GEN_IPADD, GEN_IPADD, GEN_DNS};
	STACK_OF(X509_EXTENSION) * extensions;
	const unsigned char *p;
	struct buf der = BUF_INIT;
	EVP_PKEY *key = NULL;
	GENERAL_NAMES *san;
	X509_REQ *req;

	(void)state;
	assert_int_equal(key_generate(&key, KEY_EC_P256, NULL), 0);
	assert_int_equal(csr_make(&der, key, names, array_len(names), NULL), 0);
	p = (const unsigned char *)der.data;
	req = d2i_X509_REQ(NULL, &p, (long)der.len);
	extensions = X509_REQ_get_extensions(req);
	san = X509V3_get_d2i(extensions, NID_subject_alt_name, NULL, NULL);
	assert_int_equal(sk_GENERAL_NAME_num(san), array_len(types));
	for (int i = 0; i < (int)array_len(types); i++)
		assert_int_equal(sk_GENERAL_NAME_value(san, i)->type, types[i]);
	GENERAL_NAMES_free(san);
	sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
	X509_REQ_free(req);
	EVP_PKEY_free(key);
	buf_deinit(&der);
}

static void test_no_names(void **state)
{
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(csr_make(&out, NULL, NULL, 0, &e), -1);
	assert_int_equal(e.kind, ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_bad_names),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_no_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
