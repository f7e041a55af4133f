/* Questions against a DNS server on loopback: each is answered once, whatever goes wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>

#include "data-plane/sync/dns_channel.h"
#include "tests/unit/lib/dns_server.h"
#include "tests/unit/lib/loop_fixture.h"
#include "tests/unit/lib/oom.h"

struct bed {
	struct loop_fixture f;
	struct dns_server server;
	struct dns_channel *channel;
	unsigned answers;
	enum dns_outcome outcome;
	size_t records;
};

static void open_bed(struct bed *b)
{
	struct dns_channel_options o = {.timeout_ms = 50};
	struct err e = ERR_INIT;

	*b = (struct bed){.channel = NULL};
	fixture_init(&b->f);
	dns_server_start(&b->server, &b->f.loop.uv);
	o.servers = b->server.address;
	assert_int_equal(dns_channel_create(&b->channel, &b->f.loop, &o, &e), 0);
}

static void close_bed(struct bed *b)
{
	dns_channel_close(b->channel);
	dns_server_stop(&b->server);
	fixture_deinit(&b->f);
}

static void on_done(enum dns_outcome o, const struct dns_answer *a, void *arg)
{
	struct bed *b = arg;

	b->answers++;
	b->outcome = o;
	b->records = a ? a->count : 0;
}

static void test_outcomes(void **state)
{
	static const struct {
		const char *name, *has;
		unsigned rcode;
		enum dns_type type;
		enum dns_outcome want;
		size_t records;
	} rows[] = {
		{"a.test", "a.test", 0, DNS_A, DNS_OK, 2},
		{"a.test", "a.test", 0, DNS_AAAA, DNS_NOTHING, 0},
		{"a.test", "b.test", 3, DNS_A, DNS_NOTHING, 0},
		{"a.test", "a.test", 2, DNS_A, DNS_ERROR, 0},
		{"a.test", "a.test", 5, DNS_A, DNS_ERROR, 0},
		{"a.test", "a.test", DNS_REFUSED_SILENTLY, DNS_A, DNS_ERROR, 0},
		{"two..dots", "a.test", 0, DNS_A, DNS_ERROR, 0},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct err e = ERR_INIT;
		struct bed b;

		open_bed(&b);
		b.server.rcode = rows[i].rcode;
		dns_server_set(&b.server, rows[i].has, DNS_A, 60, "192.0.2.1", "192.0.2.2");
		assert_int_equal(
			dns_channel_ask(b.channel, rows[i].name, rows[i].type, on_done, &b, &e), 0);
		assert_int_equal(b.answers, 0);
		run_until(&b.f, b.answers > 0);
		assert_int_equal(b.answers, 1);
		assert_int_equal(b.outcome, rows[i].want);
		assert_int_equal(b.records, rows[i].records);
		close_bed(&b);
	}
}

static void test_servers(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{"127.0.0.1", true},
		{"127.0.0.1:53", true},
		{"127.0.0.1:65535, ::1", true},
		{" 10.0.0.1 , [2001:db8::1]:5353 ", true},
		{"", true}, /* none: those of resolv.conf */
		{"nowhere", false},
		{"nowhere:53", false},
		{"127.0.0.1:65536", false},
		{"127.0.0.1:0", false},
		{"127.0.0.1:", false},
		{"127.0.0.1:x", false},
		{"127.0.0.1;10.0.0.1", false},
		{"127.0.0.1 10.0.0.1", false},
		{",127.0.0.1", false},
		{"127.0.0.1,,10.0.0.1", false},
		{"[::1", false},
		{"1.2.3.4.5", false},
	};
	char longest[2000];
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++)
		if ((dns_servers_check(rows[i].text, &e) == 0) != rows[i].good)
			fail_msg("%s", rows[i].text);
	for (size_t n = 0; n + 10 < sizeof(longest); n += 10)
		snprintf(longest + n, 11, "10.0.0.11,");
	assert_int_equal(dns_servers_check(longest, &e), -1);
}

static void test_close_while_asking(void **state)
{
	struct err e = ERR_INIT;
	struct bed b;

	(void)state;
	open_bed(&b);
	assert_int_equal(dns_channel_ask(b.channel, "a.test", DNS_A, on_done, &b, &e), 0);
	dns_channel_close(b.channel);
	assert_int_equal(b.answers, 1);
	assert_int_equal(b.outcome, DNS_CANCELLED);
	b.channel = NULL;
	close_bed(&b);
}

/* A question that was taken is answered, also when there was no memory to watch its socket. */
static void test_out_of_memory(void **state)
{
	bool happened = true;

	(void)state;
	for (unsigned long n = 1; happened; n++) {
		struct err e = ERR_INIT;
		struct bed b;
		int rc;

		open_bed(&b);
		dns_server_set(&b.server, "a.test", DNS_A, 60, "192.0.2.1", NULL);
		oom_fail_at(n);
		rc = dns_channel_ask(b.channel, "a.test", DNS_A, on_done, &b, &e);
		happened = oom_happened();
		if (rc == 0)
			run_until(&b.f, b.answers == 1);
		else
			assert_int_equal(e.kind, ERR_MEMORY);
		close_bed(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outcomes),
		cmocka_unit_test(test_servers),
		cmocka_unit_test(test_close_while_asking),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
