/* cardea config parse FILE: whether a declarative document is right, without a server. Kong's words
 * and exit codes. */
#include <stdio.h>

#include "common/core/clock.h"
#include "control-plane/cli/commands.h"
#include "control-plane/cli/files.h"
#include "control-plane/model/declarative.h"

enum { DOCUMENT_MAX = 256 << 20 };

/* Told already: the exit code is that of a refusal. */
static int failed(const char *why, struct err *e)
{
	fprintf(stderr, "Error: Failed parsing:\n%s\n", why);
	return err_set(e, ERR_CONFLICT, "%s", "");
}

static int check(json_t *document, struct err *e)
{
	const struct declarative_options o = {.now_ms = clock_wall_ms()};
	struct declarative d = {.count = 0};
	struct buf lines = BUF_INIT;
	int rc = declarative_read(&d, document, &o, e);

	if (rc == 0 && declarative_refused(&d)) {
		rc = declarative_print(&d, &lines, e);
		if (rc == 0)
			rc = failed(lines.data ? lines.data : "", e);
	}
	declarative_deinit(&d);
	buf_deinit(&lines);
	return rc;
}

int command_config_parse(struct cli *c, int argc, char **argv, struct err *e)
{
	struct buf text = {.limit = DOCUMENT_MAX, .secret = true};
	struct err why = ERR_INIT;
	json_t *document = NULL;
	int rc;

	(void)c;
	(void)argc;
	if (file_read(argv[1], &text, &why) < 0 ||
	    declarative_parse(&document, buf_str(&text), argv[1], &why) < 0)
		rc = failed(why.message, e);
	else
		rc = check(document, e);
	if (rc == 0)
		puts("parse successful");
	json_decref(document);
	buf_deinit(&text);
	return rc;
}
