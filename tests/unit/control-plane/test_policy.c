/* What Kong's plugin says about orders: which names, which directory, which key, when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "control-plane/acme/policy.h"

static json_t *parse(const char *text)
{
	json_t *v = json_loads(text, 0, NULL);

	assert_non_null(v);
	return v;
}

static void test_covers(void **state)
{
	static const struct {
		const char *config, *names;
		bool covers;
	} rows[] = {
		{"{}", "a.example", true},
		{"{\"domains\":[]}", "a.example", true},
		{"{\"domains\":null}", "a.example", true},
		{"{\"domains\":[\"a.example\"]}", "a.example", true},
		{"{\"domains\":[\"A.example\"]}", "a.example", true},
		{"{\"domains\":[\"a.example\"]}", "b.example", false},
		{"{\"domains\":[\"a.example\"]}", "a.example b.example", false},
		{"{\"domains\":[\"a.example\",\"b.example\"]}", "a.example b.example", true},
		{"{\"domains\":[\"*.example\"]}", "a.example b.c.example", true},
		{"{\"domains\":[\"*.example\"]}", "example", false},
		{"{\"domains\":[\"a.example\"],\"allow_any_domain\":true}", "b.example", true},
		{"{\"domains\":[\"a.example\"],\"allow_any_domain\":false}", "b.example", false},
	};

	(void)state;
	assert_false(policy_covers(NULL, STR("a.example")));
	for (size_t i = 0; i < array_len(rows); i++) {
		json_t *config = parse(rows[i].config);

		if (policy_covers(config, str_from(rows[i].names)) != rows[i].covers)
			fail_msg("%s: %s", rows[i].config, rows[i].names);
		json_decref(config);
	}
}

static void test_directory(void **state)
{
	static const struct {
		const char *config, *directory; /* NULL: refused */
	} rows[] = {
		{"{\"api_uri\":\"https://a/directory\"}", "https://a/directory"},
		{"{\"api_uri\":\"https://a\"}", "https://a/directory"},
		{"{\"api_uri\":\"https://a/\"}", "https://a/directory"},
		{"{\"api_uri\":\"https://a/acme\"}", "https://a/acme/directory"},
		{"{}", NULL},
		{"{\"api_uri\":\"\"}", NULL},
		{"{\"api_uri\":null}", NULL},
		{"{\"api_uri\":7}", NULL},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		json_t *config = parse(rows[i].config);
		struct buf out = BUF_INIT;
		struct err e = ERR_INIT;
		int rc = policy_directory(config, &out, &e);

		assert_int_equal(rc, rows[i].directory ? 0 : -1);
		if (rows[i].directory)
			assert_string_equal(out.data, rows[i].directory);
		buf_deinit(&out);
		json_decref(config);
	}
}

static void test_key_type(void **state)
{
	static const char *const rows[][2] = {
		{"{\"cert_type\":\"ecc\",\"rsa_key_size\":2048}", "ecdsa-p256"},
		{"{\"cert_type\":\"rsa\",\"rsa_key_size\":2048}", "rsa-2048"},
		{"{\"cert_type\":\"rsa\",\"rsa_key_size\":3072}", "rsa-3072"},
		{"{\"cert_type\":\"rsa\",\"rsa_key_size\":4096}", "rsa-4096"},
		{"{\"cert_type\":\"rsa\"}", "rsa-4096"},
		{"{\"rsa_key_size\":1024}", "rsa-4096"},
		{"{\"cert_type\":\"dsa\"}", "rsa-4096"},
		{"{}", "rsa-4096"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		json_t *config = parse(rows[i][0]);

		assert_string_equal(policy_key_type(config), rows[i][1]);
		json_decref(config);
	}
}

static void test_times(void **state)
{
	static const struct {
		const char *config;
		int64_t lifetime_s;
		int percent; /* of the lifetime, rounded down; 33: the fallback */
		uint64_t backoff_ms;
	} rows[] = {
		{"{\"renew_threshold_days\":14}", 90 * 86400, 15, 0},
		{"{\"renew_threshold_days\":30}", 90 * 86400, 33, 0},
		{"{\"renew_threshold_days\":60}", 90 * 86400, 66, 0},
		{"{\"renew_threshold_days\":61}", 90 * 86400, 33, 0},
		{"{\"renew_threshold_days\":14}", 6 * 86400, 33, 0},
		{"{\"renew_threshold_days\":14}", 60, 33, 0},
		{"{\"renew_threshold_days\":14}", 0, 33, 0},
		{"{\"renew_threshold_days\":14}", -5, 33, 0},
		{"{\"renew_threshold_days\":0}", 90 * 86400, 33, 0},
		{"{\"renew_threshold_days\":-1}", 90 * 86400, 33, 0},
		{"{\"renew_threshold_days\":0.9}", 9 * 86400, 10, 0},
		{"{\"fail_backoff_minutes\":5}", 60, 33, 300000},
		{"{\"fail_backoff_minutes\":0.5}", 60, 33, 30000},
		{"{\"fail_backoff_minutes\":-5}", 60, 33, 0},
		{"{\"fail_backoff_minutes\":\"5\"}", 60, 33, 0},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		json_t *config = parse(rows[i].config);
		double share = policy_renew_fraction(config, rows[i].lifetime_s, 0.333);

		if ((int)(share * 100 + 0.001) != rows[i].percent)
			fail_msg("%s: %f", rows[i].config, share);
		assert_int_equal(policy_backoff_ms(config), rows[i].backoff_ms);
		json_decref(config);
	}
}

static void test_texts(void **state)
{
	json_t *config = parse("{\"a\":\"x\",\"b\":\"\",\"c\":null,\"d\":7}");

	(void)state;
	assert_string_equal(policy_text(config, "a"), "x");
	for (const char *name = "bcde"; *name; name++)
		assert_null(policy_text(config, (const char[]){*name, '\0'}));
	assert_null(policy_text(NULL, "a"));
	json_decref(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_covers),	 cmocka_unit_test(test_directory),
		cmocka_unit_test(test_key_type), cmocka_unit_test(test_times),
		cmocka_unit_test(test_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
