/* One SSL_CTX per kind of TLS listener of a worker, with the callbacks that choose certificates
 * and ticket keys. owner and thread: the worker.
 */
#ifndef CARDEA_TLS_CTX_H
#define CARDEA_TLS_CTX_H

#include <openssl/ssl.h>

#include "common/core/err.h"
#include "data-plane/tables/tables.h"
#include "data-plane/tls/parsed.h"
#include "data-plane/tls/tickets.h"

enum tls_outcome {
	TLS_FULL,
	TLS_RESUMED,
	TLS_UNKNOWN_NAME, /* refused: no certificate */
	TLS_FAILED,	  /* this side sent an alert */
	TLS_PEER_ALERT,	  /* the client sent one before the end */
	TLS_OUTCOMES,
};

struct tls_ctx_options {
	const struct tables *tables;
	struct parsed_cache *parsed;	  /* shared by the worker's contexts */
	struct ticket_keys *tickets;	  /* the same */
	const char *cert_file, *key_file; /* default certificate; NULL: none */
	bool http2;
	/* Counts; may be NULL. */
	void (*on_handshake)(enum tls_outcome outcome, void *arg);
	void *arg;
};

struct tls_ctx;

/* Errors of the default certificate name the file. o is copied; what it points to is borrowed. */
int tls_ctx_create(struct tls_ctx **out, const struct tls_ctx_options *o, struct err *e) must_check;
/* Connections that use it keep the SSL_CTX, but must not handshake any more. NULL is fine. */
void tls_ctx_free(struct tls_ctx *c);
/* Borrowed. */
SSL_CTX *tls_ctx_ssl(struct tls_ctx *c);

#endif
