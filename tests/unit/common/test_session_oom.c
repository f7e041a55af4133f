/* Sessions while the n-th allocation fails, for each n: nothing crashes, leaks or hangs, every
 * exchange that began has its end, and the next client is served. The client is a bare socket, so
 * that only the server allocates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/http/session.h"
#include "common/net/listener.h"
#include "tests/unit/lib/loop_fixture.h"
#include "tests/unit/lib/oom.h"

enum { ALLOCATIONS_MAX = 2000 };

#define H2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
#define H2_AUTHORITY "\1\11a.example" /* literal without indexing, name 1 of the static table */
/* :method GET or POST, :scheme http, :path */
#define H2_GET "\0\0\22\1\5\0\0\0\1\202\206\4\3/hi" H2_AUTHORITY
#define H2_POST "\0\0\24\1\4\0\0\0\1\203\206\4\5/body" H2_AUTHORITY "\0\0\5\0\1\0\0\0\1hello"
#define H2_HI "\0\0\2\0\1\0\0\0\1hi"

struct scenario {
	const char *name;
	struct str input;
	struct str want;    /* the end of a whole answer */
	struct str refused; /* or this, besides the connection's end */
};

static const struct scenario scenarios[] = {
	{"HTTP/1 GET", STR("GET /hi HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\n\r\n"),
	 STR("\r\n\r\nhi"), STR("\r\n\r\nInternal")},
	{"HTTP/1 body",
	 STR("POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	     "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
	 STR("\r\n\r\nhi"), STR("\r\n\r\nInternal")},
	{"HTTP/2 GET", STR(H2_PREFACE H2_GET), STR(H2_HI), STR("\0\0\4\3\0\0\0\0\1")},
	{"HTTP/2 body", STR(H2_PREFACE H2_POST), STR(H2_HI), STR("\0\0\4\3\0\0\0\0\1")},
};

struct bench {
	struct loop_fixture f;
	struct http_server server;
	struct listener *listener;
	unsigned heads, ends;
	bool listener_closed;
};

static void on_head(struct exchange *x, void *arg)
{
	((struct bench *)arg)->heads++;
	if (!exchange_request(x)->has_body)
		exchange_reply(x, 200, STR("text/plain"), STR("hi"), NULL);
}

static void on_body(struct exchange *x, struct str bytes, bool last, void *arg)
{
	(void)bytes;
	(void)arg;
	if (last)
		exchange_reply(x, 200, STR("text/plain"), STR("hi"), NULL);
}

static void on_end(struct exchange *x, const struct err *why, void *arg)
{
	(void)x;
	(void)why;
	((struct bench *)arg)->ends++;
}

static const struct http_handler handler = {on_head, on_body, NULL, on_end};

static int on_accept(struct listener *l, struct conn_options *o, void *arg)
{
	(void)l;
	return http_server_accept(&((struct bench *)arg)->server, o, NULL);
}

static void on_listener_closed(void *arg)
{
	((struct bench *)arg)->listener_closed = true;
}

static void setup(struct bench *b)
{
	struct listener_options lo = {.on_accept = on_accept, .arg = b};

	memset(b, 0, sizeof(*b));
	fixture_init(&b->f);
	http_server_init(&b->server, &handler, b);
	b->server.http2 = true;
	assert_int_equal(addr_parse(&lo.entry.addr, STR("127.0.0.1:0"), NULL), 0);
	assert_int_equal(listener_start(&b->listener, &b->f.loop, &lo, NULL), 0);
}

static void teardown(struct bench *b)
{
	http_server_close(&b->server, NULL, NULL);
	run_until(&b->f, b->server.session_count == 0);
	listener_close(b->listener, on_listener_closed, b);
	run_until(&b->f, b->listener_closed);
	fixture_deinit(&b->f);
	assert_int_equal(b->heads, b->ends);
}

/* What came from the server so far. */
struct client {
	int fd;
	char got[8192];
	size_t len;
	bool eof;
};

static bool came(struct client *c, struct str part)
{
	return memmem(c->got, c->len, part.ptr, part.len);
}

static bool answered(struct client *c, const struct scenario *s)
{
	ssize_t n = recv(c->fd, c->got + c->len, sizeof(c->got) - c->len, MSG_DONTWAIT);

	if (n > 0)
		c->len += (size_t)n;
	else if (n == 0 || errno != EAGAIN)
		c->eof = true;
	return c->eof || came(c, s->want) || came(c, s->refused);
}

/* Whether the whole answer came. */
static bool ask(struct bench *b, const struct scenario *s)
{
	const struct addr *to = listener_addr(b->listener);
	struct client c = {.fd = socket(AF_INET, SOCK_STREAM, 0)};

	assert_true(c.fd >= 0);
	assert_int_equal(connect(c.fd, &to->u.sa, sizeof(to->u.in4)), 0);
	assert_int_equal(send(c.fd, s->input.ptr, s->input.len, MSG_NOSIGNAL), s->input.len);
	run_until(&b->f, answered(&c, s));
	close(c.fd);
	return came(&c, s->want);
}

static void check(const struct scenario *s)
{
	bool happened = true;
	unsigned long n;

	for (n = 1; happened && n < ALLOCATIONS_MAX; n++) {
		struct bench b;
		bool whole;

		setup(&b);
		oom_fail_at(n);
		whole = ask(&b, s);
		happened = oom_happened();
		if (!happened && !whole)
			fail_msg("%s: no answer though no allocation failed", s->name);
		if (!ask(&b, s))
			fail_msg("%s: the client after failing allocation %lu", s->name, n);
		teardown(&b);
	}
	assert_true(n > 3 && n < ALLOCATIONS_MAX);
}

static void test_every_allocation(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(scenarios); i++)
		check(&scenarios[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
