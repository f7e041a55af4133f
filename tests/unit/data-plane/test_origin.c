/* tls/origin: whole connections to upstreams of every kind, over loopback. */
#include "data-plane/tls/origin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/data-plane/origin_bed.h"
#include "tests/unit/lib/oom.h"

static char seen_sni[64];

static int note_sni(SSL *ssl, int *alert, void *arg)
{
	const unsigned char *ext;
	size_t len;

	(void)alert;
	(void)arg;
	seen_sni[0] = '\0';
	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext, &len) == 1)
		snprintf(seen_sni, sizeof(seen_sni), "%.*s", (int)len - 5, (const char *)ext + 5);
	return SSL_CLIENT_HELLO_SUCCESS;
}

/* Takes ctx. Whether the connection was made; *p is still to be ended. */
static bool connect_to(struct pair *p, SSL_CTX *ctx, const struct origin_tls *t)
{
	struct pair_options o = {.tls = true, .server_name = t->name};

	pair_init(p, &o);
	p->quiet = true;
	SSL_CTX_free(p->server_tls);
	SSL_CTX_free(p->client_tls);
	p->server_tls = ctx;
	p->server_options.tls = ctx;
	p->client_tls = t->ctx;
	assert_int_equal(SSL_CTX_up_ref(t->ctx), 1);
	SSL_CTX_set_client_hello_cb(ctx, note_sni, NULL);
	pair_connect(p, &o);
	run_until(&p->f, p->client.opens ? p->server.opens : p->client.closes);
	return p->client.opens && !p->client.closes;
}

/* UP-12 */
static void test_verification(void **state)
{
	const struct {
		const char *name;
		const struct testca *issuer;
		const char *san;
		long from, to;
		int verify;
		const char *authorities, *host, *sni;
		const char *why; /* NULL: connected */
	} rows[] = {
		{"global trust", &bed.trusted, "DNS:a.example", 0, 0, 1, "", "a.example",
		 "a.example", NULL},
		{"trailing dot", &bed.trusted, "DNS:a.example", 0, 0, 1, "", "a.example.",
		 "a.example", NULL},
		{"wildcard", &bed.trusted, "DNS:*.b.example", 0, 0, 1, "", "a.b.example",
		 "a.b.example", NULL},
		{"own trust", &bed.second, "DNS:a.example", 0, 0, 1, "s", "a.example", "a.example",
		 NULL},
		{"one of several", &bed.second, "DNS:a.example", 0, 0, 1, "fs", "a.example",
		 "a.example", NULL},
		{"address", &bed.trusted, "IP:127.0.0.1", 0, 0, 1, "", "127.0.0.1", "", NULL},
		{"address, IPv6", &bed.trusted, "IP:::1", 0, 0, 1, "", "::1", "", NULL},
		{"not verified", &bed.foreign, "DNS:other", -7200, -3600, 0, "", "a.example",
		 "a.example", NULL},
		{"not verified by default", &bed.foreign, "DNS:other", 0, 0, -1, "", "a.example",
		 "a.example", NULL},
		{"wrong name", &bed.trusted, "DNS:b.example", 0, 0, 1, "", "a.example", "a.example",
		 "hostname mismatch"},
		{"no name", &bed.trusted, NULL, 0, 0, 1, "", "a.example", "a.example",
		 "hostname mismatch"},
		{"two labels", &bed.trusted, "DNS:*.b.example", 0, 0, 1, "", "c.a.b.example",
		 "c.a.b.example", "hostname mismatch"},
		{"address as a DNS name", &bed.trusted, "DNS:127.0.0.1", 0, 0, 1, "", "127.0.0.1",
		 "", "IP address mismatch"},
		{"another address", &bed.trusted, "IP:127.0.0.2", 0, 0, 1, "", "127.0.0.1", "",
		 "IP address mismatch"},
		{"expired", &bed.trusted, "DNS:a.example", -7200, -3600, 1, "", "a.example",
		 "a.example", "certificate has expired"},
		{"not yet valid", &bed.trusted, "DNS:a.example", 3600, 7200, 1, "", "a.example",
		 "a.example", "certificate is not yet valid"},
		{"unknown authority", &bed.foreign, "DNS:a.example", 0, 0, 1, "", "a.example",
		 "a.example", "unable to get local issuer certificate"},
		/* What a service names stands in place of the global trust. */
		{"global trust is off", &bed.trusted, "DNS:a.example", 0, 0, 1, "s", "a.example",
		 "a.example", "unable to get local issuer certificate"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		const struct service s = service(rows[i].verify, -1, rows[i].authorities, "");
		struct origin_tls *t = get(&s, NULL, rows[i].host);
		struct pair p;
		bool ok = connect_to(
			&p, server(rows[i].issuer, rows[i].san, rows[i].from, rows[i].to), t);

		if (ok == (rows[i].why != NULL))
			fail_msg("%s: %s", rows[i].name, ok ? "connected" : p.client.why.message);
		if (rows[i].why && !strstr(p.client.why.message, rows[i].why))
			fail_msg("%s: %s", rows[i].name, p.client.why.message);
		if (rows[i].why)
			assert_int_equal(p.client.why.kind, ERR_DENIED);
		assert_string_equal(seen_sni, rows[i].sni);
		pair_deinit(&p);
		origin_tls_unref(&t);
		assert_null(t);
	}
}

/* The hybrid group where OpenSSL has it, for connections to upstreams too. */
static void test_group(void **state)
{
	const char *want = OPENSSL_VERSION_NUMBER >= 0x30500000L ? "X25519MLKEM768" : "X25519";
	const struct service s = service(1, -1, "s", "");
	struct origin_tls *t = get(&s, NULL, "a.example");
	const char *got;
	struct pair p;
	SSL *ssl;

	(void)state;
	assert_true(connect_to(&p, server(&bed.second, "DNS:a.example", 0, 0), t));
	ssl = conn_ssl(p.client.conn);
	got = SSL_group_to_name(ssl, (int)SSL_get_negotiated_group(ssl));
	assert_non_null(got);
	assert_true(str_ieq(str_from(got), str_from(want)));
	pair_deinit(&p);
	origin_tls_unref(&t);
}

/* A chain of leaf, one authority between, root. */
static void test_depth(void **state)
{
	(void)state;
	for (int depth = 0; depth <= 1; depth++) {
		const struct service s = service(1, depth, "", "");
		struct testca between;
		SSL_CTX *ctx;
		struct origin_tls *t = get(&s, NULL, "a.example");
		struct pair p;

		testca_init(&between, "between");
		assert_int_equal(
			X509_set_issuer_name(between.cert, X509_get_subject_name(bed.trusted.cert)),
			1);
		assert_true(X509_sign(between.cert, bed.trusted.key, EVP_sha256()) > 0);
		ctx = server(&between, "DNS:a.example", 0, 0);
		assert_int_equal(SSL_CTX_add1_chain_cert(ctx, between.cert), 1);
		assert_int_equal(connect_to(&p, ctx, t), depth == 1);
		pair_deinit(&p);
		testca_deinit(&between);
		origin_tls_unref(&t);
	}
}

static int accept_any(X509_STORE_CTX *x, void *arg)
{
	(void)x;
	(void)arg;
	return 1;
}

/* The certificate of the service wins over the upstream's, and both over the global one. */
static void test_client_certificate(void **state)
{
	static const struct {
		const char *of_service;
		bool of_upstream;
		const char *want;
	} rows[] = {
		{"c", true, "of the service"},
		{"c", false, "of the service"},
		{"", true, "of the upstream"},
		{"", false, "leaf"},
	};
	unsigned char id[ENTITY_ID_SIZE];

	(void)state;
	memset(id, 'u', sizeof(id));
	for (size_t i = 0; i < array_len(rows); i++) {
		const struct service s = service(1, -1, "", rows[i].of_service);
		const struct upstream u = {.client_certificate = id};
		struct origin_tls *t = get(&s, rows[i].of_upstream ? &u : NULL, "a.example");
		SSL_CTX *ctx = server(&bed.trusted, "DNS:a.example", 0, 0);
		char subject[64] = "";
		struct pair p;

		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
		SSL_CTX_set_cert_verify_callback(ctx, accept_any, NULL);
		assert_true(connect_to(&p, ctx, t));
		X509_NAME_get_text_by_NID(
			X509_get_subject_name(SSL_get0_peer_certificate(conn_ssl(p.server.conn))),
			NID_commonName, subject, sizeof(subject));
		assert_string_equal(subject, rows[i].want);
		pair_deinit(&p);
		origin_tls_unref(&t);
	}
}

/* Never a fallback to less. */
static void test_refusals(void **state)
{
	static const struct {
		const char *authorities, *certificate, *host, *why;
	} rows[] = {
		{"x", "", "a.example", "an authority for the upstream is not there"},
		{"sx", "", "a.example", "an authority for the upstream is not there"},
		{"", "x", "a.example", "the client certificate for the upstream is not there"},
		{"", "", "", "the upstream has no name to verify"},
		{"", "", ".", "the upstream has no name to verify"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		const struct service s = service(1, -1, rows[i].authorities, rows[i].certificate);
		struct origin_tls *t = NULL;
		struct err e = ERR_INIT;

		assert_int_equal(origin_tls_get(&t, bed.cache, tables_enter(bed.tables.tables), &s,
						NULL, str_from(rows[i].host), false, &e),
				 -1);
		rcu_leave();
		assert_null(t);
		assert_int_equal(e.kind, ERR_INVALID);
		assert_string_equal(e.message, rows[i].why);
	}
}

static void test_bad_files(void **state)
{
	const struct {
		const char *trusted, *cert, *key;
	} rows[] = {
		{"/nonexistent", NULL, NULL},		{bed.files.key, NULL, NULL},
		{NULL, "/nonexistent", "/nonexistent"}, {NULL, bed.files.cert, bed.files.ca},
		{NULL, bed.files.cert, NULL},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		const struct origin_tls_options o = {.tables = bed.tables.tables,
						     .trusted_file = rows[i].trusted,
						     .cert_file = rows[i].cert,
						     .key_file = rows[i].key};
		struct origin_tls_cache *c = NULL;
		struct err e = ERR_INIT;

		assert_int_equal(origin_tls_cache_create(&c, &o, &e), -1);
		assert_null(c);
		assert_non_null(strchr(e.message, '/'));
	}
}

/* UP-11: whatever an upstream sends before its ServerHello ends the connection. */
static void test_plain_bytes(void **state)
{
	static const char *const rows[] = {
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"\x15\x03\x03\x00\x02\x02\x28",
		"\x17\x03\x03\x00\x05hello",
		"\n",
	};
	const struct service s = service(0, -1, "", "");

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct origin_tls *t = get(&s, NULL, "a.example");
		struct pair_options o = {.server_name = t->name};
		struct pair p;

		pair_init(&p, &o);
		p.client_tls = t->ctx;
		assert_int_equal(SSL_CTX_up_ref(t->ctx), 1);
		pair_connect(&p, &o);
		run_until(&p.f, p.server.opens);
		conn_write(p.server.conn, (struct str){rows[i], i == 1 ? 7 : strlen(rows[i])});
		conn_shutdown(p.server.conn);
		run_until(&p.f, p.client.closes);
		assert_int_equal(p.client.opens, 0);
		assert_int_equal(p.client.got.len, 0);
		testca_init(&p.ca, "unused");
		testca_init(&p.other_ca, "unused");
		pair_deinit(&p);
		origin_tls_unref(&t);
	}
}

/* Shared by what they prove; made again when that changed. */
static void test_sharing(void **state)
{
	const struct service plain = service(1, -1, "s", "");
	const struct service lax = service(0, -1, "s", "");
	struct origin_tls *a = get(&plain, NULL, "a.example"), *b = get(&plain, NULL, "a.example"),
			  *other = get(&plain, NULL, "b.example"),
			  *unverified = get(&lax, NULL, "a.example"), *changed;

	(void)state;
	assert_ptr_equal(a, b);
	assert_ptr_not_equal(a, other);
	assert_ptr_equal(a->ctx, other->ctx);
	assert_ptr_not_equal(a->ctx, unverified->ctx);
	assert_true(a->verify && !unverified->verify);
	put_authority('s', bed.foreign.cert);
	changed = get(&plain, NULL, "a.example");
	assert_ptr_not_equal(a->ctx, changed->ctx);
	put_authority('s', bed.second.cert);
	origin_tls_unref(&a);
	a = get(&plain, NULL, "b.example");
	assert_ptr_not_equal(a, changed);
	origin_tls_unref(&a);
	origin_tls_unref(&b);
	origin_tls_unref(&other);
	origin_tls_unref(&unverified);
	origin_tls_unref(&changed);
}

/* Ten thousand names leave a bounded number behind, and what is referenced outlives the cache. */
static void test_bounds(void **state)
{
	const struct service s = service(1, -1, "s", "");
	struct origin_tls *kept = get(&s, NULL, "kept.example");
	SSL_CTX *ctx = kept->ctx;

	(void)state;
	for (unsigned i = 0; i < 10000; i++) {
		char name[32];
		struct origin_tls *t;

		snprintf(name, sizeof(name), "n%u.example", i);
		t = get(&s, NULL, name);
		assert_ptr_equal(t->ctx, ctx);
		origin_tls_unref(&t);
	}
	assert_ptr_equal(get(&s, NULL, "kept.example"), kept);
	assert_int_equal(kept->refs, 2);
	origin_tls_cache_free(bed.cache);
	bed.cache = NULL;
	assert_string_equal(kept->name, "kept.example");
	for (int i = 0; i < 2; i++) {
		struct origin_tls *t = kept;

		origin_tls_unref(&t);
	}
}

static void one_get(void *arg)
{
	const struct service s = service(1, -1, "s", "c");
	struct origin_tls_options o = {.tables = bed.tables.tables};
	struct origin_tls_cache *c = NULL;
	struct origin_tls *t = NULL;
	struct err e = ERR_INIT;

	(void)arg;
	if (origin_tls_cache_create(&c, &o, &e) == 0 &&
	    origin_tls_get(&t, c, tables_enter(bed.tables.tables), &s, NULL, STR("a.example"), true,
			   &e) == 0)
		origin_tls_unref(&t);
	else
		assert_int_equal(e.kind, ERR_MEMORY);
	rcu_leave();
	origin_tls_cache_free(c);
}

static void test_out_of_memory(void **state)
{
	(void)state;
	assert_true(oom_each(one_get, NULL) >= 5);
}

/* Checks of an upstream: no service has a say. */
static void test_checks(void **state)
{
	unsigned char id[ENTITY_ID_SIZE];
	struct upstream u = {.checks.active.verify = true};
	struct origin_tls_options o = {.verify_depth = 5, .enforce = true};
	struct origin_tls_cache *strict;
	struct origin_tls *a, *b, *c;
	struct err e = ERR_INIT;

	(void)state;
	o.tables = bed.tables.tables;
	o.trusted_file = bed.files.ca;
	assert_int_equal(origin_tls_cache_create(&strict, &o, &e), 0);
	assert_int_equal(origin_tls_get_for_checks(&a, bed.cache, &u, STR("a.test"), false, &e), 0);
	assert_true(a->verify);
	assert_string_equal(a->name, "a.test");
	u.checks.active.verify = false;
	assert_int_equal(origin_tls_get_for_checks(&b, bed.cache, &u, STR("a.test"), false, &e), 0);
	assert_false(b->verify);
	/* tls_certificate_verify */
	assert_int_equal(origin_tls_get_for_checks(&c, strict, &u, STR("a.test"), false, &e), 0);
	assert_true(c->verify);
	origin_tls_unref(&a);
	origin_tls_unref(&b);
	origin_tls_unref(&c);
	memset(id, 'z', sizeof(id));
	u.client_certificate = id;
	assert_int_equal(origin_tls_get_for_checks(&a, strict, &u, STR("a.test"), false, &e), -1);
	assert_int_equal(e.kind, ERR_INVALID);
	origin_tls_cache_free(strict);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_verification, setup, teardown),
		cmocka_unit_test_setup_teardown(test_group, setup, teardown),
		cmocka_unit_test_setup_teardown(test_depth, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client_certificate, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_plain_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sharing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_checks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_out_of_memory, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
