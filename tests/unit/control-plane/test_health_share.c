/* What is written and read, against a store that keeps what it is asked and answers when told. */
#include "control-plane/fleet/health_share.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/lib/loop_fixture.h"

#define SELF "00000000-0000-4000-8000-0000000000c1"
#define T1 "00000000-0000-4000-8000-000000000001"
#define T2 "00000000-0000-4000-8000-000000000002"

enum { QUERIES_MAX = 16 };

struct query {
	char what; /* w: write, r: read */
	char params[2][512];
	store_done done;
	void *arg;
};

struct store {
	struct query queries[QUERIES_MAX];
	size_t asked, answered;
	bool read_only;
};

bool store_read_only(const struct store *s)
{
	return s->read_only;
}

void store_query(struct store *s, const char *sql, const char *const *params, size_t n,
		 store_done done, void *arg)
{
	struct query *q = &s->queries[s->asked++];

	assert_true(s->asked < QUERIES_MAX);
	q->what = strstr(sql, "INSERT INTO target_health") ? 'w' : 'r';
	for (size_t i = 0; i < n && i < 2; i++)
		snprintf(q->params[i], sizeof(q->params[i]), "%s", params[i]);
	if (q->what == 'w')
		assert_string_equal(params[2], SELF);
	q->done = done;
	q->arg = arg;
}

struct bench {
	struct loop_fixture f;
	struct store store;
	struct health_share share;
	bool closed;
	unsigned reads;
	char shown[512];
};

static void open_bench(struct bench *b, bool read_only)
{
	*b = (struct bench){.store.read_only = read_only};
	fixture_init(&b->f);
	health_share_init(&b->share, &b->f.loop, &b->store, SELF);
}

static void on_closed(void *arg)
{
	((struct bench *)arg)->closed = true;
}

static void close_bench(struct bench *b)
{
	health_share_close(&b->share, on_closed, b);
	run_until(&b->f, b->closed);
	fixture_deinit(&b->f);
}

/* The oldest query that is open. */
static void answer(struct bench *b, char what, json_t *rows, enum err_kind kind)
{
	struct query *q = &b->store.queries[b->store.answered];
	struct store_result r = {.rows = rows};

	run_until(&b->f, b->store.asked > b->store.answered);
	b->store.answered++;
	assert_int_equal(q->what, what);
	if (kind != ERR_NONE)
		(void)err_set(&r.err, kind, "no database");
	q->done(&r, q->arg);
	json_decref(rows);
}

static const char *param(struct bench *b, size_t i)
{
	run_until(&b->f, b->store.asked > b->store.answered);
	return b->store.queries[b->store.answered].params[i];
}

static void tell(struct bench *b, const char *node, const char *target, const char *address,
		 enum target_state verdict)
{
	struct target_report r = {.weight = 7, .verdict = verdict};

	snprintf(r.target, sizeof(r.target), "%s", target);
	snprintf(r.address, sizeof(r.address), "%s", address);
	health_share_report(&b->share, node, &r);
}

static void on_states(json_t *states, void *arg)
{
	struct bench *b = arg;
	char *text = states ? json_dumps(states, JSON_COMPACT | JSON_SORT_KEYS) : NULL;

	b->reads++;
	snprintf(b->shown, sizeof(b->shown), "%s", text ? text : "none");
	free(text);
}

static void read_targets(struct bench *b)
{
	json_t *ids = json_pack("[s, s]", T1, T2);

	health_share_read(&b->share, ids, on_states, b);
	json_decref(ids);
}

static void test_changes_are_gathered(void **state)
{
	struct bench b;

	(void)state;
	open_bench(&b, false);
	health_share_begin(&b.share, "n");
	tell(&b, "n", T1, "10.0.0.1:80", TARGET_HEALTHY);
	tell(&b, "n", T1, "10.0.0.1:80", TARGET_UNHEALTHY);
	assert_int_equal(b.store.asked, 0);
	assert_string_equal(param(&b, 0), "[[\"n\",\"" T1 "\",\"10.0.0.1:80\",7,2]]");
	assert_string_equal(param(&b, 1), "[\"n\"]");
	/* One statement at a time. */
	tell(&b, "n", T1, "10.0.0.2:80", TARGET_HEALTHY);
	fixture_spin(&b.f, 5);
	assert_int_equal(b.store.asked, 1);
	answer(&b, 'w', NULL, ERR_NONE);
	assert_string_equal(param(&b, 0), "[[\"n\",\"" T1 "\",\"10.0.0.2:80\",7,1]]");
	assert_string_equal(param(&b, 1), "[]");
	answer(&b, 'w', NULL, ERR_NONE);
	/* What did not change is nothing to write. */
	tell(&b, "n", T1, "10.0.0.2:80", TARGET_HEALTHY);
	assert_false(timer_active(&b.share.timer));
	close_bench(&b);
}

static void test_database_away(void **state)
{
	struct bench b;

	(void)state;
	open_bench(&b, false);
	tell(&b, "n", T1, "10.0.0.1:80", TARGET_HEALTHY);
	answer(&b, 'w', NULL, ERR_NONE);
	tell(&b, "n", T2, "10.0.0.2:80", TARGET_HEALTHY);
	answer(&b, 'w', NULL, ERR_UNAVAILABLE);
	/* All of it: nobody knows what the database still has. */
	assert_string_equal(param(&b, 1), "[\"n\"]");
	assert_non_null(strstr(param(&b, 0), T1));
	assert_non_null(strstr(param(&b, 0), T2));
	answer(&b, 'w', NULL, ERR_NONE);
	read_targets(&b);
	answer(&b, 'r', NULL, ERR_UNAVAILABLE);
	assert_string_equal(b.shown, "none");
	health_share_void(&b.share);
	assert_string_equal(param(&b, 1), "[\"n\"]");
	answer(&b, 'w', NULL, ERR_NONE);
	close_bench(&b);
}

static void test_read(void **state)
{
	struct bench b;

	(void)state;
	open_bench(&b, false);
	read_targets(&b);
	assert_string_equal(param(&b, 0), "[\"" T1 "\",\"" T2 "\"]");
	assert_int_equal(b.reads, 0);
	answer(&b, 'r',
	       json_pack("[{s:s, s:s, s:i, s:i}, {s:s, s:s, s:i, s:i}]", "target", T2, "address",
			 "10.0.0.1:80", "weight", 7, "state", 2, "target", T2, "address",
			 "[2001:db8::1]:80", "weight", 3, "state", 1),
	       ERR_NONE);
	assert_int_equal(b.reads, 1);
	assert_string_equal(
		b.shown,
		"{\"" T2 "\":{\"addresses\":["
		"{\"health\":\"UNHEALTHY\",\"ip\":\"10.0.0.1\",\"port\":80,\"weight\":7},"
		"{\"health\":\"HEALTHY\",\"ip\":\"2001:db8::1\",\"port\":80,\"weight\":3}],"
		"\"available\":3,\"health\":\"HEALTHY\",\"unavailable\":7}}");
	/* A reader is answered before it closes. */
	read_targets(&b);
	health_share_close(&b.share, on_closed, &b);
	fixture_spin(&b.f, 5);
	assert_false(b.closed);
	answer(&b, 'r', json_array(), ERR_NONE);
	assert_int_equal(b.reads, 2);
	run_until(&b.f, b.closed);
	fixture_deinit(&b.f);
}

static void test_without_database(void **state)
{
	struct bench b;

	(void)state;
	open_bench(&b, true);
	health_share_begin(&b.share, "n");
	tell(&b, "n", T1, "10.0.0.1:80", TARGET_UNHEALTHY);
	read_targets(&b);
	assert_int_equal(b.reads, 0);
	run_until(&b.f, b.reads == 1);
	assert_non_null(strstr(b.shown, "UNHEALTHY"));
	health_share_forget(&b.share, "n");
	read_targets(&b);
	run_until(&b.f, b.reads == 2);
	assert_string_equal(b.shown, "{}");
	assert_int_equal(b.store.asked, 0);
	close_bench(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes_are_gathered),
		cmocka_unit_test(test_database_away),
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_without_database),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
