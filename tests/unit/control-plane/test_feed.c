/* The change feed against a real PostgreSQL. */
#include "control-plane/store/feed.h"

#include "tests/unit/control-plane/feed_log.h"
#include "tests/unit/control-plane/store_fixture.h"
#include "tests/unit/control-plane/store_rows.h"
#include "tests/unit/lib/pg_fixture.h"

static void commit_one(struct store_fixture *f, const char *id)
{
	struct txn *t = txn_create(f->store, NULL);

	rows_upsert(t, &entity_certificates, rows_certificate(id));
	store_fixture_commit(f, t);
	assert_int_equal(f->fault, STORE_OK);
}

static void test_first_load_then_changes(void **state)
{
	struct store_fixture *f = rows_open(pg_fixture_database(0));
	struct feed_log *l = feed_log_start(f->store);
	struct txn *t;

	(void)state;
	run_until(f->on, l->commits == 1);
	assert_int_equal(l->resets, 1);
	assert_true(l->epoch[0]);
	assert_int_equal(l->committed, 1);
	assert_int_equal(l->count, 3);
	/* References come before referrers. */
	assert_ptr_equal(l->changes[0].entity, &entity_certificates);
	assert_ptr_equal(l->changes[2].entity, &entity_snis);

	t = txn_create(f->store, NULL);
	txn_delete(t, &entity_certificates, STR(CERT_1), true);
	store_fixture_commit(f, t);
	run_until(f->on, l->committed == 2);
	assert_int_equal(l->count, 6);
	for (size_t i = 3; i < 6; i++)
		assert_true(l->changes[i].removed && l->changes[i].revision == 2);
	/* A transaction without changes in the feed commits nothing there. */
	t = txn_create(f->store, NULL);
	store_fixture_commit(f, t);
	fixture_spin(f->on, 20);
	assert_int_equal(l->commits, 2);
	assert_int_equal(l->resets, 1);
	assert_int_equal(l->rows_wrong, 0);
	store_fixture_close(f);
	free(l);
}

static void test_load_in_batches(void **state)
{
	enum { ROWS = 1000 };
	struct store_fixture *f = store_fixture_open(pg_fixture_database(0));
	struct feed_log *l;
	struct txn *t = txn_create(f->store, NULL);
	char id[40];

	(void)state;
	for (int i = 0; i < ROWS; i++) {
		snprintf(id, sizeof(id), "%08d-0000-4000-8000-00000000000a", i);
		rows_insert(t, &entity_certificates, rows_certificate(id));
	}
	store_fixture_commit(f, t);
	commit_one(f, CERT_1);
	l = feed_log_start(f->store);
	run_until(f->on, l->commits == 1);
	assert_int_equal(l->count, ROWS + 1);
	assert_int_equal(l->committed, 2);
	assert_string_equal(l->changes[ROWS].id, CERT_1);
	assert_int_equal(l->rows_wrong, 0);
	store_fixture_close(f);
	free(l);
}

static void refuse(struct store_fixture *f, const char *kind, const char *id, int revision)
{
	json_t *list = json_pack("[{s:s, s:s, s:i, s:{s:s}}]", "kind", kind, "id", id, "revision",
				 revision, "refusal", "reason", "bad");

	store_refuse(f->store, list, store_fixture_done, f);
	json_decref(list);
	store_fixture_wait(f);
	assert_int_equal(f->fault, STORE_OK);
}

/* Of the entity's last change. */
static uint64_t refused_of(const struct feed_log *l, const char *id)
{
	size_t i = l->count;

	while (i > 0 && strcmp(l->changes[i - 1].id, id) != 0)
		i--;
	assert_true(i > 0);
	return l->changes[i - 1].refused;
}

/* A refusal is a change with a revision; the next change of the entity ends it. */
static void test_refusals(void **state)
{
	struct store_fixture *f = rows_open(pg_fixture_database(0));
	struct feed_log *l = feed_log_start(f->store);
	struct feed_log *again;

	(void)state;
	commit_one(f, CERT_1);
	run_until(f->on, l->committed == 2);
	refuse(f, "certificates", CERT_1, 1); /* changed since: nothing */
	refuse(f, "snis", CERT_1, 9);	      /* no such entity: nothing */
	refuse(f, "certificates", CERT_1, 2);
	run_until(f->on, l->committed == 3);
	assert_int_equal(l->changes[l->count - 1].revision, 3);
	assert_int_equal(refused_of(l, CERT_1), 2);
	refuse(f, "certificates", CERT_1, 3); /* is noted already */
	store_unfollow(f->store);
	again = feed_log_start(f->store); /* a load tells it too */
	run_until(f->on, again->commits == 1);
	assert_int_equal(again->committed, 3);
	assert_int_equal(refused_of(again, CERT_1), 2);
	commit_one(f, CERT_1);
	run_until(f->on, again->committed == 4);
	assert_int_equal(refused_of(again, CERT_1), 0);
	assert_false(again->changes[again->count - 1].removed);
	store_fixture_close(f);
	free(l);
	free(again);
}

/* More changes than one look gives: still one commit, and no reset. */
static void test_many_changes(void **state)
{
	enum { ROWS = 1000 };
	struct store_fixture *f = store_fixture_open(pg_fixture_database(0));
	struct feed_log *l = feed_log_start(f->store);
	struct txn *t;
	char id[40];

	(void)state;
	run_until(f->on, l->commits == 1);
	assert_int_equal(l->committed, 0);
	t = txn_create(f->store, NULL);
	for (int i = 0; i < ROWS; i++) {
		snprintf(id, sizeof(id), "%08d-0000-4000-8000-00000000000a", i);
		rows_insert(t, &entity_certificates, rows_certificate(id));
	}
	rows_insert(t, &entity_snis, rows_sni(SNI_1, "x.example", id));
	store_fixture_commit(f, t);
	run_until(f->on, l->commits == 2);
	assert_int_equal(l->committed, 1);
	assert_int_equal(l->count, ROWS + 1);
	assert_int_equal(l->resets, 1);
	commit_one(f, id);
	run_until(f->on, l->commits == 3);
	assert_int_equal(l->count, ROWS + 2);
	store_fixture_close(f);
	free(l);
}

/* Looks and loads stop at the epoch while the gate's value is 1: a sequence is seen as it is now,
 * whatever snapshot asks. */
static const char gate_sql[] =
	"CREATE SEQUENCE gate; ALTER FUNCTION cardea_epoch() RENAME TO cardea_epoch_now;"
	"CREATE FUNCTION cardea_epoch() RETURNS text LANGUAGE plpgsql AS $$ BEGIN "
	"WHILE (SELECT last_value FROM gate) = 1 LOOP PERFORM pg_sleep(0.005); END LOOP; "
	"RETURN cardea_epoch_now(); END $$; SELECT setval('gate', 2)";
static const char at_gate_sql[] =
	"SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%cardea_epoch(), %' AND state = "
	"'active' AND pid <> pg_backend_pid() AND datname = current_database()";

static bool is_at_gate(struct store_fixture *f)
{
	char *n = pg_fixture_sql(f->conninfo, at_gate_sql);
	bool there = strcmp(n, "1") == 0;

	free(n);
	return there;
}

static bool was_removed(const struct feed_log *l, const char *id)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->changes[i].removed && strcmp(l->changes[i].id, id) == 0)
			return true;
	return false;
}

/* Between the look that finds many changes and their reading, a removal among them is compacted
 * away: without it the follower would hold the entity for ever. */
static void test_compacted_before_many_changes_are_read(void **state)
{
	struct store_fixture *f = rows_open(pg_fixture_database(0));
	struct feed_log *l = feed_log_start(f->store);
	struct txn *t = txn_create(f->store, NULL);
	char id[40];

	(void)state;
	run_until(f->on, l->commits == 1);
	free(pg_fixture_sql(f->conninfo, gate_sql));
	free(pg_fixture_sql(f->conninfo, "SELECT setval('gate', 1)"));
	txn_delete(t, &entity_snis, STR(SNI_1), true);
	for (int i = 0; i < 300; i++) {
		snprintf(id, sizeof(id), "%08d-0000-4000-8000-00000000000a", i);
		rows_insert(t, &entity_certificates, rows_certificate(id));
	}
	store_fixture_commit(f, t);
	run_until(f->on, is_at_gate(f));
	free(pg_fixture_sql(f->conninfo, "UPDATE revisions SET at = now() - interval '2 hours';"
					 "SELECT cardea_compact(); SELECT setval('gate', 2)"));
	run_until(f->on, l->committed == 2);
	assert_int_equal(l->floor, 2);
	assert_true(l->resets == 2 || was_removed(l, SNI_1));
	store_fixture_close(f);
	free(l);
}

static void test_lost_notifications(void **state)
{
	struct store_fixture *f = rows_open(pg_fixture_database(0));
	struct feed_log *l = feed_log_start(f->store);

	(void)state;
	run_until(f->on, l->commits == 1);
	free(pg_fixture_sql(f->conninfo,
			    "DO $$ BEGIN EXECUTE replace(pg_get_functiondef('cardea_take_revision'"
			    "::regproc), 'PERFORM pg_notify', '-- '); END $$"));
	commit_one(f, CERT_1);
	run_until(f->on, l->committed == 2);
	assert_int_equal(l->resets, 1);
	store_fixture_close(f);
	free(l);
}

/* Whoever starts now is told of removals too: a data plane may hold what was removed. */
static void test_load_knows_removals(void **state)
{
	struct store_fixture *f = rows_open(pg_fixture_database(0));
	struct txn *t = txn_create(f->store, NULL);
	struct feed_log *l;

	(void)state;
	txn_delete(t, &entity_certificates, STR(CERT_1), true);
	store_fixture_commit(f, t);
	l = feed_log_start(f->store);
	run_until(f->on, l->commits == 1);
	assert_int_equal(l->count, 3);
	for (size_t i = 0; i < 3; i++)
		assert_true(l->changes[i].removed && l->changes[i].revision == 2);
	store_fixture_close(f);
	free(l);
}

/* pg_restore --clean of a dump into the database that it came from. */
static void test_restored_in_place(void **state)
{
	struct store_fixture *f = rows_open(pg_fixture_database(0));
	struct feed_log *l = feed_log_start(f->store);
	char before[128];

	(void)state;
	run_until(f->on, l->commits == 1);
	snprintf(before, sizeof(before), "%s", l->epoch);
	free(pg_fixture_sql(f->conninfo,
			    "BEGIN; CREATE TABLE other (LIKE cluster INCLUDING ALL);"
			    "INSERT INTO other SELECT * FROM cluster; DROP TABLE cluster;"
			    "ALTER TABLE other RENAME TO cluster; COMMIT"));
	commit_one(f, CERT_1);
	run_until(f->on, l->commits == 2);
	assert_int_equal(l->resets, 2);
	assert_string_not_equal(before, l->epoch);
	store_fixture_close(f);
	free(l);
}

static void test_another_epoch(void **state)
{
	struct store_fixture *f = rows_open(pg_fixture_database(0));
	struct feed_log *l = feed_log_start(f->store);
	char before[128];

	(void)state;
	run_until(f->on, l->commits == 1);
	snprintf(before, sizeof(before), "%s", l->epoch);
	free(pg_fixture_sql(f->conninfo, "UPDATE cluster SET id = gen_random_uuid()"));
	commit_one(f, CERT_1);
	run_until(f->on, l->commits == 2);
	assert_int_equal(l->resets, 2);
	assert_string_not_equal(before, l->epoch);
	assert_int_equal(l->count, 3);
	/* As after a restore by hand: the revision went back. */
	free(pg_fixture_sql(f->conninfo, "UPDATE cluster SET revision = 1"));
	run_until(f->on, l->commits == 3);
	assert_int_equal(l->resets, 3);
	/* Below the floor: what was removed meanwhile is not known any more. */
	free(pg_fixture_sql(f->conninfo, "UPDATE cluster SET revision = 9, floor = 9"));
	run_until(f->on, l->commits == 4);
	assert_int_equal(l->resets, 4);
	assert_int_equal(l->floor, 9);
	store_fixture_close(f);
	free(l);
}

static void test_operator_sql_gets_a_revision(void **state)
{
	struct store_fixture *f = rows_open(pg_fixture_database(0));
	struct feed_log *l = feed_log_start(f->store);

	(void)state;
	run_until(f->on, l->commits == 1);
	free(pg_fixture_sql(f->conninfo, "DELETE FROM snis WHERE id = '" SNI_1 "'"));
	run_until(f->on, l->committed == 2);
	assert_true(l->changes[3].removed);
	assert_string_equal(l->changes[3].id, SNI_1);
	store_fixture_close(f);
	free(l);
}

/* What a commit does, where the statement's time limit holds. */
#define BULK_END "; SET CONSTRAINTS ALL IMMEDIATE"

/* The deferred trigger fires for each row: a commit must not cost their square. The limit is ten
 * times what it takes. */
static void test_bulk_sql_commits_soon(void **state)
{
	struct store_fixture *f = store_fixture_open(pg_fixture_database(0));
	char impatient[256];
	char *text;

	(void)state;
	snprintf(impatient, sizeof(impatient), "%s options='-c statement_timeout=20s'",
		 f->conninfo);
	free(pg_fixture_sql(impatient,
			    "INSERT INTO acme_challenges (id, host, token, "
			    "key_authorization) SELECT gen_random_uuid(), 'a.example', i, "
			    "'k' FROM generate_series(1, 30000) i" BULK_END));
	/* Statistics that know no unnumbered changes must not lead to another plan. */
	free(pg_fixture_sql(f->conninfo, "ANALYZE changes"));
	free(pg_fixture_sql(impatient, "UPDATE acme_challenges SET host = 'b.example'" BULK_END));
	text = pg_fixture_sql(f->conninfo, "SELECT c.revision, count(*), min(ch.revision) FROM "
					   "cluster c, changes ch GROUP BY 1");
	assert_string_equal(text, "2|30000|2");
	free(text);
	store_fixture_close(f);
}

static void test_nodes_channel(void **state)
{
	struct store_fixture *f = rows_open(pg_fixture_database(0));
	struct feed_log *l = feed_log_start(f->store);

	(void)state;
	run_until(f->on, l->commits == 1);
	store_query(f->store, "SELECT pg_notify('cardea_nodes', 'node 7')", NULL, 0,
		    store_fixture_done, f);
	run_until(f->on, strcmp(l->nodes, "node 7") == 0);
	store_fixture_close(f);
	free(l);
}

/* --- order --- */

enum { WRITERS = 8, WRITES = 40 };

struct writer {
	struct store_fixture *f;
	int number, left;
	unsigned *running;
	uint64_t last;
	uint64_t *seen; /* revision -> times answered */
};

static void write_next(struct writer *w);

static void on_written(const struct store_result *r, void *arg)
{
	struct writer *w = arg;

	assert_int_equal(r->fault, STORE_OK);
	assert_true(r->revision > w->last);
	w->last = r->revision;
	assert_true(r->revision <= WRITERS * WRITES);
	w->seen[r->revision]++;
	write_next(w);
}

static void write_next(struct writer *w)
{
	struct txn *t;
	char id[40];

	if (w->left == 0) {
		(*w->running)--;
		return;
	}
	snprintf(id, sizeof(id), "%08d-0000-4000-8000-%012d", w->number + 1, w->left--);
	t = txn_create(w->f->store, NULL);
	rows_insert(t, &entity_certificates, rows_certificate(id));
	/* All of them fight for one row as well. */
	rows_upsert(t, &entity_certificates, rows_certificate(CERT_2));
	txn_commit(t, on_written, w);
}

static void check_order(const struct feed_log *l, const uint64_t *seen)
{
	static unsigned times[WRITERS * WRITES + 1];

	memset(times, 0, sizeof(times));
	for (uint64_t r = 1; r <= WRITERS * WRITES; r++)
		assert_int_equal(seen[r], 1);
	for (size_t i = 0; i < l->count; i++) {
		assert_true(i == 0 || l->changes[i].revision >= l->changes[i - 1].revision);
		if (strcmp(l->changes[i].id, CERT_2) != 0)
			times[l->changes[i].revision]++;
	}
	for (size_t r = 1; r <= WRITERS * WRITES; r++)
		assert_int_equal(times[r], 1);
}

/* Eight writers through two stores, a follower of a third: every revision is given once, in order,
 * without a gap. */
static void test_order_under_writers(void **state)
{
	const char *conninfo = pg_fixture_database(0);
	struct store_fixture *a = store_fixture_open(conninfo);
	struct store_fixture *b = store_fixture_start_on(conninfo, a->on);
	struct feed_log *l = feed_log_start(a->store);
	struct writer writers[WRITERS];
	uint64_t seen[WRITERS * WRITES + 1] = {0};
	unsigned running = WRITERS;

	(void)state;
	store_fixture_wait_ready(b);
	run_until(a->on, l->commits == 1);
	for (int i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){i % 2 ? a : b, i, WRITES, &running, 0, seen};
		write_next(&writers[i]);
	}
	run_until(a->on, running == 0);
	run_until(a->on, l->committed == WRITERS * WRITES);
	check_order(l, seen);
	assert_int_equal(l->resets, 1);
	store_fixture_close(b);
	store_fixture_close(a);
	free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_load_then_changes),
		cmocka_unit_test(test_load_in_batches),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_many_changes),
		cmocka_unit_test(test_compacted_before_many_changes_are_read),
		cmocka_unit_test(test_lost_notifications),
		cmocka_unit_test(test_load_knows_removals),
		cmocka_unit_test(test_restored_in_place),
		cmocka_unit_test(test_another_epoch),
		cmocka_unit_test(test_operator_sql_gets_a_revision),
		cmocka_unit_test(test_bulk_sql_commits_soon),
		cmocka_unit_test(test_nodes_channel),
		cmocka_unit_test(test_order_under_writers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
