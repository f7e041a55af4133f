/* Schemas, validation without a write, and which plugins there are (kong-admin-api.md 3.5). */
#include "control-plane/model/schema.h"

#include "common/core/clock.h"
#include "control-plane/admin/fault.h"
#include "control-plane/admin/handlers.h"

static void reply_unknown(struct admin_request *r, const char *what, struct str name)
{
	admin_reply_message(r, 404, "No %s named '%.*s'", what, (int)name.len, name.ptr);
}

static void reply_or_fail(struct admin_request *r, json_t *body)
{
	if (body)
		admin_reply(r, 200, body);
	else
		fault_internal(r);
}

/* The entity of the path's second part; NULL after an answer. */
static const struct entity *asked_entity(struct admin_request *r)
{
	const struct entity *t = entity_find(r->segments[1]);

	if (t && !t->internal)
		return t;
	reply_unknown(r, "entity", r->segments[1]);
	return NULL;
}

void schemas_entity(struct admin_request *r)
{
	const struct entity *t;

	if (str_eq(r->segments[1], STR("tags"))) {
		reply_or_fail(r, schema_of_tags());
		return;
	}
	t = asked_entity(r);

	if (t)
		reply_or_fail(r, schema_of_entity(t));
}

void schemas_plugin(struct admin_request *r)
{
	const struct plugin_schema *p = plugin_schema_find(r->segments[2]);

	if (p)
		reply_or_fail(r, schema_of_plugin(p));
	else
		reply_unknown(r, "plugin", r->segments[2]);
}

void schemas_config(struct admin_request *r)
{
	const struct plugin_schema *p = plugin_schema_find(r->segments[2]);

	if (p)
		reply_or_fail(r, schema_of_config(p));
	else
		reply_unknown(r, "plugin", r->segments[2]);
}

void schemas_vault(struct admin_request *r)
{
	reply_unknown(r, "vault", r->segments[2]);
}

void schemas_validate(struct admin_request *r)
{
	const struct entity *t = asked_entity(r);
	struct violations v;
	json_t *row;

	if (!t)
		return;
	if (r->form)
		entity_coerce_form(t, r->input, NULL);
	violations_init(&v);
	row = entity_create(t, r->input, clock_wall_ms(), &v);
	if (row)
		admin_reply_message(r, 200, "schema validation successful");
	else
		fault_violations(r, &v);
	json_decref(row);
	violations_deinit(&v);
}

void schemas_enabled_plugins(struct admin_request *r)
{
	json_t *names = json_array();
	const struct plugin_schema *p;

	for (size_t i = 0; (p = plugin_schema_at(i)); i++)
		json_array_append_new(names, json_string(p->name));
	reply_or_fail(r, json_pack("{s:o}", "enabled_plugins", names));
}
