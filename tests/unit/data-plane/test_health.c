/* Active and passive checks (sync/health, sync/probe) against servers on loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>

#include "common/net/conn.h"
#include "common/net/listener.h"
#include "data-plane/sync/health.h"
#include "data-plane/tls/origin.h"
#include "tests/unit/lib/entity_bed.h"
#include "tests/unit/lib/loop_fixture.h"
#include "tests/unit/lib/testcert.h"
#include "tests/unit/lib/testchange.h"

/* What the server says; NULL: nothing. */
struct server {
	struct listener *listener;
	SSL_CTX *tls; /* NULL: plain */
	const char *answer;
	unsigned connections, closed;
	char request[1024];
};

struct bed {
	struct loop_fixture loop;
	struct entity_bed entities;
	struct addresses addresses;
	struct health_board board;
	struct health *health;
	struct server server;
	struct addr addr; /* of the server */
	struct testca ca, foreign;
	struct testcert_files files;	  /* the global trust: ca */
	struct origin_tls_cache *origins; /* of the checks */
	bool forbidden;
	struct health_report last;
	unsigned reports;
};

static struct bed *bed;

static void on_open(struct conn *c, void *arg)
{
	(void)arg;
	conn_read_start(c);
}

static void on_data(struct conn *c, struct str bytes, void *arg)
{
	struct server *s = arg;

	snprintf(s->request, sizeof(s->request), "%.*s", (int)bytes.len, bytes.ptr);
	if (s->answer)
		conn_write(c, str_from(s->answer));
}

static void on_gone(struct conn *c, const struct err *why, void *arg)
{
	(void)c;
	(void)why;
	((struct server *)arg)->closed++;
}

static const struct conn_events conn_events = {
	.on_open = on_open, .on_data = on_data, .on_close = on_gone};

static int on_accept(struct listener *l, struct conn_options *o, void *arg)
{
	(void)l;
	o->events = &conn_events;
	o->arg = arg;
	o->tls = ((struct server *)arg)->tls;
	((struct server *)arg)->connections++;
	return 0;
}

static void on_conn(struct listener *l, struct conn *c, const struct err *e, void *arg)
{
	(void)l;
	(void)c;
	(void)e;
	(void)arg;
}

static bool allowed(const struct addr *a, const void *rules)
{
	(void)a;
	return !((const struct bed *)rules)->forbidden;
}

static void on_change(const struct health_report *r, void *arg)
{
	struct bed *b = arg;

	b->last = *r;
	b->reports++;
}

static void start_server(void)
{
	struct listener_options o = {
		.on_accept = on_accept, .on_conn = on_conn, .arg = &bed->server};
	struct err e = ERR_INIT;

	o.entry.addr = bed->addr;
	assert_int_equal(listener_start(&bed->server.listener, &bed->loop.loop, &o, &e), 0);
	bed->addr = *listener_addr(bed->server.listener);
}

static void stop_server(void)
{
	if (bed->server.listener)
		listener_close(bed->server.listener, NULL, NULL);
	bed->server.listener = NULL;
}

static int check_tls(struct health_tls *out, const struct upstream *u, struct str name, bool http2,
		     const void *origins, struct err *e)
{
	struct origin_tls *t;

	assert_ptr_equal(origins, bed->origins);
	if (origin_tls_get_for_checks(&t, bed->origins, u, name, http2, e) < 0)
		return -1;
	out->ctx = t->ctx;
	SSL_CTX_up_ref(out->ctx);
	snprintf(out->name, sizeof(out->name), "%s", t->name);
	origin_tls_unref(&t);
	return 0;
}

static int setup(void **state)
{
	static struct bed memory;
	struct origin_tls_options origins = {.verify_depth = 3};
	struct health_options o;
	struct err e = ERR_INIT;

	bed = &memory;
	memset(bed, 0, sizeof(*bed));
	*state = bed;
	fixture_init(&bed->loop);
	fixture_start(&bed->loop);
	entity_bed_init(&bed->entities, NULL);
	assert_int_equal(addresses_init(&bed->addresses, &e), 0);
	assert_int_equal(health_board_init(&bed->board, &e), 0);
	assert_int_equal(addr_parse(&bed->addr, STR("127.0.0.1:0"), &e), 0);
	bed->server.answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	start_server();
	testca_init(&bed->ca, "ca");
	testca_init(&bed->foreign, "foreign");
	testcert_files_init(&bed->files, &bed->ca, &bed->ca, NULL);
	origins.tables = bed->entities.tables;
	origins.trusted_file = bed->files.ca;
	assert_int_equal(origin_tls_cache_create(&bed->origins, &origins, &e), 0);
	o = (struct health_options){.loop = &bed->loop.loop,
				    .tables = bed->entities.tables,
				    .addresses = &bed->addresses,
				    .board = &bed->board,
				    .allowed = allowed,
				    .rules = bed,
				    .on_change = on_change,
				    .tls = check_tls,
				    .origins = bed->origins,
				    .arg = bed};
	assert_int_equal(health_start(&bed->health, &o, &e), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	health_close(bed->health);
	stop_server();
	run_until(&bed->loop, bed->server.closed == bed->server.connections);
	fixture_deinit(&bed->loop);
	health_board_deinit(&bed->board);
	addresses_deinit(&bed->addresses);
	origin_tls_cache_free(bed->origins);
	SSL_CTX_free(bed->server.tls);
	testcert_files_deinit(&bed->files);
	testca_deinit(&bed->ca);
	testca_deinit(&bed->foreign);
	entity_bed_deinit(&bed->entities);
	return 0;
}

static void put_upstream(const char *checks)
{
	char text[512];

	snprintf(text, sizeof(text), "name=pool healthchecks={%s}", checks);
	entity_bed_put(&bed->entities, ENTITIES_UPSTREAM, 'u', text);
}

static void put_target(unsigned id, const char *host)
{
	char text[128];

	snprintf(text, sizeof(text), "upstream=#u target='%s:%u", host, addr_port(&bed->addr));
	entity_bed_put(&bed->entities, ENTITIES_TARGET, id, text);
	health_update(bed->health);
}

static bool is_down(void)
{
	struct health_view v =
		health_find(&bed->board, entity_bed_id(&bed->entities, 'u'), &bed->addr);

	rcu_leave();
	return v.unhealthy;
}

#define EVERY "healthy:{interval:%0.03;successes:%1};unhealthy:{interval:%0.03;"

static void test_active_http(void **state)
{
	(void)state;
	put_upstream("active:{http_path:'/up;headers:{x-a:[b]};" EVERY "http_failures:%2}}");
	put_target('t', "127.0.0.1");
	run_until(&bed->loop, bed->server.closed >= 2);
	assert_false(is_down());
	assert_non_null(strstr(bed->server.request, "GET /up HTTP/1.1\r\n"));
	assert_non_null(strstr(bed->server.request, "\r\nx-a: b\r\n"));
	bed->server.answer = "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";
	run_until(&bed->loop, is_down());
	assert_int_equal(bed->last.verdict, HEALTH_IS_DOWN);
	/* A status of neither list says nothing. */
	bed->server.answer = "HTTP/1.1 418 No\r\nContent-Length: 0\r\n\r\n";
	unsigned seen = bed->server.closed;

	run_until(&bed->loop, bed->server.closed >= seen + 3);
	assert_true(is_down());
	bed->server.answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
	run_until(&bed->loop, !is_down());
	assert_int_equal(bed->last.verdict, HEALTH_IS_UP);
}

static void test_active_failures(void **state)
{
	static const struct {
		const char *answer, *limit;
		bool stopped;
	} rows[] = {
		{NULL, "timeouts:%2", false},
		{"HTTP/1.1 200", "timeouts:%2", false},
		{"nonsense\r\n\r\n", "tcp_failures:%2", false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		 "tcp_failures:%2", false},
		{"", "tcp_failures:%2", true},
	};
	char text[256];

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		bed->server.answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
		snprintf(text, sizeof(text), "active:{timeout:%%0.05;%s%s}}", EVERY, rows[i].limit);
		put_upstream(text);
		put_target('t', "127.0.0.1");
		run_until(&bed->loop, !is_down());
		bed->server.answer = rows[i].answer;
		if (rows[i].stopped)
			stop_server();
		run_until(&bed->loop, is_down());
	}
	start_server();
	bed->server.answer = "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n";
	run_until(&bed->loop, !is_down());
}

static void test_active_tcp(void **state)
{
	(void)state;
	bed->server.answer = NULL;
	put_upstream("active:{type:tcp;" EVERY "tcp_failures:%1}}");
	put_target('t', "127.0.0.1");
	run_until(&bed->loop, bed->server.closed >= 2);
	assert_false(is_down());
	stop_server();
	run_until(&bed->loop, is_down());
	start_server();
	run_until(&bed->loop, !is_down());
}

/* TLS to a server that speaks plain: failures, never a check without TLS. */
static void test_active_https_is_never_plain(void **state)
{
	(void)state;
	put_upstream("active:{type:https;" EVERY "tcp_failures:%1}}");
	put_target('t', "127.0.0.1");
	run_until(&bed->loop, is_down());
	assert_null(strstr(bed->server.request, "GET "));
}

static int choose_h2(SSL *ssl, const unsigned char **out, unsigned char *len,
		     const unsigned char *in, unsigned in_len, void *arg)
{
	static const unsigned char mine[] = "\x02h2";

	(void)ssl;
	(void)arg;
	return SSL_select_next_proto((unsigned char **)(uintptr_t)out, len, mine, 3, in, in_len) ==
			       OPENSSL_NPN_NEGOTIATED
		       ? SSL_TLSEXT_ERR_OK
		       : SSL_TLSEXT_ERR_NOACK;
}

/* A certificate of ca, which the upstream may show: `client_certificate=#c`. */
static void put_client_certificate(void)
{
	const struct testcert_options o = {.name = "probe"};
	struct buf leaf_der = BUF_INIT, key_der = BUF_INIT;
	struct tables *t = bed->entities.tables;
	struct cert_source s = {0};
	X509 *leaf;
	EVP_PKEY *key;

	testcert_issue(&bed->ca, &o, &leaf, &key);
	s.leaf = testder_cert(&leaf_der, leaf);
	s.key = testder_key(&key_der, key);
	tables_begin(t, false);
	assert_int_equal(
		certs_put(&t->certs, &t->txn, entity_bed_id(&bed->entities, 'c'), &s, 1, NULL), 0);
	entity_bed_commit(&bed->entities);
	X509_free(leaf);
	EVP_PKEY_free(key);
	buf_deinit(&leaf_der);
	buf_deinit(&key_der);
}

static const struct tls_row {
	const char *name, *checks, *upstream; /* of it, more fields */
	const char *target;		      /* name or address */
	const char *san;		      /* of the server; NULL: plain */
	bool foreign;			      /* the server's certificate is of nobody we trust */
	bool wants_client, no_h2;
	bool up;
} tls_rows[] = {
	{"https by name", "type:https", "", "good.test", "DNS:good.test", false, false, true, true},
	{"https by address", "type:https", "", NULL, "IP:127.0.0.1", false, false, true, true},
	{"https, another name", "type:https", "", "good.test", "DNS:other.test", false, false, true,
	 false},
	{"https, another address", "type:https", "", NULL, "DNS:good.test", false, false, true,
	 false},
	{"https, https_sni names it", "type:https;https_sni:other.test", "", "good.test",
	 "DNS:other.test", false, false, true, true},
	{"https, https_sni for an address", "type:https;https_sni:good.test", "", NULL,
	 "DNS:good.test", false, false, true, true},
	{"https, https_sni names another", "type:https;https_sni:other.test", "", "good.test",
	 "DNS:good.test", false, false, true, false},
	{"https, not trusted", "type:https", "", "good.test", "DNS:good.test", true, false, true,
	 false},
	{"https, not verified", "type:https;https_verify_certificate:!no", "", "good.test",
	 "DNS:other.test", true, false, true, true},
	{"https, no client certificate", "type:https", "", "good.test", "DNS:good.test", false,
	 true, true, false},
	{"https, the upstream's client certificate", "type:https", "client_certificate=#c",
	 "good.test", "DNS:good.test", false, true, true, true},
	{"https to a plain server", "type:https", "", "good.test", NULL, false, false, true, false},
	{"http to a TLS server", "type:http", "", "good.test", "DNS:good.test", false, false, true,
	 false},
	{"grpcs", "type:grpcs", "", "good.test", "DNS:good.test", false, false, false, true},
	{"grpcs without h2", "type:grpcs", "", "good.test", "DNS:good.test", false, false, true,
	 false},
	{"grpcs, not trusted", "type:grpcs", "", "good.test", "DNS:good.test", true, false, false,
	 false},
	{"grpcs, not verified", "type:grpcs;https_verify_certificate:!no", "", "good.test",
	 "DNS:other.test", true, false, false, true},
	{"grpcs, the upstream's client certificate", "type:grpcs", "client_certificate=#c",
	 "good.test", "DNS:good.test", false, true, false, true},
	{"grpcs to a plain server", "type:grpcs", "", "good.test", NULL, false, false, false,
	 false},
	{"grpc", "type:grpc", "", "good.test", NULL, false, false, false, true},
};

static void check_tls_row(const struct tls_row *row)
{
	struct server *s = &bed->server;
	struct address item = {.weight = 0};
	struct health_facts before, now;
	struct err e = ERR_INIT;
	char text[512];

	SSL_CTX_free(s->tls);
	s->tls = row->san ? testcert_server(row->foreign ? &bed->foreign : &bed->ca, row->san,
					    row->wants_client ? &bed->ca : NULL)
			  : NULL;
	if (s->tls && !row->no_h2)
		SSL_CTX_set_alpn_select_cb(s->tls, choose_h2, NULL);
	item.addr = bed->addr;
	addr_set_port(&item.addr, 0);
	assert_int_equal(addresses_publish(&bed->addresses, STR("good.test"), &item, 1, &e), 0);
	snprintf(text, sizeof(text), "name=pool %s healthchecks={active:{%s;%s}}", row->upstream,
		 row->checks, "timeout:%5;" EVERY "tcp_failures:%1}");
	entity_bed_put(&bed->entities, ENTITIES_UPSTREAM, 'u', text);
	health_facts(bed->health, &before);
	put_target('t', row->target ? row->target : "127.0.0.1");
	if (row->up) {
		do {
			fixture_turn(&bed->loop, row->name, __FILE__, __LINE__);
			health_facts(bed->health, &now);
		} while (now.probes < before.probes + 3 && now.failures == before.failures);
		if (now.failures > before.failures)
			fail_msg("%s: failed", row->name);
		assert_false(is_down());
	} else {
		while (!is_down())
			fixture_turn(&bed->loop, row->name, __FILE__, __LINE__);
	}
	entity_bed_put(&bed->entities, ENTITIES_TARGET, 't', NULL);
	health_update(bed->health);
	run_until(&bed->loop, s->closed == s->connections);
}

static void test_active_tls(void **state)
{
	(void)state;
	put_client_certificate();
	for (size_t i = 0; i < array_len(tls_rows); i++) {
		fixture_start(&bed->loop);
		check_tls_row(&tls_rows[i]);
	}
}

static void test_tr11_forbidden_is_not_asked(void **state)
{
	struct health_facts f;

	(void)state;
	bed->forbidden = true;
	put_upstream("active:{" EVERY "tcp_failures:%1}}");
	put_target('t', "127.0.0.1");
	for (unsigned i = 0; i < 20; i++)
		fixture_turn(&bed->loop, "turns", __FILE__, __LINE__);
	health_facts(bed->health, &f);
	assert_int_equal(f.probes, 0);
	assert_int_equal(bed->server.connections, 0);
	assert_int_equal(f.addresses, 1);
}

static void tell(enum health_event_kind kind, unsigned status)
{
	struct health_event ev = {.addr = bed->addr, .kind = kind, .status = status};

	memcpy(ev.upstream, entity_bed_id(&bed->entities, 'u'), sizeof(ev.upstream));
	health_post(&bed->board, &ev);
	fixture_spin(&bed->loop, 2);
}

static void test_passive(void **state)
{
	struct health_view v;

	(void)state;
	put_upstream("passive:{healthy:{successes:%2};unhealthy:{http_failures:%2;timeouts:%1}}");
	put_target('t', "127.0.0.1");
	tell(HEALTH_HTTP, 500);
	v = health_find(&bed->board, entity_bed_id(&bed->entities, 'u'), &bed->addr);
	rcu_leave();
	assert_true(v.watched && !v.unhealthy);
	tell(HEALTH_HTTP, 200);
	tell(HEALTH_HTTP, 503);
	assert_false(is_down());
	tell(HEALTH_HTTP, 404);
	tell(HEALTH_TCP_FAILURE, 0);
	assert_false(is_down());
	tell(HEALTH_HTTP, 503);
	assert_true(is_down());
	tell(HEALTH_HTTP, 200);
	assert_true(is_down());
	tell(HEALTH_HTTP, 302);
	assert_false(is_down());
	tell(HEALTH_TIMEOUT, 0);
	assert_true(is_down());
}

/* What leaves takes its mark along; what comes back begins anew. */
static void test_target_goes(void **state)
{
	(void)state;
	put_upstream("passive:{unhealthy:{timeouts:%1}}");
	put_target('t', "127.0.0.1");
	tell(HEALTH_TIMEOUT, 0);
	assert_true(is_down());
	entity_bed_put(&bed->entities, ENTITIES_TARGET, 't', NULL);
	health_update(bed->health);
	assert_false(is_down());
	assert_int_equal(bed->last.verdict, HEALTH_IS_GONE);
	put_target('t', "127.0.0.1");
	assert_false(is_down());
	tell(HEALTH_TIMEOUT, 0);
	put_upstream("");
	health_update(bed->health);
	assert_false(is_down());
	tell(HEALTH_TIMEOUT, 0);
	assert_false(is_down());
}

static void test_names(void **state)
{
	struct address item = {.weight = 0};
	struct err e = ERR_INIT;

	(void)state;
	put_upstream("passive:{unhealthy:{timeouts:%1}}");
	put_target('t', "name.test");
	assert_int_equal(bed->last.verdict, HEALTH_IS_UNRESOLVED);
	item.addr = bed->addr;
	addr_set_port(&item.addr, 0);
	assert_int_equal(addresses_publish(&bed->addresses, STR("name.test"), &item, 1, &e), 0);
	health_update(bed->health);
	tell(HEALTH_TIMEOUT, 0);
	assert_true(is_down());
	assert_int_equal(bed->last.verdict, HEALTH_IS_DOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_active_http),
		T(test_active_failures),
		T(test_active_tcp),
		T(test_active_https_is_never_plain),
		T(test_active_tls),
		T(test_passive),
		T(test_tr11_forbidden_is_not_asked),
		T(test_target_goes),
		T(test_names),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
