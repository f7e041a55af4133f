/* acme replace: replaces the certificates of an authority, or with a tag, and shows how far it is.
 *
 *   ask (POST /acme/replacements) ─▶ look (GET /acme/replacements/ID) ... nothing waits any more
 * What is still waiting when --wait is over goes on without this command; --wait 0 does not look.
 */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "common/conf/value.h"
#include "common/core/clock.h"
#include "control-plane/cli/commands.h"
#include "control-plane/cli/print.h"

enum { WAIT_MS = 600000, LOOK_MS = 500 };

static json_int_t number(const json_t *row, const char *name)
{
	return json_integer_value(json_object_get(row, name));
}

static int body_of(struct cli *c, json_t **out, struct err *e)
{
	const char *const *option = c->option;
	uint64_t pace = 0;

	*out = NULL;
	if (option[OPTION_PER_MINUTE] &&
	    (str_u64(str_from(option[OPTION_PER_MINUTE]), &pace) < 0 || pace == 0))
		return err_set(e, ERR_INVALID, "--per-minute: %s is no number above 0",
			       option[OPTION_PER_MINUTE]);
	if (!option[OPTION_ISSUER] && !option[OPTION_TAG])
		return err_set(e, ERR_INVALID, "--issuer or --tag is needed");
	*out = json_pack("{s:s*, s:s*, s:o*}", "issuer", option[OPTION_ISSUER], "tag",
			 option[OPTION_TAG], "per_minute",
			 pace ? json_integer((json_int_t)pace) : NULL);
	return *out ? 0 : err_set(e, ERR_INVALID, "--issuer, --tag: not UTF-8 text");
}

/* *out: the answer's row, for json_decref. */
static int ask(struct cli *c, const struct api_request *q, json_t **out, struct err *e)
{
	struct api_answer a = API_ANSWER_INIT;
	struct api *api;
	int rc = cli_api(c, &api, e);

	*out = NULL;
	if (rc == 0)
		rc = api_call(api, q, &a, e);
	if (rc == 0 && !api_row(&a))
		rc = cli_refused(c, NULL, &a, e);
	else if (rc == 0)
		*out = json_incref(a.body);
	api_answer_deinit(&a);
	return rc;
}

static void tell(const json_t *row)
{
	if (isatty(STDERR_FILENO) != 1)
		return;
	fprintf(stderr, "\r\033[K%lld of %lld replaced, %lld waiting, %lld in trouble",
		(long long)number(row, "valid"), (long long)number(row, "orders"),
		(long long)number(row, "waiting"), (long long)number(row, "in_trouble"));
	if (number(row, "waiting") == 0)
		fputc('\n', stderr);
	fflush(stderr);
}

/* Until nothing waits, or the time is over; *row is the last answer. */
static int follow(struct cli *c, json_t **row, uint64_t wait_ms, struct err *e)
{
	const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
	uint64_t end_ns = clock_mono_ns() + wait_ms * 1000000;
	struct buf path = BUF_INIT;
	int rc = buf_addf(&path, e, "/acme/replacements/%s",
			  json_string_value(json_object_get(*row, "id")));

	while (rc == 0) {
		json_decref(*row);
		rc = ask(c, &(struct api_request){.method = "GET", .path = path.data}, row, e);
		if (rc < 0)
			break;
		tell(*row);
		if (number(*row, "waiting") == 0 || clock_mono_ns() >= end_ns)
			break;
		nanosleep(&pause, NULL);
	}
	buf_deinit(&path);
	return rc;
}

static int replace(struct cli *c, json_t **row, struct err *e)
{
	uint64_t wait_ms;
	json_t *body;
	int rc = cli_duration(c, OPTION_WAIT, WAIT_MS, &wait_ms, e);

	if (rc < 0 || body_of(c, &body, e) < 0)
		return -1;
	rc = ask(
		c,
		&(struct api_request){.method = "POST", .path = "/acme/replacements", .json = body},
		row, e);
	json_decref(body);
	if (rc == 0 && wait_ms > 0 && number(*row, "orders") > 0)
		rc = follow(c, row, wait_ms, e);
	return rc;
}

int command_acme_replace(struct cli *c, int argc, char **argv, struct err *e)
{
	json_t *row = NULL;
	struct print p;
	int rc = print_begin(&p, c, "replacements", false, stdout, e);

	(void)argc;
	(void)argv;
	if (rc < 0)
		return rc;
	rc = replace(c, &row, e);
	if (rc == 0)
		rc = print_row(&p, row, json_string_value(json_object_get(row, "id")), e);
	print_end(&p, rc == 0);
	if (rc == 0 && number(row, "stopped") > 0)
		rc = err_set(e, ERR_DENIED, "%lld of %lld could not be replaced",
			     (long long)number(row, "stopped"), (long long)number(row, "orders"));
	json_decref(row);
	return rc;
}
