/* request-termination: what is answered, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data-plane/plugins/plugins.h"
#include "data-plane/tables/fields.h"
#include "tests/unit/lib/fake_request.h"
#include "tests/unit/lib/testentity.h"

#define JSON "application/json; charset=utf-8"

struct termination_row {
	const char *config, *query, *field;
	unsigned status; /* 0: goes on */
	const char *type, *body;
};

static const struct termination_row rows[] = {
	{"", NULL, NULL, 503, JSON, "{\"message\":\"Service unavailable\"}"},
	{"status_code=%404", NULL, NULL, 404, JSON, "{\"message\":\"Not found\"}"},
	{"status_code=%100", NULL, NULL, 500, JSON,
	 "{\"message\":\"An unexpected error occurred\"}"},
	{"status_code=%418", NULL, NULL, 418, NULL, ""},
	{"status_code=%200 message=a\"b", NULL, NULL, 200, JSON, "{\"message\":\"a\\\"b\"}"},
	{"body=<b> content_type=text/html", NULL, NULL, 503, "text/html", "<b>"},
	{"body=x", NULL, NULL, 503, "text/plain; charset=utf-8", "x"},
	{"trigger=stop", NULL, NULL, 0, NULL, NULL},
	{"trigger=stop", "a=stop&stopp=1", "x-stop", 0, NULL, NULL},
	{"trigger=stop", "stop=1", NULL, 503, JSON, "{\"message\":\"Service unavailable\"}"},
	{"trigger=stop", "a&stop", NULL, 503, JSON, "{\"message\":\"Service unavailable\"}"},
	{"trigger=Stop", NULL, "stop", 503, JSON, "{\"message\":\"Service unavailable\"}"},
	{"echo=! message=hi", NULL, "x-a", 503, JSON,
	 "{\"message\":\"hi\",\"request\":{\"scheme\":\"https\",\"method\":\"GET\",\"path\":\"/\","
	 "\"headers\":{\"x-a\":\"1\"}}}"},
};

static int configure(struct request *r, void *config, const char *fields)
{
	return plugin_request_termination.kind.configure(
		config, fields_of(testentity_record(&r->arena, fields)), &r->arena, NULL);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		const struct termination_row *row = &rows[i];
		char config[128] = "";
		struct request r;

		assert_true(plugin_request_termination.kind.config_size <= sizeof(config));
		fake_request_init(&r, NULL);
		r.head.query = row->query ? str_from(row->query) : STR_NONE;
		if (row->field)
			fake_request_add(&r, row->field, "1");
		assert_int_equal(configure(&r, config, row->config), 0);
		if ((plugin_request_termination.access(&r, config) == PLUGIN_NEXT) !=
			    (row->status == 0) ||
		    r.status != row->status)
			fail_msg("row %zu: %u", i, r.status);
		if (row->status)
			assert_string_equal(r.body.ptr, row->body);
		if (row->type)
			assert_string_equal(r.type.ptr, row->type);
		else
			assert_null(r.type.ptr);
		fake_request_deinit(&r);
	}
}

static void test_refused(void **state)
{
	static const char *const bad[] = {"status_code=%99", "status_code=%600", "status_code=%-1"};
	char config[128] = "";
	struct request r;

	(void)state;
	fake_request_init(&r, NULL);
	for (size_t i = 0; i < array_len(bad); i++)
		assert_int_equal(configure(&r, config, bad[i]), -1);
	fake_request_deinit(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows),
					   cmocka_unit_test(test_refused)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
