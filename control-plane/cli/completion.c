/* completion bash|zsh: scripts out of the tables of commands, options and entities. */
#include <stdio.h>
#include <string.h>

#include "control-plane/cli/commands.h"
#include "control-plane/model/entity.h"

/* The first word of each command, once. */
static void print_first_words(FILE *out)
{
	struct str last = STR("");

	for (const struct command *c = cli_commands; c->name; c++) {
		struct str name = str_from(c->name);
		struct str first = str_sub(name, 0, str_find(name, ' ', 0));

		if (c->hidden || str_eq(first, last))
			continue;
		fprintf(out, "%s%.*s", last.len ? " " : "", (int)first.len, first.ptr);
		last = first;
	}
}

/* "a|b" as "a b". */
static void print_alternatives(const char *text, FILE *out)
{
	for (; *text; text++)
		fputc(*text == '|' ? ' ' : *text, out);
}

/* Whether what follows the command's name is one of a few words, files or an entity. */
static void print_argument(const struct command *c, FILE *out)
{
	const struct entity *t;

	if (str_starts(str_from(c->arguments), STR("ENTITY")) ||
	    str_starts(str_from(c->arguments), STR("[ENTITY"))) {
		for (size_t i = 0; (t = entity_at(i)); i++)
			if (!t->internal)
				fprintf(out, "%s%s", i ? " " : "", t->name);
	} else if (strchr(c->arguments, '|') && !strchr(c->arguments, ' ')) {
		print_alternatives(c->arguments, out);
	} else if (strstr(c->arguments, "FILE") || strstr(c->arguments, "DIR")) {
		fputs("@files", out);
	}
}

static void print_options(const struct command *c, FILE *out)
{
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if ((c->options | CLI_TAKES(OPTION_HELP)) & CLI_TAKES(i))
			fprintf(out, " --%s", cli_options[i].name);
}

/* case patterns of the options that take one of a few words, and of those that take a file. */
static void print_values(FILE *out)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option_row *o = &cli_options[i];

		if (!o->argument)
			continue;
		fprintf(out, "\t--%s", o->name);
		if (o->letter)
			fprintf(out, "|-%c", o->letter);
		fputs(") offer='", out);
		if (strchr(o->argument, '|'))
			print_alternatives(o->argument, out);
		else
			fputs(strcmp(o->argument, "FILE") == 0 ? "@files" : "@nothing", out);
		fputs("' ;;\n", out);
	}
}

/* Of each command: what may follow, and its options. */
static void print_commands(FILE *out)
{
	for (const struct command *c = cli_commands; c->name; c++) {
		if (c->hidden)
			continue;
		fprintf(out, "\t'%s') offer='", c->name);
		print_argument(c, out);
		fputs("'; options='", out);
		print_options(c, out);
		fputs("' ;;\n", out);
	}
}

/* --- the part that both shells understand ---
 *
 * _cardea_words LAST CURRENT WORD... sets `offer` to what may stand there; @files: a file,
 * @nothing: nothing that is known. WORD: those before the current one, without "cardea"; LAST the
 * one right before. */

static void print_head(FILE *out)
{
	fputs("# Made by `cardea completion`.\n"
	      "_cardea_words() {\n"
	      "\tlocal last=$1 current=$2 name='' count=0 skip='' word options=''\n"
	      "\tshift 2\n"
	      "\toffer=''\n"
	      "\tcase $last in\n",
	      out);
	print_values(out);
	fputs("\tesac\n"
	      "\t[ -z \"$offer\" ] || return 0\n",
	      out);
}

/* Which command it is, and how many words there are with its name as one. */
static void print_scan(FILE *out)
{
	const char *before = "";

	fputs("\tfor word in \"$@\"; do\n"
	      "\t\tif [ -n \"$skip\" ]; then skip=''; continue; fi\n"
	      "\t\tcase $word in\n\t\t",
	      out);
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (!cli_options[i].argument)
			continue;
		fprintf(out, "%s--%s", before, cli_options[i].name);
		before = "|";
		if (cli_options[i].letter)
			fprintf(out, "|-%c", cli_options[i].letter);
	}
	fputs(") skip=1; continue ;;\n"
	      "\t\t-*) continue ;;\n"
	      "\t\tesac\n"
	      "\t\tcount=$((count + 1))\n"
	      "\t\tcase \"$name $word\" in\n"
	      "\t\t' '*) name=$word ;;\n",
	      out);
	for (const struct command *c = cli_commands; c->name; c++)
		if (strchr(c->name, ' ') && !c->hidden)
			fprintf(out, "\t\t'%s') name='%s' count=1 ;;\n", c->name, c->name);
	fputs("\t\tesac\n"
	      "\tdone\n",
	      out);
}

static void print_choice(FILE *out)
{
	fputs("\tcase $name in\n"
	      "\t'') offer='",
	      out);
	print_first_words(out);
	fputs("'; options='", out);
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if ((CLI_PRINTS | CLI_TAKES(OPTION_HELP) | CLI_TAKES(OPTION_VERSION)) &
		    CLI_TAKES(i))
			fprintf(out, " --%s", cli_options[i].name);
	fputs("' ;;\n", out);
	print_commands(out);
	fputs("\tesac\n", out);
	for (const struct command *c = cli_commands; c->name; c++) {
		const char *space = strchr(c->name, ' ');

		if (space && !c->hidden)
			fprintf(out, "\t[ \"$name\" != '%.*s' ] || offer=\"$offer %s\"\n",
				(int)(space - c->name), c->name, space + 1);
	}
	fputs("\tcase $current in\n"
	      "\t-*) offer=$options ;;\n"
	      "\t*=@*) offer='@files' ;;\n"
	      "\t*) [ \"$count\" -le 1 ] || [ \"$offer\" = '@files' ] || offer='' ;;\n"
	      "\tesac\n"
	      "}\n",
	      out);
}

static void print_shared(FILE *out)
{
	print_head(out);
	print_scan(out);
	print_choice(out);
}

static void print_bash(FILE *out)
{
	print_shared(out);
	fputs("_cardea() {\n"
	      "\tlocal current=${COMP_WORDS[COMP_CWORD]} offer\n"
	      "\t_cardea_words \"${COMP_WORDS[COMP_CWORD-1]}\" \"$current\" "
	      "\"${COMP_WORDS[@]:1:COMP_CWORD-1}\"\n"
	      "\tif [ \"$offer\" = '@files' ]; then\n"
	      "\t\tCOMPREPLY=($(compgen -f -- \"${current##*@}\"))\n"
	      "\telif [ \"$offer\" = '@nothing' ]; then\n"
	      "\t\tCOMPREPLY=()\n"
	      "\telse\n"
	      "\t\tCOMPREPLY=($(compgen -W \"$offer\" -- \"$current\"))\n"
	      "\tfi\n"
	      "}\n"
	      "complete -o default -F _cardea cardea\n",
	      out);
}

static void print_zsh(FILE *out)
{
	fputs("#compdef cardea\n", out);
	print_shared(out);
	fputs("_cardea() {\n"
	      "\tlocal offer=''\n"
	      "\t_cardea_words \"${words[CURRENT-1]}\" \"${words[CURRENT]}\" "
	      "\"${(@)words[2,CURRENT-1]}\"\n"
	      "\tcase $offer in\n"
	      "\t@files) _files ;;\n"
	      "\t@nothing) ;;\n"
	      "\t*) compadd -- ${=offer} ;;\n"
	      "\tesac\n"
	      "}\n"
	      "if [ \"$funcstack[1]\" = _cardea ]; then _cardea \"$@\"; else compdef _cardea "
	      "cardea; fi\n",
	      out);
}

int command_completion(struct cli *c, int argc, char **argv, struct err *e)
{
	static const struct {
		const char *shell;
		void (*print)(FILE *out);
	} shells[] = {{"bash", print_bash}, {"zsh", print_zsh}};

	(void)c;
	(void)argc;
	for (size_t i = 0; i < array_len(shells); i++) {
		if (strcmp(argv[1], shells[i].shell) != 0)
			continue;
		shells[i].print(stdout);
		return 0;
	}
	return err_set(e, ERR_INVALID, "no completion for %s; there are: bash, zsh", argv[1]);
}
