/* Calls over HTTP/1.1: what may be answered, bodies both ways, switching, giving up. */
#include "data-plane/proxy/upstream_call.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/lib/h1_bed.h"

/* --- rows: one request, one script --- */

#define HEAD "HTTP/1.1 200 OK\r\n"
#define FIVE HEAD "Content-Length: 5\r\n\r\n"
#define CHUNKS HEAD "Transfer-Encoding: chunked\r\n\r\n"

/* clang-format off */
static const struct {
	const char *name, *script, *want;
	const char *method; /* NULL: GET */
	bool close;
	bool idle; /* the connection stays */
} rows[] = {
	{"length", FIVE "hello", "ready 200:5 [hello] ok sent answered", NULL, false, true},
	{"nothing", HEAD "Content-Length: 0\r\n\r\n", "ready 200:0. ok sent answered", NULL, false, true},
	{"chunks", CHUNKS "2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\n\r\n", "ready 200:-1 [he] [llo] ok sent answered", NULL, false, true},
	{"trailers", CHUNKS "1\r\nx\r\n0\r\nA: b\r\n\r\n", "ready 200:-1 [x] a=b ok sent answered", NULL, false, true},
	{"HEAD", FIVE, "ready 200:5. ok sent answered", "HEAD", false, true},
	{"204", "HTTP/1.1 204 No Content\r\n\r\n", "ready 204:-1. ok sent answered", NULL, false, true},
	{"304 with the length that there would be", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "ready 304:5. ok sent answered", NULL, false, true},
	{"until the end", HEAD "\r\nhello", "ready 200:-1 [hello] ok sent answered", NULL, true, false},
	{"the upstream wants to close", HEAD "Connection: close\r\nContent-Length: 1\r\n\r\nx", "ready 200:1 [x] ok sent answered", NULL, false, false},
	{"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", "ready 200:1 [x] ok sent answered", NULL, false, false},
	{"HTTP/1.0 keep-alive", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", "ready 200:1 [x] ok sent answered", NULL, false, true},
	{"interim answers", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 P\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" FIVE "hello", "ready 100/0 103/1 200:5 [hello] ok sent answered", NULL, false, true},
	{"UP-01 no HTTP", "220 ftp\r\n", "ready unsafe sent answered", NULL, false, false},
	{"UP-01 both framings", HEAD "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "ready unsafe sent answered", NULL, false, false},
	{"UP-01 bad chunk", CHUNKS "1\r\nx\r\nzz\r\n", "ready 200:-1 [x] unsafe sent answered", NULL, false, false},
	{"UP-02 cut length", FIVE "he", "ready 200:5 [he] reset sent answered", NULL, true, false},
	{"UP-02 cut chunks", CHUNKS "1\r\nx\r\n", "ready 200:-1 [x] reset sent answered", NULL, true, false},
	{"UP-02 cut head", "HTTP/1.1 200", "ready reset sent answered", NULL, true, false},
	{"no answer", "", "ready reset sent", NULL, true, false},
	{"UP-03 bytes behind", FIVE "helloHTTP", "ready 200:5 [hello] ok sent answered", NULL, false, false},
	{"UP-04 unasked", "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "ready unsafe sent answered", NULL, false, false},
	{"UP-06 content of a HEAD", FIVE "hello", "ready 200:5. ok sent answered", "HEAD", false, false},
	{"UP-06 content of a 204", "HTTP/1.1 204 N\r\nContent-Length: 1\r\n\r\n", "ready 204:1. ok sent answered", NULL, false, false},
	{"a malformed request", "", "ready unsafe", "G T", false, true},
};
/* clang-format on */

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct h1_asked *a;

		h1_bed_setup();
		h1_bed.script = str_from(rows[i].script);
		h1_bed.close_after = rows[i].close;
		a = h1_ask(0, rows[i].method ? rows[i].method : "GET");
		run_until(&h1_bed.f, a->ended);
		if (strcmp(a->told, rows[i].want) != 0)
			fail_msg("%s: %s", rows[i].name, a->told);
		fixture_spin(&h1_bed.f, 3);
		if (h1_facts().idle != rows[i].idle || h1_facts().busy != 0)
			fail_msg("%s: %zu idle, %zu busy", rows[i].name, h1_facts().idle,
				 h1_facts().busy);
		if (!rows[i].idle)
			run_until(&h1_bed.f, !h1_bed.peers[0].conn);
		h1_bed_teardown();
	}
}

static void test_up_05_many_interims(void **state)
{
	static const char one[] = "HTTP/1.1 102 P\r\n\r\n";

	(void)state;
	for (unsigned n = 16; n <= 17; n++) {
		struct buf script = BUF_INIT;
		struct h1_asked *a;

		h1_bed_setup();
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(buf_add(&script, one, sizeof(one) - 1, NULL), 0);
		assert_int_equal(buf_add_str(&script, STR(FIVE "hello"), NULL), 0);
		h1_bed.script = buf_str(&script);
		a = h1_ask(0, "GET");
		run_until(&h1_bed.f, a->ended);
		assert_int_equal(a->end.failure, n > 16 ? UPSTREAM_UNSAFE : UPSTREAM_OK);
		h1_bed_teardown();
		buf_deinit(&script);
	}
}

/* --- bodies up --- */

static void test_request_bodies(void **state)
{
	static const struct {
		int64_t length;
		const char *want;
	} bodies[] = {
		{5, "\r\n\r\nhello"},
		{-1, "\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(bodies); i++) {
		struct h1_asked *a;

		h1_bed_setup();
		h1_bed.script = STR(FIVE "hello");
		a = h1_ask_nothing(0);
		h1_give_head(a, "POST", bodies[i].length);
		assert_true(upstream_call_write(a->call, STR("he"), false));
		assert_true(upstream_call_write(a->call, STR("llo"), true));
		run_until(&h1_bed.f, h1_bed.count == 1 && str_ends(buf_str(&h1_bed.peers[0].got),
								   str_from(bodies[i].want)));
		h1_bed_teardown();
	}
}

static void test_body_that_is_not_as_long_as_said(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		h1_bed_setup();
		h1_ask_nothing(0);
		h1_give_head(&h1_asked[0], "POST", 3);
		upstream_call_write(h1_asked[0].call, i ? STR("abcd") : STR("ab"), true);
		assert_string_equal(h1_asked[0].told, "ready ");
		run_until(&h1_bed.f, h1_asked[0].ended);
		assert_string_equal(h1_asked[0].told, "ready unsafe sent");
		run_until(&h1_bed.f, !h1_bed.peers[0].conn);
		assert_int_equal(h1_facts().idle, 0);
		h1_bed_teardown();
	}
}

/* H1-25: the answer is complete, the request not. */
static void test_early_answer(void **state)
{
	(void)state;
	h1_bed_setup();
	h1_bed.script = STR(FIVE "hello");
	h1_ask_nothing(0);
	h1_give_head(&h1_asked[0], "POST", 3);
	run_until(&h1_bed.f, h1_asked[0].ended);
	assert_string_equal(h1_asked[0].told, "ready 200:5 [hello] ok sent answered");
	assert_int_equal(h1_facts().idle, 0);
	run_until(&h1_bed.f, !h1_bed.peers[0].conn);
	h1_bed_teardown();
}

static void test_back_pressure(void **state)
{
	static char bytes[BIG];
	struct buf script = BUF_INIT;
	struct h1_asked *a;
	size_t stopped;

	(void)state;
	h1_bed_setup();
	/* Up: the mark, and the news of room. */
	h1_bed.deaf = true;
	a = h1_ask_nothing(0);
	h1_give_head(a, "POST", -1);
	while (upstream_call_write(a->call, (struct str){bytes, BIG}, false))
		fixture_spin(&h1_bed.f, 1);
	assert_int_equal(a->drains, 0);
	run_until(&h1_bed.f, h1_bed.count == 1 && h1_bed.peers[0].conn);
	conn_read_start(h1_bed.peers[0].conn);
	run_until(&h1_bed.f, a->drains == 1);
	upstream_call_close(a->call);
	a->call = NULL;
	/* Down: reading stops while nothing is consumed. */
	h1_bed.deaf = false;
	assert_int_equal(buf_addf(&script, NULL, HEAD "Content-Length: %d\r\n\r\n", BIG), 0);
	assert_int_equal(buf_add(&script, bytes, BIG, NULL), 0);
	h1_bed.script = buf_str(&script);
	h1_bed.o.read_ms = 200;
	h1_asked[1].holds = true;
	a = h1_ask(1, "GET");
	run_until(&h1_bed.f, a->body >= 64 << 10);
	stopped = a->body;
	/* Nobody is late who is not read from: longer than read_ms. */
	for (int i = 0; i < 20; i++)
		fixture_turn(&h1_bed.f, "time", __FILE__, __LINE__);
	assert_int_equal(a->body, stopped);
	assert_true(stopped < BIG && !a->ended);
	a->holds = false;
	upstream_call_consumed(a->call, stopped);
	run_until(&h1_bed.f, a->ended);
	assert_int_equal(a->body, BIG);
	assert_int_equal(a->end.failure, UPSTREAM_OK);
	assert_int_equal(h1_facts().idle, 1);
	h1_bed_teardown();
	buf_deinit(&script);
}

/* --- switching --- */

#define SWITCH "HTTP/1.1 101 S\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nA: b\r\n\r\n"

static void test_switch(void **state)
{
	(void)state;
	h1_bed_setup();
	h1_bed.script = STR(SWITCH "first");
	h1_asked[0].upgrade = STR("websocket");
	h1_asked[0].takes = true;
	h1_ask(0, "GET");
	run_until(&h1_bed.f, h1_asked[0].taken);
	assert_string_equal(h1_asked[0].told, "ready switch 1 left first ");
	assert_non_null(
		strstr(h1_bed.peers[0].got.data, "Upgrade: websocket\r\nConnection: Upgrade\r\n"));
	assert_int_equal(h1_facts().busy, 0);
	conn_write(h1_bed.peers[0].conn, STR("second"));
	run_until(&h1_bed.f, strstr(h1_asked[0].told, "second"));
	/* Nobody takes it, or another token came. */
	h1_asked[1].upgrade = STR("websocket");
	h1_ask(1, "GET");
	run_until(&h1_bed.f, h1_asked[1].ended);
	assert_string_equal(h1_asked[1].told, "ready switch 1 unsafe sent answered");
	h1_asked[2].upgrade = STR("h2c");
	h1_ask(2, "GET");
	run_until(&h1_bed.f, h1_asked[2].ended);
	assert_string_equal(h1_asked[2].told, "ready unsafe sent answered");
	h1_bed_teardown();
}

/* --- giving up --- */

static void test_close_at_every_moment(void **state)
{
	static const struct {
		enum h1_moment where;
		const char *want;
	} moments[] = {
		{IN_READY, "ready closed"},
		{IN_INTERIM, "ready 100/0 closed"},
		{IN_HEAD, "ready 100/0 200:5 closed"},
		{IN_BODY, "ready 100/0 200:5 [hello] closed"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(moments); i++) {
		h1_bed_setup();
		h1_bed.script = STR("HTTP/1.1 100 Continue\r\n\r\n" FIVE "hello");
		h1_asked[0].closes = moments[i].where;
		h1_ask(0, "GET");
		run_until(&h1_bed.f, strstr(h1_asked[0].told, "closed"));
		fixture_spin(&h1_bed.f, 3);
		assert_string_equal(h1_asked[0].told, moments[i].want);
		assert_int_equal(h1_facts().busy + h1_facts().connecting, 0);
		assert_int_equal(h1_facts().idle, moments[i].where == IN_READY);
		h1_bed_teardown();
	}
	/* While it connects, and before a failure is told. */
	h1_bed_setup_pool(&(struct upstream_pool_options){.max_connections = 1});
	h1_ask_nothing(0);
	h1_ask_nothing(1);
	for (size_t i = 0; i < 2; i++) {
		upstream_call_close(h1_asked[i].call);
		h1_asked[i].call = NULL;
	}
	fixture_spin(&h1_bed.f, 5);
	assert_string_equal(h1_asked[0].told, "");
	assert_string_equal(h1_asked[1].told, "");
	upstream_call_close(NULL);
	h1_bed_teardown();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_up_05_many_interims),
		cmocka_unit_test(test_request_bodies),
		cmocka_unit_test(test_body_that_is_not_as_long_as_said),
		cmocka_unit_test(test_early_answer),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_switch),
		cmocka_unit_test(test_close_at_every_moment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
