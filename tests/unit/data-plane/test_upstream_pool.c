/* Connections to upstreams: used again, limits, times, out of memory. */
#include "data-plane/proxy/upstream_call.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/lib/oom.h"
#include "tests/unit/lib/h1_bed.h"

#define HEAD "HTTP/1.1 200 OK\r\n"
#define FIVE HEAD "Content-Length: 5\r\n\r\n"

/* --- the pool --- */

static void test_reuse_last_in_first_out(void **state)
{
	(void)state;
	h1_bed_setup();
	h1_bed.script = STR(FIVE "hello");
	for (size_t i = 0; i < 3; i++)
		h1_ask_nothing(i);
	for (size_t i = 0; i < 3; i++) {
		h1_give_head(&h1_asked[i], "GET", 0);
		run_until(&h1_bed.f, h1_asked[i].ended);
		assert_false(h1_asked[i].end.reused);
	}
	assert_int_equal(h1_facts().idle, 3);
	h1_ask(3, "GET");
	assert_true(upstream_call_addr(h1_asked[3].call)->u.sa.sa_family == AF_INET);
	run_until(&h1_bed.f, h1_asked[3].ended);
	assert_true(h1_asked[3].end.reused);
	assert_string_equal(h1_asked[3].told, "200:5 [hello] ok sent answered"); /* no on_ready */
	/* The connection that served last, and no new one. */
	assert_int_equal(h1_bed.count, 3);
	assert_non_null(strstr(h1_bed.peers[2].got.data, "\r\n\r\nGET "));
	h1_ask_nothing(4);
	run_until(&h1_bed.f, h1_asked[4].told_len > 0);
	assert_string_equal(h1_asked[4].told, "reused ");
	/* Nothing was sent on it: it stays. */
	upstream_call_close(h1_asked[4].call);
	h1_asked[4].call = NULL;
	assert_int_equal(h1_facts().idle, 3);
	h1_bed.o.fresh = true;
	h1_ask(5, "GET");
	run_until(&h1_bed.f, h1_asked[5].ended);
	assert_false(h1_asked[5].end.reused);
	assert_int_equal(h1_bed.count, 4);
	h1_bed_teardown();
}

static void test_limits(void **state)
{
	(void)state;
	h1_bed_setup_pool(&(struct upstream_pool_options){
		.max_idle = 1, .idle_ms = 100, .max_requests = 2, .max_connections = 2});
	h1_bed.script = STR(FIVE "hello");
	h1_ask_nothing(0);
	h1_ask_nothing(1);
	h1_ask_nothing(2);
	run_until(&h1_bed.f, h1_asked[2].ended);
	assert_string_equal(h1_asked[2].told, "full");
	assert_int_equal(h1_asked[2].end.why.kind, ERR_LIMIT);
	for (size_t i = 0; i < 2; i++) {
		h1_give_head(&h1_asked[i], "GET", 0);
		run_until(&h1_bed.f, h1_asked[i].ended);
	}
	/* max_idle: the older one went. */
	assert_int_equal(h1_facts().idle, 1);
	run_until(&h1_bed.f, !h1_bed.peers[0].conn);
	/* max_requests: the second request is its last. */
	h1_ask(3, "GET");
	run_until(&h1_bed.f, h1_asked[3].ended);
	assert_true(h1_asked[3].end.reused);
	assert_non_null(strstr(h1_bed.peers[1].got.data, "Connection: close\r\n"));
	run_until(&h1_bed.f, !h1_bed.peers[1].conn);
	/* idle_ms */
	h1_ask(4, "GET");
	run_until(&h1_bed.f, h1_asked[4].ended);
	assert_int_equal(h1_facts().idle, 1);
	run_until(&h1_bed.f, !h1_bed.peers[2].conn);
	assert_int_equal(h1_facts().idle, 0);
	h1_bed_teardown();
}

/* UP-03, and PP-09. */
static void test_what_is_not_used_again(void **state)
{
	(void)state;
	h1_bed_setup();
	h1_bed.script = STR(FIVE "hello");
	h1_ask(0, "GET");
	run_until(&h1_bed.f, h1_asked[0].ended && h1_facts().idle == 1);
	conn_write(h1_bed.peers[0].conn, STR("HTTP/1.1 200 OK\r\n\r\n"));
	run_until(&h1_bed.f, h1_facts().idle == 0 && !h1_bed.peers[0].conn);
	h1_ask(1, "GET");
	run_until(&h1_bed.f, h1_asked[1].ended && h1_facts().idle == 1);
	conn_shutdown(h1_bed.peers[1].conn);
	run_until(&h1_bed.f, h1_facts().idle == 0 && !h1_bed.peers[1].conn);
	h1_bed.o.endpoint.proxy_header = STR("PROXY UNKNOWN\r\n");
	h1_ask(2, "GET");
	run_until(&h1_bed.f, h1_asked[2].ended);
	assert_true(str_starts(buf_str(&h1_bed.peers[2].got), STR("PROXY UNKNOWN\r\nGET / ")));
	run_until(&h1_bed.f, !h1_bed.peers[2].conn);
	assert_int_equal(h1_facts().idle, 0);
	/* Bytes before the request on a new connection. */
	h1_bed.o.endpoint.proxy_header = STR_NONE;
	h1_ask_nothing(3);
	run_until(&h1_bed.f, upstream_call_is_ready(h1_asked[3].call) && h1_bed.count == 4 &&
				     h1_bed.peers[3].conn);
	conn_write(h1_bed.peers[3].conn, STR("HTTP/1.1 200 OK\r\n\r\n"));
	run_until(&h1_bed.f, h1_asked[3].ended);
	assert_string_equal(h1_asked[3].told, "ready reset");
	h1_bed_teardown();
}

static void test_refused_and_timeouts(void **state)
{
	struct addr full;

	(void)state;
	h1_bed_setup();
	h1_bed.o.read_ms = 50;
	h1_ask(0, "GET");
	run_until(&h1_bed.f, h1_asked[0].ended);
	assert_string_equal(h1_asked[0].told, "ready timeout sent");
	/* Nobody is late as long as the client's body has not come. */
	h1_ask_nothing(1);
	h1_give_head(&h1_asked[1], "POST", 3);
	run_until(&h1_bed.f, h1_bed.count == 2 && h1_bed.peers[1].got.len > 0);
	for (int i = 0; i < 20; i++)
		fixture_turn(&h1_bed.f, "time", __FILE__, __LINE__);
	assert_false(h1_asked[1].ended);
	upstream_call_write(h1_asked[1].call, STR("abc"), true);
	run_until(&h1_bed.f, h1_asked[1].ended);
	assert_int_equal(h1_asked[1].end.failure, UPSTREAM_TIMEOUT);
	full = h1_bed.o.endpoint.addr;
	h1_bed.o.endpoint.addr.u.in4.sin_port = htons(1);
	h1_ask_nothing(2);
	run_until(&h1_bed.f, h1_asked[2].ended);
	assert_string_equal(h1_asked[2].told, "refused");
	h1_bed.o.endpoint.addr = full;
	h1_bed_teardown();
}

static void test_write_timeout(void **state)
{
	static char bytes[BIG];
	struct h1_asked *a;

	(void)state;
	h1_bed_setup();
	h1_bed.deaf = true;
	h1_bed.o.write_ms = 50;
	a = h1_ask_nothing(0);
	h1_give_head(a, "POST", 64LL * BIG);
	for (int i = 0; i < 16; i++)
		upstream_call_write(a->call, (struct str){bytes, BIG}, false);
	run_until(&h1_bed.f, a->ended);
	assert_string_equal(a->told, "ready timeout sent");
	h1_bed_teardown();
}

/* --- memory --- */

static void one_exchange(void *arg)
{
	struct h1_asked *a = &h1_asked[0];

	(void)arg;
	h1_bed.o.arena = &a->arena;
	h1_bed.o.arg = a;
	a->ended = false;
	a->told_len = 0;
	if (upstream_call_start(&a->call, h1_bed.pool, &h1_bed.o, NULL) != 0) {
		a->call = NULL;
		return;
	}
	while (!a->ended) {
		struct http_request r = h1_request("GET", 0);

		if (a->call && upstream_call_is_ready(a->call))
			upstream_call_send_head(a->call, &r, STR_NONE, false, true);
		fixture_turn(&h1_bed.f, "an end", __FILE__, __LINE__);
	}
}

/* The n-th allocation fails: an error or an end, never a crash, a leak or silence. */
static void test_out_of_memory(void **state)
{
	(void)state;
	h1_bed_setup();
	h1_bed.o.fresh = true;
	h1_bed.script = STR("");
	h1_bed.close_after = true;
	for (unsigned long n = 1; n < 12 && h1_bed.count < PEERS - 1; n++) {
		fixture_start(&h1_bed.f);
		oom_fail_at(n);
		one_exchange(NULL);
		(void)oom_happened();
		fixture_spin(&h1_bed.f, 5);
		assert_int_equal(h1_facts().busy + h1_facts().idle + h1_facts().connecting, 0);
	}
	h1_bed_teardown();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reuse_last_in_first_out),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_what_is_not_used_again),
		cmocka_unit_test(test_refused_and_timeouts),
		cmocka_unit_test(test_write_timeout),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
