/* Tunnels between real connections: outer ends A (client) and B (upstream), and the two inner ones
 * that are copied into each other. Every combination of plain and TLS. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "data-plane/proxy/tunnel.h"
#include "tests/unit/lib/conn_pair.h"
#include "tests/unit/lib/oom.h"

enum { BULK = 16 * 1024 * 1024, HIGH = 64 * 1024 };

struct bench {
	struct pair p;	       /* p.client is A */
	struct end b, inner_b; /* B, and its inner end before the tunnel */
	struct conn *client, *upstream;
	struct tunnel *tunnel;
	struct tunnel_end end;
	unsigned ends;
};

static void on_end(struct tunnel *t, const struct tunnel_end *end, void *arg)
{
	struct bench *b = arg;

	assert_ptr_equal(t, b->tunnel);
	b->tunnel = NULL;
	b->end = *end;
	b->ends++;
}

static const bool kinds[][2] = {{false, false}, {true, false}, {false, true}, {true, true}};

static void connect_b(struct bench *b, bool tls)
{
	const struct conn_options o = {
		.events = &end_events,
		.arg = &b->b,
		.tls = tls ? b->p.client_tls : NULL,
		.server_name = "localhost",
		.write_high = HIGH,
	};
	struct err e = ERR_INIT;

	b->p.server_options.arg = &b->inner_b;
	b->p.server_options.tls = tls ? b->p.server_tls : NULL;
	if (conn_connect(&b->b.conn, &b->p.f.loop, "127.0.0.1",
			 addr_port(listener_addr(b->p.listener)), &o, &e) < 0)
		fail_msg("%s", e.message);
	run_until(&b->p.f, b->b.opens && b->inner_b.opens);
	b->upstream = b->inner_b.conn;
}

/* Four open ends; the inner ones do not read yet. */
static void open_ends(struct bench *b, const bool tls[2])
{
	const struct pair_options o = {.tls = true, .write_high = HIGH};
	struct pair_options client = o;

	memset(b, 0, sizeof(*b));
	pair_init(&b->p, &o);
	b->p.server_options.tls = tls[0] ? b->p.server_tls : NULL;
	client.tls = tls[0];
	if (!tls[0]) {
		SSL_CTX *kept = b->p.client_tls;

		b->p.client_tls = NULL;
		pair_connect(&b->p, &client);
		b->p.client_tls = kept;
	} else {
		pair_connect(&b->p, &client);
	}
	b->p.server.idle = b->inner_b.idle = true;
	run_until(&b->p.f, b->p.client.opens && b->p.server.opens);
	b->client = b->p.server.conn;
	connect_b(b, tls[1]);
	b->p.server.conn = NULL;
	b->inner_b.conn = NULL;
	b->p.client.stays = b->b.stays = true;
}

static int start(struct bench *b, const char *client_left, const char *upstream_left, uint64_t idle,
		 struct err *e)
{
	const struct tunnel_options o = {.idle_ms = idle, .on_end = on_end, .arg = b};

	return tunnel_start(&b->tunnel, b->client, str_from(client_left), b->upstream,
			    str_from(upstream_left), &o, e);
}

static void open_bench(struct bench *b, const bool tls[2])
{
	struct err e = ERR_INIT;

	open_ends(b, tls);
	assert_int_equal(start(b, NULL, NULL, 60000, &e), 0);
}

static void close_bench(struct bench *b)
{
	if (b->b.conn)
		conn_close(b->b.conn);
	if (b->p.client.conn)
		conn_close(b->p.client.conn);
	if (b->tunnel)
		tunnel_close(b->tunnel);
	run_until(&b->p.f, b->ends == 1 && !b->b.conn && !b->p.client.conn);
	buf_deinit(&b->b.got);
	buf_deinit(&b->inner_b.got);
	pair_deinit(&b->p);
}

static void say(struct end *n, const char *text)
{
	conn_write(n->conn, str_from(text));
}

static void test_both_ways(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(kinds); i++) {
		struct err e = ERR_INIT;
		struct bench b;

		open_ends(&b, kinds[i]);
		say(&b.p.client, " and more");
		assert_int_equal(start(&b, "read before", "hello", 0, &e), 0);
		run_until(&b.p.f, b.b.got.len == strlen("read before and more") &&
					  b.p.client.got.len == strlen("hello"));
		assert_string_equal(b.b.got.data, "read before and more");
		assert_string_equal(b.p.client.got.data, "hello");
		say(&b.b, " again");
		run_until(&b.p.f, b.p.client.got.len == strlen("hello again"));
		conn_shutdown(b.p.client.conn);
		run_until(&b.p.f, b.b.eofs == 1);
		conn_shutdown(b.b.conn);
		run_until(&b.p.f, b.ends == 1);
		assert_int_equal(b.end.from_client, strlen("read before and more"));
		assert_int_equal(b.end.from_upstream, strlen("hello again"));
		assert_int_equal(b.end.why.kind, ERR_NONE);
		close_bench(&b);
	}
}

/* FIN in one direction, and the other goes on; from either side. */
static void test_half_close(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(kinds) * 2; i++) {
		struct bench b;
		struct end *first, *second;

		open_bench(&b, kinds[i / 2]);
		first = i % 2 ? &b.b : &b.p.client;
		second = i % 2 ? &b.p.client : &b.b;
		say(first, "that is all");
		conn_half_close(first->conn);
		run_until(&b.p.f, second->eofs == 1);
		assert_string_equal(second->got.data, "that is all");
		for (size_t n = 1; n <= 3; n++) {
			say(second, "more");
			run_until(&b.p.f, first->got.len == 4 * n);
		}
		assert_int_equal(b.ends, 0);
		conn_half_close(second->conn);
		run_until(&b.p.f, b.ends == 1 && first->eofs == 1);
		assert_int_equal(b.end.why.kind, ERR_NONE);
		close_bench(&b);
	}
}

/* The end of a side was seen by whoever had it before. */
static void test_ended_before(void **state)
{
	(void)state;
	for (int side = 0; side < 2; side++) {
		struct err e = ERR_INIT;
		struct bench b;

		open_ends(&b, kinds[0]);
		b.p.server.stays = b.inner_b.stays = true;
		conn_half_close(side ? b.b.conn : b.p.client.conn);
		conn_read_start(side ? b.upstream : b.client);
		run_until(&b.p.f, (side ? b.inner_b : b.p.server).eofs == 1);
		assert_int_equal(start(&b, "left", "left", 0, &e), 0);
		run_until(&b.p.f, (side ? b.p.client : b.b).eofs == 1);
		assert_string_equal((side ? b.p.client : b.b).got.data, "left");
		close_bench(&b);
	}
}

/* What ends without order on one side is no clean end on the other. */
static void test_abort(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(kinds) * 2; i++) {
		bool from_b = i % 2;
		struct bench b;
		struct end *other;

		open_bench(&b, kinds[i / 2]);
		other = from_b ? &b.p.client : &b.b;
		say(from_b ? &b.b : &b.p.client, "half a mess");
		run_until(&b.p.f, other->got.len > 0);
		conn_abort(from_b ? b.b.conn : b.p.client.conn);
		run_until(&b.p.f, b.ends == 1 && other->closed);
		assert_int_equal(other->eofs, 0);
		assert_int_equal(other->why.kind, ERR_UNAVAILABLE);
		assert_int_equal(b.end.why.kind, ERR_UNAVAILABLE);
		assert_int_equal(b.end.upstream_failed, from_b);
		close_bench(&b);
	}
}

static char byte_at(size_t i)
{
	return (char)(i * 2654435761U >> 13);
}

static void pump(struct end *n, size_t *sent)
{
	char piece[40000];

	while (n->conn && *sent < BULK && !conn_over_high(n->conn)) {
		size_t len = BULK - *sent < sizeof(piece) ? BULK - *sent : sizeof(piece);

		for (size_t i = 0; i < len; i++)
			piece[i] = byte_at(*sent + i);
		conn_write(n->conn, (struct str){piece, len});
		*sent += len;
	}
}

/* H2-17's like: what waits for a slow reader is bounded, and nothing is lost. */
static void test_slow_reader(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(kinds); i++) {
		size_t sent = 0, most = 0;
		struct bench b;

		open_bench(&b, kinds[i]);
		conn_read_stop(b.b.conn);
		for (int turn = 0; turn < 500; turn++) {
			pump(&b.p.client, &sent);
			fixture_spin(&b.p.f, 1);
			if (conn_queued(b.upstream) > most)
				most = conn_queued(b.upstream);
		}
		assert_int_equal(b.b.got.len, 0);
		assert_true(most > HIGH);
		assert_true(most < HIGH + 2 * 64 * 1024);
		conn_read_start(b.b.conn);
		fixture_start(&b.p.f);
		while (b.b.got.len < BULK) {
			pump(&b.p.client, &sent);
			fixture_turn(&b.p.f, "all of it", __FILE__, __LINE__);
		}
		for (size_t n = 0; n < BULK; n++)
			if (b.b.got.data[n] != byte_at(n))
				fail_msg("byte %zu differs", n);
		close_bench(&b);
	}
}

/* An echo: B reads only while it can write. A tunnel that did not read while it is full would wait
 * for it without end. */
static void test_echo_does_not_lock(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(kinds); i++) {
		size_t sent = 0, echoed = 0;
		struct bench b;

		open_bench(&b, kinds[i]);
		conn_set_duplex(b.p.client.conn);
		fixture_start(&b.p.f);
		while (b.p.client.got.len < BULK) {
			pump(&b.p.client, &sent);
			if (b.b.got.len > echoed && !conn_over_high(b.b.conn)) {
				conn_write(b.b.conn,
					   str_sub(buf_str(&b.b.got), echoed, b.b.got.len));
				echoed = b.b.got.len;
			}
			fixture_turn(&b.p.f, "echo", __FILE__, __LINE__);
		}
		assert_int_equal(memcmp(b.p.client.got.data, b.b.got.data, BULK), 0);
		close_bench(&b);
	}
}

static void test_idle(void **state)
{
	struct err e = ERR_INIT;
	struct bench b;

	(void)state;
	open_ends(&b, kinds[1]);
	assert_int_equal(start(&b, NULL, NULL, 50, &e), 0);
	run_until(&b.p.f, b.ends == 1);
	assert_int_equal(b.end.why.kind, ERR_TIMEOUT);
	close_bench(&b);
}

/* Bytes in one direction keep both sides. */
static void test_one_direction_is_not_idle(void **state)
{
	struct err e = ERR_INIT;
	uint64_t from;
	struct bench b;

	(void)state;
	open_ends(&b, kinds[0]);
	assert_int_equal(start(&b, NULL, NULL, 300, &e), 0);
	from = uv_hrtime();
	for (size_t n = 1; uv_hrtime() - from < 600 * 1000000ULL; n++) {
		say(&b.b, ".");
		run_until(&b.p.f, b.p.client.got.len == n);
	}
	assert_int_equal(b.ends, 0);
	close_bench(&b);
}

static void test_close(void **state)
{
	struct bench b;

	(void)state;
	open_bench(&b, kinds[0]);
	tunnel_close(b.tunnel);
	tunnel_close(b.tunnel);
	run_until(&b.p.f, b.ends == 1 && b.b.closed && b.p.client.closed);
	assert_int_equal(b.end.why.kind, ERR_NONE);
	assert_int_equal(b.b.why.kind, ERR_UNAVAILABLE);
	close_bench(&b);
}

/* Either connection may have failed in the turn before. */
static void test_failed_before(void **state)
{
	(void)state;
	for (int side = 0; side < 2; side++) {
		struct err e = ERR_INIT;
		struct bench b;

		open_ends(&b, kinds[0]);
		conn_close(side ? b.upstream : b.client);
		assert_int_equal(start(&b, "left", "left", 0, &e), 0);
		run_until(&b.p.f, b.ends == 1);
		close_bench(&b);
	}
}

static void test_out_of_memory(void **state)
{
	bool happened = true;

	(void)state;
	for (unsigned long n = 0; happened; n++) {
		struct err e = ERR_INIT;
		struct bench b;
		int rc;

		open_ends(&b, kinds[0]);
		oom_fail_at(n);
		rc = start(&b, "left", "left", 0, &e);
		if (rc == 0) {
			fixture_spin(&b.p.f, 30);
		} else {
			conn_close(b.client);
			conn_close(b.upstream);
			b.ends = 1;
		}
		happened = oom_happened();
		close_bench(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_half_close),
		cmocka_unit_test(test_ended_before),
		cmocka_unit_test(test_abort),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_echo_does_not_lock),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_one_direction_is_not_idle),
		cmocka_unit_test(test_close),
		cmocka_unit_test(test_failed_before),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
