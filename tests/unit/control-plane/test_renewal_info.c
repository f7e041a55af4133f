/* Renewal information: identifiers, documents that lie, and times for lives from a minute to a
 * year. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <openssl/x509v3.h>

#include "common/pki/key.h"
#include "control-plane/acme/renewal_info.h"

#define DAY INT64_C(86400)

static const unsigned char aki[] = {0x69, 0x88, 0x5B, 0x6B, 0x87, 0x46, 0x40, 0x41, 0xE1, 0xB3,
				    0x7B, 0x84, 0x7B, 0xA0, 0xAE, 0x2C, 0xDE, 0x01, 0xC8, 0xD4};

static X509 *certificate(unsigned long serial, bool with_issuer)
{
	X509 *x = X509_new();
	AUTHORITY_KEYID *id = AUTHORITY_KEYID_new();
	EVP_PKEY *key = NULL;

	id->keyid = ASN1_OCTET_STRING_new();
	assert_int_equal(ASN1_OCTET_STRING_set(id->keyid, aki, sizeof(aki)), 1);
	assert_int_equal(ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial), 1);
	if (with_issuer)
		assert_int_equal(X509_add1_ext_i2d(x, NID_authority_key_identifier, id, 0, 0), 1);
	AUTHORITY_KEYID_free(id);
	/* OpenSSL looks at extensions of whole certificates only. */
	assert_int_equal(key_generate(&key, KEY_EC_P256, NULL), 0);
	assert_int_equal(X509_set_version(x, X509_VERSION_3), 1);
	assert_int_equal(X509_set_pubkey(x, key), 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), 0));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 60));
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	EVP_PKEY_free(key);
	return x;
}

/* The vector of Let's Encrypt's guide: the serial's leading zero byte counts. */
static void test_id(void **state)
{
	static const struct {
		unsigned long serial;
		const char *want;
	} rows[] = {
		{0x87654321, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"},
		{0x07654321, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.B2VDIQ"},
	};
	char out[RENEWAL_ID_SIZE];
	X509 *x;

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		x = certificate(rows[i].serial, true);
		assert_int_equal(renewal_id(out, x, NULL), 0);
		assert_string_equal(out, rows[i].want);
		X509_free(x);
	}
	x = certificate(1, false);
	assert_int_equal(renewal_id(out, x, NULL), -1);
	X509_free(x);
}

#define WINDOW(start, end) "{\"suggestedWindow\":{\"start\":\"" start "\",\"end\":\"" end "\"}"

static void test_documents(void **state)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"<html>",
		"{\"suggestedWindow\":[]}",
		"{\"suggestedWindow\":{\"start\":5,\"end\":6}}",
		"{\"suggestedWindow\":{\"start\":\"2025-01-02T04:00:00Z\"}}",
		WINDOW("2025-01-03T04:00:00Z", "2025-01-02T04:00:00Z") "}",
		WINDOW("tomorrow", "2025-01-02T04:00:00Z") "}",
	};
	struct renewal_window w;

	(void)state;
	assert_int_equal(
		renewal_read(&w,
			     STR(WINDOW("2025-01-02T04:00:00Z",
					"2025-01-03T04:00:00+01:00") ",\"explanationURL\":\"https:/"
								     "/ca.example/why\"}"),
			     NULL),
		0);
	assert_int_equal(w.end_s - w.start_s, 23 * 3600);
	assert_string_equal(w.explanation, "https://ca.example/why");
	for (size_t i = 0; i < array_len(bad); i++)
		if (renewal_read(&w, str_from(bad[i]), NULL) == 0)
			fail_msg("accepted: %s", bad[i]);
	assert_int_equal(
		renewal_read(
			&w,
			STR(WINDOW("2025-01-02T04:00:00Z",
				   "2025-01-02T04:00:00Z") ",\"explanationURL\":\"javascript:x\"}"),
			NULL),
		0);
	assert_string_equal(w.explanation, "");
}

static void test_when(void **state)
{
	static const struct {
		int64_t start, end, life, now;
		double chance;
		int64_t want; /* seconds */
	} rows[] = {
		{60 * DAY, 62 * DAY, 90 * DAY, DAY, 0, 60 * DAY},
		{60 * DAY, 62 * DAY, 90 * DAY, DAY, 0.5, 61 * DAY},
		{-2 * DAY, -DAY, 90 * DAY, DAY, 0.5, DAY},	       /* revoked: at once */
		{60 * DAY, 62 * DAY, 90 * DAY, 70 * DAY, 0, 70 * DAY}, /* overslept */
		{40, 41, 60, 1, 0, 40},
		{59, 70, 60, 1, 0.9, 57},		     /* the last part is not waited for */
		{-DAY, DAY, 60, 1, 0.5, RENEWAL_NO_OPINION}, /* holds all of it */
		{100 * DAY, 200 * DAY, 90 * DAY, 0, 0.5, 90 * DAY - 90 * DAY / 20},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		const struct renewal_window w = {.start_s = rows[i].start, .end_s = rows[i].end};
		const struct renewal_life l = {0, rows[i].life};
		int64_t ms = renewal_when_ms(&w, &l, rows[i].now, rows[i].chance);

		if (ms != (rows[i].want < 0 ? rows[i].want : rows[i].want * 1000))
			fail_msg("%zu: %lld", i, (long long)ms);
	}
}

static void test_poll(void **state)
{
	static const struct {
		int64_t retry_after_ms, life, want_s;
	} rows[] = {
		{-1, 90 * DAY, 6 * 3600},
		{0, 90 * DAY, 60},
		{21600000, 90 * DAY, 21600},
		{30 * DAY * 1000, 90 * DAY, DAY},
		{-1, 60, 6},
		{21600000, 600, 60},
		{0, 1, 1},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		const struct renewal_life l = {0, rows[i].life};

		assert_int_equal(renewal_poll_ms(rows[i].retry_after_ms, &l),
				 rows[i].want_s * 1000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_id),
		cmocka_unit_test(test_documents),
		cmocka_unit_test(test_when),
		cmocka_unit_test(test_poll),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
