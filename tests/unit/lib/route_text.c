#include "tests/unit/lib/route_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/http/path.h"

static struct route_texts texts(struct arena *a, struct str list, char separator)
{
	struct str rest = list, item;
	struct str *items;
	size_t n = 0;

	while (str_split(&rest, separator, &item))
		n++;
	items = arena_alloc(a, (n + 1) * sizeof(*items));
	n = 0;
	while (str_split(&list, separator, &item))
		items[n++] = item;
	return (struct route_texts){items, n};
}

static void add_headers(struct arena *a, struct route_source *s, struct str list)
{
	struct route_header_source *headers = arena_alloc(a, 8 * sizeof(*headers));
	struct str item;

	while (str_split(&list, ';', &item)) {
		size_t colon = str_find(item, ':', 0);

		assert_true(s->header_count < 8);
		headers[s->header_count].name = str_sub(item, 0, colon);
		headers[s->header_count++].values =
			texts(a, str_sub(item, colon + 1, item.len), '|');
	}
	s->headers = headers;
}

static int64_t number(struct str s)
{
	char *text = str_dup(s);
	int64_t n = strtoll(text, NULL, 10);

	free(text);
	return n;
}

struct route_source route_text(struct arena *a, const char *text)
{
	struct route_source s = {.payload = str_from(text)};
	struct str rest = str_from(text), word;

	while (str_split(&rest, ' ', &word)) {
		size_t equals = str_find(word, '=', 0);
		struct str name = str_sub(word, 0, equals);
		struct str value = str_sub(word, equals + 1, word.len);

		if (str_eq(name, STR("hosts")))
			s.hosts = texts(a, value, ',');
		else if (str_eq(name, STR("paths")))
			s.paths = texts(a, value, ',');
		else if (str_eq(name, STR("methods")))
			s.methods = texts(a, value, ',');
		else if (str_eq(name, STR("snis")))
			s.snis = texts(a, value, ',');
		else if (str_eq(name, STR("headers")))
			add_headers(a, &s, value);
		else if (str_eq(name, STR("prio")))
			s.regex_priority = number(value);
		else if (str_eq(name, STR("at")))
			s.created_at = number(value);
		else if (!str_eq(name, STR("base")) && !str_eq(name, STR("strip")) &&
			 !str_eq(name, STR("v1")))
			fail_msg("route: %.*s", (int)word.len, word.ptr);
	}
	return s;
}

struct upstream_path_rule rule_text(const char *text)
{
	struct upstream_path_rule rule = {.strip = true};
	struct str rest = str_from(text), word;

	while (str_split(&rest, ' ', &word)) {
		if (str_starts(word, STR("base=")))
			rule.base = str_sub(word, 5, word.len);
		else if (str_eq(word, STR("strip=off")))
			rule.strip = false;
		else if (str_eq(word, STR("v1")))
			rule.v1 = true;
	}
	return rule;
}

static void add_fields(struct arena *a, struct http_fields *f, struct str list)
{
	struct str item;

	while (str_split(&list, ';', &item)) {
		size_t colon = str_find(item, ':', 0);

		if (http_fields_add(f, a, str_trim(str_sub(item, 0, colon)),
				    str_trim(str_sub(item, colon + 1, item.len))) < 0)
			fail_msg("no memory");
	}
}

static struct str normal_path(struct arena *a, struct str path)
{
	char *out = arena_alloc(a, path.len + 1);

	return (struct str){out, http_path_normalise(out, path)};
}

struct route_request request_text(struct arena *a, const char *text)
{
	struct http_fields *f = arena_alloc(a, sizeof(*f));
	struct route_request q = {.fields = f};
	struct str rest = str_from(text), target = STR_NONE;
	size_t slash, query;

	if (!str_split(&rest, ' ', &q.method) || !str_split(&rest, ' ', &target))
		fail_msg("request: %s", text);
	q.tls = str_starts(target, STR("https:"));
	target = str_sub(target, q.tls ? 6 : 5, target.len);
	if (str_starts(target, STR("//"))) {
		slash = str_find(target, '/', 2);
		q.host = route_request_host(a, str_sub(target, 2, slash));
		target = str_sub(target, slash, target.len);
	}
	query = str_find(target, '?', 0);
	q.path = normal_path(a, str_sub(target, 0, query));
	if (query < target.len)
		q.sni = str_sub(target, query + 5, target.len);
	add_fields(a, f, rest);
	return q;
}
