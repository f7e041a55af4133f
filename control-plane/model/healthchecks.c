/* healthchecks of upstreams (kong-admin-api.md 2.6). Lists of statuses keep their order: it is part
 * of the value. */
#include "control-plane/model/healthchecks.h"

#include "control-plane/model/host.h"
#include "control-plane/model/name.h"
#include "control-plane/model/path.h"

enum { COUNT_MAX = 255, SECONDS_MAX = 65535, STATUS_MIN = 100, STATUS_MAX = 999, PERCENT = 100 };

static const char *const types[] = {"tcp", "http", "https", "grpc", "grpcs", NULL};

static const struct field status_element = {
	.name = "status",
	.type = FIELD_INTEGER,
	.flags = FIELD_REQUIRED,
	.min = STATUS_MIN,
	.max = STATUS_MAX,
};
static const struct field value_element = {
	.name = "value",
	.type = FIELD_STRING,
	.flags = FIELD_REQUIRED,
};
static const struct field header_elements[] = {
	{.name = "name", .type = FIELD_STRING, .flags = FIELD_REQUIRED, .check = name_check_header},
	{
		.name = "values",
		.type = FIELD_ARRAY,
		.flags = FIELD_REQUIRED,
		.elements = &value_element,
	},
};

#define COUNTER(field_name)                                                                        \
	{                                                                                          \
		.name = field_name, .type = FIELD_INTEGER, .fallback = "0", .max = COUNT_MAX       \
	}
#define SECONDS(field_name, default_text)                                                          \
	{                                                                                          \
		.name = field_name, .type = FIELD_NUMBER, .fallback = default_text,                \
		.max = SECONDS_MAX                                                                 \
	}
#define STATUSES(default_text)                                                                     \
	{                                                                                          \
		.name = "http_statuses", .type = FIELD_ARRAY, .fallback = default_text,            \
		.elements = &status_element                                                        \
	}
#define TYPE                                                                                       \
	{                                                                                          \
		.name = "type", .type = FIELD_STRING, .fallback = "\"http\"", .one_of = types      \
	}
#define RECORD(field_name, of)                                                                     \
	{                                                                                          \
		.name = field_name, .type = FIELD_RECORD, .flags = FIELD_REQUIRED, .fields = of,   \
		.field_count = array_len(of)                                                       \
	}

static const struct field active_healthy[] = {
	SECONDS("interval", "0"),
	STATUSES("[200,302]"),
	COUNTER("successes"),
};
static const struct field active_unhealthy[] = {
	SECONDS("interval", "0"), STATUSES("[429,404,500,501,502,503,504,505]"),
	COUNTER("tcp_failures"),  COUNTER("timeouts"),
	COUNTER("http_failures"),
};
static const struct field passive_healthy[] = {
	STATUSES("[200,201,202,203,204,205,206,207,208,226,300,301,302,303,304,305,306,307,308]"),
	COUNTER("successes"),
};
static const struct field passive_unhealthy[] = {
	STATUSES("[429,500,503]"),
	COUNTER("tcp_failures"),
	COUNTER("timeouts"),
	COUNTER("http_failures"),
};
static const struct field active[] = {
	TYPE,
	SECONDS("timeout", "1"),
	{
		.name = "concurrency",
		.type = FIELD_INTEGER,
		.fallback = "10",
		.min = 1,
		.max = 2147483648,
	},
	{
		.name = "http_path",
		.type = FIELD_STRING,
		.fallback = "\"/\"",
		.check = path_check,
	},
	{.name = "https_sni", .type = FIELD_STRING, .check = host_check_wildcard},
	{.name = "https_verify_certificate", .type = FIELD_BOOLEAN, .fallback = "true"},
	{.name = "headers", .type = FIELD_MAP, .elements = header_elements},
	RECORD("healthy", active_healthy),
	RECORD("unhealthy", active_unhealthy),
};
static const struct field passive[] = {
	TYPE,
	RECORD("healthy", passive_healthy),
	RECORD("unhealthy", passive_unhealthy),
};

const struct field healthchecks_fields[HEALTHCHECKS_FIELDS] = {
	{
		.name = "threshold",
		.type = FIELD_NUMBER,
		.fallback = "0",
		.max = PERCENT,
	},
	/* Cardea's own: over the threshold, or with nobody healthy, all targets are used. */
	{.name = "panic", .type = FIELD_BOOLEAN, .fallback = "false"},
	RECORD("active", active),
	RECORD("passive", passive),
};
