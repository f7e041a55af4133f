/* States in memory: what is shared, what changed, and what is found. */
#include "control-plane/store/memory_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/lib/oom.h"

#define ID(n) "00000000-0000-4000-8000-00000000000" #n

/* Rows of snis and consumers as text: {kind, id, name, created_at or 0}. */
struct row {
	const struct entity *entity;
	const char *id, *name;
	int created;
	bool dated;
};

static json_t *json_of(const struct row *r)
{
	if (r->entity == &entity_snis)
		return json_pack("{s:s, s:i, s:i, s:n, s:s, s:{s:s}}", "id", r->id, "created_at",
				 r->created, "updated_at", r->created, "tags", "name", r->name,
				 "certificate", "id", ID(9));
	return json_pack("{s:s, s:i, s:i, s:[s, s], s:s, s:n}", "id", r->id, "created_at",
			 r->created, "updated_at", r->created, "tags", "b", "a", "username",
			 r->name, "custom_id");
}

static bool is_public(const struct entity *t, const void *arg)
{
	(void)arg;
	return !t->internal;
}

static struct memory_state *make(struct memory_state *before, const struct row *rows, size_t n)
{
	struct memory_input inputs[8];
	struct memory_state *out;
	struct err e = ERR_INIT;

	assert_true(n <= array_len(inputs));
	for (size_t i = 0; i < n; i++)
		inputs[i] = (struct memory_input){rows[i].entity, json_of(&rows[i]), rows[i].dated};
	assert_int_equal(memory_state_make(&out, before, is_public, NULL, inputs, n, &e), 0);
	for (size_t i = 0; i < n; i++)
		json_decref(inputs[i].row);
	return out;
}

static struct memory_state *empty(void)
{
	struct memory_state *s;
	struct err e = ERR_INIT;

	assert_int_equal(memory_state_empty(&s, &e), 0);
	return s;
}

static const struct memory_row *sni(const struct memory_state *s, const char *id)
{
	return memory_table_get(memory_state_table(s, &entity_snis), str_from(id));
}

/* What says the same stays, with its revision, its time and its memory. */
static void test_unchanged(void **state)
{
	static const struct row first[] = {{&entity_snis, ID(1), "a.com", 5, false},
					   {&entity_snis, ID(2), "b.com", 5, false}};
	static const struct row later[] = {{&entity_snis, ID(2), "b.com", 9, false},
					   {&entity_snis, ID(1), "a.com", 9, false}};
	static const struct row dated[] = {{&entity_snis, ID(1), "a.com", 9, true},
					   {&entity_snis, ID(2), "b.com", 5, true}};
	struct memory_state *zero = empty();
	struct memory_state *one = make(zero, first, array_len(first));
	struct memory_state *same = make(one, later, array_len(later));
	struct memory_state *other = make(one, dated, array_len(dated));

	(void)state;
	assert_int_equal(zero->revision, 0);
	assert_int_equal(one->revision, 1);
	assert_ptr_equal(same, one);
	assert_int_equal(other->revision, 2);
	assert_int_equal(sni(other, ID(1))->revision, 2);
	assert_int_equal(json_integer_value(json_object_get(sni(other, ID(1))->row, "created_at")),
			 9);
	assert_int_equal(json_integer_value(json_object_get(sni(other, ID(1))->row, "version")), 2);
	assert_ptr_equal(sni(other, ID(2))->row, sni(one, ID(2))->row);
	assert_ptr_equal(memory_state_table(other, &entity_services),
			 memory_state_table(zero, &entity_services));
	memory_state_unref(zero);
	memory_state_unref(one);
	memory_state_unref(same);
	memory_state_unref(other);
}

static void test_removed(void **state)
{
	static const struct row all[] = {{&entity_snis, ID(1), "a.com", 5, false},
					 {&entity_snis, ID(2), "b.com", 5, false},
					 {&entity_consumers, ID(3), "c", 5, false}};
	struct memory_state *zero = empty();
	struct memory_state *one = make(zero, all, 3);
	struct memory_state *two = make(one, all + 1, 1);
	struct memory_state *three = make(two, all, 2);
	struct memory_state *four = make(three, all, 0);

	(void)state;
	assert_int_equal(two->removed_count, 2);
	assert_string_equal(two->removed[0].id, ID(1));
	assert_int_equal(two->removed[0].revision, 2);
	assert_null(sni(two, ID(1)));
	/* One came back. */
	assert_int_equal(three->removed_count, 1);
	assert_int_equal(sni(three, ID(1))->revision, 3);
	assert_int_equal(sni(three, ID(2))->revision, 1);
	assert_int_equal(four->removed_count, 3);
	assert_int_equal(four->floor, 0);
	memory_state_unref(zero);
	memory_state_unref(one);
	memory_state_unref(two);
	memory_state_unref(three);
	memory_state_unref(four);
}

static void test_find(void **state)
{
	static const struct row all[] = {{&entity_snis, ID(2), "B.com", 5, false},
					 {&entity_snis, ID(1), "a.com", 5, false},
					 {&entity_consumers, ID(3), "c", 5, false}};
	const struct field *name = entity_field(&entity_snis, STR("name"));
	const struct field *username = entity_field(&entity_consumers, STR("username"));
	struct memory_state *zero = empty();
	struct memory_state *one = make(zero, all, 3);
	const struct memory_table *snis = memory_state_table(one, &entity_snis);
	const struct memory_table *consumers = memory_state_table(one, &entity_consumers);
	const struct memory_index *o;
	size_t from, to;

	(void)state;
	assert_string_equal(snis->rows[0].id, ID(1));
	assert_string_equal(memory_table_find(snis, name, STR("b.COM"))->id, ID(2));
	assert_null(memory_table_find(snis, name, STR("b.co")));
	assert_null(memory_table_find(snis, name, STR("")));
	assert_non_null(memory_table_find(consumers, username, STR("c")));
	assert_null(memory_table_find(consumers, username, STR("C")));
	assert_null(memory_table_get(snis, STR("no id")));
	o = memory_table_below(snis, "certificate", STR(ID(9)), &from, &to);
	assert_non_null(o);
	assert_int_equal(to - from, 2);
	assert_string_equal(snis->rows[o->at[from]].id, ID(1));
	assert_non_null(memory_table_below(snis, "certificate", STR(ID(8)), &from, &to));
	assert_int_equal(to - from, 0);
	assert_null(memory_table_below(snis, "nothing", STR(ID(9)), &from, &to));
	assert_null(memory_table_below(snis, "certificate", STR("x"), &from, &to));
	assert_int_equal(one->tag_count, 2);
	assert_string_equal(one->tags[0].tag, "a");
	memory_state_unref(zero);
	memory_state_unref(one);
}

static void make_once(void *arg)
{
	static const struct row all[] = {{&entity_snis, ID(1), "a.com", 5, false},
					 {&entity_consumers, ID(3), "c", 5, false}};
	struct memory_state *zero = NULL, *one = NULL;
	struct memory_input inputs[2];
	struct err e = ERR_INIT;

	(void)arg;
	for (size_t i = 0; i < 2; i++)
		inputs[i] = (struct memory_input){all[i].entity, json_of(&all[i]), false};
	if (memory_state_empty(&zero, &e) < 0 ||
	    memory_state_make(&one, zero, is_public, NULL, inputs, 2, &e) < 0)
		assert_int_equal(e.kind, ERR_MEMORY);
	for (size_t i = 0; i < 2; i++)
		json_decref(inputs[i].row);
	memory_state_unref(zero);
	memory_state_unref(one);
}

static void test_no_memory(void **state)
{
	(void)state;
	assert_true(oom_each(make_once, NULL) > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unchanged),
		cmocka_unit_test(test_removed),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
