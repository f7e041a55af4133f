/* Violations by path and the body they become; values against fields of every type. */
#include "control-plane/model/field.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "control-plane/model/validate.h"

static json_t *json(const char *text)
{
	json_error_t why;
	json_t *value = json_loads(text, JSON_DECODE_ANY, &why);

	if (!value)
		fail_msg("%s: %s", why.text, text);
	return value;
}

static void check_json(const char *name, const json_t *got, const char *want)
{
	json_t *wanted = json(want);

	if (!json_equal(got, wanted)) {
		char *text = json_dumps(got, JSON_ENCODE_ANY | JSON_COMPACT);

		fail_msg("%s: %s, not %s", name, text, want);
	}
	json_decref(wanted);
}

static void check_body(const char *name, const struct violations *v, const char *want)
{
	json_t *body = violations_body(v);

	check_json(name, body, want);
	json_decref(body);
}

static void test_body_of_one(void **state)
{
	struct violations v;

	(void)state;
	violations_init(&v);
	assert_false(violations_any(&v));
	violations_add(&v, "host", "required field missing");
	assert_true(violations_any(&v));
	check_body("one", &v,
		   "{\"code\":2,\"name\":\"schema violation\",\"message\":\"schema violation "
		   "(host: required field missing)\",\"fields\":{\"host\":\"required field "
		   "missing\"}}");
	violations_deinit(&v);
}

static void test_body_of_many(void **state)
{
	struct violations v;

	(void)state;
	violations_init(&v);
	violations_add(&v, "snis.3", "invalid value: %s", "!");
	violations_add(&v, "config.a.b", "unknown field");
	violations_add(&v, "config.a.b", "the first text wins");
	violations_add(&v, "config", "a tree is not overwritten");
	violations_add(&v, "config.a.b.c", "nor a text");
	violations_add_entity(&v, "first");
	violations_add_entity(&v, "second");
	check_body("many", &v,
		   "{\"code\":2,\"name\":\"schema violation\",\"message\":\"4 schema violations "
		   "(first; second; config.a.b: unknown field; snis.3: invalid value: !)\","
		   "\"fields\":{\"@entity\":[\"first\",\"second\"],\"config\":{\"a\":{\"b\":"
		   "\"unknown field\"}},\"snis\":[null,null,\"invalid value: !\"]}}");
	violations_deinit(&v);
}

/* A list of wrong values: the answer names the first thousand. */
static void test_body_is_bounded(void **state)
{
	static const struct field element = {.name = "tag", .type = FIELD_STRING};
	static const struct field tags = {
		.name = "tags", .type = FIELD_ARRAY, .elements = &element};
	json_t *given = json_array();
	struct path p = {.count = 0};
	struct violations v;
	json_t *body;

	(void)state;
	violations_init(&v);
	for (int i = 0; i < 5 * VIOLATIONS_MAX; i++)
		json_array_append_new(given, json_integer(i));
	path_push(&p, (struct step){STR("tags"), 0});
	json_decref(field_normalise(&tags, given, &p, &v));
	violations_add(&v, "other", "too late");
	violations_add_entity(&v, "too late as well");
	body = violations_body(&v);
	assert_true(violations_any(&v));
	assert_false(v.no_memory);
	assert_int_equal(v.count, 5 * VIOLATIONS_MAX + 2);
	assert_int_equal(json_array_size(json_object_get(json_object_get(body, "fields"), "tags")),
			 VIOLATIONS_MAX);
	assert_int_equal(json_object_size(json_object_get(body, "fields")), 1);
	assert_non_null(strstr(json_string_value(json_object_get(body, "message")),
			       "1000 schema violations ("));
	json_decref(body);
	json_decref(given);
	violations_deinit(&v);
}

/* Bytes from outside that are no UTF-8 must not break the answer. */
static void test_body_of_bad_bytes(void **state)
{
	struct violations v;
	json_t *body;

	(void)state;
	violations_init(&v);
	violations_add(&v, "name", "invalid value: %s", "\xff\xfe");
	body = violations_body(&v);
	assert_non_null(body);
	json_decref(body);
	violations_deinit(&v);
}

/* --- values --- */

static int check_even(const json_t *value, struct err *e)
{
	return json_integer_value(value) % 2 ? err_set(e, ERR_INVALID, "must be even") : 0;
}

static const char *const colours[] = {"red", "green", NULL};
static const struct field text_element = {
	.name = "t", .type = FIELD_STRING, .flags = FIELD_REQUIRED};
static const struct field map_elements[] = {
	{.name = "k", .type = FIELD_STRING, .flags = FIELD_REQUIRED, .one_of = colours},
	{.name = "v", .type = FIELD_INTEGER, .flags = FIELD_REQUIRED},
};
static const struct field record_fields[] = {
	{.name = "size", .type = FIELD_INTEGER, .fallback = "5"},
	{.name = "colour", .type = FIELD_STRING, .one_of = colours},
};
static const struct field string = {.name = "f", .type = FIELD_STRING};
static const struct field required = {.name = "f", .type = FIELD_STRING, .flags = FIELD_REQUIRED};
static const struct field colour = {.name = "f", .type = FIELD_STRING, .one_of = colours};
static const struct field ranged = {
	.name = "f", .type = FIELD_INTEGER, .min = 1, .max = 9, .fallback = "3"};
static const struct field even = {.name = "f", .type = FIELD_INTEGER, .check = check_even};
static const struct field number = {.name = "f", .type = FIELD_NUMBER, .min = 0, .max = 1};
static const struct field boolean = {.name = "f", .type = FIELD_BOOLEAN, .fallback = "true"};
static const struct field uuid = {.name = "f", .type = FIELD_UUID};
static const struct field at = {.name = "f", .type = FIELD_TIMESTAMP};
static const struct field reference = {
	.name = "f", .type = FIELD_FOREIGN, .reference = "certificates"};
static const struct field named = {.name = "f", .type = FIELD_FOREIGN, .reference = "snis"};
static const struct field set = {.name = "f", .type = FIELD_SET, .elements = &text_element};
static const struct field array = {
	.name = "f", .type = FIELD_ARRAY, .elements = &text_element, .len_min = 1};
static const struct field map = {.name = "f", .type = FIELD_MAP, .elements = map_elements};
static const struct field record = {.name = "f",
				    .type = FIELD_RECORD,
				    .flags = FIELD_REQUIRED,
				    .fields = record_fields,
				    .field_count = 2};

#define U "5f4f2a0e-0000-4000-8000-00000000000a"

static const struct {
	const struct field *field;
	const char *given; /* NULL: absent */
	const char *want;  /* value, or fields of the violations when it begins with `!` */
} values[] = {
	{&string, "\"x\"", "\"x\""},
	{&string, NULL, "null"},
	{&string, "null", "null"},
	{&string, "\"\"", "!{\"f\":\"length must be at least 1\"}"},
	{&string, "1", "!{\"f\":\"expected a string\"}"},
	{&string, "[\"x\"]", "!{\"f\":\"expected a string\"}"},
	{&required, NULL, "!{\"f\":\"required field missing\"}"},
	{&required, "null", "!{\"f\":\"required field missing\"}"},
	{&colour, "\"red\"", "\"red\""},
	{&colour, "\"blue\"", "!{\"f\":\"expected one of: red, green\"}"},
	{&ranged, NULL, "3"},
	{&ranged, "null", "null"},
	{&ranged, "9", "9"},
	{&ranged, "9.0", "9"},
	{&ranged, "0", "!{\"f\":\"value should be between 1 and 9\"}"},
	{&ranged, "1.5", "!{\"f\":\"expected an integer\"}"},
	{&ranged, "\"5\"", "!{\"f\":\"expected an integer\"}"},
	{&ranged, "1e300", "!{\"f\":\"expected an integer\"}"},
	{&even, "4", "4"},
	{&even, "5", "!{\"f\":\"must be even\"}"},
	{&even, "\"x\"", "!{\"f\":\"expected an integer\"}"},
	{&number, "0.5", "0.5"},
	{&number, "1.5", "!{\"f\":\"value should be between 0 and 1\"}"},
	{&number, "\"1\"", "!{\"f\":\"expected a number\"}"},
	{&boolean, NULL, "true"},
	{&boolean, "false", "false"},
	{&boolean, "\"true\"", "!{\"f\":\"expected a boolean\"}"},
	{&uuid, "\"5F4F2A0E-0000-4000-8000-00000000000A\"", "\"" U "\""},
	{&uuid, "\"5f4f2a0e\"", "!{\"f\":\"expected a valid UUID\"}"},
	{&uuid, "5", "!{\"f\":\"expected a string\"}"},
	{&at, "1700000000", "1700000000"},
	{&at, "0", "!{\"f\":\"expected a valid timestamp\"}"},
	{&at, "-5", "!{\"f\":\"expected a valid timestamp\"}"},
	{&at, "999999999999999", "!{\"f\":\"expected a valid timestamp\"}"},
	{&at, "\"now\"", "!{\"f\":\"expected an integer\"}"},
	{&reference, "{\"id\":\"" U "\"}", "{\"id\":\"" U "\"}"},
	{&reference, "{\"id\":\"" U "\",\"cert\":\"skipped\"}", "{\"id\":\"" U "\"}"},
	{&reference, "{\"id\":\"x\"}", "!{\"f\":{\"id\":\"expected a valid UUID\"}}"},
	{&reference, "{\"id\":7}", "!{\"f\":{\"id\":\"expected a valid UUID\"}}"},
	{&reference, "{}", "!{\"f\":{\"id\":\"missing primary key\"}}"},
	{&reference, "{\"name\":\"a\"}", "!{\"f\":{\"id\":\"missing primary key\"}}"},
	{&reference, "\"" U "\"", "!{\"f\":\"expected a record\"}"},
	{&named, "{\"name\":\"a.com\"}", "{\"name\":\"a.com\"}"},
	{&named, "{\"name\":7}", "!{\"f\":{\"id\":\"missing primary key\"}}"},
	{&set, "[\"b\",\"a\",\"b\"]", "[\"b\",\"a\"]"},
	{&set, "[]", "[]"},
	{&set, "\"a\"", "!{\"f\":\"expected a set\"}"},
	{&set, "[\"a\",1,null]",
	 "!{\"f\":[null,\"expected a string\",\"required field missing\"]}"},
	{&array, "[\"b\",\"b\"]", "[\"b\",\"b\"]"},
	{&array, "[]", "!{\"f\":\"length must be at least 1\"}"},
	{&array, "{}", "!{\"f\":\"expected an array\"}"},
	{&map, "{\"red\":1}", "{\"red\":1}"},
	{&map, "{\"blue\":1}", "!{\"f\":{\"blue\":\"expected one of: red, green\"}}"},
	{&map, "{\"red\":\"1\"}", "!{\"f\":{\"red\":\"expected an integer\"}}"},
	{&map, "[]", "!{\"f\":\"expected a map\"}"},
	{&record, NULL, "{\"size\":5,\"colour\":null}"},
	{&record, "{\"size\":7}", "{\"size\":7,\"colour\":null}"},
	{&record, "{\"size\":\"7\",\"x.1000000\":1}",
	 "!{\"f\":{\"size\":\"expected an integer\",\"x.1000000\":\"unknown field\"}}"},
	{&record, "null", "!{\"f\":\"required field missing\"}"},
	{&record, "3", "!{\"f\":\"expected a record\"}"},
};

static void check_value(size_t i)
{
	json_t *given = values[i].given ? json(values[i].given) : NULL;
	struct path p = {.steps = {{STR("f"), 0}}, .count = 1};
	struct violations v;
	json_t *out;

	violations_init(&v);
	out = field_normalise(values[i].field, given, &p, &v);
	assert_false(v.no_memory);
	if (values[i].want[0] == '!') {
		assert_true(violations_any(&v));
		check_json(values[i].given, v.fields, values[i].want + 1);
	} else {
		if (violations_any(&v))
			fail_msg("%s", values[i].given ? values[i].given : "absent");
		check_json(values[i].given ? values[i].given : "absent", out, values[i].want);
	}
	json_decref(out);
	json_decref(given);
	violations_deinit(&v);
}

static void test_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(values); i++)
		check_value(i);
}

static void test_nul_bytes(void **state)
{
	json_t *given = json_stringn("a\0b", 3);
	struct path p = {.steps = {{STR("f"), 0}}, .count = 1};
	struct violations v;

	(void)state;
	violations_init(&v);
	json_decref(field_normalise(&string, given, &p, &v));
	assert_true(violations_any(&v));
	json_decref(given);
	violations_deinit(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_body_of_one),	cmocka_unit_test(test_body_of_many),
		cmocka_unit_test(test_body_is_bounded), cmocka_unit_test(test_body_of_bad_bytes),
		cmocka_unit_test(test_values),		cmocka_unit_test(test_nul_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
