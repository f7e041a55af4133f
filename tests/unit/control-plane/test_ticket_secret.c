/* The keeper of ticket secrets against a fake store that plays one transaction at a time. */
#include "control-plane/fleet/ticket_secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/core/clock.h"
#include "tests/unit/lib/loop_fixture.h"

struct txn {
	struct store *store;
};

struct store {
	struct txn txn;
	bool none;  /* there are no secrets */
	bool ahead; /* there is one whose time has not come */
	unsigned commits, deletes, locks;
	unsigned fail; /* so many commits fail with the database away */
	bool met;      /* condition of this transaction */
	json_t *row;   /* inserted by this transaction */
	json_t *kept[8];
	size_t count;
	bool read_only;
	json_t *all; /* what a store without a database keeps */
	store_done done;
	void *arg;
};

struct txn *txn_create(struct store *s, const char *operation)
{
	assert_null(operation);
	s->txn.store = s;
	s->met = true;
	return &s->txn;
}

void txn_exec(struct txn *t, const char *sql, const char *const *params, size_t n,
	      uint64_t min_rows, enum store_fault fault)
{
	struct store *s = t->store;

	(void)params;
	assert_int_equal(n, 0);
	if (strstr(sql, "advisory")) {
		s->locks++;
	} else if (strstr(sql, "DELETE")) {
		s->deletes++;
	} else {
		assert_int_equal(min_rows, 1);
		assert_int_equal(fault, STORE_NOT_FOUND);
		s->met = strstr(sql, "now()") ? !s->ahead : s->none;
	}
}

void txn_insert(struct txn *t, const struct entity *e, const json_t *row)
{
	assert_ptr_equal(e, &entity_ticket_secrets);
	json_decref(t->store->row);
	t->store->row = json_deep_copy(row);
}

void txn_commit(struct txn *t, store_done done, void *arg)
{
	t->store->commits++;
	t->store->done = done;
	t->store->arg = arg;
}

bool store_read_only(const struct store *s)
{
	return s->read_only;
}

void store_list(struct store *s, const struct entity *t, const struct store_page *p,
		store_done done, void *arg)
{
	assert_ptr_equal(t, &entity_ticket_secrets);
	assert_true(p->size >= 3);
	s->done = done;
	s->arg = arg;
}

void store_keep(struct store *s, const struct entity *t, const json_t *rows, store_done done,
		void *arg)
{
	assert_ptr_equal(t, &entity_ticket_secrets);
	json_decref(s->all);
	s->all = json_deep_copy(rows);
	s->commits++;
	s->done = done;
	s->arg = arg;
}

static void answer(struct store *s)
{
	struct store_result r = {.fault = STORE_OK, .rows = s->all};
	store_done done = s->done;

	s->done = NULL;
	if (s->fail > 0) {
		s->fail--;
		r.fault = STORE_UNAVAILABLE;
		(void)err_set(&r.err, ERR_UNAVAILABLE, "no database");
	} else if (!s->met) {
		r.fault = STORE_NOT_FOUND;
		(void)err_set(&r.err, ERR_NOT_FOUND, "condition");
	} else if (s->row) {
		s->none = false;
		s->ahead =
			s->ahead || json_integer_value(json_object_get(s->row, "not_before")) > 0;
		s->kept[s->count++] = json_incref(s->row);
	}
	json_decref(s->row);
	s->row = NULL;
	done(&r, s->arg);
}

struct bench {
	struct loop_fixture f;
	struct store store;
	struct ticket_keeper keeper;
	bool closed;
};

static void on_closed(void *arg)
{
	*(bool *)arg = true;
}

static void setup(struct bench *b)
{
	memset(b, 0, sizeof(*b));
	fixture_init(&b->f);
	ticket_keeper_init(&b->keeper, &b->f.loop, &b->store);
}

static void run_commits(struct bench *b, unsigned n)
{
	while (b->store.commits < n || b->store.done) {
		run_until(&b->f, b->store.done);
		answer(&b->store);
	}
}

static void teardown(struct bench *b)
{
	ticket_keeper_close(&b->keeper, on_closed, &b->closed);
	fixture_spin(&b->f, 3);
	if (b->store.done)
		answer(&b->store);
	run_until(&b->f, b->closed);
	for (size_t i = 0; i < b->store.count; i++)
		json_decref(b->store.kept[i]);
	fixture_deinit(&b->f);
}

static void test_first_start(void **state)
{
	struct bench b;
	int64_t day = clock_wall_s() + 86400;
	int64_t later;

	(void)state;
	setup(&b);
	b.store.none = true;
	run_commits(&b, 3);
	assert_int_equal(b.store.count, 2);
	assert_int_equal(json_integer_value(json_object_get(b.store.kept[0], "not_before")), 0);
	later = json_integer_value(json_object_get(b.store.kept[1], "not_before"));
	assert_true(later >= day && later <= day + TICKET_SLOT_S + 60);
	assert_int_equal(later % TICKET_SLOT_S, 0);
	for (size_t i = 0; i < 2; i++) {
		const char *hex = json_string_value(json_object_get(b.store.kept[i], "secret"));
		assert_int_equal(strlen(hex), 2 * TICKET_SECRET_BYTES);
	}
	assert_true(!json_equal(json_object_get(b.store.kept[0], "secret"),
				json_object_get(b.store.kept[1], "secret")));
	assert_int_equal(b.store.deletes, 1);
	assert_int_equal(b.store.locks, 3);
	/* Nothing more until the next look. */
	fixture_spin(&b.f, 10);
	assert_int_equal(b.store.commits, 3);
	teardown(&b);
}

static void test_nothing_is_due(void **state)
{
	struct bench b;

	(void)state;
	setup(&b);
	b.store.ahead = true;
	run_commits(&b, 3);
	assert_int_equal(b.store.count, 0);
	teardown(&b);
}

static void test_close_during_a_transaction(void **state)
{
	struct bench b;

	(void)state;
	setup(&b);
	b.store.none = true;
	run_until(&b.f, b.store.done);
	ticket_keeper_close(&b.keeper, on_closed, &b.closed);
	fixture_spin(&b.f, 5);
	assert_false(b.closed);
	b.store.fail = 1;
	answer(&b.store);
	run_until(&b.f, b.closed);
	fixture_deinit(&b.f);
}

static void test_not_before(void **state)
{
	static const struct {
		int64_t now, want;
	} rows[] = {
		{0, 86400},
		{1, 86400 + TICKET_SLOT_S},
		{TICKET_SLOT_S - 1, 86400 + TICKET_SLOT_S},
		{TICKET_SLOT_S, 86400 + TICKET_SLOT_S},
		{TICKET_SLOT_S + 1, 86400 + 2 * TICKET_SLOT_S},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++)
		assert_int_equal(ticket_secret_not_before(rows[i].now), rows[i].want);
}

/* --- without a database --- */

/* Rows with nothing but not_before. */
static json_t *rows_of(const int64_t *from, size_t n)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(rows, json_pack("{s:I}", "not_before", (json_int_t)from[i]));
	return rows;
}

static void test_next(void **state)
{
	enum { NOW = 100 * TICKET_SLOT_S, AHEAD = NOW + 86400 };
	static const struct {
		size_t had;
		int64_t before[4];
		size_t has;
		int64_t after[4];
	} rows[] = {
		{0, {0}, 2, {0, AHEAD}},
		{1, {0}, 2, {0, AHEAD}},
		{2, {0, AHEAD}, 2, {0, AHEAD}},
		/* The second counts, but tickets of the first may still come. */
		{2, {0, NOW - TICKET_SLOT_S}, 3, {0, NOW - TICKET_SLOT_S, AHEAD}},
		{2, {0, NOW - 3 * TICKET_SLOT_S}, 3, {0, NOW - 3 * TICKET_SLOT_S, AHEAD}},
		{2, {0, NOW - 3 * TICKET_SLOT_S - 1}, 2, {NOW - 3 * TICKET_SLOT_S - 1, AHEAD}},
		{3, {0, 1, NOW + 1}, 2, {1, NOW + 1}},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct err e = ERR_INIT;
		json_t *before = rows_of(rows[i].before, rows[i].had);
		json_t *after = ticket_secrets_next(before, NOW, &e);

		assert_int_equal(json_array_size(after), rows[i].has);
		for (size_t k = 0; k < rows[i].has; k++)
			assert_int_equal(json_integer_value(json_object_get(
						 json_array_get(after, k), "not_before")),
					 rows[i].after[k]);
		json_decref(before);
		json_decref(after);
	}
}

static void test_without_database(void **state)
{
	struct bench b;

	(void)state;
	setup(&b);
	b.store.read_only = true;
	b.store.met = true;
	run_commits(&b, 1);
	assert_int_equal(json_array_size(b.store.all), 2);
	assert_int_equal(
		json_string_length(json_object_get(json_array_get(b.store.all, 0), "secret")),
		2 * TICKET_SECRET_BYTES);
	json_decref(b.store.all);
	b.store.all = NULL;
	ticket_keeper_close(&b.keeper, on_closed, &b.closed);
	run_until(&b.f, b.closed);
	fixture_deinit(&b.f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_start),
		cmocka_unit_test(test_nothing_is_due),
		cmocka_unit_test(test_close_during_a_transaction),
		cmocka_unit_test(test_not_before),
		cmocka_unit_test(test_next),
		cmocka_unit_test(test_without_database),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
