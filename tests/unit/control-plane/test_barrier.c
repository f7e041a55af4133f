#include "control-plane/fleet/barrier.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/core/clock.h"
#include "tests/unit/lib/loop_fixture.h"

struct bench {
	struct loop_fixture f;
	struct members members;
	struct barriers set;
	bool closed;
};

struct outcome {
	unsigned calls;
	bool complete;
	uint64_t nodes;
	char missing[128];
	struct barrier *cancel; /* set: cancelled inside done */
};

static void on_closed(void *arg)
{
	*(bool *)arg = true;
}

static void setup(struct bench *b)
{
	memset(b, 0, sizeof(*b));
	fixture_init(&b->f);
	members_init(&b->members, 5000);
	barriers_init(&b->set, &b->f.loop, &b->members);
}

static void teardown(struct bench *b)
{
	barriers_close(&b->set, on_closed, &b->closed);
	run_until(&b->f, b->closed);
	members_deinit(&b->members);
	fixture_deinit(&b->f);
}

static void node(struct bench *b, const char *id, uint64_t revision, bool connected)
{
	const struct member_report r = {.id = id,
					.hostname = id,
					.revision = revision,
					.connected = connected,
					.local = true,
					.seen_ms = clock_mono_ns() / 1000000};

	assert_int_equal(members_report(&b->members, &r, NULL), 0);
	barriers_check(&b->set);
}

static void on_done(const struct barrier_result *r, void *arg)
{
	struct outcome *o = arg;
	size_t i;
	json_t *m;

	o->calls++;
	o->complete = r->complete;
	o->nodes = r->nodes;
	json_array_foreach(r->missing, i, m)
	{
		size_t n = strlen(o->missing);
		snprintf(o->missing + n, sizeof(o->missing) - n, "%s@%d ",
			 json_string_value(json_object_get(m, "id")),
			 (int)json_integer_value(json_object_get(m, "revision")));
	}
	barrier_cancel(o->cancel);
	o->cancel = NULL;
}

static struct barrier *wait_for(struct bench *b, uint64_t revision, uint64_t timeout_ms,
				struct outcome *o)
{
	struct barrier *w = NULL;

	memset(o, 0, sizeof(*o));
	assert_int_equal(barriers_wait(&b->set, &w, revision, 0, timeout_ms, on_done, o, NULL), 0);
	assert_int_equal(o->calls, 0);
	return w;
}

static void test_without_nodes(void **state)
{
	struct bench b;
	struct outcome o;

	(void)state;
	setup(&b);
	wait_for(&b, 5, 60000, &o);
	run_until(&b.f, o.calls);
	assert_true(o.complete);
	assert_int_equal(o.nodes, 0);
	teardown(&b);
}

/* What was refused does not come: no use in waiting. */
static void test_refused(void **state)
{
	struct bench b;
	struct outcome refused, other;

	(void)state;
	setup(&b);
	node(&b, "a", 7, true);
	node(&b, "b", 4, true);
	wait_for(&b, 5, 60000, &refused);
	wait_for(&b, 6, 60000, &other);
	barriers_refuse(&b.set, 5);
	run_until(&b.f, refused.calls);
	assert_false(refused.complete);
	assert_int_equal(refused.nodes, 2);
	assert_non_null(strstr(refused.missing, "a@7"));
	assert_non_null(strstr(refused.missing, "b@4"));
	assert_int_equal(other.calls, 0);
	node(&b, "b", 7, true);
	run_until(&b.f, other.calls);
	assert_true(other.complete);
	teardown(&b);
}

/* A node elsewhere acked what is not known here: it may be that something was refused. */
static void test_not_known_here(void **state)
{
	struct bench b;
	struct outcome o;

	(void)state;
	setup(&b);
	barriers_known(&b.set, 5);
	node(&b, "a", 6, true);
	wait_for(&b, 5, 60000, &o);
	fixture_spin(&b.f, 5);
	assert_int_equal(o.calls, 0);
	barriers_known(&b.set, 6);
	run_until(&b.f, o.calls);
	assert_true(o.complete);
	teardown(&b);
}

static void test_completes_with_the_last_ack(void **state)
{
	struct bench b;
	struct outcome o;

	(void)state;
	setup(&b);
	node(&b, "a", 5, true);
	node(&b, "b", 4, true);
	node(&b, "c", 0, true);
	wait_for(&b, 5, 60000, &o);
	fixture_spin(&b.f, 5);
	node(&b, "b", 6, true);
	fixture_spin(&b.f, 5);
	assert_int_equal(o.calls, 0);
	node(&b, "c", 4, true);
	fixture_spin(&b.f, 5);
	assert_int_equal(o.calls, 0);
	node(&b, "c", 5, true);
	run_until(&b.f, o.calls);
	assert_true(o.complete);
	assert_int_equal(o.nodes, 3);
	fixture_spin(&b.f, 5);
	assert_int_equal(o.calls, 1);
	teardown(&b);
}

static void test_timeout_names_who_is_missing(void **state)
{
	struct bench b;
	struct outcome o;

	(void)state;
	setup(&b);
	node(&b, "a", 5, true);
	node(&b, "b", 4, true);
	wait_for(&b, 5, 20, &o);
	run_until(&b.f, o.calls);
	assert_false(o.complete);
	assert_string_equal(o.missing, "b@4 ");
	assert_int_equal(o.nodes, 2);
	teardown(&b);
}

static struct barriers *tick_set;

static void on_tick(struct timer *t)
{
	(void)t;
	barriers_check(tick_set);
}

/* A node that left still counts for the grace time. */
static void test_node_that_left(void **state)
{
	struct bench b;
	struct outcome o;
	struct timer tick;

	(void)state;
	setup(&b);
	b.members.grace_ms = 30;
	node(&b, "a", 1, true);
	node(&b, "a", 1, false);
	wait_for(&b, 5, 60000, &o);
	fixture_spin(&b.f, 2);
	assert_int_equal(o.calls, 0);
	timer_init(&tick, &b.f.loop, on_tick);
	tick_set = &b.set;
	timer_start(&tick, 5, 5);
	run_until(&b.f, o.calls);
	timer_close(&tick, NULL);
	assert_true(o.complete);
	assert_int_equal(o.nodes, 0);
	teardown(&b);
}

static void test_waits_for_a_view(void **state)
{
	struct bench b;
	struct outcome o = {0};
	struct barrier *w;

	(void)state;
	setup(&b);
	node(&b, "a", 5, true);
	assert_int_equal(barriers_wait(&b.set, &w, 5, 2, 60000, on_done, &o, NULL), 0);
	fixture_spin(&b.f, 3);
	barriers_viewed(&b.set, 1);
	fixture_spin(&b.f, 3);
	assert_int_equal(o.calls, 0);
	barriers_viewed(&b.set, 2);
	run_until(&b.f, o.calls);
	assert_true(o.complete);
	/* No view before the timeout: everybody known acked, and yet it is not complete. */
	memset(&o, 0, sizeof(o));
	assert_int_equal(barriers_wait(&b.set, &w, 5, 3, 10, on_done, &o, NULL), 0);
	run_until(&b.f, o.calls);
	assert_false(o.complete);
	assert_string_equal(o.missing, "");
	teardown(&b);
}

static void test_cancel(void **state)
{
	struct bench b;
	struct outcome o, other;

	(void)state;
	setup(&b);
	barrier_cancel(NULL);
	barrier_cancel(wait_for(&b, 5, 10, &o));
	fixture_spin(&b.f, 5);
	assert_int_equal(o.calls, 0);
	/* One that ends cancels the other, which would end in the same turn. */
	wait_for(&b, 5, 60000, &o);
	o.cancel = wait_for(&b, 5, 60000, &other);
	run_until(&b.f, o.calls);
	fixture_spin(&b.f, 5);
	assert_int_equal(other.calls, 0);
	/* Closing forgets what waits. */
	node(&b, "a", 1, true);
	wait_for(&b, 5, 60000, &o);
	teardown(&b);
	assert_int_equal(o.calls, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_nodes),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_not_known_here),
		cmocka_unit_test(test_completes_with_the_last_ack),
		cmocka_unit_test(test_timeout_names_who_is_missing),
		cmocka_unit_test(test_node_that_left),
		cmocka_unit_test(test_waits_for_a_view),
		cmocka_unit_test(test_cancel),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
