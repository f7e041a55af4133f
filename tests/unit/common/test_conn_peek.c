/* The first bytes of an accepted connection: looked at, used or not, then TLS or plain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/lib/conn_pair.h"
#include "tests/unit/lib/oom.h"

/* What the callback of a test wants. */
static struct {
	size_t want; /* bytes to wait for */
	size_t use;
	SSL_CTX *tls;
	size_t seen; /* longest that was shown */
	unsigned calls;
} plan;

static void on_peek(struct conn *c, struct str bytes, void *arg)
{
	struct err e = ERR_INIT;

	(void)arg;
	plan.calls++;
	plan.seen = bytes.len;
	if (bytes.len >= plan.want && plan.want != SIZE_MAX &&
	    conn_peeked(c, plan.use, plan.tls, &e) < 0)
		conn_fail(c, &e);
}

static void init(struct pair *p, const struct pair_options *o, size_t want, size_t use)
{
	pair_init(p, o);
	p->server_options.on_peek = on_peek;
	plan.want = want;
	plan.use = use;
	plan.tls = p->server_tls;
	plan.seen = plan.calls = 0;
}

static void test_plain(void **state)
{
	static const struct {
		size_t want, use;
		const char *rest;
	} rows[] = {
		{1, 0, "PROXY hello"},
		{6, 6, "hello"},
		{11, 6, "hello"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct pair p;
		int fd;

		init(&p, &(struct pair_options){.tls = false}, rows[i].want, rows[i].use);
		fd = raw_connect(&p);
		run_until(&p.f, p.server.conn);
		for (const char *at = "PROXY hello"; *at; at++) {
			raw_send(fd, (struct str){at, 1});
			fixture_spin(&p.f, 3);
		}
		run_until(&p.f, p.server.got.len == strlen(rows[i].rest));
		assert_string_equal(p.server.got.data, rows[i].rest);
		assert_int_equal(p.server.opens, 1);
		close(fd);
		run_until(&p.f, p.server.closed);
		pair_deinit(&p);
	}
}

/* Behind a PROXY header, in the same segment or not: the header is not shown. */
static void test_behind_a_proxy_header(void **state)
{
	static const char *const first[] = {"PROXY TCP4 192.0.2.1 198.51.100.1 1 443\r\n",
					    "PROXY TCP4 192.0.2.1 198.51.100.1 1 443\r\nhe"};

	(void)state;
	for (size_t i = 0; i < array_len(first); i++) {
		struct pair p;
		char from[ADDR_TEXT_SIZE];
		int fd;

		init(&p, &(struct pair_options){.tls = false}, 3, 1);
		p.server_options.proxy_protocol = true;
		fd = raw_connect(&p);
		raw_send(fd, str_from(first[i]));
		run_until(&p.f, plan.calls > i);
		raw_send(fd, i ? STR("llo") : STR("hello"));
		run_until(&p.f, p.server.got.len == 4);
		assert_string_equal(p.server.got.data, "ello");
		addr_text(conn_peer(p.server.conn), from, sizeof(from));
		assert_string_equal(from, "192.0.2.1:1");
		close(fd);
		run_until(&p.f, p.server.closed);
		pair_deinit(&p);
	}
}

/* The peeked bytes are the ClientHello's first ones; TLS goes on from them. */
static void test_tls(void **state)
{
	static const size_t wants[] = {1, 5, 100};

	(void)state;
	for (size_t i = 0; i < array_len(wants); i++) {
		const struct pair_options o = {.tls = true};
		struct pair p;

		init(&p, &o, wants[i], 0);
		pair_connect(&p, &o);
		run_until(&p.f, p.client.opens && p.server.opens);
		conn_write(p.client.conn, STR("hello"));
		run_until(&p.f, p.server.got.len == 5);
		conn_shutdown(p.client.conn);
		run_until(&p.f, p.client.closed && p.server.closed);
		assert_int_equal(p.server.why.kind, ERR_NONE);
		pair_deinit(&p);
	}
}

/* Decided before a byte came: for a peer that waits for the other side to speak first. */
static void test_decided_at_once(void **state)
{
	struct pair p;
	int fd;

	(void)state;
	init(&p, &(struct pair_options){.tls = false}, 0, 0);
	fd = raw_connect(&p);
	run_until(&p.f, p.server.opens);
	assert_int_equal(plan.calls, 1);
	assert_int_equal(plan.seen, 0);
	raw_send(fd, STR("x"));
	run_until(&p.f, p.server.got.len == 1);
	close(fd);
	run_until(&p.f, p.server.closed);
	pair_deinit(&p);
}

/* SL-01: the limit is total, whatever trickles in; and it goes on into the handshake. */
static void test_time_limit(void **state)
{
	(void)state;
	for (int handshake = 0; handshake < 2; handshake++) {
		const struct pair_options o = {.tls = true, .handshake_ms = 150};
		struct pair p;
		int fd;

		init(&p, &o, handshake ? 3 : SIZE_MAX, 0);
		fd = raw_connect(&p);
		fixture_start(&p.f);
		while (!p.server.closed) {
			(void)send(fd, "\x16\x03\x01\x01", 1, MSG_NOSIGNAL);
			fixture_turn(&p.f, "closed", __FILE__, __LINE__);
		}
		assert_int_equal(p.server.opens, 0);
		if (!handshake)
			assert_int_equal(p.server.why.kind, ERR_TIMEOUT);
		close(fd);
		pair_deinit(&p);
	}
}

static void test_too_much(void **state)
{
	static char junk[4096];
	struct pair p;
	int fd;

	(void)state;
	init(&p, &(struct pair_options){.tls = false}, SIZE_MAX, 0);
	fd = raw_connect(&p);
	fixture_start(&p.f);
	while (!p.server.closed) {
		(void)send(fd, junk, sizeof(junk), MSG_NOSIGNAL);
		fixture_turn(&p.f, "closed", __FILE__, __LINE__);
	}
	assert_int_equal(p.server.why.kind, ERR_LIMIT);
	assert_true(plan.seen <= CONN_PEEK_MAX);
	close(fd);
	pair_deinit(&p);
}

static void test_peer_leaves(void **state)
{
	struct pair p;
	int fd;

	(void)state;
	init(&p, &(struct pair_options){.tls = false}, SIZE_MAX, 0);
	fd = raw_connect(&p);
	raw_send(fd, STR("half"));
	close(fd);
	run_until(&p.f, p.server.closed);
	assert_int_equal(p.server.why.kind, ERR_UNAVAILABLE);
	assert_int_equal(p.server.opens, 0);
	pair_deinit(&p);
}

static void test_out_of_memory(void **state)
{
	bool happened = true;

	(void)state;
	for (unsigned long n = 0; happened; n++) {
		const struct pair_options o = {.tls = true};
		struct pair p;

		init(&p, &o, 10, 0);
		p.quiet = true;
		oom_fail_at(n);
		pair_connect(&p, &o);
		fixture_start(&p.f);
		while (p.client.conn && !p.client.opens && !p.client.closed && !p.server.closed)
			fixture_turn(&p.f, "open", __FILE__, __LINE__);
		happened = oom_happened();
		pair_deinit(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),	    cmocka_unit_test(test_behind_a_proxy_header),
		cmocka_unit_test(test_tls),	    cmocka_unit_test(test_decided_at_once),
		cmocka_unit_test(test_time_limit),  cmocka_unit_test(test_too_much),
		cmocka_unit_test(test_peer_leaves), cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
