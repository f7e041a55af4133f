/* /clustering/...: what the data planes hold. */
#include <stdlib.h>

#include "control-plane/admin/fault.h"
#include "control-plane/admin/handlers.h"

static void on_nodes(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;

	if (!admin_resume(r))
		return;
	if (res->fault != STORE_OK)
		fault_reply(r, NULL, res);
	else
		admin_reply(r, 200, json_pack("{s:O, s:n}", "data", res->rows, "next"));
}

void clustering_data_planes(struct admin_request *r)
{
	admin_suspend(r);
	fleet_nodes(r->ctx->fleet, on_nodes, r);
}

/* Takes body. */
static void reply_deprecated(struct admin_request *r, json_t *body)
{
	char *text = json_dumps(body, JSON_COMPACT);
	struct http_fields extra = {0};
	int rc = http_fields_add(&extra, exchange_arena(r->x), STR("deprecation"), STR("true"));

	json_decref(body);
	if (text && rc == 0)
		admin_reply_text(r, 200, STR("application/json; charset=utf-8"), str_from(text),
				 &extra);
	else
		fault_internal(r);
	free(text);
}

/* Deprecated in Kong, still read by old scripts: id to a few facts. */
static void on_status(const struct store_result *res, void *arg)
{
	static const char *const shown[] = {"config_hash", "hostname", "ip", "last_seen"};
	struct admin_request *r = arg;
	json_t *out, *row, *node;
	size_t i;

	if (!admin_resume(r))
		return;
	if (res->fault != STORE_OK) {
		fault_reply(r, NULL, res);
		return;
	}
	out = json_object();
	json_array_foreach(res->rows, i, row)
	{
		const char *id = json_string_value(json_object_get(row, "id"));

		node = json_object();
		for (size_t k = 0; k < array_len(shown); k++)
			json_object_set(node, shown[k], json_object_get(row, shown[k]));
		json_object_set_new(out, id ? id : "", node);
	}
	reply_deprecated(r, out);
}

void clustering_status(struct admin_request *r)
{
	admin_suspend(r);
	fleet_nodes(r->ctx->fleet, on_status, r);
}
