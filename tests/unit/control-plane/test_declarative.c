/* Declarative documents: rows, ids, references, and what is said of bad ones. */
#include "control-plane/model/declarative.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/pki/cert.h"
#include "common/pki/key.h"
#include "tests/unit/lib/oom.h"
#include "tests/unit/lib/testcert.h"

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

/* A certificate and its key as members of a YAML mapping, indented by two. */
static char *pair_yaml;

static void add_block(struct buf *out, const char *name, const struct buf *pem)
{
	struct str rest = buf_str(pem), line;

	assert_int_equal(buf_addf(out, NULL, "  %s: |\n", name), 0);
	while (str_split(&rest, '\n', &line))
		if (line.len)
			assert_int_equal(buf_addf(out, NULL, "    %.*s\n", (int)line.len, line.ptr),
					 0);
}

static int make_pair(void **state)
{
	const struct testcert_options o = {.san = "DNS:a.example"};
	struct buf chain = BUF_INIT, key_text = {.secret = true}, yaml = BUF_INIT;
	struct testca ca;
	EVP_PKEY *key;
	X509 *leaf;

	(void)state;
	testca_init(&ca, "ca");
	testcert_issue(&ca, &o, &leaf, &key);
	assert_int_equal(cert_to_pem(&chain, leaf, NULL), 0);
	assert_int_equal(key_to_pem(&key_text, key, NULL), 0);
	add_block(&yaml, "cert", &chain);
	add_block(&yaml, "key", &key_text);
	pair_yaml = yaml.data;
	buf_deinit(&chain);
	buf_deinit(&key_text);
	X509_free(leaf);
	EVP_PKEY_free(key);
	testca_deinit(&ca);
	return 0;
}

static int free_pair(void **state)
{
	(void)state;
	free(pair_yaml);
	return 0;
}

/* --- what is accepted --- */

static const struct declarative_item *item_of(const struct declarative *d, const char *kind,
					      size_t nth)
{
	for (size_t i = 0; i < d->count; i++)
		if (strcmp(d->items[i].entity->name, kind) == 0 && nth-- == 0)
			return &d->items[i];
	fail_msg("no such item of %s", kind);
	return NULL;
}

static const char *field_of(const struct declarative *d, const char *kind, size_t nth,
			    const char *name)
{
	const json_t *value = json_object_get(item_of(d, kind, nth)->row, name);

	if (json_is_object(value))
		value = json_object_get(value, "id");
	return json_string_value(value);
}

/* Ids are Kong's: these are known from documents that were given to it. */
static void test_ids(void **state)
{
	char id[UUID_TEXT_SIZE];
	struct declarative d;

	(void)state;
	read_text(&d,
		  HEAD "services:\n"
		       "- name: my-service\n  url: https://example.com\n"
		       "  plugins:\n  - name: request-termination\n"
		       "  routes:\n  - name: my-route\n    paths: [/]\n"
		       "consumers:\n- username: my-user\n"
		       "upstreams:\n- name: u\n  targets:\n  - target: 1.2.3.4\n",
		  &closed);
	assert_false(declarative_refused(&d));
	assert_string_equal(item_of(&d, "services", 0)->id, "0855b320-0dd2-547d-891d-601e9b38647f");
	assert_string_equal(item_of(&d, "routes", 0)->id, "481a9539-f49c-51b6-b2e2-fe99ee68866c");
	assert_string_equal(item_of(&d, "consumers", 0)->id,
			    "4b1b701d-de2b-5588-9aa2-3b97061d9f52");
	declarative_id(&entity_plugins,
		       STR("plugins:request-termination::0855b320-0dd2-547d-891d-601e9b38647f:"),
		       id);
	assert_string_equal(item_of(&d, "plugins", 0)->id, id);
	declarative_id(&entity_plugins,
		       STR("plugins:key-auth::0855b320-0dd2-547d-891d-601e9b38647f:"), id);
	assert_string_equal(id, "0611a5a9-de73-5a2d-a4e6-6a38ad4c3cb2");
	assert_string_equal(field_of(&d, "routes", 0, "service"),
			    "0855b320-0dd2-547d-891d-601e9b38647f");
	assert_string_equal(field_of(&d, "routes", 0, "id"),
			    "481a9539-f49c-51b6-b2e2-fe99ee68866c");
	assert_string_equal(field_of(&d, "targets", 0, "target"), "1.2.3.4:8000");
	assert_string_equal(field_of(&d, "services", 0, "host"), "example.com");
	assert_int_equal(
		json_integer_value(json_object_get(item_of(&d, "services", 0)->row, "created_at")),
		1000);
	declarative_deinit(&d);
}

/* The same without names: stable, and different for what stands there twice. */
static void test_nameless_ids(void **state)
{
	static const char text[] = HEAD "services:\n- host: a\n  routes:\n  - paths: [/a]\n"
					"- host: a\n  routes:\n  - paths: [/a]\n";
	struct declarative one, two;

	(void)state;
	read_text(&one, text, &closed);
	read_text(&two, text, &closed);
	assert_false(declarative_refused(&one));
	assert_int_equal(one.count, 4);
	for (size_t i = 0; i < one.count; i++) {
		assert_string_equal(one.items[i].id, two.items[i].id);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(one.items[i].id, one.items[k].id);
	}
	declarative_deinit(&one);
	declarative_deinit(&two);
}

static char *with_pair(const char *before, const char *after)
{
	char *text = NULL;

	assert_true(asprintf(&text, "%scertificates:\n- tags: [x]\n%s%s", before, pair_yaml,
			     after) > 0);
	return text;
}

static void test_certificates(void **state)
{
	char *text = with_pair(HEAD, "  snis:\n  - name: a.example\n    tags: [t]\n  - b.example\n"
				     "snis:\n- name: '*.c.example'\n  certificate: " U "\n");
	const struct declarative_options open = {.now_ms = 1000, .open = true};
	struct declarative d;

	(void)state;
	read_text(&d, text, &open);
	assert_false(declarative_refused(&d));
	assert_int_equal(d.count, 4);
	assert_string_equal(field_of(&d, "snis", 0, "name"), "*.c.example");
	assert_string_equal(field_of(&d, "snis", 0, "certificate"), U);
	assert_string_equal(field_of(&d, "snis", 1, "name"), "a.example");
	assert_string_equal(field_of(&d, "snis", 1, "certificate"), d.items[0].id);
	assert_string_equal(field_of(&d, "snis", 2, "name"), "b.example");
	declarative_deinit(&d);
	/* Kong has them in the document, always. */
	read_text(&d, text, &closed);
	assert_true(declarative_refused(&d));
	check_json("open reference", declarative_fault(&d, false),
		   "{\"code\":14,\"name\":\"invalid declarative configuration\",\"message\":"
		   "\"declarative config is invalid: {snis={[\\\"*.c.example\\\"]={\\\"invalid "
		   "reference 'certificate: " U "' (no such entry in 'certificates')\\\"}}}\","
		   "\"fields\":{\"snis\":{\"*.c.example\":[\"invalid reference 'certificate: " U
		   "' (no such entry in 'certificates')\"]}}}");
	declarative_deinit(&d);
	free(text);
}

/* What a reference may look like, and where it may lead. */
static void test_references(void **state)
{
	static const char *const texts[] = {
		HEAD "services:\n- {name: s, host: h}\nroutes:\n- {paths: [/], service: s}\n",
		HEAD "services:\n- {name: s, host: h, id: " U "}\nroutes:\n- {paths: [/], service: "
		     "" U "}\n",
		HEAD "services:\n- {name: s, host: h}\nroutes:\n- {paths: [/], service: {name: "
		     "s}}\n",
		HEAD "services:\n- {name: s, host: h, id: " U "}\nroutes:\n- {paths: [/], service: "
		     "{id: 5F4F2A0E-0000-4000-8000-00000000000A}}\n",
		/* Of what is nested elsewhere. */
		HEAD "consumers:\n- username: c\nservices:\n- {name: s, host: h, routes: [{name: "
		     "r, paths: [/]}]}\nplugins:\n- {name: request-termination, route: r}\n",
		HEAD "consumers:\n- {username: c, plugins: [{name: request-termination, "
		     "service: s}]}\nservices:\n- {name: s, host: h}\n",
		"_format_version: '1.1'\n_transform: false\n_comment: c\n_ignore: [1]\n_info: "
		"{select_tags: [a]}\nservices:\n- {host: h, _comment: x, _ignore: [{a: b}]}\n",
		HEAD "services: ~\nroutes: []\n",
	};

	(void)state;
	for (size_t i = 0; i < array_len(texts); i++) {
		struct declarative d;

		read_text(&d, texts[i], &closed);
		if (declarative_refused(&d)) {
			struct buf why = BUF_INIT;

			assert_int_equal(declarative_print(&d, &why, NULL), 0);
			fail_msg("%s: %s", texts[i], why.data);
		}
		declarative_deinit(&d);
	}
}

/* Before 3.0, a path with other characters than a plain one was a regular expression. */
static void test_old_paths(void **state)
{
	struct declarative d;

	(void)state;
	read_text(&d,
		  "_format_version: '2.1'\nroutes:\n- paths: [/plain, '/x/(a|b)', '~/y$', "
		  "'/z\\d+']\n",
		  &closed);
	assert_false(declarative_refused(&d));
	check_json("paths", json_incref(json_object_get(d.items[0].row, "paths")),
		   "[\"/plain\",\"~/x/(a|b)\",\"~/y$\",\"~/z\\\\d+\"]");
	declarative_deinit(&d);
	read_text(&d, HEAD "routes:\n- paths: ['/x/(a|b)']\n", &closed);
	assert_true(declarative_refused(&d) ||
		    json_equal(json_object_get(d.items[0].row, "paths"),
			       json_object_get(d.items[0].input, "paths")));
	declarative_deinit(&d);
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

static void test_parse(void **state)
{
	static const struct {
		const char *text, *file, *want; /* NULL: accepted */
	} rows[] = {
		{"{\"a\":1}", NULL, NULL},
		{"{\"a\":1}", "kong.json", NULL},
		{"a: 1", "kong.yml", NULL},
		{"a: 1", "kong.yaml", NULL},
		{"a: 1", NULL, NULL},
		{"a: 1", "kong.txt", "unknown file type: kong.txt. (Accepted types: json, yaml)"},
		{"a: 1", "kong.json",
		 "failed parsing declarative configuration: Cannot parse JSON body"},
		{"bobby tables", NULL,
		 "failed parsing declarative configuration: expected an object"},
		{"", NULL, "failed parsing declarative configuration: expected an object"},
		{"[1]", NULL, "failed parsing declarative configuration: expected an object"},
		{"{\"a\":1,\"a\":2}", NULL,
		 "failed parsing declarative configuration: 1:8: duplicate key"},
		{"a: 1\na: 2", NULL,
		 "failed parsing declarative configuration: 2:1: duplicate key"},
		{"a: \"\\0\"", NULL,
		 "failed parsing declarative configuration: 1:4: NUL in a text"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct err e = ERR_INIT;
		json_t *document;
		int rc = declarative_parse(&document, str_from(rows[i].text), rows[i].file, &e);

		if (rc != (rows[i].want ? -1 : 0) ||
		    (rc < 0 && strcmp(e.message, rows[i].want) != 0))
			fail_msg("%s: %s", rows[i].text, rc < 0 ? e.message : "accepted");
		json_decref(document);
	}
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

/* --- and back --- */

static void write_all(const struct declarative *d, struct buf *out)
{
	struct declarative_writer *w;
	struct err e = ERR_INIT;

	assert_int_equal(declarative_write_begin(&w, out, &e), 0);
	for (size_t i = 0; i < d->count; i++)
		if (declarative_write(w, d->items[i].entity, d->items[i].row, &e) < 0)
			fail_msg("%s", e.message);
	assert_int_equal(declarative_write_end(w, &e), 0);
}

static void test_write(void **state)
{
	char *text = with_pair(
		HEAD,
		"  snis: [a.example]\nservices:\n- name: s\n  url: http://h/p\n  routes:\n"
		"  - {paths: [/a], headers: {x: [y]}}\n  plugins:\n  - name: request-termination\n"
		"upstreams:\n- name: u\n  targets:\n  - target: h:1\n"
		"consumers:\n- username: '007'\n");
	struct declarative one, two;
	struct buf yaml = BUF_INIT, again = BUF_INIT;

	(void)state;
	read_text(&one, text, &closed);
	assert_false(declarative_refused(&one));
	write_all(&one, &yaml);
	assert_true(str_starts(buf_str(&yaml), STR("_format_version: '3.0'\n_transform: false\n"
						   "certificates:\n- id: ")));
	assert_non_null(strstr(yaml.data, "\n  username: '007'\n  custom_id: ~\n"));
	read_text(&two, yaml.data, &closed);
	assert_false(declarative_refused(&two));
	assert_int_equal(one.count, two.count);
	for (size_t i = 0; i < one.count; i++)
		assert_true(json_equal(one.items[i].row, two.items[i].row));
	write_all(&two, &again);
	assert_string_equal(yaml.data, again.data);
	declarative_deinit(&one);
	declarative_deinit(&two);
	buf_deinit(&yaml);
	buf_deinit(&again);
	free(text);
}

/* --- without memory --- */

static void read_once(void *arg)
{
	const char *text = arg;
	struct declarative d = {.count = 0};
	struct err e = ERR_INIT;
	json_t *document = NULL;
	struct buf out = BUF_INIT;

	if (declarative_parse(&document, str_from(text), NULL, &e) == 0 &&
	    declarative_read(&d, document, &closed, &e) == 0) {
		json_t *fault = declarative_fault(&d, true);

		json_decref(fault);
		if (declarative_print(&d, &out, &e) < 0)
			assert_int_equal(e.kind, ERR_MEMORY);
		json_decref(declarative_show(&d));
	} else {
		assert_int_equal(e.kind, ERR_MEMORY);
	}
	json_decref(document);
	declarative_deinit(&d);
	buf_deinit(&out);
}

static void test_no_memory(void **state)
{
	static char good[] = HEAD "services:\n- host: h\n  routes:\n  - {name: r, paths: [/]}\n"
				  "  plugins: [{name: request-termination}]\n";
	static char wrong[] = HEAD "services:\n- port: -1\n  routes:\n  - {name: r, paths: [x]}\n";

	(void)state;
	assert_true(oom_each(read_once, good) > 10);
	assert_true(oom_each(read_once, wrong) > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids),	     cmocka_unit_test(test_nameless_ids),
		cmocka_unit_test(test_certificates), cmocka_unit_test(test_references),
		cmocka_unit_test(test_old_paths),    cmocka_unit_test(test_bad),
		cmocka_unit_test(test_flattened),    cmocka_unit_test(test_print),
		cmocka_unit_test(test_parse),	     cmocka_unit_test(test_parse_fault),
		cmocka_unit_test(test_many_bad),     cmocka_unit_test(test_write),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, make_pair, free_pair);
}
