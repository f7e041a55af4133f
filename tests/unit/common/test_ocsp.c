/* pki/ocsp: whom to ask about a certificate, and what. Who may sign is in test_staple. */
#include "common/pki/ocsp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/lib/testpki.h"

static struct testca authority;

static int setup(void **state)
{
	(void)state;
	testpki_make(&authority, NULL, &(struct testpki_options){.name = "authority", .ca = true});
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	testca_deinit(&authority);
	return 0;
}

static void test_uri(void **state)
{
	static const struct {
		const char *uri, *want;
	} rows[] = {
		{"http://ca.example/x", "http://ca.example/x"},
		{"HTTPS://ca.example/x", "HTTPS://ca.example/x"},
		{NULL, NULL},
		{"ldap://ca.example/x", NULL},
		{"file:///etc/passwd", NULL},
		{"http:", NULL},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct testca leaf;
		char *uri = NULL;

		testpki_make(&leaf, &authority, &(struct testpki_options){.ocsp = rows[i].uri});
		assert_int_equal(ocsp_uri(leaf.cert, &uri, NULL), 0);
		if (rows[i].want)
			assert_string_equal(uri, rows[i].want);
		else
			assert_null(uri);
		free(uri);
		testca_deinit(&leaf);
	}
}

static void test_demanded(void **state)
{
	static const struct {
		const char *feature;
		bool demanded;
	} rows[] = {
		{NULL, false},
		{"status_request", true},
		{"status_request_v2", true},
		{"status_request,status_request_v2", true},
		{"13", false},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct testca leaf;

		testpki_make(&leaf, &authority,
			     &(struct testpki_options){.feature = rows[i].feature});
		assert_int_equal(ocsp_demanded(leaf.cert), rows[i].demanded);
		testca_deinit(&leaf);
	}
}

static void test_request(void **state)
{
	struct testca leaf;
	struct buf der = BUF_INIT;
	const unsigned char *at;
	OCSP_REQUEST *read;
	ASN1_INTEGER *serial = NULL;

	(void)state;
	testpki_make(&leaf, &authority, &(struct testpki_options){.name = "leaf"});
	assert_int_equal(ocsp_request(&der, leaf.cert, authority.cert, NULL), 0);
	at = (const unsigned char *)der.data;
	read = d2i_OCSP_REQUEST(NULL, &at, (long)der.len);
	assert_non_null(read);
	assert_int_equal(OCSP_request_onereq_count(read), 1);
	assert_int_equal(OCSP_REQUEST_get_ext_count(read), 0);
	OCSP_id_get0_info(NULL, NULL, NULL, &serial,
			  OCSP_onereq_get0_id(OCSP_request_onereq_get0(read, 0)));
	assert_int_equal(ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(leaf.cert)), 0);
	OCSP_REQUEST_free(read);
	buf_deinit(&der);
	testca_deinit(&leaf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uri),
		cmocka_unit_test(test_demanded),
		cmocka_unit_test(test_request),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
