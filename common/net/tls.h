/* SSL_CTXs with Cardea's settings. Thread: any; SSL_CTXs are shared by reference (SSL_CTX_up_ref).
 */
#ifndef CARDEA_NET_TLS_H
#define CARDEA_NET_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "common/core/err.h"

struct tls_options {
	bool server;
	const char *cert_file; /* PEM chain; NULL: none */
	const char *key_file;  /* PEM */
	const char *ca_file;   /* PEM bundle that peers are verified against; NULL with verify: the
				  system store */
	bool verify_peer;      /* server: a client certificate is required; client: the server is
				  verified */
	bool verify_optional;  /* server, with verify_peer: a client may come without a certificate
				*/
	bool http2;	       /* server: ALPN offers h2 and http/1.1; client: asks for h2 */
	bool tls13_only;
};

/* TLS 1.2 and 1.3, ECDHE AEAD suites only, no renegotiation, no compression, session cache off,
 * buffers released when idle, one ticket per full handshake. Errors name file and reason. */
int tls_context(SSL_CTX **out, const struct tls_options *o, struct err *e) must_check;
/* The same settings on a context that the caller made (data-plane listeners). */
int tls_context_harden(SSL_CTX *ctx, struct err *e) must_check;
/* ALPN selection for a server: prefers h2 when http2, refuses when there is none in common. */
void tls_context_alpn(SSL_CTX *ctx, bool http2);
/* The same as OpenSSL's callback; arg is not NULL when h2 is offered. */
int tls_select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
		    const unsigned char *in, unsigned in_len, void *arg);

#endif
