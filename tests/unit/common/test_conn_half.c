/* One direction of a connection ends and the other goes on, plain and TLS alike. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

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

/* The client ends its half; the server answers for as long as it likes. */
static void test_other_direction_goes_on(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(kinds); i++) {
		struct pair p;

		pair_open(&p, &kinds[i]);
		p.server.stays = true;
		say(&p.client, "last words");
		conn_half_close(p.client.conn);
		conn_half_close(p.client.conn);
		say(&p.client, "ignored");
		run_until(&p.f, p.server.eofs == 1);
		assert_string_equal(p.server.got.data, "last words");
		assert_true(conn_at_eof(p.server.conn));
		assert_false(conn_at_eof(p.client.conn));
		for (size_t n = 1; n <= 3; n++) {
			say(&p.server, "more");
			run_until(&p.f, p.client.got.len == 4 * n);
		}
		assert_false(p.client.closed);
		conn_shutdown(p.server.conn);
		run_until(&p.f, p.client.closed && p.server.closed);
		assert_int_equal(p.client.eofs, 1);
		assert_int_equal(p.client.why.kind, ERR_NONE);
		assert_int_equal(p.server.why.kind, ERR_NONE);
		assert_int_equal(p.server.got.len, strlen("last words"));
		pair_deinit(&p);
	}
}

/* Shut down at once, without waiting for the FIN to be out, or long after it. */
static void test_shutdown_after_half_close(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(kinds) * 2; i++) {
		struct pair p;

		pair_open(&p, &kinds[i / 2]);
		p.server.stays = true;
		say(&p.client, "bye");
		conn_half_close(p.client.conn);
		if (i % 2)
			run_until(&p.f, p.server.eofs == 1);
		conn_shutdown(p.client.conn);
		run_until(&p.f, p.server.eofs == 1);
		assert_string_equal(p.server.got.data, "bye");
		conn_shutdown(p.server.conn);
		run_until(&p.f, p.client.closed && p.server.closed);
		assert_int_equal(p.client.why.kind, ERR_NONE);
		assert_int_equal(p.server.why.kind, ERR_NONE);
		pair_deinit(&p);
	}
}

enum { BULK = 16 * 1024 * 1024, HIGH = 100 * 1024 };

/* What is queued when the half closes still goes out, however slow the reader. */
static void test_queue_goes_out_first(void **state)
{
	static char bulk[BULK];

	(void)state;
	for (size_t i = 0; i < array_len(kinds); i++) {
		struct pair_options o = kinds[i];
		struct pair p;

		o.write_high = HIGH;
		pair_open(&p, &o);
		p.server.stays = true;
		conn_read_stop(p.server.conn);
		conn_write(p.client.conn, (struct str){bulk, BULK});
		conn_half_close(p.client.conn);
		fixture_spin(&p.f, 50);
		assert_int_equal(p.server.eofs, 0);
		conn_read_start(p.server.conn);
		run_until(&p.f, p.server.eofs == 1);
		assert_int_equal(p.server.got.len, BULK);
		pair_deinit(&p);
	}
}

/* Ends that each stop reading while the other's bytes are queued would wait for each other. */
static void test_duplex_reads_while_full(void **state)
{
	static char bulk[BULK];

	(void)state;
	for (size_t i = 0; i < array_len(kinds); i++) {
		struct pair_options o = kinds[i];
		struct pair p;

		o.write_high = HIGH;
		pair_open(&p, &o);
		conn_write(p.client.conn, (struct str){bulk, BULK});
		conn_write(p.server.conn, (struct str){bulk, BULK});
		fixture_spin(&p.f, 200);
		assert_true(p.client.got.len < BULK && p.server.got.len < BULK);
		conn_set_duplex(p.client.conn);
		run_until(&p.f, p.client.got.len == BULK && p.server.got.len == BULK);
		pair_deinit(&p);
	}
}

/* A plain peer sees a reset: ECONNRESET, not an end. */
static void test_abort(void **state)
{
	struct pair p;
	char byte;
	int fd;

	(void)state;
	pair_init(&p, &kinds[0]);
	fd = raw_connect(&p);
	run_until(&p.f, p.server.opens);
	conn_abort(p.server.conn);
	conn_abort(p.server.conn);
	run_until(&p.f, p.server.closed);
	assert_int_equal(recv(fd, &byte, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	close(fd);
	pair_deinit(&p);
}

/* A TLS peer sees a connection that ended without close_notify; so does one half closed. */
static void test_abort_tls(void **state)
{
	(void)state;
	for (int half = 0; half < 2; half++) {
		struct pair p;

		pair_open(&p, &kinds[1]);
		p.server.stays = true;
		if (half) {
			conn_half_close(p.client.conn);
			run_until(&p.f, p.server.eofs == 1);
		}
		conn_abort(p.server.conn);
		run_until(&p.f, p.client.closed && p.server.closed);
		assert_int_equal(p.client.eofs, 0);
		assert_int_equal(p.client.why.kind, ERR_UNAVAILABLE);
		pair_deinit(&p);
	}
}

static void test_idle_after_half_close(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p, &kinds[0]);
	p.server.stays = true;
	conn_half_close(p.client.conn);
	run_until(&p.f, p.server.eofs == 1);
	conn_idle_timeout(p.client.conn, 20);
	run_until(&p.f, p.client.closed);
	assert_int_equal(p.client.why.kind, ERR_TIMEOUT);
	pair_deinit(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_other_direction_goes_on),
		cmocka_unit_test(test_shutdown_after_half_close),
		cmocka_unit_test(test_queue_goes_out_first),
		cmocka_unit_test(test_duplex_reads_while_full),
		cmocka_unit_test(test_abort),
		cmocka_unit_test(test_abort_tls),
		cmocka_unit_test(test_idle_after_half_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
