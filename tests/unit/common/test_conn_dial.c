/* Outgoing connections: names, several addresses, failures, closing at every stage. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/net/conn_internal.h"
#include "tests/unit/lib/conn_pair.h"

static const struct pair_options plain = {.tls = false};

static int dial(struct pair *p, const char *host, uint16_t port, struct err *e)
{
	const struct conn_options o = {.events = &end_events, .arg = &p->client};

	return conn_connect(&p->client.conn, &p->f.loop, host, port, &o, e);
}

/* A port that nobody listens on: bound, never listening. */
static uint16_t dead_port(int *fd)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(a);

	*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(*fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(*fd, (struct sockaddr *)&a, &size), 0);
	return ntohs(a.sin_port);
}

/* localhost is ::1 and 127.0.0.1 on many machines: only the second listens. */
static void test_name(void **state)
{
	struct err e = ERR_INIT;
	struct pair p;

	(void)state;
	pair_init(&p, &plain);
	assert_int_equal(dial(&p, "localhost", addr_port(listener_addr(p.listener)), &e), 0);
	assert_int_equal(p.client.opens, 0);
	run_until(&p.f, p.client.opens && p.server.opens);
	pair_deinit(&p);
}

static void test_refused(void **state)
{
	static const struct {
		const char *host;
		const char *want;
	} rows[] = {
		{"127.0.0.1", "connecting to 127.0.0.1 (127.0.0.1:"},
		{"localhost", "connecting to localhost ("},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct err e = ERR_INIT;
		struct pair p;
		int fd;

		pair_init(&p, &plain);
		assert_int_equal(dial(&p, rows[i].host, dead_port(&fd), &e), 0);
		run_until(&p.f, p.client.closed);
		assert_int_equal(p.client.why.kind, ERR_UNAVAILABLE);
		assert_non_null(strstr(p.client.why.message, rows[i].want));
		assert_non_null(strstr(p.client.why.message, "Connection refused"));
		assert_int_equal(p.client.opens, 0);
		close(fd);
		pair_deinit(&p);
	}
}

static void test_bad_host(void **state)
{
	char too_long[300];
	const char *rows[] = {"", too_long};

	(void)state;
	memset(too_long, 'a', sizeof(too_long) - 1);
	too_long[sizeof(too_long) - 1] = '\0';
	for (size_t i = 0; i < array_len(rows); i++) {
		struct err e = ERR_INIT;
		struct pair p;

		pair_init(&p, &plain);
		assert_int_equal(dial(&p, rows[i], 80, &e), -1);
		assert_int_equal(e.kind, ERR_INVALID);
		assert_null(p.client.conn);
		pair_deinit(&p);
		assert_int_equal(p.client.closes, 0);
	}
}

static void test_unknown_name(void **state)
{
	struct err e = ERR_INIT;
	struct pair p;

	(void)state;
	pair_init(&p, &plain);
	assert_int_equal(dial(&p, "name..with.empty.label.invalid", 80, &e), 0);
	run_until(&p.f, p.client.closed);
	assert_int_equal(p.client.why.kind, ERR_UNAVAILABLE);
	assert_non_null(strstr(p.client.why.message,
			       "connecting to name..with.empty.label.invalid port 80: "));
	pair_deinit(&p);
}

static void test_close_at_once(void **state)
{
	static const char *const hosts[] = {"127.0.0.1", "localhost"};

	(void)state;
	for (size_t i = 0; i < array_len(hosts); i++) {
		for (int turns = 0; turns < 4; turns++) {
			struct err e = ERR_INIT;
			struct pair p;

			pair_init(&p, &plain);
			assert_int_equal(
				dial(&p, hosts[i], addr_port(listener_addr(p.listener)), &e), 0);
			fixture_spin(&p.f, turns);
			if (p.client.conn)
				conn_close(p.client.conn);
			run_until(&p.f, p.client.closed);
			assert_int_equal(p.client.why.kind, ERR_NONE);
			pair_deinit(&p);
		}
	}
}

/* Also while the socket of the failed try is closing. */
static void test_close_while_redialing(void **state)
{
	struct err e = ERR_INIT;
	struct pair p;
	int fd;

	(void)state;
	pair_init(&p, &plain);
	assert_int_equal(dial(&p, "localhost", dead_port(&fd), &e), 0);
	run_until(&p.f, p.client.closed || p.client.conn->state == CONN_REDIALING ||
				p.client.conn->state == CONN_CONNECTING);
	if (p.client.conn)
		conn_close(p.client.conn);
	run_until(&p.f, p.client.closed);
	close(fd);
	pair_deinit(&p);
}

/* A listener whose backlog is full takes no more: the connect itself times out. */
static void test_connect_timeout(void **state)
{
	struct conn_options o = {.events = &end_events, .handshake_timeout_ms = 50};
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fill[4];
	struct err e = ERR_INIT;
	struct pair p;

	(void)state;
	pair_init(&p, &plain);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 0), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
	for (size_t i = 0; i < array_len(fill); i++) {
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)connect(fill[i], (struct sockaddr *)&a, sizeof(a));
	}
	o.arg = &p.client;
	assert_int_equal(
		conn_connect(&p.client.conn, &p.f.loop, "127.0.0.1", ntohs(a.sin_port), &o, &e), 0);
	run_until(&p.f, p.client.closed);
	assert_int_equal(p.client.why.kind, ERR_TIMEOUT);
	for (size_t i = 0; i < array_len(fill); i++)
		close(fill[i]);
	close(fd);
	pair_deinit(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_name),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bad_host),
		cmocka_unit_test(test_unknown_name),
		cmocka_unit_test(test_close_at_once),
		cmocka_unit_test(test_close_while_redialing),
		cmocka_unit_test(test_connect_timeout),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
