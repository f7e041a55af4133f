/* tables/fields: an entity's fields by name and type. */
#include "data-plane/tables/fields.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cardea/v1/fleet.pb-c.h"
#include "tests/unit/lib/testentity.h"

static struct arena memory;

static int setup(void **state)
{
	(void)state;
	arena_init(&memory, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_deinit(&memory);
	return 0;
}

static void test_reading(void **state)
{
	const struct fields *f = fields_of(testentity_record(
		&memory, "text=a empty= int=%-5 on=! id=#x list=[a,%1,b] none=[] map={k:v;l:[1]}"));
	struct fields_texts t;

	(void)state;
	assert_int_equal(fields_check(f, NULL), 0);
	assert_true(str_eq(fields_text(f, "text"), STR("a")));
	assert_true(fields_text(f, "empty").ptr && fields_text(f, "empty").len == 0);
	assert_null(fields_text(f, "int").ptr);
	assert_null(fields_text(f, "absent").ptr);
	assert_int_equal(fields_integer(f, "int", 9), -5);
	assert_int_equal(fields_integer(f, "text", 9), 9);
	assert_true(fields_number(f, "int", 0) == -5.0);
	assert_true(fields_number(f, "text", 1.5) == 1.5);
	assert_true(fields_flag(f, "on", false));
	assert_true(fields_flag(f, "text", true));
	assert_false(fields_flag(f, "absent", false));
	assert_int_equal(fields_id(f, "id")[15], 'x');
	assert_null(fields_id(f, "text"));
	assert_int_equal(fields_texts(f, "list", &memory, &t, NULL), 0);
	assert_int_equal(t.count, 2);
	assert_true(str_eq(t.items[1], STR("b")));
	assert_int_equal(fields_texts(f, "none", &memory, &t, NULL), 0);
	assert_int_equal(t.count, 0);
	assert_int_equal(fields_texts(f, "text", &memory, &t, NULL), 0);
	assert_int_equal(t.count, 0);
	assert_int_equal(fields_count(fields_record(f, "map")), 2);
	assert_string_equal(fields_name(fields_record(f, "map"), 1), "l");
	assert_true(str_eq(fields_text(fields_record(f, "map"), "k"), STR("v")));
	assert_null(fields_record(f, "text"));
}

static void test_lists(void **state)
{
	const struct fields *f = fields_of(testentity_record(
		&memory, "list=[%1,a,#b,%-2,#c] none=[] text=a half=%1.5 no=!no"));
	struct fields_integers n;
	const unsigned char *ids;
	size_t count;

	(void)state;
	assert_int_equal(fields_integers(f, "list", &memory, &n, NULL), 0);
	assert_int_equal(n.count, 2);
	assert_int_equal(n.items[1], -2);
	assert_int_equal(fields_ids(f, "list", &memory, &ids, &count, NULL), 0);
	assert_int_equal(count, 2);
	assert_int_equal(ids[0], 'b');
	assert_int_equal(ids[31], 'c');
	for (size_t i = 0; i < 3; i++) {
		static const char *const names[] = {"none", "text", "absent"};

		assert_int_equal(fields_integers(f, names[i], &memory, &n, NULL), 0);
		assert_int_equal(n.count, 0);
		assert_int_equal(fields_ids(f, names[i], &memory, &ids, &count, NULL), 0);
		assert_null(ids);
	}
	assert_true(fields_has(f, "none"));
	assert_false(fields_has(f, "absent"));
	assert_false(fields_has(NULL, "none"));
	assert_true(fields_number(f, "half", 0) == 1.5);
	assert_false(fields_flag(f, "no", true));
}

static void test_nothing(void **state)
{
	struct fields_texts t;

	(void)state;
	assert_int_equal(fields_check(fields_of(NULL), NULL), 0);
	assert_int_equal(fields_count(fields_of(NULL)), 0);
	assert_null(fields_text(NULL, "a").ptr);
	assert_int_equal(fields_texts(NULL, "a", &memory, &t, NULL), 0);
	assert_int_equal(t.count, 0);
}

/* {x:{x: ... }} of some depth. */
static struct Cardea__V1__Record *nested(unsigned depth)
{
	Cardea__V1__Record *r = testentity_record(&memory, "x=a");

	while (depth-- > 0) {
		Cardea__V1__Record *outer = testentity_record(&memory, "x={}");

		outer->fields[0]->value->record = r;
		r = outer;
	}
	return r;
}

static void test_checking(void **state)
{
	struct Cardea__V1__Record *no_value = testentity_record(&memory, "a");
	struct Cardea__V1__Record *no_name = testentity_record(&memory, "=a");
	struct Cardea__V1__Record *bad_id = testentity_record(&memory, "a=[#xy]");
	const struct {
		const struct Cardea__V1__Record *record;
		const char *why; /* NULL: fine */
	} rows[] = {
		{testentity_record(&memory, ""), NULL},
		{nested(FIELDS_DEPTH_MAX), NULL},
		{nested(FIELDS_DEPTH_MAX + 1), "values nested deeper than 16"},
		{nested(200), "values nested deeper than 16"},
		{no_value, "a field without a value"},
		{no_name, "a field without a name"},
		{bad_id, "a: an id of 2 bytes, must have 16"},
		{testentity_record(&memory, "m={a:#xyz}"), "m: a: an id of 3 bytes, must have 16"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct err e = ERR_INIT;
		int rc = fields_check(fields_of(rows[i].record), &e);

		assert_int_equal(rc, rows[i].why ? -1 : 0);
		if (rows[i].why && !strstr(e.message, rows[i].why))
			fail_msg("%zu: %s, not %s", i, e.message, rows[i].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_reading, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lists, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_checking, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
