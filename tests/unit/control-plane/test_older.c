/* Older names of fields, and errors in the form of their time. */
#include "control-plane/admin/older.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define ID "5f4f2a0e-0000-4000-8000-00000000000a"

/* ' for " keeps the tables legible; \x01 stands for '. */
static json_t *json(const char *text)
{
	char *copy = strdup(text);
	json_error_t why;
	json_t *value;

	assert_non_null(copy);
	for (char *c = copy; *c; c++)
		*c = *c == '\'' ? '"' : *c == '\x01' ? '\'' : *c;
	value = json_loads(copy, JSON_DECODE_ANY, &why);
	if (!value)
		fail_msg("%s: %s", why.text, text);
	free(copy);
	return value;
}

static void check_json(const char *what, json_t *got, const char *want)
{
	json_t *wanted = json(want);

	if (!json_equal(got, wanted))
		fail_msg("%s: %s", what, json_dumps(got, JSON_ENCODE_ANY));
	json_decref(got);
	json_decref(wanted);
}

static const struct {
	const struct entity *entity;
	bool form;
	const char *input, *want;
	bool used;
} inputs[] = {
	{&entity_plugins, false, "{'name':'ssl','value':{'cert':'C'}}",
	 "{'name':'ssl','config':{'cert':'C'}}", true},
	{&entity_plugins, false, "{'api_id':'" ID "'}", "{'route':{'id':'" ID "'}}", true},
	{&entity_plugins, false, "{'api_id':'name'}", "{'route':{'id':'name'}}", true},
	{&entity_plugins, true, "{'api_id':''}", "{'route':null}", true},
	{&entity_plugins, false, "{'api_id':''}", "{'route':{'id':''}}", true},
	{&entity_plugins, false, "{'api_id':null}", "{'route':null}", true},
	{&entity_plugins, false, "{'api_id':5}", "{'route':5}", true},
	{&entity_plugins, false, "{'consumer_id':'" ID "'}", "{'consumer':{'id':'" ID "'}}", true},
	/* With both, the older name is left for the schema to refuse. */
	{&entity_plugins, false, "{'value':{'a':1},'config':{'b':2}}",
	 "{'value':{'a':1},'config':{'b':2}}", false},
	{&entity_plugins, false, "{'config':{'cert':'C'}}", "{'config':{'cert':'C'}}", false},
	{&entity_plugins, false, "{}", "{}", false},
	{&entity_snis, false, "{'ssl_certificate_id':'" ID "'}", "{'certificate':{'id':'" ID "'}}",
	 true},
	{&entity_snis, false, "{'value':1,'api_id':2}", "{'value':1,'api_id':2}", false},
	{&entity_services, false, "{'value':1,'ssl_certificate_id':2}",
	 "{'value':1,'ssl_certificate_id':2}", false},
	{&entity_certificates, true, "{'snis':'a.com,b.com'}", "{'snis':['a.com','b.com']}", false},
	{&entity_certificates, true, "{'snis':'a.com, b.com'}", "{'snis':['a.com','b.com']}",
	 false},
	{&entity_certificates, true, "{'snis':'a.com,'}", "{'snis':['a.com','']}", false},
	{&entity_certificates, true, "{'snis':'a.com'}", "{'snis':'a.com'}", false},
	{&entity_certificates, true, "{'snis':['a.com,b.com','c.com']}",
	 "{'snis':['a.com,b.com','c.com']}", false},
	{&entity_certificates, false, "{'snis':'a.com,b.com'}", "{'snis':'a.com,b.com'}", false},
};

static void test_inputs(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(inputs); i++) {
		json_t *input = json(inputs[i].input);

		assert_int_equal(older_input(inputs[i].entity, inputs[i].form, input),
				 inputs[i].used);
		check_json(inputs[i].input, input, inputs[i].want);
	}
}

static void test_names(void **state)
{
	static const struct {
		const struct entity *entity;
		unsigned status;
		const char *body, *want;
	} rows[] = {
		{&entity_plugins, 201, "{'route':{'id':'r'},'consumer':null,'config':{}}",
		 "{'route':{'id':'r'},'api_id':'r','consumer':null,'consumer_id':null,'config':{}"
		 "}"},
		{&entity_snis, 200, "{'name':'a','certificate':{'id':'c'}}",
		 "{'name':'a','certificate':{'id':'c'},'ssl_certificate_id':'c'}"},
		{&entity_snis, 409, "{'certificate':{'id':'c'}}", "{'certificate':{'id':'c'}}"},
		{&entity_services, 200, "{'route':{'id':'r'}}", "{'route':{'id':'r'}}"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct admin_request r = {.entity = rows[i].entity};
		unsigned status = rows[i].status;

		check_json(rows[i].body, older_names(&r, &status, json(rows[i].body)),
			   rows[i].want);
		assert_int_equal(status, rows[i].status);
	}
}

static const struct {
	unsigned status;
	const char *body;
	unsigned want_status;
	const char *want;
} errors[] = {
	{200, "{'code':2,'fields':{}}", 200, "{'code':2,'fields':{}}"},
	{404, "{'message':'Not found'}", 404, "{'message':'Not found'}"},
	{500, "{'message':'x'}", 500, "{'message':'x'}"},
	{400, "{'code':2,'fields':{'upstream_url':'required field missing'}}", 400,
	 "{'upstream_url':'upstream_url is required'}"},
	{400, "{'code':2,'fields':{'a':'unknown field','b':'expected a boolean'}}", 400,
	 "{'a':'a is an unknown field','b':'b is not a boolean'}"},
	{400, "{'code':2,'fields':{'a':'expected a string','b':'expected an integer'}}", 400,
	 "{'a':'a is not a string','b':'b is not a number'}"},
	{400, "{'code':2,'fields':{'config':'expected a record'}}", 400,
	 "{'config':'config is not a table'}"},
	{400, "{'code':2,'fields':{'config':{'cert':'invalid certificate: no PEM block'}}}", 400,
	 "{'config.cert':'Invalid SSL certificate'}"},
	{400, "{'code':2,'fields':{'config':{'key':'invalid key: x','x':'unknown field'}}}", 400,
	 "{'config.key':'Invalid SSL certificate key','config.x':'x is an unknown field'}"},
	{400, "{'code':2,'fields':{'config':{'a':{'b':['x']}}}}", 400, "{'config.a':'x'}"},
	{400, "{'code':2,'fields':{'hosts':[null,'invalid value: x']}}", 400,
	 "{'hosts':'invalid value: x'}"},
	{400, "{'code':2,'fields':{'@entity':['certificate does not match key','y']}}", 400,
	 "{'message':'certificate does not match key'}"},
	{400, "{'code':2,'fields':{}}", 400, "{}"},
	{400, "{'code':2}", 400, "{}"},
	{400, "{'code':3,'fields':{'id':'i'}}", 409,
	 "{'id':'already exists with value \x01i\x01'}"},
	{409, "{'code':5,'fields':{'name':'n'}}", 409,
	 "{'name':'already exists with value \x01n\x01'}"},
	{409, "{'code':5,'fields':{'name':'ssl','route':{'id':'r'},'consumer':null}}", 409,
	 "{'name':'already exists with value \x01ssl\x01'}"},
	{400, "{'code':1,'message':'m','fields':{'id':'x'}}", 404, "{'message':'Not found'}"},
	{404, "{'code':6,'message':'m','fields':{'id':'x'}}", 404, "{'message':'Not found'}"},
	{400, "{'code':10,'message':'m'}", 404, "{'message':'Not found'}"},
	{400, "{'code':4,'message':'m','fields':{'consumer':{'id':'x'}}}", 404, "{'message':'m'}"},
	{400, "{'code':4,'message':'m','fields':{'@referenced_by':'services'}}", 400,
	 "{'message':'m'}"},
	{400, "{'code':7,'message':'m'}", 400, "{'message':'m'}"},
	{400, "{'code':9}", 400, "{'message':null}"},
	{405, "{'code':12,'message':'m'}", 405, "{'message':'m'}"},
};

static void test_errors(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(errors); i++) {
		struct admin_request r = {.entity = NULL};
		unsigned status = errors[i].status;

		check_json(errors[i].body, older_errors(&r, &status, json(errors[i].body)),
			   errors[i].want);
		assert_int_equal(status, errors[i].want_status);
	}
}

static void test_headers(void **state)
{
	static const struct {
		const struct entity *entity;
		const char *part;
	} rows[] = {
		{NULL, "</services>; rel=\"successor-version\""},
		{NULL, "</routes>; rel=\"successor-version\""},
		{&entity_plugins, "</certificates>; rel=\"successor-version\""},
		{&entity_snis, "</snis>; rel=\"successor-version\""},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct http_fields f = {0};
		struct arena a;

		arena_init(&a, 0);
		assert_int_equal(older_headers(&f, &a, rows[i].entity), 0);
		assert_true(str_eq(http_fields_get(&f, STR("deprecation")), STR("@1521676800")));
		assert_non_null(strstr(http_fields_get(&f, STR("link")).ptr, rows[i].part));
		assert_null(http_fields_get(&f, STR("sunset")).ptr);
		arena_deinit(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inputs),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
