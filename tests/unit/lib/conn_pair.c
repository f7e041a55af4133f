#include "tests/unit/lib/conn_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <cmocka.h>

static void maybe_close(struct end *n, enum end_callback here)
{
	if (n->close_inside == here)
		conn_close(n->conn);
}

static void on_open(struct conn *c, void *arg)
{
	struct end *n = arg;

	n->conn = c;
	n->opens++;
	if (!n->idle)
		conn_read_start(c);
	maybe_close(n, END_OPEN);
}

static void on_data(struct conn *c, struct str bytes, void *arg)
{
	struct end *n = arg;
	struct err e = ERR_INIT;

	assert_false(n->closed);
	if (buf_add_str(&n->got, bytes, &e) < 0)
		conn_fail(c, &e);
	if (n->stop_inside)
		conn_read_stop(c);
	maybe_close(n, END_DATA);
}

static void on_drain(struct conn *c, void *arg)
{
	struct end *n = arg;

	(void)c;
	n->drains++;
	maybe_close(n, END_DRAIN);
}

static void on_eof(struct conn *c, void *arg)
{
	struct end *n = arg;

	n->eofs++;
	if (n->farewell)
		conn_write(c, str_from(n->farewell));
	if (n->close_inside == END_EOF)
		conn_close(c);
	else if (!n->stays)
		conn_shutdown(c);
}

static void on_close(struct conn *c, const struct err *why, void *arg)
{
	struct end *n = arg;

	(void)c;
	n->closes++;
	n->closed = true;
	n->why = *why;
	n->conn = NULL;
}

static void on_wake(struct conn *c, void *arg)
{
	struct end *n = arg;

	(void)c;
	n->wakes++;
	maybe_close(n, END_WAKE);
}

const struct conn_events end_events = {on_open, on_data, on_drain, on_eof, on_close, on_wake};

static int on_accept(struct listener *l, struct conn_options *o, void *arg)
{
	struct pair *p = arg;

	(void)l;
	*o = p->server_options;
	return 0;
}

static void on_conn(struct listener *l, struct conn *c, const struct err *e, void *arg)
{
	struct pair *p = arg;

	(void)l;
	if (!c && !p->quiet)
		fail_msg("accept: %s", e->message);
	p->server.conn = c;
}

static void make_contexts(struct pair *p, const struct pair_options *o)
{
	const struct testca *shown = o->client_cert_foreign ? &p->other_ca : &p->ca;

	testca_init(&p->ca, "test CA");
	testca_init(&p->other_ca, "other CA");
	p->server_tls = testcert_server(&p->ca, o->san ? o->san : "DNS:localhost",
					o->client_cert_wanted ? &p->ca : NULL);
	p->client_tls = testcert_client(o->unknown_server ? &p->other_ca : &p->ca,
					o->client_cert_shown ? shown : NULL);
	if (o->tls12)
		SSL_CTX_set_max_proto_version(p->client_tls, TLS1_2_VERSION);
}

void pair_init(struct pair *p, const struct pair_options *o)
{
	struct listener_options lo = {.on_accept = on_accept, .on_conn = on_conn, .arg = p};
	struct err e = ERR_INIT;

	memset(p, 0, sizeof(*p));
	fixture_init(&p->f);
	if (o->tls)
		make_contexts(p, o);
	p->server_options = (struct conn_options){
		.events = &end_events,
		.arg = &p->server,
		.tls = p->server_tls,
		.write_high = o->write_high,
		.handshake_timeout_ms = o->handshake_ms,
	};
	p->client.close_inside = o->client_closes;
	p->server.close_inside = o->server_closes;
	assert_int_equal(addr_parse(&lo.entry.addr, STR("127.0.0.1:0"), &e), 0);
	if (listener_start(&p->listener, &p->f.loop, &lo, &e) < 0)
		fail_msg("%s", e.message);
}

void pair_connect(struct pair *p, const struct pair_options *o)
{
	const struct conn_options co = {
		.events = &end_events,
		.arg = &p->client,
		.tls = p->client_tls,
		.server_name = o->server_name ? o->server_name : "localhost",
		.write_high = o->client_write_high ? o->client_write_high : o->write_high,
		.handshake_timeout_ms = o->handshake_ms,
	};
	struct err e = ERR_INIT;

	if (conn_connect(&p->client.conn, &p->f.loop, "127.0.0.1",
			 addr_port(listener_addr(p->listener)), &co, &e) < 0 &&
	    !p->quiet)
		fail_msg("%s", e.message);
}

void pair_open(struct pair *p, const struct pair_options *o)
{
	pair_init(p, o);
	pair_connect(p, o);
	run_until(&p->f, p->client.opens && p->server.opens);
}

static void end_deinit(struct end *n)
{
	buf_deinit(&n->got);
	assert_true(n->closes <= 1);
	assert_true(n->opens <= 1);
	assert_null(n->conn);
}

void pair_deinit(struct pair *p)
{
	if (p->client.conn)
		conn_close(p->client.conn);
	if (p->server.conn)
		conn_close(p->server.conn);
	listener_close(p->listener, NULL, NULL);
	fixture_deinit(&p->f);
	end_deinit(&p->client);
	end_deinit(&p->server);
	SSL_CTX_free(p->server_tls);
	SSL_CTX_free(p->client_tls);
	testca_deinit(&p->ca);
	testca_deinit(&p->other_ca);
}

int raw_connect(struct pair *p)
{
	const struct addr *a = listener_addr(p->listener);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, &a->u.sa, sizeof(a->u.in4)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

void raw_send(int fd, struct str bytes)
{
	assert_int_equal(send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL), (ssize_t)bytes.len);
}

bool raw_read(int fd, struct buf *got)
{
	char bytes[4096];
	struct err e = ERR_INIT;
	ssize_t n;

	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		assert_int_equal(buf_add(got, bytes, (size_t)n, &e), 0);
	return n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}
