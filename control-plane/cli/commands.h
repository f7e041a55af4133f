/* The commands of `cardea`: one table (commands.c) that the dispatch, the help, the completion and
 * the manual read. A command is a line there and its function. Thread: main.
 *
 * Exit codes follow from the error's kind: 0 done, 2 wrong usage (ERR_INVALID), 3 the server cannot
 * be reached (ERR_UNAVAILABLE, ERR_TIMEOUT), 1 everything else: the server refused.
 */
#ifndef CARDEA_CLI_COMMANDS_H
#define CARDEA_CLI_COMMANDS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/core/err.h"
#include "control-plane/cli/api.h"

enum cli_option {
	OPTION_SERVER,
	OPTION_TOKEN,
	OPTION_TOKEN_FILE,
	OPTION_CA,
	OPTION_CERT,
	OPTION_KEY,
	OPTION_TIMEOUT,
	OPTION_OUTPUT,
	OPTION_FILE,
	OPTION_WAIT,
	OPTION_TAGS,
	OPTION_HOST,
	OPTION_STATE,
	OPTION_KEY_TYPE,
	OPTION_KEY_TYPE_ALT,
	OPTION_TOGETHER,
	OPTION_PROFILE,
	OPTION_CHAIN,
	OPTION_EXPIRES,
	OPTION_READ_KEYS,
	OPTION_REASON,
	OPTION_NO_REPLACE,
	OPTION_ISSUER,
	OPTION_EXPIRING,
	OPTION_TAG,
	OPTION_PER_MINUTE,
	OPTION_STORAGE,
	OPTION_DRY_RUN,
	OPTION_FORCE,
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_COUNT,
};

/* What a command takes besides -h: a set of these. */
#define CLI_TAKES(option) (1U << (option))
enum {
	CLI_REMOTE = CLI_TAKES(OPTION_SERVER) | CLI_TAKES(OPTION_TOKEN) |
		     CLI_TAKES(OPTION_TOKEN_FILE) | CLI_TAKES(OPTION_CA) | CLI_TAKES(OPTION_CERT) |
		     CLI_TAKES(OPTION_KEY) | CLI_TAKES(OPTION_TIMEOUT),
	CLI_PRINTS = CLI_REMOTE | CLI_TAKES(OPTION_OUTPUT),
};

struct option_row {
	const char *name;     /* long form, without dashes */
	char letter;	      /* 0: none */
	const char *argument; /* "FILE", "a|b|c"; NULL: a flag */
	const char *variable; /* of the environment, when the option is not given; or NULL */
	const char *help;
};
extern const struct option_row cli_options[OPTION_COUNT];

struct cli;

struct command {
	const char *name;      /* one word, or two: "config parse" */
	const char *arguments; /* as the usage shows them: "ENTITY [KEY]" */
	const char *help;      /* one line */
	int min, max;	       /* arguments; INT_MAX: any number */
	unsigned options;      /* CLI_TAKES(...), CLI_REMOTE, CLI_PRINTS */
	/* argv[0] is the command's last word. 0, or -1 with the reason; an empty message: it was
	 * told already. */
	int (*run)(struct cli *c, int argc, char **argv, struct err *e);
	bool hidden; /* not in help, completion and manual */
};
extern const struct command cli_commands[]; /* ends with a NULL name */

/* One run. */
struct cli {
	const struct command *command;
	const char *option[OPTION_COUNT]; /* "" for a flag; NULL: not given */
	struct api *api;		  /* private: cli_api */
	struct buf token;		  /* private: of --token-file, secret */
};

/* The connection to the server of the options, made by the first call; *out is c's. ERR_INVALID: an
 * option is wrong. */
int cli_api(struct cli *c, struct api **out, struct err *e) must_check;
/* Tells on stderr, in full, what the server said against `what` ("services/a"; NULL: the whole
 * command), and describes it in *e with an empty message. Returns -1. */
int cli_refused(const struct cli *c, const char *what, const struct api_answer *a, struct err *e);
/* The milliseconds of an option that is a time ("10s", "500ms", a bare number is seconds), or
 * fallback when it was not given. */
int cli_duration(const struct cli *c, enum cli_option o, uint64_t fallback, uint64_t *ms,
		 struct err *e) must_check;

/* --wait in whole seconds; 0: not given. */
int cli_wait(const struct cli *c, uint64_t *seconds, struct err *e) must_check;
/* -1 after telling which data planes did not confirm a write in time. */
int cli_confirmed(const struct cli *c, const struct api_answer *a, struct err *e) must_check;
/* Calls on_row for each row of a list, page after page, until it returns -1. path is the first
 * page's, and is used up. */
typedef int (*cli_row_fn)(const json_t *row, void *arg, struct err *e);
int cli_list(struct cli *c, struct buf *path, cli_row_fn on_row, void *arg,
	     struct err *e) must_check;

/* ENTITY [KEY] (entities.c), and so on: see the table for the arguments. */
int command_get(struct cli *c, int argc, char **argv, struct err *e) must_check;
int command_create(struct cli *c, int argc, char **argv, struct err *e) must_check;
int command_update(struct cli *c, int argc, char **argv, struct err *e) must_check;
int command_delete(struct cli *c, int argc, char **argv, struct err *e) must_check;
/* [ENTITY] (apply.c): what --file holds is there afterwards, as it stands there. */
int command_apply(struct cli *c, int argc, char **argv, struct err *e) must_check;
/* HOST... (issue.c): asks for certificates and waits for them. */
int command_issue(struct cli *c, int argc, char **argv, struct err *e) must_check;
/* Nothing, ORDER, HOST... (acme.c): names that are kept in date, the time line of an order, and
 * certificates that are revoked. */
int command_acme_hosts(struct cli *c, int argc, char **argv, struct err *e) must_check;
int command_acme_events(struct cli *c, int argc, char **argv, struct err *e) must_check;
int command_acme_revoke(struct cli *c, int argc, char **argv, struct err *e) must_check;
/* Nothing (replace.c): replaces many certificates, and shows how far it is. */
int command_acme_replace(struct cli *c, int argc, char **argv, struct err *e) must_check;
/* FIELD=VALUE... (takeover.c): takes over what Kong's plugin acme keeps in a storage. */
int command_acme_import(struct cli *c, int argc, char **argv, struct err *e) must_check;
/* What the fleet and the ACME engine do (overview.c). */
int command_nodes(struct cli *c, int argc, char **argv, struct err *e) must_check;
int command_orders(struct cli *c, int argc, char **argv, struct err *e) must_check;
int command_status(struct cli *c, int argc, char **argv, struct err *e) must_check;
/* NAME ROLE, nothing, NAME... (tokens.c): tokens of the admin API. */
int command_token_create(struct cli *c, int argc, char **argv, struct err *e) must_check;
int command_token_list(struct cli *c, int argc, char **argv, struct err *e) must_check;
int command_token_revoke(struct cli *c, int argc, char **argv, struct err *e) must_check;
/* FILE, [FILE] (config_db.c): everything into and out of a control plane. */
int command_db_import(struct cli *c, int argc, char **argv, struct err *e) must_check;
int command_db_export(struct cli *c, int argc, char **argv, struct err *e) must_check;
/* FILE (config_parse.c): "parse successful", or on stderr what is wrong, and a refusal. */
int command_config_parse(struct cli *c, int argc, char **argv, struct err *e) must_check;
/* bash|zsh (completion.c): the script for the shell, out of these tables. */
int command_completion(struct cli *c, int argc, char **argv, struct err *e) must_check;
/* COMMANDS|OPTIONS (manual.c): a part of the manual page, as mdoc. */
int command_manual(struct cli *c, int argc, char **argv, struct err *e) must_check;
/* DIR [DAYS]. DIR gets ca.crt, ca.key (kept when they exist), cp.crt, cp.key (server and client,
 * name cardea-control-plane), node.crt, node.key (client, name cardea-data-plane). Keys have mode
 * 0600. */
int command_cluster_cert(struct cli *c, int argc, char **argv, struct err *e) must_check;
/* FILE (mode 0600) gets one more line `<id> <64 hex digits>`: the new active key. */
int command_keyring(struct cli *c, int argc, char **argv, struct err *e) must_check;

#endif
