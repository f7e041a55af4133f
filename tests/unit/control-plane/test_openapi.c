/* The OpenAPI description: complete by the tables it is made from, and every reference leads
 * somewhere. Its answers are compared with real ones by tests/integration/test_openapi.py. */
#include "control-plane/admin/openapi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "control-plane/admin/openapi_docs.h"
#include "control-plane/admin/paths.h"
#include "control-plane/model/json_schema.h"
#include "tests/unit/lib/oom.h"

static json_t *document;

static int make_document(void **state)
{
	(void)state;
	document = openapi_make(true);
	return document ? 0 : -1;
}

static int drop_document(void **state)
{
	(void)state;
	json_decref(document);
	return 0;
}

/* "#/a/b" in the document; names have no '/' or '~' that would need escapes. */
static const json_t *lookup(const char *reference)
{
	struct str rest = str_from(reference), part;
	const json_t *at = document;

	if (!str_starts(rest, STR("#/")))
		return NULL;
	rest = str_sub(rest, 2, rest.len);
	while (at && str_split(&rest, '/', &part))
		at = json_object_getn(at, part.ptr, part.len);
	return at;
}

static size_t check_references(json_t *j)
{
	const char *name = json_string_value(json_object_get(j, "$ref"));
	size_t count = name ? 1 : 0;

	if (name && !lookup(name))
		fail_msg("%s leads nowhere", name);
	for (void *it = json_object_iter(j); it; it = json_object_iter_next(j, it))
		count += check_references(json_object_iter_value(it));
	for (size_t i = 0; i < json_array_size(j); i++)
		count += check_references(json_array_get(j, i));
	return count;
}

static void test_references(void **state)
{
	(void)state;
	assert_true(check_references(document) > 500);
}

static const json_t *method_of(const char *path, const char *method)
{
	return json_object_get(json_object_get(json_object_get(document, "paths"), path), method);
}

struct tally {
	size_t paths, undocumented;
};

/* Each handler has an operation, and none is there without. */
static int check_path(const struct api_path *p, void *arg)
{
	const struct {
		const char *name;
		admin_handler handler;
	} methods[] = {
		{"get", p->route->get},	    {"post", p->route->post},  {"put", p->route->put},
		{"patch", p->route->patch}, {"delete", p->route->del},
	};
	struct tally *t = arg;

	t->paths++;
	for (size_t i = 0; i < array_len(methods); i++) {
		const json_t *o = method_of(p->text, methods[i].name);

		if (!o != !methods[i].handler)
			fail_msg("%s %s", methods[i].name, p->text);
		if (!o || p->entity || openapi_doc_find(p->route->pattern, methods[i].name))
			continue;
		print_error("%s %s has no row in openapi_docs.c\n", methods[i].name, p->text);
		t->undocumented++;
	}
	return 0;
}

static void test_paths(void **state)
{
	struct tally t = {0};

	(void)state;
	assert_int_equal(paths_each(check_path, &t), 0);
	assert_int_equal(json_object_size(json_object_get(document, "paths")), t.paths);
	assert_true(t.paths > 50);
	assert_int_equal(t.undocumented, 0);
}

static void test_parts_are_json(void **state)
{
	static const struct openapi_part *const tables[] = {openapi_schemas, openapi_parameters,
							    openapi_headers, openapi_security};

	(void)state;
	for (size_t i = 0; i < array_len(tables); i++) {
		for (const struct openapi_part *p = tables[i]; p->name; p++) {
			json_error_t why;
			json_t *j = json_loads(p->json, JSON_REJECT_DUPLICATES, &why);

			if (!j)
				fail_msg("%s: %s at %d", p->name, why.text, why.position);
			json_decref(j);
		}
	}
}

static json_t *component(const struct entity *t, enum json_schema_use use)
{
	json_t *all = json_object_get(json_object_get(document, "components"), "schemas");
	struct buf name = BUF_INIT;
	json_t *found;

	assert_int_equal(json_schema_name(&name, t->singular, use, NULL), 0);
	found = json_object_get(all, name.data);
	buf_deinit(&name);
	return found;
}

static void check_field(const struct entity *t, const struct field *f, enum json_schema_use use)
{
	const json_t *properties = json_object_get(component(t, use), "properties");
	bool hidden = use == JSON_SCHEMA_SHOWN && (f->flags & FIELD_WRITE_ONLY);

	if (!json_object_get(properties, f->name) != hidden)
		fail_msg("%s.%s", t->name, f->name);
}

static void test_every_field(void **state)
{
	const struct entity *t;
	const struct field *f;

	(void)state;
	for (size_t i = 0; (t = entity_at(i)); i++) {
		if (t->internal) {
			assert_null(component(t, JSON_SCHEMA_SHOWN));
			continue;
		}
		for (size_t k = 0; (f = entity_field_at(t, k)); k++)
			for (int use = 0; use < JSON_SCHEMA_USES; use++)
				check_field(t, f, (enum json_schema_use)use);
	}
}

/* JSON of a member by its path, or "absent". */
static char *shown(const struct entity *t, enum json_schema_use use, const char *path)
{
	struct str rest = str_from(path), part;
	json_t *at = component(t, use);

	while (at && str_split(&rest, '.', &part))
		at = json_object_getn(at, part.ptr, part.len);
	return at ? json_dumps(at, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS)
		  : str_dup(STR("absent"));
}

static void test_schemas(void **state)
{
	static const struct {
		const struct entity *entity;
		enum json_schema_use use;
		const char *path, *want;
	} rows[] = {
		{&entity_services, JSON_SCHEMA_SHOWN, "properties.port",
		 "{\"maximum\":65535,\"minimum\":0,\"type\":\"integer\"}"},
		{&entity_services, JSON_SCHEMA_WHOLE, "properties.port",
		 "{\"default\":80,\"maximum\":65535,\"minimum\":0,\"type\":\"integer\"}"},
		{&entity_services, JSON_SCHEMA_CHANGE, "properties.retries",
		 "{\"maximum\":32767,\"minimum\":0,\"type\":[\"integer\",\"null\"]}"},
		{&entity_services, JSON_SCHEMA_WHOLE, "anyOf",
		 "[{\"required\":[\"host\"]},{\"required\":[\"url\"]}]"},
		{&entity_services, JSON_SCHEMA_WHOLE, "required", "absent"},
		{&entity_services, JSON_SCHEMA_CHANGE, "anyOf", "absent"},
		{&entity_certificates, JSON_SCHEMA_WHOLE, "required", "[\"cert\",\"key\"]"},
		{&entity_certificates, JSON_SCHEMA_CHANGE, "required", "absent"},
		{&entity_certificates, JSON_SCHEMA_SHOWN, "properties.key.type",
		 "[\"string\",\"null\"]"},
		{&entity_certificates, JSON_SCHEMA_WHOLE, "properties.key.type", "\"string\""},
		{&entity_certificates, JSON_SCHEMA_SHOWN, "properties.snis.type", "\"array\""},
		{&entity_certificates, JSON_SCHEMA_SHOWN, "properties.id",
		 "{\"format\":\"uuid\",\"readOnly\":true,\"type\":\"string\"}"},
		{&entity_targets, JSON_SCHEMA_SHOWN, "properties.created_at.type", "\"number\""},
		{&entity_services, JSON_SCHEMA_SHOWN, "properties.created_at.type", "\"integer\""},
		{&entity_routes, JSON_SCHEMA_SHOWN, "properties.path_handling.enum",
		 "[\"v0\",\"v1\",null]"},
		{&entity_snis, JSON_SCHEMA_SHOWN, "properties.certificate",
		 "{\"additionalProperties\":false,\"description\":\"one of certificates\","
		 "\"properties\":{\"id\":{\"format\":\"uuid\",\"type\":\"string\"}},"
		 "\"required\":[\"id\"],\"type\":\"object\"}"},
		{&entity_routes, JSON_SCHEMA_WHOLE, "properties.service.properties",
		 "{\"id\":{\"format\":\"uuid\",\"type\":\"string\"},\"name\":{\"type\":"
		 "\"string\"}}"},
		{&entity_plugins, JSON_SCHEMA_SHOWN, "properties.nobody", "absent"},
		{&entity_services, JSON_SCHEMA_SHOWN, "properties.url", "absent"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		char *text = shown(rows[i].entity, rows[i].use, rows[i].path);

		if (strcmp(text, rows[i].want) != 0)
			fail_msg("%s %s: %s", rows[i].entity->name, rows[i].path, text);
		free(text);
	}
}

static void test_security(void **state)
{
	json_t *open = openapi_make(false);

	(void)state;
	assert_int_equal(json_array_size(json_object_get(open, "security")), 1);
	assert_int_equal(json_object_size(json_array_get(json_object_get(open, "security"), 0)), 0);
	assert_int_equal(json_array_size(json_object_get(document, "security")), 3);
	assert_non_null(json_object_get(json_object_get(method_of("/services", "get"), "responses"),
					"401"));
	json_decref(open);
}

static void make_one(void *arg)
{
	json_t *made = openapi_make(true);

	(void)arg;
	json_decref(made);
}

static void test_out_of_memory(void **state)
{
	(void)state;
	assert_true(oom_each(make_one, NULL) > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_references),     cmocka_unit_test(test_paths),
		cmocka_unit_test(test_parts_are_json), cmocka_unit_test(test_every_field),
		cmocka_unit_test(test_schemas),	       cmocka_unit_test(test_security),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, make_document, drop_document);
}
