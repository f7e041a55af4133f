/* Rows TR-01, TR-02, PP-10: whom Cardea believes to be asked by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "data-plane/proxy/client.h"

static struct addr addr_of(const char *text)
{
	struct addr a;

	if (addr_parse_ip(&a, str_from(text)) != 0)
		fail_msg("not an address: %s", text);
	return a;
}

/* fields: "name: value|name: value" */
static void add_fields(struct http_fields *f, struct arena *a, const char *text)
{
	struct str rest = text ? str_from(text) : STR_NONE, field;

	while (str_split(&rest, '|', &field)) {
		size_t colon = str_find(field, ':', 0);

		assert_int_equal(http_fields_add(f, a, str_sub(field, 0, colon),
						 str_trim(str_sub(field, colon + 1, field.len))),
				 0);
	}
}

static const struct row {
	const char *name;
	const char *trusted, *header; /* header NULL: x-real-ip */
	bool recursive;
	const char *peer, *hop; /* hop NULL: the peer */
	const char *fields;
	const char *address; /* wanted */
	bool is_trusted;
} rows[] = {
	{"nothing said", "", NULL, false, "192.0.2.1", NULL, NULL, "192.0.2.1", false},
	{"not trusted", "10.0.0.0/8", NULL, false, "192.0.2.1", NULL, "x-real-ip: 198.51.100.7",
	 "192.0.2.1", false},
	{"trusted", "10.0.0.0/8", NULL, false, "10.1.1.1", NULL, "x-real-ip: 198.51.100.7",
	 "198.51.100.7", true},
	{"trusted, nothing said", "10.0.0.0/8", NULL, false, "10.1.1.1", NULL, NULL, "10.1.1.1",
	 true},
	{"another header is not looked at", "10.0.0.0/8", NULL, false, "10.1.1.1", NULL,
	 "x-forwarded-for: 198.51.100.7", "10.1.1.1", true},
	{"alias", "10.0.0.0/8", NULL, false, "10.1.1.1", NULL, "x_real_ip: 198.51.100.7",
	 "10.1.1.1", true},
	{"the last of a list", "10.0.0.0/8", "x-forwarded-for", false, "10.1.1.1", NULL,
	 "x-forwarded-for: 6.6.6.6, 198.51.100.7", "198.51.100.7", true},
	{"the last, also when trusted", "10.0.0.0/8", "x-forwarded-for", false, "10.1.1.1", NULL,
	 "x-forwarded-for: 198.51.100.7, 10.2.2.2", "10.2.2.2", true},
	{"recursive", "10.0.0.0/8", "x-forwarded-for", true, "10.1.1.1", NULL,
	 "x-forwarded-for: 6.6.6.6, 198.51.100.7, 10.3.3.3,10.2.2.2", "198.51.100.7", true},
	{"recursive over several fields", "10.0.0.0/8", "x-forwarded-for", true, "10.1.1.1", NULL,
	 "x-forwarded-for: 6.6.6.6, 198.51.100.7|a: b|x-forwarded-for: 10.3.3.3", "198.51.100.7",
	 true},
	{"recursive, all trusted", "10.0.0.0/8", "x-forwarded-for", true, "10.1.1.1", NULL,
	 "x-forwarded-for: 10.4.4.4, 10.3.3.3", "10.4.4.4", true},
	{"recursive stops at what is no address", "10.0.0.0/8", "x-forwarded-for", true, "10.1.1.1",
	 NULL, "x-forwarded-for: 6.6.6.6, unknown, 10.3.3.3", "10.3.3.3", true},
	{"the last is no address", "10.0.0.0/8", "x-forwarded-for", true, "10.1.1.1", NULL,
	 "x-forwarded-for: 6.6.6.6, _hidden", "10.1.1.1", true},
	{"empty element", "10.0.0.0/8", "x-forwarded-for", true, "10.1.1.1", NULL,
	 "x-forwarded-for: 6.6.6.6,", "10.1.1.1", true},
	{"empty field", "10.0.0.0/8", "x-forwarded-for", true, "10.1.1.1", NULL,
	 "x-forwarded-for:", "10.1.1.1", true},
	{"with a port", "10.0.0.0/8", NULL, false, "10.1.1.1", NULL, "x-real-ip: 198.51.100.7:4711",
	 "198.51.100.7", true},
	{"IPv6", "2001:db8::/32", NULL, false, "2001:db8::5", NULL, "x-real-ip: 2001:db9::1",
	 "2001:db9::1", true},
	{"IPv6 in brackets", "2001:db8::/32", NULL, false, "2001:db8::5", NULL,
	 "x-real-ip: [2001:db9::1]", "2001:db9::1", true},
	{"IPv6 with a port", "2001:db8::/32", NULL, false, "2001:db8::5", NULL,
	 "x-real-ip: [2001:db9::1]:80", "2001:db9::1", true},
	{"IPv4 in IPv6 form", "10.0.0.0/8", "x-forwarded-for", true, "10.1.1.1", NULL,
	 "x-forwarded-for: 198.51.100.7, ::ffff:10.9.9.9", "198.51.100.7", true},
	{"PROXY names a client", "10.0.0.0/8", NULL, false, "10.1.1.1", "198.51.100.7", NULL,
	 "198.51.100.7", false},
	{"PROXY names a client that lies", "10.0.0.0/8", NULL, false, "10.1.1.1", "198.51.100.7",
	 "x-real-ip: 6.6.6.6", "198.51.100.7", false},
	{"PROXY names a trusted proxy", "10.0.0.0/8", NULL, false, "10.1.1.1", "10.2.2.2",
	 "x-real-ip: 198.51.100.7", "198.51.100.7", true},
	{"PROXY from elsewhere names a trusted one", "10.0.0.0/8", NULL, false, "192.0.2.1",
	 "10.2.2.2", "x-real-ip: 6.6.6.6", "10.2.2.2", false},
	{"PROXY alone", "10.0.0.0/8", "proxy_protocol", false, "10.1.1.1", "10.2.2.2",
	 "x-real-ip: 6.6.6.6|x-forwarded-for: 6.6.6.6", "10.2.2.2", true},
};

static void test_address(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		const struct row *row = &rows[i];
		struct addr peer = addr_of(row->peer), local = addr_of("127.0.0.1");
		struct addr hop = row->hop ? addr_of(row->hop) : peer;
		struct http_request r = {.scheme = STR("http"), .host = STR("a.example")};
		struct client_rules rules = {
			NULL, str_from(row->header ? row->header : "x-real-ip"), row->recursive};
		char text[ADDR_TEXT_SIZE];
		struct ip_set *set;
		struct client c;
		struct arena a;

		arena_init(&a, 0);
		assert_int_equal(ip_set_parse(&set, str_from(row->trusted), NULL), 0);
		rules.trusted = set;
		add_fields(&r.fields, &a, row->fields);
		client_read(&c, &rules, &r, &peer, &hop, &local);
		addr_ip_text(&c.address, text, sizeof(text));
		if (strcmp(text, row->address) != 0 || c.trusted != row->is_trusted)
			fail_msg("%s: %s%s", row->name, text, c.trusted ? ", trusted" : "");
		ip_set_free(set);
		arena_deinit(&a);
	}
}

/* A list of more proxies than anybody has is not followed to its end. */
static void test_endless_list(void **state)
{
	struct addr peer = addr_of("10.0.0.1"), local = addr_of("127.0.0.1");
	struct http_request r = {.scheme = STR("http")};
	struct client_rules rules = {NULL, STR("x-forwarded-for"), true};
	struct buf list = BUF_INIT;
	struct ip_set *set;
	struct client c;
	struct arena a;

	(void)state;
	arena_init(&a, 0);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(buf_addf(&list, NULL, "10.0.%u.%u,", i / 250, i % 250), 0);
	assert_int_equal(buf_add_str(&list, STR("10.9.9.9"), NULL), 0);
	assert_int_equal(ip_set_parse(&set, STR("10.0.0.0/8"), NULL), 0);
	rules.trusted = set;
	assert_int_equal(http_fields_add(&r.fields, &a, STR("x-forwarded-for"), buf_str(&list)), 0);
	client_read(&c, &rules, &r, &peer, &peer, &local);
	assert_true(ip_set_has(set, &c.address));
	ip_set_free(set);
	arena_deinit(&a);
	buf_deinit(&list);
}

static const struct {
	const char *name;
	bool trusted, tls;
	const char *fields;
	const char *scheme, *host;
	unsigned port;
} forwarded[] = {
	{"own, plain", true, false, NULL, "http", "a.example", 8000},
	{"own, TLS", false, true, NULL, "https", "a.example", 8000},
	{"not trusted", false, false,
	 "x-forwarded-proto: https|x-forwarded-host: evil|x-forwarded-port: 1", "http", "a.example",
	 8000},
	{"trusted", true, false,
	 "x-forwarded-proto: https|x-forwarded-host: b.example|x-forwarded-port: 443", "https",
	 "b.example", 443},
	{"any case", true, false, "x-forwarded-proto: HTTPS", "https", "a.example", 8000},
	{"down to http", true, true, "x-forwarded-proto: http", "http", "a.example", 8000},
	{"another scheme", true, false, "x-forwarded-proto: ftp", "http", "a.example", 8000},
	{"scheme with a break", true, false, "x-forwarded-proto: https\r\nx: y", "http",
	 "a.example", 8000},
	{"the hop's own word stands last", true, false, "x-forwarded-proto: https, http", "http",
	 "a.example", 8000},
	{"and in the last field", true, false, "x-forwarded-proto: http|x-forwarded-proto: https",
	 "https", "a.example", 8000},
	{"host with a port", true, false, "x-forwarded-host: b.example:444", "http", "b.example",
	 8000},
	{"host that is none", true, false, "x-forwarded-host: b/../c", "http", "a.example", 8000},
	{"host with a space", true, false, "x-forwarded-host: b c", "http", "a.example", 8000},
	{"empty host", true, false, "x-forwarded-host:", "http", "a.example", 8000},
	{"port 0", true, false, "x-forwarded-port: 0", "http", "a.example", 8000},
	{"port 65536", true, false, "x-forwarded-port: 65536", "http", "a.example", 8000},
	{"port with a sign", true, false, "x-forwarded-port: +80", "http", "a.example", 8000},
	{"port of words", true, false, "x-forwarded-port: https", "http", "a.example", 8000},
};

static void test_forwarded(void **state)
{
	struct addr peer = addr_of("10.0.0.1"), local = addr_of("127.0.0.1");

	(void)state;
	addr_set_port(&local, 8000);
	for (size_t i = 0; i < array_len(forwarded); i++) {
		struct http_request r = {.scheme = forwarded[i].tls ? STR("https") : STR("http"),
					 .host = STR("a.example")};
		struct client_rules rules = {NULL, STR("x-real-ip"), false};
		struct ip_set *set;
		struct client c;
		struct arena a;

		arena_init(&a, 0);
		assert_int_equal(ip_set_parse(&set,
					      forwarded[i].trusted ? STR("10.0.0.0/8") : STR("::1"),
					      NULL),
				 0);
		rules.trusted = set;
		add_fields(&r.fields, &a, forwarded[i].fields);
		client_read(&c, &rules, &r, &peer, &peer, &local);
		if (!str_eq(c.scheme, str_from(forwarded[i].scheme)) ||
		    !str_eq(c.host, str_from(forwarded[i].host)) || c.port != forwarded[i].port)
			fail_msg("%s: %.*s://%.*s:%u", forwarded[i].name, (int)c.scheme.len,
				 c.scheme.ptr, (int)c.host.len, c.host.ptr, c.port);
		assert_int_equal(c.tls, forwarded[i].tls);
		ip_set_free(set);
		arena_deinit(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_address),
		cmocka_unit_test(test_endless_list),
		cmocka_unit_test(test_forwarded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
