/* Declarative documents: rows, ids, references, and back. */
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

/* Authorities inside a plugin's config are references, too (kong-acme-hybrid.md 5.4). */
static void test_authorities(void **state)
{
	struct declarative d;

	(void)state;
	read_text(&d,
		  "_format_version: '3.0'\nplugins:\n- name: mtls-auth\n  id: " U
		  "\n  config: {ca_certificates: [" V "]}\n",
		  &closed);
	assert_true(declarative_refused(&d));
	check_json("no such authority", declarative_fault(&d, false),
		   "{\"code\":14,\"name\":\"invalid declarative configuration\",\"message\":"
		   "\"declarative config is invalid: {plugins={[\\\"" U
		   "\\\"]={\\\"invalid reference 'config.ca_certificates: " V
		   "' (no such entry in 'ca_certificates')\\\"}}}\",\"fields\":{\"plugins\":{\"" U
		   "\":[\"invalid reference 'config.ca_certificates: " V
		   "' (no such entry in 'ca_certificates')\"]}}}");
	declarative_deinit(&d);
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
		cmocka_unit_test(test_certificates), cmocka_unit_test(test_authorities),
		cmocka_unit_test(test_references),   cmocka_unit_test(test_old_paths),
		cmocka_unit_test(test_parse),	     cmocka_unit_test(test_write),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, make_pair, free_pair);
}
