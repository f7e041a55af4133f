/* route ─▶ service; then: its plugins ─▶ the ssl plugin's certificate. */
#include "control-plane/admin/apis_bundle.h"

#include <stdlib.h>

#include "common/core/codec.h"
#include "control-plane/admin/fault.h"
#include "control-plane/admin/plugin_certificate.h"

/* A route has one plugin of a kind, so this is more than there are kinds. */
enum { PLUGINS_MAX = 1000 };

void apis_bundle_free(struct apis_bundle *b)
{
	if (!b)
		return;
	apis_rows_deinit(&b->rows);
	apis_rows_deinit(&b->made);
	json_decref(b->certificate);
	free(b);
}

/* An empty bundle for r; answers unless it returns true. */
static bool begin(struct admin_request *r, admin_handler next)
{
	struct apis_bundle *b = calloc(1, sizeof(*b));

	apis_bundle_free(r->api);
	r->api = b;
	if (!b) {
		fault_internal(r);
		return false;
	}
	b->next = next;
	return true;
}

bool apis_bundle_start(struct admin_request *r)
{
	return begin(r, NULL);
}

static void no_api(struct admin_request *r)
{
	apis_rows_deinit(&r->api->rows);
	r->api->next(r);
}

/* Whether the call went well and the client is still there; answers in case of failure. */
static bool went_well(struct admin_request *r, const struct store_result *res)
{
	if (!admin_resume(r))
		return false;
	if (res->fault == STORE_OK)
		return true;
	fault_reply(r, &apis_entity, res);
	return false;
}

static void on_service(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;
	struct apis_rows *rows = &r->api->rows;

	if (!went_well(r, res))
		return;
	rows->service = json_incref(json_array_get(res->rows, 0));
	if (!rows->service || !apis_is_api(rows->route, rows->service))
		no_api(r);
	else
		r->api->next(r);
}

static void look_for_service(struct admin_request *r)
{
	const char *id = json_string_value(
		json_object_get(json_object_get(r->api->rows.route, "service"), "id"));

	if (!id) {
		no_api(r);
		return;
	}
	admin_suspend(r);
	store_get(r->ctx->store, &entity_services, str_from(id), on_service, r);
}

static void on_route(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;

	if (!went_well(r, res))
		return;
	r->api->rows.route = json_incref(json_array_get(res->rows, 0));
	look_for_service(r);
}

void apis_bundle_find(struct admin_request *r, struct str key, admin_handler next)
{
	json_t *text = json_stringn(key.ptr, key.len);
	bool possible = text != NULL;

	json_decref(text);
	if (!begin(r, next))
		return;
	/* The database takes UTF-8 only. */
	if (!possible) {
		no_api(r);
		return;
	}
	admin_suspend(r);
	store_get(r->ctx->store, &entity_routes, key, on_route, r);
}

void apis_bundle_of(struct admin_request *r, json_t *route, admin_handler next)
{
	if (!begin(r, next))
		return;
	r->api->rows.route = json_incref(route);
	look_for_service(r);
}

static void on_certificate(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;

	if (!went_well(r, res))
		return;
	r->api->certificate = json_incref(json_array_get(res->rows, 0));
	r->api->next(r);
}

static void on_plugins(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;
	json_t *plugin;
	const char *id;
	size_t i;

	if (!went_well(r, res))
		return;
	json_array_foreach(res->rows, i, plugin)
	{
		if (plugin_certificate_for(plugin) && !r->api->rows.plugin)
			r->api->rows.plugin = json_incref(plugin);
	}
	id = json_string_value(json_object_get(r->api->rows.plugin, "id"));
	if (!id) {
		r->api->next(r);
		return;
	}
	admin_suspend(r);
	store_get(r->ctx->store, &entity_certificates, str_from(id), on_certificate, r);
}

void apis_bundle_complete(struct admin_request *r, admin_handler next)
{
	const char *id = json_string_value(json_object_get(r->api->rows.route, "id"));

	r->api->next = next;
	admin_suspend(r);
	store_list(r->ctx->store, &entity_plugins,
		   &(struct store_page){
			   .size = PLUGINS_MAX,
			   .foreign = "route",
			   .foreign_id = str_from(id),
		   },
		   on_plugins, r);
}
