/* acme/staple_question: whom to ask, how, what comes of it, and when to ask again. */
#include "control-plane/acme/staple_question.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/core/clock.h"
#include "common/core/codec.h"
#include "common/pki/cert.h"
#include "control-plane/acme/backoff.h"
#include "tests/unit/lib/testpki.h"

static struct testca authority, leaf, silent, must;

static int setup(void **state)
{
	(void)state;
	testpki_make(&authority, NULL, &(struct testpki_options){.name = "authority", .ca = true});
	testpki_make(&leaf, &authority, &(struct testpki_options){.ocsp = "http://ocsp.example/a"});
	testpki_make(&silent, &authority, &(struct testpki_options){.name = "silent"});
	testpki_make(&must, &authority, &(struct testpki_options){.feature = "status_request"});
	return 0;
}

static int teardown(void **state)
{
	struct testca *all[] = {&authority, &leaf, &silent, &must};

	(void)state;
	for (size_t i = 0; i < array_len(all); i++)
		testca_deinit(all[i]);
	return 0;
}

static void pem_of(struct buf *out, const struct testca *of, bool chain)
{
	assert_int_equal(cert_to_pem(out, of->cert, NULL), 0);
	if (chain)
		assert_int_equal(cert_to_pem(out, authority.cert, NULL), 0);
}

/* For staple_question_free. */
static void make(struct staple_question *q, const struct testca *of, bool chain, struct str stored)
{
	struct buf pem = BUF_INIT;

	pem_of(&pem, of, chain);
	assert_int_equal(staple_question_make(q, buf_str(&pem), stored, NULL), 0);
	buf_deinit(&pem);
}

static void test_who(void **state)
{
	struct staple_question q;

	(void)state;
	make(&q, &leaf, true, STR_NONE);
	assert_string_equal(q.responder, "http://ocsp.example/a");
	assert_non_null(q.issuer);
	assert_false(q.demanded);
	assert_false(q.post);
	assert_int_equal(strncmp(q.url.data, "http://ocsp.example/a/ME", 24), 0);
	assert_null(strpbrk(q.url.data + 22, "+/="));
	assert_int_equal(q.until, 0);
	staple_question_free(&q);
	make(&q, &leaf, false, STR_NONE);
	assert_null(q.issuer);
	assert_int_equal(q.url.len, 0);
	staple_question_free(&q);
	make(&q, &silent, true, STR_NONE);
	assert_null(q.responder);
	staple_question_free(&q);
	make(&q, &must, true, STR_NONE);
	assert_true(q.demanded);
	staple_question_free(&q);
}

static void test_how(void **state)
{
	static const struct {
		const char *responder, *url;
		bool post;
	} rows[] = {
		{"http://ocsp.example", "http://ocsp.example/M", false},
		{"http://ocsp.example/", "http://ocsp.example/M", false},
		{"http://ocsp.example/?id=1", "http://ocsp.example/?id=1", true},
		{"http://ocsp.example/"
		 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		 "aaa"
		 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		 "aaa",
		 "http://ocsp.example/aaaaa", true},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct testca one;
		struct staple_question q;

		testpki_make(&one, &authority,
			     &(struct testpki_options){.ocsp = rows[i].responder});
		make(&q, &one, true, STR_NONE);
		assert_int_equal(q.post, rows[i].post);
		assert_int_equal(strncmp(q.url.data, rows[i].url, strlen(rows[i].url)), 0);
		if (rows[i].post)
			assert_string_equal(q.url.data, rows[i].responder);
		assert_true(q.request.len > 60);
		staple_question_free(&q);
		testca_deinit(&one);
	}
}

static void test_no_certificate(void **state)
{
	static const char *const rows[] = {
		"",
		"junk",
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct staple_question q;
		struct err e = ERR_INIT;

		assert_int_equal(staple_question_make(&q, str_from(rows[i]), STR_NONE, &e), -1);
		assert_int_equal(e.kind, ERR_INVALID);
		staple_question_free(&q);
	}
}

/* One that is stored counts while it is in force. */
static void test_stored(void **state)
{
	static const struct {
		enum testpki_answer answer;
		long from, to;
		bool counts;
	} rows[] = {
		{TESTPKI_GOOD, -60, 3600, true},
		{TESTPKI_GOOD, -600, -60, false},
		{TESTPKI_REVOKED, -60, 3600, false},
	};
	struct staple_question q;

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct buf der = BUF_INIT, text = BUF_INIT;

		testpki_ocsp(&der, leaf.cert, &authority, &authority, rows[i].answer, rows[i].from,
			     rows[i].to);
		assert_int_equal(base64_encode(&text, buf_str(&der), NULL), 0);
		make(&q, &leaf, true, buf_str(&text));
		assert_int_equal(q.until > 0, rows[i].counts);
		staple_question_free(&q);
		buf_deinit(&der);
		buf_deinit(&text);
	}
	make(&q, &leaf, true, STR("no base64"));
	assert_int_equal(q.until, 0);
	staple_question_free(&q);
}

static void test_judge(void **state)
{
	static const struct {
		enum err_kind failed;
		unsigned status;
		enum testpki_answer answer;
		enum staple_result result;
	} rows[] = {
		{ERR_NONE, 200, TESTPKI_GOOD, STAPLE_RESULT_GOOD},
		{ERR_NONE, 200, TESTPKI_REVOKED, STAPLE_RESULT_REVOKED},
		{ERR_NONE, 200, TESTPKI_UNKNOWN, STAPLE_RESULT_UNKNOWN},
		{ERR_NONE, 500, TESTPKI_GOOD, STAPLE_RESULT_STATUS},
		{ERR_NONE, 204, TESTPKI_GOOD, STAPLE_RESULT_STATUS},
		{ERR_NONE, 302, TESTPKI_GOOD, STAPLE_RESULT_STATUS},
		{ERR_DENIED, 0, TESTPKI_GOOD, STAPLE_RESULT_DENIED},
		{ERR_LIMIT, 200, TESTPKI_GOOD, STAPLE_RESULT_TOO_LONG},
		{ERR_TIMEOUT, 0, TESTPKI_GOOD, STAPLE_RESULT_UNREACHABLE},
		{ERR_UNAVAILABLE, 0, TESTPKI_GOOD, STAPLE_RESULT_UNREACHABLE},
		{ERR_MEMORY, 0, TESTPKI_GOOD, STAPLE_RESULT_UNREACHABLE},
	};
	static const char try_later[] = {0x30, 0x03, 0x0a, 0x01, 0x03};
	struct staple_question q;
	struct err none = ERR_INIT;
	struct staple_reply r = {.failed = &none, .status = 200};
	struct staple_answer a;

	(void)state;
	make(&q, &leaf, true, STR_NONE);
	for (size_t i = 0; i < array_len(rows); i++) {
		struct buf der = BUF_INIT;
		struct err failed = {rows[i].failed, 0, "it failed"}, e = ERR_INIT;
		const struct staple_reply reply = {.failed = &failed, .status = rows[i].status};
		struct staple_reply whole = reply;

		testpki_ocsp(&der, leaf.cert, &authority, &authority, rows[i].answer, -60, 3600);
		whole.body = buf_str(&der);
		assert_int_equal(staple_question_judge(&q, &whole, &a, &e), rows[i].result);
		assert_int_equal(e.kind == ERR_NONE, rows[i].result <= STAPLE_RESULT_REVOKED);
		assert_non_null(staple_result_name(rows[i].result));
		buf_deinit(&der);
	}
	r.body = (struct str){try_later, sizeof(try_later)};
	assert_int_equal(staple_question_judge(&q, &r, &a, NULL), STAPLE_RESULT_REFUSED);
	r.body = STR("no DER");
	assert_int_equal(staple_question_judge(&q, &r, &a, NULL), STAPLE_RESULT_INVALID);
	staple_question_free(&q);
}

static void test_refresh(void **state)
{
	static const struct {
		int64_t from, until, now;
		double chance;
		int64_t at;
	} rows[] = {
		{0, 1000, 0, 0, 500},
		{0, 1000, 0, 0.5, 550},
		{0, 1000, 0, 0.999999, 599},
		/* An old one out of a cache: half of what is left. */
		{0, 1000, 600, 0, 800},
		{0, 1000, 600, 0.5, 820},
		/* Not sooner than in a minute. */
		{0, 20, 0, 0, 60},
		{0, 1000, 990, 0, 1050},
		{500, 1500, 400, 0, 1000},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++)
		assert_int_equal(
			staple_refresh_s(rows[i].from, rows[i].until, rows[i].now, rows[i].chance),
			rows[i].at);
}

static void test_retry(void **state)
{
	static const struct {
		unsigned failures;
		int64_t asked;
		double chance;
		uint64_t ms;
	} rows[] = {
		{0, RETRY_AFTER_NONE, 0, 60000},
		{1, RETRY_AFTER_NONE, 0, 60000},
		{1, RETRY_AFTER_NONE, 0.5, 54000},
		{2, RETRY_AFTER_NONE, 0, 120000},
		{6, RETRY_AFTER_NONE, 0, 1920000},
		{7, RETRY_AFTER_NONE, 0, 3600000},
		{1000000, RETRY_AFTER_NONE, 0, 3600000},
		{1, 30000, 0, 60000},
		{1, 90000, 0, 90000},
		{1, INT64_C(30) * 86400000, 0, 86400000},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++)
		assert_int_equal(staple_retry_ms(rows[i].failures, rows[i].asked, rows[i].chance),
				 rows[i].ms);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who),
		cmocka_unit_test(test_how),
		cmocka_unit_test(test_no_certificate),
		cmocka_unit_test(test_stored),
		cmocka_unit_test(test_judge),
		cmocka_unit_test(test_refresh),
		cmocka_unit_test(test_retry),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
