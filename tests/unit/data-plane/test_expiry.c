#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/core/clock.h"
#include "common/pki/cert.h"
#include "data-plane/tables/expiry.h"
#include "tests/unit/lib/testcert.h"

enum { DAY = 24 * 3600 };

/* Ends as UTCTime (up to 2049) and as GeneralizedTime. */
static void test_as_openssl_says(void **state)
{
	static const long ends[] = {-DAY, 1, 90 * DAY, 3650L * DAY, 30 * 365L * DAY};
	struct testca ca;

	(void)state;
	testca_init(&ca, "test CA");
	for (size_t i = 0; i < array_len(ends); i++) {
		const struct testcert_options o = {.from_seconds = -2 * DAY, .to_seconds = ends[i]};
		unsigned char *der = NULL;
		struct cert_info info;
		EVP_PKEY *key;
		int64_t end;
		X509 *cert;
		int n;

		testcert_issue(&ca, &o, &cert, &key);
		cert_info(cert, &info);
		n = i2d_X509(cert, &der);
		assert_true(n > 0);
		assert_int_equal(expiry_of((struct str){(const char *)der, (size_t)n}, &end), 0);
		assert_int_equal(end, info.not_after);
		/* Cut anywhere: an answer or none, and no byte beyond. */
		for (int cut = 0; cut < n; cut++) {
			char *copy = malloc((size_t)cut + 1);

			assert_non_null(copy);
			memcpy(copy, der, (size_t)cut);
			assert_int_equal(expiry_of((struct str){copy, (size_t)cut}, &end), -1);
			free(copy);
		}
		OPENSSL_free(der);
		EVP_PKEY_free(key);
		X509_free(cert);
	}
	testca_deinit(&ca);
}

static void test_no_certificate(void **state)
{
	static const struct str rows[] = {
		STR(""),
		STR("\x30"),
		STR("\x30\x80"),
		STR("\x30\x84\xff\xff\xff\xff"),
		STR("\x30\x85\x01\x01\x01\x01\x01"),
		STR("\x31\x02\x30\x00"),
		STR("\x30\x04\x30\x02\x02\x00"),
		STR("\x30\x20\x30\x1e\x02\x00\x30\x00\x30\x00\x30\x16\x17\x01\x30\x17\x11"
		    "300101000000+0000xx"),
		STR("\x30\x1e\x30\x1c\x02\x00\x30\x00\x30\x00\x30\x14\x17\x01\x30\x17\x0f"
		    "30010100x000Z.."),
	};
	int64_t end = 7;

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++)
		assert_int_equal(expiry_of(rows[i], &end), -1);
	assert_int_equal(end, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_openssl_says),
		cmocka_unit_test(test_no_certificate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
