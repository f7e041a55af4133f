/* CH-11: where fetches may go, and how they end. */
#include "data-plane/plugins/fetch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/core/compiler.h"
#include "tests/unit/lib/oom.h"
#include "tests/unit/lib/responder.h"
#include "tests/unit/lib/testcert.h"

struct url_row {
	const char *url;
	bool public, private; /* passes; passes with allow_private */
	const char *host;
	uint16_t port;
	const char *target;
};

static const struct url_row urls[] = {
	{"http://ca.example/a?b", true, true, "ca.example", 80, "/a?b"},
	{"HTTP://ca.example", true, true, "ca.example", 80, ""},
	{"https://ca.example/", true, true, "ca.example", 443, "/"},
	{"http://ca.example:443/", true, true, "ca.example", 443, "/"},
	{"http://8.8.8.8/", true, true, "8.8.8.8", 80, "/"},
	{"http://[2606:4700::1]/", true, true, "2606:4700::1", 80, "/"},
	{"http://ca.example:8080/", false, true, "ca.example", 8080, "/"},
	{"http://localhost/", false, true, "localhost", 80, "/"},
	{"http://a.LOCALHOST/", false, true, "a.LOCALHOST", 80, "/"},
	{"http://127.0.0.1/", false, true, "127.0.0.1", 80, "/"},
	{"http://169.254.169.254/latest/meta-data", false, true, "169.254.169.254", 80,
	 "/latest/meta-data"},
	{"http://10.1.2.3/", false, true, "10.1.2.3", 80, "/"},
	{"http://[::1]/", false, true, "::1", 80, "/"},
	{"http://[::ffff:10.0.0.1]/", false, true, "::ffff:10.0.0.1", 80, "/"},
	{"", false, false, NULL, 0, NULL},
	{"/x", false, false, NULL, 0, NULL},
	{"ftp://ca.example/", false, false, NULL, 0, NULL},
	{"ldap://ca.example/", false, false, NULL, 0, NULL},
	{"file:///etc/passwd", false, false, NULL, 0, NULL},
	{"http:/ca.example/", false, false, NULL, 0, NULL},
	{"http://", false, false, NULL, 0, NULL},
	{"http:///x", false, false, NULL, 0, NULL},
	{"http://:80/", false, false, NULL, 0, NULL},
	{"http://[::1/", false, false, NULL, 0, NULL},
	{"http://[::1]x/", false, false, NULL, 0, NULL},
	{"http://user@ca.example/", false, false, NULL, 0, NULL},
	{"http://ca.example:0/", false, false, NULL, 0, NULL},
	{"http://ca.example:65536/", false, false, NULL, 0, NULL},
	{"http://ca.example:8x/", false, false, NULL, 0, NULL},
	{"http://ca.example:/", false, false, NULL, 0, NULL},
	{"http://ca.example?x", false, false, NULL, 0, NULL},
	{"http://ca.example/#x", false, false, NULL, 0, NULL},
	{"http://ca.example/a b", false, false, NULL, 0, NULL},
	{"http://ca.example/\r\nx: y", false, false, NULL, 0, NULL},
	{"http://ca.example/\xc3\xa4", false, false, NULL, 0, NULL},
};

static void test_urls(void **state)
{
	char longest[FETCH_URL_MAX + 1];
	struct fetch_url u;

	(void)state;
	for (size_t i = 0; i < array_len(urls); i++) {
		const struct url_row *row = &urls[i];
		struct str url = str_from(row->url);

		if ((fetch_url_parse(&u, url, false, NULL) == 0) != row->public ||
		    (fetch_url_parse(&u, url, true, NULL) == 0) != row->private)
			fail_msg("%s", row->url);
		if (!row->private)
			continue;
		assert_string_equal(u.host, row->host);
		assert_int_equal(u.port, row->port);
		assert_true(str_eq(u.target, str_from(row->target)));
	}
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "http://x/", 9);
	assert_int_equal(fetch_url_parse(&u, (struct str){longest, FETCH_URL_MAX - 1}, false, NULL),
			 0);
	assert_int_equal(fetch_url_parse(&u, (struct str){longest, FETCH_URL_MAX}, false, NULL),
			 -1);
}

static struct {
	struct loop_fixture f;
	struct responder server;
	unsigned done, gone;
	struct err why;
	struct buf body;
} world;

static int setup(void **state)
{
	(void)state;
	memset(&world, 0, sizeof(world));
	fixture_init(&world.f);
	responder_start(&world.server, &world.f, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	responder_stop(&world.server);
	fixture_deinit(&world.f);
	buf_deinit(&world.body);
	return 0;
}

static void on_done(struct str body, const struct err *why, void *arg)
{
	assert_ptr_equal(arg, &world);
	world.done++;
	world.why = why ? *why : (struct err)ERR_INIT;
	buf_clear(&world.body);
	if (!why)
		assert_int_equal(buf_add_str(&world.body, body, NULL), 0);
}

static void on_gone(void *arg)
{
	assert_ptr_equal(arg, &world);
	world.gone++;
}

static struct fetch_options options(const char *path)
{
	static char url[2048];

	snprintf(url, sizeof(url), "%s%s", world.server.url, path);
	return (struct fetch_options){.url = str_from(url),
				      .allow_private = true,
				      .timeout_ms = 10000,
				      .max_bytes = 1000,
				      .done = on_done,
				      .arg = &world};
}

static void run(const struct fetch_options *o)
{
	struct fetch *f = NULL;
	struct err e = ERR_INIT;
	unsigned before = world.done;

	if (fetch_start(&f, &world.f.loop, o, &e) < 0)
		fail_msg("%s", e.message);
	assert_int_equal(world.done, before);
	run_until(&world.f, world.done == before + 1);
}

static void test_get_and_post(void **state)
{
	struct fetch_options o = options("/list?x=1");

	(void)state;
	assert_int_equal(buf_addf(&world.server.body, NULL, "the list"), 0);
	run(&o);
	assert_int_equal(world.why.kind, ERR_NONE);
	assert_string_equal(world.body.data, "the list");
	assert_string_equal(world.server.method, "GET");
	assert_string_equal(world.server.target, "/list?x=1");

	o = options("");
	o.content_type = STR("application/ocsp-request");
	o.body = STR("question");
	run(&o);
	assert_string_equal(world.body.data, "the list");
	assert_string_equal(world.server.method, "POST");
	assert_string_equal(world.server.target, "/");
	assert_string_equal(world.server.type, "application/ocsp-request");
	assert_string_equal(world.server.asked.data, "question");
}

static void test_refused_answers(void **state)
{
	static const unsigned statuses[] = {201, 204, 206, 301, 302, 307, 308, 400, 404, 500, 503};
	struct fetch_options o = options("/");

	(void)state;
	for (size_t i = 0; i < array_len(statuses); i++) {
		world.server.status = statuses[i];
		run(&o);
		assert_int_equal(world.why.kind, ERR_UNAVAILABLE);
		/* Redirects are not followed: nobody else is asked, and nobody again. */
		assert_int_equal(world.server.requests, i + 1);
	}
}

static void test_size(void **state)
{
	struct fetch_options o = options("/");
	char bytes[1001];

	(void)state;
	memset(bytes, 'x', sizeof(bytes));
	assert_int_equal(buf_add(&world.server.body, bytes, 1000, NULL), 0);
	run(&o);
	assert_int_equal(world.why.kind, ERR_NONE);
	assert_int_equal(world.body.len, 1000);
	assert_int_equal(buf_add(&world.server.body, bytes, 1, NULL), 0);
	run(&o);
	assert_int_equal(world.why.kind, ERR_LIMIT);
}

static void test_time(void **state)
{
	struct fetch_options o = options("/");

	(void)state;
	world.server.status = 0;
	o.timeout_ms = 50;
	run(&o);
	assert_int_equal(world.why.kind, ERR_TIMEOUT);
}

static void test_nobody_there(void **state)
{
	struct fetch_options o = options("/");

	(void)state;
	o.url = STR("http://127.0.0.1:1/");
	run(&o);
	assert_int_equal(world.why.kind, ERR_UNAVAILABLE);
	o.url = STR("http://nobody.invalid/");
	run(&o);
	assert_int_equal(world.why.kind, ERR_UNAVAILABLE);
	assert_int_equal(world.server.requests, 0);
}

/* The name is fine and what it leads to is not: names that the system resolves without asking
 * anybody (the old ways to write an address). */
static void test_private_address(void **state)
{
	static const char *const urls_of_names[] = {"http://127.1/",  "http://2130706433/",
						    "http://0x7f.1/", "http://0177.0.0.1/",
						    "http://10.1/",   "http://169.16689662/"};
	struct fetch_options o = options("/");
	struct fetch *f = NULL;
	struct err e = ERR_INIT;

	(void)state;
	o.allow_private = false;
	assert_int_equal(fetch_start(&f, &world.f.loop, &o, &e), -1);
	assert_int_equal(e.kind, ERR_DENIED);
	for (size_t i = 0; i < array_len(urls_of_names); i++) {
		o.url = str_from(urls_of_names[i]);
		run(&o);
		if (world.why.kind != ERR_DENIED)
			fail_msg("%s: %s", urls_of_names[i], world.why.message);
	}
	assert_int_equal(world.server.requests, 0);
}

static void test_https(void **state)
{
	struct responder tls;
	struct testca ca, stranger;
	SSL_CTX *server, *trusting, *wary;
	struct fetch_options o = options("/");
	char url[128];
	struct fetch *f = NULL;
	struct err e = ERR_INIT;

	(void)state;
	testca_init(&ca, "ca");
	testca_init(&stranger, "stranger");
	server = testcert_server(&ca, "DNS:localhost,IP:127.0.0.1", NULL);
	trusting = testcert_client(&ca, NULL);
	wary = testcert_client(&stranger, NULL);
	responder_start(&tls, &world.f, server);
	snprintf(url, sizeof(url), "https://localhost:%u/", tls.port);
	o.url = str_from(url);
	o.tls = trusting;
	run(&o);
	if (world.why.kind != ERR_NONE)
		fail_msg("%s", world.why.message);
	o.tls = wary;
	run(&o);
	assert_int_not_equal(world.why.kind, ERR_NONE);
	assert_int_equal(tls.requests, 1);
	o.tls = NULL;
	assert_int_equal(fetch_start(&f, &world.f.loop, &o, &e), -1);
	assert_int_equal(e.kind, ERR_DENIED);
	responder_stop(&tls);
	SSL_CTX_free(server);
	SSL_CTX_free(trusting);
	SSL_CTX_free(wary);
	testca_deinit(&ca);
	testca_deinit(&stranger);
}

static void test_proxy(void **state)
{
	struct fetch_options o = options("/");

	(void)state;
	o.allow_private = false;
	o.url = STR("http://ca.example/list");
	o.proxy_host = "127.0.0.1";
	o.proxy_port = world.server.port;
	run(&o);
	assert_int_equal(world.why.kind, ERR_NONE);
	assert_int_equal(world.server.requests, 1);
}

/* Cancelled in each of its states: nobody is told but gone. */
static void test_cancel(void **state)
{
	struct fetch_options o = options("/");

	(void)state;
	world.server.status = 0;
	for (int turns = 0; turns < 6; turns++) {
		struct fetch *f = NULL;

		assert_int_equal(fetch_start(&f, &world.f.loop, &o, NULL), 0);
		for (int i = 0; i < turns; i++)
			fixture_turn(&world.f, "cancel", __FILE__, __LINE__);
		fetch_cancel(f, on_gone, &world);
		assert_int_equal(world.gone, turns);
		run_until(&world.f, world.gone == (unsigned)turns + 1);
	}
	assert_int_equal(world.done, 0);
}

static void start_and_cancel(void *arg)
{
	struct fetch_options o = options("/");
	struct fetch *f = NULL;
	unsigned before = world.gone;

	(void)arg;
	o.body = STR("x");
	o.content_type = STR("y");
	if (fetch_start(&f, &world.f.loop, &o, NULL) < 0)
		return;
	fetch_cancel(f, on_gone, &world);
	run_until(&world.f, world.gone == before + 1);
}

static void test_out_of_memory(void **state)
{
	(void)state;
	assert_true(oom_each(start_and_cancel, NULL) > 2);
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_urls),
		WITH_WORLD(test_get_and_post),
		WITH_WORLD(test_refused_answers),
		WITH_WORLD(test_size),
		WITH_WORLD(test_time),
		WITH_WORLD(test_nobody_there),
		WITH_WORLD(test_private_address),
		WITH_WORLD(test_https),
		WITH_WORLD(test_proxy),
		WITH_WORLD(test_cancel),
		WITH_WORLD(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
