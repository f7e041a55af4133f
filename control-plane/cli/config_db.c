/* config db_import, config db_export: everything of a control plane as lines of JSON, each the name
 * of an entity and the entity, as POST /import takes them.
 *
 * A declarative document is turned into such lines here. An import shows how far it is when the
 * standard error is a terminal; every refused line is told.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/core/clock.h"
#include "control-plane/cli/commands.h"
#include "control-plane/cli/files.h"
#include "control-plane/model/declarative.h"

enum { BAR_WIDTH = 40, PERCENT = 100, PATH_SIZE = 128 };

/* --- lines --- */

static int put_line(FILE *to, const char *kind, const json_t *row, struct err *e)
{
	json_t *line = json_pack("{s:O}", kind, row);
	char *text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(16)) : NULL;
	int rc = 0;

	json_decref(line);
	if (!text)
		return err_memory(e, "writing a line");
	if (fputs(text, to) < 0 || fputc('\n', to) == EOF)
		rc = err_errno(e, ERR_INTERNAL, errno, "writing a line");
	free(text);
	return rc;
}

static bool is_document(const char *path)
{
	static const char *const suffixes[] = {".yaml", ".yml", ".json"};

	for (size_t i = 0; i < array_len(suffixes); i++)
		if (str_ends(str_from(path), str_from(suffixes[i])))
			return true;
	return false;
}

static int document_lines(struct declarative *d, FILE *to, struct err *e)
{
	struct buf text = BUF_INIT;

	if (declarative_refused(d)) {
		int rc = declarative_print(d, &text, e);

		if (rc == 0)
			fprintf(stderr, "%s\n", text.data ? text.data : "");
		buf_deinit(&text);
		return rc < 0 ? rc : err_set(e, ERR_CONFLICT, "the document is refused");
	}
	for (size_t i = 0; i < d->count; i++)
		if (put_line(to, d->items[i].entity->name, d->items[i].row, e) < 0)
			return -1;
	return 0;
}

/* The document's entities as lines, in a file that has no name. */
static int open_document(const char *path, FILE **out, struct err *e)
{
	const struct declarative_options o = {.now_ms = clock_wall_ms(), .open = true};
	struct buf text = {.secret = true, .limit = API_ANSWER_MAX};
	struct declarative d = {.items = NULL};
	json_t *document = NULL;
	FILE *lines = NULL;
	int rc = file_read(path, &text, e);

	if (rc == 0)
		rc = declarative_parse(&document, buf_str(&text), path, e);
	buf_deinit(&text);
	if (rc < 0)
		return -1;
	rc = declarative_read(&d, document, &o, e);
	json_decref(document);
	lines = tmpfile();
	if (rc == 0 && !lines)
		rc = err_errno(e, ERR_INTERNAL, errno, "a file for lines");
	if (rc == 0)
		rc = document_lines(&d, lines, e);
	declarative_deinit(&d);
	if (rc == 0) {
		rewind(lines);
		*out = lines;
		return 0;
	}
	if (lines)
		fclose(lines);
	return -1;
}

/* --- import --- */

struct import {
	struct buf line; /* of the answer, so far */
	json_t *result;
	int64_t size; /* of the body; -1: unknown */
	bool terminal;
	bool drawn;
};

static json_int_t number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static void draw(struct import *i, const json_t *p)
{
	json_int_t percent = i->size > 0 ? number(p, "bytes") * PERCENT / i->size : 0;
	int full = (int)(percent * BAR_WIDTH / PERCENT);

	if (!i->terminal)
		return;
	i->drawn = true;
	fprintf(stderr, "\r[%.*s%*s] %3d%%  %lld stored, %lld refused ",
		full < BAR_WIDTH ? full : BAR_WIDTH, "########################################",
		BAR_WIDTH - full, "", (int)percent, (long long)number(p, "stored"),
		(long long)number(p, "refused"));
	fflush(stderr);
}

static void take_line(struct import *i, struct str text)
{
	json_t *line = json_loadb(text.ptr, text.len, 0, NULL);
	json_t *result = json_object_get(line, "result");

	if (json_object_get(line, "progress"))
		draw(i, json_object_get(line, "progress"));
	if (result)
		i->result = json_incref(result);
	json_decref(line);
}

static void on_bytes(struct str bytes, void *arg)
{
	struct import *i = arg;
	size_t end;

	/* Too much for memory: the answer as a whole fails in the same way. */
	if (buf_add_str(&i->line, bytes, NULL) < 0)
		return;
	while ((end = str_find(buf_str(&i->line), '\n', 0)) < i->line.len) {
		take_line(i, str_sub(buf_str(&i->line), 0, end));
		buf_consume(&i->line, end + 1);
	}
}

static void tell_errors(const json_t *result)
{
	const json_t *error;
	size_t n;

	json_array_foreach(json_object_get(result, "errors"), n, error)
	{
		const char *entity = json_string_value(json_object_get(error, "entity"));
		const char *message = json_string_value(json_object_get(error, "message"));

		fprintf(stderr, "line %lld: %s%s%s\n", (long long)number(error, "line"),
			entity ? entity : "", entity ? ": " : "", message ? message : "");
	}
	if (number(result, "errors_omitted"))
		fprintf(stderr, "and %lld more\n", (long long)number(result, "errors_omitted"));
}

static int tell(const struct import *i, struct err *e)
{
	const json_t *r = i->result;
	const char *message = json_string_value(json_object_get(r, "message"));
	size_t missing = json_array_size(json_object_get(r, "missing_nodes"));

	if (i->drawn)
		fputc('\n', stderr);
	tell_errors(r);
	printf("%lld lines: %lld stored (%lld rows changed), %lld refused, %lld left out; "
	       "revision %lld\n",
	       (long long)number(r, "lines"), (long long)number(r, "stored"),
	       (long long)number(r, "changed"), (long long)number(r, "refused"),
	       (long long)number(r, "skipped"), (long long)number(r, "revision"));
	if (message)
		return err_set(e, ERR_UNAVAILABLE, "%s", message);
	if (number(r, "status") != 200) /* HTTP's OK */
		return err_set(e, ERR_CONFLICT, "not everything was stored");
	if (missing)
		return err_set(e, ERR_TIMEOUT, "%zu data planes have not confirmed it yet",
			       missing);
	return 0;
}

static int64_t size_of(FILE *f)
{
	struct stat st;

	return fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode) ? (int64_t)st.st_size : -1;
}

static int import(struct cli *c, FILE *from, struct err *e)
{
	struct import i = {.size = size_of(from), .terminal = isatty(STDERR_FILENO) == 1};
	struct api_answer answer = API_ANSWER_INIT;
	struct api_request q = {
		.method = "POST",
		.path = "/import",
		.content_type = "application/x-ndjson",
		.accept = "application/x-ndjson",
		.from = from,
		.from_size = i.size,
		.on_bytes = on_bytes,
		.arg = &i,
	};
	struct api *api;
	int rc = cli_api(c, &api, e);

	if (rc == 0)
		rc = cli_wait(c, &q.wait_s, e);
	if (rc == 0)
		rc = api_call(api, &q, &answer, e);
	if (rc == 0 && !i.result)
		rc = cli_refused(c, NULL, &answer, e);
	else if (rc == 0)
		rc = tell(&i, e);
	json_decref(i.result);
	buf_deinit(&i.line);
	api_answer_deinit(&answer);
	return rc;
}

int command_db_import(struct cli *c, int argc, char **argv, struct err *e)
{
	FILE *from = NULL;
	int rc;

	(void)argc;
	if (is_document(argv[1])) {
		if (open_document(argv[1], &from, e) < 0)
			return -1;
	} else {
		from = strcmp(argv[1], "-") == 0 ? stdin : fopen(argv[1], "re");
		if (!from)
			return err_errno(e, ERR_INVALID, errno, "%s", argv[1]);
	}
	rc = import(c, from, e);
	if (from != stdin)
		fclose(from);
	return rc;
}

/* --- export --- */

struct export
{
	FILE *to;
	const struct entity *entity;
	json_t *parents; /* ids of what has lists below it */
};

static int on_row(const json_t *row, void *arg, struct err *e)
{
	struct export *x = arg;
	json_t *copy = json_copy((json_t *)(uintptr_t)row);
	int rc = 0;

	if (!copy)
		return err_memory(e, "writing a line");
	/* Names are lines of their own, with their ids and tags. */
	if (x->entity == &entity_certificates)
		json_object_del(copy, "snis");
	if (x->entity == &entity_certificates && json_is_null(json_object_get(copy, "key")))
		rc = err_set(e, ERR_DENIED, "private keys may not be read with these credentials");
	if (rc == 0)
		rc = put_line(x->to, x->entity->name, copy, e);
	json_decref(copy);
	return rc;
}

static int on_parent(const json_t *row, void *arg, struct err *e)
{
	struct export *x = arg;

	if (json_array_append(x->parents, json_object_get(row, "id")) < 0)
		return err_memory(e, "listing");
	return 0;
}

static int list(struct cli *c, cli_row_fn fn, struct export *x, struct err *e, const char *fmt, ...)
	printf_like(5, 6);
static int list(struct cli *c, cli_row_fn fn, struct export *x, struct err *e, const char *fmt, ...)
{
	struct buf path = BUF_INIT;
	char text[PATH_SIZE];
	va_list ap;
	int rc;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	rc = buf_addf(&path, e, "%s", text);
	if (rc == 0)
		rc = cli_list(c, &path, fn, x, e);
	buf_deinit(&path);
	return rc;
}

/* What has no list of its own: below each of its parents. */
static int export_below(struct cli *c, struct export *x, struct err *e)
{
	const struct field *f = NULL;
	const json_t *id;
	size_t i;
	int rc;

	for (size_t k = 0; k < x->entity->field_count && !f; k++)
		if (x->entity->fields[k].type == FIELD_FOREIGN)
			f = &x->entity->fields[k];
	x->parents = json_array();
	if (!f || !x->parents)
		return err_memory(e, "listing");
	rc = list(c, on_parent, x, e, "/%s?size=1000", f->reference);
	json_array_foreach(x->parents, i, id)
	{
		if (rc == 0)
			rc = list(c, on_row, x, e, "/%s/%s/%s?size=1000", f->reference,
				  json_string_value(id), entity_path(x->entity, true));
	}
	json_decref(x->parents);
	return rc;
}

static int export_all(struct cli *c, FILE *to, struct err *e)
{
	struct export x = {.to = to};
	int rc = 0;

	for (size_t i = 0; rc == 0 && (x.entity = entity_at(i)); i++) {
		if (x.entity->internal)
			continue;
		if (x.entity->below_parent)
			rc = export_below(c, &x, e);
		else
			rc = list(c, on_row, &x, e, "/%s?size=1000", entity_path(x.entity, false));
	}
	if (rc == 0 && fflush(to) == EOF)
		rc = err_errno(e, ERR_INTERNAL, errno, "writing");
	return rc;
}

int command_db_export(struct cli *c, int argc, char **argv, struct err *e)
{
	FILE *to = stdout;
	int fd = -1, rc;

	if (argc > 1) {
		fd = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		to = fd < 0 ? NULL : fdopen(fd, "w");
	}
	if (!to) {
		rc = err_errno(e, ERR_INVALID, errno, "%s", argv[1]);
		if (fd >= 0)
			close(fd);
		return rc;
	}
	rc = export_all(c, to, e);
	if (to != stdout && fclose(to) == EOF && rc == 0)
		rc = err_errno(e, ERR_INTERNAL, errno, "%s", argv[1]);
	return rc;
}
