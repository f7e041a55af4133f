/* Calls over HTTP/2: rows of UP-05, UP-13, H2-17, H2-20. */
#include "data-plane/proxy/upstream_call.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/lib/h2_bed.h"
#include "tests/unit/lib/oom.h"

static void test_exchange(void **state)
{
	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct asked *a;

		open_bed(100);
		if (tls)
			open_tls(true);
		a = start("/echo");
		add_field(a, "Content-Type", "application/grpc");
		add_field(a, "Connection", "close");
		add_field(a, "transfer-encoding", "chunked");
		add_field(a, "host", "other");
		send_it(a, false);
		run_until(&bed.f, a->heads); /* the answer begins before the request ended */
		assert_true(upstream_call_write(a->call, STR("hello "), false));
		run_until(&bed.f, a->body.len == 6);
		assert_true(upstream_call_write(a->call, STR("you"), true));
		run_until(&bed.f, a->ends);
		assert_string_equal(a->body.data, "hello you");
		assert_string_equal(a->trailer, "grpc-status=0");
		assert_string_equal(srv.fields, "content-type=application/grpc;te=trailers;");
		assert_int_equal(a->status, 200);
		assert_int_equal(a->end.failure, UPSTREAM_OK);
		assert_true(a->end.sent && a->end.answered && !a->end.reused);
		close_bed();
	}
}

static void test_trailers_of_the_request(void **state)
{
	struct http_fields trailers = {0};
	struct asked *a;

	(void)state;
	open_bed(100);
	a = ask("/echo", false);
	assert_int_equal(http_fields_add(&trailers, &a->arena, STR("X-Sum"), STR("1")), 0);
	assert_int_equal(http_fields_add(&trailers, &a->arena, STR("content-length"), STR("1")), 0);
	upstream_call_write(a->call, STR("body"), false);
	upstream_call_trailers(a->call, &trailers);
	run_until(&bed.f, a->ends);
	assert_string_equal(srv.fields, "x-sum=1;");
	assert_string_equal(a->body.data, "body");
	close_bed();
}

static void test_trailers_only(void **state)
{
	struct asked *a;

	(void)state;
	open_bed(100);
	a = ask("/trailers-only", false);
	run_until(&bed.f, a->ends);
	assert_true(a->end_with_head);
	assert_int_equal(a->end.failure, UPSTREAM_OK);
	/* The rest of the request is of no use: the stream is reset. */
	run_until(&bed.f, srv.closed_streams == 1);
	assert_int_equal(srv.last_reset, NGHTTP2_NO_ERROR);
	close_bed();
}

static void test_interim(void **state)
{
	struct asked *a;

	(void)state;
	open_bed(100);
	a = ask("/interim", true);
	run_until(&bed.f, a->ends);
	assert_int_equal(a->interims, 2);
	assert_int_equal(a->status, 204);
	assert_true(a->end_with_head);
	close_bed();
}

/* Rows of UP-05 and UP-13: what an upstream does and how the call ends. */
static void test_failures(void **state)
{
	static const struct {
		const char *path;
		enum upstream_failure want;
		bool answered;
	} rows[] = {
		{"/refuse", UPSTREAM_NOT_TAKEN, false},	       {"/reset", UPSTREAM_RESET, false},
		{"/connection-field", UPSTREAM_UNSAFE, false}, {"/fields", UPSTREAM_UNSAFE, true},
		{"/interims", UPSTREAM_UNSAFE, true},	       {"/close", UPSTREAM_RESET, false},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct asked *a;

		open_bed(100);
		a = ask(rows[i].path, true);
		run_until(&bed.f, a->ends);
		if (a->end.failure != rows[i].want)
			fail_msg("%s: %d: %s", rows[i].path, a->end.failure, a->end.why.message);
		assert_int_equal(a->end.answered, rows[i].answered);
		assert_true(a->end.sent);
		assert_int_equal(a->heads, 0);
		close_bed();
	}
}

static void test_reset_after_the_head(void **state)
{
	struct asked *a;

	(void)state;
	open_bed(100);
	a = ask("/reset-after", true);
	run_until(&bed.f, a->heads);
	h2_reset(srv.h2, srv.last, NGHTTP2_REFUSED_STREAM);
	loop_defer(srv.loop, &srv.flush);
	run_until(&bed.f, a->ends);
	assert_int_equal(a->end.failure, UPSTREAM_RESET);
	close_bed();
}

/* Many calls share a connection; those beyond the peer's limit get another. */
static void test_concurrent_streams(void **state)
{
	struct asked *first;

	(void)state;
	open_bed(3);
	first = ask("/echo", false);
	run_until(&bed.f, first->heads);
	for (int i = 0; i < 2; i++)
		ask("/echo", false);
	run_until(&bed.f, bed.asked[1].heads && bed.asked[2].heads);
	assert_int_equal(srv.connections, 1);
	start("/echo");
	run_until(&bed.f, srv.connections == 2);
	close_bed();
}

/* Calls that came while the connection was being made wait for room on it. */
static void test_calls_while_dialing(void **state)
{
	(void)state;
	open_bed(3);
	for (int i = 0; i < 10; i++)
		start("/echo");
	for (size_t i = 0; i < 10; i++) {
		send_it(&bed.asked[i], false);
		upstream_call_write(bed.asked[i].call, STR("x"), true);
	}
	for (size_t i = 0; i < 10; i++) {
		run_until(&bed.f, bed.asked[i].ends);
		assert_int_equal(bed.asked[i].end.failure, UPSTREAM_OK);
	}
	assert_int_equal(srv.connections, 1);
	close_bed();
}

/* The connection that a call did not wait for is kept like any other that is not used. */
static void test_call_that_leaves_while_dialing(void **state)
{
	struct upstream_pool_facts facts = {0};
	struct asked *a;

	(void)state;
	open_bed(100);
	a = start("/echo");
	upstream_call_close(a->call);
	a->call = NULL;
	run_until(&bed.f, (upstream_pool_facts(bed.pool, &facts), facts.connecting == 0));
	assert_int_equal(facts.busy, 0);
	assert_int_equal(facts.idle, 1);
	a = ask("/trailers-only", true);
	run_until(&bed.f, a->ends);
	assert_int_equal(a->end.failure, UPSTREAM_OK);
	assert_int_equal(srv.connections, 1);
	close_bed();
}

/* One with a PROXY header is of no use to another call, and the header goes with its call. */
static void test_proxied_call_that_leaves_while_dialing(void **state)
{
	struct upstream_pool_facts facts = {0};
	char *header = strdup("PROXY UNKNOWN\r\n");
	struct asked *a;

	(void)state;
	assert_non_null(header);
	open_bed(100);
	bed.o.endpoint.proxy_header = str_from(header);
	a = start("/echo");
	upstream_call_close(a->call);
	a->call = NULL;
	memset(header, '!', strlen(header));
	free(header);
	bed.o.endpoint.proxy_header = STR_NONE;
	upstream_pool_facts(bed.pool, &facts);
	assert_int_equal(facts.connecting, 0);
	fixture_spin(&bed.f, 5);
	close_bed();
}

static void test_reuse(void **state)
{
	(void)state;
	open_bed(100);
	for (int i = 0; i < 5; i++) {
		struct asked *a = ask("/trailers-only", true);

		run_until(&bed.f, a->ends);
		assert_int_equal(a->end.failure, UPSTREAM_OK);
		assert_int_equal(a->end.reused, i > 0);
	}
	assert_int_equal(srv.connections, 1);
	close_bed();
}

/* GOAWAY: what it took is finished, what it did not is safe to send again, new calls go elsewhere.
 */
static void test_goaway(void **state)
{
	struct asked *a, *late, *next;

	(void)state;
	open_bed(100);
	a = ask("/echo", false);
	run_until(&bed.f, a->heads);
	h2_goaway(srv.h2);
	loop_defer(srv.loop, &srv.flush);
	late = start("/echo");
	upstream_call_send_head(late->call, &late->request, STR_NONE, false, true);
	run_until(&bed.f, late->ends);
	assert_int_equal(late->end.failure, UPSTREAM_NOT_TAKEN);
	upstream_call_write(a->call, STR("still"), true);
	run_until(&bed.f, a->ends);
	assert_int_equal(a->end.failure, UPSTREAM_OK);
	assert_string_equal(a->body.data, "still");
	next = ask("/trailers-only", true);
	run_until(&bed.f, next->ends);
	assert_int_equal(next->end.failure, UPSTREAM_OK);
	assert_int_equal(srv.connections, 2);
	close_bed();
}

/* Calls that wait for the peer's limit have not been sent: its GOAWAY frees them at once. */
static void test_goaway_frees_the_waiting(void **state)
{
	(void)state;
	open_bed(1);
	start("/echo");
	start("/echo");
	send_it(&bed.asked[0], false);
	send_it(&bed.asked[1], false);
	run_until(&bed.f, bed.asked[0].heads);
	h2_goaway(srv.h2);
	loop_defer(srv.loop, &srv.flush);
	run_until(&bed.f, bed.asked[1].ends);
	assert_int_equal(bed.asked[1].end.failure, UPSTREAM_NOT_TAKEN);
	assert_false(bed.asked[1].end.sent);
	assert_int_equal(bed.asked[0].ends, 0);
	close_bed();
}

/* H2-20: the other side hears of it in the same turn. */
static void test_cancel(void **state)
{
	struct asked *a, *other;

	(void)state;
	open_bed(100);
	other = ask("/echo", false);
	a = ask("/hold", true);
	run_until(&bed.f, srv.begun == 2);
	upstream_call_close(a->call);
	a->call = NULL;
	run_until(&bed.f, srv.closed_streams == 1);
	assert_int_equal(srv.last_reset, NGHTTP2_CANCEL);
	assert_int_equal(a->ends, 0);
	upstream_call_write(other->call, STR("x"), true);
	run_until(&bed.f, other->ends);
	assert_int_equal(other->end.failure, UPSTREAM_OK);
	close_bed();
}

static void test_close_inside_head(void **state)
{
	struct asked *a;

	(void)state;
	open_bed(100);
	a = start("/big");
	a->close_in_head = true;
	send_it(a, true);
	run_until(&bed.f, a->heads && srv.closed_streams == 1);
	assert_int_equal(srv.last_reset, NGHTTP2_CANCEL);
	assert_int_equal(a->ends, 0);
	close_bed();
}

/* H2-17: what is not consumed stays with the upstream, and other streams go on. */
static void test_back_pressure(void **state)
{
	struct asked *a, *other;
	size_t got;

	(void)state;
	open_bed(100);
	a = start("/big");
	a->keeps = true;
	send_it(a, true);
	run_until(&bed.f, a->body.len >= H2_WINDOW);
	other = ask("/big", true);
	run_until(&bed.f, other->ends);
	assert_int_equal(other->body.len, BIG);
	assert_int_equal(a->body.len, H2_WINDOW);
	a->keeps = false;
	for (got = a->body.len; a->body.len < BIG; got = a->body.len) {
		upstream_call_consumed(a->call, H2_WINDOW);
		run_until(&bed.f, a->body.len > got);
	}
	run_until(&bed.f, a->ends);
	close_bed();
}

/* The upstream's window bounds what is taken; what is written beyond waits here, and says so. */
static void test_writing_waits(void **state)
{
	static char piece[16 << 10];
	struct asked *a;
	size_t sent = 0;

	(void)state;
	open_bed(100);
	a = ask("/slow", false);
	while (upstream_call_write(a->call, (struct str){piece, sizeof(piece)}, false)) {
		sent += sizeof(piece);
		fixture_spin(&bed.f, 5);
		assert_true(sent < 256 << 10);
	}
	run_until(&bed.f, served_of(srv.last)->got == H2_WINDOW);
	assert_int_equal(a->drains, 0);
	h2_consumed(srv.h2, srv.last, H2_WINDOW);
	loop_defer(srv.loop, &srv.flush);
	run_until(&bed.f, a->drains == 1);
	close_bed();
}

static void test_timeouts(void **state)
{
	static const struct {
		const char *path;
		uint64_t write_ms, read_ms;
		size_t body;
		bool end, want;
	} rows[] = {
		{"/hold", 10000, 50, 0, true, true},
		{"/hold", 50, 10000, 0, true, false},
		{"/hold", 50, 50, 0, false, false}, /* it is the client's turn */
		{"/slow", 50, 10000, 100 << 10, false, true},
		{"/reset-after", 10000, 50, 0, true, true},
	};
	static char body[100 << 10];

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct asked *a, *other;
		uint64_t from;

		open_bed(100);
		bed.o.write_ms = rows[i].write_ms;
		bed.o.read_ms = rows[i].read_ms;
		a = start(rows[i].path);
		bed.o.write_ms = bed.o.read_ms = 10000;
		other = start("/echo");
		send_it(other, false);
		send_it(a, rows[i].end);
		if (rows[i].body)
			upstream_call_write(a->call, (struct str){body, rows[i].body}, false);
		from = uv_hrtime();
		fixture_start(&bed.f);
		while (!a->ends && uv_hrtime() - from < (rows[i].want ? 15000 : 250) * 1000000ULL)
			fixture_turn(&bed.f, "time", __FILE__, __LINE__);
		assert_int_equal(a->ends, rows[i].want);
		if (rows[i].want)
			assert_int_equal(a->end.failure, UPSTREAM_TIMEOUT);
		upstream_call_write(other->call, STR("x"), true);
		run_until(&bed.f, other->ends);
		assert_int_equal(other->end.failure, UPSTREAM_OK);
		close_bed();
	}
}

static void test_no_h2(void **state)
{
	struct asked *a;

	(void)state;
	open_bed(100);
	open_tls(false);
	a = start("/echo");
	run_until(&bed.f, a->ends);
	assert_int_equal(a->end.failure, UPSTREAM_UNSAFE);
	assert_false(a->end.sent);
	close_bed();
}

static void test_bad_requests(void **state)
{
	static const struct {
		const char *name, *value;
	} rows[] = {{"bad name", "x"}, {"x", "a\r\nb: c"}, {"x", "\x01"}, {"", "x"}};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct asked *a;

		open_bed(100);
		a = start("/echo");
		add_field(a, rows[i].name, rows[i].value);
		send_it(a, true);
		run_until(&bed.f, a->ends);
		assert_int_equal(a->end.failure, UPSTREAM_UNSAFE);
		assert_false(a->end.sent);
		assert_int_equal(srv.begun, 0);
		close_bed();
	}
}

/* Nobody may send again what the upstream may have got. */
static void check_told(struct asked *a)
{
	run_until(&bed.f, a->ends || srv.begun == 2);
	if (srv.conn)
		conn_close(srv.conn);
	run_until(&bed.f, a->ends);
	assert_true(a->end.failure == UPSTREAM_MEMORY || (srv.begun == 2 && a->end.sent));
}

/* Also while frames are emitted: more of them than go out at once. */
static void test_out_of_memory(void **state)
{
	static const char body[48 << 10];
	bool happened = true;

	(void)state;
	for (unsigned long n = 0; happened; n++) {
		struct upstream_call_options o;
		struct err e = ERR_INIT;
		struct asked *a;

		open_bed(100);
		a = ask("/trailers-only", true);
		run_until(&bed.f, a->ends); /* the server is set up */
		o = bed.o;
		a = &bed.asked[bed.count++];
		arena_init(&a->arena, 0);
		a->request = bed.asked[0].request;
		a->request.target = STR("/hold");
		o.arena = &a->arena;
		o.arg = a;
		oom_fail_at(n);
		if (upstream_call_start(&a->call, bed.pool, &o, &e) == 0)
			upstream_call_send_head(a->call, &a->request, STR_NONE, true, false);
		if (a->call)
			upstream_call_write(a->call, (struct str){body, sizeof(body)}, true);
		fixture_spin(&bed.f, 5);
		happened = oom_happened();
		if (a->call)
			check_told(a);
		close_bed();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exchange),
		cmocka_unit_test(test_trailers_of_the_request),
		cmocka_unit_test(test_trailers_only),
		cmocka_unit_test(test_interim),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_reset_after_the_head),
		cmocka_unit_test(test_concurrent_streams),
		cmocka_unit_test(test_calls_while_dialing),
		cmocka_unit_test(test_call_that_leaves_while_dialing),
		cmocka_unit_test(test_proxied_call_that_leaves_while_dialing),
		cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_goaway),
		cmocka_unit_test(test_goaway_frees_the_waiting),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_close_inside_head),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_writing_waits),
		cmocka_unit_test(test_timeouts),
		cmocka_unit_test(test_no_h2),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
