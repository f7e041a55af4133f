/* The older ssl plugin (kong-acme-hybrid.md 4.3): who gets a 426. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data-plane/plugins/plugins.h"
#include "data-plane/tables/fields.h"
#include "tests/unit/lib/fake_request.h"
#include "tests/unit/lib/testentity.h"

struct ssl_row {
	const char *config;
	bool tls, trusted;
	const char *proto[2]; /* X-Forwarded-Proto */
	bool refused;
};

#define ONLY "only_https=!"
#define ACCEPT "only_https=! accept_http_if_already_terminated=!"

static const struct ssl_row rows[] = {
	{"", false, false, {NULL}, false},
	{"accept_http_if_already_terminated=!", false, false, {NULL}, false},
	{"only_https=!no", false, false, {NULL}, false},
	{ONLY, true, false, {NULL}, false},
	{ONLY, true, false, {"http"}, false},
	{ACCEPT, true, false, {NULL}, false},
	{ACCEPT, false, true, {"https"}, false},
	{ACCEPT, false, true, {"HTTPS"}, false},
	{ONLY, false, false, {NULL}, true},
	{ONLY, false, true, {"https"}, true},
	{ACCEPT, false, false, {NULL}, true},
	{ACCEPT, false, false, {"https"}, true}, /* anybody can say so */
	{ACCEPT, false, true, {NULL}, true},
	{ACCEPT, false, true, {"http"}, true},
	{ACCEPT, false, true, {"https", "https"}, true},
	{ACCEPT, false, true, {"https", "http"}, true},
	{ACCEPT, false, true, {"https, http"}, true},
	{ACCEPT, false, true, {"httpss"}, true},
	{ACCEPT, false, true, {""}, true},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		const struct ssl_row *row = &rows[i];
		char config[64] = "";
		struct request r;

		assert_true(plugin_ssl.kind.config_size <= sizeof(config));
		fake_request_init(&r, NULL);
		assert_int_equal(plugin_ssl.kind.configure(
					 config,
					 fields_of(testentity_record(&r.arena, row->config)),
					 &r.arena, NULL),
				 0);
		r.client.tls = row->tls;
		r.client.trusted = row->trusted;
		for (int k = 0; k < 2 && row->proto[k]; k++)
			fake_request_add(&r, "x-forwarded-proto", row->proto[k]);
		if ((plugin_ssl.access(&r, config) == PLUGIN_ANSWERED) != row->refused)
			fail_msg("row %zu", i);
		assert_int_equal(r.status, row->refused ? 426 : 0);
		if (row->refused) {
			assert_string_equal(r.body.ptr,
					    "{\"message\":\"Please use HTTPS protocol\"}");
			assert_int_equal(r.answer_fields.count, 1);
			assert_true(str_eq(http_fields_get(&r.answer_fields, STR("upgrade")),
					   STR("TLS/1.0, HTTP/1.1")));
		}
		fake_request_deinit(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
