#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/lib/dns_server.h"

static struct dns_server server;
static struct dns_answer answer;
static unsigned char question[512], bytes[4096];

static int parse(const char *name, enum dns_type type, struct err *e)
{
	size_t q = dns_question(name, type, question);
	size_t n = dns_server_answer(&server, question, q, bytes, sizeof(bytes));

	return dns_answer_parse(&answer, type, bytes, n, e);
}

static void test_records(void **state)
{
	struct err e = ERR_INIT;
	char text[ADDR_TEXT_SIZE];

	(void)state;
	server = (struct dns_server){.rcode = 0};
	dns_server_set(&server, "a.test", DNS_A, 30, "192.0.2.1", "192.0.2.2");
	dns_server_set(&server, "a.test", DNS_AAAA, 40, "2001:db8::1", NULL);
	dns_server_set(&server, "s.test", DNS_SRV, 50, "1 2 8080 Node.Test", "3 0 81 .");
	dns_server_set(&server, "c.test", DNS_CNAME, 7, "d.test", NULL);
	dns_server_set(&server, "d.test", DNS_CNAME, 100, "a.test", NULL);
	assert_int_equal(parse("a.test", DNS_A, &e), 0);
	assert_int_equal(answer.count, 2);
	assert_int_equal(answer.ttl, 30);
	addr_text(&answer.records[1].addr, text, sizeof(text));
	assert_string_equal(text, "192.0.2.2:0");
	assert_int_equal(parse("A.Test", DNS_AAAA, &e), 0);
	addr_text(&answer.records[0].addr, text, sizeof(text));
	assert_string_equal(text, "[2001:db8::1]:0");
	assert_int_equal(parse("s.test", DNS_SRV, &e), 0);
	assert_int_equal(answer.count, 2);
	assert_string_equal(answer.records[0].target, "node.test");
	assert_int_equal(answer.records[0].priority, 1);
	assert_int_equal(answer.records[0].weight, 2);
	assert_int_equal(answer.records[0].port, 8080);
	assert_string_equal(answer.records[1].target, "");
	/* Behind aliases; the shortest time counts. */
	assert_int_equal(parse("c.test", DNS_A, &e), 0);
	assert_int_equal(answer.count, 2);
	assert_int_equal(answer.ttl, 7);
	assert_int_equal(parse("a.test", DNS_SRV, &e), -1);
	assert_int_equal(e.kind, ERR_NOT_FOUND);
	assert_int_equal(parse("nowhere.test", DNS_A, &e), -1);
	assert_int_equal(e.kind, ERR_NOT_FOUND);
}

/* F18, answers that are wrong: cut anywhere, and with any byte changed: an error or records, never
 * a read beyond the end (the sanitizers look). */
static void test_f18_malformed(void **state)
{
	static const enum dns_type types[] = {DNS_A, DNS_AAAA, DNS_SRV};
	unsigned char copy[512];
	struct err e = ERR_INIT;

	(void)state;
	for (size_t t = 0; t < array_len(types); t++) {
		size_t q = dns_question("c.test", types[t], question);
		size_t n;

		dns_server_set(&server, "c.test", DNS_CNAME, 7, "s.test", NULL);
		dns_server_set(&server, "s.test", DNS_A, 7, "192.0.2.7", NULL);
		dns_server_set(&server, "s.test", DNS_AAAA, 7, "::1", NULL);
		n = dns_server_answer(&server, question, q, bytes, sizeof(bytes));
		assert_true(n < sizeof(copy));
		for (size_t cut = 0; cut < n; cut++) {
			unsigned char *exact = malloc(cut + 1);

			memcpy(exact, bytes, cut);
			assert_int_equal(dns_answer_parse(&answer, types[t], exact, cut, &e), -1);
			free(exact);
		}
		for (size_t i = 0; i < n; i++) {
			memcpy(copy, bytes, n);
			for (unsigned v = 0; v < 256; v += 5) {
				copy[i] = (unsigned char)v;
				if (dns_answer_parse(&answer, types[t], copy, n, &e) == 0)
					assert_true(answer.count > 0);
				else
					assert_int_equal(answer.count, 0);
			}
		}
	}
}

/* A record whose length says that its name ends elsewhere: neither what is behind the record is
 * taken for the name, nor does anything hide behind it. */
static void test_length_of_names(void **state)
{
	static const struct {
		enum dns_type type;
		const char *name;
		size_t data; /* bytes */
	} rows[] = {{DNS_SRV, "s.test", 17}, {DNS_CNAME, "c.test", 8}};
	struct err e = ERR_INIT;

	(void)state;
	server = (struct dns_server){.rcode = 0};
	dns_server_set(&server, "s.test", DNS_SRV, 50, "1 2 8080 node.test", NULL);
	dns_server_set(&server, "c.test", DNS_CNAME, 7, "d.test", NULL);
	for (size_t i = 0; i < array_len(rows); i++) {
		size_t q = dns_question(rows[i].name, rows[i].type, question);
		size_t n = dns_server_answer(&server, question, q, bytes, sizeof(bytes));
		size_t length = n - rows[i].data - 1;

		assert_int_equal(bytes[length], rows[i].data);
		for (size_t data = 0; data <= rows[i].data + 4; data++) {
			memset(bytes + n, 0, 4);
			bytes[length] = (unsigned char)data;
			answer.count = 0;
			if (dns_answer_parse(&answer, rows[i].type, bytes, n + 4, &e) == 0 &&
			    data != rows[i].data)
				fail_msg("%s with %zu bytes: taken", rows[i].name, data);
		}
	}
}

/* A name that points to itself, and one that points beyond. */
static void test_pointers(void **state)
{
	struct err e = ERR_INIT;
	unsigned char loop[] = {0, 1, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, 0xC0, 12, 0, 1, 0, 1};

	(void)state;
	assert_int_equal(dns_answer_parse(&answer, DNS_A, loop, sizeof(loop), &e), -1);
	assert_int_equal(e.kind, ERR_INVALID);
	loop[13] = 200;
	assert_int_equal(dns_answer_parse(&answer, DNS_A, loop, sizeof(loop), &e), -1);
	assert_int_equal(dns_answer_parse(&answer, DNS_A, loop, 0, &e), -1);
	/* An alias that leads to itself ends. */
	server = (struct dns_server){.rcode = 0};
	dns_server_set(&server, "x.test", DNS_CNAME, 7, "x.test", NULL);
	assert_int_equal(parse("x.test", DNS_A, &e), -1);
	assert_int_equal(e.kind, ERR_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_f18_malformed),
		cmocka_unit_test(test_length_of_names),
		cmocka_unit_test(test_pointers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
