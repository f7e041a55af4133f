/* Rows TR-01, TR-02, TR-12: what upstreams are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "data-plane/proxy/forwarded.h"
#include "tests/unit/lib/oom.h"

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

static struct addr addr_of(const char *text)
{
	struct addr a;

	if (addr_parse_ip(&a, str_from(text)) != 0)
		fail_msg("not an address: %s", text);
	return a;
}

static struct str joined(const struct http_fields *f, struct arena *a)
{
	struct buf out = BUF_INIT;
	struct str text;

	for (size_t i = 0; i < f->count; i++)
		assert_int_equal(buf_addf(&out, NULL, "%s%.*s: %.*s", i ? "|" : "",
					  (int)f->items[i].name.len, f->items[i].name.ptr,
					  (int)f->items[i].value.len, f->items[i].value.ptr),
				 0);
	text = arena_str(a, buf_str(&out));
	buf_deinit(&out);
	return text;
}

static const struct row {
	const char *name;
	const char *hop, *address; /* address NULL: the hop */
	bool trusted;
	enum http_version version;
	const char *prefix, *id;
	const char *came, *want;
} rows[] = {
	{"nothing came", "192.0.2.1", NULL, false, HTTP_11, NULL, "0123", NULL,
	 "x-forwarded-for: 192.0.2.1|x-forwarded-proto: http|x-forwarded-host: a.example|"
	 "x-forwarded-port: 8000|x-forwarded-path: /p|x-real-ip: 192.0.2.1|via: 1.1 cardea|"
	 "x-kong-request-id: 0123"},
	{"a stranger says all of it", "192.0.2.1", NULL, false, HTTP_11, NULL, NULL,
	 "x-forwarded-for: 6.6.6.6|x-forwarded-proto: https|x-forwarded-host: evil|"
	 "x-forwarded-port: 1|x-forwarded-path: /evil|x-forwarded-prefix: /evil|x-real-ip: "
	 "6.6.6.6|"
	 "forwarded: for=6.6.6.6",
	 "x-forwarded-for: 6.6.6.6, 192.0.2.1|x-forwarded-proto: http|x-forwarded-host: a.example|"
	 "x-forwarded-port: 8000|x-forwarded-path: /p|x-real-ip: 192.0.2.1|via: 1.1 cardea"},
	{"a trusted one says path and prefix", "10.0.0.1", "198.51.100.7", true, HTTP_11, "/own",
	 NULL, "x-forwarded-for: 198.51.100.7|x-forwarded-path: /out/p|x-forwarded-prefix: /out",
	 "x-forwarded-for: 198.51.100.7, 10.0.0.1|x-forwarded-proto: http|x-forwarded-host: "
	 "a.example|"
	 "x-forwarded-port: 8000|x-forwarded-path: /out/p|x-forwarded-prefix: /out|"
	 "x-real-ip: 198.51.100.7|via: 1.1 cardea"},
	{"a trusted one names the client another way", "10.0.0.1", "198.51.100.7", true, HTTP_11,
	 NULL, NULL, NULL,
	 "x-forwarded-for: 198.51.100.7|x-forwarded-proto: http|x-forwarded-host: a.example|"
	 "x-forwarded-port: 8000|x-forwarded-path: /p|x-real-ip: 198.51.100.7|via: 1.1 cardea"},
	{"prefix, HTTP/2, IPv6", "2001:db8::1", NULL, false, HTTP_2, "/api", NULL, NULL,
	 "x-forwarded-for: 2001:db8::1|x-forwarded-proto: http|x-forwarded-host: a.example|"
	 "x-forwarded-port: 8000|x-forwarded-path: /p|x-forwarded-prefix: /api|"
	 "x-real-ip: 2001:db8::1|via: 2 cardea"},
	{"several fields become one", "192.0.2.1", NULL, false, HTTP_10, NULL, NULL,
	 "x-forwarded-for: 1.1.1.1|via: 1.0 a|x-forwarded-for: 2.2.2.2, 3.3.3.3|via: HTTP/1.1 b",
	 "x-forwarded-for: 1.1.1.1, 2.2.2.2, 3.3.3.3, 192.0.2.1|x-forwarded-proto: http|"
	 "x-forwarded-host: a.example|x-forwarded-port: 8000|x-forwarded-path: /p|"
	 "x-real-ip: 192.0.2.1|via: 1.0 a, HTTP/1.1 b, 1.0 cardea"},
	{"empty fields", "192.0.2.1", NULL, true, HTTP_11, NULL, NULL,
	 "x-forwarded-for:|via:|x-forwarded-path:|x-forwarded-prefix:",
	 "x-forwarded-for: 192.0.2.1|x-forwarded-proto: http|x-forwarded-host: a.example|"
	 "x-forwarded-port: 8000|x-forwarded-path: /p|x-real-ip: 192.0.2.1|via: 1.1 cardea"},
};

static void fill(struct forwarded *f, struct http_request *r, struct client *c,
		 const struct row *row, struct arena *a)
{
	*r = (struct http_request){.version = row->version,
				   .scheme = STR("http"),
				   .host = STR("a.example"),
				   .path = STR("/p")};
	add_fields(&r->fields, a, row->came);
	*c = (struct client){.hop = addr_of(row->hop),
			     .address = addr_of(row->address ? row->address : row->hop),
			     .trusted = row->trusted,
			     .scheme = STR("http"),
			     .host = r->host,
			     .port = 8000};
	*f = (struct forwarded){r, c, str_from(row->prefix), str_from(row->id)};
}

/* It stands in the lines as it will be sent, every field in its place. */
static void assert_lines(const struct http_fields *out, struct str lines)
{
	const struct http_lines l = {{STR_NONE, lines}};
	size_t n = 0;

	for (size_t i = 0; i < out->count; i++) {
		assert_true(http_is_line(&l, &out->items[i]));
		n += out->items[i].name.len + out->items[i].value.len + 4;
	}
	assert_int_equal(lines.len, n);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct http_fields out = {0};
		struct str lines;
		struct http_request r;
		struct forwarded f;
		struct client c;
		struct arena a;
		struct str got;

		arena_init(&a, 0);
		fill(&f, &r, &c, &rows[i], &a);
		assert_int_equal(forwarded_add(&out, &lines, &a, &f), 0);
		got = joined(&out, &a);
		if (!str_eq(got, str_from(rows[i].want)))
			fail_msg("%s:\n got %s\nwant %s", rows[i].name, got.ptr, rows[i].want);
		for (size_t k = 0; k < out.count; k++)
			assert_true(forwarded_replaces(out.items[k].name));
		assert_lines(&out, lines);
		arena_deinit(&a);
	}
}

static void test_replaces(void **state)
{
	static const char *const kept[] = {
		"",	"host", "x-forwarded", "x-forwarded-", "x-request-id",
		"vary", "from", "x-real-ip2",  "cookie"};

	(void)state;
	assert_true(forwarded_replaces(STR("forwarded")));
	assert_true(forwarded_replaces(STR("x-forwarded-prefix")));
	for (size_t i = 0; i < array_len(kept); i++)
		assert_false(forwarded_replaces(str_from(kept[i])));
}

static const struct {
	const char *fields;
	bool loops;
} loops[] = {
	{NULL, false},
	{"via: 1.1 cardea", false},
	{"via: 1.1 cardea, 1.1 cardea, 2 cardea", false},
	{"via: 1.1 cardea, 1.1 cardea, 2 cardea, 1.1 cardea", true},
	{"via: 1.1 cardea|via: 1.1 cardea|via: HTTP/1.1 CARDEA (x)|via: 1.1  cardea", true},
	{"via: 1.1 cardea2, 1.1 cardea2, 1.1 cardea2, 1.1 cardea2", false},
	{"via: cardea, cardea, cardea, cardea", false},
	{"via: ,,,,,", false},
	{"x-via: 1.1 cardea, 1.1 cardea, 1.1 cardea, 1.1 cardea", false},
	{"via: 1.1 a, 1.1 cardea, 1.1 cardea, 1.1 cardea, 1.1 b, 1.1 cardea", true},
};

static void test_loops(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(loops); i++) {
		struct http_request r = {.path = STR("/")};
		struct arena a;

		arena_init(&a, 0);
		add_fields(&r.fields, &a, loops[i].fields);
		if (forwarded_loops(&r) != loops[i].loops)
			fail_msg("%s", loops[i].fields);
		arena_deinit(&a);
	}
}

/* What is appended once too often is what the next round is refused for. */
static void test_a_circle_ends(void **state)
{
	struct http_fields came = {0};
	struct arena a;
	unsigned rounds = 0;

	(void)state;
	arena_init(&a, 0);
	for (; rounds < 10; rounds++) {
		struct client c = {.hop = addr_of("127.0.0.1"),
				   .address = addr_of("127.0.0.1"),
				   .scheme = STR("http")};
		struct http_request r = {.path = STR("/"), .fields = came};
		struct forwarded f = {&r, &c, STR_NONE, STR_NONE};
		struct http_fields out = {0};
		struct str lines;

		if (forwarded_loops(&r))
			break;
		assert_int_equal(forwarded_add(&out, &lines, &a, &f), 0);
		came = out;
	}
	assert_int_equal(rounds, FORWARDED_LOOPS_MAX + 1);
	arena_deinit(&a);
}

static void scenario(void *arg)
{
	unsigned *failed = arg;
	struct http_fields out = {0};
	struct str lines;
	struct http_request r;
	struct forwarded f;
	struct client c;
	struct arena a;

	arena_init(&a, 0);
	r = (struct http_request){.host = STR("a"), .path = STR("/")};
	c = (struct client){.hop = addr_of("192.0.2.1"), .scheme = STR("http"), .port = 8000};
	f = (struct forwarded){&r, &c, STR_NONE, STR_NONE};
	*failed += forwarded_add(&out, &lines, &a, &f) != 0;
	arena_deinit(&a);
}

static void test_out_of_memory(void **state)
{
	unsigned failed = 0;

	(void)state;
	assert_true(oom_each(scenario, &failed) > 0);
	assert_true(failed > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),	      cmocka_unit_test(test_replaces),
		cmocka_unit_test(test_loops),	      cmocka_unit_test(test_a_circle_ends),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
