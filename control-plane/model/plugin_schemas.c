/* The table of plugins. */
#include "control-plane/model/plugin_schemas.h"

#include "control-plane/model/certificate.h"
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

static const struct field ssl[] = {
	{
		.name = "cert",
		.type = FIELD_STRING,
		.flags = FIELD_TRANSIENT,
		.check = certificate_check_cert,
	},
	{
		.name = "key",
		.type = FIELD_STRING,
		.flags = FIELD_TRANSIENT | FIELD_SECRET,
		.check = certificate_check_key,
	},
	{
		.name = "only_https",
		.type = FIELD_BOOLEAN,
		.flags = FIELD_REQUIRED,
		.fallback = "false",
	},
	{
		.name = "accept_http_if_already_terminated",
		.type = FIELD_BOOLEAN,
		.flags = FIELD_REQUIRED,
		.fallback = "false",
	},
};

/* A pair, or none: then only only_https has an effect. */
static void check_ssl(const json_t *config, struct violations *v)
{
	const json_t *cert = json_object_get(config, "cert");
	const json_t *key = json_object_get(config, "key");

	if (json_is_string(cert) && !json_is_string(key))
		violations_add(v, "config.key", "required field missing");
	else if (!json_is_string(cert) && json_is_string(key))
		violations_add(v, "config.cert", "required field missing");
	else if (json_is_string(cert))
		certificate_check_pair(
			(struct str){json_string_value(cert), json_string_length(cert)},
			(struct str){json_string_value(key), json_string_length(key)},
			"config.cert", "certificate does not match key", v);
}

static const struct plugin_schema schemas[] = {
	{"request-termination", "3.9.1", 2, CONFIG(request_termination), check_request_termination,
	 false},
	{PLUGIN_SSL, "0.9.9", 3000, CONFIG(ssl), check_ssl, true},
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
