/* TR-11: which addresses a request may be sent to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "data-plane/proxy/address_rules.h"

static struct addr addr_of(const char *text)
{
	struct err e = ERR_INIT;
	struct addr a;

	assert_int_equal(addr_parse(&a, str_from(text), &e), 0);
	return a;
}

static const struct {
	const char *allow, *addr;
	bool want;
} rows[] = {
	{"loopback, private", "127.0.0.1:80", true},
	{"loopback, private", "[::1]:80", true},
	{"loopback, private", "10.1.2.3:80", true},
	{"loopback, private", "172.16.0.1:80", true},
	{"loopback, private", "172.32.0.1:80", true},
	{"loopback, private", "192.168.1.1:80", true},
	{"loopback, private", "100.64.0.1:80", true},
	{"loopback, private", "[fd12::1]:80", true},
	{"loopback, private", "8.8.8.8:80", true},
	{"loopback, private", "[2001:4860::1]:80", true},
	{"loopback, private", "169.254.169.254:80", false},
	{"loopback, private", "169.254.0.1:80", false},
	{"loopback, private", "[fe80::1]:80", false},
	{"loopback, private", "[febf::1]:80", false},
	{"loopback, private", "[fd00:ec2::254]:80", false},
	{"loopback, private", "0.0.0.0:80", false},
	{"loopback, private", "0.1.2.3:80", false},
	{"loopback, private", "[::]:80", false},
	{"loopback, private", "224.0.0.1:80", false},
	{"loopback, private", "239.1.1.1:80", false},
	{"loopback, private", "255.255.255.255:80", false},
	{"loopback, private", "240.0.0.1:80", false},
	{"loopback, private", "[ff02::1]:80", false},
	/* the same in other clothes */
	{"loopback, private", "[::ffff:169.254.169.254]:80", false},
	{"loopback, private", "[64:ff9b::a9fe:a9fe]:80", false},
	{"loopback, private", "[::ffff:127.0.0.1]:80", true},
	{"none", "[::ffff:127.0.0.1]:80", false},
	{"none", "[64:ff9b::7f00:1]:80", false},
	{"loopback, private", "[::169.254.169.254]:80", false},
	/* less */
	{"none", "127.0.0.1:80", false},
	{"none", "10.0.0.1:80", false},
	{"none", "[fd12::1]:80", false},
	{"none", "8.8.8.8:80", true},
	{"", "127.0.0.1:80", false},
	{"private", "127.0.0.1:80", false},
	{"loopback", "127.3.2.1:80", true},
	{"loopback", "10.0.0.1:80", false},
	/* networks: as long as the special range */
	{"127.0.0.1", "127.0.0.1:80", true},
	{"127.0.0.1", "127.0.0.2:80", false},
	{"10.0.0.0/8", "10.9.9.9:80", true},
	{"10.1.0.0/16", "10.2.0.1:80", false},
	{"0.0.0.0/0", "10.0.0.1:80", false},
	{"0.0.0.0/0", "169.254.169.254:80", false},
	{"::/0", "[fd12::1]:80", false},
	{"169.254.169.254", "169.254.169.254:80", true},
	{"169.254.169.254/32", "169.254.169.253:80", false},
	{"link-local", "169.254.1.1:80", true},
	{"link-local", "[fe80::1]:80", true},
	{"fc00::/7", "[fd00:ec2::254]:80", false},
	{"fd00:ec2::254", "[fd00:ec2::254]:80", true},
	{"fd00:ec2::254", "[fd00:ec2::253]:80", false},
	/* never */
	{"0.0.0.0/8", "0.0.0.0:80", false},
	{"224.0.0.0/4", "224.0.0.1:80", false},
	{"ff00::/8", "[ff02::1]:80", false},
	{"::/128", "[::]:80", false},
};

static void test_tr11_addresses(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct address_rules *r;
		struct err e = ERR_INIT;
		struct addr a = addr_of(rows[i].addr);

		assert_int_equal(address_rules_create(&r, str_from(rows[i].allow), NULL, &e), 0);
		if (address_rules_allow(r, &a) != rows[i].want)
			fail_msg("%s with \"%s\"", rows[i].addr, rows[i].allow);
		address_rules_free(r);
	}
}

static void test_tr11_own_ports(void **state)
{
	static const struct {
		const char *listen, *addr;
		bool want;
	} own[] = {
		{"127.0.0.1:8007", "127.0.0.1:8007", false},
		{"127.0.0.1:8007", "[::ffff:127.0.0.1]:8007", false},
		{"127.0.0.1:8007", "127.0.0.1:8008", true},
		{"127.0.0.1:8007", "127.0.0.2:8007", true},
		{"0.0.0.0:8007", "127.0.0.2:8007", false},
		{"[::]:8007", "127.0.0.1:8007", false},
		{"0.0.0.0:8007", "10.0.0.1:8007", true},
		{"10.0.0.1:8007", "10.0.0.1:8007", false},
		{"off", "127.0.0.1:8007", true},
	};

	(void)state;
	for (size_t i = 0; i < array_len(own); i++) {
		struct address_rules *r;
		struct listen_list l;
		struct err e = ERR_INIT;
		struct addr a = addr_of(own[i].addr);

		assert_int_equal(listen_parse(&l, str_from(own[i].listen), &e), 0);
		assert_int_equal(address_rules_create(&r, STR("loopback, private"), &l, &e), 0);
		if (address_rules_allow(r, &a) != own[i].want)
			fail_msg("%s while %s is its own", own[i].addr, own[i].listen);
		address_rules_free(r);
	}
}

static void test_refused(void **state)
{
	static const char *const bad[] = {"localhost", "10.0.0.0/33", "10.0.0.0/", "::1/129",
					  "privat",    "10.0.0.0/x",  "10.0.0",	   "none none"};

	(void)state;
	for (size_t i = 0; i < array_len(bad); i++) {
		struct address_rules *r = NULL;
		struct err e = ERR_INIT;

		assert_int_equal(address_rules_create(&r, str_from(bad[i]), NULL, &e), -1);
		assert_null(r);
		assert_int_equal(e.kind, ERR_INVALID);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tr11_addresses),
		cmocka_unit_test(test_tr11_own_ports),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
