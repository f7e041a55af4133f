/* Rules over several fields: of services, routes, upstreams, consumers, targets and plugins. */
#include "control-plane/model/condition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "control-plane/model/entity.h"

#define U "'upstream':{'id':'5f4f2a0e-0000-4000-8000-00000000000a'}"

static const struct {
	const struct entity *entity;
	const char *input;
	const char *message; /* NULL: accepted, and then `want` is a part of it */
	const char *want;
} rows[] = {
	{&entity_services, "{'url':'https://a.com/x'}", NULL,
	 "{'protocol':'https','host':'a.com','port':443,'path':'/x','retries':5}"},
	{&entity_services, "{'url':'http://u@a.com?q','port':1,'path':'/y'}", NULL,
	 "{'host':'a.com','port':80,'path':null}"},
	{&entity_services, "{'host':'a.com','retries':null}", NULL, "{'retries':null}"},
	{&entity_services, "{'url':'http://a.com:x'}",
	 "schema violation (port: expected an integer)", NULL},
	{&entity_services, "{'url':'http://'}", "schema violation (host: required field missing)",
	 NULL},
	{&entity_services, "{'url':5,'host':'a.com'}", "schema violation (url: expected a string)",
	 NULL},
	{&entity_services,
	 "{'host':'a.com','protocol':'tls','ca_certificates':[],'tls_verify':false}", NULL,
	 "{'ca_certificates':[],'tls_verify':false}"},
	{&entity_services, "{'host':'a.com','tls_verify_depth':0}",
	 "2 schema violations (failed conditional validation given value of field 'protocol'; "
	 "tls_verify_depth: value must be null)",
	 NULL},
	{&entity_routes, "{'protocols':['grpc'],'hosts':['a.com']}", NULL, "{'strip_path':false}"},
	{&entity_routes, "{'protocols':['https'],'snis':['a.com','a.com']}", NULL,
	 "{'snis':['a.com'],'strip_path':true}"},
	{&entity_routes, "{'protocols':['tls_passthrough'],'snis':['*.a.com']}", NULL, "{}"},
	{&entity_routes, "{'protocols':['tcp'],'destinations':[{'port':53},{'port':53}]}", NULL,
	 "{'destinations':[{'ip':null,'port':53}]}"},
	{&entity_routes, "{'protocols':['tcp','udp'],'destinations':[{'port':53}]}",
	 "schema violation (protocols: udp is not served: data planes listen on TCP only)", NULL},
	{&entity_routes, "{'paths':[]}",
	 "schema violation (must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when "
	 "'protocols' is 'https')",
	 NULL},
	{&entity_routes, "{'protocols':['grpcs'],'snis':['a.com'],'methods':[]}",
	 "schema violation (methods: cannot set 'methods' when 'protocols' is 'grpc' or 'grpcs')",
	 NULL},
	{&entity_routes, "{'protocols':['tls'],'snis':['a.com'],'headers':{}}",
	 "schema violation (headers: cannot set 'headers' when 'protocols' is 'tcp', 'tls', "
	 "'tls_passthrough' or 'udp')",
	 NULL},
	{&entity_routes, "{'protocols':['tcp','tls'],'snis':['a.com']}", NULL, "{}"},
	{&entity_routes, "{'protocols':['http','smtp'],'paths':['/']}",
	 "schema violation (protocols.2: expected one of: grpc, grpcs, http, https, tcp, tls, "
	 "tls_passthrough, udp)",
	 NULL},
	{&entity_upstreams, "{'name':'u','hash_on':'cookie','hash_on_cookie':'c'}", NULL,
	 "{'algorithm':'consistent-hashing','hash_on_cookie_path':'/'}"},
	{&entity_upstreams, "{'name':'u','hash_on':'uri_capture'}",
	 "2 schema violations (failed conditional validation given value of field 'hash_on'; "
	 "hash_on_uri_capture: required field missing)",
	 NULL},
	{&entity_upstreams, "{'name':'u','healthchecks':null}",
	 "schema violation (healthchecks: required field missing)", NULL},
	{&entity_upstreams, "{'name':'u','algorithm':'sticky-sessions'}",
	 "schema violation (algorithm: expected one of: consistent-hashing, least-connections, "
	 "round-robin, latency)",
	 NULL},
	{&entity_consumers, "{'username':null,'custom_id':null}",
	 "schema violation (at least one of these fields must be non-empty: 'custom_id', "
	 "'username')",
	 NULL},
	{&entity_targets, "{'target':'::1'," U "}", NULL,
	 "{'target':'[0000:0000:0000:0000:0000:0000:0000:0001]:8000','weight':100,'created_at':"
	 "1234.5}"},
	{&entity_targets, "{'target':'a.com:1','created_at':7.25," U "}", NULL,
	 "{'created_at':7.25}"},
	{&entity_targets, "{'target':'a.com','created_at':'x'," U "}",
	 "schema violation (created_at: expected a number)", NULL},
	{&entity_targets, "{'target':7," U "}", "schema violation (target: expected a string)",
	 NULL},
	{&entity_plugins, "{'name':'request-termination','config':{'status_code':200}}", NULL,
	 "{'config':{'status_code':200,'message':null,'content_type':null,'body':null,'echo':"
	 "false,'trigger':null}}"},
	{&entity_plugins, "{'name':'request-termination','config':null}",
	 "schema violation (config: required field missing)", NULL},
	{&entity_plugins, "{'name':5}", "schema violation (name: expected a string)", NULL},
	{&entity_plugins, "{'name':'request-termination','config':{'content_type':'a/b'}}",
	 "schema violation (config: content_type requires a body)", NULL},
	{&entity_plugins, "{'name':'ssl'}", NULL,
	 "{'config':{'cert':null,'key':null,'only_https':false,"
	 "'accept_http_if_already_terminated':false}}"},
	{&entity_plugins, "{'name':'ssl','config':{'only_https':true}}", NULL, "{'enabled':true}"},
	{&entity_plugins, "{'name':'ssl','config':{'only_https':null}}",
	 "schema violation (config.only_https: required field missing)", NULL},
	{&entity_plugins, "{'name':'ssl','config':{'only_https':'yes'}}",
	 "schema violation (config.only_https: expected a boolean)", NULL},
	{&entity_plugins, "{'name':'ssl','config':{'ssl':true}}",
	 "schema violation (config.ssl: unknown field)", NULL},
	{&entity_plugins, "{'name':'ssl','config':{'cert':'x','key':'y'}}",
	 "2 schema violations (config.cert: invalid certificate: no PEM block; config.key: invalid "
	 "key: no PEM block with a private key)",
	 NULL},
	{&entity_plugins, "{'name':'ssl','config':{'cert':'@/a.pem','key':'@/a.key'}}",
	 "2 schema violations (config.cert: invalid certificate: a file's name instead of PEM text "
	 "(curl sends the content with --form); config.key: invalid key: a file's name instead of "
	 "PEM text (curl sends the content with --form))",
	 NULL},
	{&entity_plugins, "{'name':'ssl','config':{'cert':['x'],'key':5}}",
	 "2 schema violations (config.cert: expected a string; config.key: expected a string)",
	 NULL},
	{&entity_plugins, "{'name':'ssl','consumer':{'id':'5f4f2a0e-0000-4000-8000-00000000000a'}}",
	 "schema violation (consumer: value must be null)", NULL},
};

/* ' for " keeps the tables legible; names in inputs have none. */
static json_t *json(const char *text)
{
	char *copy = strdup(text);
	json_error_t why;
	json_t *value;

	assert_non_null(copy);
	for (char *c = copy; *c; c++)
		if (*c == '\'')
			*c = '"';
	value = json_loads(copy, 0, &why);
	if (!value)
		fail_msg("%s: %s", why.text, text);
	free(copy);
	return value;
}

static void check_refusal(const char *input, const struct violations *v, const char *message)
{
	json_t *body = violations_body(v);
	const char *got = json_string_value(json_object_get(body, "message"));

	if (strcmp(got, message) != 0)
		fail_msg("%s: %s", input, got);
	json_decref(body);
}

static void check_parts(const char *input, const json_t *got, const char *want)
{
	json_t *wanted = json(want);
	const char *name;
	json_t *value;

	json_object_foreach(wanted, name, value)
	{
		if (!json_equal(json_object_get(got, name), value))
			fail_msg("%s: %s is not as wanted", input, name);
	}
	json_decref(wanted);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		json_t *input = json(rows[i].input);
		struct violations v;
		json_t *row;

		violations_init(&v);
		row = entity_create(rows[i].entity, input, 1234500, &v);
		if (!row != (rows[i].message != NULL))
			fail_msg("%s: %s", rows[i].input, row ? "accepted" : "refused");
		if (row)
			check_parts(rows[i].input, row, rows[i].want);
		else
			check_refusal(rows[i].input, &v, rows[i].message);
		json_decref(row);
		json_decref(input);
		violations_deinit(&v);
	}
}

static void test_is_set(void **state)
{
	json_t *o = json("{'a':null,'b':[],'c':{},'d':false,'e':[1]}");

	(void)state;
	assert_false(condition_is_set(o, "a"));
	assert_false(condition_is_set(o, "b"));
	assert_false(condition_is_set(o, "c"));
	assert_false(condition_is_set(o, "x"));
	assert_true(condition_is_set(o, "d"));
	assert_true(condition_is_set(o, "e"));
	json_decref(o);
}

/* What is merged: records at any depth, shorthands of the patch, the plugin's config by the old
 * name. */
static void test_patch(void **state)
{
	static const struct {
		const struct entity *entity;
		const char *old, *patch, *want;
	} patches[] = {
		{&entity_services, "{'host':'a.com','path':'/x','tags':['t']}",
		 "{'url':'https://b.com'}",
		 "{'host':'b.com','protocol':'https','port':443,'path':null,'tags':['t']}"},
		{&entity_upstreams, "{'name':'u','hash_on':'ip'}", "{'hash_on':'none'}",
		 "{'algorithm':'round-robin'}"},
		{&entity_upstreams, "{'name':'u','hash_on':'ip'}", "{'slots':11}",
		 "{'algorithm':'consistent-hashing','hash_on':'ip','slots':11}"},
		{&entity_plugins, "{'name':'request-termination','config':{'status_code':200}}",
		 "{'config':{'message':'m'}}",
		 "{'config':{'status_code':200,'message':'m','content_type':null,'body':null,"
		 "'echo':false,'trigger':null}}"},
		{&entity_routes, "{'headers':{'a':['1'],'b':['2']}}", "{'headers':{'c':['3']}}",
		 "{'headers':{'c':['3']}}"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(patches); i++) {
		json_t *input = json(patches[i].old), *patch = json(patches[i].patch);
		struct violations v;
		json_t *old, *merged;

		violations_init(&v);
		old = entity_create(patches[i].entity, input, 1000, &v);
		assert_non_null(old);
		merged = entity_merge(patches[i].entity, old, patch, 2000, &v);
		assert_non_null(merged);
		check_parts(patches[i].patch, merged, patches[i].want);
		json_decref(old);
		json_decref(merged);
		json_decref(input);
		json_decref(patch);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_is_set),
		cmocka_unit_test(test_patch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
