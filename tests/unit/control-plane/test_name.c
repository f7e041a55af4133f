/* Names of entities, headers and cookies. */
#include "control-plane/model/name.h"

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
	{name_check, "a-Z0._~", NULL},
	{name_check, "é✓", NULL},
	{name_check, "a b",
	 "invalid value 'a b': the only accepted ascii characters are alphanumerics or ., -, _, "
	 "and ~"},
	{name_check, "a/b",
	 "invalid value 'a/b': the only accepted ascii characters are alphanumerics or ., -, _, "
	 "and ~"},
	{name_check, "a\\t",
	 "invalid value 'a\\t': the only accepted ascii characters are alphanumerics or ., -, _, "
	 "and ~"},
	{name_check_header, "X-a_1", NULL},
	{name_check_header, "a b",
	 "bad header name 'a b', allowed characters are A-Z, a-z, 0-9, '_', and '-'"},
	{name_check_header,
	 "a:", "bad header name 'a:', allowed characters are A-Z, a-z, 0-9, '_', and '-'"},
	{name_check_header, "é",
	 "bad header name 'é', allowed characters are A-Z, a-z, 0-9, '_', and '-'"},
	{name_check_cookie, "s_1", NULL},
	{name_check_cookie, "a=b",
	 "bad cookie name 'a=b', allowed characters are A-Z, a-z, 0-9, '_', and '-'"},
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
