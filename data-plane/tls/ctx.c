#include "data-plane/tls/ctx.h"

#include <stdlib.h>

#include "common/net/tls.h"
#include "data-plane/tls/select.h"

struct tls_ctx {
	struct tls_ctx_options o;
	SSL_CTX *ssl;
	int counted; /* index of the SSL's mark that its handshake was counted */
};

static struct tls_ctx *ctx_of(const SSL *ssl)
{
	return SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
}

static void count(struct tls_ctx *c, SSL *ssl, enum tls_outcome outcome)
{
	if (SSL_get_ex_data(ssl, c->counted))
		return;
	SSL_set_ex_data(ssl, c->counted, c);
	if (c->o.on_handshake)
		c->o.on_handshake(outcome, c->o.arg);
}

static int on_client_hello(SSL *ssl, int *alert, void *arg)
{
	struct tls_ctx *c = arg;
	enum select_result r =
		select_certificate(ssl, c->o.tables, c->o.parsed, c->o.cert_file != NULL, alert);

	if (r < SELECT_UNKNOWN)
		return SSL_CLIENT_HELLO_SUCCESS;
	count(c, ssl, r == SELECT_UNKNOWN ? TLS_UNKNOWN_NAME : TLS_FAILED);
	return SSL_CLIENT_HELLO_ERROR;
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
		     EVP_MAC_CTX *mac, int encrypt)
{
	return ticket_keys_use(ctx_of(ssl)->o.tickets, name, iv, cipher, mac, encrypt);
}

/* Alert codes are level << 8 | description. */
static bool fatal(int code)
{
	return (code >> 8) == SSL3_AL_FATAL;
}

static void on_info(const SSL *ssl, int where, int code)
{
	struct tls_ctx *c = ctx_of(ssl);
	/* The mark is ours; OpenSSL's callback type is older than const. */
	SSL *own = (SSL *)(uintptr_t)ssl;

	if (where & SSL_CB_HANDSHAKE_DONE)
		count(c, own, SSL_session_reused(ssl) ? TLS_RESUMED : TLS_FULL);
	else if ((where & SSL_CB_ALERT) && fatal(code))
		count(c, own, where & SSL_CB_WRITE ? TLS_FAILED : TLS_PEER_ALERT);
}

int tls_ctx_create(struct tls_ctx **out, const struct tls_ctx_options *o, struct err *e)
{
	const struct tls_options base = {
		.server = true,
		.cert_file = o->cert_file,
		.key_file = o->key_file,
		.http2 = o->http2,
	};
	struct tls_ctx *c = calloc(1, sizeof(*c));

	if (!c)
		return err_memory(e, "making a TLS context");
	c->o = *o;
	c->counted = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	if (c->counted < 0) {
		free(c);
		return err_openssl(e, ERR_INTERNAL, "making a TLS context");
	}
	if (tls_context(&c->ssl, &base, e) != 0) {
		free(c);
		return -1;
	}
	SSL_CTX_set_app_data(c->ssl, c);
	SSL_CTX_set_client_hello_cb(c->ssl, on_client_hello, c);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(c->ssl, on_ticket);
	SSL_CTX_set_info_callback(c->ssl, on_info);
	*out = c;
	return 0;
}

void tls_ctx_free(struct tls_ctx *c)
{
	if (!c)
		return;
	SSL_CTX_free(c->ssl);
	free(c);
}

SSL_CTX *tls_ctx_ssl(struct tls_ctx *c)
{
	return c->ssl;
}
