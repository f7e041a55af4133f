/* RFC 8555 bodies: what is sent, what is read, and a table of what no CA should send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "control-plane/acme/message.h"

static void test_written(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	assert_int_equal(message_new_account(&b, NULL, NULL, NULL), 0);
	assert_string_equal(b.data, "{\"termsOfServiceAgreed\":true}");
	buf_clear(&b);
	assert_int_equal(message_revoke(&b, STR("\xff\xfe\x01"), 1, NULL), 0);
	assert_string_equal(b.data, "{\"certificate\":\"__4B\",\"reason\":1}");
	buf_clear(&b);
	assert_int_equal(message_new_account(&b, "", NULL, NULL), 0);
	assert_string_equal(b.data, "{\"termsOfServiceAgreed\":true}");
	buf_clear(&b);
	assert_int_equal(message_new_account(&b, "a\"b@example.com", NULL, NULL), 0);
	assert_string_equal(b.data, "{\"termsOfServiceAgreed\":true,\"contact\":"
				    "[\"mailto:a\\\"b@example.com\"]}");
	buf_clear(&b);
	assert_int_equal(
		message_new_order(&b, &(struct message_order){.names = STR("a.example")}, NULL), 0);
	assert_string_equal(b.data,
			    "{\"identifiers\":[{\"type\":\"dns\",\"value\":\"a.example\"}]}");
	buf_clear(&b);
	assert_int_equal(message_new_order(&b,
					   &(struct message_order){
						   .names = STR("192.0.2.1 2001:db8::1 b.example"),
						   .profile = "shortlived",
						   .replaces = "a.b",
						   .not_after = 1700000000,
					   },
					   NULL),
			 0);
	assert_string_equal(b.data,
			    "{\"identifiers\":[{\"type\":\"ip\",\"value\":\"192.0.2.1\"},{\"type\":"
			    "\"ip\",\"value\":\"2001:db8::1\"},{\"type\":\"dns\",\"value\":"
			    "\"b.example\"}],\"profile\":\"shortlived\",\"replaces\":\"a.b\","
			    "\"notAfter\":\"2023-11-14T22:13:20Z\"}");
	buf_clear(&b);
	assert_int_equal(message_finalize(&b, (struct str){"\xfb\xff\x00", 3}, NULL), 0);
	assert_string_equal(b.data, "{\"csr\":\"-_8A\"}");
	buf_clear(&b);
	assert_int_equal(message_new_account(&b, "\xff@example.com", NULL, NULL), -1);
	assert_int_equal(b.len, 0);
	buf_deinit(&b);
}

static void test_directory(void **state)
{
	static const char *const bad[] = {
		"",
		"null",
		"[]",
		"\"x\"",
		"{",
		"{}",
		"<html><body>502 Bad Gateway</body></html>",
		"{\"newNonce\":\"https://a/n\",\"newAccount\":\"https://a/a\"}",
		"{\"newNonce\":1,\"newAccount\":\"https://a/a\",\"newOrder\":\"https://a/o\"}",
		"{\"newNonce\":\"\",\"newAccount\":\"https://a/a\",\"newOrder\":\"https://a/o\"}",
		"{\"newNonce\":\"a\\u0000b\",\"newAccount\":\"a\",\"newOrder\":\"a\"}",
		"{\"newNonce\":\"x\",\"newNonce\":\"y\",\"newAccount\":\"a\",\"newOrder\":\"a\"}",
		"{\"newNonce\":\"x\",\"newAccount\":\"a\",\"newOrder\":\"a\"} trailing",
		"{\"newNonce\":\"\xff\",\"newAccount\":\"a\",\"newOrder\":\"a\"}",
	};
	const struct str good =
		STR("{\"newNonce\":\"https://a/n\",\"newAccount\":\"https://a/a\",\"newOrder\":"
		    "\"https://a/o\",\"x7Kq\":\"https://community\",\"meta\":{"
		    "\"externalAccountRequired\":true}}");
	struct acme_directory d = {.new_nonce = "untouched"};

	(void)state;
	for (size_t i = 0; i < array_len(bad); i++) {
		struct err e = ERR_INIT;

		if (message_read_directory(&d, str_from(bad[i]), &e) == 0)
			fail_msg("accepted: %s", bad[i]);
		assert_true(e.message[0]);
		assert_string_equal(d.new_nonce, "untouched");
	}
	assert_int_equal(message_read_directory(&d, good, NULL), 0);
	assert_string_equal(d.new_nonce, "https://a/n");
	assert_string_equal(d.new_account, "https://a/a");
	assert_string_equal(d.new_order, "https://a/o");
	assert_true(d.external_account_required);
}

#define TAIL ",\"authorizations\":[\"https://a/z\"],\"finalize\":\"https://a/f\"}"

static void test_good_orders(void **state)
{
	struct acme_order_doc d;

	(void)state;
	assert_int_equal(message_read_order(&d, STR("{\"status\":\"pending\"" TAIL), NULL), 0);
	assert_int_equal(d.status, ACME_PENDING);
	assert_int_equal(json_array_size(d.authorizations), 1);
	assert_string_equal(json_string_value(json_array_get(d.authorizations, 0)), "https://a/z");
	json_decref(d.authorizations);
	assert_string_equal(d.finalize, "https://a/f");
	assert_false(problem_is_set(&d.error));
	assert_int_equal(message_read_order(
				 &d,
				 STR("{\"status\":\"valid\",\"certificate\":\"https://a/c\"" TAIL),
				 NULL),
			 0);
	assert_string_equal(d.certificate, "https://a/c");
	json_decref(d.authorizations);
	assert_int_equal(
		message_read_order(&d,
				   STR("{\"status\":\"invalid\",\"error\":{\"type\":"
				       "\"urn:ietf:params:acme:error:dns\",\"detail\":\"x\"}" TAIL),
				   NULL),
		0);
	assert_int_equal(d.status, ACME_INVALID);
	assert_true(problem_is_acme(&d.error, "dns"));
	json_decref(d.authorizations);
}

static void test_bad_orders(void **state)
{
	static const char *const bad[] = {
		"{\"status\":\"weird\"" TAIL,
		"{\"status\":\"Pending\"" TAIL,
		"{\"status\":7" TAIL,
		"{\"nostatus\":\"pending\"" TAIL,
		"{\"status\":\"valid\"" TAIL,
		"{\"status\":\"valid\",\"certificate\":[]" TAIL,
		"{\"status\":\"pending\",\"finalize\":\"https://a/f\"}",
		"{\"status\":\"pending\",\"authorizations\":[],\"finalize\":\"https://a/f\"}",
		"{\"status\":\"pending\",\"authorizations\":{},\"finalize\":\"https://a/f\"}",
		"{\"status\":\"pending\",\"authorizations\":[1],\"finalize\":\"https://a/f\"}",
		"{\"status\":\"pending\",\"authorizations\":[\"\"],\"finalize\":\"https://a/f\"}",
		"{\"status\":\"pending\",\"authorizations\":[\"a\",\"\"],\"finalize\":\"f\"}",
		"{\"status\":\"pending\",\"authorizations\":[\"https://a/z\"]}",
		"{\"status\":\"pending\",\"authorizations\":[\"https://a/z\"],\"finalize\":null}",
	};
	struct acme_order_doc d;
	struct buf deep = BUF_INIT, longer = BUF_INIT;
	char url[ACME_URL_SIZE + 1];

	(void)state;
	for (size_t i = 0; i < array_len(bad); i++)
		if (message_read_order(&d, str_from(bad[i]), NULL) == 0)
			fail_msg("accepted: %s", bad[i]);
	for (int i = 0; i < 100000; i++)
		assert_int_equal(buf_add(&deep, "[", 1, NULL), 0);
	assert_int_equal(message_read_order(&d, buf_str(&deep), NULL), -1);
	memset(url, 'x', ACME_URL_SIZE);
	url[ACME_URL_SIZE] = '\0';
	assert_int_equal(buf_addf(&longer, NULL,
				  "{\"status\":\"pending\",\"authorizations\":[\"a\"],"
				  "\"finalize\":\"%s\"}",
				  url),
			 0);
	assert_int_equal(message_read_order(&d, buf_str(&longer), NULL), -1);
	buf_clear(&longer);
	for (size_t i = 0; i <= ACME_DOCUMENT_MAX / 64; i++)
		assert_int_equal(buf_addf(&longer, NULL, "%64s", ""), 0);
	assert_int_equal(message_read_order(&d, buf_str(&longer), NULL), -1);
	buf_deinit(&deep);
	buf_deinit(&longer);
}

#define CHALLENGE(type, token)                                                                     \
	"{\"type\":\"" type "\",\"url\":\"https://a/c/" type                                       \
	"\",\"status\":\"pending\",\"token\":"                                                     \
	"\"" token "\"}"
#define AUTHZ(status, challenges)                                                                  \
	"{\"status\":\"" status "\",\"identifier\":{\"type\":\"dns\",\"value\":\"A.example\"},"    \
	"\"challenges\":[" challenges "]}"

static void test_good_authorizations(void **state)
{
	struct acme_authorization_doc d;

	(void)state;
	assert_int_equal(
		message_read_authorization(
			&d,
			STR(AUTHZ("pending", CHALLENGE("dns-01", "d") "," CHALLENGE(
						     "http-01", "to_K-9") "," CHALLENGE("x", "y"))),
			NULL),
		0);
	assert_int_equal(d.status, ACME_PENDING);
	assert_string_equal(d.name, "a.example");
	assert_true(d.challenges[CHALLENGE_HTTP_01].offered);
	assert_string_equal(d.challenges[CHALLENGE_HTTP_01].token, "to_K-9");
	assert_string_equal(d.challenges[CHALLENGE_HTTP_01].url, "https://a/c/http-01");
	assert_int_equal(message_read_authorization(&d, STR(AUTHZ("valid", "")), NULL), 0);
	assert_int_equal(d.status, ACME_VALID);
	assert_false(d.challenges[CHALLENGE_HTTP_01].offered);
	assert_int_equal(message_read_authorization(
				 &d, STR(AUTHZ("pending", "7,null,{},\"x\",{\"type\":3}")), NULL),
			 0);
	assert_false(d.challenges[CHALLENGE_HTTP_01].offered);
	assert_int_equal(
		message_read_authorization(
			&d,
			STR(AUTHZ("invalid",
				  "{\"type\":\"http-01\",\"url\":\"u\",\"status\":\"invalid\","
				  "\"token\":\"t\",\"error\":{\"type\":"
				  "\"urn:ietf:params:acme:error:unauthorized\",\"detail\":\"no\","
				  "\"status\":403}}")),
			NULL),
		0);
	assert_int_equal(d.status, ACME_INVALID);
	assert_true(problem_is_acme(&d.error, "unauthorized"));
	assert_string_equal(d.error.detail, "no");
}

static void test_bad_authorizations(void **state)
{
	static const char *const bad[] = {
		"{}",
		"{\"status\":\"pending\",\"challenges\":[]}",
		"{\"status\":\"pending\",\"identifier\":{},\"challenges\":[]}",
		"{\"status\":\"pending\",\"identifier\":\"a\",\"challenges\":[]}",
		"{\"status\":\"pending\",\"identifier\":{\"value\":\"a\"}}",
		"{\"status\":\"pending\",\"identifier\":{\"value\":\"a\"},\"challenges\":{}}",
		AUTHZ("strange", ""),
		AUTHZ("pending", CHALLENGE("http-01", "")),
		AUTHZ("pending", CHALLENGE("http-01", "../../etc/passwd")),
		AUTHZ("pending", CHALLENGE("http-01", "a.b")),
		AUTHZ("pending", CHALLENGE("http-01", "a%2fb")),
		AUTHZ("pending", CHALLENGE("http-01", "a b")),
		AUTHZ("pending", CHALLENGE("http-01", "a=")),
		AUTHZ("pending", CHALLENGE("http-01", "a\\u0000b")),
		AUTHZ("pending", "{\"type\":\"http-01\",\"status\":\"pending\",\"token\":\"t\"}"),
		AUTHZ("pending", "{\"type\":\"http-01\",\"url\":\"u\",\"token\":\"t\"}"),
		AUTHZ("pending", "{\"type\":\"http-01\",\"url\":\"u\",\"status\":\"pending\"}"),
		AUTHZ("pending", "{\"type\":\"http-01\",\"url\":1,\"status\":\"pending\","
				 "\"token\":\"t\"}"),
	};
	struct acme_authorization_doc d;
	char text[1024], token[ACME_TOKEN_SIZE + 1];

	(void)state;
	for (size_t i = 0; i < array_len(bad); i++)
		if (message_read_authorization(&d, str_from(bad[i]), NULL) == 0)
			fail_msg("accepted: %s", bad[i]);
	memset(token, 't', sizeof(token));
	token[ACME_TOKEN_SIZE] = '\0';
	snprintf(text, sizeof(text), AUTHZ("pending", CHALLENGE("http-01", "%s")), token);
	assert_int_equal(message_read_authorization(&d, str_from(text), NULL), -1);
	token[ACME_TOKEN_SIZE - 1] = '\0';
	snprintf(text, sizeof(text), AUTHZ("pending", CHALLENGE("http-01", "%s")), token);
	assert_int_equal(message_read_authorization(&d, str_from(text), NULL), 0);
}

static void test_challenge_answers(void **state)
{
	static const char *const bad[] = {
		"", "<html>", "{]", "[]", "{}", "{\"status\":1}", "{\"status\":\"glad\"}"};

	(void)state;
	for (size_t i = 0; i < array_len(bad); i++)
		if (message_check_challenge(str_from(bad[i]), NULL) == 0)
			fail_msg("accepted: %s", bad[i]);
	assert_int_equal(message_check_challenge(STR(CHALLENGE("http-01", "t")), NULL), 0);
	assert_int_equal(message_check_challenge(STR("{\"status\":\"processing\"}"), NULL), 0);
}

static void test_challenge_types(void **state)
{
	static const char *const bad[] = {"",
					  " ",
					  ",",
					  "dns-02",
					  "http-01,",
					  "HTTP-01",
					  "http-01,http-01",
					  "http-01 tls-alpn-01"};
	enum challenge_type types[CHALLENGE_TYPES];
	struct err e = ERR_INIT;
	size_t n;

	(void)state;
	assert_int_equal(challenge_types_parse(STR("http-01"), types, &n, &e), 0);
	assert_int_equal(n, 1);
	assert_int_equal(challenge_types_parse(STR(" tls-alpn-01 ,http-01"), types, &n, &e), 0);
	assert_int_equal(n, 2);
	assert_int_equal(types[0], CHALLENGE_TLS_ALPN_01);
	assert_int_equal(types[1], CHALLENGE_HTTP_01);
	assert_int_equal(challenge_types_parse(STR("dns-01"), types, &n, &e), 0);
	assert_int_equal(types[0], CHALLENGE_DNS_01);
	for (size_t i = 0; i < array_len(bad); i++)
		if (challenge_types_parse(str_from(bad[i]), types, &n, &e) == 0)
			fail_msg("accepted: %s", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_written),
		cmocka_unit_test(test_directory),
		cmocka_unit_test(test_good_orders),
		cmocka_unit_test(test_bad_orders),
		cmocka_unit_test(test_good_authorizations),
		cmocka_unit_test(test_bad_authorizations),
		cmocka_unit_test(test_challenge_answers),
		cmocka_unit_test(test_challenge_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
