/* tls/select, tls/ctx, tls/parsed: whole handshakes over memory BIOs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <unistd.h>

#include "common/core/log.h"
#include "data-plane/tls/ctx.h"
#include "data-plane/tls/select.h"
#include "tests/unit/lib/testcert.h"
#include "tests/unit/lib/testchange.h"
#include "tests/unit/lib/testpki.h"

static struct {
	struct tables *tables;
	struct parsed_cache *parsed;
	struct ticket_keys *tickets;
	struct tls_ctx *ctx, *with_default;
	char cert_file[40], key_file[40];
	unsigned outcomes[TLS_OUTCOMES], failures[TLS_FAILURES], staples[2];
} bed;

static void on_handshake(enum tls_outcome outcome, enum tls_failure why, void *arg)
{
	(void)arg;
	bed.outcomes[outcome]++;
	if (outcome == TLS_FAILED)
		bed.failures[why]++;
}

static void on_staple(bool sent, void *arg)
{
	(void)arg;
	bed.staples[sent]++;
}

/* Certificate `id` for the name by the CA, ECDSA, and RSA too when asked. */
static void put(const struct testca *ca, unsigned id, const char *name, bool rsa_too)
{
	struct buf leafs[2] = {BUF_INIT, BUF_INIT}, keys[2] = {BUF_INIT, BUF_INIT};
	struct cert_source s[2];
	unsigned char cert_id[16], sni_id[16];
	struct err e = ERR_INIT;
	char san[80];

	snprintf(san, sizeof(san), "DNS:%s", name);
	for (int i = 0; i < 1 + rsa_too; i++) {
		const struct testcert_options o = {.name = name, .san = san, .rsa = i == 1};
		X509 *cert;
		EVP_PKEY *key;

		testcert_issue(ca, &o, &cert, &key);
		s[i] = (struct cert_source){.leaf = testder_cert(&leafs[i], cert),
					    .key = testder_key(&keys[i], key)};
		X509_free(cert);
		EVP_PKEY_free(key);
	}
	memset(cert_id, (int)id, sizeof(cert_id));
	memset(sni_id, (int)id + 100, sizeof(sni_id));
	assert_int_equal(
		certs_put(&bed.tables->certs, &bed.tables->txn, cert_id, s, rsa_too ? 2 : 1, &e),
		0);
	assert_int_equal(certs_put_sni(&bed.tables->certs, &bed.tables->txn, sni_id, str_from(name),
				       cert_id, 0, &e),
			 0);
	for (int i = 0; i < 2; i++) {
		buf_deinit(&leafs[i]);
		buf_deinit(&keys[i]);
	}
}

static void write_default(const struct testca *ca)
{
	const struct testcert_options o = {.name = "default", .san = "DNS:default.example"};
	X509 *cert;
	EVP_PKEY *key;

	snprintf(bed.cert_file, sizeof(bed.cert_file), "/tmp/cardea-select-%d.pem", (int)getpid());
	snprintf(bed.key_file, sizeof(bed.key_file), "/tmp/cardea-select-%d.key", (int)getpid());
	testcert_issue(ca, &o, &cert, &key);
	testcert_write(bed.cert_file, cert);
	testcert_write_key(bed.key_file, key);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static int setup(void **state)
{
	struct tls_ctx_options o = {
		.http2 = true, .on_handshake = on_handshake, .on_staple = on_staple};
	const unsigned char fallback[32] = {1};
	struct tables_culprit culprit;
	struct testca ca;
	struct err e = ERR_INIT;

	(void)state;
	log_setup("test", LOG_CRIT, LOG_FORMAT_LOGFMT);
	memset(&bed, 0, sizeof(bed));
	testca_init(&ca, "ca");
	assert_int_equal(tables_create(&bed.tables, NULL, &e), 0);
	tables_begin(bed.tables, true);
	put(&ca, 1, "a.example.com", false);
	put(&ca, 2, "*.example.com", false);
	put(&ca, 3, "both.example.org", true);
	assert_int_equal(tables_commit(bed.tables, &culprit, &e), 0);
	write_default(&ca);
	testca_deinit(&ca);
	assert_int_equal(parsed_cache_create(&bed.parsed, 2, &e), 0);
	assert_int_equal(ticket_keys_create(&bed.tickets, bed.tables, fallback, &e), 0);
	o.tables = bed.tables;
	o.parsed = bed.parsed;
	o.tickets = bed.tickets;
	assert_int_equal(tls_ctx_create(&bed.ctx, &o, &e), 0);
	o.cert_file = bed.cert_file;
	o.key_file = bed.key_file;
	assert_int_equal(tls_ctx_create(&bed.with_default, &o, &e), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rcu_leave();
	unlink(bed.cert_file);
	unlink(bed.key_file);
	tls_ctx_free(bed.ctx);
	tls_ctx_free(bed.with_default);
	ticket_keys_free(bed.tickets);
	parsed_cache_free(bed.parsed);
	tables_free(bed.tables);
	return 0;
}

/* What a client does and gets. */
struct client {
	SSL_CTX *ctx;
	SSL_SESSION *session; /* in: offered; out: the new one */
	const char *sigalgs, *alpn;
	int version; /* 0: any */
	bool asks_status;
	/* out */
	char subject[64]; /* of the leaf; "" when it failed */
	int alert;	  /* that the client got; 0: none */
	bool resumed;
	size_t stapled; /* bytes of the OCSP response */
};

static void on_client_info(const SSL *ssl, int where, int code)
{
	struct client *c = SSL_get_app_data(ssl);

	if ((where & SSL_CB_ALERT) && (where & SSL_CB_READ))
		c->alert = code & 0xff;
}

static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct client *c = SSL_get_app_data(ssl);

	SSL_SESSION_free(c->session);
	c->session = session;
	return 1;
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

static void note_peer(struct client *c, SSL *ssl)
{
	X509 *leaf = SSL_get1_peer_certificate(ssl);
	unsigned char *response = NULL;
	long n;

	if (leaf)
		X509_NAME_get_text_by_NID(X509_get_subject_name(leaf), NID_commonName, c->subject,
					  sizeof(c->subject));
	X509_free(leaf);
	c->resumed = SSL_session_reused(ssl);
	n = SSL_get_tlsext_status_ocsp_resp(ssl, &response);
	c->stapled = n > 0 ? (size_t)n : 0;
}

static void pump(struct client *c, SSL *client, SSL *server)
{
	bool broken = false;
	char byte;

	for (int i = 0; i < 8; i++) {
		int rc;

		(void)SSL_do_handshake(client);
		move_bytes(client, server);
		ERR_clear_error();
		rc = SSL_do_handshake(server);
		/* As a connection sees it: an error left in the queue ends it too. */
		broken = broken || (rc <= 0 && SSL_get_error(server, rc) != SSL_ERROR_WANT_READ);
		move_bytes(server, client);
	}
	(void)SSL_read(client, &byte, 1); /* takes the ticket */
	if (!broken && SSL_is_init_finished(client) && SSL_is_init_finished(server))
		note_peer(c, client);
}

static void connect_to(struct tls_ctx *to, struct client *c, const char *name)
{
	SSL *client, *server;
	/* OpenSSL's macros take no const. */
	char own_name[64], own_sigalgs[64];

	c->ctx = SSL_CTX_new(TLS_client_method());
	c->subject[0] = '\0';
	c->alert = 0;
	c->resumed = false;
	SSL_CTX_set_info_callback(c->ctx, on_client_info);
	SSL_CTX_set_session_cache_mode(c->ctx,
				       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
	SSL_CTX_sess_set_new_cb(c->ctx, on_new_session);
	if (c->version)
		SSL_CTX_set_max_proto_version(c->ctx, c->version);
	client = make(c->ctx);
	server = make(tls_ctx_ssl(to));
	SSL_set_app_data(client, c);
	SSL_set_connect_state(client);
	SSL_set_accept_state(server);
	if (name) {
		snprintf(own_name, sizeof(own_name), "%s", name);
		assert_int_equal(SSL_set_tlsext_host_name(client, own_name), 1);
	}
	if (c->sigalgs) {
		snprintf(own_sigalgs, sizeof(own_sigalgs), "%s", c->sigalgs);
		assert_int_equal(SSL_set1_sigalgs_list(client, own_sigalgs), 1);
	}
	if (c->alpn)
		assert_int_equal(SSL_set_alpn_protos(client, (const unsigned char *)c->alpn,
						     (unsigned)strlen(c->alpn)),
				 0);
	if (c->asks_status)
		assert_int_equal(SSL_set_tlsext_status_type(client, TLSEXT_STATUSTYPE_ocsp), 1);
	if (c->session)
		assert_int_equal(SSL_set_session(client, c->session), 1);
	pump(c, client, server);
	/* Else OpenSSL takes the session for broken. */
	SSL_set_shutdown(client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(client);
	SSL_free(server);
	SSL_CTX_free(c->ctx);
	rcu_leave();
}

/* A reload makes contexts anew; what OpenSSL has of the process must not grow by that. */
static void test_made_again(void **state)
{
	const struct tls_ctx_options o = {
		.tables = bed.tables, .parsed = bed.parsed, .tickets = bed.tickets};
	int before = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	struct tls_ctx *again;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(tls_ctx_create(&again, &o, &e), 0);
	tls_ctx_free(again);
	assert_int_equal(SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL), before + 1);
}

static void test_names(void **state)
{
	static const struct {
		const char *name, *want, *want_default;
	} rows[] = {
		{"a.example.com", "a.example.com", "a.example.com"},
		{"A.Example.COM", "a.example.com", "a.example.com"},
		{"b.example.com", "*.example.com", "*.example.com"},
		{"x.b.example.com", NULL, "default"},
		{"example.com", NULL, "default"},
		{"127.0.0.1", NULL, "default"},
		{"a b", NULL, "default"},
		{NULL, NULL, "default"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
			struct client c = {.version = version};

			connect_to(bed.ctx, &c, rows[i].name);
			assert_string_equal(c.subject, rows[i].want ? rows[i].want : "");
			assert_int_equal(c.alert, rows[i].want ? 0 : SSL_AD_UNRECOGNIZED_NAME);
			SSL_SESSION_free(c.session);
			c = (struct client){.version = version};
			connect_to(bed.with_default, &c, rows[i].name);
			assert_string_equal(c.subject, rows[i].want_default);
			SSL_SESSION_free(c.session);
		}
	}
	assert_true(bed.outcomes[TLS_FAILED] == 10);
	assert_true(bed.failures[FAILURE_NAME] == 10);
	assert_true(bed.outcomes[TLS_FULL] == 22);
}

static void test_two_key_types(void **state)
{
	static const struct {
		const char *sigalgs, *name;
		bool served;
	} rows[] = {
		{"ECDSA+SHA256", "both.example.org", true},
		{"RSA-PSS+SHA256:RSA+SHA256", "both.example.org", true},
		{"ECDSA+SHA256", "a.example.com", true},
		{"RSA-PSS+SHA256:RSA+SHA256", "a.example.com", false},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct client c = {.sigalgs = rows[i].sigalgs};

		/* The default certificate must not step in for a key type that a name lacks. */
		connect_to(bed.with_default, &c, rows[i].name);
		assert_string_equal(c.subject, rows[i].served ? rows[i].name : "");
		SSL_SESSION_free(c.session);
	}
}

/* TLS-07 and the fleet's tickets: good for the name they were made for, on any context. */
static void test_resumption(void **state)
{
	(void)state;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct client c = {.version = version};

		connect_to(bed.ctx, &c, "a.example.com");
		assert_false(c.resumed);
		assert_non_null(c.session);
		connect_to(bed.with_default, &c, "a.example.com.");
		assert_true(c.resumed);
		connect_to(bed.ctx, &c, "b.example.com");
		assert_false(c.resumed);
		assert_string_equal(c.subject, "*.example.com");
		SSL_SESSION_free(c.session);
	}
	assert_true(bed.outcomes[TLS_RESUMED] == 2);
}

static void test_protocols(void **state)
{
	struct client old = {.version = TLS1_1_VERSION}, foreign = {.alpn = "\x03xyz"},
		      h2 = {.alpn = "\x02h2"};

	(void)state;
	connect_to(bed.ctx, &old, "a.example.com");
	assert_string_equal(old.subject, ""); /* TLS-01 */
	connect_to(bed.ctx, &foreign, "a.example.com");
	assert_int_equal(foreign.alert, SSL_AD_NO_APPLICATION_PROTOCOL); /* TLS-12 */
	connect_to(bed.ctx, &h2, "a.example.com");
	assert_string_equal(h2.subject, "a.example.com");
	SSL_SESSION_free(h2.session);
}

static void test_server_name(void **state)
{
	static const struct {
		struct str ext;
		const char *want; /* NULL: malformed */
	} rows[] = {
		{{"\0\4\0\0\1a", 6}, "a"},
		{{"\0\4\0\0\1\0", 6}, ""}, /* a NUL byte: looked up, never found */
		{{"", 0}, NULL},
		{{"\0", 1}, NULL},
		{{"\0\0", 2}, NULL},
		{{"\0\3\0\0\0", 5}, NULL},	     /* empty name */
		{{"\0\4\1\0\1a", 6}, NULL},	     /* another type */
		{{"\0\4\0\0\2a", 6}, NULL},	     /* longer than there is */
		{{"\0\5\0\0\1a", 6}, NULL},	     /* list longer than there is */
		{{"\0\4\0\0\1ab", 7}, NULL},	     /* bytes behind */
		{{"\0\10\0\0\1a\0\0\1b", 10}, NULL}, /* two names */
		{{"\377\377\0\377\377", 5}, NULL},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct str name = STR_NONE;
		enum select_result r = select_server_name(rows[i].ext, &name);

		assert_int_equal(r, rows[i].want ? SELECT_FOUND : SELECT_MALFORMED);
		if (rows[i].want && rows[i].want[0])
			assert_true(str_eq(name, str_from(rows[i].want)));
	}
}

static void test_parsed_is_bounded(void **state)
{
	struct parsed_stats s;

	(void)state;
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = {"a.example.com", "b.example.com",
						    "both.example.org"};
		for (size_t k = 0; k < array_len(names); k++) {
			struct client c = {.version = TLS1_3_VERSION};

			connect_to(bed.ctx, &c, names[k]);
			assert_string_not_equal(c.subject, "");
			SSL_SESSION_free(c.session);
		}
	}
	parsed_cache_stats(bed.parsed, &s);
	assert_int_equal(s.count, 2);
	assert_int_equal(s.hits, 0); /* three in turn through two places */
	assert_int_equal(s.misses, 9);
}

/* Replaces the certificate of a.example.com by one with this OCSP response. */
static void put_stapled(const struct testca *ca, struct str staple)
{
	const struct testcert_options o = {.name = "stapled"};
	struct buf leaf = BUF_INIT, key_der = BUF_INIT;
	struct tables_culprit culprit;
	struct cert_source s = {.staple = staple};
	unsigned char id[16];
	EVP_PKEY *key;
	X509 *cert;
	struct err e = ERR_INIT;

	testcert_issue(ca, &o, &cert, &key);
	s.leaf = testder_cert(&leaf, cert);
	s.key = testder_key(&key_der, key);
	memset(id, 1, sizeof(id));
	tables_begin(bed.tables, false);
	assert_int_equal(certs_put(&bed.tables->certs, &bed.tables->txn, id, &s, 1, &e), 0);
	assert_int_equal(tables_commit(bed.tables, &culprit, &e), 0);
	X509_free(cert);
	EVP_PKEY_free(key);
	buf_deinit(&leaf);
	buf_deinit(&key_der);
}

/* To who asks, while it is in force, and of no other certificate. */
static void test_staples(void **state)
{
	static const struct {
		const char *name;
		long from, to;
		bool asks;
		const char *host;
		bool sent;
	} rows[] = {
		{"in force", -60, 3600, true, "a.example.com", true},
		{"nobody asks", -60, 3600, false, "a.example.com", false},
		{"ended", -3600, -1, true, "a.example.com", false},
		{"begins later", 60, 3600, true, "a.example.com", false},
		{"another name", -60, 3600, true, "b.example.com", false},
		{"no response", 0, 0, true, "a.example.com", false},
	};
	struct testca ca;

	(void)state;
	testca_init(&ca, "ca");
	for (size_t i = 0; i < array_len(rows); i++) {
		struct buf staple = BUF_INIT;

		if (rows[i].to)
			testpki_ocsp(&staple, ca.cert, &ca, &ca, TESTPKI_GOOD, rows[i].from,
				     rows[i].to);
		else
			assert_int_equal(buf_add_str(&staple, STR("junk"), NULL), 0);
		put_stapled(&ca, buf_str(&staple));
		for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
			struct client c = {.version = version, .asks_status = rows[i].asks};

			connect_to(bed.ctx, &c, rows[i].host);
			if (!c.subject[0] || c.stapled != (rows[i].sent ? staple.len : 0))
				fail_msg("%s: %zu bytes for %s", rows[i].name, c.stapled,
					 c.subject);
			SSL_SESSION_free(c.session);
		}
		buf_deinit(&staple);
	}
	assert_int_equal(bed.staples[true], 2);
	assert_int_equal(bed.staples[false], 4);
	testca_deinit(&ca);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_made_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_key_types, setup, teardown),
		cmocka_unit_test_setup_teardown(test_resumption, setup, teardown),
		cmocka_unit_test_setup_teardown(test_protocols, setup, teardown),
		cmocka_unit_test(test_server_name),
		cmocka_unit_test_setup_teardown(test_staples, setup, teardown),
		cmocka_unit_test_setup_teardown(test_parsed_is_bounded, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
