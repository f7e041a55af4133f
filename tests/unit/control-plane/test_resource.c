/* What a command line calls ENTITY, and what addresses a row. */
#include "control-plane/cli/resource.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/lib/oom.h"

static const struct {
	const char *text;
	const char *path; /* with '!': the error */
} rows[] = {
	{"services", "/services"},
	{"service", "/services"},
	{"ca_certificate", "/ca_certificates"},
	{"upstreams/api/targets", "/upstreams/api/targets"},
	{"upstream/a b?#%/target", "/upstreams/a%20b%3F%23%25/targets"},
	{"certificates/a.com/snis", "/certificates/a.com/snis"},
	{"mtls_auth_credentials", "/mtls-auths"},
	{"mtls-auths", "/mtls-auths"},
	{"consumers/bob/mtls-auth", "/consumers/bob/mtls-auth"},
	{"consumer/bob/mtls_auth_credential", "/consumers/bob/mtls-auth"},
	{"consumer/bob/header_cert_auth_credential", "/consumers/bob/header-cert-auth"},
	{"header_cert_auth_credentials", "/header-cert-auths"},
	{"services/\xc3\xa4/plugins", "/services/%C3%A4/plugins"},
	{"", "!no entity ; there are: certificates, snis, "},
	{"Services", "!no entity Services; there are: "},
	{"acme_challenges", "!no entity acme_challenges; there are: "},
	{"/services", "!no entity "},
	{"services/", "!services/: expected ENTITY or ENTITY/KEY/ENTITY"},
	{"services/a", "!services/a: expected ENTITY or ENTITY/KEY/ENTITY"},
	{"services/a/", "!no entity ; there are: "},
	{"services/a/routes/", "!services/a/routes/: expected ENTITY or ENTITY/KEY/ENTITY"},
	{"services/a/routes/b", "!services/a/routes/b: expected ENTITY or ENTITY/KEY/ENTITY"},
	{"services/a/nobodies", "!no entity nobodies; there are: "},
	{"nobodies/a/routes", "!no entity nobodies; there are: "},
	{"services//routes", "!services//routes: no list of routes below services"},
	{"routes/a/services", "!routes/a/services: no list of services below routes"},
	{"targets", "!targets are below something: upstreams/KEY/targets"},
	{"services/a/targets", "!services/a/targets: no list of targets below services"},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct resource r = {.entity = NULL};
		struct err e = ERR_INIT;
		int rc = resource_parse(&r, rows[i].text, &e);

		if (rows[i].path[0] != '!') {
			assert_int_equal(rc, 0);
			assert_string_equal(r.path.data, rows[i].path);
			buf_deinit(&r.path);
			continue;
		}
		assert_int_equal(rc, -1);
		assert_int_equal(e.kind, ERR_INVALID);
		assert_null(r.entity);
		if (!str_starts(str_from(e.message), str_from(rows[i].path + 1)))
			fail_msg("%s: %s", rows[i].text, e.message);
	}
}

static void test_keys(void **state)
{
	static const struct {
		const struct entity *entity;
		const char *row, *key, *name; /* key NULL: none */
	} cases[] = {
		{&entity_services, "{\"id\":\"i\",\"name\":\"n\"}", "i", "n"},
		{&entity_services, "{\"id\":\"i\",\"name\":null}", "i", "i"},
		{&entity_services, "{\"name\":\"n\"}", "n", "n"},
		{&entity_services, "{\"id\":\"\",\"name\":\"\"}", NULL, ""},
		{&entity_services, "{\"id\":7}", NULL, ""},
		{&entity_services, "[]", NULL, ""},
		{&entity_certificates, "{\"id\":\"i\",\"snis\":[\"a\",\"b\"]}", "i", "a"},
		{&entity_certificates, "{\"snis\":[\"a\"]}", "a", "a"},
		{&entity_certificates, "{\"snis\":[]}", NULL, ""},
		{&entity_certificates, "{\"name\":\"n\"}", NULL, ""},
		{&entity_ca_certificates, "{\"name\":\"n\"}", NULL, ""},
		{&entity_targets, "{\"target\":\"a:1\"}", "a:1", "a:1"},
		{&entity_consumers, "{\"username\":\"u\"}", "u", "u"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(cases); i++) {
		json_t *row = json_loads(cases[i].row, 0, NULL);
		struct str key = resource_key(cases[i].entity, row);

		if (cases[i].key)
			assert_true(str_eq(key, str_from(cases[i].key)));
		else
			assert_null(key.ptr);
		assert_string_equal(resource_name(cases[i].entity, row), cases[i].name);
		json_decref(row);
	}
}

static void parse_some(void *arg)
{
	struct resource r;

	(void)arg;
	for (size_t i = 0; i < array_len(rows); i++)
		if (resource_parse(&r, rows[i].text, NULL) == 0)
			buf_deinit(&r.path);
}

static void test_out_of_memory(void **state)
{
	(void)state;
	assert_true(oom_each(parse_some, NULL) > 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
