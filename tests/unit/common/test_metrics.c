#include "common/metrics/metrics.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/lib/oom.h"

static void expect(struct metrics *m, const char *want)
{
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;

	assert_int_equal(metrics_render(m, &out, &e), 0);
	assert_string_equal(out.data ? out.data : "", want);
	buf_deinit(&out);
}

static void test_empty(void **state)
{
	struct metrics *m = metrics_create();

	(void)state;
	expect(m, "");
	metrics_free(m);
	metrics_free(NULL);
}

static void test_counter(void **state)
{
	static const char *const labels[] = {"method", "code", NULL};
	const char *const get[] = {"GET", "200"}, *const put[] = {"PUT", "404"};
	struct metrics *m = metrics_create();
	struct metric_family *f =
		metrics_family(m, METRIC_COUNTER, "requests_total", "Requests.", labels, NULL, 0);
	struct metric_series *s = metrics_series(f, get);

	(void)state;
	metric_add(s, 1);
	metric_add(s, 41);
	assert_ptr_equal(metrics_series(f, get), s);
	assert_ptr_not_equal(metrics_series(f, put), s);
	assert_true(metric_value(s) == 42.0);
	assert_ptr_equal(
		metrics_family(m, METRIC_COUNTER, "requests_total", "Requests.", labels, NULL, 0),
		f);
	expect(m, "# HELP requests_total Requests.\n# TYPE requests_total counter\n"
		  "requests_total{method=\"GET\",code=\"200\"} 42\n"
		  "requests_total{method=\"PUT\",code=\"404\"} 0\n");
	metrics_free(m);
}

static void test_gauge_numbers(void **state)
{
	static const struct {
		double value;
		const char *want;
	} rows[] = {
		{0, "0"},
		{1, "1"},
		{-2.5, "-2.5"},
		{0.1, "0.1"},
		{1.0 / 3, "0.33333333333333331"},
		{1790000000.25, "1790000000.25"},
		{1e300, "1e+300"},
		{INFINITY, "+Inf"},
		{-INFINITY, "-Inf"},
		{NAN, "NaN"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct metrics *m = metrics_create();
		struct metric_family *f =
			metrics_family(m, METRIC_GAUGE, "g", "A gauge.", NULL, NULL, 0);
		char want[128];

		metric_set(metrics_series(f, NULL), rows[i].value);
		(void)snprintf(want, sizeof(want), "# HELP g A gauge.\n# TYPE g gauge\ng %s\n",
			       rows[i].want);
		expect(m, want);
		metrics_free(m);
	}
}

static void test_escaping(void **state)
{
	static const char *const labels[] = {"host", NULL};
	static const struct {
		const char *value, *want;
	} rows[] = {
		{"", ""},
		{"plain", "plain"},
		{"a\"b", "a\\\"b"},
		{"a\\b", "a\\\\b"},
		{"a\nb", "a\\nb"},
		{"a} 1\nevil 2", "a} 1\\nevil 2"},
		{"b\xC3\xBC", "b\xC3\xBC"},
		{"\xE2\x82\xAC", "\xE2\x82\xAC"},
		{"\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80"},
		{"\xFF", "?"},
		{"a\xC3", "a?"},
		{"\xC0\x80", "??"},
		{"\xE0\x80\x80", "???"},
		{"\xED\xA0\x80", "???"},
		{"\xF5\x80\x80\x80", "????"},
		{"\xF0\x9F\x98", "???"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct metrics *m = metrics_create();
		struct metric_family *f = metrics_family(m, METRIC_COUNTER, "c",
							 "One\nof \\ \"x\".", labels, NULL, 0);
		const char *const values[] = {rows[i].value};
		char want[256];

		metric_add(metrics_series(f, values), 7);
		(void)snprintf(
			want, sizeof(want),
			"# HELP c One\\nof \\\\ \"x\".\n# TYPE c counter\nc{host=\"%s\"} 7\n",
			rows[i].want);
		expect(m, want);
		metrics_free(m);
	}
}

static void test_histogram(void **state)
{
	static const double bounds[] = {0.005, 0.1, 2.5};
	static const double values[] = {0.001, 0.005, 0.05, 2.5, 2.6, 100};
	static const char *const labels[] = {"plane", NULL};
	const char *const cp[] = {"cp"};
	struct metrics *m = metrics_create();
	struct metric_family *f =
		metrics_family(m, METRIC_HISTOGRAM, "t", "Time.", labels, bounds, 3);
	struct metric_series *s = metrics_series(f, cp);

	(void)state;
	for (size_t i = 0; i < array_len(values); i++)
		metric_observe(s, values[i]);
	assert_true(metric_value(s) == 6.0);
	expect(m, "# HELP t Time.\n# TYPE t histogram\n"
		  "t_bucket{plane=\"cp\",le=\"0.005\"} 2\nt_bucket{plane=\"cp\",le=\"0.1\"} 3\n"
		  "t_bucket{plane=\"cp\",le=\"2.5\"} 4\nt_bucket{plane=\"cp\",le=\"+Inf\"} 6\n"
		  "t_sum{plane=\"cp\"} 105.156\nt_count{plane=\"cp\"} 6\n");
	metrics_free(m);
}

static void test_histogram_not_a_number(void **state)
{
	static const double bounds[] = {1};
	struct metrics *m = metrics_create();
	struct metric_family *f = metrics_family(m, METRIC_HISTOGRAM, "t", "T.", NULL, bounds, 1);

	(void)state;
	metric_observe(metrics_series(f, NULL), NAN);
	expect(m, "# HELP t T.\n# TYPE t histogram\nt_bucket{le=\"1\"} 0\nt_bucket{le=\"+Inf\"} 1\n"
		  "t_sum NaN\nt_count 1\n");
	metrics_free(m);
}

static void test_series_limit(void **state)
{
	static const char *const labels[] = {"host", NULL};
	struct metrics *m = metrics_create();
	struct metric_family *f =
		metrics_family(m, METRIC_COUNTER, "c", "Counter.", labels, NULL, 0);
	struct metric_series *other = NULL, *first = NULL;
	struct buf out = BUF_INIT;

	(void)state;
	for (int i = 0; i < METRIC_SERIES_MAX + 100; i++) {
		char name[16];
		const char *const values[] = {name};
		struct metric_series *s;

		(void)snprintf(name, sizeof(name), "h%d", i);
		s = metrics_series(f, values);
		metric_add(s, 1);
		if (i == 0)
			first = s;
		if (i == METRIC_SERIES_MAX)
			other = s;
		if (i > METRIC_SERIES_MAX)
			assert_ptr_equal(s, other);
	}
	assert_true(metric_value(other) == 100.0);
	assert_ptr_equal(metrics_series(f, (const char *const[]){"h0"}), first);
	assert_int_equal(metrics_render(m, &out, NULL), 0);
	assert_non_null(strstr(out.data, "c{host=\"other\"} 100\n"));
	buf_deinit(&out);
	metrics_free(m);
}

struct computed {
	struct metric_family *family;
	int runs;
};

static void compute(void *arg)
{
	struct computed *c = arg;

	c->runs++;
	metric_set(metrics_series(c->family, NULL), c->runs);
}

static void test_hooks(void **state)
{
	struct metrics *m = metrics_create();
	struct computed c = {metrics_family(m, METRIC_GAUGE, "g", "G.", NULL, NULL, 0), 0};
	struct err e = ERR_INIT;
	int made = 0;

	(void)state;
	assert_int_equal(metrics_on_render(m, compute, &c, &e), 0);
	expect(m, "# HELP g G.\n# TYPE g gauge\ng 1\n");
	expect(m, "# HELP g G.\n# TYPE g gauge\ng 2\n");
	while (metrics_on_render(m, compute, &c, &e) == 0)
		made++;
	assert_int_equal(made, 31);
	assert_int_equal(e.kind, ERR_LIMIT);
	metrics_free(m);
}

static void test_buffer_limit(void **state)
{
	struct metrics *m = metrics_create();
	struct buf out;
	struct err e = ERR_INIT;

	(void)state;
	for (size_t limit = 1; limit < 40; limit++) {
		buf_init(&out, limit);
		metric_set(metrics_series(metrics_family(m, METRIC_GAUGE, "g",
							 "Some help that is long.", NULL, NULL, 0),
					  NULL),
			   1);
		assert_int_equal(metrics_render(m, &out, &e), -1);
		assert_int_equal(e.kind, ERR_LIMIT);
		buf_deinit(&out);
	}
	metrics_free(m);
}

static const double thread_bounds[] = {0.5};

struct shared {
	struct metric_series *counter, *histogram;
};

static void *update(void *arg)
{
	struct shared *s = arg;

	for (int i = 0; i < 10000; i++) {
		metric_add(s->counter, 1);
		metric_observe(s->histogram, 1.0);
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct metrics *m = metrics_create();
	struct shared s = {
		metrics_series(metrics_family(m, METRIC_COUNTER, "c", "C.", NULL, NULL, 0), NULL),
		metrics_series(
			metrics_family(m, METRIC_HISTOGRAM, "h", "H.", NULL, thread_bounds, 1),
			NULL)};
	pthread_t threads[4];

	(void)state;
	for (size_t i = 0; i < array_len(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, update, &s), 0);
	for (size_t i = 0; i < array_len(threads); i++)
		pthread_join(threads[i], NULL);
	expect(m,
	       "# HELP c C.\n# TYPE c counter\nc 40000\n# HELP h H.\n# TYPE h histogram\n"
	       "h_bucket{le=\"0.5\"} 0\nh_bucket{le=\"+Inf\"} 40000\nh_sum 40000\nh_count 40000\n");
	metrics_free(m);
}

static void build_and_render(void *arg)
{
	static const char *const labels[] = {"host", NULL};
	const char *const values[] = {"a"};
	struct metrics *m = metrics_create();
	struct metric_family *f;
	struct buf out = BUF_INIT;

	(void)arg;
	if (!m)
		return;
	f = metrics_family(m, METRIC_HISTOGRAM, "t", "T.", labels, thread_bounds, 1);
	if (f && metrics_series(f, values))
		(void)!metrics_render(m, &out, NULL);
	buf_deinit(&out);
	metrics_free(m);
}

static void test_out_of_memory(void **state)
{
	(void)state;
	assert_true(oom_each(build_and_render, NULL) > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),	      cmocka_unit_test(test_counter),
		cmocka_unit_test(test_gauge_numbers), cmocka_unit_test(test_escaping),
		cmocka_unit_test(test_histogram),     cmocka_unit_test(test_histogram_not_a_number),
		cmocka_unit_test(test_series_limit),  cmocka_unit_test(test_hooks),
		cmocka_unit_test(test_buffer_limit),  cmocka_unit_test(test_threads),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
