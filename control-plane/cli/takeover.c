/* acme import: takes over what Kong's plugin acme keeps, and shows what became of each key.
 *
 * From a storage that --storage and FIELD=VALUE describe (of its record in storage_config), from a
 * file with `acme_storage` (a declarative document as Kong exports it, or the list alone), or,
 * without either, from the storage of the plugin acme of the control plane. */
#include <stdio.h>
#include <stdlib.h>

#include "control-plane/cli/assign.h"
#include "control-plane/cli/commands.h"
#include "control-plane/cli/files.h"
#include "control-plane/cli/print.h"
#include "control-plane/model/declarative.h"

/* --- the body --- */

static void free_words(char **words, size_t n)
{
	for (size_t i = 0; words && i < n; i++)
		free(words[i]);
	free(words);
}

/* The arguments as they would stand for the plugin; n + 2 words. */
static char **plugin_words(const char *storage, int n, char **fields, struct err *e)
{
	char **words = calloc((size_t)n + 2, sizeof(*words));

	for (int i = 0; words && i < n + 2; i++) {
		struct buf word = BUF_INIT;
		int rc;

		if (i == 0)
			rc = buf_add_str(&word, STR("name=acme"), e);
		else if (i == 1)
			rc = buf_addf(&word, e, "config.storage=%s", storage);
		else
			rc = buf_addf(&word, e, "config.storage_config.%s.%s", storage,
				      fields[i - 2]);
		words[i] = word.data;
		if (rc == 0)
			continue;
		free_words(words, (size_t)n + 2);
		return NULL;
	}
	if (!words)
		err_memory(e, "arguments");
	return words;
}

static int add_storage(json_t *body, const char *storage, int n, char **fields, struct err *e)
{
	char **words = plugin_words(storage, n, fields, e);
	json_t *plugin = NULL;
	int rc = words ? assign_read(&plugin, &entity_plugins, NULL, n + 2, words, e) : -1;

	if (rc == 0 && json_object_update(body, json_object_get(plugin, "config")) < 0)
		rc = err_memory(e, "a storage");
	json_decref(plugin);
	free_words(words, (size_t)n + 2);
	return rc;
}

static int add_rows(json_t *body, const char *path, struct err *e)
{
	struct buf text = {.secret = true, .limit = API_ANSWER_MAX};
	json_t *document = NULL, *rows = NULL;
	int rc = file_read_or_stdin(path, &text, e);

	if (rc == 0)
		rc = declarative_parse(&document, buf_str(&text),
				       str_eq(str_from(path), STR("-")) ? NULL : path, e);
	buf_deinit(&text);
	if (rc == 0)
		rows = json_object_get(document, "acme_storage");
	if (rc == 0 && !json_is_array(rows))
		rc = err_set(e, ERR_INVALID, "%s: there is no list acme_storage", path);
	if (rc == 0 && json_object_set(body, "rows", rows) < 0)
		rc = err_memory(e, "rows");
	json_decref(document);
	return rc;
}

static int build_body(struct cli *c, int n, char **fields, json_t **out, struct err *e)
{
	const char *storage = c->option[OPTION_STORAGE], *file = c->option[OPTION_FILE];
	json_t *body = json_pack("{s:b, s:b}", "dry_run", c->option[OPTION_DRY_RUN] != NULL,
				 "force", c->option[OPTION_FORCE] != NULL);
	int rc = body ? 0 : err_memory(e, "a request");

	*out = body;
	if (rc == 0 && storage && file)
		rc = err_set(e, ERR_INVALID, "--storage and --file: one of them");
	else if (rc == 0 && !storage && n > 0)
		rc = err_set(e, ERR_INVALID, "FIELD=VALUE needs --storage");
	else if (rc == 0 && storage)
		rc = add_storage(body, storage, n, fields, e);
	else if (rc == 0 && file)
		rc = add_rows(body, file, e);
	return rc;
}

/* --- the command --- */

static int print_report(struct print *p, const json_t *report, struct err *e)
{
	const json_t *row;
	size_t i;

	json_array_foreach(json_object_get(report, "rows"), i, row)
	{
		if (print_row(p, row, api_text(row, "key"), e) < 0)
			return -1;
	}
	return 0;
}

static json_int_t number(const json_t *report, const char *name)
{
	return json_integer_value(json_object_get(report, name));
}

/* What a script looks at is the exit code; what a person does is this line. */
static int tell(const json_t *report, struct err *e)
{
	fprintf(stderr, "%s: %lld taken%s, %lld unchanged, %lld left, %lld refused\n",
		api_text(report, "storage"), (long long)number(report, "taken"),
		json_is_true(json_object_get(report, "dry_run")) ? " (not really: --dry-run)" : "",
		(long long)number(report, "unchanged"), (long long)number(report, "left"),
		(long long)number(report, "refused"));
	if (number(report, "refused") == 0)
		return 0;
	return err_set(e, ERR_DENIED, "%lld of %lld keys were refused",
		       (long long)number(report, "refused"), (long long)number(report, "keys"));
}

static int ask(struct cli *c, const json_t *body, struct api_answer *a, struct err *e)
{
	struct api *api;
	int rc = cli_api(c, &api, e);

	if (rc == 0)
		rc = api_call(api,
			      &(struct api_request){
				      .method = "POST", .path = "/acme/import", .json = body},
			      a, e);
	if (rc == 0 && !api_row(a))
		rc = cli_refused(c, NULL, a, e);
	return rc;
}

int command_acme_import(struct cli *c, int argc, char **argv, struct err *e)
{
	struct api_answer a = API_ANSWER_INIT;
	json_t *body = NULL;
	struct print p;
	int rc = print_begin(&p, c, "takeovers", true, stdout, e);

	if (rc < 0)
		return rc;
	rc = build_body(c, argc - 1, argv + 1, &body, e);
	if (rc == 0)
		rc = ask(c, body, &a, e);
	json_decref(body);
	if (rc == 0)
		rc = print_report(&p, a.body, e);
	print_end(&p, rc == 0);
	if (rc == 0)
		rc = tell(a.body, e);
	api_answer_deinit(&a);
	return rc;
}
