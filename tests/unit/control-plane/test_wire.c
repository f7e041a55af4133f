/* fleet/wire: rows of every kind of entity as the stream's generic message. */
#include "control-plane/fleet/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cardea/v1/fleet.pb-c.h"
#include "tests/unit/lib/oom.h"

#define ID "6f1c2a34-0000-4000-8000-0000000000aa"

static void dump_record(struct buf *out, const Cardea__V1__Record *r);

static void add(struct buf *out, const char *text)
{
	assert_int_equal(buf_add_str(out, str_from(text), NULL), 0);
}

static void dump_value(struct buf *out, const Cardea__V1__Value *v)
{
	switch (v->value_case) {
	case CARDEA__V1__VALUE__VALUE_TEXT:
		assert_int_equal(buf_addf(out, NULL, "'%s'", v->text), 0);
		break;
	case CARDEA__V1__VALUE__VALUE_INTEGER:
		assert_int_equal(buf_addf(out, NULL, "%lld", (long long)v->integer), 0);
		break;
	case CARDEA__V1__VALUE__VALUE_NUMBER:
		assert_int_equal(buf_addf(out, NULL, "%.3f", v->number), 0);
		break;
	case CARDEA__V1__VALUE__VALUE_FLAG:
		add(out, v->flag ? "on" : "off");
		break;
	case CARDEA__V1__VALUE__VALUE_ID:
		assert_int_equal(v->id.len, 16);
		assert_int_equal(buf_addf(out, NULL, "#%02x", v->id.data[15]), 0);
		break;
	case CARDEA__V1__VALUE__VALUE_LIST:
		add(out, "[");
		for (size_t i = 0; i < v->list->n_items; i++) {
			add(out, i ? " " : "");
			dump_value(out, v->list->items[i]);
		}
		add(out, "]");
		break;
	case CARDEA__V1__VALUE__VALUE_RECORD:
		add(out, "{");
		dump_record(out, v->record);
		add(out, "}");
		break;
	default:
		fail_msg("a value of no kind");
	}
}

static void dump_record(struct buf *out, const Cardea__V1__Record *r)
{
	for (size_t i = 0; i < r->n_fields; i++) {
		assert_int_equal(buf_addf(out, NULL, "%s%s=", i ? " " : "", r->fields[i]->name), 0);
		dump_value(out, r->fields[i]->value);
	}
}

static const struct {
	const struct entity *t;
	const char *row;
	const char *want; /* the fields, or the error behind "!" */
} rows[] = {
	{&entity_services, "{}", ""},
	{&entity_services,
	 "{\"id\":\"" ID "\",\"created_at\":5,\"updated_at\":6,\"name\":\"s\",\"host\":\"h\","
	 "\"port\":80,\"path\":null,\"enabled\":false,\"tls_verify\":null,"
	 "\"client_certificate\":{\"id\":\"" ID "\"},\"ca_certificates\":[\"" ID "\"],"
	 "\"tags\":[\"a\",\"b\"]}",
	 "created_at=5.000 tags=['a' 'b'] name='s' host='h' port=80 "
	 "client_certificate=#aa ca_certificates=[#aa] enabled=off"},
	{&entity_routes,
	 "{\"hosts\":[\"a.com\"],\"paths\":[],\"headers\":{\"x-a\":[\"1\",\"2\"],\"x-b\":[]},"
	 "\"sources\":[{\"ip\":\"10.0.0.1\",\"port\":null}],\"strip_path\":true,"
	 "\"regex_priority\":-3,\"service\":{\"id\":\"" ID "\"}}",
	 "strip_path=on sources=[{ip='10.0.0.1'}] hosts=['a.com'] paths=[] "
	 "headers={x-a=['1' '2'] x-b=[]} regex_priority=-3 service=#aa"},
	{&entity_upstreams,
	 "{\"name\":\"u\",\"slots\":10,\"healthchecks\":{\"active\":{\"timeout\":1.5,"
	 "\"healthy\":{\"http_statuses\":[200,302]}}}}",
	 "name='u' slots=10 healthchecks={active={timeout=1.500 "
	 "healthy={http_statuses=[200 302]}}}"},
	{&entity_targets, "{\"created_at\":1.25,\"target\":\"a:80\",\"weight\":0}",
	 "created_at=1.250 target='a:80' weight=0"},
	{&entity_consumers, "{\"username\":\"u\"}", "username='u'"},
	{&entity_mtls_auth_credentials,
	 "{\"consumer\":{\"id\":\"" ID "\"},\"subject_name\":\"a.com\",\"ca_certificate\":null}",
	 "consumer=#aa subject_name='a.com'"},
	{&entity_header_cert_auth_credentials,
	 "{\"consumer\":{\"id\":\"" ID "\"},\"subject_name\":\"a.com\",\"ca_certificate\":null}",
	 "consumer=#aa subject_name='a.com'"},
	{&entity_plugins,
	 "{\"name\":\"request-termination\",\"enabled\":true,\"config\":{\"status_code\":503}}",
	 "name='request-termination' config={status_code=503} enabled=on"},
	{&entity_plugins, "{\"name\":\"not-known\",\"config\":{\"a\":1}}",
	 "name='not-known' config={}"},

	{&entity_services, "{\"name\":1}", "!services: name is not what its table says"},
	{&entity_services, "{\"port\":\"80\"}", "!services: port is not what its table says"},
	{&entity_services, "{\"enabled\":1}", "!services: enabled is not what its table says"},
	{&entity_services, "{\"ca_certificates\":{}}",
	 "!services: ca_certificates is not what its table says"},
	{&entity_services, "{\"ca_certificates\":[\"x\"]}",
	 "!services: ca_certificates is not what its table says"},
	{&entity_services, "{\"client_certificate\":\"" ID "\"}",
	 "!services: client_certificate is not what its table says"},
	{&entity_routes, "{\"headers\":[]}", "!routes: headers is not what its table says"},
	{&entity_routes, "{\"headers\":{\"a\":\"b\"}}",
	 "!routes: headers is not what its table says"},
	{&entity_routes, "{\"sources\":[1]}", "!routes: sources is not what its table says"},
	{&entity_upstreams, "{\"healthchecks\":{\"active\":{\"timeout\":\"x\"}}}",
	 "!upstreams: healthchecks is not what its table says"},
	{&entity_targets, "{\"created_at\":\"x\"}",
	 "!targets: created_at is not what its table says"},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		json_t *row = json_loads(rows[i].row, 0, NULL);
		Cardea__V1__Entity *entity;
		struct buf text = BUF_INIT;
		struct err e = ERR_INIT;
		struct arena a;

		assert_non_null(row);
		arena_init(&a, 0);
		if (wire_entity(&entity, &a, rows[i].t, row, &e) < 0) {
			assert_int_equal(buf_addf(&text, NULL, "!%s", e.message), 0);
		} else {
			assert_string_equal(entity->kind, rows[i].t->name);
			dump_record(&text, entity->fields);
		}
		if (!str_eq(buf_str(&text), str_from(rows[i].want)))
			fail_msg("%s: %s, not %s", rows[i].row, text.data ? text.data : "",
				 rows[i].want);
		buf_deinit(&text);
		arena_deinit(&a);
		json_decref(row);
	}
}

static void encode_route(void *arg)
{
	Cardea__V1__Entity *entity;
	struct err e = ERR_INIT;
	struct arena a;

	arena_init(&a, 0);
	if (wire_entity(&entity, &a, &entity_routes, arg, &e) < 0)
		assert_int_equal(e.kind, ERR_MEMORY);
	arena_deinit(&a);
}

static void test_no_memory(void **state)
{
	json_t *row = json_loads(rows[2].row, 0, NULL);

	(void)state;
	assert_true(oom_each(encode_route, row) > 0);
	json_decref(row);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
