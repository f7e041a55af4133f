/* tables/challenges: host and token to key authorization. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "data-plane/tables/tables.h"

static struct tables *t;

static int setup(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	return tables_create(&t, NULL, &e);
}

static int teardown(void **state)
{
	(void)state;
	tables_free(t);
	return 0;
}

static int put(unsigned id, struct str host, struct str token, struct str authorization)
{
	unsigned char bytes[CHALLENGE_ID_SIZE];
	struct err e = ERR_INIT;

	memset(bytes, (int)id, sizeof(bytes));
	return challenges_put(&t->challenges, &t->txn, bytes, host, token, authorization, &e);
}

static void commit(void)
{
	struct tables_culprit c;
	struct err e = ERR_INIT;

	assert_int_equal(tables_commit(t, &c, &e), 0);
}

static bool found(const char *host, const char *token, const char *want)
{
	const struct challenge *c =
		challenges_find(&t->challenges, tables_enter(t), str_from(host), str_from(token));
	bool ok = c && str_eq((struct str){c->key_authorization, c->len}, str_from(want));

	rcu_leave();
	return ok;
}

static void test_find(void **state)
{
	(void)state;
	tables_begin(t, false);
	assert_int_equal(put(1, STR("a.example"), STR("tok-1_A"), STR("tok-1_A.x")), 0);
	assert_int_equal(put(2, STR("b.example"), STR("tok-1_A"), STR("other")), 0);
	commit();
	assert_true(found("a.example", "tok-1_A", "tok-1_A.x"));
	assert_true(found("b.example", "tok-1_A", "other"));
	assert_false(found("c.example", "tok-1_A", "other")); /* CH-04 */
	assert_false(found("a.example", "tok-1_a", "tok-1_A.x"));
	assert_false(found("a.example", "", "tok-1_A.x"));
	assert_false(found("", "tok-1_A", "tok-1_A.x"));
	/* The same id with a new token. */
	tables_begin(t, false);
	assert_int_equal(put(1, STR("a.example"), STR("tok-2"), STR("new")), 0);
	commit();
	assert_false(found("a.example", "tok-1_A", "tok-1_A.x"));
	assert_true(found("a.example", "tok-2", "new"));
	assert_int_equal(atomic_load(&t->challenges.live.count), 2);
}

/* CH-05: nothing is left of orders that ended. */
static void test_no_growth(void **state)
{
	unsigned char id[CHALLENGE_ID_SIZE];
	struct err e = ERR_INIT;

	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		char token[32];

		snprintf(token, sizeof(token), "token%u", i);
		tables_begin(t, false);
		assert_int_equal(put(i, STR("a.example"), str_from(token), STR("x")), 0);
		commit();
		memset(id, (int)i, sizeof(id));
		tables_begin(t, false);
		assert_int_equal(challenges_remove(&t->challenges, &t->txn, id, &e), 0);
		commit();
	}
	while (tables_reap(t))
		rcu_barrier();
	assert_int_equal(atomic_load(&t->challenges.live.count), 0);
	assert_null(vmap_find(&t->challenges.live, (struct str){"a.example\0token7", 16}));
}

static void test_refused(void **state)
{
	static char big[600];
	static const struct {
		struct str host, token, authorization;
	} rows[] = {
		{{"", 0}, {"t", 1}, {"x", 1}},	  {{"A.example", 9}, {"t", 1}, {"x", 1}},
		{{"a b", 3}, {"t", 1}, {"x", 1}}, {{"a\0b", 3}, {"t", 1}, {"x", 1}},
		{{big, 254}, {"t", 1}, {"x", 1}}, {{"a", 1}, {"", 0}, {"x", 1}},
		{{"a", 1}, {"a/b", 3}, {"x", 1}}, {{"a", 1}, {"..", 2}, {"x", 1}},
		{{"a", 1}, {"%41", 3}, {"x", 1}}, {{"a", 1}, {"a\0", 2}, {"x", 1}},
		{{"a", 1}, {"a=", 2}, {"x", 1}},  {{"a", 1}, {big, 129}, {"x", 1}},
		{{"a", 1}, {"t", 1}, {"", 0}},	  {{"a", 1}, {"t", 1}, {big, 513}},
	};

	(void)state;
	memset(big, 'a', sizeof(big));
	tables_begin(t, false);
	for (size_t i = 0; i < array_len(rows); i++)
		assert_int_equal(put(1, rows[i].host, rows[i].token, rows[i].authorization), -1);
	assert_int_equal(
		put(1, (struct str){big, 253}, (struct str){big, 128}, (struct str){big, 512}), 0);
	commit();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_find, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_growth, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
