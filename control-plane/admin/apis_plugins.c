/* /apis/{api}/plugins of Kong 0.3 to 0.14: the plugins of the api's route, in the shape of that
 * time. The generic handlers do the work (crud.h). */
#include <string.h>

#include "common/core/codec.h"
#include "control-plane/admin/apis_bundle.h"
#include "control-plane/admin/audit.h"
#include "control-plane/admin/crud.h"
#include "control-plane/admin/decode.h"
#include "control-plane/admin/fault.h"
#include "control-plane/admin/handlers.h"
#include "control-plane/admin/older.h"
#include "control-plane/admin/plugin_certificate.h"

enum { TRIES_MAX = 5 };

/* --- shape --- */

static json_t *older_plugin(const json_t *plugin)
{
	static const char *const same[] = {"id", "created_at", "name", "config", "enabled"};
	const json_t *route = json_object_get(plugin, "route");
	const json_t *consumer = json_object_get(plugin, "consumer");
	json_t *out = json_object();

	for (size_t i = 0; i < array_len(same); i++)
		json_object_set(out, same[i], json_object_get(plugin, same[i]));
	json_object_set(out, "api_id", json_object_get(route, "id"));
	if (json_is_object(consumer))
		json_object_set(out, "consumer_id", json_object_get(consumer, "id"));
	return out;
}

static json_t *older_page(json_t *page)
{
	json_t *data = json_object_get(page, "data"), *row;
	size_t i;

	json_array_foreach(data, i, row) json_array_set_new(data, i, older_plugin(row));
	if (!json_object_get(page, "offset"))
		json_object_set_new(page, "total", json_integer((json_int_t)json_array_size(data)));
	return page;
}

static json_t *shape(struct admin_request *r, unsigned *status, json_t *body)
{
	json_t *out;

	if (*status >= 400)
		return older_errors(r, status, body);
	if (json_object_get(body, "data"))
		return older_page(body);
	if (!json_object_get(body, "config"))
		return body;
	/* PUT on the collection says whether it created something. */
	if (*status == 200 && !r->old && r->row)
		*status = 201;
	out = older_plugin(body);
	json_decref(body);
	return out;
}

/* --- which api --- */

/* Of a create: the pair was not optional. */
static bool pair_is_there(struct admin_request *r)
{
	static const char *const members[] = {"cert", "key"};
	const json_t *config = json_object_get(r->input, "config");
	struct violations v;
	bool any;

	if (!plugin_certificate_for(r->input) || (config && !json_is_object(config)))
		return true;
	violations_init(&v);
	for (size_t i = 0; i < array_len(members); i++) {
		const json_t *value = json_object_get(config, members[i]);

		if (!value || json_is_null(value))
			violations_add(&v, i ? "config.key" : "config.cert",
				       "required field missing");
	}
	any = violations_any(&v);
	if (any)
		fault_violations(r, &v);
	violations_deinit(&v);
	return !any;
}

static void with_api(struct admin_request *r)
{
	const char *id = json_string_value(json_object_get(r->api->rows.route, "id"));

	if (!id) {
		admin_reply_message(r, 404, "Not found");
		return;
	}
	r->entity = &entity_plugins;
	r->parent = &entity_routes;
	r->parent_key = r->segments[1];
	snprintf(r->parent_id, sizeof(r->parent_id), "%s", id);
	if (r->segment_count > 3)
		r->key = r->segments[3];
	if (r->input)
		decode_fields(r);
	r->shape = shape;
	r->checked(r);
}

static void begin(struct admin_request *r, admin_handler next)
{
	apis_begin(r);
	r->checked = next;
	apis_bundle_find(r, r->segments[1], with_api);
}

/* --- verbs --- */

void apis_plugins_list(struct admin_request *r)
{
	begin(r, crud_list);
}

void apis_plugins_get(struct admin_request *r)
{
	begin(r, crud_get);
}

static void post(struct admin_request *r)
{
	if (pair_is_there(r))
		crud_post(r);
}

void apis_plugins_post(struct admin_request *r)
{
	begin(r, post);
}

/* By the body's id; without one there is nothing to replace. */
static void put(struct admin_request *r)
{
	json_t *id = json_object_get(r->input, "id");
	struct str text = {json_string_value(id), json_string_length(id)};

	if (!pair_is_there(r))
		return;
	if (!text.ptr || !uuid_is(text)) {
		crud_post(r);
		return;
	}
	r->key = arena_str(exchange_arena(r->x), text);
	if (r->key.ptr)
		crud_put(r);
	else
		fault_internal(r);
}

void apis_plugins_put(struct admin_request *r)
{
	begin(r, put);
}

void apis_plugins_patch(struct admin_request *r)
{
	if (json_object_size(r->input) > 0) {
		begin(r, crud_patch);
		return;
	}
	apis_begin(r);
	admin_reply_message(r, 400, "empty body");
}

/* --- DELETE: with the plugin goes that only HTTPS is served --- */

static void del(struct admin_request *r);

static void on_deleted(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;

	if (!admin_resume(r))
		return;
	if (res->fault == STORE_VERSION && ++r->tries < TRIES_MAX)
		apis_bundle_find(r, r->segments[1], with_api);
	else if (res->fault == STORE_NOT_FOUND)
		admin_reply_message(r, 404, "Not found");
	else if (res->fault != STORE_OK)
		fault_reply(r, r->entity, res);
	else
		admin_reply_write(r, 204, NULL, res->revision);
}

static bool is_only_https(const json_t *plugin)
{
	return plugin_certificate_for(plugin) &&
	       json_is_true(json_object_get(json_object_get(plugin, "config"), "only_https"));
}

static void delete_found(struct admin_request *r)
{
	const char *route =
		json_string_value(json_object_get(json_object_get(r->old, "route"), "id"));
	const char *id = json_string_value(json_object_get(r->old, "id"));
	struct err e = ERR_INIT;
	struct txn *t;

	if (!route || strcmp(route, r->parent_id) != 0) {
		admin_reply_message(r, 404, "Not found");
		return;
	}
	t = audit_begin(r);
	if (!t)
		return;
	audit_entity(r, t, r->entity, r->old, NULL);
	txn_delete(t, &entity_plugins, str_from(id), true);
	if (is_only_https(r->old) &&
	    plugin_certificate_protocols(r->api->rows.route, false, t, &e) < 0) {
		txn_free(t);
		fault_internal(r);
		return;
	}
	admin_suspend(r);
	txn_commit(t, on_deleted, r);
}

static void del(struct admin_request *r)
{
	crud_resolve(r, true, delete_found);
}

void apis_plugins_delete(struct admin_request *r)
{
	begin(r, del);
}
