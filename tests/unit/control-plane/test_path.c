/* Paths of services and routes, and their normal form. */
#include "control-plane/model/path.h"

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
	{path_check, "/", NULL},
	{path_check, "/a/b;c=1,2/:@!$&'()*+~%20", NULL},
	{path_check, "a", "should start with: /"},
	{path_check, "/a//b", "must not have empty segments"},
	{path_check, "/%", "invalid url-encoded value: '%'"},
	{path_check, "/%1", "invalid url-encoded value: '%1'"},
	{path_check, "/%zz/b", "invalid url-encoded value: '%zz'"},
	{path_check, "/a b",
	 "invalid path: '/a b' (characters outside of the reserved list of RFC 3986 found)"},
	{path_check, "/é",
	 "invalid path: '/é' (characters outside of the reserved list of RFC 3986 found)"},
	{path_check_route, "/é", NULL},
	{path_check_route, "/a b\"<>\\^`{|}", NULL},
	{path_check_route, "/a%3Bb", NULL},
	{path_check_route, "/a%20b", "non-normalized path, consider use '/a b' instead"},
	{path_check_route, "/%C3%A9", "non-normalized path, consider use '/é' instead"},
	{path_check_route, "/a/../..", "non-normalized path, consider use '/' instead"},
	{path_check_route, "/a\x01",
	 "invalid path: '/a\x01' (characters outside of the reserved list of RFC 3986 found)"},
	{path_check_route, "/a[b",
	 "invalid path: '/a[b' (characters outside of the reserved list of RFC 3986 found)"},
	{path_check_route, "~/a(b|c)+$", NULL},
	{path_check_route, "~a", "should start with: / (fixed path) or ~/ (regex path)"},
	{path_check_route, "a", "should start with: / (fixed path) or ~/ (regex path)"},
	{path_check_route, "~", "should start with: / (fixed path) or ~/ (regex path)"},
	{path_check_route, "/a?b",
	 "invalid path: '/a?b' (characters outside of the reserved list of RFC 3986 found)"},
	{path_check_route, "/a/./b", "non-normalized path, consider use '/a/b' instead"},
	{path_check_route, "/a%2fb", "non-normalized path, consider use '/a%2Fb' instead"},
	{path_check_route, "/%7Ea", "non-normalized path, consider use '/~a' instead"},
	{path_check_route, "//", "must not have empty segments"},
	{path_check_route, "~/(",
	 "invalid regex: '/(' (PCRE returned: pcre2_compile() failed: missing closing parenthesis "
	 "in \"/(\")"},
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
