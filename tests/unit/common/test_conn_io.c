/* Timeouts of a connection, and its user's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/lib/conn_pair.h"

static const struct pair_options kinds[] = {
	{.tls = false},
	{.tls = true},
	{.tls = true, .tls12 = true},
};

static void say(struct end *n, const char *text)
{
	conn_write(n->conn, str_from(text));
}

static void test_idle_timeout(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(kinds); i++) {
		struct pair p;

		pair_open(&p, &kinds[i]);
		conn_idle_timeout(p.client.conn, 60000);
		conn_idle_timeout(p.server.conn, 60000);
		conn_idle_timeout(p.server.conn, 20);
		run_until(&p.f, p.server.closed);
		assert_int_equal(p.server.why.kind, ERR_TIMEOUT);
		assert_non_null(strstr(p.server.why.message, "was idle for 20 ms"));
		assert_false(p.client.why.kind == ERR_TIMEOUT);
		pair_deinit(&p);
	}
}

/* Bytes push the timeout away; 0 turns it off. */
static void test_idle_timeout_moves(void **state)
{
	struct pair p;
	uint64_t start;

	(void)state;
	pair_open(&p, &kinds[0]);
	conn_idle_timeout(p.server.conn, 200);
	start = uv_hrtime();
	for (size_t n = 1; uv_hrtime() - start < 300 * 1000000ULL; n++) {
		say(&p.client, ".");
		run_until(&p.f, p.server.got.len == n);
	}
	assert_false(p.server.closed);
	conn_idle_timeout(p.server.conn, 0);
	conn_idle_timeout(p.client.conn, 300);
	run_until(&p.f, p.client.closed);
	assert_int_equal(p.client.why.kind, ERR_TIMEOUT);
	assert_int_not_equal(p.server.why.kind, ERR_TIMEOUT);
	pair_deinit(&p);
}

/* Once, the latest that was asked for, whatever else the timer is for; not after it was taken back.
 */
static void test_wake(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(kinds); i++) {
		uint64_t start;
		struct pair p;

		pair_open(&p, &kinds[i]);
		start = uv_hrtime();
		conn_idle_timeout(p.client.conn, 60000);
		conn_wake(p.client.conn, 50);
		conn_wake(p.client.conn, 120);
		conn_wake(p.server.conn, 20);
		conn_wake(p.server.conn, 0);
		run_until(&p.f, p.client.wakes);
		assert_true(uv_hrtime() - start >= 110 * 1000000ULL);
		conn_wake(p.client.conn, 1);
		run_until(&p.f, p.client.wakes == 2);
		conn_wake(p.client.conn, 10000);
		conn_idle_timeout(p.client.conn, 30);
		run_until(&p.f, p.client.closed);
		assert_int_equal(p.client.why.kind, ERR_TIMEOUT);
		assert_int_equal(p.client.wakes, 2);
		assert_int_equal(p.server.wakes, 0);
		pair_deinit(&p);
	}
}

static void test_close_in_wake(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p, &kinds[0]);
	p.server.close_inside = END_WAKE;
	conn_wake(p.server.conn, 1);
	run_until(&p.f, p.server.wakes);
	if (p.client.conn) {
		conn_close(p.client.conn);
		conn_wake(p.client.conn, 1); /* it is closing: nothing */
	}
	run_until(&p.f, p.server.closed && p.client.closed);
	assert_int_equal(p.server.wakes, 1);
	assert_int_equal(p.client.wakes, 0);
	pair_deinit(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_idle_timeout),
		cmocka_unit_test(test_idle_timeout_moves),
		cmocka_unit_test(test_wake),
		cmocka_unit_test(test_close_in_wake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
