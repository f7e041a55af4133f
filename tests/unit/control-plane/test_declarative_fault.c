/* What is said of bad declarative documents. */
#include "control-plane/model/declarative.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define U "5f4f2a0e-0000-4000-8000-00000000000a"
#define V "5f4f2a0e-0000-4000-8000-00000000000b"
#define HEAD "_format_version: '3.0'\n"

static const struct declarative_options closed = {.now_ms = 1000000};

static json_t *parse(const char *text)
{
	struct err e = ERR_INIT;
	json_t *document;

	if (declarative_parse(&document, str_from(text), NULL, &e) < 0)
		fail_msg("%s: %s", text, e.message);
	return document;
}

static void read_text(struct declarative *d, const char *text, const struct declarative_options *o)
{
	json_t *document = parse(text);
	struct err e = ERR_INIT;

	assert_int_equal(declarative_read(d, document, o, &e), 0);
	json_decref(document);
}

static void check_json(const char *name, json_t *got, const char *want)
{
	json_t *wanted = json_loads(want, JSON_DECODE_ANY, NULL);

	assert_non_null(wanted);
	if (!json_equal(got, wanted)) {
		char *text = json_dumps(got, JSON_ENCODE_ANY | JSON_COMPACT);

		fail_msg("%s\n%s\n, not\n%s", name, text, want);
	}
	json_decref(wanted);
	json_decref(got);
}

/* --- what is refused --- */

static const struct {
	const char *text;
	const char *fields; /* JSON */
	const char *lua;    /* the message's end; NULL: not looked at */
} bad[] = {
	{"services: []", "{\"_format_version\":\"required field missing\"}",
	 "{_format_version=\"required field missing\"}"},
	{"_format_version: 3.0", "{\"_format_version\":\"expected a string\"}", NULL},
	{"_format_version: '4.0'", "{\"_format_version\":\"expected one of: 1.1, 2.1, 3.0\"}",
	 NULL},
	{HEAD "_transform: 1", "{\"_transform\":\"expected a boolean\"}", NULL},
	{HEAD "_comment: [a]", "{\"_comment\":\"expected a string\"}", NULL},
	{HEAD "_ignore: a", "{\"_ignore\":\"expected an array\"}", NULL},
	{HEAD "_info: a", "{\"_info\":\"expected a record\"}", NULL},
	{HEAD "nothing: []", "{\"nothing\":\"unknown field\"}", NULL},
	{HEAD "acme_challenges: []", "{\"acme_challenges\":\"unknown field\"}", NULL},
	{HEAD "services: 1", "{\"services\":\"expected an array\"}", NULL},
	{HEAD "services: {a: b}", "{\"services\":\"expected an array\"}", NULL},
	{HEAD "services: [1, {host: h}, ~]",
	 "{\"services\":[\"expected a record\",null,\"expected a record\"]}",
	 "{services={\"expected a record\",[3]=\"expected a record\"}}"},
	{HEAD "services: [{port: -12}]",
	 "{\"services\":[{\"host\":\"required field missing\",\"port\":\"value should be between 0 "
	 "and 65535\"}]}",
	 "{services={{host=\"required field missing\",port=\"value should be between 0 and "
	 "65535\"}}}"},
	{HEAD "services: [{host: h}, {host: h, id: 12}]",
	 "{\"services\":[null,{\"id\":\"expected a string\"}]}",
	 "{services={[2]={id=\"expected a string\"}}}"},
	{HEAD "services: [{host: h, id: x}]", "{\"services\":[{\"id\":\"expected a valid UUID\"}]}",
	 NULL},
	{HEAD "services: [{host: h, nope: 1, _comment: 2}]",
	 "{\"services\":[{\"nope\":\"unknown field\",\"_comment\":\"expected a string\"}]}", NULL},
	{HEAD "services: [{host: h, routes: 123}]",
	 "{\"services\":[{\"routes\":\"expected an array\"}]}", NULL},
	{HEAD "services: [{name: '@', host: h, routes: 123}]",
	 "{\"services\":[{\"routes\":\"expected an array\",\"name\":\"invalid value '@': the only "
	 "accepted ascii characters are alphanumerics or ., -, _, and ~\"}]}",
	 NULL},
	{HEAD "services: [{host: h, routes: [{paths: [/]}, {paths: [x, /, y]}]}]",
	 "{\"services\":[{\"routes\":[null,{\"paths\":[\"should start with: / (fixed path) or ~/ "
	 "(regex path)\",null,\"should start with: / (fixed path) or ~/ (regex path)\"]}]}]}",
	 "{services={{routes={[2]={paths={\"should start with: / (fixed path) or ~/ (regex "
	 "path)\",[3]=\"should start with: / (fixed path) or ~/ (regex path)\"}}}}}}"},
	{HEAD "services: [{host: h, protocol: tcp, path: /}]",
	 "{\"services\":[{\"path\":\"value must be null\",\"@entity\":[\"failed conditional "
	 "validation given value of field 'protocol'\"]}]}",
	 "{services={{[\"@entity\"]={\"failed conditional validation given value of field "
	 "'protocol'\"},path=\"value must be null\"}}}"},
	{HEAD "services: [{name: s, host: h, routes: [{paths: [/], service: s}]}]",
	 "{\"services\":[{\"routes\":[{\"service\":\"value must be null\"}]}]}", NULL},
	{HEAD "routes: [{paths: [/], service: 1}]",
	 "{\"routes\":[{\"service\":\"expected a string\"}]}", NULL},
	{HEAD "routes: [{paths: [/], service: {}}]",
	 "{\"routes\":[{\"service\":\"missing primary key\"}]}", NULL},
	{HEAD "routes: [{name: r, paths: [/], service: x}]",
	 "{\"routes\":{\"r\":[\"invalid reference 'service: x' (no such entry in "
	 "'services')\"]}}",
	 "{routes={r={\"invalid reference 'service: x' (no such entry in 'services')\"}}}"},
	{HEAD "routes: [{id: " U ", paths: [/], service: {id: " V "}}]",
	 "{\"routes\":{\"" U "\":[\"invalid reference 'service: {\\\"id\\\":\\\"" V
	 "\\\"}' (no such entry in 'services')\"]}}",
	 NULL},
	{HEAD "snis: [{name: a.com, certificate: x}]",
	 "{\"snis\":{\"a.com\":[\"invalid reference 'certificate: x' (no such entry in "
	 "'certificates')\"]}}",
	 NULL},
	{HEAD "snis: [{name: a.com}]", "{\"snis\":[{\"certificate\":\"required field missing\"}]}",
	 NULL},
	{HEAD "plugins: [{name: nope}]",
	 "{\"plugins\":[{\"name\":\"plugin 'nope' not enabled; add it to the 'plugins' "
	 "configuration property\"}]}",
	 NULL},
	/* References come after what each entity is by itself. */
	{HEAD "routes: [{paths: [/], service: x}, {paths: 1}]",
	 "{\"routes\":[null,{\"paths\":\"expected an array\"}]}", NULL},
	{HEAD "services: [{name: foo, host: h}, {name: foo, host: h}]",
	 "{\"services\":[null,\"uniqueness violation: 'services' entity with name set to 'foo' "
	 "already declared\"]}",
	 "{services={[2]=\"uniqueness violation: 'services' entity with name set to 'foo' already "
	 "declared\"}}"},
	{HEAD "services: [{id: " U ", host: h}, {id: " U ", host: h}]",
	 "{\"services\":[null,\"uniqueness violation: 'services' entity with primary key set to "
	 "'" U "' already declared\"]}",
	 NULL},
	{HEAD "consumers: [{username: foo, custom_id: conflict}, {username: bar, custom_id: "
	      "conflict}]",
	 "{\"consumers\":{\"bar\":\"uniqueness violation: 'consumers' entity with custom_id set to "
	 "'conflict' already declared\"}}",
	 "{consumers={bar=\"uniqueness violation: 'consumers' entity with custom_id set to "
	 "'conflict' already declared\"}}"},
	{HEAD "consumers: [{username: a, custom_id: c}, {username: a}, {username: b, custom_id: "
	      "c}]",
	 "{\"consumers\":{\"2\":\"uniqueness violation: 'consumers' entity with username set to "
	 "'a' already declared\",\"b\":\"uniqueness violation: 'consumers' entity with custom_id "
	 "set to 'c' already declared\"}}",
	 NULL},
	{HEAD "upstreams: [{name: u, targets: [{target: a}, {target: a}]}]",
	 "{\"upstreams\":[{\"targets\":[null,\"uniqueness violation: 'targets' entity with primary "
	 "key set to 'ID' already declared\"]}]}",
	 NULL},
	{HEAD "upstreams: [{name: u, id: " U ", targets: [{target: a}, {target: 'a:8000'}]}]",
	 "{\"upstreams\":[{\"targets\":[null,\"uniqueness violation: 'targets' entity with target, "
	 "upstream set to 'a:8000, " U "' already declared\"]}]}",
	 NULL},
	{HEAD "plugins: [{name: request-termination}, {name: request-termination}]",
	 "{\"plugins\":[null,\"uniqueness violation: 'plugins' entity with primary key set to "
	 "'ID' already declared\"]}",
	 NULL},
};

/* The ids that were made are not written down above. */
static void hide_ids(json_t *node)
{
	const char *name, *at;
	json_t *child;
	size_t i;

	json_array_foreach(node, i, child) hide_ids(child);
	json_object_foreach(node, name, child) hide_ids(child);
	at = json_string_value(node) ? strstr(json_string_value(node), "primary key set to '")
				     : NULL;
	if (at && strstr(at, U) == NULL) {
		char *text = NULL;

		assert_true(asprintf(&text, "%.*sprimary key set to 'ID' already declared",
				     (int)(at - json_string_value(node)),
				     json_string_value(node)) > 0);
		json_string_set(node, text);
		free(text);
	}
}

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(bad); i++) {
		struct declarative d;
		json_t *fault, *fields;

		read_text(&d, bad[i].text, &closed);
		if (!declarative_refused(&d))
			fail_msg("%s: accepted", bad[i].text);
		fault = declarative_fault(&d, false);
		fields = json_deep_copy(json_object_get(fault, "fields"));
		hide_ids(fields);
		check_json(bad[i].text, fields, bad[i].fields);
		if (bad[i].lua)
			assert_string_equal(json_string_value(json_object_get(fault, "message")) +
						    strlen("declarative config is invalid: "),
					    bad[i].lua);
		json_decref(fault);
		declarative_deinit(&d);
	}
}

static const struct {
	const char *text, *want; /* what stands beside code and name */
} flattened[] = {
	{HEAD "services:\n- {host: h}\n- name: s\n  id: " U "\n  tags: [t]\n  port: -1\n  routes:\n"
	      "  - {name: r, paths: [x], protocols: [http]}\n",
	 "{\"message\":\"declarative config is invalid: {}\",\"fields\":{},\"flattened_errors\":["
	 "{\"entity_type\":\"service\",\"entity_id\":\"" U "\",\"entity_name\":\"s\","
	 "\"entity_tags\":[\"t\"],\"entity\":{\"name\":\"s\",\"id\":\"" U "\",\"tags\":[\"t\"],"
	 "\"port\":-1},\"errors\":[{\"type\":\"field\",\"field\":\"host\",\"message\":\"required "
	 "field missing\"},{\"type\":\"field\",\"field\":\"port\",\"message\":\"value should be "
	 "between 0 and 65535\"}]},"
	 "{\"entity_type\":\"route\",\"entity_name\":\"r\",\"entity\":{\"name\":\"r\",\"paths\":["
	 "\"x\"],\"protocols\":[\"http\"],\"service\":{\"id\":\"" U "\"}},\"errors\":[{\"type\":"
	 "\"field\",\"field\":\"paths.1\",\"message\":\"should start with: / (fixed path) or ~/ "
	 "(regex path)\"}]}]}"},
	{HEAD "services: [{name: '', host: h, protocol: tcp, path: /, tags: [1]}]",
	 "{\"message\":\"declarative config is invalid: {}\",\"fields\":{},\"flattened_errors\":["
	 "{\"entity_type\":\"service\",\"entity\":{\"name\":\"\",\"host\":\"h\",\"protocol\":"
	 "\"tcp\",\"path\":\"/\",\"tags\":[1]},\"errors\":[{\"type\":\"field\",\"field\":\"tags."
	 "1\",\"message\":\"expected a string\"},{\"type\":\"field\",\"field\":\"name\","
	 "\"message\":\"length must be at least 1\"}]}]}"},
	{HEAD "services: [{host: h, protocol: tcp, path: /}]",
	 "{\"message\":\"declarative config is invalid: {}\",\"fields\":{},\"flattened_errors\":["
	 "{\"entity_type\":\"service\",\"entity\":{\"host\":\"h\",\"protocol\":\"tcp\",\"path\":"
	 "\"/\"},\"errors\":[{\"type\":\"field\",\"field\":\"path\",\"message\":\"value must be "
	 "null\"},{\"type\":\"entity\",\"message\":\"failed conditional validation given value of "
	 "field 'protocol'\"}]}]}"},
	{"nope: 1\nservices: [{port: 1}]",
	 "{\"message\":\"declarative config is invalid: {_format_version=\\\"required field "
	 "missing\\\",nope=\\\"unknown field\\\"}\",\"fields\":{\"_format_version\":\"required "
	 "field missing\",\"nope\":\"unknown field\"},\"flattened_errors\":[{\"entity_type\":"
	 "\"service\",\"entity\":{\"port\":1},\"errors\":[{\"type\":\"field\",\"field\":\"host\","
	 "\"message\":\"required field missing\"}]}]}"},
	{HEAD "consumers: [{username: a, id: " U "}, {username: a, id: " V "}]",
	 "{\"message\":\"declarative config is invalid: {}\",\"fields\":{},\"flattened_errors\":["
	 "{\"entity_type\":\"consumer\",\"entity_id\":\"" V "\",\"entity\":{\"username\":\"a\","
	 "\"id\":\"" V "\"},\"errors\":[{\"type\":\"entity\",\"message\":\"uniqueness violation: "
	 "'consumers' entity with username set to 'a' already declared\"}]}]}"},
};

static void test_flattened(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(flattened); i++) {
		struct declarative d;
		json_t *fault;

		read_text(&d, flattened[i].text, &closed);
		fault = declarative_fault(&d, true);
		json_object_del(fault, "code");
		json_object_del(fault, "name");
		check_json(flattened[i].text, fault, flattened[i].want);
		declarative_deinit(&d);
	}
}

static void test_print(void **state)
{
	struct buf out = BUF_INIT;
	struct declarative d;

	(void)state;
	read_text(&d,
		  "_format_version: '1.1'\nservices:\n- name: foobar\n  host: []\n  port: -23\n"
		  "  protocol: https\n  _comment: my comment\n  _ignore:\n  - foo: bar\n"
		  "  routes: 123\n- host: h\n  protocol: tcp\n  path: /\nnope: 1\n",
		  &closed);
	assert_int_equal(declarative_print(&d, &out, NULL), 0);
	assert_string_equal(out.data,
			    "in 'nope': unknown field\n"
			    "in 'services':\n"
			    "  - in entry 1 of 'services':\n"
			    "    in 'host': expected a string\n"
			    "    in 'port': value should be between 0 and 65535\n"
			    "    in 'routes': expected an array\n"
			    "  - in entry 2 of 'services':\n"
			    "    in '@entity':\n"
			    "      - in entry 1 of '@entity': failed conditional validation given "
			    "value of field 'protocol'\n"
			    "    in 'path': value must be null");
	buf_deinit(&out);
	declarative_deinit(&d);
}

static void test_parse_fault(void **state)
{
	struct err e = ERR_INIT;
	json_t *document;

	(void)state;
	assert_int_equal(declarative_parse(&document, STR("bobby tables"), NULL, &e), -1);
	check_json("parse fault", declarative_parse_fault(&e),
		   "{\"code\":14,\"name\":\"invalid declarative configuration\",\"fields\":{"
		   "\"error\":\"failed parsing declarative configuration: expected an object\"},"
		   "\"message\":\"declarative config is invalid: {error=\\\"failed parsing "
		   "declarative configuration: expected an object\\\"}\"}");
}

/* A document that is all wrong is answered within bounds. */
static void test_many_bad(void **state)
{
	json_t *document = json_pack("{s:s, s:[]}", "_format_version", "3.0", "services");
	json_t *services = json_object_get(document, "services");
	struct declarative d;
	json_t *fault;

	(void)state;
	for (int i = 0; i < 5000; i++)
		json_array_append_new(services, json_pack("{s:i}", "port", -i - 1));
	assert_int_equal(declarative_read(&d, document, &closed, NULL), 0);
	assert_int_equal(d.refused, 5000);
	fault = declarative_fault(&d, false);
	assert_int_equal(
		json_array_size(json_object_get(json_object_get(fault, "fields"), "services")),
		DECLARATIVE_REFUSED_MAX);
	assert_int_equal(json_string_length(json_object_get(fault, "message")),
			 DECLARATIVE_MESSAGE_MAX);
	json_decref(fault);
	fault = declarative_fault(&d, true);
	assert_int_equal(json_array_size(json_object_get(fault, "flattened_errors")),
			 DECLARATIVE_REFUSED_MAX);
	json_decref(fault);
	declarative_deinit(&d);
	json_decref(document);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad),	 cmocka_unit_test(test_flattened),
		cmocka_unit_test(test_print),	 cmocka_unit_test(test_parse_fault),
		cmocka_unit_test(test_many_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
