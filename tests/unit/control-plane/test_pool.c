/* The pool and its sessions while PostgreSQL crashes, hangs and comes back. */
#include "control-plane/store/pool.h"

#include "common/core/clock.h"
#include "common/core/codec.h"
#include "tests/unit/control-plane/feed_log.h"
#include "tests/unit/control-plane/store_fixture.h"
#include "tests/unit/control-plane/store_rows.h"
#include "tests/unit/lib/pg_fixture.h"

enum { WRITES_MAX = 4000, AT_ONCE = 8, LIMIT_MS = 3300 };

/* Writers that go on whatever happens, and keep note of what was acknowledged. */
struct stream {
	struct store_fixture *f;
	char ids[WRITES_MAX][UUID_TEXT_SIZE];
	bool stored[WRITES_MAX];
	unsigned started, stored_count, failed_count, running;
	uint64_t slowest_ms;
	bool stop;
};

struct write {
	struct stream *s;
	unsigned number;
	uint64_t begun;
};

static void write_start(struct stream *s);

static void on_write(const struct store_result *r, void *arg)
{
	struct write *w = arg;
	struct stream *s = w->s;
	uint64_t took = (clock_mono_ns() - w->begun) / 1000000;

	if (r->fault != STORE_OK && r->fault != STORE_UNAVAILABLE)
		fail_msg("fault %d: %s", (int)r->fault, r->err.message);
	if (took > s->slowest_ms)
		s->slowest_ms = took;
	if (r->fault == STORE_OK)
		s->stored_count++;
	else
		s->failed_count++;
	s->stored[w->number] = r->fault == STORE_OK;
	s->running--;
	free(w);
	write_start(s);
}

static void write_start(struct stream *s)
{
	struct write *w;
	struct txn *t;

	if (s->stop || s->started == WRITES_MAX)
		return;
	w = calloc(1, sizeof(*w));
	*w = (struct write){s, s->started++, clock_mono_ns()};
	assert_int_equal(uuid_make(s->ids[w->number], NULL), 0);
	t = txn_create(s->f->store, NULL);
	rows_insert(t, &entity_certificates, rows_certificate(s->ids[w->number]));
	s->running++;
	txn_commit(t, on_write, w);
}

static struct stream *stream_start(struct store_fixture *f)
{
	struct stream *s = calloc(1, sizeof(*s));

	s->f = f;
	for (int i = 0; i < AT_ONCE; i++)
		write_start(s);
	return s;
}

static void stream_stop(struct stream *s)
{
	s->stop = true;
	run_until(s->f->on, s->running == 0);
}

static void check_stored(const struct stream *s)
{
	char *text = pg_fixture_sql(s->f->conninfo,
				    "SELECT string_agg(id::text, ' ') FROM certificates");
	char *revisions = pg_fixture_sql(
		s->f->conninfo, "SELECT count(*) = max(revision), max(revision) = (SELECT "
				"revision FROM cluster) FROM revisions WHERE revision > 0");

	for (unsigned i = 0; i < s->started; i++)
		if (s->stored[i] && !strstr(text, s->ids[i]))
			fail_msg("an acknowledged write is lost: %u", i);
	/* No gap. */
	assert_string_equal(revisions, "t|t");
	free(text);
	free(revisions);
}

static void test_crash(void **state)
{
	struct store_fixture *f = store_fixture_open(pg_fixture_database(0));
	struct feed_log *l = feed_log_start(f->store);
	struct stream *s = stream_start(f);
	unsigned before;

	(void)state;
	run_until(f->on, s->stored_count > 100);
	pg_fixture_crash();
	run_until(f->on, s->failed_count >= AT_ONCE);
	assert_false(store_reachable(f->store));
	assert_true(s->slowest_ms < LIMIT_MS);
	pg_fixture_restart();
	before = s->stored_count;
	run_until(f->on, s->stored_count > before + 100);
	assert_true(store_reachable(f->store));
	stream_stop(s);
	check_stored(s);
	/* The follower goes on where it was. */
	store_query(f->store, "SELECT revision FROM cluster", NULL, 0, store_fixture_done, f);
	store_fixture_wait(f);
	run_until(f->on, l->committed == (uint64_t)json_integer_value(json_object_get(
						 json_array_get(f->rows, 0), "revision")));
	store_fixture_close(f);
	free(l);
	free(s);
}

/* Crashes while writes are in flight, again and again: what was answered as stored is there. */
static void test_crash_and_recover_often(void **state)
{
	struct store_fixture *f = store_fixture_open(pg_fixture_database(0));
	struct stream *s = stream_start(f);

	(void)state;
	for (int i = 0; i < 4; i++) {
		unsigned before = s->stored_count;

		run_until(f->on, s->stored_count > before + 37);
		pg_fixture_crash();
		pg_fixture_restart();
	}
	stream_stop(s);
	check_stored(s);
	store_fixture_close(f);
	free(s);
}

static void test_hang(void **state)
{
	struct store_fixture *f = store_fixture_open(pg_fixture_database(0));
	struct stream *s = stream_start(f);
	unsigned before;

	(void)state;
	run_until(f->on, s->stored_count > 20);
	pg_fixture_hang(true);
	run_until(f->on, s->failed_count >= AT_ONCE);
	assert_true(s->slowest_ms < LIMIT_MS);
	assert_false(store_reachable(f->store));
	pg_fixture_hang(false);
	before = s->stored_count;
	run_until(f->on, s->stored_count > before + 20);
	stream_stop(s);
	check_stored(s);
	store_fixture_close(f);
	free(s);
}

/* A backend ended by an operator: reads run again on another session and nobody notices. */
static void test_ended_backends(void **state)
{
	struct store_fixture *f = rows_open(pg_fixture_database(0));

	(void)state;
	for (int i = 0; i < 5; i++) {
		free(pg_fixture_sql(f->conninfo,
				    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
				    "application_name = 'cardea-cp'"));
		store_get(f->store, &entity_certificates, STR(CERT_1), store_fixture_done, f);
		store_fixture_wait(f);
		assert_int_equal(f->fault, STORE_OK);
		assert_int_equal(json_array_size(f->rows), 1);
	}
	store_fixture_close(f);
}

static void test_read_only_server(void **state)
{
	struct store_fixture *f = rows_open(pg_fixture_database(0));
	struct txn *t;
	bool on = false;

	(void)state;
	free(pg_fixture_sql(f->conninfo, "ALTER SYSTEM SET default_transaction_read_only = on"));
	free(pg_fixture_sql(f->conninfo, "SELECT pg_reload_conf()"));
	while (!on) {
		char *text = pg_fixture_sql(f->conninfo, "SHOW default_transaction_read_only");

		on = strcmp(text, "on") == 0;
		free(text);
	}
	t = txn_create(f->store, NULL);
	rows_upsert(t, &entity_certificates, rows_certificate(CERT_1));
	store_fixture_commit(f, t);
	assert_int_equal(f->fault, STORE_UNAVAILABLE);
	store_fixture_close(f);
}

static void on_closed(void *arg)
{
	bool *closed = arg;

	*closed = true;
}

static void test_pool_refuses_sizes(void **state)
{
	static const unsigned sizes[] = {0, 257, 100000};
	struct loop_fixture on;
	struct pool *p = NULL;
	struct err e = ERR_INIT;

	(void)state;
	fixture_init(&on);
	for (size_t i = 0; i < array_len(sizes); i++) {
		struct pool_conf c = {"host=/nowhere", sizes[i], 3000};

		assert_int_equal(pool_create(&p, &on.loop, &c, &e), -1);
		assert_null(p);
	}
	fixture_deinit(&on);
}

struct waiting {
	struct pg_batch batch;
	unsigned ended;
	enum pg_failure_kind kind;
};

static void on_waited(struct pg_batch *b, const struct pg_failure *f)
{
	struct waiting *w = container_of(b, struct waiting, batch);

	w->ended++;
	w->kind = f->kind;
}

/* No server at all: in line until the deadline, and at closing. */
static void test_no_server(void **state)
{
	static const char *const rows[] = {"host=/nowhere", "host=127.0.0.1 port=1",
					   "host=name.invalid,127.0.0.1 port=1,1"};
	struct loop_fixture on;
	struct err e = ERR_INIT;

	(void)state;
	fixture_init(&on);
	for (size_t i = 0; i < array_len(rows); i++) {
		struct pool_conf c = {rows[i], 2, 300};
		struct waiting first = {.ended = 0}, second = {.ended = 0};
		struct pool *p = NULL;
		bool closed = false;

		assert_int_equal(pool_create(&p, &on.loop, &c, &e), 0);
		pool_release(p);
		pg_batch_init(&first.batch);
		first.batch.on_end = on_waited;
		pg_batch_init(&second.batch);
		second.batch.on_end = on_waited;
		pool_run(p, &first.batch);
		assert_int_equal(first.ended, 0);
		run_until(&on, first.ended);
		assert_int_equal(first.kind, PG_UNSENT);
		assert_false(pool_reachable(p));
		pool_run(p, &second.batch);
		pool_close(p, on_closed, &closed);
		run_until(&on, closed);
		assert_int_equal(second.ended, 1);
		pg_batch_deinit(&first.batch);
		pg_batch_deinit(&second.batch);
	}
	fixture_deinit(&on);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crash),
		cmocka_unit_test(test_crash_and_recover_often),
		cmocka_unit_test(test_hang),
		cmocka_unit_test(test_ended_backends),
		cmocka_unit_test(test_pool_refuses_sizes),
		cmocka_unit_test(test_no_server),
		/* Last: it changes the server. */
		cmocka_unit_test(test_read_only_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
