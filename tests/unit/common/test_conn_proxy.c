/* Connections that begin with a PROXY header: rows PP-02, PP-05, PP-07, PP-08, PP-10. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/net/proxy_protocol.h"
#include "tests/unit/lib/conn_pair.h"

#define HEADER "PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\r\n"
/* Version 2, IPv6, without TLVs. */
static const char header_v2[] = "\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24"
				"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
				"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2\x30\x39\1\xbb";
static const char header_local[] = "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

struct told {
	unsigned proxied, gone;
	bool close;
	char peer[ADDR_TEXT_SIZE];
};

static void on_proxied(struct conn *c, void *arg)
{
	struct told *t = arg;

	t->proxied++;
	addr_text(conn_peer(c), t->peer, sizeof(t->peer));
	if (t->close)
		conn_close(c);
}

static int begin(struct pair *p, struct told *t, bool tls)
{
	const struct pair_options o = {.tls = tls};

	*t = (struct told){0};
	pair_init(p, &o);
	p->server_options.proxy_protocol = true;
	p->server_options.on_proxied = on_proxied;
	p->server_options.on_proxied_arg = t;
	return raw_connect(p);
}

static void end(struct pair *p, int fd)
{
	close(fd);
	pair_deinit(p);
}

static void assert_peer(const struct addr *a, const char *want)
{
	char text[ADDR_TEXT_SIZE];

	addr_text(a, text, sizeof(text));
	assert_string_equal(text, want);
}

/* peer NULL: the one of TCP. piece 0: all at once. */
static const struct {
	struct str header;
	const char *peer;
	size_t piece;
} good[] = {
	{STR(HEADER), "192.0.2.1:12345", 0},
	{STR(HEADER), "192.0.2.1:12345", 1},
	{STR(HEADER), "192.0.2.1:12345", 7},
	{{header_v2, sizeof(header_v2) - 1}, "[2001:db8::1]:12345", 0},
	{{header_v2, sizeof(header_v2) - 1}, "[2001:db8::1]:12345", 1},
	{{header_local, sizeof(header_local) - 1}, NULL, 0},
	{{header_local, sizeof(header_local) - 1}, NULL, 5},
	{STR("PROXY UNKNOWN\r\n"), NULL, 0},
};

static void send_pieces(struct pair *p, int fd, struct str bytes, size_t piece)
{
	for (size_t at = 0; at < bytes.len; at += piece ? piece : bytes.len) {
		raw_send(fd, str_sub(bytes, at, piece ? at + piece : bytes.len));
		fixture_spin(&p->f, 2);
	}
}

static void test_header_then_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(good); i++) {
		struct buf all = BUF_INIT;
		char tcp[ADDR_TEXT_SIZE];
		struct pair p;
		struct told t;
		int fd = begin(&p, &t, false);

		assert_int_equal(buf_add_str(&all, good[i].header, NULL), 0);
		assert_int_equal(buf_add_str(&all, STR("hello"), NULL), 0);
		send_pieces(&p, fd, buf_str(&all), good[i].piece);
		run_until(&p.f, p.server.got.len == 5);
		assert_string_equal(p.server.got.data, "hello");
		addr_text(conn_tcp_peer(p.server.conn), tcp, sizeof(tcp));
		assert_true(addr_is_loopback(conn_tcp_peer(p.server.conn)));
		assert_peer(conn_peer(p.server.conn), good[i].peer ? good[i].peer : tcp);
		assert_string_equal(t.peer, good[i].peer ? good[i].peer : tcp);
		/* Who says nothing of it went where the connection goes. */
		assert_int_equal(good[i].peer != NULL,
				 addr_compare(conn_destination(p.server.conn),
					      conn_local(p.server.conn)) != 0);
		assert_int_equal(t.proxied, 1);
		buf_deinit(&all);
		end(&p, fd);
	}
}

static const struct {
	const char *name;
	struct str bytes;
} bad[] = {
	{"a request", STR("GET / HTTP/1.1\r\nHost: a\r\n\r\n")},
	{"TLS", STR("\x16\x03\x01\x02")},
	{"lower case", STR("proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n")},
	{"bad port", STR("PROXY TCP4 1.2.3.4 1.2.3.4 1 02\r\nGET / HTTP/1.1\r\n\r\n")},
	{"half of a header, then another",
	 STR("PROXY TCP4 1.2.3.4 PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n")},
};

/* PP-02: nothing is answered, nothing reaches the protocol. */
static void test_refused_without_an_answer(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(bad); i++) {
		struct buf got = BUF_INIT;
		struct pair p;
		struct told t;
		int fd = begin(&p, &t, i % 2);

		raw_send(fd, bad[i].bytes);
		run_until(&p.f, raw_read(fd, &got) && p.server.closed);
		assert_int_equal(got.len, 0);
		assert_int_equal(t.proxied, 0);
		assert_int_equal(p.server.opens, 0);
		assert_int_equal(p.server.why.kind, ERR_INVALID);
		end(&p, fd);
	}
}

static void test_not_whole_in_time(void **state)
{
	struct buf got = BUF_INIT;
	struct pair p;
	struct told t;
	int fd = begin(&p, &t, false);
	uint64_t start = uv_hrtime();

	(void)state;
	raw_send(fd, STR("PROXY TCP4 192.0.2.1 "));
	run_until(&p.f, raw_read(fd, &got) && p.server.closed);
	assert_true(uv_hrtime() - start > (CONN_PROXY_MS - 100) * 1000000ULL);
	assert_int_equal(p.server.why.kind, ERR_TIMEOUT);
	assert_int_equal(got.len, 0);
	end(&p, fd);
}

static void test_peer_ends_inside(void **state)
{
	struct pair p;
	struct told t;
	int fd = begin(&p, &t, false);

	(void)state;
	raw_send(fd, STR("PROXY TCP4 192.0.2.1 "));
	shutdown(fd, SHUT_WR);
	run_until(&p.f, p.server.closed);
	assert_int_equal(p.server.why.kind, ERR_UNAVAILABLE);
	assert_int_equal(p.server.opens, 0);
	end(&p, fd);
}

/* PP-08: the second header is what the client says. */
static void test_a_second_header_is_data(void **state)
{
	struct pair p;
	struct told t;
	int fd = begin(&p, &t, false);

	(void)state;
	raw_send(fd, STR(HEADER HEADER));
	run_until(&p.f, p.server.got.len == sizeof(HEADER) - 1);
	assert_string_equal(p.server.got.data, HEADER);
	assert_int_equal(t.proxied, 1);
	end(&p, fd);
}

static void test_closed_when_the_address_is_known(void **state)
{
	struct buf got = BUF_INIT;
	struct pair p;
	struct told t;
	int fd = begin(&p, &t, true);

	(void)state;
	t.close = true;
	raw_send(fd, STR(HEADER "rest"));
	run_until(&p.f, raw_read(fd, &got) && p.server.closed);
	assert_int_equal(p.server.opens, 0);
	assert_int_equal(got.len, 0);
	end(&p, fd);
}

static void on_gone(struct conn *c, const struct err *why, void *arg)
{
	struct told *t = arg;

	assert_int_equal(why->kind, ERR_NONE);
	t->gone++;
	addr_text(conn_peer(c), t->peer, sizeof(t->peer));
}

static void test_on_gone(void **state)
{
	struct pair p;
	struct told t;
	int fd = begin(&p, &t, false);

	(void)state;
	raw_send(fd, STR(HEADER));
	run_until(&p.f, p.server.opens);
	t.peer[0] = '\0';
	conn_on_gone(p.server.conn, on_gone, &t);
	close(fd);
	run_until(&p.f, p.server.closed);
	assert_int_equal(t.gone, 1);
	assert_string_equal(t.peer, "192.0.2.1:12345");
	pair_deinit(&p);
}

/* A client whose bytes go by memory. */
struct tls_client {
	SSL *ssl;
	BIO *in, *out;
};

static void client_init(struct tls_client *c, SSL_CTX *ctx)
{
	c->ssl = SSL_new(ctx);
	c->in = BIO_new(BIO_s_mem());
	c->out = BIO_new(BIO_s_mem());
	SSL_set_bio(c->ssl, c->in, c->out);
	SSL_set_connect_state(c->ssl);
}

static void client_step(struct tls_client *c, int fd, struct str before)
{
	struct buf bytes = BUF_INIT;
	char *ptr;
	long n;

	(void)raw_read(fd, &bytes);
	BIO_write(c->in, buf_str(&bytes).ptr, (int)bytes.len);
	SSL_do_handshake(c->ssl);
	n = BIO_get_mem_data(c->out, &ptr);
	buf_clear(&bytes);
	assert_int_equal(buf_add_str(&bytes, before, NULL), 0);
	assert_int_equal(buf_add(&bytes, ptr, (size_t)n, NULL), 0);
	(void)BIO_reset(c->out);
	if (bytes.len > 0)
		raw_send(fd, buf_str(&bytes));
	buf_deinit(&bytes);
}

/* PP-07: header and the first bytes of TLS in one segment. */
static void test_tls_behind_the_header(void **state)
{
	struct tls_client c;
	struct pair p;
	struct told t;
	int fd = begin(&p, &t, true);

	(void)state;
	client_init(&c, p.client_tls);
	client_step(&c, fd, (struct str){header_v2, sizeof(header_v2) - 1});
	fixture_start(&p.f);
	while (!SSL_is_init_finished(c.ssl) || !p.server.opens) {
		fixture_turn(&p.f, "handshake", __FILE__, __LINE__);
		client_step(&c, fd, STR(""));
	}
	assert_peer(conn_peer(p.server.conn), "[2001:db8::1]:12345");
	assert_peer(conn_destination(p.server.conn), "[2001:db8::2]:443");
	SSL_free(c.ssl);
	end(&p, fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header_then_bytes),
		cmocka_unit_test(test_refused_without_an_answer),
		cmocka_unit_test(test_not_whole_in_time),
		cmocka_unit_test(test_peer_ends_inside),
		cmocka_unit_test(test_a_second_header_is_data),
		cmocka_unit_test(test_closed_when_the_address_is_known),
		cmocka_unit_test(test_on_gone),
		cmocka_unit_test(test_tls_behind_the_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
