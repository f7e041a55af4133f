/* Authorizations of an order's row: there and back, broken rows, and which names are blamed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "control-plane/acme/authorization.h"

static json_t *parse(const char *text)
{
	json_t *v = json_loads(text, 0, NULL);

	assert_non_null(v);
	return v;
}

static void test_there_and_back(void **state)
{
	static const char text[] =
		"[{\"url\":\"https://a/1\"},{\"url\":\"https://a/2\",\"name\":\"b.example\","
		"\"valid\":true},{\"url\":\"https://a/3\",\"name\":\"192.0.2.1\",\"challenge_url\":"
		"\"https://a/c\",\"challenge_id\":\"00000000-0000-4000-8000-000000000003\","
		"\"type\":\"tls-alpn-01\"}]";
	json_t *rows = parse(text), *back;
	struct authorizations all = {NULL, 0};
	struct buf ids = BUF_INIT;

	(void)state;
	assert_int_equal(authorizations_load(&all, rows, NULL, NULL), 0);
	assert_int_equal(all.count, 3);
	assert_int_equal(all.items[2].type, CHALLENGE_TLS_ALPN_01);
	assert_int_equal(authorizations_open(&all), 2);
	back = authorizations_json(&all);
	assert_true(json_equal(rows, back));
	assert_int_equal(authorizations_challenges(&all, &ids, NULL), 0);
	assert_string_equal(ids.data, "{00000000-0000-4000-8000-000000000003}");
	buf_deinit(&ids);
	json_decref(back);
	json_decref(rows);
	authorizations_free(&all);
	assert_int_equal(authorizations_challenges(&all, &ids, NULL), 0);
	assert_string_equal(ids.data, "{}");
	buf_deinit(&ids);
}

static void test_broken(void **state)
{
	static const char *const bad[] = {
		"[{}]",
		"[5]",
		"[null]",
		"[\"\"]",
		"[{\"url\":\"\"}]",
		"[{\"name\":\"a\"}]",
		"[{\"url\":\"u\",\"type\":\"dns-02\"}]",
		"[{\"url\":\"u\",\"challenge_id\":\"00000000-0000-4000-8000-0000000000031\"}]",
	};
	struct authorizations all = {NULL, 0};

	(void)state;
	for (size_t i = 0; i < array_len(bad); i++) {
		json_t *rows = parse(bad[i]);

		if (authorizations_load(&all, rows, NULL, NULL) == 0)
			fail_msg("accepted: %s", bad[i]);
		json_decref(rows);
	}
	assert_int_equal(all.count, 0);
}

static void test_blame(void **state)
{
	json_t *rows = parse("[\"u1\",\"u2\",\"u3\"]"), *list;
	struct authorizations all = {NULL, 0};
	const struct authorization *first;
	size_t n;

	(void)state;
	assert_int_equal(authorizations_load(&all, rows, NULL, NULL), 0);
	list = authorizations_blame(&all, &first, &n);
	assert_null(first);
	assert_int_equal(n, 0);
	json_decref(list);
	snprintf(all.items[1].name, sizeof(all.items[1].name), "192.0.2.1");
	problem_own(&all.items[1].problem, "gone", "it is %s", "expired");
	list = authorizations_blame(&all, &first, &n);
	assert_ptr_equal(first, &all.items[1]);
	assert_int_equal(n, 1);
	assert_int_equal(authorizations_open(&all), 2);
	json_decref(rows);
	rows = parse(
		"[{\"type\":\"urn:cardea:acme:gone\",\"detail\":\"it is expired\",\"status\":null,"
		"\"identifier\":{\"type\":\"ip\",\"value\":\"192.0.2.1\"}}]");
	assert_true(json_equal(list, rows));
	json_decref(list);
	json_decref(rows);
	authorizations_free(&all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_blame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
