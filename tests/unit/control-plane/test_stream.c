/* The gRPC server against clients over loopback mTLS: what a well-behaved, a rude and a slow data
 * plane get. */
#include "control-plane/fleet/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/http/call.h"
#include "common/net/tls.h"
#include "tests/unit/lib/loop_fixture.h"
#include "tests/unit/lib/testcert.h"

static const struct entity challenges = {.name = "acme_challenges"};

struct bench {
	struct loop_fixture f;
	struct testca ca;
	struct testcert_files files;
	SSL_CTX *tls; /* of clients */
	struct image image;
	struct stream_server server;
	struct stream *stream; /* that said hello last */
	unsigned hellos, answers, gone, wants;
	uint32_t hits;
	bool server_closed;
};

struct client {
	struct call *call;
	struct buf got; /* bytes of messages */
	char status[8];
	char message[128];
	unsigned head;
	bool open, closed;
};

/* --- clients --- */

static void on_open(struct call *c, void *arg)
{
	(void)c;
	((struct client *)arg)->open = true;
}

static void take_status(struct client *c, const struct http_fields *f)
{
	struct str status = http_fields_get(f, STR("grpc-status"));
	struct str message = http_fields_get(f, STR("grpc-message"));

	if (status.ptr)
		snprintf(c->status, sizeof(c->status), "%.*s", (int)status.len, status.ptr);
	if (message.ptr)
		snprintf(c->message, sizeof(c->message), "%.*s", (int)message.len, message.ptr);
}

static void on_head(struct call *call, unsigned status, const struct http_fields *f, void *arg)
{
	struct client *c = arg;

	(void)call;
	c->head = status;
	take_status(c, f);
}

static void on_data(struct call *call, struct str bytes, void *arg)
{
	(void)call;
	assert_int_equal(buf_add_str(&((struct client *)arg)->got, bytes, NULL), 0);
}

static void on_trailers(struct call *call, const struct http_fields *f, void *arg)
{
	(void)call;
	take_status(arg, f);
}

static void on_close(struct call *call, const struct err *why, void *arg)
{
	(void)call;
	(void)why;
	((struct client *)arg)->closed = true;
}

static const struct call_events call_events = {on_open, on_head, on_data, on_trailers, on_close};

static void connect_path(struct bench *b, struct client *c, const char *path)
{
	const struct call_options o = {.host = "127.0.0.1",
				       .port = addr_port(stream_server_addr(&b->server)),
				       .server_name = "cp.test",
				       .tls = b->tls,
				       .path = path,
				       .events = &call_events,
				       .arg = c};
	struct err e = ERR_INIT;

	memset(c, 0, sizeof(*c));
	if (call_start(&c->call, &b->f.loop, &o, &e))
		fail_msg("%s", e.message);
	run_until(&b->f, c->open || c->closed);
}

static void say(struct client *c, struct str message)
{
	struct buf framed = BUF_INIT;

	assert_int_equal(grpc_frame(&framed, message, NULL), 0);
	call_write(c->call, buf_str(&framed));
	buf_deinit(&framed);
}

#define HELLO(last)                                                                                \
	"\x0a\x26\x0a\x24"                                                                         \
	"00000000-0000-4000-8000-00000000000" last

static void hello(struct bench *b, struct client *c)
{
	unsigned had = b->hellos;

	connect_path(b, c, "/cardea.v1.Fleet/Sync");
	say(c, STR(HELLO("1")));
	run_until(&b->f, b->hellos > had);
}

static void end_client(struct bench *b, struct client *c)
{
	if (!c->closed)
		call_close(c->call);
	run_until(&b->f, c->closed);
	buf_deinit(&c->got);
}

/* --- the server --- */

static void on_hello(struct stream *s, void *arg)
{
	struct bench *b = arg;

	b->hellos++;
	b->stream = s;
}

static void on_answer(struct stream *s, void *arg)
{
	(void)s;
	((struct bench *)arg)->answers++;
}

static void on_hit(struct stream *s, const char *id, uint32_t count, void *arg)
{
	(void)s;
	assert_string_equal(id, "30313233-3435-3637-3839-616263646566");
	((struct bench *)arg)->hits += count;
}

/* Every name is refused. */
static void on_want(struct stream *s, const char *host, const char *client, void *arg)
{
	const struct want_answer a = {
		.host = host, .verdict = WANT_REFUSED, .seconds = 1, .reason = "x"};

	((struct bench *)arg)->wants++;
	assert_string_equal(host, "x");
	assert_string_equal(client, "");
	stream_answer_want(s, &a);
}

static void on_gone(struct stream *s, void *arg)
{
	struct bench *b = arg;

	b->gone++;
	if (b->stream == s)
		b->stream = NULL;
}

static void set(struct bench *b, unsigned n, const char *answer, uint64_t revision)
{
	char id[UUID_TEXT_SIZE];
	json_t *row = json_pack("{s:s, s:s, s:s}", "host", "a", "token", "t", "key_authorization",
				answer);

	snprintf(id, sizeof(id), "00000000-0000-4000-8000-0000%08x", n);
	assert_int_equal(image_put(&b->image, &challenges, id, row, revision, NULL), 0);
	json_decref(row);
}

static void commit(struct bench *b, uint64_t revision)
{
	image_commit(&b->image, revision, 0);
	list_for_each_safe(l, &b->server.streams)
	{
		struct stream *s = container_of(l, struct stream, link);
		node_image_commit(&s->node, &b->image, 0);
		stream_kick(s);
	}
}

static void setup(struct bench *b)
{
	const struct stream_events ev = {.on_hello = on_hello,
					 .on_answer = on_answer,
					 .on_hit = on_hit,
					 .on_want = on_want,
					 .on_gone = on_gone,
					 .arg = b};
	struct listen_list listen = {.count = 1};
	struct stream_conf conf = {.listen = &listen, .keepalive_ms = 10000};
	struct err e = ERR_INIT;

	memset(b, 0, sizeof(*b));
	fixture_init(&b->f);
	testca_init(&b->ca, "cluster");
	testcert_files_init(&b->files, &b->ca, &b->ca, "DNS:cp.test");
	conf.ca_file = b->files.ca;
	conf.cert_file = b->files.cert;
	conf.key_file = b->files.key;
	b->tls = testcert_client(&b->ca, &b->ca);
	assert_int_equal(SSL_CTX_set_alpn_protos(b->tls, (const unsigned char *)"\2h2", 3), 0);
	image_init(&b->image);
	image_reset(&b->image, "e");
	set(b, 1, "x", 1);
	image_commit(&b->image, 1, 0);
	assert_int_equal(addr_parse(&listen.entries[0].addr, STR("127.0.0.1:0"), NULL), 0);
	if (stream_server_start(&b->server, &b->f.loop, &conf, &b->image, &ev, &e))
		fail_msg("%s", e.message);
	testcert_files_deinit(&b->files);
}

static void on_server_closed(void *arg)
{
	*(bool *)arg = true;
}

static void teardown(struct bench *b)
{
	stream_server_close(&b->server, on_server_closed, &b->server_closed);
	run_until(&b->f, b->server_closed);
	assert_int_equal(b->gone, b->hellos);
	image_deinit(&b->image);
	SSL_CTX_free(b->tls);
	testca_deinit(&b->ca);
	fixture_deinit(&b->f);
}

static void test_happy_path(void **state)
{
	struct bench b;
	struct client c;
	size_t snapshot;

	(void)state;
	setup(&b);
	hello(&b, &c);
	assert_string_equal(b.stream->node.id, "00000000-0000-4000-8000-000000000001");
	assert_string_equal(b.stream->ip, "127.0.0.1");
	assert_true(b.stream->cert_not_after > 0);
	run_until(&b.f, b.stream->node.state == NODE_CURRENT);
	run_until(&b.f, c.got.len > 0 && c.got.len == b.server.sent);
	snapshot = c.got.len;
	say(&c, STR("\x12\x02\x08\x01"));
	run_until(&b.f, b.answers == 1);
	assert_int_equal(node_acked(&b.stream->node), 1);
	set(&b, 2, "y", 2);
	commit(&b, 2);
	run_until(&b.f, c.got.len > snapshot && c.got.len == b.server.sent);
	say(&c, STR("\x22\x16\x0a\x14\x0a\x10"
		    "0123456789abcdef"
		    "\x10\x05"));
	run_until(&b.f, b.hits == 5);
	snapshot = c.got.len;
	say(&c, STR("\x2a\x03\x0a\x01x"));
	run_until(&b.f, b.wants == 1);
	run_until(&b.f, c.got.len > snapshot && c.got.len == b.server.sent);
	say(&c, STR("\x1a\x02\x08\x02"));
	run_until(&b.f, b.answers == 2);
	assert_int_equal(b.stream->node.state, NODE_REFUSED);
	assert_int_equal(c.head, 200);
	end_client(&b, &c);
	run_until(&b.f, b.gone == 1);
	teardown(&b);
}

static void test_rude_clients(void **state)
{
	static const struct {
		const char *name, *path;
		struct str bytes; /* framed */
		const char *status;
	} rows[] = {
		{"no such method", "/cardea.v1.Fleet/Other", STR_NONE, "12"},
		{"no such service", "/", STR_NONE, "12"},
		{"garbage", NULL, STR("\0\0\0\0\2\xff\xff"), "3"},
		{"empty message", NULL, STR("\0\0\0\0\0"), "3"},
		{"compressed", NULL, STR("\1\0\0\0\0"), "3"},
		{"too large", NULL, STR("\0\0\x10\0\0"), "8"},
		{"ack first", NULL, STR("\0\0\0\0\4\x12\2\x08\1"), "3"},
		{"nack first", NULL, STR("\0\0\0\0\4\x1a\2\x08\1"), "3"},
		{"report first", NULL, STR("\0\0\0\0\2\x22\0"), "3"},
		{"want first", NULL, STR("\0\0\0\0\2\x2a\0"), "3"},
		{"hello twice", NULL, STR("\0\0\0\0\x28" HELLO("1") "\0\0\0\0\x28" HELLO("1")),
		 "3"},
		{"ack of what was not sent", NULL,
		 STR("\0\0\0\0\x28" HELLO("1") "\0\0\0\0\4\x12\2\x08\7"), "3"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct bench b;
		struct client c;

		setup(&b);
		connect_path(&b, &c, rows[i].path ? rows[i].path : "/cardea.v1.Fleet/Sync");
		if (rows[i].bytes.ptr)
			call_write(c.call, rows[i].bytes);
		run_until(&b.f, c.closed);
		if (strcmp(c.status, rows[i].status) != 0)
			fail_msg("%s: %s", rows[i].name, c.status);
		assert_true(c.message[0] != '\0');
		assert_int_equal(c.head, 200);
		assert_int_equal(b.image.revision, 1);
		end_client(&b, &c);
		teardown(&b);
	}
}

static void test_without_certificate(void **state)
{
	struct bench b;
	struct client c;
	struct testca foreign;

	(void)state;
	setup(&b);
	SSL_CTX_free(b.tls);
	b.tls = testcert_client(&b.ca, NULL);
	assert_int_equal(SSL_CTX_set_alpn_protos(b.tls, (const unsigned char *)"\2h2", 3), 0);
	connect_path(&b, &c, "/cardea.v1.Fleet/Sync");
	run_until(&b.f, c.closed);
	assert_int_equal(c.head, 0);
	end_client(&b, &c);
	testca_init(&foreign, "foreign");
	SSL_CTX_free(b.tls);
	b.tls = testcert_client(&b.ca, &foreign);
	assert_int_equal(SSL_CTX_set_alpn_protos(b.tls, (const unsigned char *)"\2h2", 3), 0);
	connect_path(&b, &c, "/cardea.v1.Fleet/Sync");
	run_until(&b.f, c.closed);
	assert_int_equal(c.head, 0);
	end_client(&b, &c);
	testca_deinit(&foreign);
	teardown(&b);
}

/* A large snapshot goes out in slices; others are served meanwhile, and changes join it. */
static void test_large_snapshot(void **state)
{
	static char long_text[4000];
	struct bench b;
	struct client c, other;

	(void)state;
	setup(&b);
	memset(long_text, 'x', sizeof(long_text) - 1);
	for (unsigned n = 0; n < 1000; n++)
		set(&b, n, long_text, 2);
	image_commit(&b.image, 2, 0);
	hello(&b, &c);
	struct stream *big = b.stream;
	stream_kick(big);
	fixture_spin(&b.f, 2);
	assert_int_equal(big->node.state, NODE_SNAPSHOT);
	assert_true(b.server.sent < 1000 * sizeof(long_text) / 2);
	connect_path(&b, &other, "/cardea.v1.Fleet/Sync");
	say(&other, STR(HELLO("2")));
	set(&b, 5000, "late", 3);
	commit(&b, 3);
	run_until(&b.f, b.hellos == 2 && big->node.state == NODE_CURRENT &&
				b.stream->node.state == NODE_CURRENT);
	run_until(&b.f, c.got.len + other.got.len == b.server.sent);
	assert_int_equal(c.got.len, other.got.len);
	end_client(&b, &c);
	end_client(&b, &other);
	run_until(&b.f, b.gone == 2);
	teardown(&b);
}

static void test_end_and_close(void **state)
{
	struct bench b;
	struct client c, d;

	(void)state;
	setup(&b);
	hello(&b, &c);
	stream_end(b.stream, GRPC_UNAVAILABLE, "50% of \xc3\xa9");
	stream_end(b.stream, GRPC_OK, "");
	run_until(&b.f, c.closed);
	assert_string_equal(c.status, "14");
	assert_string_equal(c.message, "50%25 of %C3%A9");
	run_until(&b.f, b.gone == 1);
	end_client(&b, &c);
	hello(&b, &d);
	teardown(&b);
	assert_int_equal(b.gone, 2);
	buf_deinit(&d.got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_happy_path),	    cmocka_unit_test(test_rude_clients),
		cmocka_unit_test(test_without_certificate), cmocka_unit_test(test_large_snapshot),
		cmocka_unit_test(test_end_and_close),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
