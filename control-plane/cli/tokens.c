/* token create|list|revoke: who may use the admin API. */
#include <stdio.h>

#include "control-plane/cli/commands.h"
#include "control-plane/cli/print.h"

/* --- create --- */

static int make_body(const struct cli *c, json_t **out, char **argv, struct err *e)
{
	uint64_t expires_ms = 0;

	if (cli_duration(c, OPTION_EXPIRES, 0, &expires_ms, e) < 0)
		return -1;
	*out = json_pack("{s:s, s:s, s:b, s:o*}", "name", argv[1], "role", argv[2], "read_keys",
			 c->option[OPTION_READ_KEYS] != NULL, "expires_in",
			 expires_ms ? json_integer((json_int_t)(expires_ms + 999) / 1000) : NULL);
	return *out ? 0 : err_set(e, ERR_INVALID, "%s: not UTF-8 text", argv[1]);
}

/* Only this answer has the token: with -o name it is all that is printed. */
int command_token_create(struct cli *c, int argc, char **argv, struct err *e)
{
	struct api_answer a = API_ANSWER_INIT;
	json_t *body = NULL;
	struct api *api;
	struct print p;
	int rc = print_begin(&p, c, "tokens", false, stdout, e);

	(void)argc;
	if (rc == 0)
		rc = make_body(c, &body, argv, e);
	if (rc == 0)
		rc = cli_api(c, &api, e);
	if (rc == 0)
		rc = api_call(api,
			      &(struct api_request){
				      .method = "POST", .path = "/admin/tokens", .json = body},
			      &a, e);
	if (rc == 0 && !api_row(&a))
		rc = cli_refused(c, NULL, &a, e);
	if (rc == 0)
		rc = print_row(&p, a.body, api_text(a.body, "token"), e);
	print_end(&p, rc == 0);
	json_decref(body);
	api_answer_deinit(&a);
	return rc;
}

/* --- list --- */

static int print_token(const json_t *row, void *arg, struct err *e)
{
	return print_row(arg, row, api_text(row, "name"), e);
}

int command_token_list(struct cli *c, int argc, char **argv, struct err *e)
{
	struct buf path = BUF_INIT;
	struct print p;
	int rc = print_begin(&p, c, "tokens", true, stdout, e);

	(void)argc;
	(void)argv;
	if (rc == 0)
		rc = buf_add_str(&path, STR("/admin/tokens?size=1000"), e);
	if (rc == 0)
		rc = cli_list(c, &path, print_token, &p, e);
	print_end(&p, rc == 0);
	buf_deinit(&path);
	return rc;
}

/* --- revoke --- */

static int revoke(struct cli *c, const char *key, struct api_answer *a, struct err *e)
{
	struct buf path = BUF_INIT;
	struct api *api;
	int rc = buf_add_str(&path, STR("/admin/tokens/"), e);

	if (rc == 0)
		rc = api_escape(&path, str_from(key), e);
	if (rc == 0)
		rc = cli_api(c, &api, e);
	if (rc == 0)
		rc = api_call(api, &(struct api_request){.method = "DELETE", .path = path.data}, a,
			      e);
	buf_deinit(&path);
	if (rc == 0 && !api_ok(a))
		return cli_refused(c, key, a, e);
	if (rc == 0)
		printf("token %s revoked\n", key);
	return rc;
}

/* A refusal does not keep the others from being tried. */
int command_token_revoke(struct cli *c, int argc, char **argv, struct err *e)
{
	struct api_answer a = API_ANSWER_INIT;
	int rc = 0;

	for (int i = 1; i < argc; i++) {
		if (revoke(c, argv[i], &a, e) == 0)
			continue;
		rc = -1;
		if (e->kind != ERR_DENIED)
			break;
	}
	api_answer_deinit(&a);
	return rc;
}
