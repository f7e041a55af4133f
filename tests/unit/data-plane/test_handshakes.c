/* tables/handshakes: which names are asked for a certificate, revision after revision. */
#include "data-plane/tables/handshakes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/pki/cert.h"
#include "data-plane/tables/fields.h"
#include "data-plane/tables/plugin.h"
#include "tests/unit/lib/entity_bed.h"
#include "tests/unit/lib/oom.h"
#include "tests/unit/lib/testcert.h"
#include "tests/unit/lib/testentity.h"

static struct entity_bed bed;

/* Kinds of plugins: one that asks, one that may, one that never does. */
struct config {
	bool quiet;
	const unsigned char *ids;
	size_t count;
};

static int configure(void *config, const struct fields *f, struct arena *a, struct err *e)
{
	struct config *c = config;

	c->quiet = fields_flag(f, "quiet", false);
	return fields_ids(f, "ca_certificates", a, &c->ids, &c->count, e);
}

static bool asks(const void *config)
{
	return !((const struct config *)config)->quiet;
}

static struct plugin_authorities authorities(const void *config)
{
	const struct config *c = config;

	return (struct plugin_authorities){c->ids, c->count, true};
}

static const struct plugin_kind kind_asks = {.name = "asks",
					     .config_size = sizeof(struct config),
					     .configure = configure,
					     .asks_certificate = asks,
					     .authorities = authorities},
				kind_silent = {.name = "silent"};
static const struct plugin_kind *const kinds[] = {&kind_silent, &kind_asks, NULL};

static int setup(void **state)
{
	(void)state;
	entity_bed_init(&bed, kinds);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	entity_bed_deinit(&bed);
	return 0;
}

/* In the open transaction. snis: "a.example,b.example"; service: a letter, or 0. */
static int stage_route(unsigned id, const char *snis, char service, struct err *e)
{
	struct tables *t = bed.tables;
	unsigned char route_id[16], service_id[16];
	struct str items[8], rest = str_from(snis), head, path = STR("/");
	char payload[128];
	struct route_source s = {.paths = {&path, 1}, .snis = {items, 0}};

	while (snis[0] && str_split(&rest, ',', &head))
		items[s.snis.count++] = head;
	memset(route_id, (int)id, sizeof(route_id));
	memset(service_id, service, sizeof(service_id));
	snprintf(payload, sizeof(payload), "%s %c", snis, service ? service : '-');
	s.payload = str_from(payload);
	s.action.service = service ? service_id : NULL;
	return routes_put(&t->routes, &t->txn, route_id, &s, e);
}

static void put_route(unsigned id, const char *snis, char service)
{
	unsigned char route_id[16];
	struct err e = ERR_INIT;

	memset(route_id, (int)id, sizeof(route_id));
	tables_begin(bed.tables, false);
	if (snis)
		assert_int_equal(stage_route(id, snis, service, &e), 0);
	else
		assert_int_equal(routes_remove(&bed.tables->routes, &bed.tables->txn, route_id, &e),
				 0);
	entity_bed_commit(&bed);
}

static void put_plugin(unsigned id, const char *fields)
{
	entity_bed_put(&bed, ENTITIES_PLUGIN, id, fields);
}

/* Which of a, b, c and no name at all ("-") are asked, as letters. */
static const char *asked(void)
{
	static const char *const names[] = {"a.example", "b.example", "c.example", ""};
	static char out[8];
	uint64_t generation = tables_enter(bed.tables);
	size_t n = 0;

	for (size_t i = 0; i < array_len(names); i++)
		if (handshakes_find(&bed.tables->handshakes, generation, str_from(names[i])))
			out[n++] = names[i][0] ? names[i][0] : '-';
	out[n] = '\0';
	rcu_leave();
	return out;
}

static void test_scopes(void **state)
{
	static const struct {
		const char *name, *plugin, *want;
	} rows[] = {
		{"global", "name=asks", "abc-"},
		{"route with one name", "name=asks route=#1", "a"},
		{"route with names", "name=asks route=#2", "bc"},
		{"route without", "name=asks route=#3", "abc-"},
		{"service, all its routes with names", "name=asks service=#s", "abc"},
		{"service, one route without", "name=asks service=#n", "abc-"},
		{"service without routes", "name=asks service=#x", ""},
		{"route that is not there", "name=asks route=#9", ""},
		{"off", "name=asks enabled=!no", ""},
		{"asks for nothing", "name=asks config={quiet:!}", ""},
		{"of a kind that never asks", "name=silent", ""},
		{"of no kind", "name=unknown", ""},
	};

	(void)state;
	put_route('1', "a.example", 's');
	put_route('2', "b.example,c.example.", 's');
	put_route('3', "", 'n');
	put_route('4', "a.example", 'n');
	assert_string_equal(asked(), "");
	for (size_t i = 0; i < array_len(rows); i++) {
		put_plugin('p', rows[i].plugin);
		if (strcmp(asked(), rows[i].want) != 0)
			fail_msg("%s: %s", rows[i].name, asked());
		put_plugin('p', NULL);
		assert_string_equal(asked(), "");
	}
	assert_int_equal(bed.tables->handshakes.names.count, 0);
}

/* Routes come, change and go below a plugin. */
static void test_routes_change(void **state)
{
	(void)state;
	put_plugin('p', "name=asks service=#s");
	put_plugin('q', "name=asks route=#7");
	assert_string_equal(asked(), "");
	put_route('1', "a.example", 's');
	assert_string_equal(asked(), "a");
	put_route('7', "b.example", 0);
	assert_string_equal(asked(), "ab");
	put_route('1', "c.example", 's');
	assert_string_equal(asked(), "bc");
	put_route('2', "", 's');
	assert_string_equal(asked(), "abc-");
	put_route('2', "", 'o');
	assert_string_equal(asked(), "bc");
	put_route('1', NULL, 0);
	assert_string_equal(asked(), "b");
	put_plugin('q', NULL);
	assert_string_equal(asked(), "");
}

/* Whatever order a revision brings things in; and what a snapshot says nothing of goes. */
static void test_one_revision(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	tables_begin(bed.tables, true);
	assert_int_equal(entity_bed_stage(&bed, ENTITIES_PLUGIN, 'p', "name=asks service=#s", &e),
			 0);
	assert_int_equal(stage_route('1', "a.example", 's', &e), 0);
	entity_bed_commit(&bed);
	assert_string_equal(asked(), "a");
	tables_begin(bed.tables, true);
	assert_int_equal(stage_route('1', "a.example", 's', &e), 0);
	entity_bed_commit(&bed);
	assert_string_equal(asked(), "");
}

static void test_an_aborted_one(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	put_route('1', "a.example", 's');
	tables_begin(bed.tables, false);
	assert_int_equal(entity_bed_stage(&bed, ENTITIES_PLUGIN, 'p', "name=asks", &e), 0);
	tables_abort(bed.tables);
	assert_string_equal(asked(), "");
	put_route('1', "b.example", 's');
	assert_string_equal(asked(), "");
}

static void put_authority(unsigned id, const char *name)
{
	struct tables *t = bed.tables;
	struct buf pem = BUF_INIT;
	struct testca ca;
	struct arena a;

	arena_init(&a, 0);
	testca_init(&ca, name);
	assert_int_equal(cert_to_pem(&pem, ca.cert, NULL), 0);
	tables_begin(t, false);
	assert_int_equal(entities_put(&t->entities, &t->txn, ENTITIES_CA_CERTIFICATE,
				      entity_bed_id(&bed, id),
				      fields_of(testentity_text(&a, "", "cert", buf_str(&pem))),
				      buf_str(&pem), NULL),
			 0);
	entity_bed_commit(&bed);
	testca_deinit(&ca);
	buf_deinit(&pem);
	arena_deinit(&a);
}

/* Common names of the authorities that a handshake for the name offers, with a space behind each;
 * "none" when it asks for nothing. */
static const char *offered(const char *name)
{
	static char out[128];
	const struct handshake_rule *r =
		handshakes_find(&bed.tables->handshakes, tables_enter(bed.tables), str_from(name));
	size_t n = 0;

	out[0] = '\0';
	for (int i = 0; r && i < sk_X509_NAME_num(r->authorities); i++) {
		X509_NAME_get_text_by_NID(sk_X509_NAME_value(r->authorities, i), NID_commonName,
					  out + n, (int)(sizeof(out) - n - 1));
		n = strlen(out);
		out[n++] = ' ';
		out[n] = '\0';
	}
	rcu_leave();
	return r ? out : "none";
}

/* Lists of several plugins for a name are put together, those for every handshake too. */
static void test_authorities(void **state)
{
	unsigned char before[HANDSHAKE_DIGEST_SIZE];
	uint64_t generation;

	(void)state;
	put_authority('1', "one");
	put_authority('2', "two");
	put_route('1', "a.example", 's');
	put_plugin('p', "name=asks route=#1 config={ca_certificates:[#1]}");
	assert_string_equal(offered("a.example"), "one ");
	assert_string_equal(offered("b.example"), "none");
	put_plugin('q', "name=asks service=#s config={ca_certificates:[#2,#1]}");
	assert_string_equal(offered("a.example"), "one two ");
	put_plugin('q', NULL);
	put_plugin('g', "name=asks config={ca_certificates:[#2]}");
	assert_string_equal(offered("b.example"), "two ");
	assert_true(strcmp(offered("a.example"), "one two ") == 0 ||
		    strcmp(offered("a.example"), "two one ") == 0);
	generation = tables_enter(bed.tables);
	memcpy(before,
	       handshakes_find(&bed.tables->handshakes, generation, STR("b.example"))->digest,
	       sizeof(before));
	rcu_leave();
	put_authority('2', "renamed");
	assert_string_equal(offered("b.example"), "renamed ");
	generation = tables_enter(bed.tables);
	assert_memory_not_equal(
		handshakes_find(&bed.tables->handshakes, generation, STR("b.example"))->digest,
		before, sizeof(before));
	rcu_leave();
}

static void one_revision(void *arg)
{
	struct tables_culprit culprit;
	struct err e = ERR_INIT;
	int rc;

	(void)arg;
	tables_begin(bed.tables, false);
	rc = stage_route('1', "a.example,b.example", 's', &e);
	if (rc == 0)
		rc = entity_bed_stage(&bed, ENTITIES_PLUGIN, 'p',
				      "name=asks service=#s config={ca_certificates:[#1]}", &e);
	if (rc == 0)
		rc = tables_commit(bed.tables, &culprit, &e);
	if (rc != 0) {
		assert_int_equal(e.kind, ERR_MEMORY);
		tables_abort(bed.tables);
		assert_string_equal(asked(), "");
	}
}

static void test_no_memory(void **state)
{
	(void)state;
	put_authority('1', "one");
	assert_true(oom_each(one_revision, NULL) > 10);
	assert_string_equal(asked(), "ab");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_scopes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_routes_change, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_revision, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_aborted_one, setup, teardown),
		cmocka_unit_test_setup_teardown(test_authorities, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
