#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "data-plane/proxy/tokens.h"

static const struct {
	const char *text;
	bool bad;
	const char *upstream, *own; /* fields shown, in order */
} rows[] = {
	{"server_tokens, latency_tokens, X-Kong-Request-Id", false,
	 "x-kong-upstream-latency=7 x-kong-proxy-latency=12 via=* x-kong-request-id=0123 ",
	 "x-kong-response-latency=31 x-kong-request-id=0123 "},
	{"off", false, "", ""},
	{" OFF ", false, "", ""},
	{"Via", false, "via=* ", ""},
	{"Server", false, "", ""},
	{"x-kong-upstream-status", false, "x-kong-upstream-status=404 ", ""},
	{"X-Kong-Response-Latency,X-Kong-Proxy-Latency", false, "x-kong-proxy-latency=12 ",
	 "x-kong-response-latency=31 "},
	{"", true, NULL, NULL},
	{"server_tokens,", true, NULL, NULL},
	{"off, via", true, NULL, NULL},
	{"server tokens", true, NULL, NULL},
	{"X-Kong-Admin", true, NULL, NULL},
	{"X_Kong_Request_Id", true, NULL, NULL},
};

static void show(const struct tokens *t, bool from_upstream, char *out, size_t size)
{
	const struct token_facts f = {STR("0123"), from_upstream, 404, 12, 7, 31};
	struct http_fields fields = {0};
	struct arena a;
	size_t n = 0;

	arena_init(&a, 0);
	assert_int_equal(tokens_add(t, &fields, &a, &f), 0);
	out[0] = '\0';
	for (size_t i = 0; i < fields.count; i++) {
		const struct http_field *it = &fields.items[i];
		bool via = str_eq(it->name, STR("via"));

		n += (size_t)snprintf(out + n, size - n, "%.*s=%.*s ", (int)it->name.len,
				      it->name.ptr, via ? 1 : (int)it->value.len,
				      via ? "*" : it->value.ptr);
	}
	arena_deinit(&a);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct err e = ERR_INIT;
		struct tokens t = {0};
		char shown[256];

		if ((tokens_parse(&t, str_from(rows[i].text), &e) != 0) != rows[i].bad)
			fail_msg("%s: %s", rows[i].text, e.message);
		if (rows[i].bad)
			continue;
		show(&t, true, shown, sizeof(shown));
		assert_string_equal(shown, rows[i].upstream);
		show(&t, false, shown, sizeof(shown));
		assert_string_equal(shown, rows[i].own);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
