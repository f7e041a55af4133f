/* Whole entities: the registry, create, merge, show, form coercion. */
#include "control-plane/model/entity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/core/codec.h"

#define U "5f4f2a0e-0000-4000-8000-00000000000a"
#define V "5f4f2a0e-0000-4000-8000-00000000000b"

static json_t *json(const char *text)
{
	json_error_t why;
	json_t *value = json_loads(text, JSON_DECODE_ANY, &why);

	if (!value)
		fail_msg("%s: %s", why.text, text);
	return value;
}

static void check_json(const char *name, json_t *got, const char *want)
{
	json_t *wanted = json(want);

	if (!json_equal(got, wanted)) {
		char *text = json_dumps(got, JSON_ENCODE_ANY | JSON_COMPACT);

		fail_msg("%s: %s, not %s", name, text, want);
	}
	json_decref(wanted);
	json_decref(got);
}

static void test_registry(void **state)
{
	size_t i = 0;

	(void)state;
	while (entity_at(i)) {
		const struct entity *t = entity_at(i++);

		assert_ptr_equal(entity_find(str_from(t->name)), t);
		assert_string_equal(entity_field_at(t, 0)->name, "id");
		/* References come before referrers. */
		for (size_t k = 0; k < t->field_count; k++)
			if (t->fields[k].type == FIELD_FOREIGN) {
				size_t at = 0;

				while (strcmp(entity_at(at)->name, t->fields[k].reference) != 0)
					at++;
				assert_true(at < i - 1);
			}
	}
	assert_int_equal(i, 14);
	assert_null(entity_find(STR("nothing")));
	assert_null(entity_find(STR("")));
	assert_non_null(entity_field(&entity_snis, STR("tags")));
	assert_null(entity_field(&entity_acme_challenges, STR("tags")));
	assert_null(entity_field(&entity_snis, STR("nam")));
}

/* What stands for an entity in a path; NULL: nothing does. */
static void test_paths(void **state)
{
	static const struct {
		const char *segment;
		const struct entity *top, *below;
	} rows[] = {
		{"services", &entity_services, &entity_services},
		{"mtls-auths", &entity_mtls_auth_credentials, &entity_mtls_auth_credentials},
		{"mtls-auth", NULL, &entity_mtls_auth_credentials},
		{"mtls_auth_credentials", NULL, NULL},
		{"mtls-authss", NULL, NULL},
		{"header-cert-auths", &entity_header_cert_auth_credentials,
		 &entity_header_cert_auth_credentials},
		{"header-cert-auth", NULL, &entity_header_cert_auth_credentials},
		{"service", NULL, NULL},
		{"", NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		assert_ptr_equal(entity_of_path(str_from(rows[i].segment), false), rows[i].top);
		assert_ptr_equal(entity_of_path(str_from(rows[i].segment), true), rows[i].below);
	}
	assert_string_equal(entity_path(&entity_services, true), "services");
	assert_string_equal(entity_path(&entity_mtls_auth_credentials, false), "mtls-auths");
	assert_string_equal(entity_path(&entity_mtls_auth_credentials, true), "mtls-auth");
}

static void test_create(void **state)
{
	static const struct {
		const char *input, *want;
	} rows[] = {
		{"{\"id\":\"" U "\",\"name\":\"a.com\",\"certificate\":{\"id\":\"" V "\"}}",
		 "{\"id\":\"" U "\",\"created_at\":1000,\"updated_at\":1000,\"tags\":null,"
		 "\"name\":\"a.com\",\"certificate\":{\"id\":\"" V "\"},\"tls_min_version\":null}"},
		/* created_at may be given; updated_at is never looked at. */
		{"{\"id\":\"" U "\",\"name\":\"a.com\",\"certificate\":{\"id\":\"" V "\"},"
		 "\"created_at\":5,\"updated_at\":\"junk\",\"tags\":[\"b\",\"a\",\"b\"]}",
		 "{\"id\":\"" U "\",\"created_at\":5,\"updated_at\":1000,\"tags\":[\"b\",\"a\"],"
		 "\"name\":\"a.com\",\"certificate\":{\"id\":\"" V "\"},\"tls_min_version\":null}"},
		{"{\"id\":\"" U "\",\"name\":\"a.com\",\"certificate\":{\"id\":\"" V "\"},"
		 "\"created_at\":null,\"tags\":[]}",
		 "{\"id\":\"" U "\",\"created_at\":1000,\"updated_at\":1000,\"tags\":[],"
		 "\"name\":\"a.com\",\"certificate\":{\"id\":\"" V "\"},\"tls_min_version\":null}"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		json_t *input = json(rows[i].input);
		struct violations v;

		violations_init(&v);
		check_json(rows[i].input, entity_create(&entity_snis, input, 1000000, &v),
			   rows[i].want);
		assert_false(violations_any(&v));
		json_decref(input);
	}
}

static void test_create_makes_ids(void **state)
{
	json_t *input = json("{\"name\":\"a.com\",\"certificate\":{\"id\":\"" V "\"}}");
	struct violations v;
	json_t *a, *b;

	(void)state;
	violations_init(&v);
	a = entity_create(&entity_snis, input, 1000000, &v);
	b = entity_create(&entity_snis, input, 1000000, &v);
	assert_true(uuid_is(str_from(json_string_value(json_object_get(a, "id")))));
	assert_false(json_equal(json_object_get(a, "id"), json_object_get(b, "id")));
	json_decref(a);
	json_decref(b);
	json_decref(input);
}

static void test_refused(void **state)
{
	static const struct {
		const struct entity *entity;
		const char *input, *message;
	} rows[] = {
		{&entity_certificates, "{}",
		 "2 schema violations (cert: required field missing; key: required field missing)"},
		{&entity_snis, "{}",
		 "2 schema violations (certificate: required field missing; name: required field "
		 "missing)"},
		{&entity_snis, "{\"name\":\"a.com\",\"certificate\":{\"id\":\"x\"}}",
		 "schema violation (certificate.id: expected a valid UUID)"},
		{&entity_snis, "{\"name\":\"a.com\",\"certificate\":{}}",
		 "schema violation (certificate.id: missing primary key)"},
		{&entity_snis, "{\"name\":\"a.com\",\"certificate\":{\"id\":\"" V "\"},\"x\":1}",
		 "schema violation (x: unknown field)"},
		{&entity_snis,
		 "{\"name\":\"a.com\",\"certificate\":{\"id\":\"" V "\"},\"id\":\"7\"}",
		 "schema violation (id: expected a valid UUID)"},
		{&entity_snis,
		 "{\"name\":\"a.com\",\"certificate\":{\"id\":\"" V "\"},\"created_at\":\"now\"}",
		 "schema violation (created_at: expected an integer)"},
		{&entity_snis,
		 "{\"name\":\"a.com\",\"certificate\":{\"id\":\"" V
		 "\"},\"tags\":[\"ok\",\"a/b\"]}",
		 "schema violation (tags.2: invalid tag 'a/b': expected printable ascii (except "
		 "`,` and `/`) or valid utf-8 sequences)"},
		{&entity_snis,
		 "{\"name\":\"a.com\",\"certificate\":{\"id\":\"" V "\"},\"tags\":\"one\"}",
		 "schema violation (tags: expected a set)"},
		{&entity_snis, "{\"name\":null,\"certificate\":null,\"a.b\":1}",
		 "3 schema violations (a.b: unknown field; certificate: required field missing; "
		 "name: required field missing)"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		json_t *input = json(rows[i].input);
		struct violations v;
		json_t *body;

		violations_init(&v);
		assert_null(entity_create(rows[i].entity, input, 1000000, &v));
		body = violations_body(&v);
		if (strcmp(json_string_value(json_object_get(body, "message")), rows[i].message) !=
		    0)
			fail_msg("%s", json_string_value(json_object_get(body, "message")));
		json_decref(body);
		json_decref(input);
		violations_deinit(&v);
	}
}

static void test_merge(void **state)
{
	static const char old_text[] =
		"{\"id\":\"" U "\",\"created_at\":5,\"updated_at\":6,\"tags\":[\"t\"],\"name\":"
		"\"a.com\",\"certificate\":{\"id\":\"" V "\"},\"version\":3}";
	static const struct {
		const char *patch, *want;
	} rows[] = {
		{"{}",
		 "{\"id\":\"" U "\",\"created_at\":5,\"updated_at\":1000,\"tags\":[\"t\"],"
		 "\"name\":\"a.com\",\"certificate\":{\"id\":\"" V "\"},\"tls_min_version\":null}"},
		{"{\"id\":\"junk\",\"name\":\"b.com\",\"tags\":null}",
		 "{\"id\":\"" U "\",\"created_at\":5,\"updated_at\":1000,\"tags\":null,"
		 "\"name\":\"b.com\",\"certificate\":{\"id\":\"" V "\"},\"tls_min_version\":null}"},
		{"{\"certificate\":{\"id\":\"" U "\"},\"tags\":[\"x\",\"y\"]}",
		 "{\"id\":\"" U "\",\"created_at\":5,\"updated_at\":1000,\"tags\":[\"x\",\"y\"],"
		 "\"name\":\"a.com\",\"certificate\":{\"id\":\"" U "\"},\"tls_min_version\":null}"},
		{"{\"name\":null}", NULL},
		{"{\"certificate\":null}", NULL},
		{"{\"version\":4}", NULL},
		{"{\"garbage\":1}", NULL},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		json_t *old = json(old_text);
		json_t *patch = json(rows[i].patch);
		struct violations v;
		json_t *merged;

		violations_init(&v);
		merged = entity_merge(&entity_snis, old, patch, 1000000, &v);
		assert_int_equal(!merged, !rows[i].want);
		assert_int_equal(violations_any(&v), !rows[i].want);
		if (merged)
			check_json(rows[i].patch, merged, rows[i].want);
		json_decref(old);
		json_decref(patch);
		violations_deinit(&v);
	}
}

static void test_show(void **state)
{
	json_t *stored = json("{\"id\":\"" U "\",\"cert\":\"C\",\"key\":\"K\",\"version\":9}");

	(void)state;
	check_json("open", entity_show(&entity_certificates, stored, true),
		   "{\"id\":\"" U "\",\"created_at\":null,\"updated_at\":null,\"tags\":null,"
		   "\"cert\":\"C\",\"key\":\"K\",\"cert_alt\":null,\"key_alt\":null,"
		   "\"ocsp_response\":null,\"ocsp_response_alt\":null,\"snis\":null}");
	check_json("closed", entity_show(&entity_certificates, stored, false),
		   "{\"id\":\"" U "\",\"created_at\":null,\"updated_at\":null,\"tags\":null,"
		   "\"cert\":\"C\",\"key\":null,\"cert_alt\":null,\"key_alt\":null,"
		   "\"ocsp_response\":null,\"ocsp_response_alt\":null,\"snis\":null}");
	json_decref(stored);
}

/* Secrets inside a record whose fields follow from its siblings. */
static void test_show_of_a_record(void **state)
{
	json_t *stored = json("{\"name\":\"ssl\",\"config\":{\"cert\":\"C\",\"key\":\"K\"}}");
	json_t *other = json("{\"name\":\"request-termination\",\"config\":{\"key\":\"K\"}}");
	static const struct {
		bool open, ssl;
		const char *want;
	} rows[] = {
		{true, true, "{\"cert\":\"C\",\"key\":\"K\"}"},
		{false, true, "{\"cert\":\"C\",\"key\":null}"},
		{true, false, "{\"key\":\"K\"}"},
		{false, false, "{\"key\":\"K\"}"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		json_t *shown =
			entity_show(&entity_plugins, rows[i].ssl ? stored : other, rows[i].open);

		check_json(rows[i].want, json_incref(json_object_get(shown, "config")),
			   rows[i].want);
		json_decref(shown);
	}
	/* What is stored keeps its secret. */
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(stored, "config"), "key")), "K");
	json_decref(stored);
	json_decref(other);
}

static void test_refuse_transient(void **state)
{
	static const struct {
		const struct entity *entity;
		const char *row, *message; /* NULL: nothing would be lost */
	} rows[] = {
		{&entity_plugins, "{\"name\":\"ssl\",\"config\":{\"cert\":\"C\",\"key\":\"K\"}}",
		 "2 schema violations (config.cert: belongs into 'certificates', under the "
		 "plugin's id; config.key: belongs into 'certificates', under the plugin's id)"},
		{&entity_plugins, "{\"name\":\"ssl\",\"config\":{\"cert\":null,\"key\":null}}",
		 NULL},
		{&entity_plugins, "{\"name\":\"ssl\",\"config\":{\"only_https\":true}}", NULL},
		{&entity_plugins, "{\"name\":\"request-termination\",\"config\":{\"cert\":1}}",
		 NULL},
		{&entity_plugins, "{\"name\":\"none\",\"config\":{\"cert\":1}}", NULL},
		{&entity_plugins, "null", NULL},
		{&entity_certificates, "{\"snis\":[\"a.com\"],\"key\":\"K\"}", NULL},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		json_t *row = json_loads(rows[i].row, JSON_DECODE_ANY, NULL);
		struct violations v;

		violations_init(&v);
		entity_refuse_transient(rows[i].entity, row, &v);
		assert_int_equal(violations_any(&v), rows[i].message != NULL);
		if (rows[i].message) {
			json_t *body = violations_body(&v);

			assert_string_equal(json_string_value(json_object_get(body, "message")),
					    rows[i].message);
			json_decref(body);
		}
		violations_deinit(&v);
		json_decref(row);
	}
}

static void test_coercion(void **state)
{
	static const struct {
		const struct entity *entity;
		const char *input, *want;
	} rows[] = {
		{&entity_certificates, "{\"snis\":\"a.com\"}", "{\"snis\":[\"a.com\"]}"},
		{&entity_certificates, "{\"snis\":[\"a.com\",\"b.com\"]}",
		 "{\"snis\":[\"a.com\",\"b.com\"]}"},
		{&entity_certificates, "{\"snis\":\"\",\"cert_alt\":\"\"}",
		 "{\"snis\":null,\"cert_alt\":null}"},
		{&entity_certificates, "{\"created_at\":\"17\"}", "{\"created_at\":17}"},
		{&entity_certificates, "{\"created_at\":\"17x\"}", "{\"created_at\":\"17x\"}"},
		{&entity_certificates, "{\"created_at\":\"nan\"}", "{\"created_at\":\"nan\"}"},
		{&entity_certificates, "{\"created_at\":\"0x10\"}", "{\"created_at\":\"0x10\"}"},
		{&entity_certificates, "{\"created_at\":\"1e999\"}", "{\"created_at\":\"1e999\"}"},
		{&entity_certificates, "{\"created_at\":\"99999999999999999999\"}",
		 "{\"created_at\":9223372036854775807}"},
		{&entity_certificates, "{\"tags\":\"one\",\"cert\":\"5\"}",
		 "{\"tags\":[\"one\"],\"cert\":\"5\"}"},
		{&entity_snis, "{\"certificate\":{\"id\":\"\"},\"unknown\":\"5\"}",
		 "{\"certificate\":{\"id\":null},\"unknown\":\"5\"}"},
		{&entity_snis, "{\"certificate\":\"text\"}", "{\"certificate\":\"text\"}"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		json_t *input = json(rows[i].input);

		entity_coerce_form(rows[i].entity, input, NULL);
		check_json(rows[i].input, input, rows[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_registry),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_create_makes_ids),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_show),
		cmocka_unit_test(test_show_of_a_record),
		cmocka_unit_test(test_refuse_transient),
		cmocka_unit_test(test_coercion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
