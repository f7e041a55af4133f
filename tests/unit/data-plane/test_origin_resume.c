/* tls/origin_resume: which connections to upstreams resume a session, and which must not. */
#include "data-plane/tls/origin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/core/clock.h"
#include "tests/unit/data-plane/origin_bed.h"

/* As the proxy does, always to one address. ctx stays the caller's. 1: resumed, 0: not, -1: no
 * connection. */
static int connect_offering(SSL_CTX *ctx, struct origin_tls *t)
{
	struct pair_options o = {.tls = true, .server_name = t->name};
	struct addr addr;
	struct pair p;
	int out = -1;

	assert_int_equal(addr_parse(&addr, STR("192.0.2.1:443"), NULL), 0);
	pair_init(&p, &o);
	p.quiet = true;
	SSL_CTX_free(p.server_tls);
	SSL_CTX_free(p.client_tls);
	p.server_tls = ctx;
	p.client_tls = t->ctx;
	p.server_options.tls = ctx;
	assert_int_equal(SSL_CTX_up_ref(ctx) + SSL_CTX_up_ref(t->ctx), 2);
	pair_connect(&p, &o);
	origin_tls_offer(t, conn_ssl(p.client.conn), &addr);
	run_until(&p.f, p.client.opens ? p.server.opens : p.client.closes);
	if (p.client.opens && !p.client.closes) {
		origin_tls_opened(conn_ssl(p.client.conn));
		conn_write(p.server.conn, STR("x")); /* behind the ticket of TLS 1.3 */
		run_until(&p.f, p.client.got.len == 1);
		out = SSL_session_reused(conn_ssl(p.client.conn));
	}
	pair_deinit(&p);
	return out;
}

static int connect_as(SSL_CTX *ctx, const struct service *s, const char *host)
{
	struct origin_tls *t = get(s, NULL, host);
	int rc = connect_offering(ctx, t);

	origin_tls_unref(&t);
	return rc;
}

static void test_resumption(void **state)
{
	(void)state;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		const struct service s = service(1, -1, "s", "");
		SSL_CTX *ctx = server(&bed.second, "DNS:a.example", 0, 0);
		SSL_CTX *again = server(&bed.second, "DNS:a.example", 0, 0);

		memset(bed.events, 0, sizeof(bed.events));
		SSL_CTX_set_max_proto_version(ctx, version);
		assert_int_equal(connect_as(ctx, &s, "a.example"), 0);
		for (int i = 0; i < 3; i++)
			assert_int_equal(connect_as(ctx, &s, "a.example"), 1);
		/* It was started again and knows none of its tickets. */
		assert_int_equal(connect_as(again, &s, "a.example"), 0);
		assert_int_equal(connect_as(again, &s, "a.example"), 1);
		assert_int_equal(bed.events[ORIGIN_FULL], 2);
		assert_int_equal(bed.events[ORIGIN_RESUMED], 4);
		SSL_CTX_free(ctx);
		SSL_CTX_free(again);
		put_authority('s', bed.second.cert); /* nothing for the next version */
	}
}

/* What was verified otherwise is verified anew. */
static void test_no_resumption_under_other_rules(void **state)
{
	const struct service rows[] = {
		service(1, -1, "s", ""),  service(0, -1, "s", ""),  service(1, 3, "s", ""),
		service(1, -1, "sf", ""), service(1, -1, "s", "c"),
	};
	SSL_CTX *ctx = server(&bed.second, "DNS:a.example,DNS:b.example", 0, 0);

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		assert_int_equal(connect_as(ctx, &rows[i], "a.example"), 0);
		assert_int_equal(connect_as(ctx, &rows[i], "a.example"), 1);
		assert_int_equal(connect_as(ctx, &rows[i], "b.example"), 0);
	}
	SSL_CTX_free(ctx);
}

static void test_no_resumption_after_a_change_of_trust(void **state)
{
	const struct service s = service(1, -1, "s", "");
	SSL_CTX *ctx = server(&bed.second, "DNS:a.example", 0, 0);
	struct origin_tls *old = get(&s, NULL, "a.example");

	(void)state;
	assert_int_equal(connect_offering(ctx, old), 0);
	assert_int_equal(connect_offering(ctx, old), 1);
	put_authority('s', bed.foreign.cert);
	assert_int_equal(connect_as(ctx, &s, "a.example"), -1);
	put_authority('s', bed.second.cert);
	assert_int_equal(connect_as(ctx, &s, "a.example"), 0);
	origin_tls_unref(&old);
	SSL_CTX_free(ctx);
}

/* Neither two hours nor the chain's end are passed by, however often it was resumed. */
static void test_resumption_ends(void **state)
{
	static const struct {
		long cert_seconds, step;
		unsigned resumed;
	} rows[] = {
		{90 * 86400, 3000, 2}, /* 3,000 and 6,000 s later, not 9,000 */
		{4000, 3000, 1},
	};
	const struct service s = service(1, -1, "s", "");

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		SSL_CTX *ctx = server(&bed.second, "DNS:a.example", -3600, rows[i].cert_seconds);
		int64_t start = clock_wall_ms();
		unsigned n = 0;

		assert_int_equal(connect_as(ctx, &s, "a.example"), 0);
		do
			clock_fake(clock_mono_ns(), start + (int64_t)(n + 1) * rows[i].step * 1000);
		while (connect_as(ctx, &s, "a.example") == 1 && ++n < 10);
		clock_fake_end();
		assert_int_equal(n, rows[i].resumed);
		SSL_CTX_free(ctx);
		put_authority('s', bed.second.cert);
	}
}

/* One of two that are kept goes for a third; a session that a handshake failed with is forgotten.
 */
static void test_sessions_are_bounded(void **state)
{
	const struct service s = service(0, -1, "", "");
	SSL_CTX *ctx = server(&bed.second, "DNS:a.example", 0, 0);
	struct origin_tls *kept;

	(void)state;
	assert_int_equal(connect_as(ctx, &s, "a.example"), 0);
	assert_int_equal(connect_as(ctx, &s, "b.example"), 0);
	assert_int_equal(bed.events[ORIGIN_EVICTED], 0);
	assert_int_equal(connect_as(ctx, &s, "c.example"), 0);
	assert_int_equal(bed.events[ORIGIN_EVICTED], 1);
	assert_int_equal(connect_as(ctx, &s, "b.example"), 1);
	assert_int_equal(connect_as(ctx, &s, "a.example"), 0);
	kept = get(&s, NULL, "a.example");
	origin_tls_cache_free(bed.cache);
	bed.cache = NULL;
	assert_int_equal(connect_offering(ctx, kept), 0); /* nothing is kept any more */
	assert_int_equal(connect_offering(ctx, kept), 0);
	origin_tls_unref(&kept);
	SSL_CTX_free(ctx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_resumption),
		T(test_no_resumption_under_other_rules),
		T(test_no_resumption_after_a_change_of_trust),
		T(test_resumption_ends),
		T(test_sessions_are_bounded),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
