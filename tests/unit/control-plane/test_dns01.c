/* What a record of dns-01 is called and says (RFC 8555 section 8.4). The rest:
 * tests/integration/test_dns01.py, with a real DNS server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/core/compiler.h"
#include "control-plane/acme/dns01.h"

static void test_value(void **state)
{
	char value[DNS01_VALUE_SIZE];

	(void)state;
	assert_int_equal(dns01_value(value, STR("token.thumbprint"), NULL), 0);
	assert_string_equal(value, "61rBZ_4knHblO0MNoxFsXZ_eTFUHum0B6IVRbhvUn5I");
	assert_int_equal(dns01_value(value, STR(""), NULL), 0);
	assert_string_equal(value, "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU");
}

static void test_name(void **state)
{
	static const char *const rows[][2] = {
		{"example.com", "_acme-challenge.example.com"},
		{"*.example.com", "_acme-challenge.example.com"},
		{"*.a.example.com", "_acme-challenge.a.example.com"},
		{"*", "_acme-challenge.*"},
		{"", "_acme-challenge."},
	};
	char long_name[254], out[DNS01_NAME_SIZE];

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		dns01_name(out, str_from(rows[i][0]));
		assert_string_equal(out, rows[i][1]);
	}
	memset(long_name, 'a', sizeof(long_name));
	dns01_name(out, (struct str){long_name, sizeof(long_name)});
	assert_int_equal(strlen(out), sizeof(long_name) + strlen("_acme-challenge."));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_value),
		cmocka_unit_test(test_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
