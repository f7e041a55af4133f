/* Targets, their groups and what is hashed, out of real tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>

#include "data-plane/proxy/address_rules.h"
#include "data-plane/proxy/targets.h"
#include "data-plane/tables/addresses.h"
#include "data-plane/tables/health.h"
#include "tests/unit/lib/entity_bed.h"
#include "tests/unit/lib/loop_fixture.h"

enum { ASKED_MAX = 16 };

struct bed {
	struct loop_fixture loop;
	struct entity_bed entities;
	struct addresses addresses;
	struct health_board health;
	struct address_rules *rules;
	struct targets_counters counters;
	struct targets *targets;
	struct arena arena;
	struct http_request request;
	struct addr client;
	struct str consumer;
	char asked[ASKED_MAX][64];
	size_t asked_count;
	struct health_event events[64];
	size_t event_count;
};

static struct bed *bed;

static void on_ask(struct str name, void *arg)
{
	struct bed *b = arg;

	assert_true(b->asked_count < ASKED_MAX);
	snprintf(b->asked[b->asked_count++], sizeof(b->asked[0]), "%.*s", (int)name.len, name.ptr);
}

static void on_events(const struct health_event *events, size_t n, void *arg)
{
	struct bed *b = arg;

	for (size_t i = 0; i < n; i++)
		b->events[b->event_count++ % array_len(b->events)] = events[i];
}

static int setup(void **state)
{
	static struct bed memory;
	struct err e = ERR_INIT;
	const struct targets_options o = {.tables = NULL};
	struct targets_options with = o;

	bed = &memory;
	memset(bed, 0, sizeof(*bed));
	*state = bed;
	fixture_init(&bed->loop);
	fixture_start(&bed->loop); /* so that turns that do not wait look at posts, too */
	entity_bed_init(&bed->entities, NULL);
	assert_int_equal(addresses_init(&bed->addresses, &e), 0);
	assert_int_equal(health_board_init(&bed->health, &e), 0);
	assert_int_equal(address_rules_create(&bed->rules, STR("loopback, private"), NULL, &e), 0);
	addresses_serve(&bed->addresses, &bed->loop.loop, on_ask, bed);
	health_serve(&bed->health, &bed->loop.loop, on_events, bed);
	with = (struct targets_options){.tables = bed->entities.tables,
					.addresses = &bed->addresses,
					.health = &bed->health,
					.rules = bed->rules,
					.counters = &bed->counters,
					.loop = &bed->loop.loop};
	assert_int_equal(targets_create(&bed->targets, &with, &e), 0);
	arena_init(&bed->arena, 0);
	assert_int_equal(addr_parse(&bed->client, STR("192.0.2.1:999"), &e), 0);
	bed->request.path = STR("/");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rcu_leave();
	targets_free(bed->targets);
	arena_deinit(&bed->arena);
	fixture_deinit(&bed->loop);
	health_board_deinit(&bed->health);
	addresses_deinit(&bed->addresses);
	address_rules_free(bed->rules);
	entity_bed_deinit(&bed->entities);
	return 0;
}

static void put(enum entities_kind kind, unsigned id, const char *fields)
{
	rcu_leave();
	entity_bed_put(&bed->entities, kind, id, fields);
}

static void put_service(const char *host)
{
	char text[128];

	snprintf(text, sizeof(text), "host=%s port=%%80", host);
	put(ENTITIES_SERVICE, 's', text);
}

/* Upstream 'u' named "pool", with a service on it. */
static void put_upstream(const char *fields)
{
	char text[512];

	snprintf(text, sizeof(text), "name=pool %s", fields);
	put(ENTITIES_UPSTREAM, 'u', text);
	put_service("pool");
}

static void put_target(unsigned id, const char *target, unsigned weight)
{
	char text[128];

	snprintf(text, sizeof(text), "upstream=#u target='%s weight=%%%u", target, weight);
	put(ENTITIES_TARGET, id, text);
}

static void publish(const char *name, const char *addr, uint16_t weight, const char *srv)
{
	struct address item = {.weight = weight, .name = str_from(srv)};
	struct err e = ERR_INIT;

	rcu_leave();
	if (addr)
		assert_int_equal(addr_parse(&item.addr, str_from(addr), &e), 0);
	assert_int_equal(
		addresses_publish(&bed->addresses, str_from(name), &item, addr ? 1 : 0, &e), 0);
}

static void mark(const char *addr, bool unhealthy, bool watched)
{
	const struct health_view v = {unhealthy, watched};
	struct err e = ERR_INIT;
	struct addr a;

	rcu_leave();
	assert_int_equal(addr_parse(&a, str_from(addr), &e), 0);
	assert_int_equal(health_mark(&bed->health, entity_bed_id(&bed->entities, 'u'), &a, v, &e),
			 0);
}

static enum pick_result pick_with(struct target_pick *out, const struct target_pick *tried,
				  size_t n, struct target_waiter *w)
{
	struct tables *t = bed->entities.tables;
	struct target_request q = {.generation = tables_enter(t),
				   .request = &bed->request,
				   .client = &bed->client,
				   .consumer = bed->consumer};

	q.service = service_find(&t->entities, q.generation, entity_bed_id(&bed->entities, 's'));
	assert_non_null(q.service);
	return targets_pick(bed->targets, &q, tried, n, &bed->arena, out, w);
}

/* Picks, gives back, and says where to; "" when there was none. */
static const char *pick(enum pick_result want)
{
	static char text[ADDR_TEXT_SIZE];
	struct target_pick p;

	text[0] = '\0';
	assert_int_equal(pick_with(&p, NULL, 0, NULL), want);
	if (want == PICK_OK) {
		addr_text(&p.addr, text, sizeof(text));
		targets_done(bed->targets, &p, TARGET_ABANDONED, 0, 0);
	}
	return text;
}

/* How often each of the addresses was picked of n times, "a=3 b=3". */
static const char *spread(size_t n, const char *const *addrs)
{
	static char text[256];
	unsigned hits[8] = {0};
	size_t len = 0;

	for (size_t k = 0; k < n; k++) {
		const char *got = pick(PICK_OK);
		size_t i = 0;

		while (addrs[i] && strcmp(addrs[i], got) != 0)
			i++;
		if (!addrs[i])
			fail_msg("%s was picked", got);
		hits[i]++;
	}
	for (size_t i = 0; addrs[i]; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%u", i ? " " : "",
					hits[i]);
	return text;
}

static const char *const three[] = {"127.0.0.1:9001", "127.0.0.2:9002", "[::1]:9003", NULL};

static void put_three(const char *upstream)
{
	put_upstream(upstream);
	for (unsigned i = 0; i < 3; i++)
		put_target('1' + i, three[i], 100);
}

static void test_numeric_host(void **state)
{
	struct target_pick p;

	(void)state;
	put_service("127.0.0.1");
	assert_int_equal(pick_with(&p, NULL, 0, NULL), PICK_OK);
	assert_int_equal(p.port, 80);
	assert_false(p.has_upstream);
	assert_true(str_eq(p.host, STR("127.0.0.1")));
	targets_done(bed->targets, &p, TARGET_SUCCESS, 200, 1);
	put_service("fd00::1");
	assert_string_equal(pick(PICK_OK), "[fd00::1]:80");
	put(ENTITIES_SERVICE, 's', "host=127.0.0.1 port=%81");
	assert_string_equal(pick(PICK_OK), "127.0.0.1:81");
}

static void test_tr11_denied(void **state)
{
	(void)state;
	put_service("169.254.169.254");
	pick(PICK_DENIED);
	put_upstream("");
	put_target('1', "169.254.169.254:80", 100);
	pick(PICK_DENIED);
	assert_int_equal(atomic_load(&bed->counters.denied), 2);
	/* A name that resolves there gains nothing, and takes nothing from others. */
	put_target('2', "inside.test:80", 100);
	publish("inside.test", "0.0.0.0:0", 0, NULL);
	pick(PICK_DENIED);
	put_target('3', "127.0.0.1:9001", 100);
	assert_string_equal(spread(5, three), "5 0 0");
}

static void test_round_robin(void **state)
{
	(void)state;
	put_three("");
	assert_string_equal(spread(30, three), "10 10 10");
	put_target('1', three[0], 400);
	assert_string_equal(spread(60, three), "40 10 10");
	/* Weight 0 is kept and not used. */
	put_target('1', three[0], 0);
	assert_string_equal(spread(20, three), "0 10 10");
	put(ENTITIES_TARGET, '2', NULL);
	assert_string_equal(spread(7, three), "0 0 7");
}

static void test_no_targets(void **state)
{
	(void)state;
	put_upstream("");
	pick(PICK_UNHEALTHY);
	put_target('1', three[0], 0);
	pick(PICK_UNHEALTHY);
	assert_int_equal(atomic_load(&bed->counters.unhealthy), 2);
}

static void test_upstream_comes_and_goes(void **state)
{
	(void)state;
	put_three("");
	assert_string_equal(spread(3, three), "1 1 1");
	put(ENTITIES_UPSTREAM, 'u', NULL);
	publish("pool", "127.0.0.9:0", 0, NULL);
	assert_string_equal(pick(PICK_OK), "127.0.0.9:80");
	put(ENTITIES_UPSTREAM, 'u', "name=pool");
	assert_string_equal(spread(3, three), "1 1 1");
}

/* Requests on an address outlive its place in the group. */
static void test_target_goes_while_used(void **state)
{
	struct target_pick p;

	(void)state;
	put_upstream("healthchecks={passive:{unhealthy:{tcp_failures:%1}}}");
	put_target('1', three[0], 100);
	assert_int_equal(pick_with(&p, NULL, 0, NULL), PICK_OK);
	put(ENTITIES_TARGET, '1', NULL);
	pick(PICK_UNHEALTHY);
	targets_done(bed->targets, &p, TARGET_TCP_FAILURE, 0, 1);
	fixture_spin(&bed->loop, 3);
	assert_int_equal(bed->event_count, 0);
}

static void test_tried_is_avoided(void **state)
{
	struct target_pick tried[3], p;

	(void)state;
	put_three("");
	for (size_t n = 0; n < 3; n++) {
		assert_int_equal(pick_with(&tried[n], tried, n, NULL), PICK_OK);
		for (size_t i = 0; i < n; i++)
			assert_ptr_not_equal(tried[i].slot, tried[n].slot);
	}
	assert_int_equal(pick_with(&p, tried, 3, NULL), PICK_OK);
	for (size_t n = 0; n < 3; n++)
		targets_done(bed->targets, &tried[n], TARGET_TCP_FAILURE, 0, 1);
	targets_done(bed->targets, &p, TARGET_SUCCESS, 200, 1);
}

static void test_up15_unhealthy(void **state)
{
	(void)state;
	put_three("");
	assert_string_equal(spread(3, three), "1 1 1");
	mark(three[1], true, true);
	assert_string_equal(spread(10, three), "5 0 5");
	mark(three[0], true, true);
	mark(three[2], true, true);
	pick(PICK_UNHEALTHY);
	mark(three[2], false, true);
	assert_string_equal(spread(4, three), "0 0 4");
	mark(three[0], false, false);
	assert_string_equal(spread(4, three), "2 0 2");
	put_three("healthchecks={threshold:%50.0}");
	assert_string_equal(spread(4, three), "2 0 2");
	mark(three[0], true, true);
	pick(PICK_UNHEALTHY);
	/* Panic mode: all of them, as if nobody checked. */
	put_three("healthchecks={threshold:%50.0;panic:!}");
	assert_string_equal(spread(6, three), "2 2 2");
	assert_int_equal(atomic_load(&bed->counters.panics), 6);
	mark(three[0], false, true);
	assert_string_equal(spread(4, three), "2 0 2");
	assert_int_equal(atomic_load(&bed->counters.panics), 6);
}

struct waiter {
	struct target_waiter waiter;
	unsigned known;
};

static void on_known(struct target_waiter *w)
{
	container_of(w, struct waiter, waiter)->known++;
}

static void wait_init(struct waiter *w)
{
	*w = (struct waiter){.waiter = {.on_known = on_known}};
	list_init(&w->waiter.link);
}

static void test_waits_for_a_name(void **state)
{
	struct waiter one, two, gone;
	struct target_pick p;

	(void)state;
	wait_init(&one);
	wait_init(&two);
	wait_init(&gone);
	put_service("name.test");
	assert_int_equal(pick_with(&p, NULL, 0, &one.waiter), PICK_WAIT);
	assert_int_equal(pick_with(&p, NULL, 0, &two.waiter), PICK_WAIT);
	assert_int_equal(pick_with(&p, NULL, 0, &gone.waiter), PICK_WAIT);
	rcu_leave();
	run_until(&bed->loop, bed->asked_count > 0);
	assert_string_equal(bed->asked[0], "name.test");
	/* News of another name wake nobody, and the wish stays. */
	publish("other.test", "127.0.0.1:0", 0, NULL);
	fixture_spin(&bed->loop, 3);
	assert_int_equal(one.known, 0);
	targets_forget(&gone.waiter);
	publish("name.test", "127.0.0.7:0", 0, NULL);
	assert_int_equal(one.known, 0);
	run_until(&bed->loop, one.known == 1 && two.known == 1);
	assert_int_equal(gone.known, 0);
	assert_string_equal(pick(PICK_OK), "127.0.0.7:80");
}

/* A name that was looked up again as it was wakes the workers, and they go on waiting. */
static void test_waits_on_after_news_that_change_nothing(void **state)
{
	struct target_pick p;
	struct waiter w;

	(void)state;
	wait_init(&w);
	put_service("slow.test");
	publish("other.test", "127.0.0.1:0", 0, NULL);
	assert_int_equal(pick_with(&p, NULL, 0, &w.waiter), PICK_WAIT);
	publish("other.test", "127.0.0.1:0", 0, NULL);
	fixture_spin(&bed->loop, 3);
	assert_int_equal(w.known, 0);
	publish("slow.test", "127.0.0.7:0", 0, NULL);
	run_until(&bed->loop, w.known == 1);
	assert_string_equal(pick(PICK_OK), "127.0.0.7:80");
}

static void test_name_that_does_not_exist(void **state)
{
	struct target_pick p;
	struct waiter w;

	(void)state;
	wait_init(&w);
	put_service("nowhere.test");
	assert_int_equal(pick_with(&p, NULL, 0, &w.waiter), PICK_WAIT);
	publish("nowhere.test", NULL, 0, NULL);
	run_until(&bed->loop, w.known == 1);
	pick(PICK_UNRESOLVED);
	publish("nowhere.test", "127.0.0.1:0", 0, NULL);
	assert_string_equal(pick(PICK_OK), "127.0.0.1:80");
}

static void test_nobody_resolves(void **state)
{
	struct target_pick p;
	struct waiter w;

	(void)state;
	wait_init(&w);
	addresses_serve(&bed->addresses, NULL, NULL, NULL);
	put_service("name.test");
	assert_int_equal(pick_with(&p, NULL, 0, &w.waiter), PICK_UNRESOLVED);
	assert_true(list_empty(&w.waiter.link));
}

/* Names that are known are used while another is looked up; a bad one takes nothing away. */
static void test_some_names_unknown(void **state)
{
	(void)state;
	put_upstream("");
	put_target('1', "a.test:9001", 100);
	put_target('2', "b.test:9002", 100);
	publish("a.test", "127.0.0.1:0", 0, NULL);
	assert_string_equal(spread(4, three), "4 0 0");
	publish("b.test", "127.0.0.2:0", 0, NULL);
	assert_string_equal(spread(4, three), "2 2 0");
	publish("b.test", NULL, 0, NULL);
	assert_string_equal(spread(4, three), "4 0 0");
}

static void test_srv(void **state)
{
	struct target_pick p;

	(void)state;
	put_upstream("use_srv_name=!no");
	put_target('1', "srv.test:1234", 100);
	publish("srv.test", "127.0.0.1:9001", 7, "node.test");
	assert_int_equal(pick_with(&p, NULL, 0, NULL), PICK_OK);
	assert_int_equal(p.port, 9001);
	assert_true(str_eq(p.host, STR("srv.test")));
	targets_done(bed->targets, &p, TARGET_SUCCESS, 200, 1);
	put_upstream("use_srv_name=!");
	assert_int_equal(pick_with(&p, NULL, 0, NULL), PICK_OK);
	assert_true(str_eq(p.host, STR("node.test")));
	targets_done(bed->targets, &p, TARGET_SUCCESS, 200, 1);
	/* The record's weight, not the target's. */
	put_target('2', "127.0.0.2:9002", 7);
	assert_string_equal(spread(10, three), "5 5 0");
}

/* --- hashing --- */

static void add_field(const char *name, const char *value)
{
	assert_int_equal(
		http_fields_add(&bed->request.fields, &bed->arena, str_from(name), str_from(value)),
		0);
}

/* Different values spread; no value and no fallback: any. */
static void test_hash_spreads(void **state)
{
	bool seen[3] = {false};

	(void)state;
	put_three("algorithm=consistent-hashing hash_on=header hash_on_header=x-key");
	for (unsigned k = 0; k < 60; k++) {
		const char *got = pick(PICK_OK);

		for (size_t i = 0; i < 3; i++)
			seen[i] |= strcmp(got, three[i]) == 0;
	}
	assert_true(seen[0] && seen[1] && seen[2]);
}

static void test_hash_cookie_is_given(void **state)
{
	struct target_pick p;
	char value[128], first[ADDR_TEXT_SIZE];

	(void)state;
	put_three("algorithm=consistent-hashing hash_on=cookie hash_on_cookie=sticky "
		  "hash_on_cookie_path=/app");
	assert_int_equal(pick_with(&p, NULL, 0, NULL), PICK_OK);
	assert_true(str_starts(p.set_cookie, STR("sticky=")));
	assert_true(str_ends(p.set_cookie, STR("; Path=/app")));
	assert_int_equal(p.set_cookie.len, strlen("sticky=; Path=/app") + 36);
	addr_text(&p.addr, first, sizeof(first));
	targets_done(bed->targets, &p, TARGET_SUCCESS, 200, 1);
	/* It leads back to the same address, and is not given again. */
	snprintf(value, sizeof(value), "a=b; %.*s", (int)(strlen("sticky=") + 36),
		 p.set_cookie.ptr);
	add_field("cookie", value);
	assert_int_equal(pick_with(&p, NULL, 0, NULL), PICK_OK);
	assert_null(p.set_cookie.ptr);
	targets_done(bed->targets, &p, TARGET_SUCCESS, 200, 1);
	assert_string_equal(pick(PICK_OK), first);
}

/* --- passive checks --- */

static void test_outcomes_are_told(void **state)
{
	static const struct {
		const char *passive;
		enum target_outcome outcome;
		unsigned status;
		bool watched, told;
	} rows[] = {
		{"unhealthy:{http_failures:%1}", TARGET_SUCCESS, 500, false, true},
		{"unhealthy:{http_failures:%1}", TARGET_SUCCESS, 502, false, false},
		{"unhealthy:{http_failures:%1}", TARGET_SUCCESS, 200, false, false},
		{"unhealthy:{http_failures:%0}", TARGET_SUCCESS, 500, false, false},
		{"unhealthy:{http_failures:%1;http_statuses:[%418]}", TARGET_SUCCESS, 418, false,
		 true},
		{"unhealthy:{tcp_failures:%1}", TARGET_TCP_FAILURE, 0, false, true},
		{"unhealthy:{tcp_failures:%0}", TARGET_TCP_FAILURE, 0, false, false},
		{"unhealthy:{timeouts:%1}", TARGET_TIMEOUT, 0, false, true},
		{"unhealthy:{tcp_failures:%1}", TARGET_TIMEOUT, 0, false, false},
		{"unhealthy:{tcp_failures:%1}", TARGET_ABANDONED, 0, false, false},
		{"healthy:{successes:%1}", TARGET_SUCCESS, 200, false, false},
		{"healthy:{successes:%1}", TARGET_SUCCESS, 200, true, true},
		{"healthy:{successes:%0}", TARGET_SUCCESS, 200, true, false},
		{"healthy:{successes:%1}", TARGET_SUCCESS, 404, true, false},
	};
	char text[256];

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct target_pick p;
		size_t before = bed->event_count;

		snprintf(text, sizeof(text), "healthchecks={passive:{%s}}", rows[i].passive);
		put_upstream(text);
		put_target('1', three[0], 100);
		mark(three[0], false, rows[i].watched);
		assert_int_equal(pick_with(&p, NULL, 0, NULL), PICK_OK);
		targets_done(bed->targets, &p, rows[i].outcome, rows[i].status, 1);
		rcu_leave();
		fixture_spin(&bed->loop, 3);
		if (bed->event_count - before != rows[i].told)
			fail_msg("row %zu", i);
		if (rows[i].told)
			assert_int_equal(bed->events[before % 64].status, rows[i].status);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_numeric_host),
		T(test_tr11_denied),
		T(test_round_robin),
		T(test_no_targets),
		T(test_upstream_comes_and_goes),
		T(test_target_goes_while_used),
		T(test_tried_is_avoided),
		T(test_up15_unhealthy),
		T(test_waits_for_a_name),
		T(test_waits_on_after_news_that_change_nothing),
		T(test_name_that_does_not_exist),
		T(test_nobody_resolves),
		T(test_some_names_unknown),
		T(test_srv),
		T(test_hash_spreads),
		T(test_hash_cookie_is_given),
		T(test_outcomes_are_told),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
