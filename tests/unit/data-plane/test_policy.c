/* tls/policy: whole handshakes under the rules of their names, and what may come over them. */
#include "data-plane/tls/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/err.h>

#include "common/core/log.h"
#include "data-plane/tables/plugin.h"
#include "data-plane/tls/ctx.h"
#include "tests/unit/lib/entity_bed.h"
#include "tests/unit/lib/testcert.h"
#include "tests/unit/lib/testchange.h"
#include "tests/unit/lib/testpki.h"

static bool asks(const void *config)
{
	(void)config;
	return true;
}

static const struct plugin_kind kind_asks = {.name = "asks", .asks_certificate = asks};
static const struct plugin_kind *const kinds[] = {&kind_asks, NULL};

static struct {
	struct entity_bed tables;
	struct parsed_cache *parsed;
	struct ticket_keys *tickets;
	struct tls_ctx *ctx;
	struct testca ca;
} bed;

/* Name and certificate of one byte's id, with its oldest version of TLS. */
static void put_name(unsigned id, const char *name, uint16_t minimum)
{
	const struct testcert_options o = {.name = name};
	struct buf leaf_der = BUF_INIT, key_der = BUF_INIT;
	struct tables *t = bed.tables.tables;
	struct cert_source s = {0};
	unsigned char bytes[16];
	X509 *leaf;
	EVP_PKEY *key;

	testcert_issue(&bed.ca, &o, &leaf, &key);
	s.leaf = testder_cert(&leaf_der, leaf);
	s.key = testder_key(&key_der, key);
	memset(bytes, (int)id, sizeof(bytes));
	tables_begin(t, false);
	assert_int_equal(certs_put(&t->certs, &t->txn, bytes, &s, 1, NULL), 0);
	assert_int_equal(
		certs_put_sni(&t->certs, &t->txn, bytes, str_from(name), bytes, minimum, NULL), 0);
	entity_bed_commit(&bed.tables);
	X509_free(leaf);
	EVP_PKEY_free(key);
	buf_deinit(&leaf_der);
	buf_deinit(&key_der);
}

/* A route for the name, with a plugin that asks. */
static void ask_for(unsigned id, const char *name)
{
	struct tables *t = bed.tables.tables;
	struct str path = STR("/"), sni = str_from(name);
	const struct route_source s = {.paths = {&path, 1}, .snis = {&sni, 1}, .payload = sni};
	unsigned char bytes[16];
	char fields[64];

	memset(bytes, (int)id, sizeof(bytes));
	tables_begin(t, false);
	assert_int_equal(routes_put(&t->routes, &t->txn, bytes, &s, NULL), 0);
	entity_bed_commit(&bed.tables);
	snprintf(fields, sizeof(fields), "name=asks route=#%c", (char)id);
	entity_bed_put(&bed.tables, ENTITIES_PLUGIN, id, fields);
}

static int setup(void **state)
{
	const unsigned char fallback[32] = {1};
	struct tls_ctx_options o = {.http2 = true};
	struct err e = ERR_INIT;

	(void)state;
	log_setup("test", LOG_CRIT, LOG_FORMAT_LOGFMT);
	memset(&bed, 0, sizeof(bed));
	testca_init(&bed.ca, "ca");
	entity_bed_init(&bed.tables, kinds);
	put_name('p', "plain.example", 0);
	put_name('o', "other.example", 0);
	put_name('m', "mutual.example", 0);
	put_name('n', "newest.example", TLS1_3_VERSION);
	put_name('w', "*.wild.example", TLS1_3_VERSION);
	put_name('x', "exact.wild.example", 0);
	ask_for('m', "mutual.example");
	assert_int_equal(parsed_cache_create(&bed.parsed, 16, &e), 0);
	assert_int_equal(ticket_keys_create(&bed.tickets, bed.tables.tables, fallback, &e), 0);
	o.tables = bed.tables.tables;
	o.parsed = bed.parsed;
	o.tickets = bed.tickets;
	assert_int_equal(tls_ctx_create(&bed.ctx, &o, &e), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rcu_leave();
	tls_ctx_free(bed.ctx);
	ticket_keys_free(bed.tickets);
	parsed_cache_free(bed.parsed);
	entity_bed_deinit(&bed.tables);
	testca_deinit(&bed.ca);
	return 0;
}

struct client {
	SSL_CTX *ctx;
	SSL *ssl, *server;
	SSL_SESSION *session; /* in: offered; out: the new one */
};

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

/* Whether both ends finished. shown: the client has a certificate. */
static bool handshake(struct client *c, const char *name, int version, const struct testca *shown)
{
	char own[64], byte;

	c->ctx = testcert_client(NULL, NULL);
	if (shown) {
		assert_int_equal(SSL_CTX_use_certificate(c->ctx, shown->cert), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey(c->ctx, shown->key), 1);
	}
	SSL_CTX_set_session_cache_mode(c->ctx,
				       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
	SSL_CTX_sess_set_new_cb(c->ctx, on_new_session);
	SSL_CTX_set_max_proto_version(c->ctx, version);
	c->ssl = make(c->ctx);
	c->server = make(tls_ctx_ssl(bed.ctx));
	SSL_set_app_data(c->ssl, c);
	SSL_set_connect_state(c->ssl);
	SSL_set_accept_state(c->server);
	snprintf(own, sizeof(own), "%s", name);
	assert_int_equal(SSL_set_tlsext_host_name(c->ssl, own), 1);
	if (c->session)
		assert_int_equal(SSL_set_session(c->ssl, c->session), 1);
	for (int i = 0; i < 8; i++) {
		(void)SSL_do_handshake(c->ssl);
		move_bytes(c->ssl, c->server);
		(void)SSL_do_handshake(c->server);
		move_bytes(c->server, c->ssl);
		ERR_clear_error();
	}
	(void)SSL_read(c->ssl, &byte, 1); /* takes the ticket */
	rcu_leave();
	return SSL_is_init_finished(c->ssl) && SSL_is_init_finished(c->server);
}

static void hang_up(struct client *c)
{
	SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(c->ssl);
	SSL_free(c->server);
	SSL_CTX_free(c->ctx);
}

static bool allows(const SSL *ssl, const char *host)
{
	struct tables *t = bed.tables.tables;
	bool yes = tls_policy_allows(t, tables_enter(t), ssl, str_from(host));

	rcu_leave();
	return yes;
}

/* TLS-08 */
static void test_hosts_over_connections(void **state)
{
	static const struct {
		const char *sni, *host;
		bool allowed;
	} rows[] = {
		{"plain.example", "plain.example", true},
		{"plain.example", "PLAIN.example.", true},
		{"plain.example", "other.example", true},
		{"plain.example", "unknown.example", true},
		{"plain.example", "127.0.0.1", true},
		{"plain.example", "", true},
		{"plain.example", "exact.wild.example", true},
		{"mutual.example", "mutual.example", true},
		{"MUTUAL.example.", "Mutual.Example.", true},
		{"newest.example", "a.wild.example", true}, /* the same rule */
		{"plain.example", "mutual.example", false},
		{"plain.example", "MUTUAL.example", false},
		{"plain.example", "mutual.example.", false},
		{"plain.example", "newest.example", false},
		{"plain.example", "a.wild.example", false},
		{"exact.wild.example", "a.wild.example", false},
		{"mutual.example", "plain.example", false},
		{"mutual.example", "newest.example", false},
		{"mutual.example", "unknown.example", false},
		{"mutual.example", "", false},
		{"newest.example", "plain.example", false},
		{"a.wild.example", "exact.wild.example", false},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct client c = {0};

		assert_true(handshake(&c, rows[i].sni, TLS1_3_VERSION, NULL));
		if (allows(c.server, rows[i].host) != rows[i].allowed)
			fail_msg("%s over %s", rows[i].host, rows[i].sni);
		hang_up(&c);
		SSL_SESSION_free(c.session);
	}
	assert_true(allows(NULL, "mutual.example")); /* no TLS: plugins refuse */
}

static void test_minimum(void **state)
{
	static const struct {
		const char *name;
		bool old_too;
	} rows[] = {
		{"plain.example", true},   {"exact.wild.example", true}, {"newest.example", false},
		{"a.wild.example", false}, {"NEWEST.example.", false},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct client c = {0};

		assert_true(handshake(&c, rows[i].name, TLS1_3_VERSION, NULL));
		hang_up(&c);
		SSL_SESSION_free(c.session);
		c.session = NULL;
		assert_int_equal(handshake(&c, rows[i].name, TLS1_2_VERSION, NULL),
				 rows[i].old_too);
		hang_up(&c);
		SSL_SESSION_free(c.session);
	}
}

/* Asked for, not required, whoever made it: TLS-09 is for the plugin. */
static void test_client_certificates(void **state)
{
	const struct testpki_options good = {.name = "good"},
				     late = {.name = "late",
					     .from_seconds = -7200,
					     .to_seconds = -3600},
				     padded = {.name = "padded", .padding = 70 << 10};
	const struct {
		const char *sni;
		const struct testpki_options *shown; /* NULL: none */
		bool made;
		const char *seen;
	} rows[] = {
		{"mutual.example", NULL, true, ""},	 {"mutual.example", &good, true, "good"},
		{"mutual.example", &late, true, "late"}, {"mutual.example", &padded, false, ""},
		{"plain.example", &good, true, ""},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
			struct client c = {0};
			char subject[32] = "";
			struct testca own;
			X509 *peer;

			if (rows[i].shown)
				testpki_make(&own, NULL, rows[i].shown);
			assert_int_equal(
				handshake(&c, rows[i].sni, version, rows[i].shown ? &own : NULL),
				rows[i].made);
			peer = SSL_get0_peer_certificate(c.server);
			if (peer && rows[i].made)
				X509_NAME_get_text_by_NID(X509_get_subject_name(peer),
							  NID_commonName, subject, sizeof(subject));
			assert_string_equal(subject, rows[i].seen);
			hang_up(&c);
			SSL_SESSION_free(c.session);
			if (rows[i].shown)
				testca_deinit(&own);
		}
	}
}

/* TLS-07: rules that changed make a full handshake of what would have been resumed; and whoever is
 * asked for a certificate never resumes. */
static void test_resumption(void **state)
{
	(void)state;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct client c = {0};

		assert_true(handshake(&c, "plain.example", version, NULL));
		hang_up(&c);
		assert_true(handshake(&c, "plain.example", version, NULL));
		assert_true(SSL_session_reused(c.server));
		hang_up(&c);
		ask_for('p', "plain.example");
		assert_true(handshake(&c, "plain.example", version, NULL));
		assert_false(SSL_session_reused(c.server));
		hang_up(&c);
		entity_bed_put(&bed.tables, ENTITIES_PLUGIN, 'p', NULL);
		SSL_SESSION_free(c.session);
		c.session = NULL;

		assert_true(handshake(&c, "mutual.example", version, NULL));
		hang_up(&c);
		assert_true(handshake(&c, "mutual.example", version, NULL));
		assert_false(SSL_session_reused(c.server));
		hang_up(&c);
		assert_true(handshake(&c, "plain.example", version, NULL));
		assert_false(SSL_session_reused(c.server));
		hang_up(&c);
		SSL_SESSION_free(c.session);
	}
}

/* A connection that was made before its name was given rules carries no more requests. */
static void test_changed_rules(void **state)
{
	struct client c = {0};

	(void)state;
	assert_true(handshake(&c, "plain.example", TLS1_3_VERSION, NULL));
	assert_true(allows(c.server, "plain.example"));
	ask_for('p', "plain.example");
	assert_false(allows(c.server, "plain.example"));
	assert_true(allows(c.server, "other.example"));
	entity_bed_put(&bed.tables, ENTITIES_PLUGIN, 'p', "name=asks");
	assert_false(allows(c.server, "other.example"));
	entity_bed_put(&bed.tables, ENTITIES_PLUGIN, 'p', NULL);
	assert_true(allows(c.server, "plain.example"));
	entity_bed_put(&bed.tables, ENTITIES_PLUGIN, 'm', NULL);
	put_name('n', "newest.example", 0);
	put_name('w', "*.wild.example", 0);
	assert_int_equal(bed.tables.tables->certs.minimums.count, 0);
	assert_true(allows(c.server, "newest.example"));
	hang_up(&c);
	SSL_SESSION_free(c.session);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_hosts_over_connections, setup, teardown),
		cmocka_unit_test_setup_teardown(test_minimum, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client_certificates, setup, teardown),
		cmocka_unit_test_setup_teardown(test_resumption, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changed_rules, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
