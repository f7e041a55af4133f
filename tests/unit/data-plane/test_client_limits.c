#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>

#include "data-plane/proxy/client_limits.h"
#include "tests/unit/lib/oom.h"

#define SECOND 1000000000ULL
static const uint64_t begin = 1000 * SECOND;

static struct addr addr_of(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse_ip(&a, str_from(text)), 0);
	return a;
}

static struct client_limits *make(unsigned connections, unsigned arrivals, unsigned requests,
				  size_t addresses)
{
	const struct client_limits_options o = {connections, arrivals, requests, addresses};
	struct client_limits *l;

	assert_int_equal(client_limits_create(&l, &o, NULL), 0);
	return l;
}

static void test_off(void **state)
{
	struct addr a = addr_of("192.0.2.1");
	struct client_limits *l = make(0, 0, 0, 100);

	(void)state;
	assert_null(l);
	assert_int_equal(client_limits_enter(l, &a, begin), CLIENT_FREE);
	assert_int_equal(client_limits_request(l, &a, begin), 0);
	client_limits_free(l);
}

static void test_connections(void **state)
{
	struct addr a = addr_of("192.0.2.1"), b = addr_of("192.0.2.2");
	struct client_limits *l = make(3, 0, 0, 100);

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(client_limits_enter(l, &a, begin), CLIENT_COUNTED);
	assert_int_equal(client_limits_enter(l, &a, begin), CLIENT_TOO_MANY);
	assert_int_equal(client_limits_enter(l, &a, begin + 3600 * SECOND), CLIENT_TOO_MANY);
	assert_int_equal(client_limits_enter(l, &b, begin), CLIENT_COUNTED);
	client_limits_leave(l, &a);
	assert_int_equal(client_limits_enter(l, &a, begin), CLIENT_COUNTED);
	assert_int_equal(client_limits_enter(l, &a, begin), CLIENT_TOO_MANY);
	client_limits_free(l);
}

/* Who is counted as one. */
static void test_same_client(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} rows[] = {
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", true},
		{"2001:db8:0:1::1", "2001:db8:0:2::1", false},
		{"1.2.3.4", "102:304::", false},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct addr a = addr_of(rows[i].a), b = addr_of(rows[i].b);
		struct client_limits *l = make(1, 0, 0, 100);

		assert_int_equal(client_limits_enter(l, &a, begin), CLIENT_COUNTED);
		assert_int_equal(client_limits_enter(l, &b, begin),
				 rows[i].same ? CLIENT_TOO_MANY : CLIENT_COUNTED);
		client_limits_free(l);
	}
}

static void test_arrivals(void **state)
{
	struct addr a = addr_of("192.0.2.1");
	struct client_limits *l = make(0, 5, 0, 100);

	(void)state;
	for (int i = 0; i < 5; i++)
		assert_int_equal(client_limits_enter(l, &a, begin), CLIENT_FREE);
	assert_int_equal(client_limits_enter(l, &a, begin), CLIENT_TOO_FAST);
	assert_int_equal(client_limits_enter(l, &a, begin + SECOND / 10), CLIENT_TOO_FAST);
	assert_int_equal(client_limits_enter(l, &a, begin + SECOND / 5), CLIENT_FREE);
	assert_int_equal(client_limits_enter(l, &a, begin + SECOND / 5), CLIENT_TOO_FAST);
	for (int i = 0; i < 5; i++)
		assert_int_equal(client_limits_enter(l, &a, begin + 60 * SECOND), CLIENT_FREE);
	assert_int_equal(client_limits_enter(l, &a, begin + 60 * SECOND), CLIENT_TOO_FAST);
	client_limits_free(l);
}

static void test_requests(void **state)
{
	struct addr a = addr_of("192.0.2.1"), b = addr_of("192.0.2.2");
	struct client_limits *l = make(0, 0, 2, 100);

	(void)state;
	assert_int_equal(client_limits_request(l, &a, begin), 0);
	assert_int_equal(client_limits_request(l, &a, begin), 0);
	assert_int_equal(client_limits_request(l, &a, begin), 1);
	assert_int_equal(client_limits_request(l, &b, begin), 0);
	assert_int_equal(client_limits_request(l, &a, begin + SECOND / 2), 0);
	/* Refused ones cost nothing: the rate that is allowed stays. */
	for (int i = 0; i < 1000; i++)
		assert_int_equal(client_limits_request(l, &a, begin + SECOND / 2), 1);
	assert_int_equal(client_limits_request(l, &a, begin + SECOND), 0);
	client_limits_free(l);
}

/* A flood of addresses: bounded, and those that hold connections stay counted. */
static void test_full_of_addresses(void **state)
{
	struct addr a = addr_of("192.0.2.1");
	struct client_limits *l = make(1, 1000, 0, 1);

	(void)state;
	assert_int_equal(client_limits_enter(l, &a, begin), CLIENT_COUNTED);
	for (uint32_t i = 1; i < 20000; i++) {
		struct addr x = {0};

		x.u.in4.sin_family = AF_INET;
		x.u.in4.sin_addr.s_addr = i;
		if (client_limits_enter(l, &x, begin) == CLIENT_COUNTED)
			client_limits_leave(l, &x);
	}
	assert_int_equal(client_limits_enter(l, &a, begin), CLIENT_TOO_MANY);
	client_limits_leave(l, &a);
	assert_int_equal(client_limits_enter(l, &a, begin), CLIENT_COUNTED);
	client_limits_free(l);
}

enum { THREADS = 4, EACH = 20000 };

static void *come_and_go(void *arg)
{
	struct client_limits *l = arg;
	struct addr a = addr_of("192.0.2.1");

	for (int i = 0; i < EACH; i++)
		if (client_limits_enter(l, &a, begin) == CLIENT_COUNTED)
			client_limits_leave(l, &a);
	return NULL;
}

static void test_several_threads(void **state)
{
	struct addr a = addr_of("192.0.2.1");
	struct client_limits *l = make(2, 0, 0, 100);
	pthread_t threads[THREADS];

	(void)state;
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, l), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(client_limits_enter(l, &a, begin), CLIENT_COUNTED);
	assert_int_equal(client_limits_enter(l, &a, begin), CLIENT_COUNTED);
	assert_int_equal(client_limits_enter(l, &a, begin), CLIENT_TOO_MANY);
	client_limits_free(l);
}

static void scenario(void *arg)
{
	const struct client_limits_options o = {1, 1, 1, 1000};
	struct client_limits *l = NULL;
	unsigned *failed = arg;

	*failed += client_limits_create(&l, &o, NULL) != 0;
	client_limits_free(l);
}

static void test_out_of_memory(void **state)
{
	unsigned failed = 0;

	(void)state;
	assert_true(oom_each(scenario, &failed) > 10);
	assert_true(failed > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_off),
		cmocka_unit_test(test_connections),
		cmocka_unit_test(test_same_client),
		cmocka_unit_test(test_arrivals),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_full_of_addresses),
		cmocka_unit_test(test_several_threads),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
