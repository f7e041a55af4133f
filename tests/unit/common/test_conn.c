/* conn over loopback sockets: data, back-pressure, ends and timeouts, plain and TLS alike. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/lib/conn_pair.h"
#include "tests/unit/lib/oom.h"

static const struct pair_options kinds[] = {
	{.tls = false},
	{.tls = true},
	{.tls = true, .tls12 = true},
};

static void say(struct end *n, const char *text)
{
	conn_write(n->conn, str_from(text));
}

static void test_echo(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(kinds); i++) {
		struct pair p;

		pair_open(&p, &kinds[i]);
		say(&p.client, "hello");
		run_until(&p.f, p.server.got.len == 5);
		assert_string_equal(p.server.got.data, "hello");
		say(&p.server, "to ");
		say(&p.server, "");
		say(&p.server, "you");
		run_until(&p.f, p.client.got.len == 6);
		assert_string_equal(p.client.got.data, "to you");
		conn_shutdown(p.client.conn);
		conn_shutdown(p.client.conn);
		run_until(&p.f, p.client.closed && p.server.closed);
		assert_int_equal(p.client.why.kind, ERR_NONE);
		assert_int_equal(p.server.why.kind, ERR_NONE);
		assert_int_equal(p.server.eofs, 1);
		pair_deinit(&p);
	}
}

static void test_addresses(void **state)
{
	char client_side[ADDR_TEXT_SIZE], server_side[ADDR_TEXT_SIZE];
	struct pair p;

	(void)state;
	pair_open(&p, &kinds[0]);
	addr_text(conn_local(p.client.conn), client_side, sizeof(client_side));
	addr_text(conn_peer(p.server.conn), server_side, sizeof(server_side));
	assert_string_equal(client_side, server_side);
	assert_int_equal(addr_port(conn_peer(p.client.conn)), addr_port(listener_addr(p.listener)));
	assert_int_equal(addr_port(conn_local(p.server.conn)),
			 addr_port(listener_addr(p.listener)));
	assert_ptr_equal(conn_loop(p.client.conn), &p.f.loop);
	assert_null(conn_ssl(p.client.conn));
	assert_int_equal(conn_alpn(p.client.conn).len, 0);
	pair_deinit(&p);
}

/* More than the kernel's buffers of both ends take (4 and 6 MiB by default). */
enum { BULK = 16 * 1024 * 1024, PIECE = 40000, HIGH = 100 * 1024 };

static char byte_at(size_t i)
{
	return (char)(i * 2654435761U >> 13);
}

/* Writes on until the queue is over its high mark or everything was written. */
static void pump(struct end *n, size_t *sent)
{
	char piece[PIECE];

	while (*sent < BULK && !conn_over_high(n->conn)) {
		size_t len = BULK - *sent < PIECE ? BULK - *sent : PIECE;

		for (size_t i = 0; i < len; i++)
			piece[i] = byte_at(*sent + i);
		conn_write(n->conn, (struct str){piece, len});
		*sent += len;
	}
	if (n->bounded)
		assert_true(conn_queued(n->conn) <= HIGH + PIECE + 1024);
}

static void check_bulk(const struct end *n)
{
	for (size_t i = 0; i < BULK; i++)
		if (n->got.data[i] != byte_at(i))
			fail_msg("byte %zu differs", i);
}

/* Both ends at once. Only the server's queue is bounded: two ends that both stop reading while they
 * cannot write would wait for each other. */
static void test_bulk_both_ways(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(kinds); i++) {
		struct pair_options o = kinds[i];
		size_t sent[2] = {0, 0};
		struct pair p;

		o.write_high = HIGH;
		o.client_write_high = 2 * (size_t)BULK;
		pair_open(&p, &o);
		p.server.bounded = true;
		fixture_start(&p.f);
		while (p.server.got.len < BULK || p.client.got.len < BULK) {
			pump(&p.client, &sent[0]);
			pump(&p.server, &sent[1]);
			fixture_turn(&p.f, "bulk", __FILE__, __LINE__);
		}
		check_bulk(&p.client);
		check_bulk(&p.server);
		assert_false(conn_over_high(p.client.conn));
		pair_deinit(&p);
	}
}

/* A reader that stops makes the writer's queue fill and stay bounded; on_drain tells when it goes
 * on. */
static void test_slow_reader(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(kinds); i++) {
		struct pair_options o = kinds[i];
		size_t sent = 0;
		struct pair p;

		o.write_high = HIGH;
		pair_open(&p, &o);
		p.client.bounded = true;
		conn_read_stop(p.server.conn);
		for (int turn = 0; turn < 300; turn++) {
			pump(&p.client, &sent);
			fixture_spin(&p.f, 1);
		}
		assert_int_equal(p.server.got.len, 0);
		assert_true(sent < BULK);
		assert_true(conn_over_high(p.client.conn));
		conn_read_start(p.server.conn);
		fixture_start(&p.f);
		while (p.server.got.len < BULK) {
			pump(&p.client, &sent);
			fixture_turn(&p.f, "drained", __FILE__, __LINE__);
		}
		check_bulk(&p.server);
		assert_true(p.client.drains > 0);
		assert_false(conn_over_high(p.client.conn));
		pair_deinit(&p);
	}
}

enum { RECORD = 16 * 1024 };

/* A whole record of a letter: never gathered with others. */
static void say_record(struct end *n, char letter)
{
	static char bytes[RECORD];

	memset(bytes, letter, sizeof(bytes));
	conn_write(n->conn, (struct str){bytes, sizeof(bytes)});
}

/* What came in with the bytes that made the reader stop is kept and given later, in order. */
static void test_stop_inside_data(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(kinds); i++) {
		struct pair p;

		pair_open(&p, &kinds[i]);
		p.server.stop_inside = true;
		for (const char *letter = "abc"; *letter; letter++)
			say_record(&p.client, *letter);
		run_until(&p.f, p.server.got.len > 0);
		fixture_spin(&p.f, 20);
		if (kinds[i].tls)
			assert_int_equal(p.server.got.len, RECORD);
		while (p.server.got.len < 3 * RECORD) {
			size_t before = p.server.got.len;

			conn_read_start(p.server.conn);
			run_until(&p.f, p.server.got.len > before);
		}
		for (size_t at = 0; at < 3 * RECORD; at++)
			assert_int_equal(p.server.got.data[at], "abc"[at / RECORD]);
		pair_deinit(&p);
	}
}

static unsigned records;

static void on_record(int write_p, int version, int type, const void *bytes, size_t len, SSL *ssl,
		      void *arg)
{
	(void)version;
	(void)bytes;
	(void)len;
	(void)ssl;
	(void)arg;
	records += !write_p && type == SSL3_RT_HEADER &&
		   *(const unsigned char *)bytes == SSL3_RT_APPLICATION_DATA;
}

/* Small pieces of a turn share a record; what ends the connection stands behind them. */
static void test_pieces_share_a_record(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(kinds); i++) {
		struct pair p;

		if (!kinds[i].tls)
			continue;
		pair_open(&p, &kinds[i]);
		fixture_spin(&p.f, 20);
		records = 0;
		SSL_set_msg_callback(conn_ssl(p.server.conn), on_record);
		for (int n = 0; n < 10; n++)
			say(&p.client, "abc");
		assert_int_equal(conn_queued(p.client.conn), 30);
		run_until(&p.f, p.server.got.len == 30);
		assert_int_equal(records, 1);
		say(&p.client, "d");
		conn_flush(p.client.conn);
		say(&p.client, "e");
		conn_shutdown(p.client.conn);
		run_until(&p.f, p.server.eofs == 1);
		assert_int_equal(p.server.got.len, 32);
		pair_deinit(&p);
	}
}

static void test_reading_is_off_at_first(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(kinds); i++) {
		struct pair p;

		pair_init(&p, &kinds[i]);
		p.server.idle = true;
		pair_connect(&p, &kinds[i]);
		run_until(&p.f, p.client.opens && p.server.opens);
		say(&p.client, "early");
		fixture_spin(&p.f, 50);
		assert_int_equal(p.server.got.len, 0);
		conn_read_start(p.server.conn);
		assert_int_equal(p.server.got.len, 0); /* never from inside the call */
		run_until(&p.f, p.server.got.len == 5);
		pair_deinit(&p);
	}
}

/* The callback closes its conn; on_close still comes once and nothing else after it. */
static void test_close_inside_callbacks(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(kinds); i++) {
		for (int where = END_OPEN; where <= END_EOF; where++) {
			struct pair_options o = kinds[i];
			struct pair p;

			if (where == END_DRAIN)
				continue;
			o.server_closes = (enum end_callback)where;
			pair_init(&p, &o);
			pair_connect(&p, &o);
			/* With TLS 1.2 the server is open first and takes its last flight along. */
			run_until(&p.f, p.client.opens || p.client.closed);
			if (p.client.conn)
				say(&p.client, "data");
			run_until(&p.f, p.server.opens);
			if (p.client.conn && where == END_EOF)
				conn_shutdown(p.client.conn);
			run_until(&p.f, p.server.closed && p.client.closed);
			assert_int_equal(p.server.why.kind, ERR_NONE);
			assert_int_equal(p.server.closes, 1);
			pair_deinit(&p);
		}
	}
}

static void test_close_inside_drain(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(kinds); i++) {
		struct pair_options o = kinds[i];
		size_t sent = 0;
		struct pair p;

		o.write_high = HIGH;
		o.client_closes = END_DRAIN;
		pair_open(&p, &o);
		fixture_start(&p.f);
		while (!p.client.closed) {
			if (p.client.conn && sent < BULK)
				pump(&p.client, &sent);
			fixture_turn(&p.f, "drain", __FILE__, __LINE__);
		}
		assert_int_equal(p.client.drains, 1);
		assert_int_equal(p.client.why.kind, ERR_NONE);
		pair_deinit(&p);
	}
}

static void test_close_with_reason(void **state)
{
	struct err why = ERR_INIT;
	struct pair p;

	(void)state;
	pair_open(&p, &kinds[0]);
	err_set(&why, ERR_LIMIT, "too many of them");
	conn_fail(p.server.conn, &why);
	conn_close(p.server.conn);
	conn_write(p.server.conn, STR("ignored"));
	assert_false(p.server.closed); /* never from inside the call */
	run_until(&p.f, p.server.closed && p.client.closed);
	assert_int_equal(p.server.why.kind, ERR_LIMIT);
	assert_string_equal(p.server.why.message, "too many of them");
	pair_deinit(&p);
}

/* The peer ends its half; the answer still reaches it, then both halves are closed. */
static void test_half_close(void **state)
{
	struct buf got = BUF_INIT;
	struct pair p;
	int fd;

	(void)state;
	pair_init(&p, &kinds[0]);
	p.server.farewell = "bye";
	fd = raw_connect(&p);
	raw_send(fd, STR("last words"));
	shutdown(fd, SHUT_WR);
	run_until(&p.f, raw_read(fd, &got));
	assert_string_equal(got.data, "bye");
	run_until(&p.f, p.server.closed);
	assert_string_equal(p.server.got.data, "last words");
	assert_int_equal(p.server.eofs, 1);
	assert_int_equal(p.server.why.kind, ERR_NONE);
	close(fd);
	buf_deinit(&got);
	pair_deinit(&p);
}

/* Without on_eof the conn shuts down by itself. */
static void test_no_eof_callback(void **state)
{
	struct conn_events quiet = end_events;
	struct buf got = BUF_INIT;
	struct pair p;
	int fd;

	(void)state;
	quiet.on_eof = NULL;
	pair_init(&p, &kinds[0]);
	p.server_options.events = &quiet;
	fd = raw_connect(&p);
	run_until(&p.f, p.server.opens);
	conn_write(p.server.conn, STR("all of it"));
	shutdown(fd, SHUT_WR);
	run_until(&p.f, raw_read(fd, &got));
	assert_string_equal(got.data, "all of it");
	run_until(&p.f, p.server.closed);
	assert_int_equal(p.server.why.kind, ERR_NONE);
	close(fd);
	buf_deinit(&got);
	pair_deinit(&p);
}

static void test_linger_ends_at_byte_limit(void **state)
{
	static char junk[8192];
	struct buf got = BUF_INIT;
	uint64_t start;
	struct pair p;
	int fd;

	(void)state;
	pair_init(&p, &kinds[0]);
	fd = raw_connect(&p);
	run_until(&p.f, p.server.opens);
	conn_shutdown(p.server.conn);
	start = uv_hrtime();
	fixture_start(&p.f);
	while (!p.server.closed) {
		(void)send(fd, junk, sizeof(junk), MSG_NOSIGNAL);
		fixture_turn(&p.f, "closed", __FILE__, __LINE__);
	}
	assert_true(uv_hrtime() - start < CONN_LINGER_MS * 1000000ULL);
	assert_int_equal(p.server.got.len, 0);
	close(fd);
	buf_deinit(&got);
	pair_deinit(&p);
}

static void test_linger_ends_at_time_limit(void **state)
{
	uint64_t start = uv_hrtime();
	struct pair p;
	int fd;

	(void)state;
	pair_init(&p, &kinds[0]);
	fd = raw_connect(&p);
	run_until(&p.f, p.server.opens);
	conn_shutdown(p.server.conn);
	run_until(&p.f, p.server.closed);
	assert_true(uv_hrtime() - start >= (CONN_LINGER_MS - 100) * 1000000ULL);
	assert_int_equal(p.server.why.kind, ERR_NONE);
	close(fd);
	pair_deinit(&p);
}

static void test_peer_reset(void **state)
{
	const struct linger hard = {1, 0};
	struct pair p;
	int fd;

	(void)state;
	pair_init(&p, &kinds[0]);
	fd = raw_connect(&p);
	run_until(&p.f, p.server.opens);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(fd);
	run_until(&p.f, p.server.closed);
	assert_int_equal(p.server.why.kind, ERR_UNAVAILABLE);
	assert_non_null(strstr(p.server.why.message, "reading from 127.0.0.1:"));
	pair_deinit(&p);
}

static struct end second_owner;

static void test_hand_over(void **state)
{
	struct pair p;

	(void)state;
	memset(&second_owner, 0, sizeof(second_owner));
	pair_open(&p, &kinds[1]);
	conn_set_events(p.server.conn, &end_events, &second_owner);
	say(&p.client, "for the second");
	run_until(&p.f, second_owner.got.len > 0);
	assert_int_equal(p.server.got.len, 0);
	conn_close(p.server.conn);
	run_until(&p.f, second_owner.closed);
	p.server.conn = NULL;
	buf_deinit(&second_owner.got);
	pair_deinit(&p);
}

/* Any of our allocations may fail while a pair opens and talks: each end that lived is closed once
 * and nothing leaks. The pair itself is made before. */
static void test_out_of_memory(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(kinds); i++) {
		for (unsigned long n = 1;; n++) {
			struct pair p;
			bool happened;

			pair_init(&p, &kinds[i]);
			p.quiet = true;
			oom_fail_at(n);
			pair_connect(&p, &kinds[i]);
			fixture_start(&p.f);
			while (p.client.conn && !p.client.opens && !p.client.closed &&
			       !p.server.closed)
				fixture_turn(&p.f, "open", __FILE__, __LINE__);
			if (p.client.conn && p.client.opens)
				say(&p.client, "hello");
			fixture_spin(&p.f, 30);
			happened = oom_happened();
			pair_deinit(&p);
			if (!happened)
				break;
		}
	}
}

/* Each loop makes its connections' BIOs; OpenSSL has some hundred types of them, for ever. */
static void test_one_type_for_all_loops(void **state)
{
	int before = 0;

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct pair p;

		pair_open(&p, &kinds[1]);
		pair_deinit(&p);
		if (i == 0)
			before = BIO_get_new_index();
	}
	assert_int_equal(BIO_get_new_index(), before + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_bulk_both_ways),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_stop_inside_data),
		cmocka_unit_test(test_pieces_share_a_record),
		cmocka_unit_test(test_reading_is_off_at_first),
		cmocka_unit_test(test_close_inside_callbacks),
		cmocka_unit_test(test_close_inside_drain),
		cmocka_unit_test(test_close_with_reason),
		cmocka_unit_test(test_half_close),
		cmocka_unit_test(test_no_eof_callback),
		cmocka_unit_test(test_linger_ends_at_byte_limit),
		cmocka_unit_test(test_linger_ends_at_time_limit),
		cmocka_unit_test(test_peer_reset),
		cmocka_unit_test(test_hand_over),
		cmocka_unit_test(test_one_type_for_all_loops),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
