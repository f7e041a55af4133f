/* Problem documents, good and broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "control-plane/acme/problem.h"

struct answer_row {
	unsigned status;
	const char *body;
	const char *type;
	const char *detail; /* contained */
};

static const struct answer_row answers[] = {
	{429, "{\"type\":\"urn:ietf:params:acme:error:rateLimited\",\"detail\":\"slow\"}",
	 PROBLEM_ACME "rateLimited", "slow"},
	{400, "{\"type\":\"urn:acme:error:badNonce\"}", PROBLEM_ACME "badNonce", ""},
	{400, "{\"type\":\"about:blank\",\"detail\":\"a\\nb\\u0007c\"}", "about:blank", "a b c"},
	{400, "{\"type\":\"x\",\"detail\":7,\"status\":\"no\"}", "x", ""},
	{503, "<html>busy</html>", PROBLEM_OWN "answer", "503"},
	{500, "", PROBLEM_OWN "answer", "500"},
	{500, "{}", PROBLEM_OWN "answer", "500"},
	{500, "[]", PROBLEM_OWN "answer", "500"},
	{500, "{\"type\":\"\"}", PROBLEM_OWN "answer", "500"},
	{500, "{\"type\":5}", PROBLEM_OWN "answer", "500"},
	{500, "{\"type\":null,\"detail\":\"x\"}", PROBLEM_OWN "answer", "500"},
	{302, "moved", PROBLEM_OWN "answer", "302"},
};

static void test_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(answers); i++) {
		struct problem p;

		problem_from_answer(&p, answers[i].status, str_from(answers[i].body), 7000);
		assert_string_equal(p.type, answers[i].type);
		if (!strstr(p.detail, answers[i].detail))
			fail_msg("%s: %s", answers[i].body, p.detail);
		assert_int_equal(p.status, answers[i].status);
		assert_int_equal(p.retry_after_ms, 7000);
	}
}

static void test_long_texts_are_cut(void **state)
{
	struct buf b = BUF_INIT;
	struct problem p;

	(void)state;
	assert_int_equal(buf_add_str(&b, STR("{\"type\":\"t"), NULL), 0);
	for (int i = 0; i < 2000; i++)
		assert_int_equal(buf_add_str(&b, STR("\xc3\xa4"), NULL), 0);
	assert_int_equal(buf_add_str(&b, STR("\",\"detail\":\""), NULL), 0);
	for (int i = 0; i < 2000; i++)
		assert_int_equal(buf_add_str(&b, STR("\xe2\x82\xac"), NULL), 0);
	assert_int_equal(buf_add_str(&b, STR("\"}"), NULL), 0);
	problem_from_answer(&p, 400, buf_str(&b), RETRY_AFTER_NONE);
	assert_true(strlen(p.type) < sizeof(p.type));
	assert_true(strlen(p.detail) % 3 == 0 && strlen(p.detail) > 500);
	buf_deinit(&b);
}

static void test_round_trip(void **state)
{
	struct problem p, q = {.status = 0};
	struct err e = ERR_INIT;
	json_t *o;

	(void)state;
	err_set(&e, ERR_DENIED, "URL refused: only https is allowed");
	problem_from_err(&p, "connection", &e);
	assert_string_equal(p.type, PROBLEM_OWN "denied");
	o = problem_json(&p, 1234);
	assert_int_equal(json_integer_value(json_object_get(o, "at")), 1234);
	assert_true(json_is_null(json_object_get(o, "status")));
	assert_true(problem_from_json(&q, o));
	assert_string_equal(q.type, p.type);
	assert_string_equal(q.detail, p.detail);
	json_decref(o);
	err_set(&e, ERR_TIMEOUT, "slow");
	problem_from_err(&p, "connection", &e);
	assert_string_equal(p.type, PROBLEM_OWN "connection");
	assert_false(problem_is_acme(&p, "connection"));
	assert_false(problem_from_json(&q, NULL));
}

struct help_row {
	const char *body;
	const char *url; /* NULL: none */
	bool unpause;
};

static const struct help_row helps[] = {
	{"{\"type\":\"t\",\"instance\":\"https://ca.example/terms/2\"}",
	 "https://ca.example/terms/2", false},
	{"{\"type\":\"t\",\"detail\":\"Your account is temporarily prevented from requesting "
	 "certificates for a.com and possibly others. Please visit: "
	 "https://portal.example/sfe/v1/unpause?jwt=abc.def.ghi\"}",
	 "https://portal.example/sfe/v1/unpause?jwt=abc.def.ghi", true},
	{"{\"detail\":\"see https://ca.example/docs and https://ca.example/unpause?x=1 now\"}",
	 "https://ca.example/unpause?x=1", true},
	{"{\"detail\":\"retry later: see https://ca.example/docs\"}", NULL, false},
	{"{\"instance\":\"http://ca.example/terms\"}", NULL, false},
	{"{\"instance\":\"javascript:alert(1)\"}", NULL, false},
	{"{\"instance\":\"https://ca.example/\\u00e4\"}", NULL, false},
	{"{\"instance\":5}", NULL, false},
	{"<html>https://ca.example/unpause</html>", NULL, false},
	{"", NULL, false},
};

static void test_help(void **state)
{
	struct problem_help h = {.url = NULL};

	(void)state;
	for (size_t i = 0; i < array_len(helps); i++) {
		problem_help(&h, str_from(helps[i].body));
		assert_int_equal(h.unpause, helps[i].unpause);
		if (helps[i].url)
			assert_string_equal(h.url, helps[i].url);
		else
			assert_null(h.url);
	}
	problem_help_deinit(&h);
}

/* The address holds a token: it is in one place. */
static void test_unpause_address_is_no_detail(void **state)
{
	struct problem p;

	(void)state;
	problem_from_answer(&p, 429, str_from(helps[1].body), RETRY_AFTER_NONE);
	assert_null(strstr(p.detail, "jwt"));
	assert_non_null(strstr(p.detail, "a.com"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_unpause_address_is_no_detail),
		cmocka_unit_test(test_long_texts_are_cut),
		cmocka_unit_test(test_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
