/* Problem documents, good and broken, and the table that says what is done about them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "control-plane/acme/problem.h"

struct rule_row {
	const char *type;
	unsigned status;
	enum problem_action want;
};

static const struct rule_row rows[] = {
	{PROBLEM_ACME "badNonce", 400, PROBLEM_NEW_NONCE},
	{PROBLEM_ACME "accountDoesNotExist", 400, PROBLEM_REREGISTER},
	{PROBLEM_ACME "orderNotReady", 403, PROBLEM_REREAD},
	{PROBLEM_ACME "rateLimited", 429, PROBLEM_RETRY},
	{PROBLEM_ACME "serverInternal", 500, PROBLEM_RETRY},
	{PROBLEM_ACME "userActionRequired", 403, PROBLEM_RETRY},
	{PROBLEM_ACME "agreementRequired", 403, PROBLEM_RETRY},
	{PROBLEM_ACME "dns", 400, PROBLEM_RESTART},
	{PROBLEM_ACME "connection", 400, PROBLEM_RESTART},
	{PROBLEM_ACME "tls", 400, PROBLEM_RESTART},
	{PROBLEM_ACME "unauthorized", 403, PROBLEM_RESTART},
	{PROBLEM_ACME "unauthorized", 401, PROBLEM_RETRY},
	{PROBLEM_ACME "caa", 403, PROBLEM_RESTART},
	{PROBLEM_ACME "rejectedIdentifier", 400, PROBLEM_FAIL},
	{PROBLEM_ACME "unsupportedIdentifier", 400, PROBLEM_FAIL},
	{PROBLEM_ACME "externalAccountRequired", 403, PROBLEM_FAIL},
	{PROBLEM_ACME "badCSR", 400, PROBLEM_FAIL},
	{PROBLEM_ACME "malformed", 400, PROBLEM_RESTART},
	{PROBLEM_ACME "malformed", 404, PROBLEM_RESTART},
	{PROBLEM_ACME "malformed", 503, PROBLEM_RETRY},
	{PROBLEM_ACME "inventedTomorrow", 400, PROBLEM_RESTART},
	{PROBLEM_ACME "inventedTomorrow", 503, PROBLEM_RETRY},
	{PROBLEM_ACME "badnonce", 400, PROBLEM_RESTART},
	{"about:blank", 404, PROBLEM_RESTART},
	{"about:blank", 429, PROBLEM_RETRY},
	{"about:blank", 500, PROBLEM_RETRY},
	{"about:blank", 599, PROBLEM_RETRY},
	{"about:blank", 600, PROBLEM_RESTART},
	{PROBLEM_OWN "connection", 0, PROBLEM_RETRY},
	{PROBLEM_OWN "barrier", 0, PROBLEM_RETRY},
	{PROBLEM_OWN "timeout", 0, PROBLEM_RESTART},
	{PROBLEM_OWN "gone", 0, PROBLEM_RESTART},
	{PROBLEM_OWN "certificate", 0, PROBLEM_FAIL},
	{PROBLEM_OWN "sni", 0, PROBLEM_FAIL},
	{PROBLEM_OWN "denied", 0, PROBLEM_RETRY},
	{PROBLEM_OWN "answer", 0, PROBLEM_RETRY},
	{PROBLEM_OWN "answer", 404, PROBLEM_RESTART},
	{PROBLEM_OWN "answer", 200, PROBLEM_RETRY},
	{"", 0, PROBLEM_RESTART},
};

static void test_rules(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct problem p = {.status = rows[i].status};
		const struct problem_rule *r;

		snprintf(p.type, sizeof(p.type), "%s", rows[i].type);
		r = problem_rule(&p);
		if (r->action != rows[i].want)
			fail_msg("%s %u: %d", rows[i].type, rows[i].status, (int)r->action);
		assert_true(r->backoff.base_ms >= 1000);
		assert_true(r->backoff.cap_ms >= r->backoff.base_ms);
		assert_true(r->backoff.factor >= 2);
	}
}

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_long_texts_are_cut),
		cmocka_unit_test(test_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
