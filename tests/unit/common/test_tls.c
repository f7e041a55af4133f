#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/pem.h>

#include "common/net/tls.h"
#include "tests/unit/lib/testcert.h"

static struct {
	char dir[64];
	char cert[96], key[96], other_key[96], ca[96], garbage[96], missing[96], encrypted[96];
} files;

static void file_name(char *out, size_t size, const char *name)
{
	snprintf(out, size, "%s/%s", files.dir, name);
}

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void write_encrypted(const char *path, EVP_PKEY *key)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(
		PEM_write_PKCS8PrivateKey(f, key, EVP_aes_128_cbc(), "secret", 6, NULL, NULL), 1);
	fclose(f);
}

static int make_files(void **state)
{
	const struct testcert_options o = {.san = "DNS:localhost"};
	struct testca ca;
	EVP_PKEY *key, *other_key;
	X509 *cert, *other;

	(void)state;
	snprintf(files.dir, sizeof(files.dir), "/tmp/cardea-test-tls-XXXXXX");
	if (!mkdtemp(files.dir))
		return -1;
	file_name(files.cert, sizeof(files.cert), "cert.pem");
	file_name(files.key, sizeof(files.key), "key.pem");
	file_name(files.other_key, sizeof(files.other_key), "other.pem");
	file_name(files.ca, sizeof(files.ca), "ca.pem");
	file_name(files.garbage, sizeof(files.garbage), "garbage.pem");
	file_name(files.missing, sizeof(files.missing), "missing.pem");
	file_name(files.encrypted, sizeof(files.encrypted), "encrypted.pem");
	testca_init(&ca, "file CA");
	testcert_issue(&ca, &o, &cert, &key);
	testcert_issue(&ca, &o, &other, &other_key);
	testcert_write(files.cert, cert);
	testcert_write(files.ca, ca.cert);
	testcert_write_key(files.key, key);
	testcert_write_key(files.other_key, other_key);
	write_encrypted(files.encrypted, key);
	write_text(files.garbage, "this is not PEM\n");
	X509_free(cert);
	X509_free(other);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other_key);
	testca_deinit(&ca);
	return 0;
}

static int remove_files(void **state)
{
	const char *all[] = {files.cert, files.key,	files.other_key,
			     files.ca,	 files.garbage, files.encrypted};

	(void)state;
	for (size_t i = 0; i < array_len(all); i++)
		unlink(all[i]);
	return rmdir(files.dir);
}

static const struct {
	const char *name;
	struct tls_options o;
	const char *file; /* NULL: works; else the message names it */
	const char *why;
} file_rows[] = {
	{"server", {.server = true, .cert_file = files.cert, .key_file = files.key}, NULL, ""},
	{"server without certificate", {.server = true}, NULL, ""},
	{"mutual",
	 {.server = true,
	  .cert_file = files.cert,
	  .key_file = files.key,
	  .ca_file = files.ca,
	  .verify_peer = true},
	 NULL,
	 ""},
	{"client", {.ca_file = files.ca, .verify_peer = true, .http2 = true}, NULL, ""},
	{"client, system's CAs", {.verify_peer = true}, NULL, ""},
	{"client, TLS 1.3 only", {.tls13_only = true}, NULL, ""},
	{"no certificate file",
	 {.server = true, .cert_file = files.missing, .key_file = files.key},
	 files.missing,
	 "No such file"},
	{"no key file",
	 {.server = true, .cert_file = files.cert, .key_file = files.missing},
	 files.missing,
	 "No such file"},
	{"no CA file",
	 {.verify_peer = true, .ca_file = files.missing},
	 files.missing,
	 "No such file"},
	{"certificate without key", {.cert_file = files.cert}, files.cert, "without its key"},
	{"key without certificate", {.key_file = files.key}, files.key, "without its certificate"},
	{"garbage certificate",
	 {.cert_file = files.garbage, .key_file = files.key},
	 files.garbage,
	 "no start line"},
	{"garbage key", {.cert_file = files.cert, .key_file = files.garbage}, files.garbage, ""},
	{"garbage CA", {.verify_peer = true, .ca_file = files.garbage}, files.garbage, ""},
	{"key of another certificate",
	 {.cert_file = files.cert, .key_file = files.other_key},
	 files.other_key,
	 "key values mismatch"},
	{"encrypted key is not asked for on the terminal",
	 {.cert_file = files.cert, .key_file = files.encrypted},
	 files.encrypted,
	 ""},
	{"certificate as key", {.cert_file = files.cert, .key_file = files.cert}, files.cert, ""},
	{"key as CA", {.server = true, .verify_peer = true, .ca_file = files.key}, files.key, ""},
};

static void test_files(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(file_rows); i++) {
		struct err e = ERR_INIT;
		SSL_CTX *ctx = NULL;
		int rc = tls_context(&ctx, &file_rows[i].o, &e);

		if ((rc == 0) != (file_rows[i].file == NULL))
			fail_msg("%s: %d %s", file_rows[i].name, rc, e.message);
		if (file_rows[i].file &&
		    (ctx || e.kind != ERR_INVALID || !strstr(e.message, file_rows[i].file) ||
		     !strstr(e.message, file_rows[i].why)))
			fail_msg("%s: \"%s\"", file_rows[i].name, e.message);
		SSL_CTX_free(ctx);
	}
}

/* Runs a handshake in memory; true when both ends finished. */
static bool handshake(SSL *server, SSL *client)
{
	BIO *a, *b;

	assert_int_equal(BIO_new_bio_pair(&a, 65536, &b, 65536), 1);
	SSL_set_bio(server, a, a);
	SSL_set_bio(client, b, b);
	SSL_set_accept_state(server);
	SSL_set_connect_state(client);
	for (int i = 0; i < 10; i++) {
		SSL_do_handshake(client);
		SSL_do_handshake(server);
	}
	return SSL_is_init_finished(server) && SSL_is_init_finished(client);
}

static const char *alpn_of(SSL *ssl)
{
	static char text[32];
	const unsigned char *p;
	unsigned n;

	SSL_get0_alpn_selected(ssl, &p, &n);
	snprintf(text, sizeof(text), "%.*s", (int)n, (const char *)p);
	return text;
}

/* What a client that is set up by hand gets from a server context of ours. */
static const struct {
	const char *name;
	const char *ciphers;
	const char *alpn; /* wire form */
	int max;	  /* highest version of the client; 0: any */
	bool server_http2;
	bool server_13;
	const char *want_alpn; /* NULL: handshake refused */
	int want_version;
} offers[] = {
	{"TLS 1.3", NULL, "", 0, true, false, "", TLS1_3_VERSION},
	{"TLS 1.2", NULL, "", TLS1_2_VERSION, true, false, "", TLS1_2_VERSION},
	{"h2", NULL, "\x02h2", 0, true, false, "h2", TLS1_3_VERSION},
	{"both", NULL, "\x08http/1.1\x02h2", 0, true, false, "h2", TLS1_3_VERSION},
	{"both, server without", NULL, "\x02h2\x08http/1.1", 0, false, false, "http/1.1",
	 TLS1_3_VERSION},
	{"unknown and http/1.1", NULL,
	 "\x03"
	 "foo\x08http/1.1",
	 0, true, false, "http/1.1", TLS1_3_VERSION},
	{"h2 not offered", NULL, "\x02h2", 0, false, false, NULL, 0},
	{"acme-tls/1", NULL,
	 "\x0a"
	 "acme-tls/1",
	 0, true, false, NULL, 0},
	{"http/1.0", NULL, "\x08http/1.0", 0, true, false, NULL, 0},
	{"TLS 1.1", "ALL:@SECLEVEL=0", "", TLS1_1_VERSION, true, false, NULL, 0},
	{"TLS 1.0", "ALL:@SECLEVEL=0", "", TLS1_VERSION, true, false, NULL, 0},
	{"CBC", "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA", "", TLS1_2_VERSION, true, false,
	 NULL, 0},
	{"CCM", "ECDHE-ECDSA-AES128-CCM", "", TLS1_2_VERSION, true, false, NULL, 0},
	{"anonymous", "AECDH-AES128-SHA:@SECLEVEL=0", "", TLS1_2_VERSION, true, false, NULL, 0},
	{"static RSA", "AES128-GCM-SHA256", "", TLS1_2_VERSION, true, false, NULL, 0},
	{"finite field", "DHE-RSA-AES128-GCM-SHA256", "", TLS1_2_VERSION, true, false, NULL, 0},
	{"PSK", "PSK-AES128-GCM-SHA256", "", TLS1_2_VERSION, true, false, NULL, 0},
	{"TLS 1.2 to a 1.3 server", NULL, "", TLS1_2_VERSION, true, true, NULL, 0},
};

static SSL *client_of(size_t row, SSL_CTX *ctx)
{
	SSL *ssl;

	if (offers[row].max) {
		SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
		SSL_CTX_set_max_proto_version(ctx, offers[row].max);
	}
	if (offers[row].ciphers)
		assert_int_equal(SSL_CTX_set_cipher_list(ctx, offers[row].ciphers), 1);
	ssl = SSL_new(ctx);
	if (offers[row].alpn[0])
		assert_int_equal(SSL_set_alpn_protos(ssl, (const unsigned char *)offers[row].alpn,
						     (unsigned)strlen(offers[row].alpn)),
				 0);
	return ssl;
}

static void test_offers(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(offers); i++) {
		const struct tls_options o = {.server = true,
					      .cert_file = files.cert,
					      .key_file = files.key,
					      .http2 = offers[i].server_http2,
					      .tls13_only = offers[i].server_13};
		SSL_CTX *server_ctx, *client_ctx = SSL_CTX_new(TLS_client_method());
		SSL *server, *client = client_of(i, client_ctx);
		struct err e = ERR_INIT;
		bool ok;

		assert_int_equal(tls_context(&server_ctx, &o, &e), 0);
		server = SSL_new(server_ctx);
		ok = handshake(server, client);
		if (ok != (offers[i].want_alpn != NULL))
			fail_msg("%s: %s", offers[i].name, ok ? "accepted" : "refused");
		if (ok) {
			assert_string_equal(alpn_of(server), offers[i].want_alpn);
			assert_int_equal(SSL_version(server), offers[i].want_version);
		}
		SSL_free(server);
		SSL_free(client);
		SSL_CTX_free(server_ctx);
		SSL_CTX_free(client_ctx);
	}
}

static int count_ticket(SSL *ssl, SSL_SESSION *s)
{
	(void)s;
	++*(unsigned *)SSL_get_app_data(ssl);
	return 0;
}

/* Exactly one ticket per full handshake; the client asks for h2. */
static void test_tickets_and_client(void **state)
{
	const struct tls_options so = {
		.server = true, .cert_file = files.cert, .key_file = files.key, .http2 = true};
	const struct tls_options co = {.ca_file = files.ca, .verify_peer = true, .http2 = true};
	SSL_CTX *server_ctx, *client_ctx;
	SSL *server, *client;
	unsigned tickets = 0;
	struct err e = ERR_INIT;
	char byte;

	(void)state;
	assert_int_equal(tls_context(&server_ctx, &so, &e), 0);
	assert_int_equal(tls_context(&client_ctx, &co, &e), 0);
	SSL_CTX_set_session_cache_mode(client_ctx, SSL_SESS_CACHE_CLIENT);
	SSL_CTX_sess_set_new_cb(client_ctx, count_ticket);
	server = SSL_new(server_ctx);
	client = SSL_new(client_ctx);
	SSL_set_app_data(client, &tickets);
	assert_int_equal(SSL_set1_host(client, "localhost"), 1);
	assert_true(handshake(server, client));
	assert_int_equal(SSL_get_verify_result(client), X509_V_OK);
	assert_string_equal(alpn_of(client), "h2");
	assert_true(SSL_read(client, &byte, 1) <= 0);
	assert_int_equal(tickets, 1);
	SSL_free(server);
	SSL_free(client);
	SSL_CTX_free(server_ctx);
	SSL_CTX_free(client_ctx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_offers),
		cmocka_unit_test(test_tickets_and_client),
	};

	return cmocka_run_group_tests(tests, make_files, remove_files);
}
