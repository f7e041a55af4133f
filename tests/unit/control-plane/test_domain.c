/* What a CA counts certificates of a name under. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/core/compiler.h"
#include "control-plane/acme/domain.h"

static const char *const rows[][2] = {
	{"example.com", "example.com"},
	{"a.b.example.com", "example.com"},
	{"*.example.com", "example.com"},
	{"www.example.co.uk", "example.co.uk"},
	{"co.uk", "co.uk"},
	{"com", "com"},
	/* The private part of the list counts too: each is somebody else's. */
	{"one.github.io", "one.github.io"},
	{"x.two.github.io", "two.github.io"},
	{"a.unknown-suffix-zz", "a.unknown-suffix-zz"},
	{"b.a.unknown-suffix-zz", "a.unknown-suffix-zz"},
	{"localhost", "localhost"},
	{"192.0.2.1", "192.0.2.1"},
	{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
	{"::1", "::/64"},
	{"", ""},
};

static void test_registered(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		char domain[DOMAIN_SIZE];

		domain_registered(domain, rows[i][0]);
		assert_string_equal(domain, rows[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_registered)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
