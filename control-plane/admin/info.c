/* What the control plane says of itself: /, /status, /status/ready, /metrics, /endpoints. */
#include <string.h>
#include <unistd.h>

#include "common/core/log.h"
#include "control-plane/admin/fault.h"
#include "control-plane/admin/handlers.h"
#include "control-plane/admin/router.h"

/* The API level that clients of Kong look for (kong-admin-api.md 3.2). */
static const char compatible_version[] = "3.9.1";

static json_t *value_json(const struct conf_key *key, const char *text)
{
	if (key->type == CONF_BOOL)
		return json_boolean(strcmp(text, "on") == 0);
	if (key->type == CONF_INT)
		return json_sprintf("%s", text);
	return json_string(text);
}

static json_t *configuration(struct admin_request *r)
{
	const struct admin_conf *c = &r->ctx->conf;
	json_t *out = json_object();
	struct buf text = BUF_INIT;

	for (size_t i = 0; i < c->key_count; i++) {
		buf_clear(&text);
		if (conf_value_text(&c->keys[i], c->values, &text, NULL) == 0)
			json_object_set_new(out, c->keys[i].name,
					    value_json(&c->keys[i], text.data ? text.data : ""));
	}
	buf_deinit(&text);
	json_object_set_new(out, "role", json_string("control_plane"));
	json_object_set_new(out, "router_flavor", json_string("traditional_compatible"));
	return out;
}

void info_root(struct admin_request *r)
{
	admin_reply(r, 200,
		    json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:{s:i, s:i}, s:{s:{}, s:[]}, "
			      "s:{s:i, s:[]}, "
			      "s:o}",
			      "tagline", "Welcome to Cardea", "version", compatible_version,
			      "cardea_version", CARDEA_VERSION, "edition", "community", "hostname",
			      r->ctx->hostname, "node_id", r->ctx->conf.control_plane_id, "timers",
			      "running", 0, "pending", 0, "plugins", "available_on_server",
			      "enabled_in_cluster", "pids", "master", (int)getpid(), "workers",
			      "configuration", configuration(r)));
}

/* How sizes are to be shown. None is shown yet, but a mistake is one. Answers unless it returns
 * true. */
static bool check_units(struct admin_request *r)
{
	struct str unit = admin_query(r, "unit"), scale = admin_query(r, "scale");
	bool known = unit.len == 1 && strchr("bkmgBKMG", unit.ptr[0]);

	if (unit.ptr && !known)
		admin_reply_message(r, 400, "invalid unit '%.*s' (expected 'k/K', 'm/M', or 'g/G')",
				    (int)unit.len, unit.ptr);
	else if (str_starts(scale, STR("-")))
		admin_reply_message(r, 400, "scale must be equal or greater than 0");
	else
		return true;
	return false;
}

void info_status(struct admin_request *r)
{
	const struct admin_context *ctx = r->ctx;

	if (!check_units(r))
		return;
	admin_reply(r, 200,
		    json_pack("{s:{s:b}, s:{s:I}, s:{s:I}, s:{s:[], s:{}}}", "database",
			      "reachable", store_reachable(ctx->store), "server", "total_requests",
			      (json_int_t)ctx->requests_total, "fleet", "revision",
			      (json_int_t)fleet_revision(ctx->fleet), "memory", "workers_lua_vms",
			      "lua_shared_dicts"));
}

void info_ready(struct admin_request *r)
{
	if (r->ctx->draining)
		admin_reply_message(r, 503, "draining");
	else if (!store_reachable(r->ctx->store))
		admin_reply_message(r, 503, "failed to connect to database");
	else if (!fleet_ready(r->ctx->fleet))
		admin_reply_message(r, 503, "the fleet's state is not loaded yet");
	else
		admin_reply_message(r, 200, "ready");
}

void info_drain(struct admin_request *r)
{
	const char *status = json_string_value(json_object_get(r->input, "status"));

	if (!status || strcmp(status, "draining") != 0) {
		admin_reply_empty(r, 400);
		return;
	}
	r->ctx->draining = true;
	admin_reply_empty(r, 204);
}

void info_metrics(struct admin_request *r)
{
	struct buf text = BUF_INIT;

	if (metrics_render(r->ctx->conf.metrics, &text, NULL) < 0)
		fault_internal(r);
	else
		admin_reply_text(r, 200, STR("text/plain; version=0.0.4; charset=utf-8"),
				 buf_str(&text), NULL);
	buf_deinit(&text);
}

static void add_nested_paths(json_t *data, const struct entity *t)
{
	const struct entity *child;

	for (size_t i = 0; (child = entity_at(i)); i++) {
		if (child->internal || !entity_reference(child, t))
			continue;
		json_array_append_new(data,
				      json_sprintf("/%s/:%s/%s", t->name, t->name, child->name));
		json_array_append_new(data, json_sprintf("/%s/:%s/%s/:%s", t->name, t->name,
							 child->name, child->name));
	}
}

static void add_paths(json_t *data, const struct entity *t)
{
	add_nested_paths(data, t);
	if (t->below_parent)
		return;
	json_array_append_new(data, json_sprintf("/%s", t->name));
	json_array_append_new(data, json_sprintf("/%s/:%s", t->name, t->name));
	for (size_t k = 0; k < t->field_count && !t->no_reverse; k++)
		if (t->fields[k].type == FIELD_FOREIGN)
			json_array_append_new(data, json_sprintf("/%s/:%s/%s", t->name, t->name,
								 t->fields[k].name));
}

void info_endpoints(struct admin_request *r)
{
	json_t *data = json_array();
	const struct entity *t;

	for (const struct route *route = admin_routes; route->pattern; route++)
		json_array_append_new(data, json_string(route->pattern));
	for (size_t i = 0; (t = entity_at(i)); i++)
		if (!t->internal)
			add_paths(data, t);
	admin_reply(r, 200, json_pack("{s:o, s:n}", "data", data, "next"));
}
