/* Stream routes: rows of routes and connections, and the route that each must get. */
#include "data-plane/tables/stream_match.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "data-plane/tables/plugin.h"
#include "data-plane/tables/tables.h"

enum { ROUTES = 8, ENDS = 4 };

struct end {
	const char *ip; /* NULL: any */
	int port;
};
struct line {
	unsigned protocols;
	const char *sni, *other_sni;
	struct end sources[ENDS], destinations[ENDS];
	int64_t created_at;
};
struct ask {
	unsigned protocols;
	const char *sni, *from, *to;
	int want;
};

static int ends(const struct end *in, struct route_endpoint *out)
{
	int n = 0;

	while (n < ENDS && (in[n].ip || in[n].port)) {
		assert_int_equal(
			route_endpoint_parse(&out[n], str_from(in[n].ip), in[n].port, NULL), 0);
		n++;
	}
	return n;
}

static void put(struct tables *t, int id, const struct line *l)
{
	struct route_endpoint sources[ENDS], destinations[ENDS];
	const struct str snis[2] = {str_from(l->sni), str_from(l->other_sni)};
	const struct route_source s = {
		.stream = true,
		.created_at = l->created_at,
		.action = {.protocols = l->protocols},
		.snis = {snis, (size_t) !!l->sni + (size_t) !!l->other_sni},
		.sources = {sources, (size_t)ends(l->sources, sources)},
		.destinations = {destinations, (size_t)ends(l->destinations, destinations)},
		.payload = {(const char *)l, sizeof(*l)},
	};
	unsigned char key[ROUTE_ID_SIZE] = {(unsigned char)id};
	struct err e = ERR_INIT;

	if (routes_put(&t->routes, &t->txn, key, &s, &e) != 0)
		fail_msg("%s", e.message);
}

static void commit(struct tables *t)
{
	struct tables_culprit c;

	assert_int_equal(tables_commit(t, &c, NULL), 0);
}

static int match(struct tables *t, const struct ask *a)
{
	struct addr from, to;
	const struct stream_request q = {a->protocols, &from, &to, str_from(a->sni)};
	const struct route *r;
	int id;

	assert_int_equal(addr_parse(&from, str_from(a->from ? a->from : "10.9.9.9:1"), NULL), 0);
	assert_int_equal(addr_parse(&to, str_from(a->to ? a->to : "10.8.8.8:9000"), NULL), 0);
	r = stream_match(&t->routes, tables_enter(t), &q);
	id = r ? r->id[0] : -1;
	rcu_leave();
	return id;
}

#define TCP PROTOCOL_TCP
#define TLS PROTOCOL_TLS
#define PASS PROTOCOL_TLS_PASSTHROUGH

static const struct {
	struct line routes[ROUTES];
	struct ask asks[12];
} sets[] = {
	{
		/* by name */
		{{TLS, .sni = "a.com"},
		 {PASS, .sni = "b.com"},
		 {TLS, .sni = "A.com"},
		 {PASS, .sni = "a.com", .other_sni = "c.com"}},
		{
			{TLS, .sni = "a.com", .want = 0},
			{TLS, .sni = "b.com", .want = -1},
			{PASS, .sni = "b.com", .want = 1},
			{PASS, .sni = "c.com", .want = 3},
			{PASS, .sni = "a.com", .want = 3},
			{PASS | TLS, .sni = "a.com", .want = 0},
			{TLS, .sni = "www.a.com", .want = -1},
			{TLS, .sni = NULL, .want = -1},
			{TCP, .sni = "a.com", .want = -1},
		},
	},
	{
		/* by addresses */
		{{TCP, .sources = {{"10.0.0.0/8", 0}}},
		 {TCP, .destinations = {{NULL, 9001}, {"10.8.8.8", 9002}}},
		 {TCP, .sources = {{"10.1.0.0/16", 0}}, .destinations = {{NULL, 9001}}},
		 {TCP, .sources = {{"2001:db8::/32", 0}}},
		 {TCP, .sources = {{"10.0.0.9", 777}}, .destinations = {{"10.0.0.1/32", 0}}}},
		{
			{TCP, .from = "10.2.3.4:5", .want = 0},
			{TCP, .from = "11.2.3.4:5", .want = -1},
			{TCP, .from = "11.2.3.4:5", .to = "1.1.1.1:9001", .want = 1},
			{TCP, .from = "11.2.3.4:5", .to = "1.1.1.1:9002", .want = -1},
			{TCP, .from = "11.2.3.4:5", .to = "10.8.8.8:9002", .want = 1},
			{TCP, .from = "10.2.3.4:5", .to = "1.1.1.1:9001", .want = 0},
			{TCP, .from = "10.1.3.4:5", .to = "1.1.1.1:9001", .want = 2},
			{TCP, .from = "[2001:db8:1::1]:5", .to = "[::1]:1", .want = 3},
			{TCP, .from = "[2001:db9::1]:5", .to = "[::1]:1", .want = -1},
			{TCP, .from = "10.0.0.9:777", .to = "10.0.0.1:1", .want = 4},
			{TCP, .from = "10.0.0.9:778", .to = "10.0.0.1:1", .want = 0},
		},
	},
	{
		/* more constraints, then the name, then the older */
		{{TLS, .sni = "a.com", .created_at = 1},
		 {TLS, .sources = {{"10.0.0.0/8", 0}}, .created_at = 1},
		 {TLS, .sni = "a.com", .destinations = {{NULL, 9000}}, .created_at = 5},
		 {TLS, .sources = {{"10.0.0.0/8", 0}}, .destinations = {{NULL, 9000}}},
		 {TLS, .sni = "a.com", .destinations = {{NULL, 9000}}, .created_at = 4},
		 {TLS, .destinations = {{NULL, 9001}}}},
		{
			{TLS, .sni = "a.com", .want = 4},
			{TLS, .sni = "a.com", .to = "1.1.1.1:1", .want = 0},
			{TLS, .sni = "b.com", .want = 3},
			{TLS, .sni = "b.com", .to = "1.1.1.1:1", .want = 1},
			{TLS, .from = "11.0.0.1:1", .sni = "b.com", .to = "1.1.1.1:9001",
			 .want = 5},
			{TLS, .sni = "a.com", .to = "1.1.1.1:9001", .want = 0},
		},
	},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(sets); i++) {
		struct tables *t;

		assert_int_equal(tables_create(&t, NULL, NULL), 0);
		tables_begin(t, false);
		for (int n = 0; n < ROUTES && sets[i].routes[n].protocols; n++)
			put(t, n, &sets[i].routes[n]);
		commit(t);
		for (size_t n = 0; n < array_len(sets[i].asks) && sets[i].asks[n].protocols; n++)
			if (match(t, &sets[i].asks[n]) != sets[i].asks[n].want)
				fail_msg("set %zu, row %zu: got %d", i, n,
					 match(t, &sets[i].asks[n]));
		tables_free(t);
	}
}

/* A route that changes or goes leaves nothing behind. */
static void test_changes(void **state)
{
	const struct line first = {TLS, .sni = "a.com", .other_sni = "a.com"};
	const struct line then = {TCP, .destinations = {{NULL, 9000}}};
	struct tables *t;

	(void)state;
	assert_int_equal(tables_create(&t, NULL, NULL), 0);
	tables_begin(t, false);
	put(t, 1, &first);
	commit(t);
	assert_int_equal(match(t, &(struct ask){TLS, .sni = "a.com"}), 1);
	tables_begin(t, false);
	put(t, 1, &then);
	commit(t);
	assert_int_equal(match(t, &(struct ask){TLS, .sni = "a.com"}), -1);
	assert_int_equal(match(t, &(struct ask){.protocols = TCP}), 1);
	tables_begin(t, true);
	commit(t);
	assert_int_equal(match(t, &(struct ask){.protocols = TCP}), -1);
	tables_free(t);
}

static void test_bad_endpoints(void **state)
{
	static const struct {
		const char *ip;
		int64_t port;
	} rows[] = {
		{NULL, 0},	    {"", 0},	      {"a.com", 1},  {"10.0.0", 1},
		{"10.0.0.0/33", 0}, {"10.0.0.0/", 0}, {"::/129", 0}, {"10.0.0.0/-1", 0},
		{"/8", 0},	    {"10.0.0.1", -1}, {NULL, 65536}, {"10.0.0.1:80", 0},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct route_endpoint out;
		struct err e = ERR_INIT;

		assert_int_equal(route_endpoint_parse(&out, str_from(rows[i].ip), rows[i].port, &e),
				 -1);
		assert_int_equal(e.kind, ERR_INVALID);
	}
}

static void test_constrains_nothing(void **state)
{
	const struct route_source s = {.stream = true, .action = {.protocols = TCP}};
	const unsigned char id[ROUTE_ID_SIZE] = {1};
	struct err e = ERR_INIT;
	struct route *r;

	(void)state;
	assert_int_equal(route_make(&r, id, &s, &e), -1);
	assert_int_equal(e.kind, ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_bad_endpoints),
		cmocka_unit_test(test_constrains_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
