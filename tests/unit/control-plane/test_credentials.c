/* What request headers say of their sender. */
#include "control-plane/admin/credentials.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

enum { FIELDS_MAX = 3 };

static const struct {
	const char *name;
	struct {
		const char *name, *value;
	} fields[FIELDS_MAX];
	enum credentials want;
	const char *token;
} rows[] = {
	{"nothing", {{NULL, NULL}}, CREDENTIALS_NONE, NULL},
	{"other headers", {{"cookie", "token=t"}, {"x-token", "t"}}, CREDENTIALS_NONE, NULL},
	{"bearer", {{"authorization", "Bearer t"}}, CREDENTIALS_TOKEN, "t"},
	{"any case", {{"authorization", "BEARER t"}}, CREDENTIALS_TOKEN, "t"},
	{"spaces", {{"authorization", "bearer   t  "}}, CREDENTIALS_TOKEN, "t"},
	{"two words", {{"authorization", "Bearer t u"}}, CREDENTIALS_TOKEN, "t u"},
	{"bearer of nothing", {{"authorization", "Bearer"}}, CREDENTIALS_TOKEN, ""},
	{"bearer of space", {{"authorization", "Bearer "}}, CREDENTIALS_TOKEN, ""},
	{"Kong's", {{"kong-admin-token", "t"}}, CREDENTIALS_TOKEN, "t"},
	{"Kong's, empty", {{"kong-admin-token", ""}}, CREDENTIALS_TOKEN, ""},
	{"Kong's is no scheme", {{"kong-admin-token", "Bearer t"}}, CREDENTIALS_TOKEN, "Bearer t"},
	{"Kong's beside basic",
	 {{"authorization", "Basic dTpw"}, {"kong-admin-token", "t"}},
	 CREDENTIALS_TOKEN,
	 "t"},
	{"basic", {{"authorization", "Basic dTpw"}}, CREDENTIALS_SCHEME, NULL},
	{"empty", {{"authorization", ""}}, CREDENTIALS_SCHEME, NULL},
	{"no scheme", {{"authorization", "t"}}, CREDENTIALS_SCHEME, NULL},
	{"scheme that begins so", {{"authorization", "Bearers t"}}, CREDENTIALS_SCHEME, NULL},
	{"tab for a space", {{"authorization", "Bearer\tt"}}, CREDENTIALS_SCHEME, NULL},
	{"two",
	 {{"authorization", "Bearer t"}, {"authorization", "Bearer t"}},
	 CREDENTIALS_AMBIGUOUS,
	 NULL},
	{"two, one basic",
	 {{"authorization", "Basic dTpw"}, {"authorization", "Bearer t"}},
	 CREDENTIALS_AMBIGUOUS,
	 NULL},
	{"both",
	 {{"authorization", "Bearer t"}, {"kong-admin-token", "t"}},
	 CREDENTIALS_AMBIGUOUS,
	 NULL},
	{"two of Kong's",
	 {{"kong-admin-token", "t"}, {"kong-admin-token", "t"}},
	 CREDENTIALS_AMBIGUOUS,
	 NULL},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct http_fields f = {0};
		struct arena a;
		struct str token = STR("untouched");
		enum credentials got;

		arena_init(&a, 0);
		for (size_t k = 0; k < FIELDS_MAX && rows[i].fields[k].name; k++)
			assert_int_equal(http_fields_add(&f, &a, str_from(rows[i].fields[k].name),
							 str_from(rows[i].fields[k].value)),
					 0);
		got = credentials_find(&f, &token);
		if (got != rows[i].want || !token.ptr != !rows[i].token ||
		    (token.ptr && !str_eq(token, str_from(rows[i].token))))
			fail_msg("%s: %d, %.*s", rows[i].name, (int)got, (int)token.len,
				 token.ptr ? token.ptr : "");
		arena_deinit(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
