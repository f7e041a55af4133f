/* A streaming call against a session server over TLS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/http/call.h"
#include "common/net/tls.h"
#include "tests/unit/lib/http_fixture.h"
#include "tests/unit/lib/testcert.h"

struct test {
	struct http_fixture h;
	struct testca ca, other_ca;
	SSL_CTX *client_tls;
	struct call *call;
	struct buf got;
	unsigned status, opens, heads, trailers, closes;
	struct err why;
	bool close_in_head, close_in_data, close_in_open;
};

static void on_open(struct call *c, void *arg)
{
	struct test *t = arg;

	t->opens++;
	if (t->close_in_open)
		call_close(c);
}

static void on_head(struct call *c, unsigned status, const struct http_fields *fields, void *arg)
{
	struct test *t = arg;

	(void)fields;
	t->heads++;
	t->status = status;
	if (t->close_in_head)
		call_close(c);
}

static void on_data(struct call *c, struct str bytes, void *arg)
{
	struct test *t = arg;
	struct err e = ERR_INIT;

	assert_int_equal(buf_add_str(&t->got, bytes, &e), 0);
	if (t->close_in_data) {
		call_close(c);
		call_close(c);
	}
}

static void on_trailers(struct call *c, const struct http_fields *fields, void *arg)
{
	struct test *t = arg;

	(void)c;
	assert_true(str_eq(http_fields_get(fields, STR("grpc-status")), STR("0")));
	t->trailers++;
}

static void on_close(struct call *c, const struct err *why, void *arg)
{
	struct test *t = arg;

	assert_ptr_equal(c, t->call);
	t->closes++;
	t->why = *why;
	t->call = NULL;
}

static const struct call_events events = {on_open, on_head, on_data, on_trailers, on_close};

static void begin(struct test *t, bool http2)
{
	memset(t, 0, sizeof(*t));
	testca_init(&t->ca, "test CA");
	testca_init(&t->other_ca, "other CA");
	http_fixture_init(&t->h);
	t->h.tls = testcert_server(&t->ca, "DNS:plane.example", NULL);
	tls_context_alpn(t->h.tls, http2);
	t->h.server.http2 = http2;
	t->client_tls = testcert_client(&t->ca, NULL);
	if (http2)
		assert_int_equal(
			SSL_CTX_set_alpn_protos(t->client_tls, (const unsigned char *)"\2h2", 3),
			0);
	http_fixture_listen(&t->h);
}

static void start(struct test *t, const char *path, uint64_t ping_ms)
{
	struct http_field extra = {STR("x-node"), STR("n1")};
	struct call_options o = {
		.host = "127.0.0.1",
		.port = addr_port(listener_addr(t->h.listener)),
		.server_name = "plane.example",
		.tls = t->client_tls,
		.path = path,
		.fields = &extra,
		.field_count = 1,
		.ping_ms = ping_ms,
		.events = &events,
		.arg = t,
	};
	struct err e = ERR_INIT;

	if (call_start(&t->call, &t->h.f.loop, &o, &e) < 0)
		fail_msg("%s", e.message);
}

static void finish(struct test *t)
{
	if (t->call)
		call_close(t->call);
	run_until(&t->h.f, !t->call);
	assert_int_equal(t->closes, 1);
	http_fixture_deinit(&t->h);
	buf_deinit(&t->got);
	SSL_CTX_free(t->h.tls);
	SSL_CTX_free(t->client_tls);
	testca_deinit(&t->ca);
	testca_deinit(&t->other_ca);
}

static void test_echo(void **state)
{
	struct test t;

	(void)state;
	begin(&t, true);
	start(&t, "/stream", 0);
	assert_int_equal(t.opens, 0);
	run_until(&t.h.f, t.opens && t.heads);
	assert_int_equal(t.status, 200);
	assert_true(call_write(t.call, STR("hello ")));
	run_until(&t.h.f, t.got.len == 6);
	assert_true(call_write(t.call, STR("again")));
	run_until(&t.h.f, t.got.len == 11);
	assert_string_equal(t.got.data, "hello again");
	assert_int_equal(call_queued(t.call), 0);
	call_close(t.call);
	assert_int_equal(t.closes, 0);
	run_until(&t.h.f, t.closes);
	assert_int_equal(t.why.kind, ERR_NONE);
	run_until(&t.h.f, t.h.ends == 1);
	assert_int_equal(t.h.failed_ends, 1); /* not ended by last */
	finish(&t);
}

static void test_much_both_ways(void **state)
{
	static char block[100000];
	struct test t;
	size_t sent = 0;

	(void)state;
	begin(&t, true);
	start(&t, "/stream", 0);
	run_until(&t.h.f, t.heads);
	for (; sent < 5 << 20; sent += sizeof(block)) {
		if (!call_write(t.call, (struct str){block, sizeof(block)}))
			run_until(&t.h.f, call_queued(t.call) < 100000);
	}
	run_until(&t.h.f, t.got.len == sent);
	finish(&t);
}

/* What ends a call, and how it is told. */
static const struct {
	const char *name, *path;
	bool http2;
	const char *why; /* part of the message; NULL: in order */
	unsigned status, trailers;
} rows[] = {
	{"ended by the peer", "/trailers", true, NULL, 200, 1},
	{"refused", "/none-such", true, NULL, 404, 0},
	{"reset by the peer", "/abort-head", true, "reset the call: INTERNAL_ERROR", 0, 0},
	{"no HTTP/2", "/stream", false, "does not speak HTTP/2", 0, 0},
};

static void test_ends(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct test t;

		begin(&t, rows[i].http2);
		start(&t, rows[i].path, 0);
		run_until(&t.h.f, t.closes);
		if (t.status != rows[i].status || t.trailers != rows[i].trailers ||
		    (t.why.kind == ERR_NONE) != (rows[i].why == NULL) ||
		    (rows[i].why && !strstr(t.why.message, rows[i].why)))
			fail_msg("%s: status %u, trailers %u, %s", rows[i].name, t.status,
				 t.trailers, t.why.message);
		finish(&t);
	}
}

static void test_wrong_server(void **state)
{
	struct test t;

	(void)state;
	begin(&t, true);
	SSL_CTX_free(t.client_tls);
	t.client_tls = testcert_client(&t.other_ca, NULL);
	start(&t, "/stream", 0);
	run_until(&t.h.f, t.closes);
	assert_int_equal(t.opens, 0);
	assert_int_not_equal(t.why.kind, ERR_NONE);
	finish(&t);
}

static void test_nobody_listens(void **state)
{
	struct test t;

	(void)state;
	begin(&t, true);
	{
		struct call_options o = {.host = "127.0.0.1",
					 .port = 1,
					 .server_name = "plane.example",
					 .tls = t.client_tls,
					 .path = "/",
					 .events = &events,
					 .arg = &t};
		struct err e = ERR_INIT;

		assert_int_equal(call_start(&t.call, &t.h.f.loop, &o, &e), 0);
	}
	run_until(&t.h.f, t.closes);
	assert_int_equal(t.why.kind, ERR_UNAVAILABLE);
	finish(&t);
}

static void test_close_inside(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct test t;

		begin(&t, true);
		t.close_in_open = i == 0;
		t.close_in_head = i == 1;
		t.close_in_data = i == 2;
		start(&t, "/trailers", 0);
		run_until(&t.h.f, t.closes);
		assert_int_equal(t.why.kind, ERR_NONE);
		assert_int_equal(t.trailers, 0);
		finish(&t);
	}
}

static void test_close_while_connecting(void **state)
{
	struct test t;

	(void)state;
	begin(&t, true);
	start(&t, "/stream", 0);
	call_close(t.call);
	assert_int_equal(t.closes, 0);
	run_until(&t.h.f, t.closes);
	assert_int_equal(t.opens, 0);
	finish(&t);
}

static void test_server_goes(void **state)
{
	struct test t;

	(void)state;
	begin(&t, true);
	start(&t, "/stream", 0);
	run_until(&t.h.f, t.heads);
	http_server_close(&t.h.server, NULL, NULL);
	run_until(&t.h.f, t.closes);
	assert_int_equal(t.why.kind, ERR_UNAVAILABLE);
	finish(&t);
}

static void test_ping(void **state)
{
	struct test t;
	uint64_t end;

	(void)state;
	begin(&t, true);
	start(&t, "/none", 20);
	run_until(&t.h.f, t.h.held);
	for (end = uv_now(&t.h.f.loop.uv) + 100; uv_now(&t.h.f.loop.uv) < end;)
		fixture_spin(&t.h.f, 1);
	assert_int_equal(t.closes, 0);
	conn_read_stop(exchange_conn(t.h.held));
	run_until(&t.h.f, t.closes);
	assert_int_equal(t.why.kind, ERR_TIMEOUT);
	assert_non_null(strstr(t.why.message, "PING"));
	finish(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_much_both_ways),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_wrong_server),
		cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_close_inside),
		cmocka_unit_test(test_close_while_connecting),
		cmocka_unit_test(test_server_goes),
		cmocka_unit_test(test_ping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
