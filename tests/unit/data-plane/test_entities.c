/* tables/entities, and what apply makes of the stream's generic entities: held by kind and id,
 * routes in the router's index. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "data-plane/sync/apply.h"
#include "data-plane/sync/decode.h"
#include "data-plane/tables/plugin.h"
#include "data-plane/tables/route_match.h"
#include "data-plane/tables/tables.h"
#include "tests/unit/lib/testchange.h"
#include "tests/unit/lib/testentity.h"

static struct tables *tables;
static struct apply *apply;
static uint64_t revision;

static int setup(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	revision = 0;
	assert_int_equal(tables_create(&tables, NULL, &e), 0);
	apply = apply_create(tables, NULL);
	return apply ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	apply_free(apply);
	tables_free(tables);
	return 0;
}

static void begin(void)
{
	assert_int_equal(apply_begin_snapshot(apply, STR("e"), 0, NULL), 0);
}

static int stage_bytes(struct buf *b, struct err *e)
{
	struct plane_message m;
	int rc = plane_change_decode(&m, buf_str(b), e);

	if (rc == 0) {
		rc = apply_change(apply, &m.change, e);
		plane_message_free(&m);
	}
	buf_deinit(b);
	return rc;
}

static int stage(unsigned id, const char *kind, const char *fields, struct err *e)
{
	struct buf b = BUF_INIT;

	testentity_change(&b, id, kind, fields);
	return stage_bytes(&b, e);
}

static void put(unsigned id, const char *kind, const char *fields)
{
	struct err e = ERR_INIT;

	if (stage(id, kind, fields, &e) < 0)
		fail_msg("%s %u: %s", kind, id, e.message);
}

static void drop(unsigned id, const char *kind)
{
	struct err e = ERR_INIT;
	struct buf b = BUF_INIT;

	testchange_removed(&b, id, kind);
	if (stage_bytes(&b, &e) < 0)
		fail_msg("%s", e.message);
}

static void commit(void)
{
	struct err e = ERR_INIT;

	if (apply_commit(apply, STR("e"), ++revision, NULL, &e) < 0)
		fail_msg("%s", e.message);
}

static const struct entity *held(enum entities_kind kind, unsigned id)
{
	unsigned char bytes[ENTITY_ID_SIZE];
	uint64_t generation = tables_enter(tables);
	const struct entity *b;

	memset(bytes, (int)id, sizeof(bytes));
	b = entities_find(&tables->entities, generation, kind, bytes);
	rcu_leave();
	return b;
}

/* Until the next change; NULL: none. */
static const struct route *matched(const char *host, const char *path)
{
	struct route_matcher *m = route_matcher_create();
	struct route_request q = {
		.method = STR("GET"), .path = str_from(path), .host = str_from(host)};
	struct http_field field = {STR("x-a"), STR("1")};
	struct http_fields fields = {&field, 1, 1};
	struct route_match found;
	bool ok;

	q.fields = &fields;
	assert_non_null(m);
	ok = routes_match(&tables->routes, tables_enter(tables), m, &q, &found);
	rcu_leave();
	route_matcher_free(m);
	return ok ? found.route : NULL;
}

static bool matches(const char *host, const char *path)
{
	return matched(host, path) != NULL;
}

static void test_kinds(void **state)
{
	static const struct {
		const char *name, *one, *two, *other;
		enum entities_kind kind;
	} rows[] = {
		{"services", "host=one", "host=two", "host=other", ENTITIES_SERVICE},
		{"upstreams", "name=one", "name=two", "name=other", ENTITIES_UPSTREAM},
		{"targets", "target=a:1 upstream=#u", "target=a:2 upstream=#u",
		 "target=b:2 upstream=#u", ENTITIES_TARGET},
		{"consumers", "username=one", "username=two", "username=other", ENTITIES_CONSUMER},
		{"plugins", "name=one", "name=two", "name=other", ENTITIES_PLUGIN},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		const struct entity *first;

		begin();
		put(1, rows[i].name, rows[i].one);
		put(2, rows[i].name, rows[i].two);
		commit();
		first = held(rows[i].kind, 1);
		assert_non_null(first);
		put(1, rows[i].name, rows[i].one); /* the same bytes */
		put(2, rows[i].name, rows[i].other);
		commit();
		assert_ptr_equal(held(rows[i].kind, 1), first);
		drop(2, rows[i].name);
		drop(3, rows[i].name);
		commit();
		assert_null(held(rows[i].kind, 2));
		begin(); /* a snapshot without it */
		commit();
		assert_null(held(rows[i].kind, 1));
		assert_int_equal(atomic_load(&tables->entities.kinds[rows[i].kind].count), 0);
	}
}

static void test_routes(void **state)
{
	(void)state;
	begin();
	put(1, "routes", "protocols=[http,https] hosts=[a.com] paths=[/a,~/r/[0-9]+]");
	put(2, "routes", "protocols=[tls_passthrough] snis=[b.com]");
	put(3, "routes", "protocols=[tcp] sources=[{ip:10.0.0.1}]");
	put(4, "routes", "protocols=[http] hosts=[c.com] headers={x-a:[1,2]}");
	put(5, "routes", "protocols=[http] hosts=[d.com] headers={x-a:[2]}");
	commit();
	assert_true(matches("a.com", "/a"));
	assert_true(matches("a.com", "/r/1"));
	assert_false(matches("a.com", "/b"));
	assert_false(matches("b.com", "/"));
	assert_true(matches("c.com", "/"));
	assert_false(matches("d.com", "/"));
	put(1, "routes", "protocols=[http,https] hosts=[a.com] paths=[/b]");
	commit();
	assert_false(matches("a.com", "/a"));
	assert_true(matches("a.com", "/b"));
	drop(1, "routes");
	commit();
	assert_false(matches("a.com", "/b"));
}

static void test_actions(void **state)
{
	static const struct {
		const char *fields;
		struct route_action want;
	} rows[] = {
		{"hosts=[a.com]",
		 {PROTOCOL_HTTP | PROTOCOL_HTTPS, 426, true, false, false, true, true, NULL,
		  STR_NONE}},
		{"hosts=[a.com] protocols=[https] name=One service=#s strip_path=!no "
		 "preserve_host=! path_handling=v1 https_redirect_status_code=%308 "
		 "request_buffering=!no response_buffering=!no",
		 {PROTOCOL_HTTPS,
		  308,
		  false,
		  true,
		  true,
		  false,
		  false,
		  (const unsigned char *)"ssssssssssssssss",
		  {"One", 3}}},
		{"hosts=[a.com] protocols=[grpc,grpcs] path_handling=v0",
		 {PROTOCOL_GRPC | PROTOCOL_GRPCS, 426, false, false, false, true, true, NULL,
		  STR_NONE}},
		{"hosts=[a.com] protocols=[http] strip_path=! response_buffering=!no "
		 "https_redirect_status_code=%301",
		 {PROTOCOL_HTTP, 301, true, false, false, true, false, NULL, STR_NONE}},
	};

	(void)state;
	begin();
	commit();
	for (size_t i = 0; i < array_len(rows); i++) {
		const struct route_action *got, *want = &rows[i].want;

		put(1, "routes", rows[i].fields);
		commit();
		got = &matched("a.com", "/")->action;
		assert_int_equal(got->protocols, want->protocols);
		assert_int_equal(got->redirect_status, want->redirect_status);
		assert_int_equal(got->strip_path, want->strip_path);
		assert_int_equal(got->preserve_host, want->preserve_host);
		assert_int_equal(got->path_v1, want->path_v1);
		assert_int_equal(got->request_buffering, want->request_buffering);
		assert_int_equal(got->response_buffering, want->response_buffering);
		assert_true(str_eq(got->name, want->name));
		assert_int_equal(got->service == NULL, want->service == NULL);
		if (got->service)
			assert_memory_equal(got->service, want->service, ENTITY_ID_SIZE);
	}
}

/* What is no time makes a route as old as can be. */
static void test_times(void **state)
{
	static const struct {
		const char *fields;
		int64_t want;
	} rows[] = {
		{"hosts=[a.com]", 0},
		{"hosts=[a.com] created_at=%1700000000", 1700000000},
		{"hosts=[a.com] created_at=%1.9", 1},
		{"hosts=[a.com] created_at=%1.0e252", 0},
		{"hosts=[a.com] created_at=%-1.0", 0},
		{"hosts=[a.com] created_at=%1.0e999", 0}, /* infinite */
		{"hosts=[a.com] created_at=text", 0},
	};

	(void)state;
	begin();
	commit();
	for (size_t i = 0; i < array_len(rows); i++) {
		put(1, "routes", rows[i].fields);
		commit();
		assert_true(matched("a.com", "/")->created_at == rows[i].want);
	}
}

/* A revision names what it does not bring along: it is applied, and finds nothing there. */
static void test_dangling(void **state)
{
	const struct route *r;

	(void)state;
	begin();
	put(1, "routes", "hosts=[a.com] service=#s");
	put(2, "targets", "target=a:1 upstream=#u");
	put(3, "plugins", "name=x route=#r service=#s consumer=#c");
	put(4, "services", "host=a client_certificate=#c ca_certificates=[#a]");
	commit();
	r = matched("a.com", "/");
	assert_null(entities_find(&tables->entities, tables_enter(tables), ENTITIES_SERVICE,
				  r->action.service));
	rcu_leave();
}

static void test_refused(void **state)
{
	static const struct {
		const char *kind, *fields, *why;
	} rows[] = {
		{"routes", "protocols=[http]", "routes: a route must constrain something"},
		{"routes", "protocols=[tcp]", "routes: a route must constrain something"},
		{"routes", "protocols=[http] paths=[~/(]",
		 "routes: paths: invalid regex: missing closing parenthesis at offset 2"},
		{"routes", "protocols=[http] paths=[x]",
		 "routes: paths: a path begins with / or ~/"},
		{"routes", "paths=[/a] protocols=[gopher]",
		 "routes: protocols: \"gopher\" is not known"},
		{"routes", "paths=[/a] https_redirect_status_code=%303",
		 "routes: https_redirect_status_code: 303 is none"},
		{"services", "port=%1", "services: host: there is none"},
		{"targets", "target=a:1", "targets: upstream: there is none"},
		{"vaults", "name=a",
		 "change of 01010101-0101-0101-0101-010101010101: entity of unknown kind "
		 "\"vaults\""},
		{"snis", "name=a",
		 "change of 01010101-0101-0101-0101-010101010101: entity of unknown kind "
		 "\"snis\""},
		{"services", "=a",
		 "change of 01010101-0101-0101-0101-010101010101: a field without a name"},
		{"services", "ca=#short",
		 "change of 01010101-0101-0101-0101-010101010101: ca: an id of 5 bytes, must have "
		 "16"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct err e = ERR_INIT;

		begin();
		assert_int_equal(stage(1, rows[i].kind, rows[i].fields, &e), -1);
		assert_string_equal(e.message, rows[i].why);
		apply_rollback(apply);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_kinds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_routes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_actions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_times, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dangling, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
