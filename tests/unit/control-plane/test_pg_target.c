/* Connection strings to hosts and parameters; whose turn it is. */
#include "control-plane/store/pg_target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/core/str.h"
#include "tests/unit/lib/oom.h"

static const struct pg_limits limits = {5000, 2000, 10000};

/* The parameter's value in the present attempt, or NULL. */
static const char *param(struct pg_target *t, const char *keyword)
{
	const char *const *values = pg_target_values(t, NULL);

	for (size_t i = 0; t->keywords[i]; i++)
		if (strcmp(t->keywords[i], keyword) == 0)
			return values[i];
	return NULL;
}

static const struct {
	const char *conninfo;
	const char *hosts; /* "host/hostaddr/port ..." of one round; `-` is NULL */
} good[] = {
	{"", "-/-/-"},
	{"dbname=cardea", "-/-/-"},
	{"host=db", "db/-/-"},
	{"host=db port=5433", "db/-/5433"},
	{"host=a,b,c", "a/-/- b/-/- c/-/-"},
	{"host=a,b port=1,2", "a/-/1 b/-/2"},
	{"host=a,b port=7", "a/-/7 b/-/7"},
	{"host=a,b port=,2", "a/-/- b/-/2"},
	{"hostaddr=192.0.2.1,192.0.2.2", "-/192.0.2.1/- -/192.0.2.2/-"},
	{"host=a,b hostaddr=192.0.2.1,192.0.2.2", "a/192.0.2.1/- b/192.0.2.2/-"},
	{"postgresql://u:p@h1:1,h2:2/db?sslmode=require", "h1/-/1 h2/-/2"},
	{"postgresql://%2Frun%2Fpg/db", "/run/pg/-/-"},
};

static void test_hosts(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(good); i++) {
		struct pg_target t;
		struct buf got = BUF_INIT;

		assert_int_equal(pg_target_init(&t, good[i].conninfo, &limits, NULL), 0);
		do {
			const struct pg_host *h = pg_target_next(&t);

			assert_int_equal(buf_addf(&got, NULL, "%s%s/%s/%s", got.len ? " " : "",
						  h->host ? h->host : "-",
						  h->hostaddr ? h->hostaddr : "-",
						  h->port ? h->port : "-"),
					 0);
		} while (!pg_target_round_done(&t));
		assert_string_equal(got.data, good[i].hosts);
		buf_deinit(&got);
		pg_target_deinit(&t);
	}
}

static const struct {
	const char *conninfo;
	enum err_kind kind;
} bad[] = {
	{"host", ERR_INVALID},
	{"host=", ERR_NONE},
	{"no_such_keyword=1", ERR_INVALID},
	{"host='a", ERR_INVALID},
	{"postgresql://[::1", ERR_INVALID},
	{"postgresql://h:1?nothing=1", ERR_INVALID},
	{"host=a,b port=1,2,3", ERR_INVALID},
	{"host=a,b,c port=1,2", ERR_INVALID},
	{"host=a hostaddr=192.0.2.1,192.0.2.2", ERR_INVALID},
	{"host=a,b hostaddr=192.0.2.1", ERR_INVALID},
	{"host=a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", ERR_LIMIT},
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(bad); i++) {
		struct pg_target t;
		struct err e = ERR_INIT;

		if (pg_target_init(&t, bad[i].conninfo, &limits, &e) == 0)
			pg_target_deinit(&t);
		if (e.kind != bad[i].kind)
			fail_msg("%s: %s", bad[i].conninfo, e.message);
	}
}

static const struct {
	const char *conninfo, *keyword, *want; /* NULL: not given to libpq */
} params[] = {
	{"", "target_session_attrs", "read-write"},
	{"target_session_attrs=any", "target_session_attrs", "any"},
	{"", "tcp_user_timeout", "3000"},
	{"tcp_user_timeout=9", "tcp_user_timeout", "9"},
	{"", "client_encoding", "UTF8"},
	{"password=x", "password", "x"},
	{"", "password", NULL},
	{"connect_timeout=7", "connect_timeout", NULL}, /* the session has its own */
	{"hostaddr=192.0.2.9", "hostaddr", "192.0.2.9"},
};

static void test_params(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(params); i++) {
		struct pg_target t;
		const char *got;

		assert_int_equal(pg_target_init(&t, params[i].conninfo, &limits, NULL), 0);
		pg_target_next(&t);
		got = param(&t, params[i].keyword);
		if (!got != !params[i].want || (got && strcmp(got, params[i].want) != 0))
			fail_msg("%s: %s", params[i].conninfo, got ? got : "none");
		pg_target_deinit(&t);
	}
}

static void test_options(void **state)
{
	struct pg_target t;
	const char *options;

	(void)state;
	assert_int_equal(pg_target_init(&t, "options='-c work_mem=1MB'", &limits, NULL), 0);
	pg_target_next(&t);
	options = param(&t, "options");
	assert_non_null(strstr(options, "-c work_mem=1MB -c statement_timeout=5000"));
	assert_non_null(strstr(options, "-c lock_timeout=2000"));
	assert_non_null(strstr(options, "-c timezone=UTC"));
	pg_target_deinit(&t);
}

static void test_resolved_address(void **state)
{
	struct pg_target t;

	(void)state;
	assert_int_equal(pg_target_init(&t, "host=a,b", &limits, NULL), 0);
	assert_string_equal(pg_target_next(&t)->host, "a");
	assert_false(pg_target_round_done(&t));
	assert_string_equal(pg_target_values(&t, "192.0.2.7")[1], "192.0.2.7");
	assert_string_equal(pg_target_values(&t, NULL)[0], "a");
	assert_null(pg_target_values(&t, NULL)[1]);
	assert_string_equal(pg_target_next(&t)->host, "b");
	assert_true(pg_target_round_done(&t));
	assert_string_equal(pg_target_next(&t)->host, "a");
	pg_target_deinit(&t);
}

static void without_memory(void *arg)
{
	struct pg_target t;
	struct err e = ERR_INIT;

	(void)arg;
	if (pg_target_init(&t, "host=a,b port=1,2 password=x", &limits, &e) == 0)
		pg_target_deinit(&t);
	else
		assert_int_equal(e.kind, ERR_MEMORY);
}

static void test_out_of_memory(void **state)
{
	(void)state;
	assert_true(oom_each(without_memory, NULL) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_params),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_resolved_address),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
