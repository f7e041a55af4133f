/* What commands share: the connection, refusals, times. */
#include <stdio.h>
#include <string.h>

#include "common/conf/value.h"
#include "control-plane/cli/commands.h"
#include "control-plane/cli/files.h"
#include "control-plane/cli/print.h"

enum { TIMEOUT_MS = 60000, TIMEOUT_MAX_MS = 24 * 3600 * 1000 };

int cli_duration(const struct cli *c, enum cli_option o, uint64_t fallback, uint64_t *ms,
		 struct err *e)
{
	const struct conf_key key = {
		.name = cli_options[o].name,
		.type = CONF_DURATION,
		.min = 0,
		.max = TIMEOUT_MAX_MS,
	};

	*ms = fallback;
	if (!c->option[o])
		return 0;
	if (conf_value_set(&key, ms, str_from(c->option[o]), e) < 0)
		return err_prefix(e, "--%s", key.name);
	return 0;
}

/* The first line of the file. */
static int read_token(struct cli *c, struct err *e)
{
	struct str line;

	if (file_read(c->option[OPTION_TOKEN_FILE], &c->token, e) < 0)
		return err_prefix(e, "--token-file");
	line = str_trim(str_sub(buf_str(&c->token), 0, str_find(buf_str(&c->token), '\n', 0)));
	if (line.len == 0)
		return err_set(e, ERR_INVALID, "--token-file: %s: the first line is empty",
			       c->option[OPTION_TOKEN_FILE]);
	buf_consume(&c->token, (size_t)(line.ptr - c->token.data));
	c->token.data[line.len] = '\0';
	c->token.len = line.len;
	return 0;
}

/* It becomes a part of a header. */
static int check_token(const char *token, struct err *e)
{
	for (const char *p = token; p && *p; p++)
		if (*p <= ' ' || *p > '~')
			return err_set(e, ERR_INVALID, "the token has bytes that no token has");
	return 0;
}

int cli_api(struct cli *c, struct api **out, struct err *e)
{
	struct api_options o = {
		.server = c->option[OPTION_SERVER],
		.token = c->option[OPTION_TOKEN],
		.ca = c->option[OPTION_CA],
		.cert = c->option[OPTION_CERT],
		.key = c->option[OPTION_KEY],
	};

	*out = c->api;
	if (c->api)
		return 0;
	if (!o.server)
		o.server = "http://127.0.0.1:8001";
	if (cli_duration(c, OPTION_TIMEOUT, TIMEOUT_MS, &o.timeout_ms, e) < 0)
		return -1;
	if (!o.token && c->option[OPTION_TOKEN_FILE]) {
		if (read_token(c, e) < 0)
			return -1;
		o.token = c->token.data;
	}
	if (check_token(o.token, e) < 0 || api_create(&c->api, &o, e) < 0)
		return -1;
	*out = c->api;
	return 0;
}

int cli_refused(const struct cli *c, const char *what, const struct api_answer *a, struct err *e)
{
	struct buf text = BUF_INIT, safe = BUF_INIT;

	if (api_message(a, &text, e) == 0 && print_safe(&safe, buf_str(&text), e) == 0) {
		fprintf(stderr, "cardea %s: %s%s%s\n", c->command->name, what ? what : "",
			what ? ": " : "", safe.data);
		err_set(e, ERR_DENIED, "%s", "");
	}
	buf_deinit(&text);
	buf_deinit(&safe);
	return -1;
}
