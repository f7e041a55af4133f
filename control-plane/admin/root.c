/* GET /: what clients of Kong look at first (kong-admin-api.md 3.2). */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control-plane/admin/fault.h"
#include "control-plane/admin/handlers.h"
#include "control-plane/model/plugin_schemas.h"

enum { PAGE = 1000 };

/* The API level that clients look for. */
static const char compatible_version[] = "3.9.1";

/* --- configuration --- */

static json_t *value_json(const struct conf_key *key, const char *text)
{
	if (key->type == CONF_BOOL)
		return json_boolean(strcmp(text, "on") == 0);
	if (key->type == CONF_INT)
		return json_integer(strtoll(text, NULL, 10));
	return json_string(text);
}

static json_t *loaded(void)
{
	const struct plugin_schema *p;
	json_t *out = json_object();

	for (size_t i = 0; (p = plugin_schema_at(i)); i++)
		json_object_set_new(out, p->name, json_true());
	return out;
}

/* What Kong 0.3 to 0.5 listed. */
static json_t *plugins_available(void)
{
	const struct plugin_schema *p;
	json_t *out = json_array();

	for (size_t i = 0; (p = plugin_schema_at(i)); i++)
		json_array_append_new(out, json_string(p->name));
	return out;
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
	json_object_set_new(out, "plugins", json_pack("[s]", "bundled"));
	json_object_set_new(out, "loaded_plugins", loaded());
	json_object_set_new(out, "plugins_available", plugins_available());
	json_object_set_new(out, "role", json_string("control_plane"));
	json_object_set_new(out, "router_flavor", json_string("traditional_compatible"));
	return out;
}

/* --- plugins --- */

static json_t *available(void)
{
	const struct plugin_schema *p;
	json_t *out = json_object();

	for (size_t i = 0; (p = plugin_schema_at(i)); i++)
		json_object_set_new(
			out, p->name,
			json_pack("{s:s, s:i}", "version", p->version, "priority", p->priority));
	return out;
}

static bool has_text(const json_t *list, const char *text)
{
	const json_t *one;
	size_t i;

	json_array_foreach(list, i, one)
	{
		if (strcmp(json_string_value(one), text) == 0)
			return true;
	}
	return false;
}

/* Nothing is left to find once every plugin there is has been seen. */
static bool all_seen(const json_t *names)
{
	return !plugin_schema_at(json_array_size(names));
}

static void reply(struct admin_request *r)
{
	json_t *names = r->row ? json_incref(r->row) : json_array();

	admin_reply(r, 200,
		    json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:{s:i, s:i}, s:{s:o, s:o}, "
			      "s:{s:i, s:[]}, s:o}",
			      "tagline", "Welcome to Cardea", "version", compatible_version,
			      "cardea_version", CARDEA_VERSION, "edition", "community", "hostname",
			      r->ctx->hostname, "node_id", r->ctx->conf.control_plane_id, "timers",
			      "running", 0, "pending", 0, "plugins", "available_on_server",
			      available(), "enabled_in_cluster", names, "pids", "master",
			      (int)getpid(), "workers", "configuration", configuration(r)));
}

static void read_page(struct admin_request *r, struct str after);

/* r->row collects the names. Without the database the rest is told all the same. */
static void on_plugins(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;
	const json_t *row;
	size_t i;

	if (!admin_resume(r))
		return;
	json_array_foreach(res->rows, i, row)
	{
		const char *name = json_string_value(json_object_get(row, "name"));

		if (name && !has_text(r->row, name))
			json_array_append_new(r->row, json_string(name));
	}
	row = json_array_get(res->rows, PAGE - 1);
	if (res->fault == STORE_OK && json_array_size(res->rows) > PAGE && !all_seen(r->row))
		read_page(r, str_from(json_string_value(json_object_get(row, "id"))));
	else
		reply(r);
}

static void read_page(struct admin_request *r, struct str after)
{
	const struct store_page p = {.size = PAGE, .after = after};

	admin_suspend(r);
	store_list(r->ctx->store, &entity_plugins, &p, on_plugins, r);
}

void info_root(struct admin_request *r)
{
	r->row = json_array();
	read_page(r, STR_NONE);
}
