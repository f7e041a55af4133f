/* acme/on_demand_policy: names, patterns, budgets. */
#include "control-plane/acme/on_demand_policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/lib/oom.h"

static void test_names(void **state)
{
	static const struct {
		const char *host;
		const char *out; /* NULL: refused */
	} rows[] = {
		{"a.example", "a.example"},
		{"A.Example", "a.example"},
		{"www.a.www.example", "www.a.www.example"},
		{"", NULL},
		{"localhost", NULL},
		{"a.example.", NULL},
		{"a..example", NULL},
		{"*.example", NULL},
		{"a_b.example", NULL},
		{"192.0.2.1", NULL},
		{"2001:db8::1", NULL},
		{"a.1", NULL},
		{"b\xc3\xbc"
		 "cher.example",
		 NULL},
		{"www.www.example", NULL},
		{"www.WWW.example", NULL},
		{"a.b.b.c.example", NULL},
		{"com.com", NULL},
	};
	char out[ON_DEMAND_HOST_SIZE];

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct err e = ERR_INIT;
		int rc = on_demand_host(str_from(rows[i].host), out, &e);

		if ((rc == 0) != (rows[i].out != NULL))
			fail_msg("%s: %s", rows[i].host, e.message);
		if (rc == 0)
			assert_string_equal(out, rows[i].out);
		else
			assert_int_equal(e.kind, ERR_INVALID);
	}
}

static void test_patterns(void **state)
{
	static const struct {
		const char *list, *name;
		bool match;
	} rows[] = {
		{"a.example", "a.example", true},
		{"A.Example", "a.example", true},
		{"*.example", "a.example", true},
		{"*.example", "b.a.example", true},
		{"*", "a.example", true},
		{"b.example, *.a.example c.example", "x.a.example", true},
		{"b.example,a.example", "a.example", true},
		{" a.example ", "a.example", true},
		{"", "a.example", false},
		{" , ", "a.example", false},
		{"a.example", "b.a.example", false},
		{"a.example", "aa.example", false},
		{"*.a.example", "a.example", false},
		{"*.a.example", "ba.example", false},
		{"*.a.example", "a.example.org", false},
		{"b.example, c.example", "a.example", false},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		assert_int_equal(on_demand_domains_check(str_from(rows[i].list), NULL), 0);
		if (on_demand_domains_match(str_from(rows[i].list), str_from(rows[i].name)) !=
		    rows[i].match)
			fail_msg("\"%s\", %s", rows[i].list, rows[i].name);
	}
}

static void test_patterns_that_are_none(void **state)
{
	static const char *const lists[] = {
		"a.*",	"**",	 "*a.example",	"*.",	      "a.*.example",	    "*.*.example",
		"a..b", "a_b.c", "a.example,.", "https://a/", "a.example;b.example"};

	(void)state;
	for (size_t i = 0; i < array_len(lists); i++) {
		struct err e = ERR_INIT;

		if (on_demand_domains_check(str_from(lists[i]), &e) == 0)
			fail_msg("%s", lists[i]);
		assert_int_equal(e.kind, ERR_INVALID);
	}
}

static void test_limits(void **state)
{
	static const struct {
		const char *text;
		enum on_demand_limit kind;
		double every_s; /* -1: refused */
		unsigned burst;
	} rows[] = {
		{"", ON_DEMAND_CLIENT, 180, 20},
		{"", ON_DEMAND_DOMAIN, 864, 100},
		{"", ON_DEMAND_NAME, 720, 5},
		{"client=60/1h", ON_DEMAND_CLIENT, 60, 60},
		{"client=60/1h:3", ON_DEMAND_CLIENT, 60, 3},
		{"client=0", ON_DEMAND_CLIENT, 0, 0},
		{"client=0 domain=1/1d", ON_DEMAND_DOMAIN, 86400, 1},
		{"  name=2/1s  ", ON_DEMAND_NAME, 0.5, 2},
		{"client", 0, -1, 0},
		{"client=", 0, -1, 0},
		{"client=1", 0, -1, 0},
		{"client=1/", 0, -1, 0},
		{"client=1/h", 0, -1, 0},
		{"client=-1/1h", 0, -1, 0},
		{"client=1/1h:0", 0, -1, 0},
		{"account=1/1h", 0, -1, 0},
		{"1/1h", 0, -1, 0},
		{"client=1/1h,domain=1/1h", 0, -1, 0},
	};
	struct on_demand_limits l;

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct err e = ERR_INIT;
		int rc = on_demand_limits_parse(&l, str_from(rows[i].text), &e);

		if ((rc == 0) != (rows[i].every_s >= 0))
			fail_msg("%s: %s", rows[i].text, e.message);
		if (rc != 0)
			continue;
		assert_true(l.of[rows[i].kind].every_s == rows[i].every_s);
		assert_int_equal(l.of[rows[i].kind].burst, rows[i].burst);
	}
}

static const char *key_at(const json_t *wanted, size_t i)
{
	const json_t *keys = json_object_get(json_array_get(wanted, 0), "keys");

	return json_string_value(json_object_get(json_array_get(keys, i), "key"));
}

static void test_keys(void **state)
{
	struct on_demand_limits l;
	json_t *wanted;

	(void)state;
	assert_int_equal(on_demand_limits_parse(&l, STR(""), NULL), 0);
	wanted = on_demand_keys(&l, ON_DEMAND_CLIENT, ON_DEMAND_NAME, "a.b.example.com",
				"2001:db8:1:2:3::4");
	assert_string_equal(key_at(wanted, 0), "on_demand_client 2001:db8:1:2::/64");
	assert_string_equal(key_at(wanted, 1), "on_demand_domain example.com");
	assert_string_equal(key_at(wanted, 2), "on_demand_name a.b.example.com");
	for (unsigned k = 0; k < ON_DEMAND_LIMITS; k++)
		assert_int_equal(on_demand_key_kind(key_at(wanted, k)), k);
	json_decref(wanted);
	wanted = on_demand_keys(&l, ON_DEMAND_CLIENT, ON_DEMAND_CLIENT, "a.example", "");
	assert_string_equal(key_at(wanted, 0), "on_demand_client unknown");
	assert_null(key_at(wanted, 1));
	json_decref(wanted);
	/* Without a limit there is nothing to reserve. */
	assert_int_equal(on_demand_limits_parse(&l, STR("domain=0"), NULL), 0);
	wanted = on_demand_keys(&l, ON_DEMAND_DOMAIN, ON_DEMAND_NAME, "a.example", "192.0.2.1");
	assert_string_equal(key_at(wanted, 0), "on_demand_name a.example");
	assert_null(key_at(wanted, 1));
	json_decref(wanted);
	assert_int_equal(on_demand_key_kind("account x y"), ON_DEMAND_LIMITS);
	assert_int_equal(on_demand_key_kind("on_demand_other x"), ON_DEMAND_LIMITS);
	assert_int_equal(on_demand_key_kind(""), ON_DEMAND_LIMITS);
}

static void test_addresses(void **state)
{
	static const struct {
		const char *ask, *client, *url;
	} rows[] = {
		{"http://a/ask", "192.0.2.1", "http://a/ask?domain=n.example&client=192.0.2.1"},
		{"http://a/ask?key=1", "::1", "http://a/ask?key=1&domain=n.example&client=::1"},
		{"https://a", "", "https://a?domain=n.example"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct buf b = BUF_INIT;

		assert_int_equal(
			on_demand_ask_url(&b, rows[i].ask, "n.example", rows[i].client, NULL), 0);
		assert_string_equal(b.data, rows[i].url);
		buf_deinit(&b);
	}
}

static void scenario(void *arg)
{
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;

	(void)arg;
	if (on_demand_ask_url(&b, "http://a/ask", "n.example", "192.0.2.1", &e) != 0)
		assert_int_equal(e.kind, ERR_MEMORY);
	buf_deinit(&b);
}

static void test_no_memory(void **state)
{
	(void)state;
	assert_true(oom_each(scenario, NULL) >= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_patterns_that_are_none),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
