/* Transactions against a real PostgreSQL: faults with their keys, versions, operations. */
#include "control-plane/store/store.h"

#include "tests/unit/control-plane/store_fixture.h"
#include "tests/unit/control-plane/store_rows.h"
#include "tests/unit/lib/pg_fixture.h"

/* Of CERT_1, as a request has read it. */
static int64_t version_read;

static int64_t version_of(const struct store_fixture *f, const char *id)
{
	char sql[128];
	char *text;
	int64_t version;

	snprintf(sql, sizeof(sql), "SELECT version FROM certificates WHERE id = '%s'", id);
	text = pg_fixture_sql(f->conninfo, sql);
	version = strtoll(text, NULL, 10);
	free(text);
	return version;
}

static void again_id(struct txn *t)
{
	rows_insert(t, &entity_certificates, rows_certificate(CERT_1));
}

static void again_name(struct txn *t)
{
	rows_insert(t, &entity_snis, rows_sni(NOBODY, "B.example", CERT_1));
}

static void no_certificate(struct txn *t)
{
	rows_insert(t, &entity_snis, rows_sni(NOBODY, "new.example", NOBODY));
}

static void old_version(struct txn *t)
{
	rows_update(t, &entity_certificates, rows_certificate(CERT_1), 7);
}

static void any_version(struct txn *t)
{
	rows_update(t, &entity_certificates, rows_certificate(CERT_1), -1);
}

static void right_version(struct txn *t)
{
	rows_update(t, &entity_certificates, rows_certificate(CERT_1), version_read);
}

static void update_nothing(struct txn *t)
{
	rows_update(t, &entity_certificates, rows_certificate(NOBODY), -1);
}

static void delete_nothing(struct txn *t)
{
	txn_delete(t, &entity_snis, STR(NOBODY), true);
}

static void delete_maybe(struct txn *t)
{
	txn_delete(t, &entity_snis, STR(NOBODY), false);
}

static void delete_one(struct txn *t)
{
	txn_delete(t, &entity_certificates, STR(CERT_1), true);
}

static void upsert_old(struct txn *t)
{
	rows_upsert(t, &entity_certificates, rows_certificate(CERT_1));
}

static void upsert_new(struct txn *t)
{
	rows_upsert(t, &entity_certificates, rows_certificate(CERT_2));
}

static void lost_lease(struct txn *t)
{
	txn_exec(t, "UPDATE acme_orders SET state = 'failed' WHERE fence = 12", NULL, 0, 1,
		 STORE_LEASE);
}

static void no_row(struct txn *t)
{
	txn_exec(t, "SELECT 1 FROM nodes", NULL, 0, 1, STORE_NOT_FOUND);
}

static void a_row(struct txn *t)
{
	txn_exec(t, "UPDATE cluster SET floor = floor RETURNING floor", NULL, 0, 1, STORE_LEASE);
}

static void half_wrong(struct txn *t)
{
	rows_insert(t, &entity_certificates, rows_certificate(CERT_2));
	rows_insert(t, &entity_snis, rows_sni(NOBODY, "b.example", CERT_2));
}

static void bad_sql(struct txn *t)
{
	txn_exec(t, "SELECT nonsense", NULL, 0, 0, STORE_OK);
}

static void wrong_type(struct txn *t)
{
	json_t *row = rows_certificate(CERT_2);

	json_object_set_new(row, "cert", json_integer(1));
	rows_insert(t, &entity_certificates, row);
}

static void bad_id(struct txn *t)
{
	txn_delete(t, &entity_certificates, STR("'; DROP TABLE snis; --"), false);
}

static void nothing(struct txn *t)
{
	(void)t;
}

static void no_change(struct txn *t)
{
	txn_exec(t, "UPDATE nodes SET hostname = ''", NULL, 0, 0, STORE_OK);
}

/* In this order, on one database: revisions grow only where something changed. */
static const struct {
	const char *name;
	void (*make)(struct txn *t);
	enum store_fault want;
	const char *key;
	uint64_t revision;
} faults[] = {
	{"again id", again_id, STORE_PRIMARY_KEY, "{\"id\":\"" CERT_1 "\"}", 0},
	{"again name", again_name, STORE_UNIQUE, "{\"name\":\"B.example\"}", 0},
	{"no certificate", no_certificate, STORE_FOREIGN,
	 "{\"certificate\":{\"id\":\"" NOBODY "\"}}", 0},
	{"old version", old_version, STORE_VERSION, "{\"id\":\"" CERT_1 "\"}", 0},
	{"update nothing", update_nothing, STORE_NOT_FOUND, "{\"id\":\"" NOBODY "\"}", 0},
	{"delete nothing", delete_nothing, STORE_NOT_FOUND, "{\"id\":\"" NOBODY "\"}", 0},
	{"lost lease", lost_lease, STORE_LEASE, NULL, 0},
	{"no row", no_row, STORE_NOT_FOUND, NULL, 0},
	{"half wrong", half_wrong, STORE_UNIQUE, "{\"name\":\"b.example\"}", 0},
	{"bad sql", bad_sql, STORE_FAILED, NULL, 0},
	{"wrong type", wrong_type, STORE_FAILED, NULL, 0},
	{"bad id", bad_id, STORE_FAILED, NULL, 0},
	{"nothing", nothing, STORE_OK, NULL, 1},
	{"no change", no_change, STORE_OK, NULL, 1},
	{"a row", a_row, STORE_OK, NULL, 1},
	{"delete maybe", delete_maybe, STORE_OK, NULL, 1},
	{"right version", right_version, STORE_OK, NULL, 2},
	{"right version, late", right_version, STORE_VERSION, "{\"id\":\"" CERT_1 "\"}", 0},
	{"any version", any_version, STORE_OK, NULL, 3},
	{"upsert old", upsert_old, STORE_OK, NULL, 4},
	{"upsert new", upsert_new, STORE_OK, NULL, 5},
	{"delete one", delete_one, STORE_OK, NULL, 6},
	{"delete again", delete_one, STORE_NOT_FOUND, "{\"id\":\"" CERT_1 "\"}", 0},
};

static void test_faults(void **state)
{
	struct store_fixture *f = rows_open(pg_fixture_database(0));
	char *text;

	(void)state;
	version_read = version_of(f, CERT_1);
	for (size_t i = 0; i < array_len(faults); i++) {
		struct txn *t = txn_create(f->store, NULL);

		faults[i].make(t);
		store_fixture_commit(f, t);
		text = f->key ? json_dumps(f->key, JSON_COMPACT) : NULL;
		if (f->fault != faults[i].want || f->revision != faults[i].revision ||
		    !text != !faults[i].key || (text && strcmp(text, faults[i].key) != 0))
			fail_msg("%s: fault %d, revision %llu, key %s, %s", faults[i].name,
				 (int)f->fault, (unsigned long long)f->revision, text ? text : "-",
				 f->err.message);
		free(text);
	}
	/* The names went with their certificate; nothing else is left half done. */
	text = pg_fixture_sql(f->conninfo, "SELECT count(*) FROM snis");
	assert_string_equal(text, "0");
	free(text);
	store_fixture_close(f);
}

/* Somebody read the row; it was removed and made again with the same id. A write of what was read
 * comes too late. */
static void test_a_version_is_not_used_again(void **state)
{
	static void (*const between[])(struct txn * t) = {delete_one, upsert_old, any_version};
	struct store_fixture *f = rows_open(pg_fixture_database(0));

	(void)state;
	version_read = version_of(f, CERT_1);
	for (size_t i = 0; i < array_len(between); i++) {
		struct txn *t = txn_create(f->store, NULL);

		between[i](t);
		store_fixture_commit(f, t);
		assert_int_equal(f->fault, STORE_OK);
		if (i > 0) {
			t = txn_create(f->store, NULL);
			right_version(t);
			store_fixture_commit(f, t);
			assert_int_equal(f->fault, STORE_VERSION);
		}
	}
	store_fixture_close(f);
}

static void test_every_kind_has_such_versions(void **state)
{
	struct store_fixture *f = rows_open(pg_fixture_database(0));

	(void)state;
	for (size_t i = 0; entity_at(i); i++) {
		char sql[256], *text;

		snprintf(sql, sizeof(sql),
			 "SELECT column_default LIKE 'nextval(%%row_versions%%' FROM "
			 "information_schema.columns WHERE table_name = '%s' AND column_name = "
			 "'version'",
			 entity_at(i)->name);
		text = pg_fixture_sql(f->conninfo, sql);
		if (strcmp(text, "t") != 0)
			fail_msg("%s: %s", entity_at(i)->name, text);
		free(text);
	}
	store_fixture_close(f);
}

/* What is noted, and when: with the revision that was made, or none; not when it was refused. */
static const struct {
	const char *name;
	void (*make)(struct txn *t);
	bool if_changed;
	const char *want; /* actor, fields, revision of the new row; empty: there is none */
} notes[] = {
	{"change", upsert_new, false, "a|{cert,key}|2"},
	{"no change", no_change, false, "a|{cert,key}|"},
	{"no change, upkeep", no_change, true, ""},
	{"change, upkeep", upsert_old, true, "a|{cert,key}|3"},
	{"refused", again_name, false, ""},
	{"half refused", half_wrong, false, ""},
};

static void test_notes(void **state)
{
	struct store_fixture *f = rows_open(pg_fixture_database(0));
	json_t *fields = json_pack("[s, s]", "cert", "key");

	(void)state;
	for (size_t i = 0; i < array_len(notes); i++) {
		const struct store_note n = {.actor = "a",
					     .actor_kind = "token",
					     .fields = fields,
					     .if_changed = notes[i].if_changed};
		struct txn *t = txn_create(f->store, NULL);
		char *text;

		notes[i].make(t);
		txn_note(t, &n);
		store_fixture_commit(f, t);
		text = pg_fixture_sql(f->conninfo,
				      "WITH gone AS (DELETE FROM admin_audit RETURNING *) SELECT "
				      "actor, fields, revision FROM gone");
		if (strcmp(text, notes[i].want) != 0)
			fail_msg("%s: %s", notes[i].name, text);
		free(text);
	}
	json_decref(fields);
	store_fixture_close(f);
}

/* A statement of its own, and its note: both or neither. */
static void test_noted_queries(void **state)
{
	struct store_fixture *f = rows_open(pg_fixture_database(0));
	const struct store_note n = {.actor = "q", .actor_kind = "token"};
	static const char insert[] =
		"INSERT INTO admin_tokens (id, name, role, read_keys, hash) VALUES "
		"(gen_random_uuid(), 'x', 'admin', true, '') RETURNING name";
	char *text;

	(void)state;
	for (int i = 0; i < 2; i++) {
		store_query_noted(f->store, insert, NULL, 0, &n, store_fixture_done, f);
		store_fixture_wait(f);
		assert_int_equal(f->fault, i == 0 ? STORE_OK : STORE_UNIQUE);
		assert_int_equal(json_array_size(f->rows), i == 0 ? 1 : 0);
	}
	text = pg_fixture_sql(f->conninfo,
			      "SELECT (SELECT count(*) FROM admin_tokens), actor, revision FROM "
			      "admin_audit");
	assert_string_equal(text, "1|q|");
	free(text);
	store_fixture_close(f);
}

static void test_an_operation_runs_once(void **state)
{
	struct store_fixture *f = rows_open(pg_fixture_database(0));

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct txn *t = txn_create(f->store, NOBODY);

		upsert_new(t);
		store_fixture_commit(f, t);
		assert_int_equal(f->fault, i == 0 ? STORE_OK : STORE_UNIQUE);
	}
	store_fixture_close(f);
}

static void test_bad_operation(void **state)
{
	struct store_fixture *f = rows_open(pg_fixture_database(0));
	struct txn *t = txn_create(f->store, "no uuid");

	(void)state;
	upsert_new(t);
	store_fixture_commit(f, t);
	assert_int_equal(f->fault, STORE_FAILED);
	assert_int_equal(f->err.kind, ERR_INVALID);
	txn_free(txn_create(f->store, NULL));
	txn_free(NULL);
	store_fixture_close(f);
}

/* Statements planned in a batch that failed must be planned again in the next. */
static void test_plans_after_a_failure(void **state)
{
	struct store_fixture *f = store_fixture_open(pg_fixture_database(0));

	(void)state;
	for (int i = 0; i < 12; i++) {
		struct txn *t = txn_create(f->store, NULL);

		if (i % 2 == 0)
			bad_sql(t);
		upsert_new(t);
		no_change(t);
		store_fixture_commit(f, t);
		assert_int_equal(f->fault, i % 2 == 0 ? STORE_FAILED : STORE_OK);
	}
	store_fixture_close(f);
}

static void test_many_rows_one_revision(void **state)
{
	enum { ROWS = 800 };
	struct store_fixture *f = rows_open(pg_fixture_database(0));
	struct txn *t = txn_create(f->store, NULL);
	char id[40], *text;

	(void)state;
	for (int i = 0; i < ROWS; i++) {
		snprintf(id, sizeof(id), "%08d-0000-4000-8000-00000000000a", i);
		rows_insert(t, &entity_certificates, rows_certificate(id));
	}
	store_fixture_commit(f, t);
	assert_int_equal(f->fault, STORE_OK);
	assert_int_equal(f->revision, 2);
	text = pg_fixture_sql(f->conninfo, "SELECT count(*) FROM changes WHERE revision = 2");
	assert_string_equal(text, "800");
	free(text);
	store_fixture_close(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_a_version_is_not_used_again),
		cmocka_unit_test(test_every_kind_has_such_versions),
		cmocka_unit_test(test_notes),
		cmocka_unit_test(test_noted_queries),
		cmocka_unit_test(test_an_operation_runs_once),
		cmocka_unit_test(test_bad_operation),
		cmocka_unit_test(test_plans_after_a_failure),
		cmocka_unit_test(test_many_rows_one_revision),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
