/* The store against a real PostgreSQL: rows, pages, plain queries, compaction. */
#include "control-plane/store/store.h"

#include "tests/unit/control-plane/store_fixture.h"
#include "tests/unit/control-plane/store_rows.h"
#include "tests/unit/lib/pg_fixture.h"

static void test_rows_come_back(void **state)
{
	struct store_fixture *f = rows_open(pg_fixture_database(0));
	json_t *want = rows_certificate(CERT_1);

	(void)state;
	store_get(f->store, &entity_certificates, STR(CERT_1), store_fixture_done, f);
	store_fixture_wait(f);
	assert_int_equal(f->fault, STORE_OK);
	assert_int_equal(json_array_size(f->rows), 1);
	json_object_set_new(want, "snis", json_pack("[s,s]", "A.example", "b.example"));
	json_object_set(want, "version", json_object_get(json_array_get(f->rows, 0), "version"));
	assert_true(json_equal(json_array_get(f->rows, 0), want));
	json_decref(want);
	store_fixture_close(f);
}

static void test_get_by_name(void **state)
{
	static const struct {
		const char *name;
		size_t want;
	} rows[] = {
		{"b.example", 1}, {"B.EXAMPLE", 1},   {"a.example", 1}, {"c.example", 0},
		{"", 0},	  {"' OR 1=1 --", 0}, {SNI_1, 1},	{NOBODY, 0},
	};
	struct store_fixture *f = rows_open(pg_fixture_database(0));

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		store_get(f->store, &entity_snis, str_from(rows[i].name), store_fixture_done, f);
		store_fixture_wait(f);
		assert_int_equal(f->fault, STORE_OK);
		if (json_array_size(f->rows) != rows[i].want)
			fail_msg("%s", rows[i].name);
	}
	/* Certificates have no other key than their id. */
	store_get(f->store, &entity_certificates, STR("b.example"), store_fixture_done, f);
	store_fixture_wait(f);
	assert_int_equal(json_array_size(f->rows), 0);
	store_fixture_close(f);
}

static void test_secrets_are_sealed(void **state)
{
	struct store_fixture *f = rows_open(pg_fixture_database(0));
	char *raw = pg_fixture_sql(f->conninfo, "SELECT encode(key, 'escape') FROM certificates");

	(void)state;
	assert_null(strstr(raw, "secret"));
	free(raw);
	assert_true(pg_fixture_disk_has(f->conninfo, "b.example"));
	assert_false(pg_fixture_disk_has(f->conninfo, "very secret"));
	/* A sealed value in another row does not open: it is null there. */
	free(pg_fixture_sql(f->conninfo, "INSERT INTO certificates (id, cert, key) SELECT '" CERT_2
					 "', cert, key FROM certificates"));
	store_get(f->store, &entity_certificates, STR(CERT_2), store_fixture_done, f);
	store_fixture_wait(f);
	assert_true(json_is_null(json_object_get(json_array_get(f->rows, 0), "key")));
	store_fixture_close(f);
}

static size_t list(struct store_fixture *f, const struct entity *t, const struct store_page *p)
{
	store_list(f->store, t, p, store_fixture_done, f);
	store_fixture_wait(f);
	assert_int_equal(f->fault, STORE_OK);
	return json_array_size(f->rows);
}

static void test_pages(void **state)
{
	struct store_fixture *f = store_fixture_open(pg_fixture_database(0));
	struct str two[] = {STR("t0"), STR("all")};
	struct store_page p = {.size = 4};
	struct txn *t = txn_create(f->store, NULL);
	char id[40];

	(void)state;
	for (int i = 0; i < 10; i++) {
		json_t *row;

		snprintf(id, sizeof(id), "%08d-0000-4000-8000-000000000000", i);
		row = rows_certificate(id);
		json_object_set_new(row, "tags", json_pack("[s,s]", "all", i % 2 ? "t1" : "t0"));
		rows_insert(t, &entity_certificates, row);
	}
	rows_insert(t, &entity_snis, rows_sni(SNI_1, "x.example", id));
	store_fixture_commit(f, t);
	assert_int_equal(f->fault, STORE_OK);

	assert_int_equal(list(f, &entity_certificates, &p), 5);
	p.after = STR("00000007-0000-4000-8000-000000000000");
	assert_int_equal(list(f, &entity_certificates, &p), 2);

	p = (struct store_page){.size = 100, .tags = two, .tag_count = 2};
	assert_int_equal(list(f, &entity_certificates, &p), 5);
	p.tags_any = true;
	assert_int_equal(list(f, &entity_certificates, &p), 10);

	p = (struct store_page){.size = 9, .foreign = "certificate", .foreign_id = str_from(id)};
	assert_int_equal(list(f, &entity_snis, &p), 1);
	p.foreign_id = STR(NOBODY);
	assert_int_equal(list(f, &entity_snis, &p), 0);
	store_fixture_close(f);
}

static void test_plain_query(void **state)
{
	static const char sql[] =
		"SELECT 1::int AS i, 2::bigint AS b, 3.5::float8 AS f, 7::numeric AS n, true AS t, "
		"NULL::text AS nothing, 'x'::text AS text, '{\"a\":[1]}'::jsonb AS j, "
		"'2026-11-21 10:00:00.25+00'::timestamptz AS at, $1::text AS p, "
		"'" CERT_1 "'::uuid AS u, '\\x00ff'::bytea AS bytes";
	const char *params[] = {"quote ' and \\"};
	struct store_fixture *f = store_fixture_open(pg_fixture_database(0));
	json_t *want =
		json_pack("{s:i, s:i, s:f, s:i, s:b, s:n, s:s, s:{s:[i]}, s:f, s:s, s:s, s:s}", "i",
			  1, "b", 2, "f", 3.5, "n", 7, "t", 1, "nothing", "text", "x", "j", "a", 1,
			  "at", 1795255200.25, "p", params[0], "u", CERT_1, "bytes", "\\x00ff");

	(void)state;
	store_query(f->store, sql, params, 1, store_fixture_done, f);
	store_fixture_wait(f);
	assert_int_equal(f->fault, STORE_OK);
	assert_true(json_equal(json_array_get(f->rows, 0), want));
	json_decref(want);
	store_query(f->store, "UPDATE cluster SET floor = 0", NULL, 0, store_fixture_done, f);
	store_fixture_wait(f);
	assert_int_equal(f->affected, 1);
	store_query(f->store, "SELECT 1/0", NULL, 0, store_fixture_done, f);
	store_fixture_wait(f);
	assert_int_equal(f->fault, STORE_FAILED);
	/* A statement that takes too long is ended. */
	store_query(f->store, "SELECT pg_sleep(60)", NULL, 0, store_fixture_done, f);
	store_fixture_wait(f);
	assert_int_equal(f->fault, STORE_UNAVAILABLE);
	assert_true(store_reachable(f->store));
	store_fixture_close(f);
}

static void test_seal_and_unseal(void **state)
{
	struct store_fixture *f = store_fixture_start(pg_fixture_database(0));
	struct buf sealed = BUF_INIT, plain = BUF_INIT;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(store_seal(f->store, STR("acme_orders.key:1"), STR("k"), &sealed, &e), 0);
	assert_true(str_starts(buf_str(&sealed), STR("\\x")));
	assert_int_equal(
		store_unseal(f->store, STR("acme_orders.key:1"), buf_str(&sealed), &plain, &e), 0);
	assert_string_equal(plain.data, "k");
	assert_int_equal(
		store_unseal(f->store, STR("acme_orders.key:2"), buf_str(&sealed), &plain, &e), -1);
	assert_int_equal(store_unseal(f->store, STR("x"), STR("\\xzz"), &plain, &e), -1);
	assert_int_equal(store_unseal(f->store, STR("x"), STR("plain"), &plain, &e), -1);
	buf_deinit(&sealed);
	buf_deinit(&plain);
	store_fixture_wait_ready(f);
	store_fixture_close(f);
}

static void test_closing_before_ready(void **state)
{
	struct store_fixture *f = store_fixture_start("host=/nowhere dbname=x");

	(void)state;
	store_query(f->store, "SELECT 1", NULL, 0, store_fixture_done, f);
	fixture_spin(f->on, 5);
	store_fixture_close(f);
}

static void test_bad_connection_strings(void **state)
{
	static const char *const rows[] = {"nonsense", "host=a nokey=1", "postgres://[x"};
	struct loop_fixture on;
	struct err e = ERR_INIT;

	(void)state;
	fixture_init(&on);
	for (size_t i = 0; i < array_len(rows); i++) {
		struct store_conf c = {rows[i], 1, 3000, NULL};
		struct store *s = NULL;

		assert_int_equal(store_open(&s, &on.loop, &c, NULL, NULL, &e), -1);
		assert_int_equal(e.kind, ERR_INVALID);
		assert_null(s);
	}
	fixture_deinit(&on);
}

static void check_feed_size(const struct store_fixture *f, const char *want)
{
	char *text = pg_fixture_sql(f->conninfo,
				    "SELECT floor, (SELECT count(*) FROM changes) FROM cluster");

	assert_string_equal(text, want);
	free(text);
}

static void test_compaction(void **state)
{
	struct store_fixture *f = rows_open(pg_fixture_database(0));
	struct txn *t = txn_create(f->store, NULL);

	(void)state;
	txn_delete(t, &entity_snis, STR(SNI_1), true);
	store_fixture_commit(f, t);
	assert_int_equal(f->revision, 2);
	free(pg_fixture_sql(f->conninfo, "SELECT cardea_compact()"));
	check_feed_size(f, "0|3");
	free(pg_fixture_sql(f->conninfo, "UPDATE revisions SET at = now() - interval '2 hours'"));
	free(pg_fixture_sql(f->conninfo, "SELECT cardea_compact()"));
	check_feed_size(f, "2|2");
	store_fixture_close(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_come_back),
		cmocka_unit_test(test_get_by_name),
		cmocka_unit_test(test_secrets_are_sealed),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_plain_query),
		cmocka_unit_test(test_seal_and_unseal),
		cmocka_unit_test(test_closing_before_ready),
		cmocka_unit_test(test_bad_connection_strings),
		cmocka_unit_test(test_compaction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
