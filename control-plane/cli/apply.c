/* apply: what a file says is there afterwards, as it stands there (PUT). The file holds JSON values
 * one after the other, so NDJSON too, and is read one value at a time.
 *
 *   with ENTITY      each value is one of it, or an array of them
 *   without          {"services": [...], "routes": {...}}, or an array of such objects
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control-plane/cli/commands.h"
#include "control-plane/cli/print.h"
#include "control-plane/cli/resource.h"

struct apply {
	struct cli *cli;
	struct api *api;
	struct api_answer answer;
	const struct resource *resource; /* ENTITY of the command line; NULL: the values tell */
	uint64_t wait_s;
	size_t document; /* from 1 */
	size_t applied, refused;
};

static int bad_value(const struct apply *a, struct err *e, const char *why)
{
	return err_set(e, ERR_INVALID, "value %zu: %s", a->document, why);
}

/* --- one entity --- */

/* A list below a parent, by what the row says of it. */
static int path_below_parent(const struct apply *a, struct buf *path, const struct entity *t,
			     const json_t *row, struct err *e)
{
	const struct field *f = resource_parent_field(t);
	const json_t *reference = json_object_get(row, f->name);
	struct str key = resource_key(entity_find(str_from(f->reference)), reference);

	if (!key.ptr)
		return err_set(e, ERR_INVALID, "value %zu: %s without %s.id or %s.name",
			       a->document, t->singular, f->name, f->name);
	if (buf_addf(path, e, "/%s/", f->reference) < 0 || api_escape(path, key, e) < 0)
		return -1;
	return buf_addf(path, e, "/%s", entity_path(t, true));
}

static int call(struct apply *a, const char *method, const char *path, const json_t *row,
		struct err *e)
{
	return api_call(a->api,
			&(struct api_request){
				.method = method,
				.path = path,
				.json = row,
				.wait_s = a->wait_s,
			},
			&a->answer, e);
}

/* PUT; a target that is not there must be made by POST. */
static int send_row(struct apply *a, const struct entity *t, struct buf *path, struct str key,
		    const json_t *row, struct err *e)
{
	size_t collection = path->len;

	if (buf_add_str(path, STR("/"), e) < 0 || api_escape(path, key, e) < 0 ||
	    call(a, "PUT", path->data, row, e) < 0)
		return -1;
	if (a->answer.status != 404 || !t->below_parent)
		return 0;
	path->data[collection] = '\0';
	return call(a, "POST", path->data, row, e);
}

static int report(struct apply *a, const struct entity *t, const json_t *row, struct err *e)
{
	struct buf name = BUF_INIT;
	int rc = buf_addf(&name, e, "%s/", t->name);

	if (rc == 0)
		rc = print_safe(&name, str_from(resource_name(t, row)), e);
	if (rc == 0 && !api_ok(&a->answer)) {
		a->refused++;
		(void)cli_refused(a->cli, name.data, &a->answer, e);
	} else if (rc == 0) {
		a->applied++;
		printf("%s applied\n", name.data);
		if (cli_confirmed(a->cli, &a->answer, e) < 0)
			a->refused++;
	}
	buf_deinit(&name);
	return rc;
}

static int apply_row(struct apply *a, const struct entity *t, const json_t *row, struct err *e)
{
	struct str key = resource_key(t, row);
	struct buf path = BUF_INIT;
	int rc = 0;

	if (!json_is_object(row))
		return bad_value(a, e, "expected an object");
	if (!key.ptr)
		return err_set(e, ERR_INVALID, "value %zu: %s without id%s%s", a->document,
			       t->singular, t->endpoint_key ? " or " : "",
			       t->endpoint_key ? t->endpoint_key : "");
	if (a->resource)
		rc = buf_add_str(&path, buf_str(&a->resource->path), e);
	else if (t->below_parent)
		rc = path_below_parent(a, &path, t, row, e);
	else
		rc = buf_addf(&path, e, "/%s", entity_path(t, false));
	if (rc == 0)
		rc = send_row(a, t, &path, key, row, e);
	if (rc == 0)
		rc = report(a, t, row, e);
	buf_deinit(&path);
	return rc;
}

/* --- values --- */

static int apply_rows(struct apply *a, const struct entity *t, const json_t *rows, struct err *e)
{
	const json_t *row;
	size_t i;

	if (!json_is_array(rows))
		return apply_row(a, t, rows, e);
	json_array_foreach(rows, i, row)
	{
		if (apply_row(a, t, row, e) < 0)
			return -1;
	}
	return 0;
}

static int check_kinds(const struct apply *a, const json_t *value, struct err *e)
{
	json_t *o = (json_t *)(uintptr_t)value;

	if (!json_is_object(value) || json_object_size(value) == 0)
		return bad_value(a, e,
				 "expected an object of entities, such as {\"services\": "
				 "[...]}");
	for (void *it = json_object_iter(o); it; it = json_object_iter_next(o, it)) {
		const char *name = json_object_iter_key(it);
		const struct entity *t = entity_find(str_from(name));

		if (str_starts(str_from(name), STR("_format_version")))
			return bad_value(a, e,
					 "a declarative document; `cardea config db_import` "
					 "takes those");
		if (!t || t->internal)
			return err_set(e, ERR_INVALID,
				       "value %zu: no entity %.64s; name it: cardea apply ENTITY",
				       a->document, name);
	}
	return 0;
}

/* In the registry's order, in which references come before those who refer. */
static int apply_kinds(struct apply *a, const json_t *value, struct err *e)
{
	const struct entity *t;

	if (check_kinds(a, value, e) < 0)
		return -1;
	for (size_t i = 0; (t = entity_at(i)); i++) {
		const json_t *rows = json_object_get(value, t->name);

		if (rows && apply_rows(a, t, rows, e) < 0)
			return -1;
	}
	return 0;
}

static int apply_value(struct apply *a, const json_t *value, struct err *e)
{
	const json_t *one;
	size_t i;

	if (a->resource)
		return apply_rows(a, a->resource->entity, value, e);
	if (!json_is_array(value))
		return apply_kinds(a, value, e);
	json_array_foreach(value, i, one)
	{
		if (apply_kinds(a, one, e) < 0)
			return -1;
	}
	return 0;
}

/* White space between values; false at the end. */
static bool more(FILE *in)
{
	int c;

	do
		c = fgetc(in);
	while (c == ' ' || c == '\t' || c == '\r' || c == '\n');
	if (c == EOF)
		return false;
	ungetc(c, in);
	return true;
}

static int apply_file(struct apply *a, FILE *in, const char *name, struct err *e)
{
	int rc = 0;

	while (rc == 0 && more(in)) {
		json_error_t why;
		json_t *value =
			json_loadf(in, JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES, &why);

		a->document++;
		if (value)
			rc = apply_value(a, value, e);
		else
			rc = err_set(e, ERR_INVALID, "value %zu: not JSON: %s, in line %d of it",
				     a->document, why.text, why.line);
		json_decref(value);
	}
	if (rc == 0 && ferror(in))
		rc = err_errno(e, ERR_INVALID, errno, "reading");
	if (rc == 0 && a->document == 0)
		rc = err_set(e, ERR_INVALID, "nothing in it");
	return rc < 0 ? err_prefix(e, "%s", name) : 0;
}

static int open_file(const char *name, FILE **in, struct err *e)
{
	*in = strcmp(name, "-") == 0 ? stdin : fopen(name, "re");
	return *in ? 0 : err_errno(e, ERR_INVALID, errno, "%s", name);
}

int command_apply(struct cli *c, int argc, char **argv, struct err *e)
{
	struct apply a = {.cli = c, .answer = API_ANSWER_INIT};
	const char *name = c->option[OPTION_FILE];
	struct resource r = {0};
	FILE *in = NULL;
	int rc;

	if (!name)
		return err_set(e, ERR_INVALID, "--file is missing");
	if (argc > 1 && resource_parse(&r, argv[1], e) < 0)
		return -1;
	a.resource = argc > 1 ? &r : NULL;
	rc = cli_wait(c, &a.wait_s, e);
	if (rc == 0)
		rc = open_file(name, &in, e);
	if (rc == 0)
		rc = cli_api(c, &a.api, e);
	if (rc == 0)
		rc = apply_file(&a, in, name, e);
	if (in && in != stdin)
		fclose(in);
	if (a.refused > 0)
		fprintf(stderr, "cardea apply: %zu applied, %zu refused\n", a.applied, a.refused);
	if (rc == 0 && a.refused > 0)
		rc = err_set(e, ERR_DENIED, "%s", "");
	api_answer_deinit(&a.answer);
	buf_deinit(&r.path);
	return rc;
}
