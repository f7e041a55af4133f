/* tables/upstream: upstreams and targets out of their fields; their lists. */
#include "data-plane/tables/upstream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "data-plane/tables/fields.h"
#include "tests/unit/lib/entity_bed.h"
#include "tests/unit/lib/oom.h"
#include "tests/unit/lib/testentity.h"

enum { TARGETS = 10000, PARENT = 'u', OTHER = 'v' };

static struct entity_bed bed;

static int setup(void **state)
{
	(void)state;
	entity_bed_init(&bed, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	entity_bed_deinit(&bed);
	return 0;
}

/* What is found lives until the next change. */
static const struct upstream *put(const char *fields)
{
	const struct upstream *u;

	entity_bed_put(&bed, ENTITIES_UPSTREAM, 1, fields);
	u = upstream_find(&bed.tables->entities, tables_enter(bed.tables), entity_bed_id(&bed, 1));
	rcu_leave();
	assert_non_null(u);
	return u;
}

static const struct upstream *named(const char *name)
{
	const struct upstream *u =
		upstream_by_name(&bed.tables->entities, tables_enter(bed.tables), str_from(name));

	rcu_leave();
	return u;
}

static const struct entity_list *targets(unsigned upstream)
{
	const struct entity_list *l = upstream_targets(
		&bed.tables->entities, tables_enter(bed.tables), entity_bed_id(&bed, upstream));

	rcu_leave();
	return l;
}

static void test_defaults(void **state)
{
	const struct upstream *u = put("name=API.internal");
	const struct health_checks *c = &u->checks;

	(void)state;
	assert_true(str_eq(u->name, STR("api.internal")));
	assert_int_equal(u->algorithm, ALGORITHM_ROUND_ROBIN);
	assert_int_equal(u->hash.source, HASH_NONE);
	assert_int_equal(u->fallback.source, HASH_NONE);
	assert_true(str_eq(u->hash_cookie_path, STR("/")));
	assert_int_equal(u->slots, 10000);
	assert_null(u->host_header.ptr);
	assert_null(u->client_certificate);
	assert_false(u->use_srv_name);
	assert_true(c->threshold == 0.0);
	assert_false(c->panic);
	assert_int_equal(c->active.type, CHECK_HTTP);
	assert_true(c->active.timeout == 1.0);
	assert_int_equal(c->active.concurrency, 10);
	assert_true(str_eq(c->active.path, STR("/")));
	assert_null(c->active.sni.ptr);
	assert_true(c->active.verify);
	assert_int_equal(c->active.header_count, 0);
	assert_int_equal(c->active.healthy.status_count, 2);
	assert_int_equal(c->active.healthy.statuses[1], 302);
	assert_true(c->active.healthy.interval == 0.0);
	assert_int_equal(c->active.unhealthy.status_count, 8);
	assert_int_equal(c->passive.type, CHECK_HTTP);
	assert_int_equal(c->passive.healthy.status_count, 19);
	assert_int_equal(c->passive.unhealthy.status_count, 3);
	assert_int_equal(c->passive.unhealthy.timeouts, 0);
}

static void test_everything(void **state)
{
	const struct upstream *u =
		put("name=a algorithm=consistent-hashing hash_on=header hash_on_header=X-A "
		    "hash_fallback=query_arg hash_fallback_query_arg=q hash_on_cookie_path=/c "
		    "slots=%10 host_header=h:81 client_certificate=#c use_srv_name=! "
		    "healthchecks={threshold:%55.5;panic:!;active:{type:https;timeout:%0.25;"
		    "concurrency:%2147483648;http_path:/up;https_sni:S;"
		    "https_verify_certificate:!no;headers:{X-B:[1,2]};"
		    "healthy:{interval:%5;successes:%2;http_statuses:[]};"
		    "unhealthy:{interval:%1.5;tcp_failures:%1;timeouts:%2;http_failures:%255;"
		    "http_statuses:[%500,%100,%999]}};"
		    "passive:{type:tcp;healthy:{successes:%3};unhealthy:{timeouts:%4}}}");
	const struct health_checks *c = &u->checks;

	(void)state;
	assert_int_equal(u->algorithm, ALGORITHM_CONSISTENT_HASHING);
	assert_int_equal(u->hash.source, HASH_HEADER);
	assert_true(str_eq(u->hash.name, STR("X-A")));
	assert_int_equal(u->fallback.source, HASH_QUERY_ARG);
	assert_true(str_eq(u->fallback.name, STR("q")));
	assert_true(str_eq(u->hash_cookie_path, STR("/c")));
	assert_int_equal(u->slots, 10);
	assert_true(str_eq(u->host_header, STR("h:81")));
	assert_int_equal(u->client_certificate[0], 'c');
	assert_true(u->use_srv_name);
	assert_true(c->threshold == 55.5);
	assert_true(c->panic);
	assert_int_equal(c->active.type, CHECK_HTTPS);
	assert_true(c->active.timeout == 0.25);
	assert_true(c->active.concurrency == 2147483648);
	assert_true(str_eq(c->active.path, STR("/up")));
	assert_true(str_eq(c->active.sni, STR("s")));
	assert_false(c->active.verify);
	assert_int_equal(c->active.header_count, 1);
	assert_true(str_eq(c->active.headers[0].name, STR("x-b")));
	assert_int_equal(c->active.headers[0].count, 2);
	assert_true(str_eq(c->active.headers[0].values[1], STR("2")));
	assert_true(c->active.healthy.interval == 5.0);
	assert_int_equal(c->active.healthy.successes, 2);
	assert_int_equal(c->active.healthy.status_count, 0);
	assert_true(c->active.unhealthy.interval == 1.5);
	assert_int_equal(c->active.unhealthy.tcp_failures, 1);
	assert_int_equal(c->active.unhealthy.timeouts, 2);
	assert_int_equal(c->active.unhealthy.http_failures, 255);
	assert_int_equal(c->active.unhealthy.status_count, 3);
	assert_int_equal(c->active.unhealthy.statuses[2], 999);
	assert_int_equal(c->passive.type, CHECK_TCP);
	assert_int_equal(c->passive.healthy.successes, 3);
	assert_int_equal(c->passive.unhealthy.timeouts, 4);
	assert_int_equal(c->passive.unhealthy.status_count, 3);
}

static void test_choices(void **state)
{
	static const struct {
		const char *fields;
		enum upstream_algorithm algorithm;
		enum hash_source hash, fallback;
		const char *name;
	} rows[] = {
		{"name=a algorithm=least-connections", ALGORITHM_LEAST_CONNECTIONS, HASH_NONE,
		 HASH_NONE, NULL},
		{"name=a algorithm=latency", ALGORITHM_LATENCY, HASH_NONE, HASH_NONE, NULL},
		{"name=a hash_on=ip hash_fallback=consumer", ALGORITHM_ROUND_ROBIN, HASH_IP,
		 HASH_CONSUMER, NULL},
		{"name=a hash_on=path", ALGORITHM_ROUND_ROBIN, HASH_PATH, HASH_NONE, NULL},
		{"name=a hash_on=cookie hash_on_cookie=c", ALGORITHM_ROUND_ROBIN, HASH_COOKIE,
		 HASH_NONE, "c"},
		{"name=a hash_on=uri_capture hash_on_uri_capture=x", ALGORITHM_ROUND_ROBIN,
		 HASH_URI_CAPTURE, HASH_NONE, "x"},
		{"name=a hash_on=query_arg hash_on_query_arg=q", ALGORITHM_ROUND_ROBIN,
		 HASH_QUERY_ARG, HASH_NONE, "q"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		const struct upstream *u = put(rows[i].fields);

		assert_int_equal(u->algorithm, rows[i].algorithm);
		assert_int_equal(u->hash.source, rows[i].hash);
		assert_int_equal(u->fallback.source, rows[i].fallback);
		assert_true(str_eq(u->hash.name, str_from(rows[i].name)));
	}
	/* The fallback to a cookie is to the same one. */
	assert_true(str_eq(
		put("name=a hash_on=ip hash_fallback=cookie hash_on_cookie=c")->fallback.name,
		STR("c")));
}

static void test_refused(void **state)
{
	static const struct {
		const char *fields, *why;
	} rows[] = {
		{"", "name: there is none"},
		{"name=a algorithm=random", "algorithm: \"random\" is not known"},
		{"name=a hash_on=host", "hash_on: \"host\" is not known"},
		{"name=a hash_fallback=x", "hash_fallback: \"x\" is not known"},
		{"name=a hash_on=header", "hash_on_header: there is none"},
		{"name=a hash_on=ip hash_fallback=header hash_on_header=x",
		 "hash_fallback_header: there is none"},
		{"name=a hash_on=cookie", "hash_on_cookie: there is none"},
		{"name=a slots=%9", "slots: 9 is not within 10 and 65536"},
		{"name=a slots=%65537", "slots: 65537 is not within 10 and 65536"},
		{"name=a healthchecks={threshold:%101}",
		 "healthchecks: threshold: 101 is not within 0 and 100"},
		{"name=a healthchecks={threshold:%-0.5}",
		 "healthchecks: threshold: -0.5 is not within 0 and 100"},
		{"name=a healthchecks={active:{type:udp}}",
		 "healthchecks: active: type: \"udp\" is not known"},
		{"name=a healthchecks={active:{concurrency:%0}}",
		 "healthchecks: active: concurrency: 0 is not within 1 and 2147483648"},
		{"name=a healthchecks={active:{http_path:up}}",
		 "healthchecks: active: http_path: it begins with /"},
		{"name=a healthchecks={active:{timeout:%65536}}",
		 "healthchecks: active: timeout: 65536 is not within 0 and 65535"},
		{"name=a healthchecks={active:{healthy:{successes:%256}}}",
		 "healthchecks: active: healthy: successes: 256 is not within 0 and 255"},
		{"name=a healthchecks={passive:{unhealthy:{http_statuses:[%99]}}}",
		 "healthchecks: passive: unhealthy: http_statuses: 99 is none"},
		{"name=a healthchecks={passive:{healthy:{http_statuses:[%1000]}}}",
		 "healthchecks: passive: healthy: http_statuses: 1000 is none"},
		{"name=a healthchecks={passive:{type:x}}",
		 "healthchecks: passive: type: \"x\" is not known"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++)
		assert_string_equal(entity_bed_refusal(&bed, ENTITIES_UPSTREAM, rows[i].fields),
				    rows[i].why);
}

static void test_by_name(void **state)
{
	(void)state;
	entity_bed_put(&bed, ENTITIES_UPSTREAM, 1, "name=a");
	entity_bed_put(&bed, ENTITIES_UPSTREAM, 2, "name=b");
	assert_int_equal(named("a")->entity.id[0], 1);
	assert_int_equal(named("b")->entity.id[0], 2);
	assert_null(named("A"));
	assert_null(named(""));
	assert_null(named("c"));
	/* They swap their names. */
	tables_begin(bed.tables, false);
	assert_int_equal(entity_bed_stage(&bed, ENTITIES_UPSTREAM, 1, "name=b", NULL), 0);
	assert_int_equal(entity_bed_stage(&bed, ENTITIES_UPSTREAM, 2, "name=a", NULL), 0);
	assert_int_equal(named("a")->entity.id[0], 1);
	entity_bed_commit(&bed);
	assert_int_equal(named("a")->entity.id[0], 2);
	assert_int_equal(named("b")->entity.id[0], 1);
	entity_bed_put(&bed, ENTITIES_UPSTREAM, 1, NULL);
	assert_null(named("b"));
}

static void test_targets(void **state)
{
	static const struct {
		const char *fields, *host;
		uint16_t port;
		unsigned weight;
	} rows[] = {
		{"target=A.example:8000 upstream=#u", "a.example", 8000, 100},
		{"target=10.0.0.1:1 upstream=#u weight=%0", "10.0.0.1", 1, 0},
		{"target='[2001:0DB8::1]:65535 upstream=#u weight=%65535", "2001:0db8::1", 65535,
		 65535},
		{"target=a:0 upstream=#u", "a", 0, 100},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		const struct target *t;

		entity_bed_put(&bed, ENTITIES_TARGET, 1, rows[i].fields);
		assert_int_equal(targets(PARENT)->count, 1);
		t = entity_of(targets(PARENT)->items[0], struct target);
		assert_true(str_eq(t->host, str_from(rows[i].host)));
		assert_int_equal(t->port, rows[i].port);
		assert_int_equal(t->weight, rows[i].weight);
		assert_int_equal(t->upstream[3], PARENT);
	}
	assert_null(targets(OTHER));
	/* It moves, and goes. */
	entity_bed_put(&bed, ENTITIES_TARGET, 1, "target=a:1 upstream=#v created_at=%1.5");
	assert_null(targets(PARENT));
	assert_true(entity_of(targets(OTHER)->items[0], struct target)->created_at == 1.5);
	entity_bed_put(&bed, ENTITIES_TARGET, 1, NULL);
	assert_null(targets(OTHER));
}

static void test_targets_refused(void **state)
{
	static const char port[] = "target: it is host:port";
	static const struct {
		const char *fields, *why;
	} rows[] = {
		{"upstream=#u", port},
		{"target=a upstream=#u", port},
		{"target=a: upstream=#u", port},
		{"target=:80 upstream=#u", port},
		{"target=a:65536 upstream=#u", port},
		{"target=a:-1 upstream=#u", port},
		{"target=a:8x upstream=#u", port},
		{"target='[::1] upstream=#u", port},
		{"upstream=#u target='[::1:80", "target: it has no closing bracket"},
		{"target='[]:80 upstream=#u", "target: it has no closing bracket"},
		{"target=::1:80 upstream=#u", "target: an IPv6 address stands in brackets"},
		{"target=a:80", "upstream: there is none"},
		{"target=a:80 upstream=u", "upstream: there is none"},
		{"target=a:80 upstream=#u weight=%65536",
		 "weight: 65536 is not within 0 and 65535"},
		{"target=a:80 upstream=#u weight=%-1", "weight: -1 is not within 0 and 65535"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++)
		assert_string_equal(entity_bed_refusal(&bed, ENTITIES_TARGET, rows[i].fields),
				    rows[i].why);
}

/* --- many --- */

/* An order that is not that of the numbers. */
static void target_id(unsigned n, unsigned char id[ENTITY_ID_SIZE])
{
	unsigned spread = n * 2654435761U;

	memset(id, 0, ENTITY_ID_SIZE);
	memcpy(id, &spread, sizeof(spread));
	memcpy(id + 4, &n, sizeof(n));
}

static void stage_target(unsigned n, unsigned port, char parent)
{
	unsigned char id[ENTITY_ID_SIZE];
	struct arena memory;
	char text[64];
	struct err e = ERR_INIT;

	arena_init(&memory, 0);
	snprintf(text, sizeof(text), "target=h%u:%u upstream=#%c", n, port, parent);
	target_id(n, id);
	if (entities_put(&bed.tables->entities, &bed.tables->txn, ENTITIES_TARGET, id,
			 fields_of(testentity_record(&memory, text)), str_from(text), &e) < 0)
		fail_msg("%s", e.message);
	arena_deinit(&memory);
}

/* In the order of ids, each once. */
static void check_list(const struct entity_list *l, size_t count)
{
	assert_non_null(l);
	assert_int_equal(l->count, count);
	for (size_t i = 1; i < count; i++)
		if (memcmp(l->items[i - 1]->id, l->items[i]->id, ENTITY_ID_SIZE) >= 0)
			fail_msg("%zu", i);
}

/* A change of one target of 10,000 touches the list of its upstream and no other. */
static void test_many(void **state)
{
	const struct entity_list *first, *other;
	unsigned char culprit[ENTITY_ID_SIZE];
	enum entities_kind kind;
	size_t touched;

	(void)state;
	tables_begin(bed.tables, false);
	for (unsigned n = 0; n < TARGETS; n++)
		stage_target(n, 1, n % 100 == 7 ? OTHER : PARENT);
	entity_bed_commit(&bed);
	first = targets(PARENT);
	other = targets(OTHER);
	check_list(first, TARGETS - TARGETS / 100);
	check_list(other, TARGETS / 100);
	tables_begin(bed.tables, false);
	stage_target(7, 2, OTHER);
	assert_int_equal(
		entities_resolve(&bed.tables->entities, &bed.tables->txn, &kind, culprit, NULL), 0);
	touched = bed.tables->txn.count;
	tables_abort(bed.tables);
	assert_int_equal(touched, 2); /* the target and its list */
	tables_begin(bed.tables, false);
	stage_target(7, 2, OTHER);
	entity_bed_commit(&bed);
	assert_ptr_equal(targets(PARENT), first);
	assert_ptr_not_equal(targets(OTHER), other);
	check_list(targets(OTHER), TARGETS / 100);
	/* Every other one changes, a tenth of them moves. */
	tables_begin(bed.tables, false);
	for (unsigned n = 0; n < TARGETS; n += 2)
		stage_target(n, 3, n % 10 == 0 ? OTHER : PARENT);
	entity_bed_commit(&bed);
	check_list(targets(OTHER), TARGETS / 100 + TARGETS / 10);
	check_list(targets(PARENT), TARGETS - TARGETS / 100 - TARGETS / 10);
	/* A snapshot with one. */
	tables_begin(bed.tables, true);
	stage_target(5, 1, PARENT);
	entity_bed_commit(&bed);
	check_list(targets(PARENT), 1);
	assert_null(targets(OTHER));
	while (tables_reap(bed.tables))
		rcu_barrier();
	assert_int_equal(atomic_load(&bed.tables->entities.index.count), 1);
}

static void change(void *arg)
{
	struct tables_culprit c;
	struct err e = ERR_INIT;
	int rc;

	(void)arg;
	tables_begin(bed.tables, false);
	rc = entity_bed_stage(
		&bed, ENTITIES_UPSTREAM, 1,
		"name=b hash_on=header hash_on_header=x "
		"healthchecks={active:{headers:{a:[b]};healthy:{http_statuses:[%200]}}}",
		&e);
	for (unsigned i = 0; rc == 0 && i < 5; i++)
		rc = entity_bed_stage(&bed, ENTITIES_TARGET, 9 - i, "target=a:1 upstream=#u", &e);
	rc = rc ? rc : entity_bed_stage(&bed, ENTITIES_TARGET, 3, NULL, &e);
	if (rc == 0 && tables_commit(bed.tables, &c, &e) == 0) {
		assert_int_equal(targets(PARENT)->count, 5);
		oom_pause();
		entity_bed_put(&bed, ENTITIES_TARGET, 3, "target=c:1 upstream=#u");
		oom_go_on();
		return;
	}
	assert_int_equal(e.kind, ERR_MEMORY);
	tables_abort(bed.tables);
	assert_int_equal(targets(PARENT)->count, 1);
	assert_null(named("b"));
}

static void test_out_of_memory(void **state)
{
	(void)state;
	entity_bed_put(&bed, ENTITIES_TARGET, 3, "target=c:1 upstream=#u");
	assert_true(oom_each(change, NULL) > 15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
		cmocka_unit_test_setup_teardown(test_everything, setup, teardown),
		cmocka_unit_test_setup_teardown(test_choices, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_by_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_targets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_targets_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_out_of_memory, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
