/* SNIs that a route's hosts ask for. The rest is tested by tests/integration/test_apis.py, against
 * PostgreSQL. */
#include "control-plane/admin/plugin_certificate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static json_t *json(const char *text)
{
	json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);

	if (!value)
		fail_msg("%s", text);
	return value;
}

static void test_names(void **state)
{
	static const struct {
		const char *there, *hosts, *want;
	} rows[] = {
		{"[]", "[\"a.com\",\"b.com\"]", "[\"a.com\",\"b.com\"]"},
		{"[]", "[\"a.com:8080\",\"a.com\"]", "[\"a.com\"]"},
		{"[]", "[\"*.a.com\",\"a.*\",\"*.a.com:80\"]", "[\"*.a.com\",\"a.*\"]"},
		{"[]", "[\"A.com\",\"a.COM\"]", "[\"A.com\"]"},
		{"[\"a.com\"]", "[\"A.COM\",\"b.com\"]", "[\"a.com\",\"b.com\"]"},
		/* No name of a certificate is an address. */
		{"[]", "[\"10.0.0.1\",\"10.0.0.1:80\",\"[::1]\",\"::1\"]", "[]"},
		{"[]", "[\"\",\":80\"]", "[]"},
		{"[\"a.com\"]", "[]", "[\"a.com\"]"},
		{"[]", "null", "[]"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		json_t *names = json(rows[i].there), *hosts = json(rows[i].hosts);
		json_t *want = json(rows[i].want);

		assert_int_equal(plugin_certificate_names(names, hosts), 0);
		if (!json_equal(names, want))
			fail_msg("%s: %s", rows[i].hosts, json_dumps(names, 0));
		json_decref(names);
		json_decref(hosts);
		json_decref(want);
	}
}

static void test_for(void **state)
{
	static const struct {
		const char *plugin;
		bool want;
	} rows[] = {
		{"{\"name\":\"ssl\"}", true},
		{"{\"name\":\"SSL\"}", false},
		{"{\"name\":\"ss\"}", false},
		{"{\"name\":5}", false},
		{"{}", false},
		{"null", false},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		json_t *plugin = json(rows[i].plugin);

		assert_int_equal(plugin_certificate_for(plugin), rows[i].want);
		json_decref(plugin);
	}
	assert_false(plugin_certificate_for(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
