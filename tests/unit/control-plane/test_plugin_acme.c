/* The config of plugin "acme": rules over several fields, and which names it is for. */
#include "control-plane/model/plugin_acme.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "control-plane/model/entity.h"

static json_t *json(const char *text)
{
	json_t *value = json_loads(text, 0, NULL);

	assert_non_null(value);
	return value;
}

static void test_allows(void **state)
{
	static const struct {
		const char *config, *name;
		bool want;
	} rows[] = {
		{"{}", "a.com", false},
		{"{\"domains\":[]}", "a.com", false},
		{"{\"domains\":null}", "a.com", false},
		{"{\"allow_any_domain\":true}", "a.com", true},
		{"{\"allow_any_domain\":false,\"domains\":[\"b.com\"]}", "a.com", false},
		{"{\"domains\":[\"b.com\",\"a.com\"]}", "a.com", true},
		{"{\"domains\":[\"A.COM\"]}", "a.com", true},
		{"{\"domains\":[\"a.com\"]}", "b.a.com", false},
		{"{\"domains\":[\"a.com\"]}", "aa.com", false},
		{"{\"domains\":[\"*.a.com\"]}", "b.a.com", true},
		{"{\"domains\":[\"*.a.com\"]}", "c.b.a.com", true},
		{"{\"domains\":[\"*.A.com\"]}", "b.a.com", true},
		{"{\"domains\":[\"*.a.com\"]}", "a.com", false},
		{"{\"domains\":[\"*.a.com\"]}", ".a.com", false},
		{"{\"domains\":[\"*.a.com\"]}", "ba.com", false},
		{"{\"domains\":[\"*.a.com\"]}", "b.a.com.evil.com", false},
		{"{\"domains\":[\"*.a.com\"]}", "bxaxcom", false},
		{"{\"domains\":[\"a.*\"]}", "a.com", true},
		{"{\"domains\":[\"a.*\"]}", "a.b.com", true},
		{"{\"domains\":[\"a.*\"]}", "a.", false},
		{"{\"domains\":[\"a.*\"]}", "b.a.com", false},
		{"{\"domains\":[\"*\"]}", "a.com", true},
		{"{\"domains\":[\"*\"]}", "", false},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		json_t *config = json(rows[i].config);

		if (plugin_acme_allows(config, str_from(rows[i].name)) != rows[i].want)
			fail_msg("%s and %s", rows[i].config, rows[i].name);
		json_decref(config);
	}
}

static void test_check(void **state)
{
#define REDIS "\"storage\":\"redis\",\"storage_config\":{\"redis\":{\"host\":"
	static const struct {
		const char *config, *want; /* the first path of a violation; NULL: none */
	} rows[] = {
		{"{}", NULL},
		{"{\"eab_kid\":\"k\",\"eab_hmac_key\":\"h\"}", NULL},
		{"{\"eab_kid\":\"k\"}", "eab_hmac_key"},
		{"{\"eab_hmac_key\":\"h\"}", "eab_kid"},
		{"{" REDIS "\"h\"}}}", NULL},
		{"{" REDIS "null}}}", "storage_config"},
		{"{\"storage\":\"redis\"}", "storage_config"},
		{"{\"storage\":\"shm\"}", NULL},
		{"{\"api_uri\":\"https://acme-v02.api.letsencrypt.org/directory\"}", NULL},
		{"{\"api_uri\":\"https://acme-v02.api.letsencrypt.org\"}", "tos_accepted"},
		{"{\"api_uri\":\"https://acme-staging-v02.api.letsencrypt.org\"}", "tos_accepted"},
		{"{\"api_uri\":\"https://acme-v02.api.letsencrypt.org\",\"tos_accepted\":true}",
		 NULL},
		{"{\"api_uri\":\"https://ca.example.com\"}", NULL},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		json_t *config = json(rows[i].config);
		struct violations v;

		violations_init(&v);
		plugin_acme_check(config, &v);
		assert_int_equal(violations_any(&v), rows[i].want != NULL);
		if (rows[i].want)
			assert_non_null(
				json_object_get(json_object_get(v.fields, "config"), rows[i].want));
		violations_deinit(&v);
		json_decref(config);
	}
}

/* Every field of the table by itself. */
static void test_fields(void **state)
{
	static const struct {
		const char *config;
		bool good;
	} rows[] = {
		{"{\"account_email\":\"a@b.c\"}", true},
		{"{}", false},
		{"{\"account_email\":\"ab.c\"}", false},
		{"{\"account_email\":\"a@b.c\",\"api_uri\":\"ftp://a\"}", false},
		{"{\"account_email\":\"a@b.c\",\"cert_type\":\"dsa\"}", false},
		{"{\"account_email\":\"a@b.c\",\"cert_type\":\"ecc\"}", true},
		{"{\"account_email\":\"a@b.c\",\"rsa_key_size\":1024}", false},
		{"{\"account_email\":\"a@b.c\",\"rsa_key_size\":3072}", true},
		{"{\"account_email\":\"a@b.c\",\"renew_threshold_days\":-1}", false},
		{"{\"account_email\":\"a@b.c\",\"renew_threshold_days\":0.5}", true},
		{"{\"account_email\":\"a@b.c\",\"domains\":[\"*.a.com\",\"a.*\",\"a.com\"]}", true},
		{"{\"account_email\":\"a@b.c\",\"domains\":[\"a.*.com\"]}", false},
		{"{\"account_email\":\"a@b.c\",\"domains\":\"a.com\"}", false},
		{"{\"account_email\":\"a@b.c\",\"storage\":\"file\"}", false},
		{"{\"account_email\":\"a@b.c\",\"storage\":\"vault\"}", true},
		{"{\"account_email\":\"a@b.c\",\"account_key\":{}}", false},
		{"{\"account_email\":\"a@b.c\",\"account_key\":{\"key_id\":\"k\"}}", true},
		{"{\"account_email\":\"a@b.c\",\"storage_config\":{\"redis\":{\"port\":65536}}}",
		 false},
		{"{\"account_email\":\"a@b.c\",\"storage_config\":{\"redis\":{\"extra_options\":"
		 "{\"namespace\":\"\"}}}}",
		 true},
		{"{\"account_email\":\"a@b.c\",\"storage_config\":{\"redis\":{\"extra_options\":"
		 "{\"namespace\":\"kong_acme:cert_key:x\"}}}}",
		 false},
		{"{\"account_email\":\"a@b.c\",\"storage_config\":{\"vault\":{\"auth_method\":"
		 "\"ldap\"}}}",
		 false},
		{"{\"account_email\":\"a@b.c\",\"surprise\":1}", false},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		json_t *input = json_pack("{s:s, s:o}", "name", PLUGIN_ACME, "config",
					  json(rows[i].config));
		struct violations v;
		json_t *row;

		violations_init(&v);
		row = entity_create(&entity_plugins, input, 0, &v);
		if (violations_any(&v) == rows[i].good)
			fail_msg("%s", rows[i].config);
		violations_deinit(&v);
		json_decref(row);
		json_decref(input);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_allows),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
