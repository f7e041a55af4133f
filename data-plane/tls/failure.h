/* Why a client's TLS handshake did not come to its end: a bounded set of reasons, for metrics.
 * Pure.
 *
 *     this side sent an alert ────▶ OpenSSL's error, else the alert
 *     the client sent one ────────▶ the alert
 *     it ended without ───────────▶ how the connection ended, else OpenSSL's error
 */
#ifndef CARDEA_TLS_FAILURE_H
#define CARDEA_TLS_FAILURE_H

#include "common/core/err.h"

enum tls_failure {
	FAILURE_NAME,		    /* no certificate for it, and no default */
	FAILURE_VERSION,	    /* none in common, or too old for the name */
	FAILURE_FALLBACK,	    /* a newer version is there (RFC 7507) */
	FAILURE_CIPHER,		    /* none in common */
	FAILURE_GROUP,		    /* none in common for the key exchange */
	FAILURE_SIGNATURE,	    /* no algorithm in common that the certificate can sign with */
	FAILURE_ALPN,		    /* no protocol in common */
	FAILURE_CLIENT_CERTIFICATE, /* missing where OpenSSL wants one, broken, badly signed */
	FAILURE_HTTP,		    /* plain HTTP to a TLS port */
	FAILURE_MALFORMED,	    /* no TLS, or messages that break its rules */
	FAILURE_BAD_RECORD,	    /* does not decrypt, or Finished does not match */
	FAILURE_TIMEOUT,	    /* ssl_handshake_timeout */
	FAILURE_CLOSED,		    /* by the client, or the network */
	FAILURE_DROPPED,	    /* by this side: ssl_handshakes_waiting, the end of a drain */
	FAILURE_INTERNAL,	    /* memory, a certificate that cannot be used */
	FAILURE_ALERT_BAD_CERTIFICATE, /* these: what the client says of our certificate */
	FAILURE_ALERT_EXPIRED,
	FAILURE_ALERT_UNKNOWN,
	FAILURE_ALERT_UNKNOWN_CA,
	FAILURE_ALERT_OTHER, /* any other alert of the client */
	FAILURE_OTHER,
	TLS_FAILURES,
};

/* This side sent that alert (SSL_AD_...); error: OpenSSL's newest, 0: none. */
enum tls_failure tls_failure_sent(int alert, unsigned long error);
/* The client sent it. */
enum tls_failure tls_failure_received(int alert);
/* The connection ended in its handshake without an alert, because of that (conn's on_close). */
enum tls_failure tls_failure_ended(const struct err *why);
/* As a metric's label: "no_shared_cipher", ... */
const char *tls_failure_name(enum tls_failure f);

#endif
