#include "data-plane/tls/failure.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

struct row {
	int from;
	enum tls_failure to;
};

/* OpenSSL's reasons that say more than the alert they go with. */
static const struct row reasons[] = {
	{SSL_R_HTTP_REQUEST, FAILURE_HTTP},
	{SSL_R_HTTPS_PROXY_REQUEST, FAILURE_HTTP},
	{SSL_R_WRONG_VERSION_NUMBER, FAILURE_MALFORMED},
	{SSL_R_UNSUPPORTED_PROTOCOL, FAILURE_VERSION},
	{SSL_R_VERSION_TOO_LOW, FAILURE_VERSION},
	{SSL_R_NO_PROTOCOLS_AVAILABLE, FAILURE_VERSION},
	{SSL_R_INAPPROPRIATE_FALLBACK, FAILURE_FALLBACK},
	{SSL_R_NO_SHARED_CIPHER, FAILURE_CIPHER},
	{SSL_R_NO_SHARED_GROUPS, FAILURE_GROUP},
	{SSL_R_NO_SUITABLE_GROUPS, FAILURE_GROUP},
	{SSL_R_NO_SUITABLE_KEY_SHARE, FAILURE_GROUP},
	{SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, FAILURE_SIGNATURE},
	{SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, FAILURE_SIGNATURE},
	{SSL_R_NO_SUITABLE_DIGEST_ALGORITHM, FAILURE_SIGNATURE},
	{SSL_R_NO_APPLICATION_PROTOCOL, FAILURE_ALPN},
	{SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, FAILURE_CLIENT_CERTIFICATE},
	{SSL_R_CERTIFICATE_VERIFY_FAILED, FAILURE_CLIENT_CERTIFICATE},
	{SSL_R_BAD_SIGNATURE, FAILURE_CLIENT_CERTIFICATE},
	{SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, FAILURE_BAD_RECORD},
	{SSL_R_DECRYPTION_FAILED, FAILURE_BAD_RECORD},
	{SSL_R_DIGEST_CHECK_FAILED, FAILURE_BAD_RECORD},
	{SSL_R_UNEXPECTED_EOF_WHILE_READING, FAILURE_CLOSED},
	{ERR_R_MALLOC_FAILURE, FAILURE_INTERNAL},
	{ERR_R_INTERNAL_ERROR, FAILURE_INTERNAL},
};

static const struct row sent[] = {
	{SSL_AD_UNRECOGNIZED_NAME, FAILURE_NAME},
	{SSL_AD_PROTOCOL_VERSION, FAILURE_VERSION},
	{SSL_AD_INAPPROPRIATE_FALLBACK, FAILURE_FALLBACK},
	{SSL_AD_NO_APPLICATION_PROTOCOL, FAILURE_ALPN},
	{SSL_AD_INTERNAL_ERROR, FAILURE_INTERNAL},
	{SSL_AD_BAD_RECORD_MAC, FAILURE_BAD_RECORD},
	{SSL_AD_DECRYPT_ERROR, FAILURE_BAD_RECORD},
	{SSL_AD_UNEXPECTED_MESSAGE, FAILURE_MALFORMED},
	{SSL_AD_RECORD_OVERFLOW, FAILURE_MALFORMED},
	{SSL_AD_DECODE_ERROR, FAILURE_MALFORMED},
	{SSL_AD_ILLEGAL_PARAMETER, FAILURE_MALFORMED},
	{SSL_AD_MISSING_EXTENSION, FAILURE_MALFORMED},
	{SSL_AD_UNSUPPORTED_EXTENSION, FAILURE_MALFORMED},
	{SSL_AD_BAD_CERTIFICATE, FAILURE_CLIENT_CERTIFICATE},
	{SSL_AD_UNSUPPORTED_CERTIFICATE, FAILURE_CLIENT_CERTIFICATE},
	{SSL_AD_CERTIFICATE_UNKNOWN, FAILURE_CLIENT_CERTIFICATE},
	{SSL_AD_CERTIFICATE_REQUIRED, FAILURE_CLIENT_CERTIFICATE},
	{SSL_AD_UNKNOWN_CA, FAILURE_CLIENT_CERTIFICATE},
};

static const struct row received[] = {
	{SSL_AD_BAD_CERTIFICATE, FAILURE_ALERT_BAD_CERTIFICATE},
	{SSL_AD_UNSUPPORTED_CERTIFICATE, FAILURE_ALERT_BAD_CERTIFICATE},
	{SSL_AD_CERTIFICATE_REVOKED, FAILURE_ALERT_BAD_CERTIFICATE},
	{SSL_AD_CERTIFICATE_EXPIRED, FAILURE_ALERT_EXPIRED},
	{SSL_AD_CERTIFICATE_UNKNOWN, FAILURE_ALERT_UNKNOWN},
	{SSL_AD_UNKNOWN_CA, FAILURE_ALERT_UNKNOWN_CA},
};

static enum tls_failure find(const struct row *rows, size_t n, int from, enum tls_failure otherwise)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i].from == from)
			return rows[i].to;
	return otherwise;
}

enum tls_failure tls_failure_sent(int alert, unsigned long error)
{
	enum tls_failure by_alert = find(sent, array_len(sent), alert, FAILURE_OTHER);

	return find(reasons, array_len(reasons), ERR_GET_REASON(error), by_alert);
}

enum tls_failure tls_failure_received(int alert)
{
	return find(received, array_len(received), alert, FAILURE_ALERT_OTHER);
}

enum tls_failure tls_failure_ended(const struct err *why)
{
	static const struct row kinds[] = {
		{ERR_NONE, FAILURE_DROPPED},
		{ERR_TIMEOUT, FAILURE_TIMEOUT},
		{ERR_UNAVAILABLE, FAILURE_CLOSED},
		{ERR_MEMORY, FAILURE_INTERNAL},
	};
	enum tls_failure by_kind = find(kinds, array_len(kinds), (int)why->kind, TLS_FAILURES);

	return by_kind < TLS_FAILURES ? by_kind
				      : find(reasons, array_len(reasons), why->code, FAILURE_OTHER);
}

const char *tls_failure_name(enum tls_failure f)
{
	static const char *const names[TLS_FAILURES] = {
		[FAILURE_NAME] = "unknown_name",
		[FAILURE_VERSION] = "unsupported_protocol",
		[FAILURE_FALLBACK] = "inappropriate_fallback",
		[FAILURE_CIPHER] = "no_shared_cipher",
		[FAILURE_GROUP] = "no_shared_group",
		[FAILURE_SIGNATURE] = "no_shared_signature",
		[FAILURE_ALPN] = "no_shared_alpn",
		[FAILURE_CLIENT_CERTIFICATE] = "client_certificate",
		[FAILURE_HTTP] = "http_request",
		[FAILURE_MALFORMED] = "malformed",
		[FAILURE_BAD_RECORD] = "bad_record",
		[FAILURE_TIMEOUT] = "timeout",
		[FAILURE_CLOSED] = "closed",
		[FAILURE_DROPPED] = "dropped",
		[FAILURE_INTERNAL] = "internal",
		[FAILURE_ALERT_BAD_CERTIFICATE] = "alert_bad_certificate",
		[FAILURE_ALERT_EXPIRED] = "alert_certificate_expired",
		[FAILURE_ALERT_UNKNOWN] = "alert_certificate_unknown",
		[FAILURE_ALERT_UNKNOWN_CA] = "alert_unknown_ca",
		[FAILURE_ALERT_OTHER] = "alert_other",
		[FAILURE_OTHER] = "other",
	};

	return names[f];
}
