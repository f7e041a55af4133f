/* get, create, update, delete: one entity's verbs, out of its table. */
#include <stdio.h>

#include "common/http/body.h"
#include "control-plane/cli/assign.h"
#include "control-plane/cli/commands.h"
#include "control-plane/cli/files.h"
#include "control-plane/cli/print.h"
#include "control-plane/cli/resource.h"

enum { WAIT_MAX_MS = 300000 };

/* --- one call --- */

int cli_wait(const struct cli *c, uint64_t *seconds, struct err *e)
{
	uint64_t ms;

	if (cli_duration(c, OPTION_WAIT, 0, &ms, e) < 0)
		return -1;
	if (ms > WAIT_MAX_MS)
		return err_set(e, ERR_INVALID, "--wait: at most %d s", WAIT_MAX_MS / 1000);
	*seconds = (ms + 999) / 1000;
	return 0;
}

int cli_confirmed(const struct cli *c, const struct api_answer *a, struct err *e)
{
	if (!a->missing[0])
		return 0;
	fprintf(stderr, "cardea %s: written, but these data planes did not confirm in time: %s\n",
		c->command->name, a->missing);
	return err_set(e, ERR_DENIED, "%s", "");
}

/* Calls, and prints the entity of the answer. */
static int call_and_print(struct cli *c, const struct resource *r, struct api_request *q,
			  struct err *e)
{
	struct api_answer a = API_ANSWER_INIT;
	struct print p = {.out = NULL};
	struct api *api;
	int rc = print_begin(&p, c, r->entity->name, false, stdout, e);

	if (rc == 0)
		rc = cli_wait(c, &q->wait_s, e);
	if (rc == 0)
		rc = cli_api(c, &api, e);
	if (rc == 0)
		rc = api_call(api, q, &a, e);
	if (rc == 0 && !api_row(&a))
		rc = cli_refused(c, NULL, &a, e);
	if (rc == 0)
		rc = print_row(&p, a.body, resource_name(r->entity, a.body), e);
	print_end(&p, rc == 0);
	if (rc == 0)
		rc = cli_confirmed(c, &a, e);
	api_answer_deinit(&a);
	return rc;
}

/* --- get --- */

static int get_one(struct cli *c, const struct resource *r, const char *key, struct err *e)
{
	struct buf path = BUF_INIT;
	int rc = resource_path(r, str_from(key), &path, e);

	if (rc == 0)
		rc = call_and_print(c, r, &(struct api_request){.method = "GET", .path = path.data},
				    e);
	buf_deinit(&path);
	return rc;
}

int cli_list(struct cli *c, struct buf *path, cli_row_fn on_row, void *arg, struct err *e)
{
	struct api_answer a = API_ANSWER_INIT;
	const char *next = path->data;
	struct api *api;
	int rc = cli_api(c, &api, e);

	while (rc == 0 && next) {
		const json_t *row;
		size_t i;

		rc = api_call(api, &(struct api_request){.method = "GET", .path = path->data}, &a,
			      e);
		if (rc == 0 && !api_list(&a))
			rc = cli_refused(c, NULL, &a, e);
		json_array_foreach(json_object_get(a.body, "data"), i, row)
		{
			if (rc == 0)
				rc = on_row(row, arg, e);
		}
		next = json_string_value(json_object_get(a.body, "next"));
		buf_clear(path);
		if (rc == 0 && next)
			rc = buf_add_str(path, str_from(next), e);
	}
	api_answer_deinit(&a);
	return rc;
}

struct listing {
	const struct resource *resource;
	struct print print;
};

static int print_listed(const json_t *row, void *arg, struct err *e)
{
	struct listing *l = arg;

	return print_row(&l->print, row, resource_name(l->resource->entity, row), e);
}

static int get_list(struct cli *c, const struct resource *r, struct err *e)
{
	struct listing l = {.resource = r};
	struct buf path = BUF_INIT;
	int rc = print_begin(&l.print, c, r->entity->name, true, stdout, e);

	if (rc == 0)
		rc = buf_addf(&path, e, "%s?size=1000", r->path.data);
	if (rc == 0 && c->option[OPTION_TAGS]) {
		rc = buf_add_str(&path, STR("&tags="), e);
		if (rc == 0)
			rc = api_escape(&path, str_from(c->option[OPTION_TAGS]), e);
	}
	if (rc == 0)
		rc = cli_list(c, &path, print_listed, &l, e);
	print_end(&l.print, rc == 0);
	buf_deinit(&path);
	return rc;
}

int command_get(struct cli *c, int argc, char **argv, struct err *e)
{
	struct resource r;
	int rc;

	if (resource_parse(&r, argv[1], e) < 0)
		return -1;
	rc = argc > 2 ? get_one(c, &r, argv[2], e) : get_list(c, &r, e);
	buf_deinit(&r.path);
	return rc;
}

/* --- create, update --- */

static int read_object(json_t **out, const char *file, struct err *e)
{
	struct buf text = {.secret = true};
	int rc = file_read_or_stdin(file, &text, e);
	json_error_t why;

	if (rc == 0) {
		*out = json_loadb(text.data ? text.data : "", text.len, JSON_REJECT_DUPLICATES,
				  &why);
		if (!*out)
			rc = err_set(e, ERR_INVALID, "%s: line %d: %s", file, why.line, why.text);
		else if (!json_is_object(*out))
			rc = err_set(e, ERR_INVALID,
				     "%s: expected one object; cardea apply takes "
				     "many",
				     file);
	}
	if (rc < 0) {
		json_decref(*out);
		*out = NULL;
	}
	buf_deinit(&text);
	return rc;
}

/* The object of -f, or of the arguments. */
static int read_body(const struct cli *c, json_t **out, const struct resource *r, const json_t *old,
		     int count, char **words, struct err *e)
{
	const char *file = c->option[OPTION_FILE];

	if (file && count > 0)
		return err_set(e, ERR_INVALID, "%s: fields come from --file or from arguments",
			       words[0]);
	if (file)
		return read_object(out, file, e);
	if (count == 0)
		return err_set(e, ERR_INVALID, "no field=value and no --file");
	return assign_read(out, r->entity, old, count, words, e);
}

int command_create(struct cli *c, int argc, char **argv, struct err *e)
{
	json_t *body = NULL;
	struct resource r;
	int rc;

	if (resource_parse(&r, argv[1], e) < 0)
		return -1;
	rc = read_body(c, &body, &r, NULL, argc - 2, argv + 2, e);
	if (rc == 0)
		rc = call_and_print(
			c, &r,
			&(struct api_request){.method = "POST", .path = r.path.data, .json = body},
			e);
	json_decref(body);
	buf_deinit(&r.path);
	return rc;
}

/* The row as it is: what text means may follow from it. */
static int read_old(struct cli *c, const char *path, json_t **old, struct err *e)
{
	struct api_answer a = API_ANSWER_INIT;
	struct api *api;
	int rc = cli_api(c, &api, e);

	if (rc == 0)
		rc = api_call(api, &(struct api_request){.method = "GET", .path = path}, &a, e);
	if (rc == 0 && !api_row(&a))
		rc = cli_refused(c, NULL, &a, e);
	if (rc == 0)
		*old = json_incref(a.body);
	api_answer_deinit(&a);
	return rc;
}

int command_update(struct cli *c, int argc, char **argv, struct err *e)
{
	json_t *old = NULL, *body = NULL;
	struct buf path = BUF_INIT;
	struct resource r;
	int rc;

	if (resource_parse(&r, argv[1], e) < 0)
		return -1;
	rc = resource_path(&r, str_from(argv[2]), &path, e);
	if (rc == 0 && !c->option[OPTION_FILE])
		rc = read_old(c, path.data, &old, e);
	if (rc == 0)
		rc = read_body(c, &body, &r, old, argc - 3, argv + 3, e);
	if (rc == 0)
		rc = call_and_print(
			c, &r,
			&(struct api_request){.method = "PATCH", .path = path.data, .json = body},
			e);
	json_decref(old);
	json_decref(body);
	buf_deinit(&path);
	buf_deinit(&r.path);
	return rc;
}

/* --- delete --- */

static int delete_one(struct cli *c, const struct resource *r, const char *key,
		      struct api_answer *a, struct err *e)
{
	struct api_request q = {.method = "DELETE"};
	struct buf path = BUF_INIT;
	struct api *api;
	int rc = resource_path(r, str_from(key), &path, e);

	q.path = path.data;
	if (rc == 0)
		rc = cli_wait(c, &q.wait_s, e);
	if (rc == 0)
		rc = cli_api(c, &api, e);
	if (rc == 0)
		rc = api_call(api, &q, a, e);
	buf_deinit(&path);
	if (rc == 0 && !api_ok(a))
		return cli_refused(c, key, a, e);
	if (rc == 0)
		printf("%s/%s deleted\n", r->entity->name, key);
	return rc < 0 ? rc : cli_confirmed(c, a, e);
}

/* A refusal does not keep the others from being tried. */
int command_delete(struct cli *c, int argc, char **argv, struct err *e)
{
	struct api_answer a = API_ANSWER_INIT;
	struct resource r;
	int rc = 0;

	if (resource_parse(&r, argv[1], e) < 0)
		return -1;
	for (int i = 2; i < argc; i++) {
		if (delete_one(c, &r, argv[i], &a, e) == 0)
			continue;
		rc = -1;
		if (e->kind != ERR_DENIED)
			break;
	}
	api_answer_deinit(&a);
	buf_deinit(&r.path);
	return rc;
}
