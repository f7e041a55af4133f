/* Apis of Kong 0.3 to 0.14 to routes, services and plugins, and back. */
#include "control-plane/admin/apis.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "control-plane/admin/apis_fold.h"
#include "tests/unit/lib/oom.h"

#define ID "5f4f2a0e-0000-4000-8000-00000000000a"
#define OTHER "5f4f2a0e-0000-4000-8000-00000000000b"

/* ' for " keeps the tables legible; what needs ' says \x01. */
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

static void check_parts(const char *what, const json_t *got, const char *want)
{
	json_t *wanted = json(want);
	const char *name;
	json_t *value;

	json_object_foreach(wanted, name, value)
	{
		json_t *have = json_object_get(got, name);

		if (!json_equal(have, value))
			fail_msg("%s: %s is %s, not %s", what, name,
				 json_dumps(have ? have : json_null(), JSON_ENCODE_ANY),
				 json_dumps(value, JSON_ENCODE_ANY));
	}
	json_decref(wanted);
}

/* The way of a POST. false: v says why. */
static bool create(const char *text, bool form, struct apis_rows *rows, struct violations *v)
{
	json_t *input = json(text), *spelled = NULL, *api = NULL;
	int rc = -1;

	if (form)
		entity_coerce_form(&apis_body, input, NULL);
	violations_init(v);
	apis_fold(input, form, true, NULL, &spelled, v);
	if (!violations_any(v))
		api = apis_check(input, true, NULL, spelled, 1000000, v);
	if (api)
		rc = apis_make(rows, api, NULL, NULL, spelled, 1000000, v);
	json_decref(input);
	json_decref(spelled);
	json_decref(api);
	return rc == 0;
}

#define URL "'upstream_url':'http://u.com'"

/* What is made of a body: parts of the service, of the route, and of the plugin. */
static const struct {
	const char *body;
	bool form;
	const char *service, *route, *plugin;
} made[] = {
	/* 0.3 */
	{"{'name':'m','public_dns':'a.com','target_url':'http://u.com/'}", false,
	 "{'name':'m','protocol':'http','host':'u.com','port':80,'path':'/'}",
	 "{'name':'m','hosts':['a.com'],'paths':null,'strip_path':false,'protocols':['http','https'"
	 "]}",
	 NULL},
	{"{'path':'/p/','strip_path':true,'target_url':'https://u.com:8443/x'}", false,
	 "{'name':'p','protocol':'https','host':'u.com','port':8443,'path':'/x'}",
	 "{'hosts':null,'paths':['/p'],'strip_path':true}", NULL},
	/* 0.5 to 0.9 */
	{"{'request_host':'a.com'," URL "}", false, "{'name':'a.com','path':null,'retries':5}",
	 "{'name':'a.com','hosts':['a.com'],'preserve_host':false,'strip_path':false}", NULL},
	{"{'request_host':'*.a.com'," URL "}", false, "{'name':'-.a.com'}", "{'hosts':['*.a.com']}",
	 NULL},
	{"{'request_path':'/a/b//'," URL "}", false, "{'name':'a-b'}", "{'paths':['/a/b']}", NULL},
	{"{'request_path':'/'," URL "}", false, "{'name':'-'}", "{'paths':['/']}", NULL},
	{"{'request_path':'/a','strip_request_path':'true','preserve_host':'true'," URL "}", true,
	 "{}", "{'strip_path':true,'preserve_host':true}", NULL},
	{"{'request_host':'','request_path':'/a'," URL "}", true, "{}",
	 "{'hosts':null,'paths':['/a']}", NULL},
	{"{'request_host':'a.com','public_dns':'a.com'," URL "}", false, "{}",
	 "{'hosts':['a.com']}", NULL},
	/* 0.10 to 0.14 */
	{"{'name':'x','hosts':['a.com','b.com'],'uris':['/a','/b[0-9]+'],'methods':['GET']," URL
	 "}",
	 false, "{'name':'x'}",
	 "{'hosts':['a.com','b.com'],'paths':['/a','~/"
	 "b[0-9]+'],'methods':['GET'],'strip_path':true}",
	 NULL},
	{"{'hosts':'a.com, b.com','uris':'/a','methods':'GET,POST','retries':'7'," URL "}", true,
	 "{'retries':7}", "{'hosts':['a.com','b.com'],'paths':['/a'],'methods':['GET','POST']}",
	 NULL},
	{"{'hosts':['a.com'],'upstream_connect_timeout':1,'upstream_send_timeout':2,"
	 "'upstream_read_timeout':3," URL "}",
	 false, "{'connect_timeout':1,'write_timeout':2,'read_timeout':3}", "{}", NULL},
	{"{'hosts':['a.com'],'https_only':true," URL "}", false, "{}",
	 "{'protocols':['https'],'https_redirect_status_code':426}",
	 "{'name':'ssl','enabled':true,'consumer':null,'service':null,'route':{'id':'" ID "'},"
	 "'config':{'only_https':true,'accept_http_if_already_terminated':false,'cert':null,'key':"
	 "null}}"},
	{"{'hosts':['a.com'],'http_if_terminated':true," URL "}", false, "{}",
	 "{'protocols':['http','https']}",
	 "{'config':{'only_https':false,'accept_http_if_already_terminated':true,'cert':null,'key':"
	 "null}}"},
};

static json_t *with_id(const char *body)
{
	json_t *input = json(body);

	json_object_set_new(input, "id", json_string(ID));
	return input;
}

static void test_made(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(made); i++) {
		struct apis_rows rows = {NULL, NULL, NULL};
		json_t *input = with_id(made[i].body);
		char *text = json_dumps(input, 0);
		struct violations v;

		if (!create(text, made[i].form, &rows, &v)) {
			json_t *body = violations_body(&v);

			fail_msg("%s: %s", made[i].body, json_dumps(body, 0));
		}
		check_parts(made[i].body, rows.service, made[i].service);
		check_parts(made[i].body, rows.service, "{'id':'" ID "','created_at':1000}");
		check_parts(made[i].body, rows.route, made[i].route);
		check_parts(made[i].body, rows.route,
			    "{'id':'" ID "','service':{'id':'" ID "'},'tags':null}");
		assert_int_equal(!rows.plugin, !made[i].plugin);
		if (rows.plugin)
			check_parts(made[i].body, rows.plugin, made[i].plugin);
		assert_true(apis_is_api(rows.route, rows.service));
		apis_rows_deinit(&rows);
		violations_deinit(&v);
		json_decref(input);
		free(text);
	}
}

#define MATCH "At least a 'request_host' or a 'request_path' must be specified"
#define MATCH_NOW "at least one of 'hosts', 'uris' or 'methods' must be specified"

/* What is refused, and at which of the client's names. */
static const struct {
	const char *body;
	const char *name, *text; /* a text among others */
} refused[] = {
	{"{}", "upstream_url", "required field missing"},
	{"{}", "request_host", MATCH},
	{"{}", "request_path", MATCH},
	{"{'name':'a'," URL "}", "request_path", MATCH},
	{"{'strip_uri':true," URL "}", "uris", MATCH_NOW},
	{"{'https_only':true," URL "}", "methods", MATCH_NOW},
	{"{'hosts':[]," URL "}", "hosts", MATCH_NOW},
	{"{'request_host':null," URL "}", "request_host", MATCH},
	{"{'request_host':'a.com'}", "upstream_url", "required field missing"},
	{"{'request_host':'a.com','target_url':null}", "target_url", "required field missing"},
	{"{'request_host':'a.com','upstream_url':''}", "upstream_url", "length must be at least 1"},
	{"{'request_host':'a.com','upstream_url':'u.com'}", "upstream_url",
	 "Supported protocols are HTTP and HTTPS"},
	{"{'request_host':'a.com','target_url':'ftp://u.com'}", "target_url",
	 "Supported protocols are HTTP and HTTPS"},
	{"{'request_host':'a.com','upstream_url':'http://'}", "upstream_url",
	 "required field missing"},
	{"{'request_host':'a.com','upstream_url':'http://u.com:x'}", "upstream_url",
	 "expected an integer"},
	{"{'request_host':'a.com','upstream_url':'http://u.com:70000'}", "upstream_url",
	 "expected an integer"},
	{"{'request_host':'a.com','target_url':'http://u v'}", "target_url", "invalid value: u v"},
	{"{'request_host':'a.com','upstream_url':['http://u.com']}", "upstream_url",
	 "expected a string"},
	{"{'request_host':'a b'," URL "}", "request_host", "invalid value: a b"},
	{"{'public_dns':'a.*.com'," URL "}", "public_dns",
	 "invalid wildcard: must be placed at leftmost or rightmost label"},
	{"{'request_host':5," URL "}", "request_host", "expected a string"},
	{"{'request_host':['a.com']," URL "}", "request_host", "expected a string"},
	{"{'request_host':{}," URL "}", "request_host", "expected a string"},
	{"{'hosts':['a.com','b c']," URL "}", "hosts", "invalid value: b c"},
	{"{'hosts':[null]," URL "}", "hosts", "required field missing"},
	{"{'hosts':{'a':1}," URL "}", "hosts", "expected an array"},
	{"{'hosts':5," URL "}", "hosts", "expected an array"},
	{"{'request_path':'a'," URL "}", "request_path",
	 "should start with: / (fixed path) or ~/ (regex path)"},
	{"{'path':'/a//b'," URL "}", "path", "must not have empty segments"},
	{"{'uris':['/a[']," URL "}", "uris", NULL},
	{"{'uris':[5]," URL "}", "uris", "expected a string"},
	{"{'hosts':['a.com'],'methods':['get']," URL "}", "methods", "invalid value: get"},
	{"{'request_host':'a.com','strip_request_path':'yes'," URL "}", "strip_request_path",
	 "expected a boolean"},
	{"{'request_host':'a.com','strip_path':null," URL "}", "strip_path",
	 "required field missing"},
	{"{'request_host':'a.com','preserve_host':1," URL "}", "preserve_host",
	 "expected a boolean"},
	{"{'hosts':['a.com'],'retries':-1," URL "}", "retries",
	 "value should be between 0 and 32767"},
	{"{'hosts':['a.com'],'retries':'5'," URL "}", "retries", "expected an integer"},
	{"{'hosts':['a.com'],'upstream_read_timeout':0," URL "}", "upstream_read_timeout",
	 "value should be between 1 and 2147483646"},
	{"{'hosts':['a.com'],'https_only':'x'," URL "}", "https_only", "expected a boolean"},
	{"{'hosts':['a.com'],'http_if_terminated':{}," URL "}", "http_if_terminated",
	 "expected a boolean"},
	{"{'name':'a b','request_host':'a.com'," URL "}", "name", NULL},
	{"{'name':7,'request_host':'a.com'," URL "}", "name", "expected a string"},
	{"{'id':'x','request_host':'a.com'," URL "}", "id", "expected a valid UUID"},
	{"{'garbage':1,'request_host':'a.com'," URL "}", "garbage", "unknown field"},
	{"{'tags':['a'],'request_host':'a.com'," URL "}", "tags", "unknown field"},
	{"{'request_host':'a.com','hosts':['b.com']," URL "}", "request_host",
	 "says something else than hosts"},
	{"{'request_path':'/a','path':'/b'," URL "}", "path",
	 "says something else than request_path"},
	{"{'request_host':'a.com','target_url':'http://t.com'," URL "}", "target_url",
	 "says something else than upstream_url"},
};

static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(refused); i++) {
		struct apis_rows rows = {NULL, NULL, NULL};
		struct violations v;
		const char *text;

		if (create(refused[i].body, false, &rows, &v))
			fail_msg("%s: taken", refused[i].body);
		text = json_string_value(json_object_get(v.fields, refused[i].name));
		if (!text || (refused[i].text && strcmp(text, refused[i].text) != 0))
			fail_msg("%s: %s", refused[i].body, text ? text : "no text there");
		violations_deinit(&v);
	}
}

/* A name that is no path, at which a text cannot stand. */
static void test_names_that_hold_anything(void **state)
{
	static const char *const bodies[] = {"{'':1}", "{'.':1}", "{'a.2':1}", "{'hosts.1':1}"};

	(void)state;
	for (size_t i = 0; i < array_len(bodies); i++) {
		struct apis_rows rows = {NULL, NULL, NULL};
		struct violations v;

		assert_false(create(bodies[i], false, &rows, &v));
		assert_int_equal(json_array_size(v.entity), 1);
		violations_deinit(&v);
	}
}

#define SERVICE                                                                                    \
	"{'id':'" ID "','name':'n','protocol':'http','host':'u.com','port':80,'path':'/x',"        \
	"'retries':5,'connect_timeout':1,'write_timeout':2,'read_timeout':3,'enabled':true}"
#define ROUTE                                                                                      \
	"{'id':'" ID "','created_at':7,'name':'n','protocols':['http','https'],'hosts':['a.com',"  \
	"'b.com'],'paths':['/p','~/q[0-9]'],'methods':null,'strip_path':false,'preserve_host':"    \
	"true,'https_redirect_status_code':426,'request_buffering':true,'response_buffering':"     \
	"true,'headers':null,'snis':null,'service':{'id':'" ID "'}}"
#define PLUGIN                                                                                     \
	"{'id':'" OTHER "','name':'ssl','route':{'id':'" ID "'},'protocols':['http'],'enabled':"   \
	"true,'config':{'only_https':false,'accept_http_if_already_terminated':true}}"

static void test_shown(void **state)
{
	struct apis_rows rows = {json(ROUTE), json(SERVICE), NULL};
	json_t *api = apis_show(&rows);

	(void)state;
	check_parts("shown", api,
		    "{'id':'" ID "','created_at':7,'name':'n','upstream_url':'http://u.com/x',"
		    "'hosts':['a.com','b.com'],'uris':['/p','/q[0-9]'],'methods':null,'strip_uri':"
		    "false,'preserve_host':true,'retries':5,'upstream_connect_timeout':1,"
		    "'upstream_send_timeout':2,'upstream_read_timeout':3,'https_only':false,"
		    "'http_if_terminated':false,'request_host':'a.com','public_dns':'a.com',"
		    "'request_path':'/p','path':'/p','strip_request_path':false,'strip_path':false,"
		    "'target_url':'http://u.com/x'}");
	assert_int_equal(json_object_size(api), 22);
	json_decref(api);
	rows.plugin = json(PLUGIN);
	api = apis_show(&rows);
	check_parts("with a plugin", api, "{'https_only':false,'http_if_terminated':true}");
	json_decref(api);
	apis_rows_deinit(&rows);
}

static void test_urls(void **state)
{
	static const struct {
		const char *service, *want;
	} rows[] = {
		{"{'protocol':'http','host':'a','port':80,'path':null}", "http://a"},
		{"{'protocol':'http','host':'a','port':443,'path':'/'}", "http://a:443/"},
		{"{'protocol':'https','host':'a','port':443,'path':'/b'}", "https://a/b"},
		{"{'protocol':'https','host':'a','port':80}", "https://a:80"},
		{"{'protocol':'http','host':'::1','port':8080}", "http://[::1]:8080"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct apis_rows x = {json(ROUTE), json(rows[i].service), NULL};
		json_t *api = apis_show(&x);

		assert_string_equal(json_string_value(json_object_get(api, "upstream_url")),
				    rows[i].want);
		json_decref(api);
		apis_rows_deinit(&x);
	}
}

static void test_is_api(void **state)
{
	static const struct {
		const char *route, *service;
		bool want;
	} rows[] = {
		{"{'protocols':['http','https']}", "{'protocol':'http'}", true},
		{"{'protocols':['https'],'headers':{},'snis':[]}", "{'protocol':'https'}", true},
		{"{'protocols':['https'],'headers':{'a':['b']}}", "{'protocol':'https'}", false},
		{"{'protocols':['https'],'snis':['a.com']}", "{'protocol':'https'}", false},
		{"{'protocols':['grpc']}", "{'protocol':'http'}", false},
		{"{'protocols':['tcp']}", "{'protocol':'tcp'}", false},
		{"{'protocols':['http']}", "{'protocol':'tcp'}", false},
		{"{'protocols':['http']}", "{'protocol':'grpc'}", false},
		{"{'protocols':['http']}", "{}", false},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		json_t *route = json(rows[i].route), *service = json(rows[i].service);

		assert_int_equal(apis_is_api(route, service), rows[i].want);
		json_decref(route);
		json_decref(service);
	}
}

/* What a patch, or a whole api in place of it, makes of ROUTE, SERVICE and PLUGIN. NULL: the row
 * stays as it is; "!name": refused there. */
static const struct {
	const char *patch;
	bool whole;
	const char *service, *route, *plugin;
} changed[] = {
	{"{'name':'m'}", false, "{'name':'m'}", "{'name':'m'}", NULL},
	{"{'request_host':'c.com'}", false, NULL, "{'hosts':['c.com']}", NULL},
	/* What was read is sent back: the other host stays. */
	{"{'request_host':'a.com'}", false, NULL, "{'hosts':['a.com','b.com']}", NULL},
	{"{'request_host':'a.com','hosts':['a.com','b.com'],'public_dns':'c.com'}", false, NULL,
	 "{'hosts':['c.com']}", NULL},
	{"{'request_host':'c.com','hosts':['d.com']}", false, "!request_host", NULL, NULL},
	{"{'request_host':null,'hosts':['a.com','b.com']}", false, NULL, "{'hosts':null}", NULL},
	{"{'hosts':null,'uris':null}", false, "!hosts", NULL, NULL},
	{"{'request_host':null,'request_path':null}", false, "!request_host", NULL, NULL},
	{"{'path':'/p'}", false, NULL, "{'paths':['/p','~/q[0-9]']}", NULL},
	{"{'uris':['/p']}", false, NULL, "{'paths':['/p']}", NULL},
	{"{'target_url':'https://v.com'}", false,
	 "{'protocol':'https','host':'v.com','port':443,'path':null,'name':'n'}", "{'name':'n'}",
	 NULL},
	{"{'upstream_url':null}", false, "!upstream_url", NULL, NULL},
	{"{'retries':9}", false, "{'retries':9,'host':'u.com'}", "{}", NULL},
	{"{'strip_path':true}", false, NULL, "{'strip_path':true}", NULL},
	{"{'https_only':true}", false, NULL,
	 "{'protocols':['https'],'https_redirect_status_code':426}",
	 "{'id':'" OTHER "','config':{'cert':null,'key':null,'only_https':true,"
	 "'accept_http_if_already_terminated':true}}"},
	{"{'http_if_terminated':false}", false, NULL, "{'protocols':['http','https']}",
	 "{'config':{'cert':null,'key':null,'only_https':false,"
	 "'accept_http_if_already_terminated':false}}"},
	{"{'http_if_terminated':true}", false, NULL, "{}", NULL},
	{"{'id':'" OTHER "'}", false, NULL, "{'id':'" ID "'}", NULL},
	{"{'garbage':1}", false, "!garbage", NULL, NULL},
	/* A whole api: what it does not say has its default. */
	{"{'id':'" ID "','request_path':'/z'," URL "}", true,
	 "{'path':null,'connect_timeout':60000,'enabled':true,'name':'z'}",
	 "{'hosts':null,'paths':['/z'],'preserve_host':false,'strip_path':false,'name':'z',"
	 "'created_at':7}",
	 "{'config':{'cert':null,'key':null,'only_https':false,"
	 "'accept_http_if_already_terminated':false}}"},
	{"{'id':'" ID "','name':'n','request_host':'a.com'," URL "}", true, "{'path':null}",
	 "{'hosts':['a.com','b.com'],'paths':null}", "{}"},
	{"{'id':'" ID "','name':'n'," URL "}", true, "!request_host", NULL, NULL},
};

static void check_row(const char *what, const json_t *row, const char *want)
{
	if (!row != !want)
		fail_msg("%s: a row is%s changed", what, row ? "" : " not");
	if (row)
		check_parts(what, row, want);
}

static void test_changed(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(changed); i++) {
		struct apis_rows old = {json(ROUTE), json(SERVICE), json(PLUGIN)};
		struct apis_rows now = {NULL, NULL, NULL};
		json_t *before = apis_show(&old), *input = json(changed[i].patch);
		json_t *spelled = NULL, *api = NULL;
		bool whole = changed[i].whole;
		const char *want = changed[i].service;
		struct violations v;

		violations_init(&v);
		apis_fold(input, false, whole, before, &spelled, &v);
		if (!violations_any(&v))
			api = apis_check(input, whole, before, spelled, 1000000, &v);
		if (api && apis_make(&now, api, before, &old, spelled, 1000000, &v) == 0) {
			check_row(changed[i].patch, now.service, want);
			check_row(changed[i].patch, now.route, changed[i].route);
			check_row(changed[i].patch, now.plugin, changed[i].plugin);
		} else if (!want || want[0] != '!' || !json_object_get(v.fields, want + 1)) {
			fail_msg("%s: %s", changed[i].patch, json_dumps(violations_body(&v), 0));
		}
		violations_deinit(&v);
		apis_rows_deinit(&now);
		apis_rows_deinit(&old);
		json_decref(before);
		json_decref(input);
		json_decref(spelled);
		json_decref(api);
	}
}

/* A service of another id is not the api's own: it keeps its name. */
static void test_service_of_others(void **state)
{
	struct apis_rows old = {json(ROUTE), json(SERVICE), NULL}, now = {NULL, NULL, NULL};
	json_t *before, *input = json("{'name':'m','retries':1}"), *spelled = NULL, *api;
	struct violations v;

	(void)state;
	json_object_set_new(old.service, "id", json_string(OTHER));
	before = apis_show(&old);
	violations_init(&v);
	apis_fold(input, false, false, before, &spelled, &v);
	api = apis_check(input, false, before, spelled, 1000000, &v);
	assert_int_equal(apis_make(&now, api, before, &old, spelled, 1000000, &v), 0);
	check_parts("route", now.route, "{'name':'m'}");
	check_parts("service", now.service, "{'name':'n','retries':1,'id':'" OTHER "'}");
	apis_rows_deinit(&old);
	apis_rows_deinit(&now);
	json_decref(before);
	json_decref(input);
	json_decref(spelled);
	json_decref(api);
	violations_deinit(&v);
}

/* Without memory there is a result, or v says so; never half a result. */
static void without_memory(void *arg)
{
	struct apis_rows rows = {NULL, NULL, NULL};
	json_t *input = json_deep_copy(arg), *spelled = NULL, *api = NULL;
	struct violations v;

	violations_init(&v);
	apis_fold(input, true, true, NULL, &spelled, &v);
	if (!violations_any(&v))
		api = apis_check(input, true, NULL, spelled, 1000000, &v);
	if (api && apis_make(&rows, api, NULL, NULL, spelled, 1000000, &v) == 0)
		assert_true(rows.route && rows.service && rows.plugin);
	else
		assert_true(violations_any(&v));
	apis_rows_deinit(&rows);
	json_decref(input);
	json_decref(spelled);
	json_decref(api);
	violations_deinit(&v);
}

static void test_out_of_memory(void **state)
{
	json_t *input =
		json("{'hosts':'a.com,b.com','uris':['/a','/b(c)'],'https_only':true," URL "}");

	(void)state;
	assert_true(oom_each(without_memory, input) > 0);
	json_decref(input);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_made),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_names_that_hold_anything),
		cmocka_unit_test(test_shown),
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_is_api),
		cmocka_unit_test(test_changed),
		cmocka_unit_test(test_service_of_others),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
