/* plugins: what is done to requests, for all or for one service, route or consumer
 * (kong-admin-api.md 2.9). What config holds follows from the name. */
#include "control-plane/model/condition.h"
#include "control-plane/model/entity.h"
#include "control-plane/model/name.h"
#include "control-plane/model/plugin_schemas.h"

static const char *const protocol_names[] = {"grpc", "grpcs",		"http", "https", "tcp",
					     "tls",  "tls_passthrough", "udp",	NULL};

static const struct field protocol_element = {
	.name = "protocol",
	.type = FIELD_STRING,
	.flags = FIELD_REQUIRED,
	.one_of = protocol_names,
};

static const struct plugin_schema *schema_of(const json_t *plugin)
{
	const json_t *name = json_object_get(plugin, "name");

	return plugin_schema_find((struct str){json_string_value(name), json_string_length(name)});
}

static const struct field *config_of(const json_t *plugin)
{
	const struct plugin_schema *s = schema_of(plugin);

	return s ? &s->config : NULL;
}

static const struct field fields[] = {
	{.name = "name", .type = FIELD_STRING, .flags = FIELD_REQUIRED},
	{.name = "instance_name", .type = FIELD_STRING, .flags = FIELD_UNIQUE, .check = name_check},
	{.name = "route", .type = FIELD_FOREIGN, .reference = "routes"},
	{.name = "service", .type = FIELD_FOREIGN, .reference = "services"},
	{.name = "consumer", .type = FIELD_FOREIGN, .reference = "consumers"},
	{
		.name = "config",
		.type = FIELD_RECORD,
		.flags = FIELD_REQUIRED,
		.variant = config_of,
	},
	{
		.name = "protocols",
		.type = FIELD_SET,
		.flags = FIELD_REQUIRED,
		.fallback = "[\"grpc\",\"grpcs\",\"http\",\"https\"]",
		.elements = &protocol_element,
	},
	{
		.name = "enabled",
		.type = FIELD_BOOLEAN,
		.flags = FIELD_REQUIRED,
		.fallback = "true",
	},
};

/* Without a known name nothing else can be judged: the only error then (kong-admin-api.md 1.10). */
static void prepare(json_t *input, const json_t *old, struct violations *v)
{
	json_t *name = json_object_get(input, "name");

	if (!name)
		name = json_object_get(old, "name");
	if (!name || json_is_null(name))
		violations_add(v, "name", "required field missing");
	else if (!json_is_string(name))
		violations_add(v, "name", "expected a string");
	else if (!plugin_schema_find(str_from(json_string_value(name))))
		violations_add(v, "name",
			       "plugin '%s' not enabled; add it to the 'plugins' configuration "
			       "property",
			       json_string_value(name));
	else if (json_object_set(input, "name", name) < 0)
		v->no_memory = true;
}

static void check(const json_t *entity, struct violations *v)
{
	static const char *const scopes[] = {"consumer", "service", "route"};
	const struct plugin_schema *s = schema_of(entity);

	for (size_t i = 0; s && i < array_len(scopes); i++)
		if ((s->refuses & (1U << i)) && condition_is_set(entity, scopes[i]))
			violations_add(v, scopes[i], "value must be null");
	if (s && s->check)
		s->check(json_object_get(entity, "config"), v);
}

static const char *const composite[] = {"consumer", "name", "route", "service", NULL};

const struct entity entity_plugins = {
	.name = "plugins",
	.singular = "plugin",
	.endpoint_key = "instance_name",
	.fields = fields,
	.field_count = array_len(fields),
	.prepare = prepare,
	.check = check,
	.composite = composite,
	.has_tags = true,
	.pushed = true,
};
