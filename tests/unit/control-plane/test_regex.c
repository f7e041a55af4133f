/* Regular expressions: what is taken, and Kong's words for what is not. */
#include "control-plane/model/regex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct {
	const char *pattern;
	const char *reason; /* NULL: taken */
} rows[] = {
	{"", NULL},
	{"/a.*b\?c+", NULL},
	{"(a|b)(\?:c)(\?i)d(\?<n>e)(\?P<m>f)", NULL},
	{"(\?=a)(\?!b)(\?<=c)(\?<!d)(\?>e)(\?#f)", NULL},
	{"[]a-z][^]a][[:alpha:]]", NULL},
	{"a{2}b{2,}c{2,3}\?d{x}e{", NULL},
	{"/é/\\d+\\/", NULL},
	{"()*", NULL},
	{"(", "missing closing parenthesis"},
	{"/users/(foo/profile", "missing closing parenthesis"},
	{")", "unmatched closing parenthesis"},
	{"/a)b", "unmatched closing parenthesis"},
	{"[a", "missing terminating ] for character class"},
	{"*a", "quantifier does not follow a repeatable item"},
	{"a**b", "quantifier does not follow a repeatable item"},
	{"\\", "\\ at end of pattern"},
	{"a{3,2}", "numbers out of order in {} quantifier"},
	{"a{70000}", "number too big in {} quantifier"},
	{"(\?<a", "syntax error in subpattern name (missing terminator\?)"},
	{"(\?<n>a)(\?<n>b)", "two named subpatterns have the same name (PCRE2_DUPNAMES not set)"},
	{"\\2(a)", "reference to non-existent subpattern"},
};

/* The whole text but for its end: where PCRE2 places a mistake differs between its versions. */
static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		const char *pattern = rows[i].pattern, *reason = rows[i].reason;
		struct err e = ERR_INIT;
		int rc = regex_check(str_from(pattern), &e);
		char want[256];

		snprintf(want, sizeof(want),
			 "invalid regex: '%s' (PCRE returned: pcre2_compile() failed: %s in \"%s\"",
			 pattern, reason ? reason : "", pattern);
		if (rc != (reason ? -1 : 0) ||
		    (rc < 0 && !str_starts(str_from(e.message), str_from(want))))
			fail_msg("%s: %s", pattern, rc < 0 ? e.message : "accepted");
	}
}

static void test_place(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(regex_check(STR("/a("), &e), -1);
	assert_string_equal(e.message,
			    "invalid regex: '/a(' (PCRE returned: pcre2_compile() failed: "
			    "missing closing parenthesis in \"/a(\")");
	assert_int_equal(regex_check(STR("/a)b"), &e), -1);
	assert_string_equal(e.message,
			    "invalid regex: '/a)b' (PCRE returned: pcre2_compile() failed: "
			    "unmatched closing parenthesis in \"/a)b\" at \")b\")");
}

/* Text of n times a, then n times b. */
static int check_repeated(const char *a, const char *b, size_t n, struct err *e)
{
	struct buf text = BUF_INIT;
	int rc;

	for (size_t i = 0; i < n; i++)
		assert_int_equal(buf_add_str(&text, str_from(a), NULL), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(buf_add_str(&text, str_from(b), NULL), 0);
	rc = regex_check(buf_str(&text), e);
	buf_deinit(&text);
	return rc;
}

static void test_limits(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(check_repeated("a", "", REGEX_LENGTH_MAX, NULL), 0);
	assert_int_equal(check_repeated("a", "", REGEX_LENGTH_MAX + 1, &e), -1);
	assert_true(strstr(e.message, "invalid regex: 'aaa") == e.message);
	assert_int_equal(check_repeated("(", ")", REGEX_DEPTH_MAX, NULL), 0);
	assert_int_equal(check_repeated("(", ")", REGEX_DEPTH_MAX + 1, NULL), -1);
	/* What would take gigabytes when it is unrolled. */
	assert_int_equal(regex_check(STR("((((a{1000}){1000}){1000}){1000})"), &e), -1);
	assert_non_null(strstr(e.message, "regular expression is too large"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_place),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
