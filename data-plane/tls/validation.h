/* tls-alpn-01 (RFC 8737): the handshake by which a CA asks whether a name is ours. It offers the
 * protocol acme-tls/1 and nothing else, and gets a certificate that is made for it on the spot, out
 * of the challenge that the fleet's state has for the name (tables/challenges.h, token
 * VALIDATION_TOKEN). While there is no challenge at all, other handshakes pay one comparison.
 * Thread: the worker. */
#ifndef CARDEA_TLS_VALIDATION_H
#define CARDEA_TLS_VALIDATION_H

#include <openssl/ssl.h>

#include "common/core/err.h"
#include "data-plane/tables/tables.h"

#define VALIDATION_PROTOCOL "acme-tls/1"
#define VALIDATION_TOKEN "tls-alpn-01" /* as proto/cardea/v1/fleet.proto has it */

/* The challenge that the ClientHello which ssl is reading asks about; NULL: it is none of those, or
 * nothing is known of its name. Lives until rcu_leave. */
const struct challenge *validation_challenge(SSL *ssl, const struct tables *t);
/* The self-signed certificate of section 3, for the server name of a validation request: an address
 * in reverse form stands for the address (RFC 8738 section 6). */
int validation_certificate(X509 **cert, EVP_PKEY **key, struct str server_name,
			   struct str key_authorization, struct err *e) must_check;
/* Gives ssl that certificate. */
int validation_use(SSL *ssl, const struct challenge *c, struct err *e) must_check;

#endif
