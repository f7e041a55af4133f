/* The command line of `cardea`: which command, its options, its arguments. Thread: main. */
#ifndef CARDEA_CLI_ARGUMENTS_H
#define CARDEA_CLI_ARGUMENTS_H

#include <stdio.h>

#include "control-plane/cli/commands.h"

/* Fills in c->command and c->option (from the environment where the command takes what was not
 * given), and moves the arguments of the command to *words, *count; words[0] is the command's last
 * word. Options may stand anywhere before "--". With -h or -V nothing but these two is looked at,
 * and the command may be NULL. ERR_INVALID: wrong usage. */
int arguments_read(struct cli *c, int argc, char **argv, char ***words, int *count,
		   struct err *e) must_check;
/* What -h prints: of one command, or of all (NULL). */
void arguments_help(const struct command *command, FILE *out);

#endif
