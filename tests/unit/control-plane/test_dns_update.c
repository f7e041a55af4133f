/* The key's file, and what no server is asked for. Real servers, and what they refuse:
 * tests/integration/test_dns01.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#include "control-plane/acme/dns_update.h"

static char path[] = "/tmp/cardea-test-key.XXXXXX";

static void write_key(const char *text, size_t len)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static void test_key_files(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{"dGhpcnR5LXR3byBieXRlcyB0aGF0IGFyZSBhIGtleS4=", true},
		{"dGhpcnR5LXR3byBieXRlcyB0aGF0IGFyZSBhIGtleS4=\r\n\n", true},
		{"MDEyMzQ1Njc4OWFiY2RlZg==", true},
		{"", false},
		{"\n", false},
		{"MDEyMzQ1Njc4OWFiY2Rl", false}, /* 15 bytes */
		{"not base64!", false},
		{"hmac-sha256:cardea:dGhpcnR5LXR3byBieXRlcyB0aGF0IGFyZSBhIGtleS4=", false},
		{"key \"cardea\" { secret \"MDEyMzQ1Njc4OWFiY2RlZg==\"; };", false},
	};
	char huge[1100];

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct err e = ERR_INIT;

		write_key(rows[i].text, strlen(rows[i].text));
		if ((dns_update_key_check(path, &e) == 0) != rows[i].good)
			fail_msg("row %zu: %s", i, e.message);
	}
	memset(huge, 'A', sizeof(huge));
	write_key(huge, sizeof(huge));
	assert_int_equal(dns_update_key_check(path, NULL), -1);
	assert_int_equal(dns_update_key_check("/nowhere/key", NULL), -1);
	assert_int_equal(dns_update_key_check("/tmp", NULL), -1);
}

static void test_what_cannot_be_sent(void **state)
{
	struct dns_update_conf c = {.timeout_ms = 200};
	char value[300];
	static const struct {
		struct dns_change change;
		const char *key_name, *key_file;
		enum err_kind kind;
	} rows[] = {
		{{"example", "_a.example", "v", true}, NULL, NULL, ERR_UNAVAILABLE},
		{{"example", "_a.example", "v", false}, NULL, NULL, ERR_UNAVAILABLE},
		{{"a..b", "_a.example", "v", true}, NULL, NULL, ERR_INVALID},
		{{"example", "a..b", "v", true}, NULL, NULL, ERR_INVALID},
		{{"example", "_a.example", "v", true}, "key", "/nowhere/key", ERR_INVALID},
	};

	(void)state;
	write_key("MDEyMzQ1Njc4OWFiY2RlZg==", 24);
	assert_int_equal(addr_parse(&c.server, STR("127.0.0.1:1"), NULL), 0);
	for (size_t i = 0; i < array_len(rows); i++) {
		struct err e = ERR_INIT;

		c.key_name = rows[i].key_name;
		c.key_file = rows[i].key_file;
		assert_int_equal(dns_update_send(&c, &rows[i].change, &e), -1);
		if (e.kind != rows[i].kind)
			fail_msg("row %zu: %s", i, e.message);
	}
	memset(value, 'v', sizeof(value));
	value[256] = '\0';
	assert_int_equal(dns_update_send(&c,
					 &(struct dns_change){"example", "_a.example", value, true},
					 NULL),
			 -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key_files),
		cmocka_unit_test(test_what_cannot_be_sent),
	};
	int fd = mkstemp(path), failed;

	if (fd < 0)
		return 1;
	close(fd);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	return failed;
}
