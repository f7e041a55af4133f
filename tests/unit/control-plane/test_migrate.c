/* Migrations against a real PostgreSQL. */
#include "control-plane/store/migrate.h"

#include "tests/unit/control-plane/store_fixture.h"
#include "tests/unit/lib/pg_fixture.h"

/* The migrations that a database has. Free it. */
static char *applied(const char *conninfo)
{
	return pg_fixture_sql(conninfo,
			      "SELECT number, name FROM schema_migrations ORDER BY number");
}

static void test_two_migrate_at_once(void **state)
{
	const char *conninfo = pg_fixture_database(0);
	struct store_fixture *a = store_fixture_start(conninfo);
	struct store_fixture *b = store_fixture_start_on(conninfo, a->on);
	char *text;

	(void)state;
	store_fixture_wait_ready(a);
	store_fixture_wait_ready(b);
	assert_int_equal(a->ready_kind, ERR_NONE);
	assert_int_equal(b->ready_kind, ERR_NONE);
	text = applied(conninfo);
	assert_ptr_equal(strstr(text, "1|spine\n2|entities\n"), text);
	free(text);
	store_fixture_close(b);
	store_fixture_close(a);
}

static void test_newer_schema_is_refused(void **state)
{
	const char *conninfo = pg_fixture_database(0);
	struct store_fixture *f = store_fixture_open(conninfo);

	(void)state;
	store_fixture_close(f);
	free(pg_fixture_sql(conninfo,
			    "INSERT INTO schema_migrations (number, name) VALUES (9999, 'later')"));
	f = store_fixture_start(conninfo);
	store_fixture_wait_ready(f);
	assert_int_equal(f->ready_kind, ERR_INVALID);
	assert_non_null(strstr(f->ready_message, "version 9999"));
	store_fixture_close(f);
}

static void test_migration_that_fails(void **state)
{
	const char *conninfo = pg_fixture_database(0);
	struct store_fixture *f;
	char *text;

	(void)state;
	free(pg_fixture_sql(conninfo, "CREATE TABLE snis (x int)"));
	f = store_fixture_start(conninfo);
	store_fixture_wait_ready(f);
	assert_int_equal(f->ready_kind, ERR_INTERNAL);
	assert_non_null(strstr(f->ready_message, "migration 1 (spine)"));
	store_fixture_close(f);
	/* Nothing of it stayed. */
	text = pg_fixture_sql(conninfo, "SELECT to_regclass('cluster') IS NULL");
	assert_string_equal(text, "t");
	free(text);
}

/* The server goes away in the middle and comes back: it begins again. */
static void test_interrupted(void **state)
{
	const char *conninfo = pg_fixture_database(0);
	const char *undisturbed = pg_fixture_database(1);
	struct store_fixture *f;
	char *text, *want;

	(void)state;
	store_fixture_close(store_fixture_open(undisturbed));
	want = applied(undisturbed);
	pg_fixture_crash();
	f = store_fixture_start(conninfo);
	fixture_spin(f->on, 20);
	assert_false(f->ready);
	pg_fixture_restart();
	store_fixture_wait_ready(f);
	assert_int_equal(f->ready_kind, ERR_NONE);
	store_fixture_close(f);
	text = applied(conninfo);
	assert_string_equal(text, want);
	free(text);
	free(want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_migrate_at_once),
		cmocka_unit_test(test_newer_schema_is_refused),
		cmocka_unit_test(test_migration_that_fails),
		cmocka_unit_test(test_interrupted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
