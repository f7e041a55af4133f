/* Row SL-09: what requests get while the server is overloaded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/lib/http_fixture.h"

static bool tight;

static bool overloaded(void *arg)
{
	(void)arg;
	return tight;
}

static void begin(struct http_fixture *h)
{
	http_fixture_init(h);
	h->server.overloaded = overloaded;
	h->server.http2 = true;
	http_fixture_listen(h);
}

static void test_http1(void **state)
{
	struct http_fixture h;
	struct byte_client c = {0};

	(void)state;
	begin(&h);
	tight = false;
	byte_connect(&c, &h);
	byte_send(&c, &h, STR("GET /hi HTTP/1.1\r\nHost: a\r\n\r\n"), false);
	run_until(&h.f, c.got.len > 0);
	tight = true;
	byte_send(&c, &h, STR("GET /hi HTTP/1.1\r\nHost: a\r\n\r\n"), false);
	run_until(&h.f, c.eof || c.closed);
	assert_non_null(strstr(c.got.data, "HTTP/1.1 200 "));
	assert_non_null(strstr(c.got.data, "HTTP/1.1 503 "));
	assert_non_null(strcasestr(c.got.data, "retry-after: 1\r\n"));
	assert_int_equal(h.heads, 1);
	assert_string_equal(h.rejected, "overload ");
	byte_deinit(&c, &h);
	http_fixture_deinit(&h);
}

static void test_http2(void **state)
{
	enum { REFUSED_STREAM = 7 };
	struct http_fixture h;
	struct h2_client c = {0};
	struct h2_call refused = {0}, served = {0};

	(void)state;
	begin(&h);
	h2_client_connect(&c, &h);
	tight = true;
	h2_call_start(&refused, &c, "GET", "/hi", NULL, true);
	run_until(&h.f, refused.closed);
	assert_int_equal(refused.code, REFUSED_STREAM);
	assert_int_equal(h.heads, 0);
	tight = false; /* the connection lives */
	h2_call_start(&served, &c, "GET", "/hi", NULL, true);
	run_until(&h.f, served.closed);
	assert_string_equal(served.body.data, "hi");
	h2_call_deinit(&refused);
	h2_call_deinit(&served);
	h2_client_deinit(&c, &h);
	http_fixture_deinit(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_http1),
		cmocka_unit_test(test_http2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
