/* TLS handshakes of conn: who is refused and what both ends are told; garbage; pauses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/net/conn_internal.h"
#include "tests/unit/lib/conn_pair.h"

static const struct {
	const char *name;
	struct pair_options o;
	const char *client_why; /* NULL: both ends open */
	const char *server_why;
} handshakes[] = {
	{"plain server certificate", {.tls = true}, NULL, NULL},
	{"TLS 1.2", {.tls = true, .tls12 = true}, NULL, NULL},
	{"client certificate",
	 {.tls = true, .client_cert_wanted = true, .client_cert_shown = true},
	 NULL,
	 NULL},
	{"client certificate, TLS 1.2",
	 {.tls = true, .tls12 = true, .client_cert_wanted = true, .client_cert_shown = true},
	 NULL,
	 NULL},
	{"address as name",
	 {.tls = true, .server_name = "127.0.0.1", .san = "IP:127.0.0.1"},
	 NULL,
	 NULL},
	{"wildcard",
	 {.tls = true, .server_name = "a.example.com", .san = "DNS:*.example.com"},
	 NULL,
	 NULL},
	{"no client certificate",
	 {.tls = true, .client_cert_wanted = true},
	 "certificate required",
	 "peer did not return a certificate"},
	{"no client certificate, TLS 1.2",
	 {.tls = true, .tls12 = true, .client_cert_wanted = true},
	 "handshake failure",
	 "peer did not return a certificate"},
	{"client certificate of another CA",
	 {.tls = true,
	  .client_cert_wanted = true,
	  .client_cert_shown = true,
	  .client_cert_foreign = true},
	 "unknown ca",
	 "certificate refused: unable to get local issuer certificate"},
	{"server of an unknown CA",
	 {.tls = true, .unknown_server = true},
	 "certificate refused: unable to get local issuer certificate",
	 "unknown ca"},
	{"another name",
	 {.tls = true, .server_name = "elsewhere.example"},
	 "certificate refused: hostname mismatch",
	 "bad certificate"},
	{"another address",
	 {.tls = true, .server_name = "127.0.0.2", .san = "IP:127.0.0.1"},
	 "certificate refused: IP address mismatch",
	 "bad certificate"},
	{"wildcard takes one label only",
	 {.tls = true, .server_name = "a.b.example.com", .san = "DNS:*.example.com"},
	 "certificate refused: hostname mismatch",
	 "bad certificate"},
};

/* What on_tls_failed was told. */
static struct {
	unsigned calls;
	enum err_kind kind;
} told;

static void on_tls_failed(struct conn *c, const struct err *why)
{
	assert_non_null(conn_ssl(c));
	told.calls++;
	told.kind = why->kind;
}

static void expect_told(const char *row, unsigned calls, const struct end *n)
{
	if (told.calls != calls || (calls && told.kind != n->why.kind))
		fail_msg("%s: told %u times, last %s", row, told.calls, err_kind_name(told.kind));
	told.calls = 0;
}

static void expect_reason(const char *row, const struct end *n, const char *want)
{
	if (!n->closed)
		fail_msg("%s: not closed", row);
	if (!strstr(n->why.message, want))
		fail_msg("%s: \"%s\" does not say \"%s\"", row, n->why.message, want);
}

static void test_handshakes(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(handshakes); i++) {
		const char *row = handshakes[i].name;
		struct pair p;

		pair_init(&p, &handshakes[i].o);
		p.server_options.on_tls_failed = on_tls_failed;
		pair_connect(&p, &handshakes[i].o);
		if (handshakes[i].client_why) {
			run_until(&p.f, p.client.closed && p.server.closed);
			expect_reason(row, &p.client, handshakes[i].client_why);
			expect_reason(row, &p.server, handshakes[i].server_why);
			assert_int_equal(p.server.opens, 0);
		} else {
			run_until(&p.f, (p.client.opens && p.server.opens) || p.client.closed);
			if (p.client.closed)
				fail_msg("%s: %s", row, p.client.why.message);
		}
		expect_told(row, p.server.opens == 0, &p.server);
		pair_deinit(&p);
	}
}

static const char hint[] = "HTTP/1.1 400 Bad Request\r\n\r\n";

/* What a peer gets that sends something else than TLS. */
static const struct {
	const char *name;
	struct str sent;
	const char *answer; /* first bytes */
	size_t answer_len;
} garbage[] = {
	{"plain HTTP", {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27}, "HTTP/1.1 400", 12},
	{"zeros", {"\0\0\0\0\0\0\0\0\0\0\0\0", 12}, "", 0},
	{"text", {"hello, is this the TLS port?", 28}, "", 0},
	{"record of 65535 bytes", {"\x16\x03\x01\xff\xff\x01\x00\x00", 8}, "\x15\x03", 2},
	{"alert instead of hello", {"\x15\x03\x01\x00\x02\x02\x28", 7}, "", 0},
	{"application data first",
	 {"\x17\x03\x03\x00\x03"
	  "abc",
	  8},
	 "\x15\x03",
	 2},
	{"empty handshake record", {"\x16\x03\x01\x00\x00\x16\x03\x01\x00\x00", 10}, "", 0},
	{"hello cut in its middle, length lies",
	 {"\x16\x03\x01\x00\x06\x01\x00\x00\x02\x03\x03", 11},
	 "\x15\x03",
	 2},
	{"SSL 2 hello", {"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80", 14}, "", 0},
};

static void test_garbage(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(garbage); i++) {
		const struct pair_options o = {.tls = true};
		struct buf got = BUF_INIT;
		struct pair p;
		int fd;

		pair_init(&p, &o);
		p.server_options.on_tls_failed = on_tls_failed;
		p.server_options.plain_http_reply = (struct str){hint, sizeof(hint) - 1};
		fd = raw_connect(&p);
		raw_send(fd, garbage[i].sent);
		shutdown(fd, SHUT_WR);
		run_until(&p.f, raw_read(fd, &got));
		run_until(&p.f, p.server.closed);
		if (got.len < garbage[i].answer_len ||
		    (got.len && memcmp(got.data, garbage[i].answer, garbage[i].answer_len) != 0))
			fail_msg("%s: other answer, %zu bytes", garbage[i].name, got.len);
		assert_int_equal(p.server.opens, 0);
		if (p.server.why.kind == ERR_NONE)
			fail_msg("%s: closed without a reason", garbage[i].name);
		expect_told(garbage[i].name, 1, &p.server);
		close(fd);
		buf_deinit(&got);
		pair_deinit(&p);
	}
}

/* The limit is of the whole handshake: a byte now and then does not move it. */
static void test_handshake_timeout(void **state)
{
	const struct pair_options o = {.tls = true, .handshake_ms = 60};
	static const char hello[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
	uint64_t start = uv_hrtime();
	size_t sent = 0;
	struct pair p;
	int fd;

	(void)state;
	pair_init(&p, &o);
	p.server_options.on_tls_failed = on_tls_failed;
	fd = raw_connect(&p);
	fixture_start(&p.f);
	while (!p.server.closed) {
		if (sent < sizeof(hello) - 1 && uv_hrtime() - start > sent * 20000000)
			raw_send(fd, (struct str){hello + sent++, 1});
		uv_run(&p.f.loop.uv, UV_RUN_NOWAIT);
		assert_false(p.f.expired);
	}
	assert_int_equal(p.server.why.kind, ERR_TIMEOUT);
	assert_non_null(strstr(p.server.why.message, "took longer than 60 ms"));
	expect_told("timeout", 1, &p.server);
	close(fd);
	pair_deinit(&p);
}

static void test_peer_leaves_during_handshake(void **state)
{
	const struct pair_options o = {.tls = true};
	struct pair p;
	int fd;

	(void)state;
	pair_init(&p, &o);
	fd = raw_connect(&p);
	raw_send(fd, STR("\x16\x03\x01"));
	close(fd);
	run_until(&p.f, p.server.closed);
	assert_non_null(strstr(p.server.why.message, "during the TLS handshake"));
	pair_deinit(&p);
}

/* FIN without close_notify: the end of the data is not sure. */
static void test_truncation(void **state)
{
	const struct pair_options o = {.tls = true};
	struct pair p;

	(void)state;
	pair_open(&p, &o);
	conn_close(p.client.conn);
	run_until(&p.f, p.server.closed);
	assert_int_equal(p.server.why.kind, ERR_UNAVAILABLE);
	assert_non_null(strstr(p.server.why.message, "without close_notify"));
	assert_int_equal(p.server.eofs, 0);
	pair_deinit(&p);
}

static void update_keys(struct pair *p, int n)
{
	SSL *ssl = conn_ssl(p->client.conn);

	for (int i = 0; i < n; i++) {
		assert_int_equal(SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		assert_int_equal(SSL_do_handshake(ssl), 1);
	}
	conn_write(p->client.conn, STR("x"));
}

/* TLS-15: a hundred KeyUpdates a second are answered, more are not. */
static void test_key_updates(void **state)
{
	const struct pair_options o = {.tls = true};
	struct pair p;

	(void)state;
	pair_open(&p, &o);
	update_keys(&p, CONN_KEY_UPDATES);
	run_until(&p.f, p.server.got.len == 1);
	/* Those of an earlier second do not count. */
	p.server.conn->key_updates_from -= 1000;
	update_keys(&p, CONN_KEY_UPDATES);
	run_until(&p.f, p.server.got.len == 2);
	update_keys(&p, CONN_KEY_UPDATES + 1); /* read in one go */
	run_until(&p.f, p.server.closed);
	assert_int_equal(p.server.why.kind, ERR_LIMIT);
	assert_non_null(strstr(p.server.why.message, "KeyUpdates"));
	pair_deinit(&p);
}

/* What the server's context callbacks do. */
static struct {
	unsigned asked;
	unsigned wait_for; /* how often to ask for a wait */
	struct conn *conn;
	bool resume_inside;
	bool close_inside;
} hold;

static int pause_or_go(SSL *ssl, int retry)
{
	hold.conn = conn_of_ssl(ssl);
	if (hold.close_inside)
		conn_close(hold.conn);
	if (hold.asked++ >= hold.wait_for)
		return 1;
	if (hold.resume_inside)
		conn_handshake_resume(hold.conn);
	return retry;
}

static int on_hello(SSL *ssl, int *alert, void *arg)
{
	(void)alert;
	(void)arg;
	return pause_or_go(ssl, SSL_CLIENT_HELLO_RETRY);
}

static int on_cert(SSL *ssl, void *arg)
{
	(void)arg;
	return pause_or_go(ssl, -1);
}

static void pair_with_callback(struct pair *p, bool hello)
{
	const struct pair_options o = {.tls = true};

	pair_init(p, &o);
	if (hello)
		SSL_CTX_set_client_hello_cb(p->server_tls, on_hello, NULL);
	else
		SSL_CTX_set_cert_cb(p->server_tls, on_cert, NULL);
	pair_connect(p, &o);
}

static void test_pause(void **state)
{
	(void)state;
	for (int row = 0; row < 4; row++) {
		struct pair p;

		memset(&hold, 0, sizeof(hold));
		hold.wait_for = 2;
		hold.resume_inside = row >= 2;
		pair_with_callback(&p, row % 2 == 0);
		for (unsigned n = 1; n <= hold.wait_for && !hold.resume_inside; n++) {
			run_until(&p.f, hold.asked == n);
			fixture_spin(&p.f, 20);
			assert_int_equal(hold.asked, n);
			assert_int_equal(p.server.opens, 0);
			conn_handshake_resume(hold.conn);
			conn_handshake_resume(hold.conn);
			assert_int_equal(hold.asked, n); /* never from inside the call */
		}
		run_until(&p.f, p.client.opens && p.server.opens);
		assert_int_equal(hold.asked, 3);
		conn_handshake_resume(p.server.conn);
		conn_write(p.client.conn, STR("x"));
		run_until(&p.f, p.server.got.len == 1);
		pair_deinit(&p);
	}
}

static void test_close_while_paused(void **state)
{
	(void)state;
	for (int row = 0; row < 4; row++) {
		struct pair p;

		memset(&hold, 0, sizeof(hold));
		hold.wait_for = 1;
		hold.close_inside = row >= 2;
		pair_with_callback(&p, row % 2 == 0);
		run_until(&p.f, hold.asked == 1);
		if (!hold.close_inside) {
			conn_handshake_resume(hold.conn);
			conn_close(hold.conn);
		}
		run_until(&p.f, p.server.closed && p.client.closed);
		assert_int_equal(p.server.opens, 0);
		pair_deinit(&p);
	}
}

/* A handshake that is paused still ends at its limit. */
static void test_timeout_while_paused(void **state)
{
	struct pair p;

	(void)state;
	memset(&hold, 0, sizeof(hold));
	hold.wait_for = 1;
	pair_init(&p, &(struct pair_options){.tls = true});
	p.server_options.handshake_timeout_ms = 30;
	SSL_CTX_set_cert_cb(p.server_tls, on_cert, NULL);
	pair_connect(&p, &(struct pair_options){.tls = true});
	run_until(&p.f, p.server.closed && p.client.closed);
	assert_int_equal(p.server.why.kind, ERR_TIMEOUT);
	pair_deinit(&p);
}

/* A record that was damaged on its way: the alert is sent, the reason is kept. */
static void test_bad_record(void **state)
{
	const struct pair_options o = {.tls = true};
	struct pair p;
	uv_os_fd_t fd;

	(void)state;
	pair_open(&p, &o);
	conn_write(p.client.conn, STR("good"));
	run_until(&p.f, p.server.got.len == 4);
	assert_int_equal(uv_fileno((const uv_handle_t *)&p.client.conn->tcp, &fd), 0);
	raw_send(fd, STR("\x17\x03\x03\x00\x14"
			 "01234567890123456789"));
	run_until(&p.f, p.server.closed && p.client.closed);
	assert_non_null(strstr(p.server.why.message, "TLS with 127.0.0.1:"));
	assert_non_null(strstr(p.server.why.message, "bad record mac"));
	assert_non_null(strstr(p.client.why.message, "bad record mac"));
	pair_deinit(&p);
}

/* What a session does at the end of a turn, to a peer that is gone. */
struct late_write {
	struct deferred due;
	struct conn *conn;
	char bytes[160 << 10]; /* several records, more than is gathered before a flush */
};

static void write_late(struct deferred *d)
{
	struct late_write *w = container_of(d, struct late_write, due);

	assert_int_equal(w->conn->state, CONN_OPEN);
	conn_write(w->conn, (struct str){w->bytes, sizeof(w->bytes)});
}

/* The flush in the middle of the write finds the reset; the records behind it have no connection
 * any more, and must not keep it on the loop's list when it is freed. */
static void test_reset_in_the_middle_of_a_write(void **state)
{
	const struct pair_options o = {.tls = true};
	const struct linger reset = {.l_onoff = 1, .l_linger = 0};
	static struct late_write w;
	uv_os_fd_t fd;
	struct pair p;

	(void)state;
	pair_open(&p, &o);
	fixture_spin(&p.f, 3); /* the server's ticket goes out */
	w.conn = p.server.conn;
	deferred_init(&w.due, write_late);
	assert_int_equal(uv_fileno((uv_handle_t *)&p.client.conn->tcp, &fd), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	conn_close(p.client.conn);
	loop_defer(&p.f.loop, &w.due);
	run_until(&p.f, p.client.closed && p.server.closed);
	expect_reason("reset", &p.server, "writing to");
	fixture_spin(&p.f, 3);
	pair_deinit(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handshakes),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_handshake_timeout),
		cmocka_unit_test(test_peer_leaves_during_handshake),
		cmocka_unit_test(test_truncation),
		cmocka_unit_test(test_key_updates),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_close_while_paused),
		cmocka_unit_test(test_timeout_while_paused),
		cmocka_unit_test(test_bad_record),
		cmocka_unit_test(test_reset_in_the_middle_of_a_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
