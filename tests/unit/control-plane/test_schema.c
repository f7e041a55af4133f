/* Schemas: every field of every entity, and that defaults are what is stored. */
#include "control-plane/model/schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The description of a field in a list of one-key objects. */
static json_t *find(const json_t *schema, const char *name)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(schema, "fields"), i, one)
	{
		json_t *found = json_object_get(one, name);

		assert_int_equal(json_object_size(one), 1);
		if (found)
			return found;
	}
	return NULL;
}

static void test_every_entity(void **state)
{
	const struct entity *t;
	const struct field *f;

	(void)state;
	for (size_t i = 0; (t = entity_at(i)); i++) {
		json_t *schema = schema_of_entity(t);

		for (size_t k = 0; (f = entity_field_at(t, k)); k++) {
			const json_t *found = find(schema, f->name);

			if (f->flags & FIELD_TRANSIENT)
				assert_null(found);
			else
				assert_non_null(json_object_get(found, "type"));
		}
		assert_true(json_is_array(json_object_get(schema, "entity_checks")));
		json_decref(schema);
	}
}

static void test_attributes(void **state)
{
	static const struct {
		const struct entity *entity;
		const char *field, *want;
	} rows[] = {
		{&entity_services, "port",
		 "{\"type\":\"integer\",\"required\":true,\"between\":[0,65535],\"default\":80}"},
		{&entity_services, "client_certificate",
		 "{\"type\":\"foreign\",\"reference\":\"certificates\"}"},
		{&entity_routes, "path_handling",
		 "{\"type\":\"string\",\"one_of\":[\"v0\",\"v1\"],\"default\":\"v0\"}"},
		{&entity_routes, "id", "{\"type\":\"string\",\"uuid\":true,\"auto\":true}"},
		{&entity_targets, "created_at",
		 "{\"type\":\"number\",\"timestamp\":true,\"auto\":true}"},
		{&entity_routes, "created_at",
		 "{\"type\":\"integer\",\"timestamp\":true,\"auto\":true}"},
		{&entity_plugins, "config",
		 "{\"type\":\"record\",\"required\":true,\"fields\":[]}"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		json_t *schema = schema_of_entity(rows[i].entity);
		json_t *want = json_loads(rows[i].want, 0, NULL);

		assert_non_null(want);
		if (!json_equal(find(schema, rows[i].field), want))
			fail_msg("%s is not %s", rows[i].field, rows[i].want);
		json_decref(want);
		json_decref(schema);
	}
}

static void test_plugins(void **state)
{
	const struct plugin_schema *p;

	(void)state;
	for (size_t i = 0; (p = plugin_schema_at(i)); i++) {
		json_t *schema = schema_of_plugin(p), *config = schema_of_config(p);

		assert_ptr_equal(plugin_schema_find(str_from(p->name)), p);
		assert_non_null(find(schema, "consumer"));
		assert_non_null(json_object_get(find(schema, "protocols"), "default"));
		assert_true(json_equal(json_object_get(find(schema, "config"), "fields"),
				       json_object_get(config, "fields")));
		json_decref(schema);
		json_decref(config);
	}
	assert_null(plugin_schema_find(STR("")));
	assert_null(plugin_schema_find(STR_NONE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_entity),
		cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_plugins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
