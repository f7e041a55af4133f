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

static void answer(struct store *s)
{
	struct store_result r = {.fault = STORE_OK};
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_start),
		cmocka_unit_test(test_nothing_is_due),
		cmocka_unit_test(test_close_during_a_transaction),
		cmocka_unit_test(test_not_before),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
