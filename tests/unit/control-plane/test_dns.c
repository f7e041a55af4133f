/* Answers of DNS, and the server that is asked: as tables, most of them broken. */
#include <arpa/nameser.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "control-plane/acme/dns.h"

/* id 1, an answer without errors; the question is "a." of a type. */
#define HEAD(answers) "\x00\x01\x81\x80\x00\x01\x00" answers "\x00\x00\x00\x00"
#define QUESTION "\x01\x61\x00\x00\x01\x00\x01"
#define RECORD(type, size, data) "\xc0\x0c\x00" type "\x00\x01\x00\x00\x00\x3c\x00" size data
#define SIXTEEN "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"
#define BYTES(text) (const unsigned char *)(text), sizeof(text) - 1

static void test_answers(void **state)
{
	static const struct {
		const unsigned char *bytes;
		size_t size;
		int type;
		const char *expected; /* NULL: broken */
	} rows[] = {
		{BYTES(HEAD("\x00") QUESTION), ns_t_a, ""},
		{BYTES(HEAD("\x01") QUESTION RECORD("\x01", "\x04", "\xc0\x00\x02\x01")), ns_t_a,
		 "192.0.2.1 "},
		{BYTES(HEAD("\x02") QUESTION RECORD("\x01", "\x04", "\xc0\x00\x02\x01")
			       RECORD("\x01", "\x04", "\xc0\x00\x02\x02")),
		 ns_t_a, "192.0.2.1 192.0.2.2 "},
		{BYTES(HEAD("\x01") QUESTION RECORD("\x1c", "\x10", SIXTEEN)), ns_t_aaaa,
		 "2001:db8::1 "},
		/* Another type than was asked for, as of an alias. */
		{BYTES(HEAD("\x01") QUESTION RECORD("\x1c", "\x10", SIXTEEN)), ns_t_a, ""},
		{BYTES(HEAD("\x02") QUESTION RECORD("\x05", "\x02", "\xc0\x0c")
			       RECORD("\x01", "\x04", "\xc0\x00\x02\x01")),
		 ns_t_a, "192.0.2.1 "},
		/* Sizes that no address has. */
		{BYTES(HEAD("\x01") QUESTION RECORD("\x01", "\x03", "\xc0\x00\x02")), ns_t_a, ""},
		{BYTES(HEAD("\x01") QUESTION RECORD("\x1c", "\x04", "\xc0\x00\x02\x01")), ns_t_aaaa,
		 ""},
		{BYTES(""), ns_t_a, NULL},
		{BYTES("\x00\x01\x81"), ns_t_a, NULL},
		{BYTES(HEAD("\x01")), ns_t_a, NULL},
		{BYTES(HEAD("\x01") QUESTION), ns_t_a, NULL},
		{BYTES(HEAD("\x02") QUESTION RECORD("\x01", "\x04", "\xc0\x00\x02\x01")), ns_t_a,
		 NULL},
		{BYTES(HEAD("\x01") QUESTION RECORD("\x01", "\x05", "\xc0\x00\x02\x01")), ns_t_a,
		 NULL},
		{BYTES(HEAD("\x01") QUESTION "\xc0\xff\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04"
					     "\xc0\x00\x02\x01"),
		 ns_t_a, NULL},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct dns_addresses all = {.count = 0};
		char text[256] = "";
		size_t used = 0;
		int rc = dns_read(&all, rows[i].bytes, rows[i].size, rows[i].type, NULL);

		if ((rc == 0) != (rows[i].expected != NULL))
			fail_msg("row %zu: %d", i, rc);
		for (size_t n = 0; rc == 0 && n < all.count; n++) {
			char one[ADDR_TEXT_SIZE];

			addr_ip_text(&all.items[n], one, sizeof(one));
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s ", one);
		}
		if (rc == 0)
			assert_string_equal(text, rows[i].expected);
	}
}

static void test_no_more_than_fit(void **state)
{
	static const unsigned char one[] =
		HEAD("\x01") QUESTION RECORD("\x01", "\x04", "\xc0\x00\x02\x01");
	struct dns_addresses all = {.count = 0};

	(void)state;
	for (int i = 0; i < DNS_ADDRESSES_MAX + 3; i++)
		assert_int_equal(dns_read(&all, one, sizeof(one) - 1, ns_t_a, NULL), 0);
	assert_int_equal(all.count, DNS_ADDRESSES_MAX);
}

static void test_servers(void **state)
{
	static const struct {
		const char *text, *expected; /* NULL: refused */
	} rows[] = {
		{"192.0.2.1", "192.0.2.1:53"},
		{"192.0.2.1:5353", "192.0.2.1:5353"},
		{"", NULL},
		{"dns.example.com", NULL},
		{"192.0.2.1:0", NULL},
		{"192.0.2.1:x", NULL},
		{"192.0.2.1:70000", NULL},
		{"2001:db8::1", NULL},
		{"[2001:db8::1]:53", NULL},
		{"192.0.2", NULL},
		{"192.0.2.1,192.0.2.2", NULL},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		char text[ADDR_TEXT_SIZE];
		struct addr a;
		int rc = dns_server_parse(str_from(rows[i].text), &a, NULL);

		if ((rc == 0) != (rows[i].expected != NULL))
			fail_msg("%s: %d", rows[i].text, rc);
		if (rc != 0)
			continue;
		addr_text(&a, text, sizeof(text));
		assert_string_equal(text, rows[i].expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_no_more_than_fit),
		cmocka_unit_test(test_servers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
