/* The gate for a CA's URLs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "control-plane/acme/url.h"

struct gate_row {
	const char *url;
	bool public;  /* passes */
	bool private; /* passes with allow_private */
};

static const struct gate_row gates[] = {
	{"https://acme-v02.api.letsencrypt.org/directory", true, true},
	{"HTTPS://acme.example/dir", true, true},
	{"https://acme.example", true, true},
	{"https://acme.example?x=1", true, true},
	{"https://acme.example:443/dir", true, true},
	{"https://8.8.8.8/dir", true, true},
	{"https://[2606:4700::1]/dir", true, true},
	{"https://acme.example/a@b", true, true},
	{"https://acme.example:14000/dir", false, true},
	{"https://localhost/dir", false, true},
	{"https://LOCALHOST/dir", false, true},
	{"https://a.localhost/dir", false, true},
	{"https://127.0.0.1:14000/dir", false, true},
	{"https://10.0.0.1/dir", false, true},
	{"https://169.254.169.254/latest/meta-data", false, true},
	{"https://[::1]/dir", false, true},
	{"https://[::ffff:10.0.0.1]/", false, true},
	{"https://[fd00::1]:8443/", false, true},
	{"", false, false},
	{"http://acme.example/dir", false, false},
	{"ftp://acme.example/dir", false, false},
	{"file:///etc/passwd", false, false},
	{"//acme.example/dir", false, false},
	{"/dir", false, false},
	{"acme.example/dir", false, false},
	{"https:/acme.example", false, false},
	{"https://", false, false},
	{"https:///dir", false, false},
	{"https://:443/dir", false, false},
	{"https://[]/dir", false, false},
	{"https://[::1/dir", false, false},
	{"https://[::1]x/dir", false, false},
	{"https://user@acme.example/", false, false},
	{"https://user:pw@acme.example/", false, false},
	{"https://acme.example:0/", false, false},
	{"https://acme.example:65536/", false, false},
	{"https://acme.example:4x3/", false, false},
	{"https://acme.example:/", false, false},
	{"https://acme.example:443:443/", false, false},
	{"https://acme.example/a b", false, false},
	{"https://acme.example/\r\nX: y", false, false},
	{"https://acme.example/#fragment", false, false},
	{"https://acme.example\\@evil.example/", false, false},
	{"https://acme.ex\xc3\xa4mple/", false, false},
	{"https://acme.example/\x7f", false, false},
};

static void test_gate(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(gates); i++) {
		struct err e = ERR_INIT;

		if ((url_gate(str_from(gates[i].url), false, &e) == 0) != gates[i].public)
			fail_msg("'%s': %s", gates[i].url, e.message);
		if ((url_gate(str_from(gates[i].url), true, &e) == 0) != gates[i].private)
			fail_msg("'%s' with allow_private: %s", gates[i].url, e.message);
	}
}

/* The operator's own: as with allow_private, and http. */
static void test_own(void **state)
{
	static const struct {
		const char *url;
		bool passes;
	} rows[] = {
		{"http://127.0.0.1:9000/ask?key=1", true},
		{"HTTP://[::1]:9000/", true},
		{"http://hooks.internal", true},
		{"http:/127.0.0.1/", false},
		{"http://", false},
		{"http:///ask", false},
		{"ftp://a/", false},
		{"http+unix://a/", false},
		{"http://user@a/", false},
		{"http://a/\r\nX: y", false},
		{"http://a:0/", false},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++)
		if ((url_gate_own(str_from(rows[i].url), NULL) == 0) != rows[i].passes)
			fail_msg("'%s'", rows[i].url);
	for (size_t i = 0; i < array_len(gates); i++)
		if (gates[i].private && url_gate_own(str_from(gates[i].url), NULL) != 0)
			fail_msg("'%s'", gates[i].url);
}

/* Out of a certificate: http and port 80 too, and nothing private. */
static void test_responder(void **state)
{
	static const struct {
		const char *url;
		bool public, private;
	} rows[] = {
		{"http://ocsp.example", true, true},
		{"http://ocsp.example/a/", true, true},
		{"HTTP://ocsp.example:80/a", true, true},
		{"https://ocsp.example:443/a", true, true},
		{"http://ocsp.example:8080/a", false, true},
		{"http://127.0.0.1/", false, true},
		{"http://localhost:80/", false, true},
		{"http://169.254.169.254/latest/meta-data", false, true},
		{"http://[::ffff:10.0.0.1]/", false, true},
		{"http://user@ocsp.example/", false, false},
		{"ldap://ocsp.example/", false, false},
		{"http://", false, false},
		{"http://ocsp.example/\r\nX: y", false, false},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct err e = ERR_INIT;

		if ((url_gate_responder(str_from(rows[i].url), false, &e) == 0) != rows[i].public)
			fail_msg("'%s': %s", rows[i].url, e.message);
		if (rows[i].private && !rows[i].public)
			assert_non_null(strstr(e.message, "ocsp_allow_private"));
		if ((url_gate_responder(str_from(rows[i].url), true, &e) == 0) != rows[i].private)
			fail_msg("'%s' with allow_private: %s", rows[i].url, e.message);
	}
}

static void test_length(void **state)
{
	char url[ACME_URL_SIZE + 1];
	struct err e = ERR_INIT;

	(void)state;
	memset(url, 'a', sizeof(url));
	memcpy(url, "https://x/", 10);
	assert_int_equal(url_gate((struct str){url, ACME_URL_SIZE - 1}, false, &e), 0);
	assert_int_equal(url_gate((struct str){url, ACME_URL_SIZE}, false, &e), -1);
	assert_int_equal(e.kind, ERR_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gate),
		cmocka_unit_test(test_own),
		cmocka_unit_test(test_responder),
		cmocka_unit_test(test_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
