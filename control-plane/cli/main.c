/* cardea: the command line client. A table of commands, one file each. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/core/log.h"
#include "control-plane/cli/commands.h"

enum { EXIT_USAGE = 2 };

static const struct command {
	const char *name;
	const char *arguments;
	const char *help;
	int (*run)(int argc, char **argv, struct err *e);
} commands[] = {
	{"cluster-cert", "DIR [DAYS]",
	 "make the cluster's CA (once) and certificate pairs for control planes and data planes",
	 command_cluster_cert},
	{"keyring", "FILE", "make a keyring, or add a new active key to one", command_keyring},
};

static void usage(FILE *out)
{
	fputs("usage: cardea COMMAND ...   (-V version, -h help)\n", out);
	for (size_t i = 0; i < array_len(commands); i++)
		fprintf(out, "  %s %s\n      %s\n", commands[i].name, commands[i].arguments,
			commands[i].help);
}

static int run(const struct command *c, int argc, char **argv)
{
	struct err e = ERR_INIT;
	int rc = c->run(argc, argv, &e);

	if (rc < 0)
		fprintf(stderr, "cardea %s: %s\n", c->name, e.message);
	if (rc < 0)
		return e.kind == ERR_INVALID ? EXIT_USAGE : 1;
	return 0;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	if (strcmp(name, "-V") == 0) {
		printf("cardea %s\n", CARDEA_VERSION);
		return 0;
	}
	if (strcmp(name, "-h") == 0) {
		usage(stdout);
		return 0;
	}
	for (size_t i = 0; i < array_len(commands); i++)
		if (strcmp(name, commands[i].name) == 0)
			return run(&commands[i], argc - 1, argv + 1);
	usage(stderr);
	return EXIT_USAGE;
}
