#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/lib/conn_pair.h"
#include "tests/unit/lib/oom.h"

enum { CLIENTS = 5 };

struct server {
	struct loop_fixture f;
	struct listener *listener;
	struct end ends[CLIENTS];
	unsigned asked, made, failed, ended;
	bool refuse;
	bool closed;
};

static void on_open(struct conn *c, void *arg)
{
	(void)arg;
	conn_read_start(c);
}

static void on_data(struct conn *c, struct str bytes, void *arg)
{
	(void)c;
	(void)bytes;
	(void)arg;
}

static void on_close(struct conn *c, const struct err *why, void *arg)
{
	struct server *s = arg;

	(void)c;
	(void)why;
	s->ended++;
	if (!s->closed)
		listener_done(s->listener);
}

static const struct conn_events events = {
	.on_open = on_open, .on_data = on_data, .on_close = on_close};

static int on_accept(struct listener *l, struct conn_options *o, void *arg)
{
	struct server *s = arg;

	assert_ptr_equal(l, s->listener);
	s->asked++;
	o->events = &events;
	o->arg = s;
	return s->refuse ? -1 : 0;
}

static void on_conn(struct listener *l, struct conn *c, const struct err *e, void *arg)
{
	struct server *s = arg;

	(void)l;
	if (c) {
		assert_null(e);
		s->ends[s->made++].conn = c;
	} else {
		assert_non_null(e);
		s->failed++;
	}
}

static void on_closed(void *arg)
{
	struct server *s = arg;

	s->closed = true;
}

static void server_init(struct server *s, const char *address, unsigned max)
{
	struct listener_options o = {
		.on_accept = on_accept, .on_conn = on_conn, .arg = s, .max_connections = max};
	struct err e = ERR_INIT;

	memset(s, 0, sizeof(*s));
	fixture_init(&s->f);
	assert_int_equal(addr_parse(&o.entry.addr, str_from(address), &e), 0);
	if (listener_start(&s->listener, &s->f.loop, &o, &e) < 0)
		fail_msg("%s", e.message);
}

static void server_deinit(struct server *s)
{
	listener_close(s->listener, on_closed, s);
	assert_false(s->closed); /* never from inside the call */
	run_until(&s->f, s->closed);
	fixture_deinit(&s->f);
}

static int client(const struct server *s)
{
	const struct addr *a = listener_addr(s->listener);
	int fd = socket(a->u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(
		connect(fd, &a->u.sa,
			a->u.sa.sa_family == AF_INET6 ? sizeof(a->u.in6) : sizeof(a->u.in4)),
		0);
	return fd;
}

static bool ended(int fd)
{
	char c;

	return recv(fd, &c, 1, MSG_DONTWAIT) == 0;
}

static void test_accept(void **state)
{
	struct server s;
	int fds[CLIENTS];

	(void)state;
	server_init(&s, "127.0.0.1:0", 0);
	assert_true(addr_port(listener_addr(s.listener)) > 0);
	for (int i = 0; i < CLIENTS; i++)
		fds[i] = client(&s);
	run_until(&s.f, s.made == CLIENTS);
	for (int i = 0; i < CLIENTS; i++)
		close(fds[i]);
	run_until(&s.f, s.ended == CLIENTS);
	assert_int_equal(s.failed, 0);
	server_deinit(&s);
}

static void test_refusing(void **state)
{
	struct server s;
	int fd;

	(void)state;
	server_init(&s, "127.0.0.1:0", 0);
	s.refuse = true;
	fd = client(&s);
	run_until(&s.f, ended(fd));
	close(fd);
	assert_int_equal(s.asked, 1);
	assert_int_equal(s.made, 0);
	s.refuse = false;
	fd = client(&s);
	run_until(&s.f, s.made == 1);
	close(fd);
	run_until(&s.f, s.ended == 1);
	server_deinit(&s);
}

/* Above the limit connections wait; each that ends lets one in. */
static void test_limit(void **state)
{
	struct server s;
	int fds[CLIENTS];

	(void)state;
	server_init(&s, "127.0.0.1:0", 2);
	for (int i = 0; i < CLIENTS; i++)
		fds[i] = client(&s);
	run_until(&s.f, s.made == 2);
	fixture_spin(&s.f, 50);
	assert_int_equal(s.made, 2);
	for (unsigned i = 0; i < CLIENTS; i++) {
		close(fds[i]);
		run_until(&s.f, s.ended == i + 1);
		run_until(&s.f, s.made == (i + 3 < CLIENTS ? i + 3 : CLIENTS));
		fixture_spin(&s.f, 20);
		assert_true(s.made - s.ended <= 2);
	}
	server_deinit(&s);
}

/* A connection that waits when the listener is closed just goes away. */
static void test_close_while_full(void **state)
{
	struct server s;
	int a, b;

	(void)state;
	server_init(&s, "127.0.0.1:0", 1);
	a = client(&s);
	b = client(&s);
	run_until(&s.f, s.made == 1);
	fixture_spin(&s.f, 20);
	listener_done(s.listener);
	conn_close(s.ends[0].conn);
	s.closed = true;
	run_until(&s.f, s.ended == 1);
	s.closed = false;
	close(a);
	close(b);
	if (s.made == 2)
		conn_close(s.ends[1].conn);
	s.closed = true;
	run_until(&s.f, s.ended == s.made);
	s.closed = false;
	server_deinit(&s);
}

static void test_ipv6(void **state)
{
	struct listener_options o = {.on_accept = on_accept};
	struct err e = ERR_INIT;
	struct listener *other;
	struct server s;
	char text[64];
	int fd;

	(void)state;
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		skip();
	close(fd);
	server_init(&s, "[::]:0", 0);
	/* The same port of all IPv4 addresses is free. */
	snprintf(text, sizeof(text), "0.0.0.0:%u", addr_port(listener_addr(s.listener)));
	assert_int_equal(addr_parse(&o.entry.addr, str_from(text), &e), 0);
	assert_int_equal(listener_start(&other, &s.f.loop, &o, &e), 0);
	listener_close(other, NULL, NULL);
	server_deinit(&s);
}

static void test_port_taken(void **state)
{
	struct listener_options o = {.on_accept = on_accept};
	struct listener *second = NULL;
	struct err e = ERR_INIT;
	char text[ADDR_TEXT_SIZE];
	struct server s;

	(void)state;
	server_init(&s, "127.0.0.1:0", 0);
	o.entry.addr = *listener_addr(s.listener);
	assert_int_equal(listener_start(&second, &s.f.loop, &o, &e), -1);
	assert_null(second);
	assert_int_equal(e.kind, ERR_UNAVAILABLE);
	addr_text(&o.entry.addr, text, sizeof(text));
	assert_non_null(strstr(e.message, "cannot listen on 127.0.0.1:"));
	assert_non_null(strstr(e.message, text));
	assert_non_null(strstr(e.message, "in use"));
	server_deinit(&s);
}

static void test_not_our_address(void **state)
{
	struct listener_options o = {.on_accept = on_accept};
	struct listener *l = NULL;
	struct err e = ERR_INIT;
	struct loop_fixture f;

	(void)state;
	fixture_init(&f);
	assert_int_equal(addr_parse(&o.entry.addr, STR("192.0.2.1:80"), &e), 0);
	assert_int_equal(listener_start(&l, &f.loop, &o, &e), -1);
	assert_non_null(strstr(e.message, "cannot listen on 192.0.2.1:80"));
	fixture_deinit(&f);
}

/* Two listeners of one port, as the workers have them. */
static void test_reuseport(void **state)
{
	struct listener_options o = {.on_accept = on_accept, .entry.reuseport = true};
	struct listener *a, *b, *c = NULL;
	struct err e = ERR_INIT;
	struct loop_fixture f;

	(void)state;
	fixture_init(&f);
	assert_int_equal(addr_parse(&o.entry.addr, STR("127.0.0.1:0"), &e), 0);
	assert_int_equal(listener_start(&a, &f.loop, &o, &e), 0);
	o.entry.addr = *listener_addr(a);
	assert_int_equal(listener_start(&b, &f.loop, &o, &e), 0);
	o.entry.reuseport = false;
	assert_int_equal(listener_start(&c, &f.loop, &o, &e), -1);
	listener_close(a, NULL, NULL);
	listener_close(b, NULL, NULL);
	fixture_deinit(&f);
}

/* Out of memory at accept: a pause, then the waiting client is taken. */
static void test_out_of_memory(void **state)
{
	struct server s;
	int fd;

	(void)state;
	for (int refusing = 0; refusing < 2; refusing++) {
		server_init(&s, "127.0.0.1:0", 0);
		s.refuse = refusing;
		fd = client(&s);
		oom_fail_at(1);
		run_until(&s.f, s.asked == 1);
		assert_true(oom_happened());
		s.refuse = false;
		run_until(&s.f, s.made == 1);
		close(fd);
		run_until(&s.f, s.ended == 1);
		server_deinit(&s);
	}
}

static void oom_start(void *arg)
{
	struct listener_options o = {.on_accept = on_accept};
	struct loop_fixture *f = arg;
	struct listener *l;
	struct err e = ERR_INIT;

	assert_int_equal(addr_parse(&o.entry.addr, STR("127.0.0.1:0"), &e), 0);
	if (listener_start(&l, &f->loop, &o, &e) == 0)
		listener_close(l, NULL, NULL);
	else
		assert_int_equal(e.kind, ERR_MEMORY);
}

static void test_start_out_of_memory(void **state)
{
	struct loop_fixture f;

	(void)state;
	fixture_init(&f);
	assert_int_equal(oom_each(oom_start, &f), 1);
	fixture_deinit(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accept),
		cmocka_unit_test(test_refusing),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_close_while_full),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_port_taken),
		cmocka_unit_test(test_not_our_address),
		cmocka_unit_test(test_reuseport),
		cmocka_unit_test(test_out_of_memory),
		cmocka_unit_test(test_start_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
