#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "data-plane/proxy/target_hash.h"

static struct str capture(struct str name, void *arg)
{
	return str_eq(name, STR("id")) ? str_from(arg) : STR_NONE;
}

/* What a request is like in which one value differs: a and b give different hashes, or nothing. */
static const struct {
	enum hash_source source;
	const char *name;
	const char *field, *a, *b; /* a header, or NULL */
	const char *consumer[2], *path[2], *query[2], *client[2], *captured[2];
	bool none;
} rows[] = {
	{HASH_IP, NULL, NULL, NULL, NULL, .client = {"192.0.2.1:1", "192.0.2.2:1"}},
	{HASH_IP, NULL, NULL, NULL, NULL, .client = {"[2001:db8::1]:1", "[2001:db8::2]:1"}},
	{HASH_CONSUMER, NULL, NULL, NULL, NULL, .consumer = {"a", "b"}},
	{HASH_CONSUMER, NULL, NULL, NULL, NULL, .none = true},
	{HASH_HEADER, "X-Key", "x-key", .a = "1", .b = "2"},
	{HASH_HEADER, "x-key", "x-other", .a = "1", .b = "2", .none = true},
	{HASH_HEADER, "x-key", "x-key", .a = "", .b = "", .none = true},
	{HASH_COOKIE, "c", "cookie", .a = "a=1; c=1", .b = "c=2; a=1"},
	{HASH_COOKIE, "c", "cookie", .a = "c=1", .b = " c = 2 "},
	{HASH_PATH, NULL, NULL, NULL, NULL, .path = {"/a", "/b"}},
	{HASH_QUERY_ARG, "q", NULL, NULL, NULL, .query = {"z=9&q=1", "q=2&z=9"}},
	{HASH_QUERY_ARG, "q", NULL, NULL, NULL, .query = {"%71=1", "q=2"}},
	{HASH_QUERY_ARG, "q", NULL, NULL, NULL, .query = {"q=1&q=2", "q=1&q=3"}},
	{HASH_QUERY_ARG, "q", NULL, NULL, NULL, .query = {"qq=1", "p=q"}, .none = true},
	{HASH_QUERY_ARG, "q", NULL, NULL, NULL, .query = {"q", "q="}, .none = true},
	{HASH_URI_CAPTURE, "id", NULL, NULL, NULL, .captured = {"1", "2"}},
	{HASH_URI_CAPTURE, "no", NULL, NULL, NULL, .captured = {"1", "2"}, .none = true},
	{HASH_NONE, NULL, NULL, NULL, NULL, .none = true},
};

static bool hash(size_t row, unsigned which, struct arena *a, uint64_t *out)
{
	const struct hash_input in = {rows[row].source, str_from(rows[row].name)};
	const char *value = which ? rows[row].b : rows[row].a;
	const char *client = rows[row].client[which] ? rows[row].client[which] : "192.0.2.9:1";
	struct str set_cookie = STR_NONE;
	struct http_request r = {.path = str_from(rows[row].path[which]),
				 .query = str_from(rows[row].query[which])};
	struct target_request q = {.request = &r,
				   .consumer = str_from(rows[row].consumer[which]),
				   .capture = capture,
				   .arg = (void *)(uintptr_t)rows[row].captured[which]};
	struct err e = ERR_INIT;
	struct addr addr;
	bool found;

	assert_int_equal(addr_parse(&addr, str_from(client), &e), 0);
	q.client = &addr;
	if (rows[row].field)
		assert_int_equal(
			http_fields_add(&r.fields, a, str_from(rows[row].field), str_from(value)),
			0);
	found = target_hash(&in, &q, STR("/"), a, out, &set_cookie);
	assert_null(set_cookie.ptr);
	return found;
}

static void test_sources(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 0);
	for (size_t i = 0; i < array_len(rows); i++) {
		uint64_t one = 0, again = 0, other = 0;

		if (hash(i, 0, &a, &one) == rows[i].none)
			fail_msg("row %zu", i);
		if (rows[i].none)
			continue;
		assert_true(hash(i, 0, &a, &again) && hash(i, 1, &a, &other));
		assert_true(one == again);
		if (one == other)
			fail_msg("row %zu: the same", i);
	}
	arena_deinit(&a);
}

/* Each client gets a value of its own. */
static void test_cookie_is_made(void **state)
{
	const struct hash_input in = {HASH_COOKIE, STR("stick")};
	struct http_request r = {.path = STR("/")};
	const struct target_request q = {.request = &r};
	struct str first = STR_NONE, second = STR_NONE;
	uint64_t one, two;
	struct arena a;

	(void)state;
	arena_init(&a, 0);
	assert_true(target_hash(&in, &q, STR("/x"), &a, &one, &first));
	assert_true(target_hash(&in, &q, STR("/x"), &a, &two, &second));
	assert_true(str_starts(first, STR("stick=")) && str_ends(first, STR("; Path=/x")));
	assert_false(str_eq(first, second));
	assert_true(one != two);
	arena_deinit(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_cookie_is_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
