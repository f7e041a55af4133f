#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/net/ip_set.h"
#include "tests/unit/lib/oom.h"

static const struct {
	const char *set, *in, *out; /* addresses separated by spaces */
	size_t count;
} good[] = {
	{"", "", "127.0.0.1 :: 0.0.0.0", 0},
	{"  ", "", "127.0.0.1", 0},
	{"192.0.2.1", "192.0.2.1 ::ffff:192.0.2.1", "192.0.2.0 192.0.2.2 ::192.0.2.1", 1},
	{"10.0.0.0/8", "10.0.0.0 10.255.255.255", "9.255.255.255 11.0.0.0 ::10.0.0.1", 1},
	{"10.0.0.0/8,10.1.0.0/16", "10.1.2.3", "11.0.0.0", 1},
	{"10.1.0.0/16 , 10.0.0.0/8", "10.1.2.3 10.0.0.1", "11.0.0.0", 1},
	{"0.0.0.0/0", "0.0.0.0 255.255.255.255 ::ffff:1.2.3.4", ":: ::1 2001:db8::1", 1},
	{"::/0", ":: ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 1.2.3.4", "", 1},
	{"192.0.2.4/31", "192.0.2.4 192.0.2.5", "192.0.2.3 192.0.2.6", 1},
	{"192.0.2.4/32", "192.0.2.4", "192.0.2.5", 1},
	{"2001:db8::/32, ::1", "2001:db8:: 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff ::1",
	 "2001:db7:ffff:: 2001:db9:: ::2 ::", 2},
	{"2001:db8::1/128", "2001:db8::1", "2001:db8::2", 1},
	{"fe80::/10", "fe80::1 febf:ffff::1", "fec0::1 fe7f::1", 1},
	{"::ffff:10.0.0.0/104", "10.1.2.3", "11.0.0.0", 1},
	{"3.0.0.0/8,1.0.0.0/8,2.0.0.1", "1.2.3.4 2.0.0.1 3.2.1.0", "2.0.0.0 2.0.0.2 4.0.0.0", 3},
};

static const char *const bad[] = {
	",",
	"10.0.0.0/8,",
	",10.0.0.0/8",
	"10.0.0.0/8,,::1",
	"10.0.0.0/33",
	"10.0.0.0/-1",
	"10.0.0.0/+8",
	"10.0.0.0/",
	"10.0.0.0/8/8",
	"10.0.0.0/0008",
	"10.0.0.0/ 8",
	"10.0.0.1/8",
	"1.2.3.4/0",
	"10.0.0.0/255.0.0.0",
	"2001:db8::/129",
	"2001:db8::1/64",
	"10.0.0",
	"10.0.0.256",
	"010.0.0.1",
	"[::1]",
	"::1%lo",
	"localhost",
	"10.0.0.1 10.0.0.2",
	"10.0.0.1;10.0.0.2",
	"10.0.0.1:80",
	"unix:",
	"*",
	"all",
};

static struct addr addr_of(struct str text)
{
	struct addr a;

	if (addr_parse_ip(&a, text) != 0)
		fail_msg("not an address: %.*s", (int)text.len, text.ptr);
	return a;
}

static void check(const struct ip_set *s, const char *set, const char *list, bool want)
{
	struct str rest = str_from(list), ip;

	while (str_split(&rest, ' ', &ip)) {
		struct addr a;

		if (ip.len == 0)
			continue;
		a = addr_of(ip);
		if (ip_set_has(s, &a) != want)
			fail_msg("%.*s in \"%s\": want %d", (int)ip.len, ip.ptr, set, want);
	}
}

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(good); i++) {
		struct err e = ERR_INIT;
		struct ip_set *s;

		if (ip_set_parse(&s, str_from(good[i].set), &e) != 0)
			fail_msg("%s: %s", good[i].set, e.message);
		assert_int_equal(ip_set_count(s), good[i].count);
		check(s, good[i].set, good[i].in, true);
		check(s, good[i].set, good[i].out, false);
		ip_set_free(s);
	}
}

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(bad); i++) {
		struct err e = ERR_INIT;
		struct ip_set *s = NULL;

		if (ip_set_parse(&s, str_from(bad[i]), &e) == 0)
			fail_msg("taken: %s", bad[i]);
		assert_int_equal(e.kind, ERR_INVALID);
		assert_null(s);
	}
}

static void test_nothing_holds_nothing(void **state)
{
	struct addr a = addr_of(STR("127.0.0.1")), none = {0};
	struct ip_set *s;

	(void)state;
	assert_false(ip_set_has(NULL, &a));
	assert_int_equal(ip_set_count(NULL), 0);
	ip_set_free(NULL);
	assert_int_equal(ip_set_parse(&s, STR_NONE, NULL), 0);
	assert_false(ip_set_has(s, &a));
	ip_set_free(s);
	assert_int_equal(ip_set_parse(&s, STR("::/0"), NULL), 0);
	assert_false(ip_set_has(s, &none));
	ip_set_free(s);
}

static void test_many(void **state)
{
	struct buf text = BUF_INIT;
	struct err e = ERR_INIT;
	struct ip_set *s;

	(void)state;
	for (unsigned i = 0; i < 1700; i++)
		assert_int_equal(
			buf_addf(&text, &e, "%s10.%u.%u.%u", i ? "," : "", i % 7, i / 7, i % 3 * 2),
			0);
	assert_int_equal(ip_set_parse(&s, buf_str(&text), &e), 0);
	for (unsigned i = 0; i < 1700; i++) {
		char ip[32];
		struct addr a;

		snprintf(ip, sizeof(ip), "10.%u.%u.%u", i % 7, i / 7, i % 3 * 2);
		a = addr_of(str_from(ip));
		assert_true(ip_set_has(s, &a));
		snprintf(ip, sizeof(ip), "10.%u.%u.%u", i % 7, i / 7, i % 3 * 2 + 1);
		a = addr_of(str_from(ip));
		assert_false(ip_set_has(s, &a));
	}
	ip_set_free(s);
	buf_deinit(&text);
}

static void test_out_of_memory(void **state)
{
	struct err e = ERR_INIT;
	struct ip_set *s;

	(void)state;
	oom_fail_at(1);
	assert_int_equal(ip_set_parse(&s, STR("::1"), &e), -1);
	assert_true(oom_happened());
	assert_int_equal(e.kind, ERR_MEMORY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_nothing_holds_nothing),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
