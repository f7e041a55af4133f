/* TLS of a connection. OpenSSL's BIO reads from c->input and writes to the out-queue, so that it
 * never waits for the socket: the only thing it can want is more input.
 *
 * Happy path: handshake on each input until done; on_open; SSL_read on each input; SSL_write.
 * Failure paths: handshake refused: the alert goes out first, then the connection ends with the
 * reason; bad record later: likewise; a callback of the context asks to wait: paused until
 * conn_handshake_resume.
 */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "common/net/conn_internal.h"

static int bio_read(BIO *b, char *out, int size)
{
	struct conn *c = BIO_get_data(b);
	size_t n = c->input.len;

	BIO_clear_retry_flags(b);
	if (n == 0 || size <= 0) {
		BIO_set_retry_read(b);
		return -1;
	}
	if (n > (size_t)size)
		n = (size_t)size;
	memcpy(out, c->input.ptr, n);
	c->input = str_sub(c->input, n, c->input.len);
	return (int)n;
}

static int bio_write(BIO *b, const char *bytes, int n)
{
	struct conn *c = BIO_get_data(b);

	BIO_clear_retry_flags(b);
	if (n <= 0)
		return 0;
	return out_add(c, bytes, (size_t)n) < 0 ? -1 : n;
}

static long bio_ctrl(BIO *b, int cmd, long number, void *arg)
{
	(void)b;
	(void)number;
	(void)arg;
	return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

static int bio_create(BIO *b)
{
	BIO_set_init(b, 1);
	return 1;
}

/* One for the process: OpenSSL has few, and never gets one back, while loops come and go. */
static CRYPTO_ONCE type_once = CRYPTO_ONCE_STATIC_INIT;
static int bio_type = -1;

static void make_type(void)
{
	bio_type = BIO_get_new_index();
}

static BIO_METHOD *make_method(void)
{
	BIO_METHOD *m;

	if (CRYPTO_THREAD_run_once(&type_once, make_type) != 1 || bio_type < 0)
		return NULL;
	m = BIO_meth_new(bio_type | BIO_TYPE_SOURCE_SINK, "conn");
	if (m && BIO_meth_set_read(m, bio_read) && BIO_meth_set_write(m, bio_write) &&
	    BIO_meth_set_ctrl(m, bio_ctrl) && BIO_meth_set_create(m, bio_create))
		return m;
	BIO_meth_free(m);
	return NULL;
}

static BIO *make_bio(struct conn *c)
{
	struct io_pool *pool = c->loop->pool;
	BIO *b;

	if (!pool->bio)
		pool->bio = make_method();
	b = pool->bio ? BIO_new(pool->bio) : NULL;
	if (b)
		BIO_set_data(b, c);
	return b;
}

/* SNI and the name that the certificate must be for; addresses are never sent as SNI (RFC 6066
 * section 3). */
static bool set_server_name(SSL *ssl, char *name)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	if (X509_VERIFY_PARAM_set1_ip_asc(param, name))
		return true;
	ERR_clear_error();
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set_tlsext_host_name(ssl, name) && SSL_set1_host(ssl, name);
}

/* Counts the peer's KeyUpdates: each costs a key derivation, and none is seen by SSL_read. */
static void on_message(int write_p, int version, int type, const void *bytes, size_t len, SSL *ssl,
		       void *arg)
{
	struct conn *c = arg;
	uint64_t now = uv_now(&c->loop->uv);

	(void)version;
	(void)ssl;
	if (write_p || type != SSL3_RT_HANDSHAKE || len == 0 ||
	    *(const unsigned char *)bytes != SSL3_MT_KEY_UPDATE)
		return;
	if (now - c->key_updates_from >= 1000) {
		c->key_updates_from = now;
		c->key_updates = 0;
	}
	c->key_updates++;
}

static bool updates_too_often(struct conn *c)
{
	char text[ADDR_TEXT_SIZE];
	struct err e;

	if (c->key_updates <= CONN_KEY_UPDATES)
		return false;
	err_clear(&e);
	addr_text(&c->peer, text, sizeof(text));
	err_set(&e, ERR_LIMIT, "TLS with %s: more than %d KeyUpdates in a second", text,
		CONN_KEY_UPDATES);
	conn_fail(c, &e);
	return true;
}

/* OpenSSL looks for its error in a queue that must be empty before; that it nearly always is costs
 * much less to see than to clear it. */
static void clear_errors(void)
{
	if (ERR_peek_error() != 0)
		ERR_clear_error();
}

int tls_attach(struct conn *c, SSL_CTX *ctx, struct err *e)
{
	BIO *bio;

	c->ssl = SSL_new(ctx);
	bio = c->ssl ? make_bio(c) : NULL;
	if (!bio)
		return err_openssl(e, ERR_MEMORY, "making a TLS connection");
	SSL_set_bio(c->ssl, bio, bio);
	SSL_set_app_data(c->ssl, c);
	SSL_set_msg_callback(c->ssl, on_message);
	SSL_set_msg_callback_arg(c->ssl, c);
	if (c->server)
		SSL_set_accept_state(c->ssl);
	else
		SSL_set_connect_state(c->ssl);
	if (c->server_name && !set_server_name(c->ssl, c->server_name))
		return err_openssl(e, ERR_INVALID, "server name %s", c->server_name);
	return 0;
}

struct conn *conn_of_ssl(const SSL *ssl)
{
	return SSL_get_app_data(ssl);
}

static enum err_kind kind_of(unsigned long code)
{
	return ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE ? ERR_MEMORY : ERR_DENIED;
}

static void describe(struct conn *c, struct err *e, const char *what)
{
	unsigned long code = ERR_peek_error();
	long verdict = SSL_get_verify_result(c->ssl);
	char text[ADDR_TEXT_SIZE];

	addr_text(&c->peer, text, sizeof(text));
	if (verdict != X509_V_OK && ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
		err_set(e, ERR_DENIED, "%s %s: certificate refused: %s", what, text,
			X509_verify_cert_error_string(verdict));
		e->code = (int)verdict;
		ERR_clear_error();
	} else if (code == 0 && (SSL_get_shutdown(c->ssl) & SSL_RECEIVED_SHUTDOWN)) {
		err_set(e, ERR_UNAVAILABLE, "%s %s: ended by the peer", what, text);
	} else if (code == 0) {
		err_set(e, ERR_INTERNAL, "%s %s: OpenSSL gave no reason", what, text);
	} else {
		err_openssl(e, kind_of(code), "%s %s", what, text);
	}
}

/* The peer must see the alert, so it is sent, and a server then lingers: unread input would turn
 * its close into a reset that destroys the alert on its way. */
static void refuse(struct conn *c, const char *what)
{
	bool plain_http = ERR_GET_REASON(ERR_peek_error()) == SSL_R_HTTP_REQUEST;
	struct err e = ERR_INIT;

	describe(c, &e, what);
	if (plain_http && c->plain_http_reply.len > 0 && !c->writing) {
		out_drop(c);
		(void)out_add(c, c->plain_http_reply.ptr, c->plain_http_reply.len);
	}
	if (c->server) {
		conn_finish(c, &e);
		return;
	}
	out_flush(c);
	conn_fail(c, &e);
}

static bool asks_to_wait(int want)
{
	return want == SSL_ERROR_WANT_CLIENT_HELLO_CB || want == SSL_ERROR_WANT_X509_LOOKUP ||
	       want == SSL_ERROR_WANT_RETRY_VERIFY;
}

void tls_handshake(struct conn *c)
{
	int rc, want;

	clear_errors();
	rc = SSL_do_handshake(c->ssl);
	/* A callback of the context may have closed the connection. */
	if (c->state != CONN_HANDSHAKING)
		return;
	if (rc == 1) {
		conn_opened(c);
		return;
	}
	want = SSL_get_error(c->ssl, rc);
	if (asks_to_wait(want))
		c->paused = true;
	else if (want != SSL_ERROR_WANT_READ)
		refuse(c, "TLS handshake with");
}

static void read_failed(struct conn *c, int want)
{
	if (want == SSL_ERROR_ZERO_RETURN)
		conn_peer_ended(c);
	else if (want != SSL_ERROR_WANT_READ)
		refuse(c, "TLS with");
}

void tls_read(struct conn *c)
{
	char *plain = c->loop->pool->plain;
	size_t n;

	while (c->state == CONN_OPEN && input_wanted(c)) {
		bool got;

		clear_errors();
		got = SSL_read_ex(c->ssl, plain, POOL_PLAIN_SIZE, &n) == 1;
		if (updates_too_often(c))
			return;
		if (!got) {
			read_failed(c, SSL_get_error(c->ssl, 0));
			return;
		}
		conn_deliver(c, (struct str){plain, n});
		/* A whole record and nothing behind it: asking again would only say so. */
		if (c->input.len == 0 && !SSL_has_pending(c->ssl))
			return;
	}
}

static void encrypt(struct conn *c, struct str bytes)
{
	struct err e;
	size_t n;

	clear_errors();
	if (SSL_write_ex(c->ssl, bytes.ptr, bytes.len, &n) == 1)
		return;
	err_clear(&e);
	describe(c, &e, "TLS with");
	conn_fail(c, &e);
}

void tls_flush(struct conn *c)
{
	struct chunk *k = c->plain;

	if (!k)
		return;
	c->plain = NULL;
	/* After a failure nothing but its alert goes out. */
	if (c->state == CONN_OPEN)
		encrypt(c, (struct str){k->data, k->end});
	io_pool_put(c->loop->pool, k);
}

/* Takes what still fits into the record that is gathered; 0: out of memory. */
static size_t gather_plain(struct conn *c, struct str bytes)
{
	size_t room;

	if (!c->plain)
		c->plain = io_pool_chunk(c->loop->pool);
	if (!c->plain)
		return 0;
	room = POOL_PLAIN_SIZE - c->plain->end;
	if (room > bytes.len)
		room = bytes.len;
	memcpy(c->plain->data + c->plain->end, bytes.ptr, room);
	c->plain->end += room;
	if (c->plain->end == POOL_PLAIN_SIZE)
		tls_flush(c);
	return room;
}

void tls_write(struct conn *c, struct str bytes)
{
	struct err e;

	while (bytes.len > 0 && c->state == CONN_OPEN) {
		size_t n = bytes.len - bytes.len % POOL_PLAIN_SIZE;

		if (!c->plain && n > 0)
			encrypt(c, str_sub(bytes, 0, n));
		else
			n = gather_plain(c, bytes);
		if (n == 0) {
			err_clear(&e);
			err_memory(&e, "queueing bytes for a connection");
			conn_fail(c, &e);
			return;
		}
		bytes = str_sub(bytes, n, bytes.len);
	}
	if (!c->plain)
		return;
	loop_defer_last(c->loop, &c->flush);
	if (conn_queued(c) > c->write_high)
		c->over_high = true;
}

void tls_close_notify(struct conn *c)
{
	tls_flush(c);
	ERR_clear_error();
	(void)SSL_shutdown(c->ssl);
	ERR_clear_error();
}
