#include "control-plane/cli/arguments.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum { LETTERS_SIZE = 2 * OPTION_COUNT + 2, NAME_COLUMN = 17 };

static const unsigned always = CLI_TAKES(OPTION_HELP) | CLI_TAKES(OPTION_VERSION);

/* --- options --- */

static void list_options(struct option longs[OPTION_COUNT + 1], char letters[LETTERS_SIZE])
{
	size_t n = 0;

	letters[n++] = ':'; /* messages are ours */
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option_row *o = &cli_options[i];

		longs[i] = (struct option){
			.name = o->name,
			.has_arg = o->argument ? required_argument : no_argument,
			.val = 256 + (int)i,
		};
		if (!o->letter)
			continue;
		letters[n++] = o->letter;
		if (o->argument)
			letters[n++] = ':';
	}
	letters[n] = '\0';
	longs[OPTION_COUNT] = (struct option){0};
}

static size_t option_of(int value)
{
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (value == 256 + (int)i || (value < 256 && cli_options[i].letter == value))
			return i;
	return OPTION_COUNT;
}

static int read_options(struct cli *c, int argc, char **argv, struct err *e)
{
	struct option longs[OPTION_COUNT + 1];
	char letters[LETTERS_SIZE];
	int value;

	list_options(longs, letters);
	opterr = 0;
	optind = 0; /* glibc: begin anew */
	while ((value = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		if (value == ':')
			return err_set(e, ERR_INVALID, "%s needs an argument", argv[optind - 1]);
		if (value == '?' && optopt && optopt < 256)
			return err_set(e, ERR_INVALID, "no option -%c", optopt);
		if (value == '?')
			return err_set(e, ERR_INVALID, "no option %s", argv[optind - 1]);
		c->option[option_of(value)] = optarg ? optarg : "";
	}
	return 0;
}

/* Each option that was given must be one of the command's; what was not given may come from the
 * environment. */
static int settle_options(struct cli *c, struct err *e)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option_row *o = &cli_options[i];
		bool takes = (c->command->options | always) & CLI_TAKES(i);

		if (c->option[i] && !takes)
			return err_set(e, ERR_INVALID, "takes no --%s", o->name);
		if (!c->option[i] && takes && o->variable)
			c->option[i] = getenv(o->variable);
		if (c->option[i] && o->argument && !c->option[i][0])
			c->option[i] = NULL;
	}
	return 0;
}

/* --- commands --- */

/* How many of the words are the command's name; 0: they are not. */
static int matches(const char *name, char **words, int count)
{
	struct str rest = str_from(name), part;
	int n = 0;

	while (str_split(&rest, ' ', &part)) {
		if (n == count || !str_eq(part, str_from(words[n])))
			return 0;
		n++;
	}
	return n;
}

static bool is_group(const char *word)
{
	for (const struct command *c = cli_commands; c->name; c++) {
		size_t space = str_find(str_from(c->name), ' ', 0);

		if (c->name[space] && str_eq(str_sub(str_from(c->name), 0, space), str_from(word)))
			return true;
	}
	return false;
}

static int find_command(struct cli *c, char **words, int count, int *used, struct err *e)
{
	for (const struct command *one = cli_commands; one->name && count > 0; one++) {
		*used = matches(one->name, words, count);
		if (*used == 0)
			continue;
		c->command = one;
		return 0;
	}
	if (count == 0)
		return err_set(e, ERR_INVALID, "a command is missing; cardea -h lists them");
	if (is_group(words[0]) && count == 1)
		return err_set(e, ERR_INVALID, "%s needs one word more; cardea -h lists them",
			       words[0]);
	return err_set(e, ERR_INVALID, "no command %s%s%s; cardea -h lists them", words[0],
		       is_group(words[0]) ? " " : "", is_group(words[0]) ? words[1] : "");
}

static int check_count(const struct command *command, int given, struct err *e)
{
	if (given >= command->min && given <= command->max)
		return 0;
	return err_set(e, ERR_INVALID, "usage: cardea %s %s", command->name, command->arguments);
}

int arguments_read(struct cli *c, int argc, char **argv, char ***words, int *count, struct err *e)
{
	int used = 0, rc;

	if (read_options(c, argc, argv, e) < 0)
		return -1;
	rc = find_command(c, argv + optind, argc - optind, &used, e);
	if (c->option[OPTION_HELP] || c->option[OPTION_VERSION])
		return 0;
	if (rc < 0 || settle_options(c, e) < 0)
		return -1;
	*words = argv + optind + used - 1;
	*count = argc - optind - used + 1;
	return check_count(c->command, *count - 1, e);
}

/* --- help --- */

static void print_option(const struct option_row *o, FILE *out)
{
	char left[128];

	snprintf(left, sizeof(left), "--%s%s%s", o->name, o->argument ? " " : "",
		 o->argument ? o->argument : "");
	fprintf(out, "  %c%c %-27s %s%s%s%s\n", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
		left, o->help, o->variable ? " [" : "", o->variable ? o->variable : "",
		o->variable ? "]" : "");
}

static void print_options(unsigned set, FILE *out)
{
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (set & CLI_TAKES(i))
			print_option(&cli_options[i], out);
}

void arguments_help(const struct command *command, FILE *out)
{
	if (command) {
		fprintf(out, "usage: cardea %s %s\n%s\n\n", command->name, command->arguments,
			command->help);
		print_options(command->options | always, out);
		return;
	}
	fputs("usage: cardea COMMAND ... [OPTION...]   (cardea COMMAND -h: its options)\n\n", out);
	for (const struct command *c = cli_commands; c->name; c++)
		if (!c->hidden)
			fprintf(out, "  %-*s %s\n  %*s %s\n", NAME_COLUMN, c->name, c->arguments,
				NAME_COLUMN, "", c->help);
	fputs("\nof commands that talk to a server:\n", out);
	print_options(CLI_PRINTS, out);
	fputs("\nexit codes: 0 done, 1 the server refused, 2 wrong usage, 3 no server\n", out);
}
