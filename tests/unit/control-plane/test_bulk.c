/* Many rows in one statement, against a real PostgreSQL. */
#include "control-plane/store/bulk.h"

#include "tests/unit/control-plane/store_fixture.h"
#include "tests/unit/control-plane/store_rows.h"
#include "tests/unit/lib/pg_fixture.h"

static struct bulk *names(struct store_fixture *f, const char *const *list, size_t n,
			  const char *certificate)
{
	struct bulk *b = NULL;
	char id[40];

	assert_int_equal(bulk_create(&b, f->store, &entity_snis, NULL), 0);
	for (size_t i = 0; i < n; i++) {
		json_t *row;

		snprintf(id, sizeof(id), "%08d-0000-4000-8000-00000000000b", (int)i);
		row = rows_sni(id, list[i], certificate);
		assert_int_equal(bulk_add(b, row, NULL), 0);
		json_decref(row);
	}
	return b;
}

static void store(struct store_fixture *f, struct bulk *b)
{
	struct txn *t = txn_create(f->store, NULL);

	txn_allow(t, 10000);
	txn_upsert_many(t, b);
	store_fixture_commit(f, t);
}

/* Whatever stands in a text comes back as it was. */
static void test_texts(void **state)
{
	static const char *const odd[] = {"plain.example", "q\"uote",	"back\\slash", "{brace}",
					  "com,ma",	   "new\nline", "NULL",	       "\xc3\xbc"};
	struct store_fixture *f = rows_open(pg_fixture_database(0));
	char *text;

	(void)state;
	store(f, names(f, odd, array_len(odd), CERT_1));
	if (f->fault != STORE_OK)
		fail_msg("%s", f->err.message);
	assert_int_equal(f->affected, array_len(odd));
	for (size_t i = 0; i < array_len(odd); i++) {
		char sql[128];

		snprintf(sql, sizeof(sql),
			 "SELECT name FROM snis WHERE id = '%08d-0000-4000-8000-00000000000b'",
			 (int)i);
		text = pg_fixture_sql(f->conninfo, sql);
		assert_string_equal(text, odd[i]);
		free(text);
	}
	store_fixture_close(f);
}

static void test_rows_that_stay_as_they_are(void **state)
{
	static const char *const first[] = {"one.example", "two.example"};
	static const char *const second[] = {"one.example", "other.example", "new.example"};
	struct store_fixture *f = rows_open(pg_fixture_database(0));
	uint64_t revision;
	char *text;

	(void)state;
	store(f, names(f, first, 2, CERT_1));
	revision = f->revision;
	store(f, names(f, first, 2, CERT_1));
	assert_int_equal(f->affected, 0);
	assert_int_equal(f->revision, revision);
	free(pg_fixture_sql(f->conninfo, "CREATE TABLE before AS SELECT id, version FROM snis"));
	store(f, names(f, second, 3, CERT_1));
	assert_int_equal(f->affected, 2);
	assert_int_equal(f->revision, revision + 1);
	text = pg_fixture_sql(
		f->conninfo,
		"SELECT string_agg(s.name || CASE WHEN b.version IS NULL THEN '+' WHEN "
		"b.version = s.version THEN '=' ELSE '*' END, ' ' ORDER BY s.id) FROM "
		"snis s LEFT JOIN before b USING (id) WHERE s.id::text LIKE '%b'");
	assert_string_equal(text, "one.example= other.example* new.example+");
	free(text);
	store_fixture_close(f);
}

static void test_faults_take_all_back(void **state)
{
	static const char *const twice[] = {"same.example", "SAME.example"};
	static const char *const lost[] = {"fine.example"};
	struct store_fixture *f = rows_open(pg_fixture_database(0));
	struct txn *t;
	char *text;

	(void)state;
	store(f, names(f, twice, 2, CERT_1));
	assert_int_equal(f->fault, STORE_UNIQUE);
	store(f, names(f, lost, 1, NOBODY));
	assert_int_equal(f->fault, STORE_FOREIGN);
	/* Never run; empty. */
	t = txn_create(f->store, NULL);
	txn_upsert_many(t, names(f, lost, 1, CERT_1));
	txn_free(t);
	store(f, names(f, lost, 0, CERT_1));
	assert_int_equal(f->fault, STORE_OK);
	text = pg_fixture_sql(f->conninfo, "SELECT count(*) FROM snis WHERE id::text LIKE '%b'");
	assert_string_equal(text, "0");
	free(text);
	store_fixture_close(f);
}

/* More text than a session sends in one turn of the loop, with answers on the way. */
static void test_more_than_one_turn(void **state)
{
	enum { STATEMENTS = 12, ROWS = 60, TEXT = 20000 };
	struct store_fixture *f = rows_open(pg_fixture_database(0));
	struct txn *t = txn_create(f->store, NULL);
	char *text, *tag = calloc(1, TEXT + 1);

	(void)state;
	memset(tag, 't', TEXT);
	txn_allow(t, 20000);
	for (int s = 0; s < STATEMENTS; s++) {
		struct bulk *b = NULL;

		assert_int_equal(bulk_create(&b, f->store, &entity_snis, NULL), 0);
		for (int i = 0; i < ROWS; i++) {
			char id[40], name[40];
			json_t *row;

			snprintf(id, sizeof(id), "%08d-0000-4000-8000-00000000000b", s * ROWS + i);
			snprintf(name, sizeof(name), "n%d.example", s * ROWS + i);
			row = rows_sni(id, name, CERT_1);
			json_object_set_new(row, "tags", json_pack("[s]", tag));
			assert_int_equal(bulk_add(b, row, NULL), 0);
			json_decref(row);
		}
		assert_int_equal(bulk_rows(b), ROWS);
		assert_true(bulk_bytes(b) > ROWS * TEXT);
		txn_upsert_many(t, b);
	}
	store_fixture_commit(f, t);
	if (f->fault != STORE_OK)
		fail_msg("%s", f->err.message);
	assert_int_equal(f->affected, STATEMENTS * ROWS);
	text = pg_fixture_sql(f->conninfo, "SELECT sum(length(tags[1])) FROM snis");
	assert_string_equal(text, "14400000");
	free(text);
	free(tag);
	store_fixture_close(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_rows_that_stay_as_they_are),
		cmocka_unit_test(test_faults_take_all_back),
		cmocka_unit_test(test_more_than_one_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
