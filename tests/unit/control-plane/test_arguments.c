/* The command line of `cardea`: which command, which options, and what is refused; and the table of
 * commands itself. */
#include "control-plane/cli/arguments.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { WORDS_MAX = 12 };

struct row {
	const char *line;
	const char *want; /* "command|word word|option=value", or the error */
};

static const struct row good[] = {
	{"get services", "get|services|"},
	{"get services a", "get|services a|"},
	{"get services -o json", "get|services|output=json "},
	{"get -ojson services", "get|services|output=json "},
	{"-o json get services", "get|services|output=json "},
	{"--output=json get services a", "get|services a|output=json "},
	{"get services -o json -o name", "get|services|output=name "},
	{"get -- services -o", "get|services -o|"},
	{"delete services a b c --wait 3", "delete|services a b c|wait=3 "},
	{"create services a=b -s http://x", "create|services a=b|server=http://x "},
	{"keyring FILE", "keyring|FILE|"},
	{"get -h", "get||help= "},
	{"-h nonsense", "||help= "},
	{"-V", "||version= "},
	{"get services -o json -V", "get||output=json version= "},
};

static const struct row bad[] = {
	{"", "a command is missing; cardea -h lists them"},
	{"-o json", "a command is missing; cardea -h lists them"},
	{"--", "a command is missing; cardea -h lists them"},
	{"nonsense", "no command nonsense; cardea -h lists them"},
	{"Get services", "no command Get; cardea -h lists them"},
	{"get", "usage: cardea get ENTITY [KEY]"},
	{"get a b c", "usage: cardea get ENTITY [KEY]"},
	{"delete services", "usage: cardea delete ENTITY KEY..."},
	{"get services --nonsense", "no option --nonsense"},
	{"get services -x", "no option -x"},
	{"get services -ox", NULL},
	{"get services -o", "-o needs an argument"},
	{"get services --server", "--server needs an argument"},
	{"get services --help=x", "no option --help=x"},
	{"get services --wait 1", "takes no --wait"},
	{"delete services a -o json", "takes no --output"},
	{"keyring FILE --server x", "takes no --server"},
	{"-f x get services", "takes no --file"},
};

static int split(char *line, char *words[WORDS_MAX])
{
	struct str rest = str_from(line), part;
	int n = 0;

	words[n++] = (char *)(uintptr_t) "cardea";
	while (*line && str_split(&rest, ' ', &part)) {
		words[n++] = line + (part.ptr - line);
		words[n - 1][part.len] = '\0';
	}
	words[n] = NULL;
	return n;
}

static void show(const struct cli *c, char **words, int count, struct buf *out)
{
	int rc = buf_addf(out, NULL, "%s|", c->command ? c->command->name : "");

	for (int i = 1; i < count; i++)
		rc |= buf_addf(out, NULL, "%s%s", i > 1 ? " " : "", words[i]);
	rc |= buf_addf(out, NULL, "|");
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (c->option[i])
			rc |= buf_addf(out, NULL, "%s=%s ", cli_options[i].name, c->option[i]);
	assert_int_equal(rc, 0);
}

static int read_line(const char *text, struct buf *shown, struct err *e)
{
	char *line = str_dup(str_from(text));
	char *words[WORDS_MAX];
	struct cli c = {.command = NULL};
	char **rest = NULL;
	int count = 0;
	int rc = arguments_read(&c, split(line, words), words, &rest, &count, e);

	if (rc == 0)
		show(&c, rest, count, shown);
	free(line);
	return rc;
}

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(good); i++) {
		struct buf shown = BUF_INIT;
		struct err e = ERR_INIT;

		if (read_line(good[i].line, &shown, &e) < 0)
			fail_msg("%s: %s", good[i].line, e.message);
		assert_string_equal(shown.data, good[i].want);
		buf_deinit(&shown);
	}
}

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(bad); i++) {
		struct buf shown = BUF_INIT;
		struct err e = ERR_INIT;
		int rc = read_line(bad[i].line, &shown, &e);

		buf_deinit(&shown);
		if (!bad[i].want) {
			assert_int_equal(rc, 0); /* -ox is -o x: the form is checked later */
			continue;
		}
		assert_int_equal(rc, -1);
		assert_int_equal(e.kind, ERR_INVALID);
		assert_string_equal(e.message, bad[i].want);
	}
}

static void test_environment(void **state)
{
	static const struct row rows[] = {
		{"get services", "get|services|output=name "},
		{"get services -o json", "get|services|output=json "},
		{"keyring FILE", "keyring|FILE|"}, /* what it does not take is not its business */
		{"get services -o ", "get|services|"},
	};

	(void)state;
	assert_int_equal(setenv("CARDEA_CLI_OUTPUT", "name", 1), 0);
	for (size_t i = 0; i < array_len(rows); i++) {
		struct buf shown = BUF_INIT;

		assert_int_equal(read_line(rows[i].line, &shown, NULL), 0);
		assert_string_equal(shown.data, rows[i].want);
		buf_deinit(&shown);
	}
	unsetenv("CARDEA_CLI_OUTPUT");
}

/* What the help, the completion and the manual rely on. */
static void test_tables(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		assert_non_null(cli_options[i].name);
		assert_non_null(cli_options[i].help);
		for (size_t k = 0; k < i; k++) {
			assert_string_not_equal(cli_options[i].name, cli_options[k].name);
			assert_true(!cli_options[i].letter ||
				    cli_options[i].letter != cli_options[k].letter);
		}
	}
	for (const struct command *c = cli_commands; c->name; c++) {
		assert_non_null(c->arguments);
		assert_non_null(c->help);
		assert_non_null(c->run);
		assert_true(c->min <= c->max);
		for (const struct command *other = cli_commands; other < c; other++)
			assert_string_not_equal(c->name, other->name);
	}
}

static void test_help_names_everything(void **state)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	arguments_help(NULL, out);
	for (const struct command *c = cli_commands; c->name; c++)
		arguments_help(c, out);
	fclose(out);
	for (const struct command *c = cli_commands; c->name; c++)
		assert_non_null(strstr(text, c->help));
	for (size_t i = 0; i < OPTION_COUNT; i++)
		assert_non_null(strstr(text, cli_options[i].help));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_help_names_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
