/* tls/failure: from alerts, OpenSSL's errors and ends of connections to reasons. */
#include "data-plane/tls/failure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

static void expect(const char *row, enum tls_failure got, const char *want)
{
	if (strcmp(tls_failure_name(got), want) != 0)
		fail_msg("%s: %s instead of %s", row, tls_failure_name(got), want);
}

static void test_sent(void **state)
{
	static const struct {
		const char *row;
		int alert, reason;
		const char *want;
	} rows[] = {
		{"cipher", SSL_AD_HANDSHAKE_FAILURE, SSL_R_NO_SHARED_CIPHER, "no_shared_cipher"},
		{"key share", SSL_AD_HANDSHAKE_FAILURE, SSL_R_NO_SUITABLE_KEY_SHARE,
		 "no_shared_group"},
		{"signature", SSL_AD_HANDSHAKE_FAILURE, SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM,
		 "no_shared_signature"},
		{"a failure that nobody knows", SSL_AD_HANDSHAKE_FAILURE, 0, "other"},
		{"version", SSL_AD_PROTOCOL_VERSION, SSL_R_UNSUPPORTED_PROTOCOL,
		 "unsupported_protocol"},
		{"version, by the alert", SSL_AD_PROTOCOL_VERSION, SSL_R_LENGTH_MISMATCH,
		 "unsupported_protocol"},
		{"a record of no version", SSL_AD_PROTOCOL_VERSION, SSL_R_WRONG_VERSION_NUMBER,
		 "malformed"},
		{"fallback", SSL_AD_INAPPROPRIATE_FALLBACK, SSL_R_INAPPROPRIATE_FALLBACK,
		 "inappropriate_fallback"},
		{"name", SSL_AD_UNRECOGNIZED_NAME, SSL_R_CALLBACK_FAILED, "unknown_name"},
		{"protocol", SSL_AD_NO_APPLICATION_PROTOCOL, SSL_R_NO_APPLICATION_PROTOCOL,
		 "no_shared_alpn"},
		{"no client certificate", SSL_AD_CERTIFICATE_REQUIRED,
		 SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "client_certificate"},
		{"badly signed", SSL_AD_DECRYPT_ERROR, SSL_R_BAD_SIGNATURE, "client_certificate"},
		{"not a certificate", SSL_AD_BAD_CERTIFICATE, 0, "client_certificate"},
		{"Finished", SSL_AD_DECRYPT_ERROR, SSL_R_DIGEST_CHECK_FAILED, "bad_record"},
		{"record", SSL_AD_BAD_RECORD_MAC, SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC,
		 "bad_record"},
		{"syntax", SSL_AD_DECODE_ERROR, SSL_R_BAD_EXTENSION, "malformed"},
		{"order", SSL_AD_UNEXPECTED_MESSAGE, SSL_R_UNEXPECTED_MESSAGE, "malformed"},
		{"too long", SSL_AD_RECORD_OVERFLOW, 0, "malformed"},
		{"value", SSL_AD_ILLEGAL_PARAMETER, 0, "malformed"},
		{"own fault", SSL_AD_INTERNAL_ERROR, 0, "internal"},
		{"memory", SSL_AD_NO_RENEGOTIATION, ERR_R_MALLOC_FAILURE, "internal"},
		{"an alert that is never sent", 255, 0, "other"},
		{"no alert at all", -1, 0, "other"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		unsigned long error = rows[i].reason ? ERR_PACK(ERR_LIB_SSL, 0, rows[i].reason) : 0;

		expect(rows[i].row, tls_failure_sent(rows[i].alert, error), rows[i].want);
	}
}

static void test_received(void **state)
{
	static const struct {
		int alert;
		const char *want;
	} rows[] = {
		{SSL_AD_UNKNOWN_CA, "alert_unknown_ca"},
		{SSL_AD_BAD_CERTIFICATE, "alert_bad_certificate"},
		{SSL_AD_UNSUPPORTED_CERTIFICATE, "alert_bad_certificate"},
		{SSL_AD_CERTIFICATE_REVOKED, "alert_bad_certificate"},
		{SSL_AD_CERTIFICATE_EXPIRED, "alert_certificate_expired"},
		{SSL_AD_CERTIFICATE_UNKNOWN, "alert_certificate_unknown"},
		{SSL_AD_HANDSHAKE_FAILURE, "alert_other"},
		{SSL_AD_PROTOCOL_VERSION, "alert_other"},
		{0, "alert_other"},
		{255, "alert_other"},
		{-1, "alert_other"},
	};
	char row[16];

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		snprintf(row, sizeof(row), "%d", rows[i].alert);
		expect(row, tls_failure_received(rows[i].alert), rows[i].want);
	}
}

static void test_ended(void **state)
{
	static const struct {
		const char *row;
		enum err_kind kind;
		int code;
		const char *want;
	} rows[] = {
		{"this side closes", ERR_NONE, 0, "dropped"},
		{"time", ERR_TIMEOUT, 0, "timeout"},
		{"FIN", ERR_UNAVAILABLE, 0, "closed"},
		{"a reset", ERR_UNAVAILABLE, 104, "closed"},
		{"memory", ERR_MEMORY, 0, "internal"},
		{"HTTP", ERR_DENIED, SSL_R_HTTP_REQUEST, "http_request"},
		{"a proxy's request", ERR_DENIED, SSL_R_HTTPS_PROXY_REQUEST, "http_request"},
		{"no TLS", ERR_DENIED, SSL_R_WRONG_VERSION_NUMBER, "malformed"},
		{"any other error", ERR_DENIED, SSL_R_BAD_LENGTH, "other"},
		{"none", ERR_DENIED, 0, "other"},
		{"no reason", ERR_INTERNAL, 0, "other"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		const struct err why = {.kind = rows[i].kind, .code = rows[i].code};

		expect(rows[i].row, tls_failure_ended(&why), rows[i].want);
	}
}

/* A label each, and none twice. */
static void test_names(void **state)
{
	(void)state;
	for (int i = 0; i < TLS_FAILURES; i++) {
		assert_non_null(tls_failure_name((enum tls_failure)i));
		for (int k = 0; k < i; k++)
			assert_string_not_equal(tls_failure_name((enum tls_failure)i),
						tls_failure_name((enum tls_failure)k));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sent),
		cmocka_unit_test(test_received),
		cmocka_unit_test(test_ended),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
