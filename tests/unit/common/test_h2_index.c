/* Which fields are put into the peer's HPACK table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/http/h2_index.h"

enum { TIMES = 12 };

static const struct {
	const char *what;
	const char *values[TIMES];
	const char *worth; /* one letter per value: y or n */
} rows[] = {
	{"always the same", {"a", "a", "a", "a", "a"}, "yyyyy"},
	{"always another", {"a", "b", "c", "d", "e"}, "ynnnn"},
	{"twice in a row", {"a", "b", "b", "c", "c", "d"}, "ynnnnn"},
	{"one that stays", {"a", "b", "b", "b", "b"}, "ynnyy"},
	{"one that goes and comes", {"a", "a", "a", "b", "a", "a", "a"}, "yyynnny"},
	{"empty", {"", "", "", "x", ""}, "yyynn"},
	{"differs at the end", {"0123456789abcdef0", "0123456789abcdef1"}, "yn"},
	{"differs at the beginning", {"0123456789abcdef0", "1123456789abcdef0"}, "yn"},
	{"differs in the middle", {"0123456789abcdef0", "01234567x9abcdef0"}, "yn"},
	{"differs in length", {"aaaaaaaaaa", "aaaaaaaaaaa"}, "yn"},
	{"short ones", {"1", "12", "123", "1234567", "12345678"}, "ynnnn"},
	{"seconds of a date",
	 {"Sat, 01 Jan 2000 00:00:07 GMT", "Sat, 01 Jan 2000 00:00:08 GMT"},
	 "yn"},
};

static void test_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct h2_index x = {0};

		print_message("%s\n", rows[i].what);
		for (size_t n = 0; n < strlen(rows[i].worth); n++)
			assert_int_equal(
				h2_index_worth(&x, STR("date"), str_from(rows[i].values[n])),
				rows[i].worth[n] == 'y');
	}
}

static void test_names_are_kept_apart(void **state)
{
	static const char *const names[] = {":status", "date",	 "server", "via",
					    "x-id",    "x-time", "x-age",  "content-type"};
	struct h2_index x = {0};

	(void)state;
	for (size_t i = 0; i < array_len(names); i++)
		assert_true(h2_index_worth(&x, str_from(names[i]), STR("1")));
	for (size_t i = 0; i < array_len(names); i++)
		assert_false(h2_index_worth(&x, str_from(names[i]), STR("2")));
}

/* More names than there is room for: each is new when it comes again, as without an index. */
static void test_more_names_than_slots(void **state)
{
	struct h2_index x = {0};
	char name[24];
	unsigned worth = 0;

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 100 * H2_INDEX_SLOTS; i++) {
			int n = snprintf(name, sizeof(name), "x-field-%d", i);

			worth += h2_index_worth(&x, (struct str){name, (size_t)n},
						round ? STR("1") : STR("2"));
		}
	}
	assert_true(worth > 190 * H2_INDEX_SLOTS);
}

/* A name that has no bytes is not sent by anybody, and must do no harm. */
static void test_no_name(void **state)
{
	struct h2_index x = {0};

	(void)state;
	assert_true(h2_index_worth(&x, STR_NONE, STR_NONE));
	assert_false(h2_index_worth(&x, STR(""), STR("x")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_names_are_kept_apart),
		cmocka_unit_test(test_more_names_than_slots),
		cmocka_unit_test(test_no_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
