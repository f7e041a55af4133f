/* Which addresses are public. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/core/compiler.h"
#include "common/net/addr_public.h"

struct address_row {
	const char *text;
	bool public;
};

static const struct address_row addresses[] = {
	{"8.8.8.8", true},
	{"1.1.1.1", true},
	{"172.15.255.255", true},
	{"172.32.0.0", true},
	{"100.63.255.255", true},
	{"100.128.0.0", true},
	{"223.255.255.255", true},
	{"2606:4700::1111", true},
	{"::ffff:8.8.8.8", true},
	{"64:ff9b::808:808", true},
	{"2002:808:808::1", true},
	{"0.0.0.0", false},
	{"0.1.2.3", false},
	{"10.255.0.1", false},
	{"100.64.0.1", false},
	{"100.127.255.255", false},
	{"127.0.0.1", false},
	{"127.255.255.254", false},
	{"169.254.169.254", false},
	{"172.16.0.1", false},
	{"172.31.255.255", false},
	{"192.0.0.1", false},
	{"192.0.2.1", false},
	{"192.168.1.1", false},
	{"198.18.0.1", false},
	{"198.19.255.255", false},
	{"198.51.100.1", false},
	{"203.0.113.1", false},
	{"224.0.0.1", false},
	{"240.0.0.1", false},
	{"255.255.255.255", false},
	{"::", false},
	{"::1", false},
	{"::7f00:1", false},
	{"::ffff:127.0.0.1", false},
	{"::ffff:10.0.0.1", false},
	{"64:ff9b::a00:1", false},
	{"64:ff9b:1::1", false},
	{"100::1", false},
	{"2001:db8::1", false},
	{"2001::1", false},
	{"2002:a00:1::1", false},
	{"fc00::1", false},
	{"fdff::1", false},
	{"fe80::1", false},
	{"febf::1", false},
	{"fec0::1", false},
	{"ff02::1", false},
};

static void test_addresses(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(addresses); i++) {
		struct sockaddr_in in4 = {.sin_family = AF_INET};
		struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
		struct sockaddr_storage ss = {0};

		if (inet_pton(AF_INET, addresses[i].text, &in4.sin_addr) == 1)
			memcpy(&ss, &in4, sizeof(in4));
		else if (inet_pton(AF_INET6, addresses[i].text, &in6.sin6_addr) == 1)
			memcpy(&ss, &in6, sizeof(in6));
		else
			fail_msg("%s", addresses[i].text);
		if (addr_is_public((struct sockaddr *)&ss) != addresses[i].public)
			fail_msg("%s", addresses[i].text);
	}
}

static void test_other_families(void **state)
{
	struct sockaddr sa = {.sa_family = AF_UNIX};

	(void)state;
	assert_false(addr_is_public(&sa));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_other_families),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
