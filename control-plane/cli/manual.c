/* manual commands|options: lists of the manual page cardea.1, as mdoc (deploy/man). */
#include <stdio.h>
#include <string.h>

#include "common/conf/manual.h"
#include "control-plane/cli/commands.h"

static void print_option(const struct option_row *o, FILE *out)
{
	fputs(".It ", out);
	if (o->letter)
		fprintf(out, "Fl %c , ", o->letter);
	fprintf(out, "Fl Fl %s", o->name);
	if (o->argument) {
		fputs(" Ar ", out);
		manual_text(out, o->argument);
	}
	fputc('\n', out);
	manual_sentence(out, o->help);
	if (o->variable)
		fprintf(out, "Environment:\n.Ev %s .\n", o->variable);
}

static void print_options(FILE *out)
{
	for (size_t i = 0; i < OPTION_COUNT; i++)
		print_option(&cli_options[i], out);
}

static void print_commands(FILE *out)
{
	for (const struct command *c = cli_commands; c->name; c++) {
		const char *before = "";

		if (c->hidden)
			continue;
		fprintf(out, ".It Ic %s%s", c->name, c->arguments[0] ? " Ar " : "");
		manual_text(out, c->arguments);
		fputc('\n', out);
		manual_sentence(out, c->help);
		if (!c->options)
			continue;
		fputs("Options:\n", out);
		for (size_t i = 0; i < OPTION_COUNT; i++) {
			if (!(c->options & CLI_TAKES(i) & ~(unsigned)CLI_REMOTE))
				continue;
			fprintf(out, "%s.Fl Fl %s", before, cli_options[i].name);
			before = " ,\n";
		}
		fprintf(out, "%s", *before ? before : "");
		fputs("those of a server.\n", out);
	}
}

int command_manual(struct cli *c, int argc, char **argv, struct err *e)
{
	static const struct {
		const char *part;
		void (*print)(FILE *out);
	} parts[] = {{"commands", print_commands}, {"options", print_options}};

	(void)c;
	(void)argc;
	for (size_t i = 0; i < array_len(parts); i++) {
		if (strcmp(argv[1], parts[i].part) != 0)
			continue;
		parts[i].print(stdout);
		return 0;
	}
	return err_set(e, ERR_INVALID, "no part %s; there are: commands, options", argv[1]);
}
