/* model/verification: which rows switch the verification of certificates off. */
#include "control-plane/model/verification.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_rows(void **state)
{
	static const struct {
		const char *entity, *row;
		bool refused;
	} rows[] = {
		{"services", "{\"protocol\":\"https\",\"tls_verify\":false}", true},
		{"upstreams",
		 "{\"healthchecks\":{\"active\":{\"https_verify_certificate\":false}}}", true},
		{"plugins", "{\"config\":{\"ssl_verify\":false}}", true},
		{"services", "{\"protocol\":\"https\",\"tls_verify\":true}", false},
		{"services", "{\"protocol\":\"https\",\"tls_verify\":null}", false},
		{"services", "{\"protocol\":\"http\"}", false},
		{"upstreams", "{\"healthchecks\":{\"active\":{}}}", false},
		{"upstreams", "{\"healthchecks\":null}", false},
		{"upstreams", "{}", false},
		{"plugins", "{\"config\":{\"ssl_verify\":true}}", false},
		{"plugins", "{\"config\":null}", false},
		{"plugins", "{\"tls_verify\":false}", false},
		{"consumers", "{\"tls_verify\":false}", false},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		const struct entity *t = entity_find(str_from(rows[i].entity));
		json_t *row = json_loads(rows[i].row, 0, NULL);
		struct violations v;

		assert_non_null(t);
		assert_non_null(row);
		violations_init(&v);
		verification_check(t, row, &v);
		if (violations_any(&v) != rows[i].refused)
			fail_msg("%s %s", rows[i].entity, rows[i].row);
		violations_deinit(&v);
		json_decref(row);
	}
}

static void test_no_row(void **state)
{
	struct violations v;

	(void)state;
	violations_init(&v);
	verification_check(entity_find(STR("services")), NULL, &v);
	assert_false(violations_any(&v));
	violations_deinit(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_no_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
