#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "data-plane/proxy/route_stats.h"

struct fixture {
	struct stats stats;
	struct route_stats_cache cache;
};

static void begin(struct fixture *f, size_t max)
{
	assert_int_equal(stats_init(&f->stats, max, NULL), 0);
	route_stats_init(&f->cache, &f->stats, max);
}

static void end(struct fixture *f)
{
	route_stats_deinit(&f->cache);
	stats_deinit(&f->stats);
}

static void expect(struct fixture *f, const char *line)
{
	struct buf out = BUF_INIT;

	assert_int_equal(metrics_render(f->stats.metrics, &out, NULL), 0);
	if (!strstr(out.data, line))
		fail_msg("missing: %s", line);
	buf_deinit(&out);
}

static struct route_stats *get(struct fixture *f, unsigned char number, const char *name)
{
	unsigned char id[ROUTE_STATS_ID] = {number};

	return route_stats_get(&f->cache, id, str_from(name), id, STR("svc"));
}

static void add(struct fixture *f, struct route_stats *s, unsigned status, bool from_upstream)
{
	const struct route_outcome r = {status, from_upstream,	       10, 20, 3,
					1,	from_upstream ? 2 : -1};

	route_stats_add(&f->cache, s, &r);
}

static void test_counts(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, 10);
	assert_ptr_equal(get(&f, 1, "one"), get(&f, 1, "one"));
	add(&f, get(&f, 1, "one"), 200, true);
	add(&f, get(&f, 1, "one"), 200, true);
	add(&f, get(&f, 1, "one"), 404, false);
	expect(&f, "kong_http_requests_total{service=\"svc\",route=\"one\",code=\"200\",source="
		   "\"service\",workspace=\"default\",consumer=\"\"} 2\n");
	expect(&f, "code=\"404\",source=\"exit\",workspace=\"default\",consumer=\"\"} 1\n");
	expect(&f, "kong_bandwidth_bytes{service=\"svc\",route=\"one\",direction=\"egress\","
		   "workspace=\"default\",consumer=\"\"} 60\n");
	expect(&f, "kong_upstream_latency_ms_count{service=\"svc\",route=\"one\",workspace="
		   "\"default\"} 2\n");
	expect(&f, "kong_request_latency_ms_count{service=\"svc\",route=\"one\",workspace="
		   "\"default\"} 3\n");
	end(&f);
}

static void test_names(void **state)
{
	struct route_stats *old, *new;
	struct fixture f;

	(void)state;
	begin(&f, 10);
	old = get(&f, 1, "one");
	new = get(&f, 1, "renamed");
	assert_ptr_not_equal(old, new);
	assert_string_equal(old->route, "one"); /* who holds it goes on */
	assert_string_equal(new->route, "renamed");
	assert_string_equal(get(&f, 2, "")->route, "02000000-0000-0000-0000-000000000000");
	end(&f);
}

static void test_bounded(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, 2);
	for (unsigned char i = 0; i < 200; i++) {
		struct route_stats *s = get(&f, i, i % 2 ? "odd" : "even");

		add(&f, s, 200, true);
		assert_string_equal(s->route, i > 1 ? "other" : i ? "odd" : "even");
	}
	/* A route that is renamed again and again does not grow either. */
	for (unsigned char i = 0; i < 100; i++)
		assert_string_equal(get(&f, 0, i % 2 ? "x" : "y")->route, "other");
	expect(&f, "kong_http_requests_total{service=\"other\",route=\"other\",code=\"200\",source="
		   "\"service\",workspace=\"default\",consumer=\"\"} 198\n");
	end(&f);
}

static void test_statuses_are_bounded(void **state)
{
	struct fixture f;
	struct buf out = BUF_INIT;
	size_t lines = 0;

	(void)state;
	begin(&f, 2);
	for (unsigned status = 100; status < 600; status++)
		add(&f, get(&f, 1, "one"), status, true);
	assert_int_equal(metrics_render(f.stats.metrics, &out, NULL), 0);
	for (const char *p = out.data; (p = strstr(p, "kong_http_requests_total{")); p++)
		lines++;
	assert_true(lines <= 3 * STATS_ROUTE_CODES + 1);
	buf_deinit(&out);
	end(&f);
}

static void test_off(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, 0);
	assert_null(get(&f, 1, "one"));
	add(&f, NULL, 200, true);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_off),
		cmocka_unit_test(test_statuses_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
