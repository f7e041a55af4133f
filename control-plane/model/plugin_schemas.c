/* The table of plugins. */
#include "control-plane/model/plugin_schemas.h"

#include "control-plane/model/condition.h"

#define CONFIG(of)                                                                                 \
	{                                                                                          \
		.name = "config", .type = FIELD_RECORD, .flags = FIELD_REQUIRED, .fields = of,     \
		.field_count = array_len(of)                                                       \
	}

static const struct field request_termination[] = {
	{
		.name = "status_code",
		.type = FIELD_INTEGER,
		.flags = FIELD_REQUIRED,
		.fallback = "503",
		.min = 100,
		.max = 599,
	},
	{.name = "message", .type = FIELD_STRING},
	{.name = "content_type", .type = FIELD_STRING},
	{.name = "body", .type = FIELD_STRING},
	{
		.name = "echo",
		.type = FIELD_BOOLEAN,
		.flags = FIELD_REQUIRED,
		.fallback = "false",
	},
	{.name = "trigger", .type = FIELD_STRING},
};

static void check_request_termination(const json_t *config, struct violations *v)
{
	bool body = condition_is_set(config, "body");
	bool content_type = condition_is_set(config, "content_type");

	if (condition_is_set(config, "message") && (body || content_type))
		violations_add(v, "config", "message cannot be used with content_type or body");
	if (content_type && !body)
		violations_add(v, "config", "content_type requires a body");
}

static const struct plugin_schema schemas[] = {
	{"request-termination", "3.9.1", 2, CONFIG(request_termination), check_request_termination},
};

const struct plugin_schema *plugin_schema_at(size_t i)
{
	return i < array_len(schemas) ? &schemas[i] : NULL;
}

const struct plugin_schema *plugin_schema_find(struct str name)
{
	for (size_t i = 0; i < array_len(schemas); i++)
		if (str_eq(str_from(schemas[i].name), name))
			return &schemas[i];
	return NULL;
}
