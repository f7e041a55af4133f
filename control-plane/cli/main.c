/* cardea: the command line client. Commands are a table (commands.c), one file for each group. */
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>

#include "control-plane/cli/arguments.h"

enum { EXIT_REFUSED = 1, EXIT_USAGE = 2, EXIT_UNREACHABLE = 3 };

static int exit_code(const struct err *e)
{
	static const struct {
		enum err_kind kind;
		int code;
	} codes[] = {
		{ERR_INVALID, EXIT_USAGE},
		{ERR_UNAVAILABLE, EXIT_UNREACHABLE},
		{ERR_TIMEOUT, EXIT_UNREACHABLE},
	};

	for (size_t i = 0; i < array_len(codes); i++)
		if (codes[i].kind == e->kind)
			return codes[i].code;
	return EXIT_REFUSED;
}

static int fail(const struct cli *c, const struct err *e)
{
	if (e->message[0])
		fprintf(stderr, "cardea%s%s: %s\n", c->command ? " " : "",
			c->command ? c->command->name : "", e->message);
	return exit_code(e);
}

/* A reader that has seen enough (`cardea get services | head -1`) is no news. */
static int unwritten(struct err *e)
{
	if (errno == EPIPE)
		return err_set(e, ERR_INTERNAL, "%s", "");
	return err_errno(e, ERR_INTERNAL, errno, "writing the answer");
}

int main(int argc, char **argv)
{
	struct cli c = {.token = {.secret = true}};
	struct err e = ERR_INIT;
	char **words = NULL;
	int count = 0, rc;

	setlocale(LC_CTYPE, "");
	signal(SIGPIPE, SIG_IGN);
	if (arguments_read(&c, argc, argv, &words, &count, &e) < 0)
		return fail(&c, &e);
	if (c.option[OPTION_VERSION]) {
		printf("cardea %s\n", CARDEA_VERSION);
		return 0;
	}
	if (c.option[OPTION_HELP]) {
		arguments_help(c.command, stdout);
		return 0;
	}
	rc = c.command->run(&c, count, words, &e);
	if ((fflush(stdout) != 0 || ferror(stdout)) && rc == 0)
		rc = unwritten(&e);
	api_free(c.api);
	buf_deinit(&c.token);
	return rc < 0 ? fail(&c, &e) : 0;
}
