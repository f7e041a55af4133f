#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/net/addr.h"

/* want NULL: refused; else the text that comes back. */
static const struct {
	const char *in;
	const char *want;
} addresses[] = {
	{"127.0.0.1:8001", "127.0.0.1:8001"},
	{"0.0.0.0:0", "0.0.0.0:0"},
	{"255.255.255.255:65535", "255.255.255.255:65535"},
	{"[::1]:8001", "[::1]:8001"},
	{"[::]:443", "[::]:443"},
	{"[2001:DB8::0:1]:443", "[2001:db8::1]:443"},
	{"[::ffff:127.0.0.1]:1", "[::ffff:127.0.0.1]:1"},
	{"1.2.3.4:00080", "1.2.3.4:80"},
	{"", NULL},
	{":", NULL},
	{":80", NULL},
	{"127.0.0.1", NULL},
	{"127.0.0.1:", NULL},
	{"127.0.0.1:x", NULL},
	{"127.0.0.1:-1", NULL},
	{"127.0.0.1:+1", NULL},
	{"127.0.0.1: 80", NULL},
	{"127.0.0.1:80 ", NULL},
	{" 127.0.0.1:80", NULL},
	{"127.0.0.1:65536", NULL},
	{"127.0.0.1:000080", NULL},
	{"127.0.0.1:99999999999999999999", NULL},
	{"127.0.0.1:80:80", NULL},
	{"127.0.0:80", NULL},
	{"127.0.0.256:80", NULL},
	{"127.0.0.1.1:80", NULL},
	{"localhost:80", NULL},
	{"*:80", NULL},
	{"::1:80", NULL},
	{"[::1]", NULL},
	{"[::1]80", NULL},
	{"[::1]:", NULL},
	{"[::1", NULL},
	{"[]:80", NULL},
	{"[127.0.0.1]:80", NULL},
	{"[::1%lo]:80", NULL},
	{"[:::1]:80", NULL},
	{"[1:2:3:4:5:6:7:8:9]:80", NULL},
	{"[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]:80", NULL},
};

static void test_parse(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(addresses); i++) {
		char text[ADDR_TEXT_SIZE];
		struct addr a, before;
		struct err e = ERR_INIT;
		int rc;

		memset(&a, 0x55, sizeof(a));
		before = a;
		rc = addr_parse(&a, str_from(addresses[i].in), &e);
		if ((rc == 0) != (addresses[i].want != NULL))
			fail_msg("\"%s\": %d %s", addresses[i].in, rc, e.message);
		if (rc == 0) {
			addr_text(&a, text, sizeof(text));
			assert_string_equal(text, addresses[i].want);
		} else {
			assert_int_equal(e.kind, ERR_INVALID);
			assert_memory_equal(&a, &before, sizeof(a));
		}
	}
}

static void test_parse_absent(void **state)
{
	struct addr a;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(addr_parse(&a, STR_NONE, &e), -1);
	assert_int_equal(addr_parse(&a, (struct str){"127.0\0.1:80", 11}, &e), -1);
}

static void test_ip_text(void **state)
{
	char text[ADDR_TEXT_SIZE];
	struct addr a = {0};
	struct err e = ERR_INIT;

	(void)state;
	addr_ip_text(&a, text, sizeof(text));
	assert_string_equal(text, "unknown");
	assert_int_equal(addr_port(&a), 0);
	assert_false(addr_is_loopback(&a));
	assert_int_equal(addr_parse(&a, STR("[::1]:80"), &e), 0);
	addr_ip_text(&a, text, sizeof(text));
	assert_string_equal(text, "::1");
	assert_int_equal(addr_port(&a), 80);
}

static void test_loopback(void **state)
{
	static const struct {
		const char *in;
		bool want;
	} rows[] = {
		{"127.0.0.1:1", true},
		{"127.255.0.9:1", true},
		{"[::1]:1", true},
		{"126.0.0.1:1", false},
		{"128.0.0.1:1", false},
		{"0.0.0.0:1", false},
		{"[::]:1", false},
		{"[::ffff:127.0.0.1]:1", true},
		{"[::ffff:8.8.8.8]:1", false},
		{"[::127.0.0.1]:1", false},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct addr a;
		struct err e = ERR_INIT;

		assert_int_equal(addr_parse(&a, str_from(rows[i].in), &e), 0);
		if (addr_is_loopback(&a) != rows[i].want)
			fail_msg("%s", rows[i].in);
	}
}

enum { SSL_FLAG = 1, HTTP2 = 2, REUSEPORT = 4, PROXY = 8 };

/* count -1: refused, and the message says `why`. */
static const struct {
	const char *in;
	int count;
	const char *last; /* address of the last entry */
	unsigned flags;	  /* of the last entry */
	unsigned backlog;
	const char *why;
} lists[] = {
	{"off", 0, NULL, 0, 0, NULL},
	{" off ", 0, NULL, 0, 0, NULL},
	{"127.0.0.1:8001", 1, "127.0.0.1:8001", 0, 0, NULL},
	{"0.0.0.0:8000, 0.0.0.0:8443 ssl", 2, "0.0.0.0:8443", SSL_FLAG, 0, NULL},
	{"0.0.0.0:8000 reuseport backlog=16384, 0.0.0.0:8443 http2 ssl reuseport backlog=16384", 2,
	 "0.0.0.0:8443", SSL_FLAG | HTTP2 | REUSEPORT, 16384, NULL},
	{"[::]:8443 ssl http2", 1, "[::]:8443", SSL_FLAG | HTTP2, 0, NULL},
	{"1.2.3.4:1   proxy_protocol  ", 1, "1.2.3.4:1", PROXY, 0, NULL},
	{"1.2.3.4:1,1.2.3.4:2,1.2.3.4:3", 3, "1.2.3.4:3", 0, 0, NULL},
	{"1.2.3.4:1 backlog=1", 1, "1.2.3.4:1", 0, 1, NULL},
	{"1.2.3.4:1 backlog=65535", 1, "1.2.3.4:1", 0, 65535, NULL},
	{"", -1, NULL, 0, 0, "empty listen entry"},
	{" ", -1, NULL, 0, 0, "empty listen entry"},
	{",", -1, NULL, 0, 0, "empty listen entry"},
	{"1.2.3.4:1,", -1, NULL, 0, 0, "empty listen entry"},
	{"1.2.3.4:1,,1.2.3.4:2", -1, NULL, 0, 0, "empty listen entry"},
	{"OFF", -1, NULL, 0, 0, "\"OFF\" is not an address"},
	{"off, 1.2.3.4:1", -1, NULL, 0, 0, "\"off\" is not an address"},
	{"1.2.3.4:1, off", -1, NULL, 0, 0, "\"off\" is not an address"},
	{"8001", -1, NULL, 0, 0, "\"8001\" is not an address"},
	{"localhost:8001", -1, NULL, 0, 0, "\"localhost:8001\" is not an address"},
	{"ssl 1.2.3.4:1", -1, NULL, 0, 0, "\"ssl\" is not an address"},
	{"1.2.3.4:1 SSL", -1, NULL, 0, 0, "\"SSL\" is not allowed in \"1.2.3.4:1 SSL\""},
	{"1.2.3.4:1 ssl ssl", -1, NULL, 0, 0, "\"ssl\" is not allowed"},
	{"1.2.3.4:1 spdy", -1, NULL, 0, 0, "backlog=1..65535"},
	{"1.2.3.4:1 ssl\thttp2", -1, NULL, 0, 0, "is not allowed"},
	{"1.2.3.4:1 backlog=", -1, NULL, 0, 0, "\"backlog=\" is not allowed"},
	{"1.2.3.4:1 backlog=0", -1, NULL, 0, 0, "\"backlog=0\" is not allowed"},
	{"1.2.3.4:1 backlog=65536", -1, NULL, 0, 0, "is not allowed"},
	{"1.2.3.4:1 backlog=1x", -1, NULL, 0, 0, "is not allowed"},
	{"1.2.3.4:1 backlog=-1", -1, NULL, 0, 0, "is not allowed"},
	{"1.2.3.4:1 backlog=1 backlog=2", -1, NULL, 0, 0, "\"backlog=2\" is not allowed"},
	{"1.2.3.4:1 backlog 5", -1, NULL, 0, 0, "\"backlog\" is not allowed"},
	{"1.2.3.4:1;1.2.3.4:2", -1, NULL, 0, 0, "is not an address"},
	{"1.1.1.1:1,1.1.1.1:2,1.1.1.1:3,1.1.1.1:4,1.1.1.1:5,1.1.1.1:6,1.1.1.1:7,1.1.1.1:8,"
	 "1.1.1.1:9,1.1.1.1:10,1.1.1.1:11,1.1.1.1:12,1.1.1.1:13,1.1.1.1:14,1.1.1.1:15,1.1.1.1:16,"
	 "1.1.1.1:17",
	 -1, NULL, 0, 0, "more than 16 listen entries"},
};

static unsigned flags_of(const struct listen_entry *n)
{
	return (n->ssl ? SSL_FLAG : 0U) | (n->http2 ? HTTP2 : 0U) |
	       (n->reuseport ? REUSEPORT : 0U) | (n->proxy_protocol ? PROXY : 0U);
}

static void test_listen(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(lists); i++) {
		struct listen_list list = {.count = 77};
		struct err e = ERR_INIT;
		char text[ADDR_TEXT_SIZE];
		int rc = listen_parse(&list, str_from(lists[i].in), &e);

		if (lists[i].count < 0) {
			if (rc == 0 || e.kind != ERR_INVALID || !strstr(e.message, lists[i].why))
				fail_msg("\"%s\": %d \"%s\"", lists[i].in, rc, e.message);
			assert_int_equal(list.count, 77);
			continue;
		}
		if (rc < 0)
			fail_msg("\"%s\": %s", lists[i].in, e.message);
		assert_int_equal(list.count, lists[i].count);
		if (list.count == 0)
			continue;
		addr_text(&list.entries[list.count - 1].addr, text, sizeof(text));
		assert_string_equal(text, lists[i].last);
		assert_int_equal(flags_of(&list.entries[list.count - 1]), lists[i].flags);
		assert_int_equal(list.entries[list.count - 1].backlog, lists[i].backlog);
	}
	assert_int_equal(listen_parse(&(struct listen_list){.count = 0}, STR_NONE, NULL), -1);
}

static const struct {
	const char *in;
	const char *host; /* NULL: refused */
	uint16_t port;
} host_ports[] = {
	{"cp.example.com:8005", "cp.example.com", 8005},
	{"cp:1", "cp", 1},
	{"10.0.0.1:65535", "10.0.0.1", 65535},
	{"[::1]:8005", "::1", 8005},
	{"cardea_cp-1.internal:8005", "cardea_cp-1.internal", 8005},
	{"", NULL, 0},
	{"cp", NULL, 0},
	{"cp:", NULL, 0},
	{":8005", NULL, 0},
	{"cp:0", NULL, 0},
	{"cp:65536", NULL, 0},
	{"cp:8005 ", NULL, 0},
	{"cp:80:05", NULL, 0},
	{"c p:8005", NULL, 0},
	{"http://cp:8005", NULL, 0},
	{"cp/x:8005", NULL, 0},
	{"::1:8005", NULL, 0},
	{"[cp]:8005", NULL, 0},
	{"[::1]8005", NULL, 0},
	{"m\xc3\xbcller.example:8005", NULL, 0},
	{"a-name-that-is-too-long-for-the-room-that-there-is:8005", NULL, 0},
};

static void test_host_port(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(host_ports); i++) {
		char host[32] = "before";
		uint16_t port = 7;
		struct err e = ERR_INIT;
		int rc = host_port_parse(str_from(host_ports[i].in), host, sizeof(host), &port, &e);

		if ((rc == 0) != (host_ports[i].host != NULL))
			fail_msg("\"%s\": %d %s", host_ports[i].in, rc, e.message);
		assert_string_equal(host, rc == 0 ? host_ports[i].host : "before");
		assert_int_equal(port, rc == 0 ? host_ports[i].port : 7);
	}
}

static void test_ip(void **state)
{
	static const struct {
		const char *in, *want, *unmapped;
	} rows[] = {
		{"192.0.2.1", "192.0.2.1", "192.0.2.1"},
		{"::1", "::1", "::1"},
		{"::ffff:192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1"},
		{"::ffff:0:0", "::ffff:0.0.0.0", "0.0.0.0"},
		{"::192.0.2.1", "::192.0.2.1", "::192.0.2.1"},
		{"", NULL, NULL},
		{"192.0.2.1:80", NULL, NULL},
		{"[::1]", NULL, NULL},
		{"::1%lo", NULL, NULL},
		{" ::1", NULL, NULL},
		{"unknown", NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		char text[ADDR_TEXT_SIZE];
		struct addr a;

		if ((addr_parse_ip(&a, str_from(rows[i].in)) == 0) != (rows[i].want != NULL))
			fail_msg("%s", rows[i].in);
		if (!rows[i].want)
			continue;
		addr_set_port(&a, 7);
		addr_ip_text(&a, text, sizeof(text));
		assert_string_equal(text, rows[i].want);
		addr_unmap(&a);
		addr_ip_text(&a, text, sizeof(text));
		assert_string_equal(text, rows[i].unmapped);
		assert_int_equal(addr_port(&a), 7);
	}
}

static void test_same_ip(void **state)
{
	static const char *const texts[] = {"1.2.3.4:1", "1.2.3.5:1", "[::1]:1", "[::2]:1",
					    "[::ffff:1.2.3.4]:1"};

	(void)state;
	for (size_t i = 0; i < array_len(texts); i++) {
		for (size_t k = 0; k < array_len(texts); k++) {
			struct addr a, b;

			assert_int_equal(addr_parse(&a, str_from(texts[i]), NULL), 0);
			assert_int_equal(addr_parse(&b, str_from(texts[k]), NULL), 0);
			addr_set_port(&b, 2);
			assert_int_equal(addr_same_ip(&a, &b), i == k);
		}
	}
}

/* In the order that is expected. */
static void test_compare(void **state)
{
	static const char *const texts[] = {"1.2.3.4:1", "1.2.3.4:2", "1.2.3.5:1", "200.0.0.0:1",
					    "[::1]:1",	 "[::1]:9",   "[::2]:1"};

	(void)state;
	for (size_t i = 0; i < array_len(texts); i++) {
		for (size_t k = 0; k < array_len(texts); k++) {
			struct addr a, b;
			int d;

			assert_int_equal(addr_parse(&a, str_from(texts[i]), NULL), 0);
			assert_int_equal(addr_parse(&b, str_from(texts[k]), NULL), 0);
			d = addr_compare(&a, &b);
			assert_int_equal((d > 0) - (d < 0), (i > k) - (i < k));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),	cmocka_unit_test(test_parse_absent),
		cmocka_unit_test(test_ip_text), cmocka_unit_test(test_loopback),
		cmocka_unit_test(test_listen),	cmocka_unit_test(test_host_port),
		cmocka_unit_test(test_ip),	cmocka_unit_test(test_same_ip),
		cmocka_unit_test(test_compare),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
