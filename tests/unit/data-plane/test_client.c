/* The stream client against a scripted control plane over loopback mTLS; apply is a fake that
 * writes down what it is asked. */
#include "data-plane/sync/client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/http/grpc.h"
#include "common/http/session.h"
#include "common/net/listener.h"
#include "common/net/tls.h"
#include "tests/unit/data-plane/fake_apply.h"
#include "tests/unit/lib/loop_fixture.h"
#include "tests/unit/lib/testcert.h"
#include "tests/unit/lib/wire.h"

/* --- the control plane --- */

struct bench {
	struct loop_fixture f;
	struct testca ca;
	struct testcert_files files;
	char address[64];
	SSL_CTX *tls;
	struct http_server http;
	struct listener *listener;
	struct exchange *stream; /* the latest */
	struct grpc_reader reader;
	struct apply apply;
	struct buf log; /* what the node said and what apply was asked */
	struct sync_client *client;
	struct sync_client_conf conf;
	unsigned streams, messages, changes;
	bool refuse_path, not_grpc;
	bool client_closed, listener_closed;
};

static int on_node_message(struct str m, void *arg, struct err *e)
{
	struct bench *b = arg;
	const unsigned char *p = (const unsigned char *)m.ptr;
	const char *text = "";
	const char *kind = "";
	size_t at = 1;
	size_t n = wire_varint(p, &at);
	size_t len, reason;

	(void)e;
	b->messages++;
	switch (p[0] >> 3) {
	case 1:
		len = wire_field(p + at, n, 5, &text);
		note(&b->log, "hello %.*s@%d", (int)len, text, (int)wire_field(p + at, n, 6, NULL));
		break;
	case 2:
		note(&b->log, "ack %d", (int)wire_field(p + at, n, 1, NULL));
		break;
	case 3:
		len = wire_field(p + at, n, 2, &kind);
		reason = wire_field(p + at, n, 4, &text);
		note(&b->log, "nack %d %.*s: %.*s", (int)wire_field(p + at, n, 1, NULL), (int)len,
		     kind, (int)reason, text);
		break;
	default:
		assert_int_equal(p[0] >> 3, 4);
		wire_field(p + at, n, 1, &text);
		note(&b->log, "hits %d", (int)wire_field((const unsigned char *)text, 20, 2, NULL));
	}
	return 0;
}

static void on_head(struct exchange *x, void *arg)
{
	struct bench *b = arg;
	struct http_response r = {.status = 200, .content_length = -1};

	b->streams++;
	assert_true(str_eq(exchange_request(x)->path, STR("/cardea.v1.Fleet/Sync")));
	if (b->not_grpc) {
		exchange_reply(x, 404, STR("text/plain"), STR("nothing here"), NULL);
		return;
	}
	assert_int_equal(http_fields_add(&r.fields, exchange_arena(x), STR("content-type"),
					 STR("application/grpc")),
			 0);
	if (b->refuse_path)
		assert_int_equal(http_fields_add(&r.fields, exchange_arena(x), STR("grpc-status"),
						 STR("12")),
				 0);
	grpc_reader_deinit(&b->reader);
	grpc_reader_init(&b->reader, 0);
	b->stream = b->refuse_path ? NULL : x;
	exchange_respond(x, &r, b->refuse_path);
}

static void on_body(struct exchange *x, struct str bytes, bool last, void *arg)
{
	struct bench *b = arg;

	(void)last;
	if (x == b->stream)
		assert_int_equal(grpc_feed(&b->reader, bytes, on_node_message, b, NULL), 0);
}

static void on_end(struct exchange *x, const struct err *why, void *arg)
{
	struct bench *b = arg;

	(void)why;
	if (b->stream == x)
		b->stream = NULL;
}

static const struct http_handler handler = {
	.on_head = on_head, .on_body = on_body, .on_end = on_end};

static int on_accept(struct listener *l, struct conn_options *o, void *arg)
{
	struct bench *b = arg;

	(void)l;
	o->tls = b->tls;
	return http_server_accept(&b->http, o, NULL);
}

static void on_change(void *arg)
{
	((struct bench *)arg)->changes++;
}

static void on_want_answer(const struct want_answer *a, void *arg)
{
	note(&((struct bench *)arg)->log, "answer %.*s %d", (int)a->host.len, a->host.ptr,
	     (int)a->verdict);
}

static void setup(struct bench *b)
{
	struct listener_options o = {.on_accept = on_accept, .arg = b};
	struct err e = ERR_INIT;

	memset(b, 0, sizeof(*b));
	fixture_init(&b->f);
	testca_init(&b->ca, "cluster");
	testcert_files_init(&b->files, &b->ca, &b->ca, NULL);
	b->tls = testcert_server(&b->ca, "DNS:cp.test", &b->ca);
	tls_context_alpn(b->tls, true);
	http_server_init(&b->http, &handler, b);
	b->http.http2 = true;
	assert_int_equal(addr_parse(&o.entry.addr, STR("127.0.0.1:0"), NULL), 0);
	assert_int_equal(listener_start(&b->listener, &b->f.loop, &o, &e), 0);
	snprintf(b->address, sizeof(b->address), "127.0.0.1:%d",
		 addr_port(listener_addr(b->listener)));
	b->apply.log = &b->log;
	b->conf = (struct sync_client_conf){.control_planes = b->address,
					    .server_name = "cp.test",
					    .node_id = "00000000-0000-4000-8000-000000000001",
					    .hostname = "dp1",
					    .labels = "zone=a,rack=b",
					    .keepalive_ms = 10000,
					    .on_change = on_change,
					    .on_want_answer = on_want_answer,
					    .arg = b};
}

static void start(struct bench *b)
{
	struct err e = ERR_INIT;

	b->conf.ca_file = b->files.ca;
	b->conf.cert_file = b->files.cert;
	b->conf.key_file = b->files.key;
	assert_int_equal(sync_client_start(&b->client, &b->f.loop, &b->apply, &b->conf, &e), 0);
}

static void is_true(void *arg)
{
	*(bool *)arg = true;
}

static void teardown(struct bench *b)
{
	if (b->client) {
		sync_client_close(b->client, is_true, &b->client_closed);
		run_until(&b->f, b->client_closed);
	}
	http_server_close(&b->http, NULL, NULL);
	listener_close(b->listener, is_true, &b->listener_closed);
	run_until(&b->f, b->listener_closed && b->http.session_count == 0);
	testcert_files_deinit(&b->files);
	grpc_reader_deinit(&b->reader);
	buf_deinit(&b->log);
	SSL_CTX_free(b->tls);
	testca_deinit(&b->ca);
	fixture_deinit(&b->f);
}

/* --- what the control plane says: a script of words --- */

static void say(struct bench *b, struct str message)
{
	struct buf framed = BUF_INIT;

	assert_non_null(b->stream);
	assert_int_equal(grpc_frame(&framed, message, NULL), 0);
	exchange_write(b->stream, buf_str(&framed), false);
	buf_deinit(&framed);
}

static void say_begin(struct bench *b, char epoch, char revision)
{
	char m[WIRE_SIZE];

	say(b, wire_begin(m, epoch, revision));
}

static void say_commit(struct bench *b, char epoch, char revision, char since)
{
	char m[WIRE_SIZE];

	say(b, wire_commit(m, epoch, revision, since));
}

static void say_put(struct bench *b, const char *word)
{
	char m[WIRE_SIZE];

	say(b, wire_challenge(m, word));
}

static void say_unknown(struct bench *b)
{
	char m[WIRE_SIZE];

	say(b, wire_unknown(m));
}

static void expect(struct bench *b, const char *want)
{
	size_t pieces = 1;

	for (const char *p = want; (p = strstr(p, " | ")); p++)
		pieces++;
	fixture_start(&b->f);
	for (;;) {
		size_t got = b->log.len ? 1 : 0;
		for (const char *p = b->log.data; p && (p = strstr(p, " | ")); p++)
			got++;
		if (got >= pieces)
			break;
		fixture_turn(&b->f, want, b->log.data ? b->log.data : "", 0);
	}
	fixture_spin(&b->f, 3);
	assert_string_equal(b->log.data, want);
	buf_clear(&b->log);
}

static void opened(struct bench *b, const char *hello)
{
	expect(b, hello);
	run_until(&b->f, sync_client_connected(b->client));
	assert_string_equal(sync_client_problem(b->client), "");
}

static void test_snapshot_and_deltas(void **state)
{
	struct bench b;
	unsigned changes;

	(void)state;
	setup(&b);
	start(&b);
	assert_false(sync_client_connected(b.client));
	assert_true(sync_client_problem(b.client)[0] != '\0');
	opened(&b, "hello @0");
	changes = b.changes;
	assert_true(changes > 0);
	say_begin(&b, 'e', 3);
	say_put(&b, "a");
	say_put(&b, "b");
	say_commit(&b, 'e', 4, 0);
	expect(&b, "begin e 3 | put a | put b | commit 4 | ack 4");
	assert_true(b.changes > changes);
	say_put(&b, "c");
	/* Part of no revision. */
	say(&b, STR("\x22\x05\x0a\x01x\x10\x01"));
	say_commit(&b, 'e', 6, 4);
	expect(&b, "put c | answer x 1 | commit 6 | ack 6");
	/* Nothing new. */
	say_commit(&b, 'e', 6, 6);
	expect(&b, "ack 6");
	/* Holds that and changes that it has already. */
	say_put(&b, "c");
	say_commit(&b, 'e', 6, 4);
	expect(&b, "put c | rollback | ack 6");
	teardown(&b);
}

static void test_nack_and_what_follows(void **state)
{
	struct bench b;

	(void)state;
	setup(&b);
	b.apply.epoch[0] = 'e';
	b.apply.revision = 5;
	start(&b);
	opened(&b, "hello e@5");
	say_put(&b, "a");
	say_put(&b, "bad");
	say_put(&b, "skipped");
	say_commit(&b, 'e', 6, 5);
	expect(&b, "put a | put bad | rollback | nack 6 acme_challenges: it is bad");
	/* Was on its way: stands on what was refused. */
	say_put(&b, "late");
	say_commit(&b, 'e', 7, 6);
	expect(&b, "put late | rollback");
	say_put(&b, "bad");
	say_commit(&b, 'e', 8, 7);
	expect(&b, "put bad | rollback");
	/* The next revision says since when. */
	say_put(&b, "good");
	say_commit(&b, 'e', 9, 5);
	expect(&b, "put good | commit 9 | ack 9");
	teardown(&b);
}

/* What the cache had and this node died of is told once per stream, in place of the ack. */
static void test_suspects_are_told(void **state)
{
	struct bench b;

	(void)state;
	setup(&b);
	b.apply.epoch[0] = 'e';
	b.apply.revision = 5;
	b.apply.suspects = 2;
	start(&b);
	opened(&b, "hello e@5");
	say_commit(&b, 'e', 5, 5);
	expect(&b, "nack 5 certificates: died of it");
	say_put(&b, "a");
	say_commit(&b, 'e', 6, 5);
	expect(&b, "put a | commit 6 | nack 6 certificates: died of it");
	say_commit(&b, 'e', 7, 5);
	expect(&b, "commit 7 | ack 7");
	teardown(&b);
}

static void test_commit_refused(void **state)
{
	struct bench b;

	(void)state;
	setup(&b);
	start(&b);
	opened(&b, "hello @0");
	b.apply.refuse_commit = true;
	say_begin(&b, 'e', 3);
	say_put(&b, "a");
	say_commit(&b, 'e', 3, 0);
	expect(&b, "begin e 3 | put a | commit refused | rollback | nack 3 snis: dangling");
	/* A delta on the refused snapshot. */
	say_put(&b, "b");
	say_commit(&b, 'e', 4, 3);
	expect(&b, "put b | rollback");
	say_begin(&b, 'e', 4);
	say_commit(&b, 'e', 4, 0);
	expect(&b, "begin e 4 | commit 4 | ack 4");
	teardown(&b);
}

static void test_unknown_entity(void **state)
{
	struct bench b;

	(void)state;
	setup(&b);
	start(&b);
	opened(&b, "hello @0");
	say_begin(&b, 'e', 3);
	say_unknown(&b);
	say_put(&b, "a");
	say_commit(&b, 'e', 3, 0);
	run_until(&b.f, b.messages == 2);
	assert_non_null(strstr(b.log.data, "begin e 3 | rollback | nack 3 : change of"));
	assert_null(strstr(b.log.data, "put"));
	teardown(&b);
}

static void test_malformed_message_ends_the_stream(void **state)
{
	static const struct {
		const char *name;
		struct str bytes;
	} rows[] = {
		{"not a message", STR("\0\0\0\0\2zz")},
		{"compressed", STR("\1\0\0\0\2\x1a\0")},
		{"too large", STR("\0\xff\xff\xff\xff")},
		{"commit without epoch", STR("\0\0\0\0\4\x1a\2\x10\5")},
		{"empty", STR("\0\0\0\0\0")},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct bench b;

		setup(&b);
		start(&b);
		opened(&b, "hello @0");
		say_begin(&b, 'e', 3);
		say_put(&b, "a");
		exchange_write(b.stream, rows[i].bytes, false);
		/* What was staged is gone, and the next stream begins as the first. */
		expect(&b, "begin e 3 | put a | rollback | hello @0");
		assert_int_equal(b.streams, 2);
		teardown(&b);
	}
}

static void test_reconnects(void **state)
{
	const struct err why = {ERR_UNAVAILABLE, 0, "test"};
	struct bench b;
	char both[128];

	(void)state;
	setup(&b);
	/* Nobody listens at the first address: the next one in turn. */
	snprintf(both, sizeof(both), "127.0.0.1:1, %s", b.address);
	b.conf.control_planes = both;
	start(&b);
	opened(&b, "hello @0");
	say_begin(&b, 'e', 3);
	say_commit(&b, 'e', 3, 0);
	expect(&b, "begin e 3 | commit 3 | ack 3");
	say_put(&b, "half");
	expect(&b, "put half");
	exchange_abort(b.stream, &why);
	expect(&b, "rollback | hello e@3");
	assert_int_equal(b.streams, 2);
	teardown(&b);
}

static void test_statuses(void **state)
{
	struct bench b;

	(void)state;
	setup(&b);
	b.refuse_path = true;
	start(&b);
	run_until(&b.f, b.streams == 2);
	assert_false(sync_client_connected(b.client));
	assert_non_null(strstr(sync_client_problem(b.client), "status 12"));
	b.refuse_path = false;
	b.not_grpc = true;
	run_until(&b.f, strstr(sync_client_problem(b.client), "status 404"));
	teardown(&b);
}

static void test_foreign_control_plane(void **state)
{
	struct bench b;
	struct testca foreign;

	(void)state;
	setup(&b);
	testca_init(&foreign, "foreign");
	testcert_files_deinit(&b.files);
	testcert_files_init(&b.files, &b.ca, &foreign, NULL);
	start(&b);
	run_until(&b.f, b.changes > 0);
	assert_int_equal(b.streams, 0);
	assert_false(sync_client_connected(b.client));
	testca_deinit(&foreign);
	teardown(&b);
}

static void test_hits(void **state)
{
	const unsigned char one[16] = {1};
	struct bench b;

	(void)state;
	setup(&b);
	start(&b);
	sync_client_hit(b.client, one, 2); /* before there is a stream */
	expect(&b, "hello @0 | hits 2");
	sync_client_hit(b.client, one, 3);
	sync_client_hit(b.client, one, 4);
	expect(&b, "hits 7");
	/* Bounded. */
	for (unsigned i = 0; i < 1000; i++) {
		const unsigned char id[16] = {(unsigned char)i, (unsigned char)(i >> 8)};
		sync_client_hit(b.client, id, UINT32_MAX);
	}
	run_until(&b.f, b.messages == 4);
	teardown(&b);
}

static void test_bad_configuration(void **state)
{
	static const struct {
		const char *name, *addresses, *labels, *want;
	} rows[] = {
		{"no address", "", NULL, "cluster_control_plane"},
		{"no port", "host", NULL, "cluster_control_plane"},
		{"bad port", "host:0x", NULL, "cluster_control_plane"},
		{"empty address", "a:1,,b:2", NULL, "cluster_control_plane"},
		{"many addresses",
		 "a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1,a:1", NULL,
		 "more than 16"},
		{"label without value", "a:1", "zone", "node_labels"},
		{"label without name", "a:1", "=a", "node_labels"},
		{"empty label", "a:1", "a=b,,c=d", "node_labels"},
		{"no such file", "a:1", "a=b", "cluster_cert"},
	};
	struct bench b;

	(void)state;
	setup(&b);
	b.conf.cert_file = "/nonexistent";
	b.conf.key_file = "/nonexistent";
	b.conf.ca_file = "/nonexistent";
	for (size_t i = 0; i < array_len(rows); i++) {
		struct err e = ERR_INIT;

		b.conf.control_planes = rows[i].addresses;
		b.conf.labels = rows[i].labels;
		if (sync_client_start(&b.client, &b.f.loop, &b.apply, &b.conf, &e) == 0)
			fail_msg("%s: started", rows[i].name);
		if (!strstr(e.message, rows[i].want))
			fail_msg("%s: %s", rows[i].name, e.message);
		assert_null(b.client);
	}
	teardown(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_snapshot_and_deltas),
		cmocka_unit_test(test_nack_and_what_follows),
		cmocka_unit_test(test_suspects_are_told),
		cmocka_unit_test(test_commit_refused),
		cmocka_unit_test(test_unknown_entity),
		cmocka_unit_test(test_malformed_message_ends_the_stream),
		cmocka_unit_test(test_reconnects),
		cmocka_unit_test(test_statuses),
		cmocka_unit_test(test_foreign_control_plane),
		cmocka_unit_test(test_hits),
		cmocka_unit_test(test_bad_configuration),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
