/* Lines out of a stream, in whatever pieces it comes. */
#include "control-plane/bulk/ndjson.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/lib/oom.h"

enum { LINE_MAX_BYTES = 8 };

/* want: "number:text" for each line, "number!" for one that is too long. */
static const struct {
	const char *name, *in, *want;
} rows[] = {
	{"nothing", "", ""},
	{"one line", "a\n", "1:a "},
	{"no end", "a", "1:a "},
	{"two", "a\nbc\n", "1:a 2:bc "},
	{"two, no end", "a\nbc", "1:a 2:bc "},
	{"blank lines count", "\n\na\n\n", "3:a "},
	{"white space is blank", " \t\r\n\r\na", "3:a "},
	{"carriage return", "a\r\nb\r", "1:a 2:b "},
	{"white space inside stays", "a b\n", "1:a b "},
	{"byte order mark",
	 "\xEF\xBB\xBF"
	 "a\n",
	 "1:a "},
	{"as long as may be", "12345678\n", "1:12345678 "},
	{"too long", "123456789\n", "1! "},
	{"too long, no end", "123456789", "1! "},
	{"goes on behind it", "1234567890123456\nab\n", "1! 2:ab "},
	{"too long twice", "1234567890\n1234567890\nx", "1! 2! 3:x "},
	{"too long and blank", "          \nb", "1! 2:b "},
};

static void gather(const char *in, size_t piece, char *out, size_t size)
{
	struct ndjson s;
	size_t len = strlen(in), used = 0;

	ndjson_init(&s, LINE_MAX_BYTES);
	out[0] = '\0';
	for (size_t at = 0; at <= len; at += piece) {
		bool last = at + piece > len;
		struct str bytes = {in + at, last ? len - at : piece};
		struct ndjson_line line;

		while (ndjson_next(&s, &bytes, last, &line, NULL) > 0)
			used += (size_t)snprintf(
				out + used, size - used, line.too_long ? "%d! " : "%d:%.*s ",
				(int)line.number, (int)line.text.len, line.text.ptr);
		assert_int_equal(bytes.len, 0);
	}
	ndjson_deinit(&s);
}

static void test_pieces(void **state)
{
	char got[256];

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		for (size_t piece = 1; piece < 24; piece++) {
			gather(rows[i].in, piece, got, sizeof(got));
			if (strcmp(got, rows[i].want) != 0)
				fail_msg("%s, in pieces of %zu: %s", rows[i].name, piece, got);
		}
	}
}

static void scenario(void *arg)
{
	struct str first = STR("1234"), second = STR("5\nab\ncd");
	struct ndjson_line line;
	struct ndjson s;
	int rc;

	(void)arg;
	ndjson_init(&s, LINE_MAX_BYTES);
	rc = ndjson_next(&s, &first, false, &line, NULL);
	while (rc >= 0 && (rc = ndjson_next(&s, &second, true, &line, NULL)) > 0)
		;
	ndjson_deinit(&s);
}

static void test_memory(void **state)
{
	(void)state;
	assert_true(oom_each(scenario, NULL) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
