/* Regular expressions: what is well formed. */
#include "control-plane/model/regex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct {
	const char *pattern;
	const char *want; /* NULL: well formed */
} rows[] = {
	{"", NULL},
	{"/a", NULL},
	{"/a.*b\?c+", NULL},
	{"(a|b)", NULL},
	{"(\?:a)", NULL},
	{"(\?i)a", NULL},
	{"(\?i:a)", NULL},
	{"(\?P<n>a)", NULL},
	{"(\?<n>a)", NULL},
	{"(\?'n'a)", NULL},
	{"(\?=a)(\?!b)(\?<=c)(\?<!d)", NULL},
	{"(\?>a)", NULL},
	{"(\?#x)a", NULL},
	{"[a-z]+", NULL},
	{"[]a]", NULL},
	{"[^]a]", NULL},
	{"[[:alpha:]]", NULL},
	{"[\\]]", NULL},
	{"a{2}", NULL},
	{"a{2,}", NULL},
	{"a{2,3}\?", NULL},
	{"a{x}", NULL},
	{"a{", NULL},
	{"a*\?", NULL},
	{"a++", NULL},
	{"\\d+", NULL},
	{"a||b", NULL},
	{"^*", NULL},
	{"()*", NULL},
	{"{", NULL},
	{"(", "missing closing parenthesis at offset 1"},
	{")", "unmatched closing parenthesis at offset 0"},
	{"a)", "unmatched closing parenthesis at offset 1"},
	{"[a", "missing terminating ] for character class at offset 0"},
	{"a[]", "missing terminating ] for character class at offset 1"},
	{"[\\]", "missing terminating ] for character class at offset 0"},
	{"*a", "quantifier does not follow a repeatable item at offset 0"},
	{"a**", "quantifier does not follow a repeatable item at offset 2"},
	{"(+)", "quantifier does not follow a repeatable item at offset 1"},
	{"a|\?", "quantifier does not follow a repeatable item at offset 2"},
	{"\\", "\\ at end of pattern at offset 0"},
	{"a{3,2}", "numbers out of order in {} quantifier at offset 1"},
	{"a{70000}", "number too big in {} quantifier at offset 1"},
	{"a{2}{3}", "quantifier does not follow a repeatable item at offset 4"},
	{"(\?", "unrecognized character after (\? or (\?- at offset 2"},
	{"(\?Z)", "unrecognized character after (\? or (\?- at offset 2"},
	{"(\?<>a)", "syntax error in subpattern name at offset 3"},
	{"(\?<a", "syntax error in subpattern name at offset 3"},
	{"(\?#a", "missing ) after (\?# comment at offset 0"},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct err e = ERR_INIT;
		int rc = regex_check(str_from(rows[i].pattern), &e);

		if (rc != (rows[i].want ? -1 : 0) ||
		    (rc < 0 && strcmp(e.message, rows[i].want) != 0))
			fail_msg("%s: %s", rows[i].pattern, rc < 0 ? e.message : "accepted");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
