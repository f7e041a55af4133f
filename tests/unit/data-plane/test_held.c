/* tls/held: which handshakes wait for a certificate, and what lets them go on. The connections are
 * the test's: what is let go on is written down. */
#include "data-plane/tls/held.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/core/clock.h"
#include "common/net/conn.h"
#include "tests/unit/lib/entity_bed.h"
#include "tests/unit/lib/loop_fixture.h"
#include "tests/unit/lib/oom.h"
#include "tests/unit/lib/testcert.h"
#include "tests/unit/lib/testchange.h"

enum { HOLD_MS = 60 * 1000, CROWD = HELD_AT_ONCE + 6 };

static struct {
	struct loop_fixture f;
	struct entity_bed tables;
	struct wish_board board;
	struct held held;
	struct testca ca;
	SSL_CTX *ctx;
	unsigned resumed, posted, events[WISH_EVENTS];
	char last[CERTS_NAME_MAX + 1]; /* posted */
	struct addr client, other;
} bed;

/* In place of common/net/conn. */
struct conn *conn_of_ssl(const SSL *ssl)
{
	return (struct conn *)(uintptr_t)ssl;
}

const struct addr *conn_peer(const struct conn *c)
{
	(void)c;
	return &bed.client;
}

void conn_handshake_resume(struct conn *c)
{
	(void)c;
	bed.resumed++;
}

static void count(enum wish_event event, void *arg)
{
	(void)arg;
	bed.events[event]++;
}

static void on_wishes(const struct wish *w, size_t n, void *arg)
{
	(void)arg;
	bed.posted += (unsigned)n;
	memcpy(bed.last, w[n - 1].name, sizeof(bed.last));
}

static void open_held(uint64_t hold_ms, unsigned max, bool on)
{
	const struct held_options o = {
		.tables = bed.tables.tables,
		.board = on ? &bed.board : NULL,
		.loop = &bed.f.loop,
		.max = max,
		.hold_ms = hold_ms,
		.count = count,
	};

	assert_int_equal(held_init(&bed.held, &o, NULL), 0);
}

static void close_held(void)
{
	held_close(&bed.held);
	fixture_spin(&bed.f, 2);
	held_deinit(&bed.held);
}

static int setup(void **state)
{
	(void)state;
	memset(&bed, 0, sizeof(bed));
	fixture_init(&bed.f);
	entity_bed_init(&bed.tables, NULL);
	testca_init(&bed.ca, "ca");
	bed.ctx = testcert_server(&bed.ca, "DNS:default.example", NULL);
	assert_int_equal(addr_parse_ip(&bed.client, STR("192.0.2.1")), 0);
	assert_int_equal(addr_parse_ip(&bed.other, STR("192.0.2.2")), 0);
	assert_int_equal(wish_board_init(&bed.board, NULL), 0);
	wish_serve(&bed.board, &bed.f.loop, on_wishes, NULL);
	atomic_store(&bed.board.gate, WISHES_OPEN);
	open_held(HOLD_MS, 1000, true);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	close_held();
	rcu_leave();
	wish_board_deinit(&bed.board);
	SSL_CTX_free(bed.ctx);
	testca_deinit(&bed.ca);
	entity_bed_deinit(&bed.tables);
	fixture_deinit(&bed.f);
	return 0;
}

static SSL *hello(void)
{
	SSL *ssl = SSL_new(bed.ctx);

	assert_non_null(ssl);
	return ssl;
}

static enum held_verdict ask(SSL *ssl, const char *name)
{
	return held_ask(&bed.held, ssl, str_from(name), &bed.client);
}

static void mark(const char *key, enum wish_mark s)
{
	const struct wish_view v = {.mark = s,
				    .since_ns = clock_mono_ns(),
				    .until_ns = clock_mono_ns() + 1000000000000ULL};

	assert_int_equal(wish_set(&bed.board, str_from(key), v, NULL), 0);
}

static unsigned posted(void)
{
	fixture_spin(&bed.f, 2);
	return bed.posted;
}

/* What looks and one turn let go on. */
static unsigned look(void)
{
	unsigned before = bed.resumed;

	held_look(&bed.held);
	held_turn(&bed.held);
	return bed.resumed - before;
}

static void put_name(const char *name)
{
	const struct testcert_options o = {.name = name};
	struct buf leaf_der = BUF_INIT, key_der = BUF_INIT;
	struct tables *t = bed.tables.tables;
	struct cert_source s = {0};
	unsigned char bytes[16] = {1};
	X509 *leaf;
	EVP_PKEY *key;

	rcu_leave();
	testcert_issue(&bed.ca, &o, &leaf, &key);
	s.leaf = testder_cert(&leaf_der, leaf);
	s.key = testder_key(&key_der, key);
	tables_begin(t, false);
	assert_int_equal(certs_put(&t->certs, &t->txn, bytes, &s, 1, NULL), 0);
	assert_int_equal(certs_put_sni(&t->certs, &t->txn, bytes, str_from(name), bytes, 0, NULL),
			 0);
	entity_bed_commit(&bed.tables);
	X509_free(leaf);
	EVP_PKEY_free(key);
	buf_deinit(&leaf_der);
	buf_deinit(&key_der);
}

/* Nobody waits, nobody is asked. */
static void test_goes_on_at_once(void **state)
{
	static const struct {
		const char *name, *mark;
		int gate;
		enum wish_event event; /* WISH_EVENTS: none */
	} rows[] = {
		{"localhost", NULL, WISHES_OPEN, WISH_EVENTS},
		{"a_b.example", NULL, WISHES_OPEN, WISH_EVENTS},
		{"192.0.2.1", NULL, WISHES_OPEN, WISH_EVENTS},
		{"a.example", "a.example", WISHES_OPEN, WISH_EVENT_REMEMBERED},
		{"b.example", "192.0.2.1", WISHES_OPEN, WISH_EVENT_REMEMBERED},
		{"c.example", NULL, WISHES_AWAY, WISH_EVENT_AWAY},
		{"c.example", NULL, WISHES_FULL, WISH_EVENT_FULL},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		SSL *ssl = hello();

		memset(bed.events, 0, sizeof(bed.events));
		atomic_store(&bed.board.gate, rows[i].gate);
		if (rows[i].mark)
			mark(rows[i].mark, WISH_REFUSED);
		if (ask(ssl, rows[i].name) != HELD_GO)
			fail_msg("row %zu", i);
		for (size_t k = 0; k < WISH_EVENTS; k++)
			assert_int_equal(bed.events[k], k == rows[i].event ? 1 : 0);
		if (rows[i].mark)
			mark(rows[i].mark, WISH_NONE);
		SSL_free(ssl);
	}
	assert_int_equal(posted(), 0);
	assert_int_equal(bed.held.count, 0);
}

static void test_off(void **state)
{
	SSL *ssl = hello();

	(void)state;
	close_held();
	open_held(HOLD_MS, 1000, false);
	assert_int_equal(ask(ssl, "a.example"), HELD_GO);
	held_done(&bed.held, ssl);
	assert_int_equal(posted(), 0);
	SSL_free(ssl);
}

static void test_without_holding(void **state)
{
	SSL *ssl = hello();

	(void)state;
	close_held();
	open_held(0, 1000, true);
	assert_int_equal(ask(ssl, "a.example"), HELD_GO);
	assert_int_equal(posted(), 1);
	mark("a.example", WISH_ASKED);
	assert_int_equal(ask(ssl, "a.example"), HELD_GO);
	assert_int_equal(posted(), 1);
	SSL_free(ssl);
}

static void test_held_until_it_comes(void **state)
{
	SSL *first = hello(), *second = hello(), *third = hello();

	(void)state;
	assert_int_equal(ask(first, "a.example"), HELD_WAIT);
	assert_int_equal(ask(first, "a.example"), HELD_WAIT);
	assert_int_equal(ask(second, "a.example"), HELD_WAIT);
	assert_int_equal(posted(), 1);
	assert_string_equal(bed.last, "a.example");
	mark("a.example", WISH_ASKED);
	assert_int_equal(ask(third, "a.example"), HELD_WAIT);
	assert_int_equal(posted(), 1);
	assert_int_equal(bed.held.count, 3);
	assert_int_equal(look(), 0);
	put_name("a.example");
	mark("a.example", WISH_NONE);
	assert_int_equal(look(), 3);
	assert_int_equal(bed.held.count, 0);
	/* If it is gone again when they come: they waited once. */
	assert_int_equal(ask(first, "a.example"), HELD_GO);
	held_done(&bed.held, second);
	SSL_free(first);
	SSL_free(second);
	SSL_free(third);
}

static void test_held_until_it_is_refused(void **state)
{
	SSL *first = hello(), *second = hello();

	(void)state;
	assert_int_equal(ask(first, "a.example"), HELD_WAIT);
	assert_int_equal(ask(second, "b.example"), HELD_WAIT);
	mark("a.example", WISH_REFUSED);
	mark("b.example", WISH_ASKED);
	assert_int_equal(look(), 1);
	assert_int_equal(bed.held.count, 1);
	SSL_free(first);
	SSL_free(second);
	assert_int_equal(bed.held.count, 0);
}

/* The client who asked is refused: another one who waits asks. */
static void test_a_client_is_refused(void **state)
{
	SSL *first = hello(), *second = hello();

	(void)state;
	assert_int_equal(ask(first, "a.example"), HELD_WAIT);
	assert_int_equal(held_ask(&bed.held, second, STR("a.example"), &bed.other), HELD_WAIT);
	assert_int_equal(posted(), 1);
	mark("192.0.2.1", WISH_REFUSED);
	assert_int_equal(look(), 1);
	assert_int_equal(posted(), 2);
	mark("192.0.2.2", WISH_REFUSED);
	assert_int_equal(look(), 1);
	assert_int_equal(posted(), 2);
	assert_int_equal(bed.held.count, 0);
	SSL_free(first);
	SSL_free(second);
}

/* Nobody asks for them any more, and nobody can. */
static void test_the_gate_shuts(void **state)
{
	SSL *first = hello(), *second = hello();

	(void)state;
	assert_int_equal(ask(first, "a.example"), HELD_WAIT);
	assert_int_equal(ask(second, "b.example"), HELD_WAIT);
	mark("b.example", WISH_ASKED);
	atomic_store(&bed.board.gate, WISHES_AWAY);
	assert_int_equal(look(), 1);
	assert_int_equal(bed.held.count, 1);
	SSL_free(first);
	SSL_free(second);
}

static void test_late(void **state)
{
	SSL *first = hello(), *second = hello(), *third = hello();

	(void)state;
	close_held();
	open_held(30, 1000, true);
	assert_int_equal(ask(first, "a.example"), HELD_WAIT);
	assert_int_equal(ask(second, "b.example"), HELD_WAIT);
	mark("a.example", WISH_ASKED);
	mark("b.example", WISH_ASKED);
	run_until(&bed.f, bed.held.count == 0);
	held_turn(&bed.held);
	assert_int_equal(bed.resumed, 2);
	assert_int_equal(bed.events[WISH_EVENT_LATE], 2);
	/* The name's time is over, though it is asked for. */
	assert_int_equal(ask(third, "a.example"), HELD_GO);
	SSL_free(first);
	SSL_free(second);
	SSL_free(third);
}

static void test_crowds(void **state)
{
	SSL *ssl[CROWD + 1];

	(void)state;
	close_held();
	open_held(HOLD_MS, CROWD, true);
	for (size_t i = 0; i <= CROWD; i++) {
		ssl[i] = hello();
		assert_int_equal(ask(ssl[i], "a.example"), i < CROWD ? HELD_WAIT : HELD_GO);
	}
	assert_int_equal(bed.events[WISH_EVENT_CROWDED], 1);
	mark("a.example", WISH_REFUSED);
	assert_int_equal(look(), HELD_AT_ONCE);
	/* One of those that are still to go on leaves. */
	SSL_free(ssl[CROWD - 1]);
	held_turn(&bed.held);
	assert_int_equal(bed.resumed, CROWD - 1);
	for (size_t i = 0; i <= CROWD; i++)
		if (i != CROWD - 1)
			SSL_free(ssl[i]);
}

static void scenario(void *arg)
{
	SSL *first, *second;

	(void)arg;
	oom_pause();
	first = hello();
	second = hello();
	oom_go_on();
	if (ask(first, "a.example") == HELD_GO)
		assert_int_equal(bed.held.count, 0);
	if (ask(second, "a.example") == HELD_WAIT)
		assert_true(bed.held.count > 0);
	oom_pause();
	SSL_free(first);
	SSL_free(second);
	assert_int_equal(bed.held.count, 0);
	assert_int_equal(bed.held.by_name.count, 0);
	(void)posted();
	oom_go_on();
}

static void test_no_memory(void **state)
{
	(void)state;
	assert_true(oom_each(scenario, NULL) >= 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_goes_on_at_once),
		T(test_off),
		T(test_without_holding),
		T(test_held_until_it_comes),
		T(test_held_until_it_is_refused),
		T(test_a_client_is_refused),
		T(test_the_gate_shuts),
		T(test_late),
		T(test_crowds),
		T(test_no_memory),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
