/* A client's certificate as the plugins judge and show it, whether it came in the handshake or in a
 * header field. Pure. Thread: any. */
#ifndef CARDEA_PLUGINS_CLIENT_CERT_H
#define CARDEA_PLUGINS_CLIENT_CERT_H

#include <openssl/x509.h>
#include <stdbool.h>

#include "common/core/arena.h"
#include "common/core/err.h"

enum {
	CLIENT_CERT_CHAIN_MAX = 10,	     /* certificates sent, the client's own included */
	CLIENT_CERT_CHAIN_BYTES = 64 * 1024, /* of them together, in DER (TLS-09) */
	CLIENT_CERT_DEPTH_MAX = 5,	     /* authorities between the certificate and an anchor */
	CLIENT_CERT_AUTH_LEVEL = 2, /* OpenSSL's: RSA from 2048 bits on, no SHA-1 (TLS-22) */
	CLIENT_CERT_NAMES_MAX = 64,
	CLIENT_CERT_NAME_MAX = 512, /* longer names match nobody */
};

struct client_cert_trust {
	STACK_OF(X509) * anchors; /* none: nothing is trusted (TLS-10) */
	bool allow_partial_chain; /* an anchor need not be self-signed */
};

/* Whether leaf, with what was sent along (may be NULL, the leaf may be in it), leads to an anchor:
 * signatures, dates, depth, and use as a client. On success *chain (may be NULL) is the way there,
 * leaf first and anchor last, for sk_X509_pop_free. ERR_DENIED says why not, for the log. */
int client_cert_verify(X509 *leaf, STACK_OF(X509) * sent, const struct client_cert_trust *t,
		       STACK_OF(X509) * *chain, struct err *e) must_check;

struct client_cert_names {
	const struct str *items;
	size_t count;
};
/* Who it says it is for: the DNS names, e-mail addresses and URIs among its alternative names, as
 * they stand there; the common name when there are no alternative names. Names with bytes that are
 * no printable ASCII (TLS-21) or too long are left out, so are those beyond CLIENT_CERT_NAMES_MAX.
 * In the arena. */
int client_cert_names(X509 *cert, struct arena *a, struct client_cert_names *out,
		      struct err *e) must_check;

/* As header fields have them; STR_NONE when out of memory. In the arena. */
struct str client_cert_dn(const X509_NAME *name, struct arena *a); /* RFC 2253 */
struct str client_cert_serial(X509 *cert, struct arena *a);	   /* upper-case hex */
struct str client_cert_fingerprint(X509 *cert, struct arena *a);   /* SHA-1, lower-case hex */
struct str client_cert_escaped_pem(X509 *cert, struct arena *a);   /* PEM, percent-encoded */

#endif
