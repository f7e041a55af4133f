/* tables/routes, route and route_match: which route a request gets, against written rows and
 * against a slow model; and what changes of routes leave behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "data-plane/tables/tables.h"
#include "tests/unit/lib/oom.h"
#include "tests/unit/lib/route_text.h"

enum { ROUTES_MAX = 12 };

static struct tables *t;
static struct route_matcher *matcher;
static struct arena memory;

static int setup(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	arena_init(&memory, 0);
	matcher = route_matcher_create();
	return matcher ? tables_create(&t, NULL, &e) : -1;
}

static int teardown(void **state)
{
	(void)state;
	tables_free(t);
	route_matcher_free(matcher);
	arena_deinit(&memory);
	return 0;
}

static void id_of(size_t n, unsigned char id[ROUTE_ID_SIZE])
{
	memset(id, 0, ROUTE_ID_SIZE);
	memcpy(id, &n, sizeof(n));
}

static void put_source(size_t n, const struct route_source *s)
{
	unsigned char id[ROUTE_ID_SIZE];
	struct err e = ERR_INIT;

	id_of(n, id);
	if (routes_put(&t->routes, &t->txn, id, s, &e) < 0)
		fail_msg("route %zu: %s", n, e.message);
}

static void put(size_t n, const char *text)
{
	struct route_source s = route_text(&memory, text);

	put_source(n, &s);
}

static void drop(size_t n)
{
	unsigned char id[ROUTE_ID_SIZE];

	id_of(n, id);
	assert_int_equal(routes_remove(&t->routes, &t->txn, id, NULL), 0);
}

static void commit(void)
{
	struct tables_culprit c;
	struct err e = ERR_INIT;

	if (tables_commit(t, &c, &e) < 0)
		fail_msg("%s", e.message);
}

/* The number of the route, -1: none. *matched as the match has it. */
static long find(const struct route_request *q, struct str *matched)
{
	uint64_t generation = tables_enter(t);
	struct route_match m = {.route = NULL};
	size_t n = 0;
	bool found = routes_match(&t->routes, generation, matcher, q, &m);

	if (found)
		memcpy(&n, m.route->id, sizeof(n));
	if (matched)
		*matched = m.matched;
	rcu_leave();
	return found ? (long)n : -1;
}

static long ask(const char *request)
{
	struct route_request q = request_text(&memory, request);

	return find(&q, NULL);
}

#include "tests/unit/data-plane/route_rows.h"
#include "tests/unit/data-plane/route_rows_spelling.h"

/* 1 when the row does not hold. */
static size_t check_row(const struct set *set, const struct row *r,
			const struct route_source *sources, size_t n)
{
	struct route_request q = request_text(&memory, r->request);
	struct buf path = BUF_INIT;
	struct str matched;
	long got = find(&q, &matched);
	int model = route_model(sources, n, &q);
	bool right = got == r->want && model == r->want;

	if (right && got >= 0) {
		struct upstream_path_rule rule = rule_text(set->routes[got]);

		assert_int_equal(upstream_path(&path, &rule, q.path, matched, NULL), 0);
		right = str_eq(buf_str(&path), str_from(r->path));
	}
	if (!right)
		print_error("%s: %s: route %ld (model %d) %s, not %d %s\n", set->name, r->request,
			    got, model, path.data ? path.data : "", r->want,
			    r->path ? r->path : "");
	buf_deinit(&path);
	return !right;
}

struct tally {
	size_t bad, rows, with_path;
};

static void check_set(const struct set *set, struct tally *tally)
{
	struct route_source sources[ROUTES_MAX];
	size_t n = 0;

	tables_begin(t, true);
	for (; n < ROUTES_MAX && set->routes[n]; n++) {
		sources[n] = route_text(&memory, set->routes[n]);
		if (!sources[n].created_at)
			sources[n].created_at = (int64_t)n + 1;
		put_source(n, &sources[n]);
	}
	commit();
	for (const struct row *r = set->rows; r->request; r++) {
		tally->rows++;
		tally->with_path += r->path != NULL;
		tally->bad += check_row(set, r, sources, n);
	}
}

static void test_rows(void **state)
{
	struct tally tally = {0, 0, 0};

	(void)state;
	for (size_t i = 0; i < array_len(sets); i++)
		check_set(&sets[i], &tally);
	for (size_t i = 0; i < array_len(spellings); i++)
		check_set(&spellings[i], &tally);
	assert_int_equal(tally.bad, 0);
	assert_true(tally.rows >= 400);
	assert_true(tally.with_path >= 300);
}

/* --- against the model --- */

static uint64_t seed = 88172645463325252ULL;

static size_t chance(size_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (size_t)(seed % n);
}

static const char *const hosts[] = {"a.com", "b.a.com",	   "*.a.com",	   "*.com", "b.*",
				    "a.*",   "a.com:8443", "*.a.com:8443", "c.org"};
static const char *const paths[] = {"/",	"/a",	    "/a/b",  "/a/b/c", "/b",	   "~/a",
				    "~/a/[bc]", "~/(a|b)/", "~/b+$", "~/a|/b", "~/a/b/\\w"};
static const char *const methods[] = {"GET", "POST", "PUT"};
static const char *const headers[] = {"x-a:1", "x-a:1|2", "x-b:~*^v", "x-b:v1;x-a:2"};
static const char *const snis[] = {"a.com", "s.com"};
static const char *const asked_hosts[] = {"//a.com",	  "//b.a.com", "//c.a.com",	 "//b.org",
					  "//a.com:8443", "//x.com",   "//b.a.com:8443", "",
					  "//c.org:80"};
static const char *const asked_paths[] = {"/",	"/a",  "/a/b", "/a/b/c", "/a/c/d",
					  "/b", "/bb", "/bbc", "/c"};
static const char *const asked_headers[] = {"", " x-a: 1", " x-a: 2; x-b: v1", " x-b: V2",
					    " x-c: 1"};

/* "name=one,two" of the choices, or nothing. */
static size_t some(char *out, size_t size, const char *name, const char *const *of, size_t n,
		   size_t max)
{
	size_t len, count = chance(max + 1);

	if (count == 0)
		return 0;
	len = (size_t)snprintf(out, size, " %s=%s", name, of[chance(n)]);
	while (--count > 0)
		len += (size_t)snprintf(out + len, size - len, ",%s", of[chance(n)]);
	return len;
}

static struct route_source random_route(size_t n)
{
	char text[256] = "";
	struct route_source s;
	size_t len;

	do {
		len = some(text, sizeof(text), "hosts", hosts, array_len(hosts), 2);
		len += some(text + len, sizeof(text) - len, "paths", paths, array_len(paths), 2);
		len += some(text + len, sizeof(text) - len, "methods", methods, array_len(methods),
			    1);
		len += some(text + len, sizeof(text) - len, "headers", headers, array_len(headers),
			    chance(3) == 0);
		len += some(text + len, sizeof(text) - len, "snis", snis, array_len(snis),
			    chance(3) == 0);
	} while (len == 0);
	snprintf(text + len, sizeof(text) - len, " prio=%zu at=%zu", chance(2), n + 1);
	s = route_text(&memory, arena_str(&memory, str_from(text + 1)).ptr);
	return s;
}

static struct route_request random_request(void)
{
	char text[256];

	snprintf(text, sizeof(text), "%s %s:%s%s%s%s", methods[chance(3)],
		 chance(2) ? "https" : "http", asked_hosts[chance(array_len(asked_hosts))],
		 asked_paths[chance(array_len(asked_paths))], chance(2) ? "?sni=a.com" : "",
		 asked_headers[chance(array_len(asked_headers))]);
	return request_text(&memory, arena_str(&memory, str_from(text)).ptr);
}

static void compare_with_model(const struct route_source *sources, size_t n)
{
	for (int i = 0; i < 40; i++) {
		struct route_request q = random_request();
		long got = find(&q, NULL);
		int want = route_model(sources, n, &q);

		if (got == want)
			continue;
		for (size_t k = 0; k < n; k++)
			print_error("%zu %s\n", k, sources[k].payload.ptr);
		fail_msg("%.*s %s %.*s %.*s sni %.*s: route %ld, model %d", (int)q.method.len,
			 q.method.ptr, q.tls ? "https" : "http", (int)q.host.len,
			 q.host.ptr ? q.host.ptr : "", (int)q.path.len, q.path.ptr, (int)q.sni.len,
			 q.sni.ptr ? q.sni.ptr : "", got, want);
	}
}

/* Deltas upon deltas: what is left of old routes must not show. */
static void test_model(void **state)
{
	(void)state;
	for (int round = 0; round < 300; round++) {
		struct route_source sources[ROUTES_MAX];
		size_t n = 1 + chance(ROUTES_MAX);

		tables_begin(t, round % 7 == 0);
		for (size_t i = 0; i < ROUTES_MAX; i++) {
			if (i < n) {
				sources[i] = random_route(i);
				put_source(i, &sources[i]);
			} else if (round % 7) {
				drop(i);
			}
		}
		commit();
		compare_with_model(sources, n);
		arena_reset(&memory);
	}
}

/* --- changes --- */

static void test_removal_leaves_nothing(void **state)
{
	(void)state;
	tables_begin(t, false);
	put(1, "hosts=a.com,*.b.com paths=/x,~/y methods=GET headers=x-a:1 snis=s");
	put(2, "hosts=a.com paths=/x");
	commit();
	assert_int_equal(ask("GET http://a.com/x"), 2);
	tables_begin(t, false);
	drop(1);
	drop(2);
	commit();
	assert_int_equal(ask("GET http://a.com/x"), -1);
	assert_int_equal(atomic_load(&t->routes.lists.count), 0);
	assert_int_equal(atomic_load(&t->routes.lengths.count), 0);
	assert_int_equal(atomic_load(&t->routes.counts.count), 0);
}

static void test_abort(void **state)
{
	(void)state;
	tables_begin(t, false);
	put(1, "hosts=a.com");
	commit();
	tables_begin(t, false);
	put(1, "hosts=b.com");
	put(2, "paths=/");
	tables_abort(t);
	assert_int_equal(ask("GET http://a.com/x"), 1);
	assert_int_equal(ask("GET http://b.com/x"), -1);
}

static void test_snapshot_keeps_what_is_equal(void **state)
{
	const struct route *before, *after;
	unsigned char id[ROUTE_ID_SIZE];

	(void)state;
	id_of(1, id);
	tables_begin(t, false);
	put(1, "hosts=a.com");
	put(2, "hosts=b.com");
	commit();
	before = (const void *)vmap_current(
		vmap_find(&t->routes.routes, (struct str){(char *)id, sizeof(id)}));
	tables_begin(t, true);
	put(1, "hosts=a.com");
	commit();
	after = (const void *)vmap_current(
		vmap_find(&t->routes.routes, (struct str){(char *)id, sizeof(id)}));
	assert_ptr_equal(before, after);
	assert_int_equal(ask("GET http://b.com/"), -1);
}

static void test_refused(void **state)
{
	static const struct {
		const char *route, *why;
	} rows[] = {
		{"at=1", "a route must constrain something"},
		{"paths=x", "paths: a path begins with / or ~/"},
		{"paths=~x", "paths: a path begins with / or ~/"},
		{"paths=/a,~/(", "paths: invalid regex: missing closing parenthesis at offset 2"},
		{"headers=x-a:~*[", "headers: invalid regex: missing terminating ] for character "
				    "class at offset 1"},
		{"hosts=a.com,", "hosts: text of 0 bytes: 1 to 2048 are allowed"},
		{"methods=,GET", "methods: text of 0 bytes: 1 to 2048 are allowed"},
		{"snis=a,", "snis: text of 0 bytes: 1 to 2048 are allowed"},
		{"headers=:1", "headers: text of 0 bytes: 1 to 2048 are allowed"},
	};
	unsigned char id[ROUTE_ID_SIZE] = {1};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct route_source s = route_text(&memory, rows[i].route);
		struct err e = ERR_INIT;

		tables_begin(t, false);
		assert_int_equal(routes_put(&t->routes, &t->txn, id, &s, &e), -1);
		assert_int_equal(e.kind, ERR_INVALID);
		assert_string_equal(e.message, rows[i].why);
	}
	tables_abort(t);
}

static void test_too_long(void **state)
{
	static char text[ROUTE_TEXT_MAX + 1];
	struct str one = {text, sizeof(text)};
	struct str *many = calloc(ROUTE_VALUES_MAX + 1, sizeof(*many));
	unsigned char id[ROUTE_ID_SIZE] = {1};
	struct err e = ERR_INIT;

	(void)state;
	memset(text, 'a', sizeof(text));
	for (size_t i = 0; i <= ROUTE_VALUES_MAX; i++)
		many[i] = STR("/a");
	tables_begin(t, false);
	assert_int_equal(
		routes_put(&t->routes, &t->txn, id, &(struct route_source){.hosts = {&one, 1}}, &e),
		-1);
	assert_int_equal(routes_put(&t->routes, &t->txn, id,
				    &(struct route_source){.paths = {many, ROUTE_VALUES_MAX + 1}},
				    &e),
			 -1);
	assert_int_equal(routes_put(&t->routes, &t->txn, id,
				    &(struct route_source){.snis = {many, ROUTE_VALUES_MAX + 1}},
				    &e),
			 -1);
	tables_abort(t);
	free(many);
}

/* An expression that would take for ever does not match, and others are still tried. */
static void test_regex_limit(void **state)
{
	(void)state;
	tables_begin(t, false);
	put(1, "paths=~/(a+)+$");
	put(2, "paths=/a");
	commit();
	assert_int_equal(ask("GET http:/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"),
			 2);
	assert_int_equal(ask("GET http:/aaa"), 1);
}

/* Everything of one revision, with some allocation failing: all of it or nothing is there. */
static void change_routes(void *arg)
{
	struct route_source s = route_text(
		&memory, "hosts=a.com,*.b.com paths=/x,~/y headers=x-a:~*1 methods=GET snis=s");
	struct tables_culprit culprit;
	unsigned char id[ROUTE_ID_SIZE];
	struct err e = ERR_INIT;

	(void)arg;
	id_of(7, id);
	tables_begin(t, true);
	if (routes_put(&t->routes, &t->txn, id, &s, &e) < 0 || tables_commit(t, &culprit, &e) < 0) {
		assert_int_equal(e.kind, ERR_MEMORY);
		tables_abort(t);
		assert_int_equal(ask("GET http:/z"), 1);
		return;
	}
	assert_int_equal(ask("GET http:/z"), -1);
}

static void test_no_memory(void **state)
{
	(void)state;
	tables_begin(t, true);
	put(1, "paths=/z");
	commit();
	assert_true(oom_each(change_routes, NULL) > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rows, setup, teardown),
		cmocka_unit_test_setup_teardown(test_model, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removal_leaves_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_abort, setup, teardown),
		cmocka_unit_test_setup_teardown(test_snapshot_keeps_what_is_equal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_long, setup, teardown),
		cmocka_unit_test_setup_teardown(test_regex_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
