/* tables/plugin: plugins out of their fields, and which instance a request gets. */
#include "data-plane/tables/plugin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "data-plane/tables/fields.h"
#include "tests/unit/lib/entity_bed.h"
#include "tests/unit/lib/oom.h"

/* Two kinds: one with a configuration that it owns, one with none. */
struct secret_config {
	struct str word;
	int *counter;
};

static int alive; /* configurations that were not released */

static int configure(void *config, const struct fields *f, struct arena *a, struct err *e)
{
	struct secret_config *c = config;

	if (!fields_text(f, "word").ptr)
		return err_set(e, ERR_INVALID, "word: there is none");
	c->counter = &alive;
	alive++;
	c->word = arena_str(a, fields_text(f, "word"));
	return c->word.ptr ? 0 : err_memory(e, "storing a word");
}

static void release(void *config)
{
	struct secret_config *c = config;

	if (c->counter)
		--*c->counter;
}

static const struct plugin_kind secret = {.name = "secret",
					  .config_size = sizeof(struct secret_config),
					  .configure = configure,
					  .release = release};
static const struct plugin_kind plain = {.name = "plain"};
static const struct plugin_kind *const kinds[] = {&secret, &plain, NULL};

enum { SECRET, PLAIN };

static struct entity_bed bed;

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
	assert_int_equal(alive, 0);
	return 0;
}

static void put(unsigned id, const char *fields)
{
	entity_bed_put(&bed, ENTITIES_PLUGIN, id, fields);
}

static const struct plugin *by_id(unsigned id)
{
	const struct entity *en = entities_find(&bed.tables->entities, tables_enter(bed.tables),
						ENTITIES_PLUGIN, entity_bed_id(&bed, id));

	rcu_leave();
	return en ? entity_of(en, struct plugin) : NULL;
}

/* ids are letters, '-': none. The first byte of the id of what is found, 0: nothing. */
static int find(unsigned kind, const char *ids)
{
	unsigned char bytes[3][ENTITY_ID_SIZE];
	const unsigned char *id[3];
	const struct plugin *p;

	for (size_t i = 0; i < 3; i++) {
		memset(bytes[i], ids[i], ENTITY_ID_SIZE);
		id[i] = ids[i] == '-' ? NULL : bytes[i];
	}
	p = plugin_find(&bed.tables->entities, tables_enter(bed.tables), kind, id[0], id[1], id[2]);
	rcu_leave();
	return p ? p->entity.id[0] : 0;
}

static size_t instances(unsigned kind)
{
	const struct entity_list *l =
		plugin_instances(&bed.tables->entities, tables_enter(bed.tables), kind);

	rcu_leave();
	return l ? l->count : 0;
}

static void test_making(void **state)
{
	const struct plugin *p;
	const struct secret_config *c;

	(void)state;
	put(1, "name=secret config={word:sesame} protocols=[http,tls_passthrough] route=#r");
	p = by_id(1);
	c = p->config;
	assert_int_equal(p->kind, SECRET);
	assert_true(p->enabled);
	assert_int_equal(p->protocols, PROTOCOL_HTTP | PROTOCOL_TLS_PASSTHROUGH);
	assert_true(str_eq(c->word, STR("sesame")));
	assert_int_equal(p->route[9], 'r');
	assert_null(p->service);
	assert_null(p->consumer);
	put(2, "name=plain service=#s consumer=#c enabled=!no");
	p = by_id(2);
	assert_int_equal(p->kind, PLAIN);
	assert_false(p->enabled);
	assert_int_equal(p->protocols,
			 PROTOCOL_HTTP | PROTOCOL_HTTPS | PROTOCOL_GRPC | PROTOCOL_GRPCS);
	assert_int_equal(p->service[0], 's');
	assert_int_equal(p->consumer[0], 'c');
	put(3, "name=unheard-of config={word:x} protocols=[carrier-pigeon]");
	assert_int_equal(by_id(3)->kind, PLUGIN_KINDS_MAX);
	assert_int_equal(instances(SECRET), 1);
	assert_int_equal(instances(PLAIN), 0);
	assert_int_equal(instances(PLUGIN_KINDS_MAX), 0);
	assert_int_equal(alive, 1);
}

static void test_refused(void **state)
{
	static const struct {
		const char *fields, *why;
	} rows[] = {
		{"", "name: there is none"},
		{"name=", "name: there is none"},
		{"name=%1", "name: there is none"},
		{"name=secret", "secret: config: word: there is none"},
		{"name=secret config={}", "secret: config: word: there is none"},
		{"name=secret config={word:%1}", "secret: config: word: there is none"},
		{"name=secret config=word", "secret: config: word: there is none"},
		{"name=plain protocols=[http,gopher]", "protocols: \"gopher\" is not known"},
		{"name=plain protocols=[HTTP]", "protocols: \"HTTP\" is not known"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++)
		assert_string_equal(entity_bed_refusal(&bed, ENTITIES_PLUGIN, rows[i].fields),
				    rows[i].why);
	assert_string_equal(
		entity_bed_refusal(&bed, ENTITIES_PLUGIN, "name=secret config={word:x}"), "");
	assert_int_equal(alive, 0);
}

/* kong-admin-api.md 2.9: which instance applies. Each request in turn gets the most specific of
 * those that are left, which is then taken away. */
static void test_order(void **state)
{
	static const char *const scopes[] = {
		"route=#r service=#s consumer=#c",
		"route=#r consumer=#c",
		"service=#s consumer=#c",
		"route=#r service=#s",
		"consumer=#c",
		"route=#r",
		"service=#s",
		"",
	};
	char text[64];

	(void)state;
	assert_int_equal(find(PLAIN, "rsc"), 0);
	for (unsigned i = 0; i < array_len(scopes); i++) {
		snprintf(text, sizeof(text), "name=plain %s", scopes[i]);
		put(i + 1, text);
	}
	assert_int_equal(instances(PLAIN), array_len(scopes));
	assert_int_equal(find(SECRET, "rsc"), 0);
	for (unsigned i = 0; i < array_len(scopes); i++) {
		assert_int_equal(find(PLAIN, "rsc"), i + 1);
		put(i + 1, NULL);
	}
	assert_int_equal(find(PLAIN, "rsc"), 0);
	assert_int_equal(instances(PLAIN), 0);
}

static void test_who_gets_it(void **state)
{
	static const struct {
		const char *ids;
		int want;
	} rows[] = {
		{"rsc", 1}, {"rs-", 3}, {"r--", 3}, {"xsc", 4}, {"xs-", 4},
		{"xxx", 5}, {"---", 5}, {"r-c", 2}, {"rxc", 2}, {"x-c", 5},
		{"rsx", 3}, {"src", 5}, {"csr", 4}, {"--s", 5}, {"-s-", 4},
	};

	(void)state;
	put(1, "name=plain route=#r service=#s consumer=#c");
	put(2, "name=plain route=#r consumer=#c");
	put(3, "name=plain route=#r");
	put(4, "name=plain service=#s");
	put(5, "name=plain");
	put(6, "name=secret route=#x config={word:w}");
	for (size_t i = 0; i < array_len(rows); i++)
		if (find(PLAIN, rows[i].ids) != rows[i].want)
			fail_msg("%s: %d", rows[i].ids, find(PLAIN, rows[i].ids));
	assert_int_equal(find(SECRET, "x--"), 6);
	assert_int_equal(find(SECRET, "r--"), 0);
	/* One that is switched off does not hide a less specific one. */
	put(3, "name=plain route=#r enabled=!no");
	assert_int_equal(find(PLAIN, "rs-"), 4);
	put(5, NULL);
	assert_int_equal(find(PLAIN, "xxx"), 0);
}

static void test_no_kinds(void **state)
{
	struct entity_bed none;

	(void)state;
	entity_bed_init(&none, NULL);
	entity_bed_put(&none, ENTITIES_PLUGIN, 1, "name=plain");
	assert_null(plugin_find(&none.tables->entities, tables_enter(none.tables), 0, NULL, NULL,
				NULL));
	rcu_leave();
	entity_bed_deinit(&none);
}

static void change(void *arg)
{
	struct tables_culprit c;
	struct err e = ERR_INIT;

	(void)arg;
	tables_begin(bed.tables, false);
	if (entity_bed_stage(&bed, ENTITIES_PLUGIN, 1, "name=secret config={word:w} route=#r",
			     &e) == 0 &&
	    tables_commit(bed.tables, &c, &e) == 0) {
		assert_int_equal(find(SECRET, "r--"), 1);
		return;
	}
	assert_int_equal(e.kind, ERR_MEMORY);
	tables_abort(bed.tables);
	assert_int_equal(find(SECRET, "r--"), 0);
}

static void test_out_of_memory(void **state)
{
	(void)state;
	assert_true(oom_each(change, NULL) > 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_making, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_who_gets_it, setup, teardown),
		cmocka_unit_test(test_no_kinds),
		cmocka_unit_test_setup_teardown(test_out_of_memory, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
