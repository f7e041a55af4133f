/* Hosts, addresses and targets (wildcard names of SNIs: test_sni). */
#include "control-plane/model/host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/core/str.h"

static const struct {
	int (*check)(const json_t *value, struct err *e);
	const char *text;
	const char *want; /* NULL: accepted */
} rows[] = {
	{host_check, "a.com", NULL},
	{host_check, "a.com.", NULL},
	{host_check, "A_b-c", NULL},
	{host_check, "1.2.3.4", NULL},
	{host_check, "::1", NULL},
	{host_check, "[::1]", NULL},
	{host_check, "a.com:80", "must not have a port"},
	{host_check, "1.2.3.4:1", "must not have a port"},
	{host_check, "[::1]:80", "must not have a port"},
	{host_check, "1.2.3.400", "invalid value: 1.2.3.400"},
	{host_check, "1.2.3", "invalid value: 1.2.3"},
	{host_check, "a..b", "invalid value: a..b"},
	{host_check, "-a", "invalid value: -a"},
	{host_check, "a-", "invalid value: a-"},
	{host_check, "a b", "invalid value: a b"},
	{host_check, ".", "invalid value: ."},
	{host_check, "[::1", "invalid value: [::1"},
	{host_check, "[a]", "invalid value: [a]"},
	{host_check, "[::1]x", "invalid value: [::1]x"},
	{host_check, "*.a.com", "invalid value: *.a.com"},
	{host_check, ":80", "invalid value: :80"},
	{host_check, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
	 "invalid value: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},
	{host_check, "é", "invalid value: é"},
	{host_check_optional_port, "a.com:80", NULL},
	{host_check_optional_port, "a.com", NULL},
	{host_check_optional_port, "a.com:65536", "invalid port number"},
	{host_check_optional_port, "a.com:", "invalid port number"},
	{host_check_optional_port, "a.com:x", "invalid port number"},
	{host_check_optional_port, "a b:1", "invalid value: a b:1"},
	{host_check_route, "a.com", NULL},
	{host_check_route, "*.a.com", NULL},
	{host_check_route, "a.*", NULL},
	{host_check_route, "*.a.com:80", NULL},
	{host_check_route, "a.*:80", NULL},
	{host_check_route, "*", "invalid wildcard: must be placed at leftmost or rightmost label"},
	{host_check_route, "*a.com",
	 "invalid wildcard: must be placed at leftmost or rightmost label"},
	{host_check_route, "a.*.b",
	 "invalid wildcard: must be placed at leftmost or rightmost label"},
	{host_check_route, "a*", "invalid wildcard: must be placed at leftmost or rightmost label"},
	{host_check_route, "*.*", "invalid wildcard: must have at most one wildcard"},
	{host_check_route, "*.a b", "invalid value: *.a b"},
	{host_check_route, "*.a.com:x", "invalid port number"},
	{host_check_route,
	 "*.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a."
	 "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a."
	 "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a."
	 "a.a.a.a.a.a.a.a.a.a",
	 "invalid value: "
	 "*.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a."
	 "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a."
	 "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a."
	 "a.a.a.a.a.a.a.a.a.a"},
	{host_check_upstream, "up.stream", NULL},
	{host_check_upstream, "1.2.3.4", "Invalid name ('1.2.3.4'); no ip addresses allowed"},
	{host_check_upstream, "::1", "Invalid name ('::1'); no ip addresses allowed"},
	{host_check_upstream, "a:1", "Invalid name ('a:1'); no port allowed"},
	{host_check_upstream, "a/b", "Invalid name ('a/b'); must be a valid hostname"},
	{host_check_ip_or_cidr, "1.2.3.4", NULL},
	{host_check_ip_or_cidr, "10.0.0.0/8", NULL},
	{host_check_ip_or_cidr, "::1", NULL},
	{host_check_ip_or_cidr, "fe80::/10", NULL},
	{host_check_ip_or_cidr, "0.0.0.0/0", NULL},
	{host_check_ip_or_cidr, "1.2.3.4/33", "invalid ip or cidr range: '1.2.3.4/33'"},
	{host_check_ip_or_cidr, "::/129", "invalid ip or cidr range: '::/129'"},
	{host_check_ip_or_cidr, "1.2.3.4/", "invalid ip or cidr range: '1.2.3.4/'"},
	{host_check_ip_or_cidr, "a.com", "invalid ip or cidr range: 'a.com'"},
	{host_check_ip_or_cidr, "1.2.3.4/x", "invalid ip or cidr range: '1.2.3.4/x'"},
	{host_check_ip_or_cidr, "/8", "invalid ip or cidr range: '/8'"},
	{host_check_ip_or_cidr, "1.2.3.4/8/8", "invalid ip or cidr range: '1.2.3.4/8/8'"},
	{host_check_target, "a b", "Invalid target; not a valid hostname or ip address"},
	{host_check_target, "1.2.3.4:65536", "Invalid target; not a valid hostname or ip address"},
	{host_check_target, "[::1", "Invalid target; not a valid hostname or ip address"},
	{host_check_target, "1.2.3.400", "Invalid target; not a valid hostname or ip address"},
	{host_check_target, "a:b:c", "Invalid target; not a valid hostname or ip address"},
	{host_check_target, ":1", "Invalid target; not a valid hostname or ip address"},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		json_t *value = json_string(rows[i].text);
		struct err e = ERR_INIT;
		int rc = rows[i].check(value, &e);

		if (rc != (rows[i].want ? -1 : 0) ||
		    (rc < 0 && strcmp(e.message, rows[i].want) != 0))
			fail_msg("%s: %s", rows[i].text, rc < 0 ? e.message : "accepted");
		json_decref(value);
	}
}

static void test_targets(void **state)
{
	static const struct {
		const char *in, *want;
	} targets[] = {
		{"a.com", "a.com:8000"},
		{"a.com:1", "a.com:1"},
		{"1.2.3.4", "1.2.3.4:8000"},
		{"::1", "[0000:0000:0000:0000:0000:0000:0000:0001]:8000"},
		{"[2001:db8::1]:443", "[2001:0db8:0000:0000:0000:0000:0000:0001]:443"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(targets); i++) {
		struct buf out = BUF_INIT;

		assert_int_equal(host_target(&out, str_from(targets[i].in), NULL), 0);
		assert_string_equal(out.data, targets[i].want);
		buf_deinit(&out);
	}
}

static void test_sni_served(void **state)
{
	static const struct {
		const char *name, *want; /* NULL: nobody can ask for it */
	} names[] = {
		{"a.com", "a.com"},
		{"A.cOm", "a.com"},
		{"*.A.com", "*.a.com"},
		{"A.*", "a.*"},
		{"*", "*"},
		{"a", "a"},
		{"_x.a.com", "_x.a.com"},
		{"1a.2", "1a.2"},
		{"xn--4ca.com", "xn--4ca.com"},
		{"", NULL},
		{"*a.com", NULL},
		{"a*", NULL},
		{"*.", NULL},
		{".*", NULL},
		{"*.*", NULL},
		{"123", NULL},
		{"1.2.3.4", "1.2.3.4"},
		{"::1", "::1"},
		{"2001:DB8:0:0::1", "2001:db8::1"},
		{"1.2.3", NULL},
		{"1.2.3.400", NULL},
		{"1.2.3.4:443", NULL},
		{"[::1]", NULL},
		{"*.1", NULL},
		{"a..b", NULL},
		{".a", NULL},
		{"a.", NULL},
		{"a b", NULL},
		{"a.com:80", NULL},
		{"-a", NULL},
	};
	char long_name[300], out[HOST_NAME_SIZE];

	(void)state;
	for (size_t i = 0; i < array_len(names); i++) {
		bool served = host_sni_served(str_from(names[i].name), out);

		if (served != (names[i].want != NULL) ||
		    (served && strcmp(out, names[i].want) != 0))
			fail_msg("%s", names[i].name);
	}
	for (size_t i = 0; i < sizeof(long_name); i++)
		long_name[i] = i % 50 == 49 ? '.' : 'a';
	assert_true(host_sni_served((struct str){long_name, 253}, out));
	assert_int_equal(strlen(out), 253);
	assert_false(host_sni_served((struct str){long_name, 254}, out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_sni_served),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
