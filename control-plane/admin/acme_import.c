/* POST /acme/import: takes over what Kong's plugin acme keeps in a storage (acme_take_over).
 *
 *     storage, storage_config   as in the config of the plugin acme; without them that of the
 * plugin that is here api_uri                   the authority of what is taken; default: the
 * plugin's, or the first rows                      instead of a storage: [{"key","value"}], Kong's
 * entities acme_storage dry_run, force            see struct acme_takeover
 *
 * 200 the report, whatever it says of single keys · 400 settings that are wrong, or a storage that
 * does not speak its protocol · 409 one is under way · 413 more keys than acme_storage_keys_max ·
 * 502 the storage refuses us or cannot be reached · 503 the database is away. */
#include <stdlib.h>

#include "control-plane/admin/audit.h"
#include "control-plane/admin/fault.h"
#include "control-plane/admin/handlers.h"

static const struct {
	enum err_kind kind;
	unsigned status;
} statuses[] = {
	{ERR_INVALID, 400}, {ERR_CONFLICT, 409},    {ERR_LIMIT, 413},
	{ERR_DENIED, 502},  {ERR_UNAVAILABLE, 502}, {ERR_TIMEOUT, 502},
};

static void on_taken(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;
	json_t *row;

	if (!admin_resume(r))
		return;
	row = json_array_get(res->rows, 0);
	for (size_t i = 0; res->fault == STORE_FAILED && i < array_len(statuses); i++)
		if (statuses[i].kind == res->err.kind) {
			admin_reply_message(r, statuses[i].status, "%s", res->err.message);
			return;
		}
	if (res->fault != STORE_OK || !row)
		fault_reply(r, NULL, res);
	else if (res->revision)
		admin_reply_write(r, 200, json_incref(row), res->revision);
	else
		admin_reply(r, 200, json_incref(row));
}

static bool read_switch(struct admin_request *r, const char *name, bool *out)
{
	const json_t *v = json_object_get(r->input, name);

	*out = json_is_true(v);
	if (!v || json_is_null(v) || json_is_boolean(v))
		return true;
	admin_reply_message(r, 400, "%s must be true or false", name);
	return false;
}

static bool read_type(struct admin_request *r, const char *name, json_type type, const char *is)
{
	const json_t *v = json_object_get(r->input, name);

	if (!v || json_is_null(v) || json_typeof(v) == type)
		return true;
	admin_reply_message(r, 400, "%s must be %s", name, is);
	return false;
}

void acme_import_post(struct admin_request *r)
{
	struct acme_takeover w = {.config = NULL};
	struct store_note note;

	if (!r->ctx->acme) {
		admin_reply_message(r, 404, "certificates need a database");
		return;
	}
	if (!read_switch(r, "dry_run", &w.dry_run) || !read_switch(r, "force", &w.force) ||
	    !read_type(r, "storage", JSON_STRING, "a text") ||
	    !read_type(r, "storage_config", JSON_OBJECT, "an object") ||
	    !read_type(r, "api_uri", JSON_STRING, "a text") ||
	    !read_type(r, "rows", JSON_ARRAY, "a list"))
		return;
	if (json_is_array(json_object_get(r->input, "rows")))
		w.rows = json_object_get(r->input, "rows");
	if (json_is_string(json_object_get(r->input, "storage")) || w.rows)
		w.config = r->input;
	admin_suspend(r);
	acme_take_over(r->ctx->acme, &w, audit_note(r, &note, "acme_storage", NULL), on_taken, r);
}
