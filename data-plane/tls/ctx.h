/* One SSL_CTX per kind of TLS listener of a worker, with the callbacks that choose certificates
 * and ticket keys. owner and thread: the worker.
 */
#ifndef CARDEA_TLS_CTX_H
#define CARDEA_TLS_CTX_H

#include <openssl/ssl.h>

#include "common/core/err.h"
#include "common/net/conn.h"
#include "data-plane/tables/tables.h"
#include "data-plane/tls/failure.h"
#include "data-plane/tls/parsed.h"
#include "data-plane/tls/profile.h"
#include "data-plane/tls/tickets.h"

enum tls_outcome {
	TLS_FULL,
	TLS_RESUMED,
	TLS_FAILED,
	TLS_OUTCOMES,
};

struct tls_ctx_options {
	const struct tables *tables;
	struct parsed_cache *parsed;	   /* shared by the worker's contexts */
	struct ticket_keys *tickets;	   /* the same */
	const char *cert_file, *key_file;  /* default certificate; NULL: none */
	const struct tls_profile *profile; /* copied from; NULL: intermediate, as tls_context */
	bool http2;
	/* Before anything that costs: SSL_CLIENT_HELLO_SUCCESS, _RETRY (asked again after
	 * conn_handshake_resume) or _ERROR. May be NULL. */
	int (*on_hello)(SSL *ssl, void *arg);
	/* The name has no certificate: SSL_CLIENT_HELLO_SUCCESS goes on without, _RETRY as above.
	 * May be NULL. */
	int (*on_unknown)(SSL *ssl, void *arg);
	/* Counts each handshake once; why: of TLS_FAILED. May be NULL. */
	void (*on_handshake)(enum tls_outcome outcome, enum tls_failure why, void *arg);
	/* A CA's validation request (tls/validation.h) is answered. May be NULL. */
	void (*on_validation)(const unsigned char challenge_id[CHALLENGE_ID_SIZE], void *arg);
	/* An OCSP response was sent to a client that asked, or (sent false) is out of date and was
	 * not. May be NULL. */
	void (*on_staple)(bool sent, void *arg);
	/* A handshake is complete. May be NULL. */
	void (*on_complete)(SSL *ssl, bool resumed, void *arg);
	void *arg;
};

struct tls_ctx;

/* Errors of the default certificate name the file. o is copied; what it points to is borrowed. */
int tls_ctx_create(struct tls_ctx **out, const struct tls_ctx_options *o, struct err *e) must_check;
/* Connections that use it keep the SSL_CTX, but must not handshake any more. NULL is fine. */
void tls_ctx_free(struct tls_ctx *c);
/* conn_options.on_tls_failed of connections that use such a context. */
void tls_ctx_conn_failed(struct conn *c, const struct err *why);
/* Borrowed. */
SSL_CTX *tls_ctx_ssl(struct tls_ctx *c);

#endif
