#include "common/net/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <string.h>
#include <unistd.h>

/* TLS 1.2: ECDHE with AEAD only. TLS 1.3 has nothing else. AES-128 first, as Mozilla has it: its
 * key derivation by SHA-256 is a third of a resumed handshake by SHA-384. */
static const char ciphers12[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
				"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
				"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
static const char ciphers13[] =
	"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

static const unsigned char session_context[] = "cardea";

/* The hybrid group came with OpenSSL 3.5. Arrays, because the macro takes no const. */
static bool set_groups(SSL_CTX *ctx)
{
	char hybrid[] = "X25519MLKEM768:X25519:P-256:P-384";
	char classic[] = "X25519:P-256:P-384";

	if (SSL_CTX_set1_groups_list(ctx, hybrid) == 1)
		return true;
	ERR_clear_error();
	return SSL_CTX_set1_groups_list(ctx, classic) == 1;
}

/* OpenSSL's own would ask on the terminal. */
static int no_password(char *out, int size, int writing, void *arg)
{
	(void)out;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

int tls_context_harden(SSL_CTX *ctx, struct err *e)
{
	ERR_clear_error();
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					 SSL_OP_CIPHER_SERVER_PREFERENCE |
					 SSL_OP_PRIORITIZE_CHACHA);
	/* No auto chain: building one from the trust store at each handshake is slow, and what is
	 * sent is what was configured. */
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_default_passwd_cb(ctx, no_password);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_cipher_list(ctx, ciphers12) != 1 ||
	    SSL_CTX_set_ciphersuites(ctx, ciphers13) != 1 || !set_groups(ctx) ||
	    SSL_CTX_set_num_tickets(ctx, 1) != 1 ||
	    SSL_CTX_set_session_id_context(ctx, session_context, sizeof(session_context) - 1) != 1)
		return err_openssl(e, ERR_INTERNAL, "setting up a TLS context");
	return 0;
}

/* OpenSSL's "no such file" does not say which. */
static int check_readable(const char *file, const char *what, struct err *e)
{
	if (access(file, R_OK) < 0)
		return err_errno(e, ERR_INVALID, errno, "%s %s", what, file);
	return 0;
}

static int load_identity(SSL_CTX *ctx, const struct tls_options *o, struct err *e)
{
	if (!o->cert_file && !o->key_file)
		return 0;
	if (!o->cert_file || !o->key_file)
		return err_set(e, ERR_INVALID, "%s %s is given without its %s",
			       o->cert_file ? "certificate" : "key",
			       o->cert_file ? o->cert_file : o->key_file,
			       o->cert_file ? "key" : "certificate");
	if (check_readable(o->cert_file, "certificate", e) < 0 ||
	    check_readable(o->key_file, "key", e) < 0)
		return -1;
	if (SSL_CTX_use_certificate_chain_file(ctx, o->cert_file) != 1)
		return err_openssl(e, ERR_INVALID, "certificate %s", o->cert_file);
	if (SSL_CTX_use_PrivateKey_file(ctx, o->key_file, SSL_FILETYPE_PEM) != 1)
		return err_openssl(e, ERR_INVALID, "key %s", o->key_file);
	if (SSL_CTX_check_private_key(ctx) != 1)
		return err_openssl(e, ERR_INVALID, "key %s of certificate %s", o->key_file,
				   o->cert_file);
	return 0;
}

static int load_trust(SSL_CTX *ctx, const struct tls_options *o, struct err *e)
{
	bool required = o->server && !o->verify_optional;

	if (!o->verify_peer)
		return 0;
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
			   NULL);
	if (!o->ca_file) {
		if (SSL_CTX_set_default_verify_paths(ctx) != 1)
			return err_openssl(e, ERR_UNAVAILABLE, "system's CA certificates");
		return 0;
	}
	if (check_readable(o->ca_file, "CA certificates", e) < 0)
		return -1;
	if (SSL_CTX_load_verify_file(ctx, o->ca_file) != 1)
		return err_openssl(e, ERR_INVALID, "CA certificates %s", o->ca_file);
	/* A client with several certificates picks by these names. */
	if (o->server) {
		STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(o->ca_file);

		if (!names)
			return err_openssl(e, ERR_INVALID, "CA certificates %s", o->ca_file);
		SSL_CTX_set_client_CA_list(ctx, names);
	}
	return 0;
}

static const unsigned char alpn_h2[] = "\x02h2\x08http/1.1";
static const unsigned char alpn_http1[] = "\x08http/1.1";

/* In our order of preference. */
int tls_select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
		    const unsigned char *in, unsigned in_len, void *arg)
{
	const unsigned char *ours = arg ? alpn_h2 : alpn_http1;
	unsigned ours_len = arg ? sizeof(alpn_h2) - 1 : sizeof(alpn_http1) - 1;
	unsigned char *chosen;

	(void)ssl;
	if (SSL_select_next_proto(&chosen, out_len, ours, ours_len, in, in_len) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

void tls_context_alpn(SSL_CTX *ctx, bool http2)
{
	SSL_CTX_set_alpn_select_cb(ctx, tls_select_alpn, http2 ? ctx : NULL);
}

static int set_alpn(SSL_CTX *ctx, const struct tls_options *o, struct err *e)
{
	if (o->server) {
		tls_context_alpn(ctx, o->http2);
		return 0;
	}
	/* This one returns 0 on success. */
	if (o->http2 && SSL_CTX_set_alpn_protos(ctx, alpn_h2, 3) != 0)
		return err_openssl(e, ERR_MEMORY, "setting ALPN");
	return 0;
}

int tls_context(SSL_CTX **out, const struct tls_options *o, struct err *e)
{
	SSL_CTX *ctx = SSL_CTX_new(o->server ? TLS_server_method() : TLS_client_method());

	if (!ctx)
		return err_openssl(e, ERR_MEMORY, "making a TLS context");
	if (tls_context_harden(ctx, e) < 0 || load_identity(ctx, o, e) < 0 ||
	    load_trust(ctx, o, e) < 0 || set_alpn(ctx, o, e) < 0) {
		SSL_CTX_free(ctx);
		return -1;
	}
	if (o->tls13_only)
		SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	*out = ctx;
	return 0;
}
