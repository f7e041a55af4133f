/* tls/profile: what a client can agree on with each suite. */
#include "data-plane/tls/profile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/err.h>

#include "common/net/tls.h"
#include "tests/unit/lib/testcert.h"

static const struct tls_profile usual = {
	.suite = SUITE_INTERMEDIATE,
	.protocols = "TLSv1.2 TLSv1.3",
	.prefer_server = true,
	.groups = "?X25519MLKEM768:X25519:P-256:P-384",
	.tickets = true,
	.session_seconds = 86400,
};

static struct testca ca;

static int setup(void **state)
{
	(void)state;
	testca_init(&ca, "ca");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	testca_deinit(&ca);
	return 0;
}

static SSL_CTX *server(const struct tls_profile *p)
{
	SSL_CTX *ctx = testcert_server(&ca, "DNS:a.example", NULL);
	struct err e = ERR_INIT;

	if (tls_profile_apply(ctx, p, &e) != 0)
		fail_msg("%s", e.message);
	return ctx;
}

static void move_bytes(SSL *from, SSL *to)
{
	char bytes[16384];
	int n;

	while ((n = BIO_read(SSL_get_wbio(from), bytes, sizeof(bytes))) > 0)
		assert_int_equal(BIO_write(SSL_get_rbio(to), bytes, n), n);
}

static SSL *make(SSL_CTX *ctx)
{
	SSL *ssl = SSL_new(ctx);

	assert_non_null(ssl);
	SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	return ssl;
}

/* A client that offers one version, this list of suites of TLS 1.2 and these groups (NULL: any).
 * "version cipher group", or "" when they do not agree. */
static const char *agreed(const struct tls_profile *p, int version, const char *ciphers,
			  const char *groups)
{
	static char out[128];
	char own[64];
	SSL_CTX *server_ctx = server(p), *client_ctx = SSL_CTX_new(TLS_client_method());
	SSL *client, *end;

	out[0] = '\0';
	assert_int_equal(SSL_CTX_set_cipher_list(client_ctx, ciphers ? ciphers : "ALL:@SECLEVEL=0"),
			 1);
	assert_int_equal(SSL_CTX_set_min_proto_version(client_ctx, version), 1);
	assert_int_equal(SSL_CTX_set_max_proto_version(client_ctx, version), 1);
	snprintf(own, sizeof(own), "%s", groups ? groups : "P-256");
	assert_int_equal(SSL_CTX_set1_groups_list(client_ctx, own), 1);
	client = make(client_ctx);
	end = make(server_ctx);
	SSL_set_connect_state(client);
	SSL_set_accept_state(end);
	for (int i = 0; i < 6; i++) {
		(void)SSL_do_handshake(client);
		move_bytes(client, end);
		(void)SSL_do_handshake(end);
		move_bytes(end, client);
	}
	if (SSL_is_init_finished(client) && SSL_is_init_finished(end))
		snprintf(out, sizeof(out), "%s %s %s", SSL_get_version(client),
			 SSL_get_cipher_name(client),
			 OBJ_nid2sn((int)SSL_get_negotiated_group(client)));
	ERR_clear_error();
	SSL_free(client);
	SSL_free(end);
	SSL_CTX_free(client_ctx);
	SSL_CTX_free(server_ctx);
	return out;
}

#define GCM "ECDHE-ECDSA-AES128-GCM-SHA256"
#define CHACHA "ECDHE-ECDSA-CHACHA20-POLY1305"
#define CBC "ECDHE-ECDSA-AES128-SHA"

static void test_suites(void **state)
{
	static const struct {
		const char *name;
		enum tls_suite suite;
		int version;
		const char *ciphers, *want;
	} rows[] = {
		{"modern", SUITE_MODERN, TLS1_3_VERSION, NULL,
		 "TLSv1.3 TLS_AES_128_GCM_SHA256 prime256v1"},
		{"modern, TLS 1.2", SUITE_MODERN, TLS1_2_VERSION, NULL, ""},
		{"intermediate", SUITE_INTERMEDIATE, TLS1_3_VERSION, NULL,
		 "TLSv1.3 TLS_AES_128_GCM_SHA256 prime256v1"},
		{"intermediate, TLS 1.2", SUITE_INTERMEDIATE, TLS1_2_VERSION, GCM,
		 "TLSv1.2 " GCM " prime256v1"},
		{"intermediate, ChaCha20 first", SUITE_INTERMEDIATE, TLS1_2_VERSION, CHACHA ":" GCM,
		 "TLSv1.2 " CHACHA " prime256v1"},
		{"intermediate, CBC", SUITE_INTERMEDIATE, TLS1_2_VERSION, CBC, ""},
		{"intermediate, TLS 1.1", SUITE_INTERMEDIATE, TLS1_1_VERSION, NULL, ""},
		{"intermediate, TLS 1.0", SUITE_INTERMEDIATE, TLS1_VERSION, NULL, ""},
		{"old, TLS 1.3", SUITE_OLD, TLS1_3_VERSION, NULL,
		 "TLSv1.3 TLS_AES_128_GCM_SHA256 prime256v1"},
		{"old, TLS 1.2", SUITE_OLD, TLS1_2_VERSION, GCM, "TLSv1.2 " GCM " prime256v1"},
		{"old, CBC", SUITE_OLD, TLS1_2_VERSION, CBC, "TLSv1.2 " CBC " prime256v1"},
		{"old, TLS 1.1", SUITE_OLD, TLS1_1_VERSION, CBC ":@SECLEVEL=0",
		 "TLSv1.1 " CBC " prime256v1"},
		{"old, TLS 1.0", SUITE_OLD, TLS1_VERSION, CBC ":@SECLEVEL=0",
		 "TLSv1 " CBC " prime256v1"},
		{"old, anonymous", SUITE_OLD, TLS1_2_VERSION, "aNULL:@SECLEVEL=0", ""},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct tls_profile p = usual;
		const char *got;

		p.suite = rows[i].suite;
		/* What is for custom changes nothing elsewhere. */
		p.ciphers = CBC;
		p.protocols = "TLSv1.1";
		got = agreed(&p, rows[i].version, rows[i].ciphers, NULL);
		if (strcmp(got, rows[i].want) != 0)
			fail_msg("%s: \"%s\"", rows[i].name, got);
	}
}

static void test_custom(void **state)
{
	struct tls_profile p = usual;

	(void)state;
	p.suite = SUITE_CUSTOM;
	assert_string_equal(agreed(&p, TLS1_2_VERSION, GCM, NULL), "TLSv1.2 " GCM " prime256v1");
	p.ciphers = GCM ":" CBC;
	assert_string_equal(agreed(&p, TLS1_2_VERSION, CBC ":" GCM, NULL),
			    "TLSv1.2 " GCM " prime256v1");
	p.prefer_server = false;
	assert_string_equal(agreed(&p, TLS1_2_VERSION, CBC ":" GCM, NULL),
			    "TLSv1.2 " CBC " prime256v1");
	p.protocols = "TLSv1.2";
	assert_string_equal(agreed(&p, TLS1_3_VERSION, NULL, NULL), "");
	p.protocols = "TLSv1.3";
	assert_string_equal(agreed(&p, TLS1_2_VERSION, NULL, NULL), "");
	/* A gap stays one. */
	p.protocols = "TLSv1.1 TLSv1.3";
	p.ciphers = "ALL:@SECLEVEL=0";
	assert_string_equal(agreed(&p, TLS1_2_VERSION, GCM, NULL), "");
}

static void test_groups(void **state)
{
	struct tls_profile p = usual;

	(void)state;
	assert_string_equal(agreed(&p, TLS1_3_VERSION, NULL, "X25519"),
			    "TLSv1.3 TLS_AES_128_GCM_SHA256 X25519");
	assert_string_equal(agreed(&p, TLS1_3_VERSION, NULL, "P-521"), "");
	p.groups = "?nothing:P-384";
	assert_string_equal(agreed(&p, TLS1_3_VERSION, NULL, "P-256:P-384"),
			    "TLSv1.3 TLS_AES_128_GCM_SHA256 secp384r1");
}

static void test_refusals(void **state)
{
	static const struct {
		const char *protocols, *ciphers, *groups, *why;
	} rows[] = {
		{"TLSv1.2 SSLv3", NULL, "X25519",
		 "ssl_protocols: \"SSLv3\" is none of TLSv1, TLSv1.1, TLSv1.2, TLSv1.3"},
		{"tlsv1.2", NULL, "X25519", "ssl_protocols: \"tlsv1.2\" is none of"},
		{"", NULL, "X25519", "ssl_protocols: there is none"},
		{"  ", NULL, "X25519", "ssl_protocols: there is none"},
		{"TLSv1.2", "nothing", "X25519", "ssl_ciphers: "},
		{"TLSv1.2", "", "X25519", "ssl_ciphers: "},
		{"TLSv1.2", NULL, "nothing", "ssl_ecdh_curve: OpenSSL has no group \"nothing\""},
		{"TLSv1.2", NULL, "X25519::P-256", "ssl_ecdh_curve: OpenSSL has no group \"\""},
		{"TLSv1.2", NULL, "?nothing", "ssl_ecdh_curve: there is none"},
		{"TLSv1.2", NULL, "", "ssl_ecdh_curve: "},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		SSL_CTX *ctx = testcert_server(&ca, "DNS:a.example", NULL);
		struct tls_profile p = usual;
		struct err e = ERR_INIT;

		p.suite = SUITE_CUSTOM;
		p.protocols = rows[i].protocols;
		p.ciphers = rows[i].ciphers;
		p.groups = rows[i].groups;
		assert_int_equal(tls_profile_apply(ctx, &p, &e), -1);
		assert_int_equal(e.kind, ERR_INVALID);
		if (strncmp(e.message, rows[i].why, strlen(rows[i].why)) != 0)
			fail_msg("%zu: %s", i, e.message);
		SSL_CTX_free(ctx);
	}
}

static void test_sessions(void **state)
{
	struct tls_profile p = usual;
	SSL_CTX *ctx = server(&p);

	(void)state;
	assert_int_equal(SSL_CTX_get_timeout(ctx), 86400);
	assert_int_equal(SSL_CTX_get_num_tickets(ctx), 1);
	assert_false(SSL_CTX_get_options(ctx) & SSL_OP_NO_TICKET);
	SSL_CTX_free(ctx);
	p.tickets = false;
	p.session_seconds = 60;
	ctx = server(&p);
	assert_int_equal(SSL_CTX_get_timeout(ctx), 60);
	assert_int_equal(SSL_CTX_get_num_tickets(ctx), 0);
	assert_true(SSL_CTX_get_options(ctx) & SSL_OP_NO_TICKET);
	SSL_CTX_free(ctx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_suites, setup, teardown),
		cmocka_unit_test_setup_teardown(test_custom, setup, teardown),
		cmocka_unit_test_setup_teardown(test_groups, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sessions, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
