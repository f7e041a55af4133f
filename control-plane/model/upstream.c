/* upstreams: names that stand for many targets, and how one of them is chosen (kong-admin-api.md
 * 2.6). */
#include "control-plane/model/condition.h"
#include "control-plane/model/entity.h"
#include "control-plane/model/healthchecks.h"
#include "control-plane/model/host.h"
#include "control-plane/model/name.h"
#include "control-plane/model/path.h"

enum { SLOTS_MIN = 10, SLOTS_MAX = 65536 };

static const char *const algorithms[] = {"consistent-hashing", "least-connections", "round-robin",
					 "latency", NULL};
static const char *const modes[] = {"none", "consumer",	 "ip",		"header", "cookie",
				    "path", "query_arg", "uri_capture", NULL};

static const struct field fields[] = {
	{
		.name = "name",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED | FIELD_UNIQUE,
		.check = host_check_upstream,
	},
	{
		.name = "algorithm",
		.type = FIELD_STRING,
		.fallback = "\"round-robin\"",
		.one_of = algorithms,
	},
	{
		.name = "hash_on",
		.type = FIELD_STRING,
		.fallback = "\"none\"",
		.one_of = modes,
	},
	{
		.name = "hash_fallback",
		.type = FIELD_STRING,
		.fallback = "\"none\"",
		.one_of = modes,
	},
	{.name = "hash_on_header", .type = FIELD_STRING, .check = name_check_header},
	{.name = "hash_fallback_header", .type = FIELD_STRING, .check = name_check_header},
	{.name = "hash_on_cookie", .type = FIELD_STRING, .check = name_check_cookie},
	{
		.name = "hash_on_cookie_path",
		.type = FIELD_STRING,
		.fallback = "\"/\"",
		.check = path_check,
	},
	{.name = "hash_on_query_arg", .type = FIELD_STRING},
	{.name = "hash_fallback_query_arg", .type = FIELD_STRING},
	{.name = "hash_on_uri_capture", .type = FIELD_STRING},
	{.name = "hash_fallback_uri_capture", .type = FIELD_STRING},
	{
		.name = "slots",
		.type = FIELD_INTEGER,
		.fallback = "10000",
		.min = SLOTS_MIN,
		.max = SLOTS_MAX,
	},
	{
		.name = "healthchecks",
		.type = FIELD_RECORD,
		.flags = FIELD_REQUIRED,
		.fields = healthchecks_fields,
		.field_count = HEALTHCHECKS_FIELDS,
	},
	{.name = "host_header", .type = FIELD_STRING, .check = host_check_optional_port},
	{.name = "client_certificate", .type = FIELD_FOREIGN, .reference = "certificates"},
	{.name = "use_srv_name", .type = FIELD_BOOLEAN, .fallback = "false"},
};

#define ONE(text) ((const char *const[]){text, NULL})

static const char *const none_only[] = {"none", NULL};
static const char *const not_consumer[] = {"none", "ip",	"header",      "cookie",
					   "path", "query_arg", "uri_capture", NULL};
static const char *const not_ip[] = {"none", "consumer",  "header",	 "cookie",
				     "path", "query_arg", "uri_capture", NULL};
static const char *const not_path[] = {"none",	 "consumer",  "ip",	     "header",
				       "cookie", "query_arg", "uri_capture", NULL};

static const struct condition conditions[] = {
	{"hash_on", ONE("header"), false, "hash_on_header", CONDITION_REQUIRED, NULL},
	{"hash_fallback", ONE("header"), false, "hash_fallback_header", CONDITION_REQUIRED, NULL},
	{"hash_on", ONE("cookie"), false, "hash_on_cookie", CONDITION_REQUIRED, NULL},
	{"hash_fallback", ONE("cookie"), false, "hash_on_cookie", CONDITION_REQUIRED, NULL},
	{"hash_on", ONE("none"), false, "hash_fallback", CONDITION_ONE_OF, none_only},
	{"hash_on", ONE("cookie"), false, "hash_fallback", CONDITION_ONE_OF, none_only},
	{"hash_on", ONE("consumer"), false, "hash_fallback", CONDITION_ONE_OF, not_consumer},
	{"hash_on", ONE("ip"), false, "hash_fallback", CONDITION_ONE_OF, not_ip},
	{"hash_on", ONE("path"), false, "hash_fallback", CONDITION_ONE_OF, not_path},
	{"hash_on", ONE("query_arg"), false, "hash_on_query_arg", CONDITION_REQUIRED, NULL},
	{"hash_fallback", ONE("query_arg"), false, "hash_fallback_query_arg", CONDITION_REQUIRED,
	 NULL},
	{"hash_on", ONE("uri_capture"), false, "hash_on_uri_capture", CONDITION_REQUIRED, NULL},
	{"hash_fallback", ONE("uri_capture"), false, "hash_fallback_uri_capture",
	 CONDITION_REQUIRED, NULL},
};

static void check(const json_t *entity, struct violations *v)
{
	condition_check(conditions, array_len(conditions), entity, v);
	condition_distinct(entity, "hash_on_header", "hash_fallback_header", v);
	condition_distinct(entity, "hash_on_query_arg", "hash_fallback_query_arg", v);
	condition_distinct(entity, "hash_on_uri_capture", "hash_fallback_uri_capture", v);
}

static void set_text(json_t *input, const char *name, const char *text, struct violations *v)
{
	if (json_object_set_new(input, name, json_string(text)) < 0)
		v->no_memory = true;
}

/* algorithm and hash_on decide on each other; the algorithms that cannot hash win. */
static void prepare(json_t *input, const json_t *old, struct violations *v)
{
	const char *algorithm = json_string_value(json_object_get(input, "algorithm"));
	const json_t *hash_on = json_object_get(input, "hash_on");
	const char *mode = json_string_value(hash_on);

	(void)old;
	if (algorithm &&
	    (strcmp(algorithm, "least-connections") == 0 || strcmp(algorithm, "latency") == 0))
		set_text(input, "hash_on", "none", v);
	else if (json_is_null(hash_on))
		set_text(input, "hash_on", "none", v);
	else if (mode)
		set_text(input, "algorithm",
			 strcmp(mode, "none") == 0 ? "round-robin" : "consistent-hashing", v);
}

const struct entity entity_upstreams = {
	.name = "upstreams",
	.singular = "upstream",
	.endpoint_key = "name",
	.fields = fields,
	.field_count = array_len(fields),
	.prepare = prepare,
	.check = check,
	.conditions = conditions,
	.condition_count = array_len(conditions),
	.has_tags = true,
	.pushed = true,
};
