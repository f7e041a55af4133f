#include "data-plane/tls/ctx.h"

#include <openssl/err.h>
#include <stdlib.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "common/net/tls.h"
#include "data-plane/tls/select.h"
#include "data-plane/tls/validation.h"

enum { CLIENT_CHAIN_MAX = 64 << 10 }; /* TLS-09 */

struct tls_ctx {
	struct tls_ctx_options o;
	SSL_CTX *ssl;
	/* From a ClientHello to on_certificate, which comes in the same call of OpenSSL. */
	const SSL *reading;
	const struct cert *cert; /* for it; NULL: the default */
	/* From on_certificate to on_status, which comes in the same call too. */
	const SSL *stapling;
	const struct cert *stapled;
};

/* Marks of an SSL, by their indices. OpenSSL never gives an index back, and contexts come and go
 * with each reload: the process has one set of them. */
static CRYPTO_ONCE marks_once = CRYPTO_ONCE_STATIC_INIT;
static int counted = -1;    /* its handshake was counted */
static int validating = -1; /* it answers a CA's validation request */

static void make_marks(void)
{
	counted = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	validating = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

static struct tls_ctx *ctx_of(const SSL *ssl)
{
	return SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
}

static void count(struct tls_ctx *c, SSL *ssl, enum tls_outcome outcome, enum tls_failure why)
{
	if (SSL_get_ex_data(ssl, counted))
		return;
	SSL_set_ex_data(ssl, counted, c);
	if (c->o.on_handshake)
		c->o.on_handshake(outcome, why, c->o.arg);
}

static void count_failed(struct tls_ctx *c, SSL *ssl, enum tls_failure why)
{
	count(c, ssl, TLS_FAILED, why);
}

void tls_ctx_conn_failed(struct conn *c, const struct err *why)
{
	SSL *ssl = conn_ssl(c);

	count_failed(ctx_of(ssl), ssl, tls_failure_ended(why));
}

/* The CA gets the certificate that it looks for, and no other protocol. */
static int answer_validation(struct tls_ctx *c, SSL *ssl, const struct challenge *challenge,
			     int *alert)
{
	struct err e = ERR_INIT;

	if (validation_use(ssl, challenge, &e) != 0) {
		log_error("a validation request is not answered", log_err(&e));
		*alert = SSL_AD_INTERNAL_ERROR;
		count_failed(c, ssl, FAILURE_INTERNAL);
		return SSL_CLIENT_HELLO_ERROR;
	}
	SSL_set_ex_data(ssl, validating, c);
	c->reading = NULL;
	if (c->o.on_validation)
		c->o.on_validation(challenge->id, c->o.arg);
	return SSL_CLIENT_HELLO_SUCCESS;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
		   const unsigned char *in, unsigned in_len, void *arg)
{
	struct tls_ctx *c = arg;

	if (!SSL_get_ex_data(ssl, validating))
		return tls_select_alpn(ssl, out, out_len, in, in_len, c->o.http2 ? c : NULL);
	*out = (const unsigned char *)VALIDATION_PROTOCOL;
	*out_len = sizeof(VALIDATION_PROTOCOL) - 1;
	return SSL_TLSEXT_ERR_OK;
}

static const struct addr *destination(const SSL *ssl)
{
	const struct conn *c = conn_of_ssl(ssl);

	return c ? conn_destination(c) : NULL;
}

static int on_client_hello(SSL *ssl, int *alert, void *arg)
{
	struct tls_ctx *c = arg;
	int admitted = c->o.on_hello ? c->o.on_hello(ssl, c->o.arg) : SSL_CLIENT_HELLO_SUCCESS;
	const struct challenge *challenge;
	static const enum tls_failure failures[SELECT_RESULTS] = {
		[SELECT_UNKNOWN] = FAILURE_NAME,
		[SELECT_MALFORMED] = FAILURE_MALFORMED,
		[SELECT_FAILED] = FAILURE_INTERNAL,
	};
	enum select_result r;

	if (admitted != SSL_CLIENT_HELLO_SUCCESS)
		return admitted;
	challenge = validation_challenge(ssl, c->o.tables);
	if (challenge)
		return answer_validation(c, ssl, challenge, alert);
	r = select_certificate(ssl, c->o.tables, destination(ssl), c->o.cert_file != NULL, &c->cert,
			       alert);
	if ((r == SELECT_DEFAULT || r == SELECT_UNKNOWN) && c->o.on_unknown) {
		int known = c->o.on_unknown(ssl, c->o.arg);

		if (known != SSL_CLIENT_HELLO_SUCCESS)
			return known;
	}
	c->reading = ssl;
	if (r < SELECT_UNKNOWN)
		return SSL_CLIENT_HELLO_SUCCESS;
	count_failed(c, ssl, failures[r]);
	return SSL_CLIENT_HELLO_ERROR;
}

/* Not called for a connection that is resumed. */
static int on_certificate(SSL *ssl, void *arg)
{
	struct tls_ctx *c = arg;
	const struct cert *cert = c->cert;

	if (SSL_get_ex_data(ssl, validating))
		return 1;
	if (c->reading != ssl)
		return 0;
	c->reading = NULL;
	c->cert = NULL;
	c->stapling = ssl;
	c->stapled = cert;
	return !cert || select_use(ssl, cert, c->o.parsed) == 0;
}

static void stapled(const struct tls_ctx *c, bool sent)
{
	if (c->o.on_staple)
		c->o.on_staple(sent, c->o.arg);
}

static bool has_staple(const struct cert *cert)
{
	for (size_t i = 0; i < cert->count; i++)
		if (cert->parts[i].staple_len > 0)
			return true;
	return false;
}

/* The part of cert that OpenSSL chose for ssl; NULL: none. */
static const struct parsed_part *part_in_use(const struct tls_ctx *c, SSL *ssl,
					     const struct cert *cert)
{
	const struct parsed_cert *p;

	if (parsed_cache_get(c->o.parsed, cert, &p, NULL) != 0)
		return NULL;
	for (size_t i = 0; i < p->count; i++)
		if (p->parts[i].leaf == SSL_get_certificate(ssl))
			return &p->parts[i];
	return NULL;
}

/* The client asks for an OCSP response (RFC 6066 section 8). OpenSSL frees what it is given. */
static int on_status(SSL *ssl, void *arg)
{
	struct tls_ctx *c = arg;
	const struct cert *cert = c->stapling == ssl ? c->stapled : NULL;
	const struct parsed_part *part;
	int64_t now = clock_wall_s();
	unsigned char *copy;

	c->stapling = NULL;
	c->stapled = NULL;
	part = cert && has_staple(cert) ? part_in_use(c, ssl, cert) : NULL;
	if (!part || part->staple.len == 0)
		return SSL_TLSEXT_ERR_NOACK;
	if (now < part->staple_from || now >= part->staple_until) {
		stapled(c, false);
		return SSL_TLSEXT_ERR_NOACK;
	}
	copy = OPENSSL_memdup(part->staple.data, part->staple.len);
	if (!copy)
		return SSL_TLSEXT_ERR_NOACK;
	SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)part->staple.len);
	stapled(c, true);
	return SSL_TLSEXT_ERR_OK;
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
		     EVP_MAC_CTX *mac, int encrypt)
{
	int rc = ticket_keys_use(ctx_of(ssl)->o.tickets, name, iv, cipher, mac, encrypt);

	/* A client uses a TLS 1.3 ticket once (RFC 8446 appendix C.4), and 1 would give it none to
	 * come back with. */
	return rc == 1 && !encrypt && SSL_version(ssl) == TLS1_3_VERSION ? 2 : rc;
}

/* Alert codes are level << 8 | description. */
static bool fatal(int code)
{
	return (code >> 8) == SSL3_AL_FATAL;
}

static void on_info(const SSL *ssl, int where, int code)
{
	struct tls_ctx *c = ctx_of(ssl);
	int alert = code & 0xff;
	/* The mark is ours; OpenSSL's callback type is older than const. */
	SSL *own = (SSL *)(uintptr_t)ssl;

	if (where & SSL_CB_HANDSHAKE_DONE) {
		count(c, own, SSL_session_reused(ssl) ? TLS_RESUMED : TLS_FULL, FAILURE_OTHER);
		if (c->o.on_complete)
			c->o.on_complete(own, SSL_session_reused(ssl), c->o.arg);
	} else if ((where & SSL_CB_ALERT) && fatal(code)) {
		count_failed(c, own,
			     where & SSL_CB_WRITE ? tls_failure_sent(alert, ERR_peek_last_error())
						  : tls_failure_received(alert));
	}
}

/* Plugins verify the client's certificate, at the request. */
static int accept_certificate(X509_STORE_CTX *x, void *arg)
{
	(void)arg;
	X509_STORE_CTX_set_error(x, X509_V_OK);
	return 1;
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
	if (CRYPTO_THREAD_run_once(&marks_once, make_marks) != 1 || counted < 0 || validating < 0) {
		free(c);
		return err_openssl(e, ERR_INTERNAL, "making a TLS context");
	}
	if (tls_context(&c->ssl, &base, e) != 0 ||
	    (o->profile && tls_profile_apply(c->ssl, o->profile, e) != 0)) {
		tls_ctx_free(c);
		return -1;
	}
	c->o.profile = NULL;
	SSL_CTX_set_app_data(c->ssl, c);
	SSL_CTX_set_client_hello_cb(c->ssl, on_client_hello, c);
	SSL_CTX_set_cert_cb(c->ssl, on_certificate, c);
	SSL_CTX_set_alpn_select_cb(c->ssl, on_alpn, c);
	SSL_CTX_set_tlsext_status_cb(c->ssl, on_status);
	SSL_CTX_set_tlsext_status_arg(c->ssl, c);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(c->ssl, on_ticket);
	SSL_CTX_set_info_callback(c->ssl, on_info);
	SSL_CTX_set_cert_verify_callback(c->ssl, accept_certificate, NULL);
	SSL_CTX_set_max_cert_list(c->ssl, CLIENT_CHAIN_MAX);
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
