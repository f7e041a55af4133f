/* Configuration tables as parts of a manual page. */
#include "common/conf/manual.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static char *written(void (*write)(FILE *out, const char *text), const char *text)
{
	char *bytes = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&bytes, &size);

	write(out, text);
	fclose(out);
	return bytes;
}

static void test_text(void **state)
{
	static const struct {
		void (*write)(FILE *out, const char *text);
		const char *text, *want;
	} rows[] = {
		{manual_text, "", ""},
		{manual_text, "plain", "plain"},
		{manual_text, "a-b", "a\\-b"},
		{manual_text, ".SH x", "\\&.SH x"},
		{manual_text, "'br", "\\(aqbr"},
		{manual_text, "a . b | c", "a \\&. b \\&| c"},
		{manual_text, "a.b (c)", "a.b \\&(c)"},
		{manual_text, "C:\\n \"x\" `y`", "C:\\en \\(dqx\\(dq \\(gay\\(ga"},
		{manual_sentence, "", ""},
		{manual_sentence, "a thing", "\\&A thing.\n"},
		{manual_sentence, "a thing.", "\\&A thing.\n"},
		{manual_sentence, "either:", "\\&Either:\n"},
		{manual_sentence, "b", "\\&B.\n"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		char *text = written(rows[i].write, rows[i].text);

		assert_string_equal(text, rows[i].want);
		free(text);
	}
}

static const char *const words[] = {"one", "two-three", NULL};
static const struct conf_key keys[] = {
	{"name", CONF_STRING, 0, NULL, 0, 0, NULL, "a name"},
	{"port", CONF_INT, 0, "80", 1, 65535, NULL, "a port"},
	{"wait", CONF_DURATION, 0, "10s", 100, 1000, NULL, "a wait"},
	{"room", CONF_SIZE, 0, "1k", 1, 2, NULL, "a room"},
	{"word", CONF_ENUM, 0, "one", 0, 0, words, "a word"},
	{"hidden", CONF_SECRET, 0, "", 0, 0, NULL, "not shown"},
};

static void write_keys(FILE *out, const char *unused)
{
	(void)unused;
	manual_keys(out, keys, array_len(keys));
}

static void test_keys(void **state)
{
	char *text = written(write_keys, NULL);

	(void)state;
	assert_string_equal(text, ".It Ic name No = Ar text\n\\&A name.\n"
				  ".It Ic port No = Ar number\n\\&A port.\nFrom 1 to 65535.\n"
				  "Default:\n.Ql 80 .\n"
				  ".It Ic wait No = Ar time\n\\&A wait.\nFrom 100 to 1000 ms.\n"
				  "Default:\n.Ql 10s .\n"
				  ".It Ic room No = Ar size\n\\&A room.\nFrom 1 to 2 bytes.\n"
				  "Default:\n.Ql 1k .\n"
				  ".It Ic word No = Ar word\n\\&A word.\nOne of one, two\\-three.\n"
				  "Default:\n.Ql one .\n"
				  ".It Ic hidden No = Ar secret\n\\&Not shown.\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
