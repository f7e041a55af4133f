/* services: where requests are sent (kong-admin-api.md 2.4), and the `url` shorthand for protocol,
 * host, port and path. */
#include "control-plane/model/condition.h"
#include "control-plane/model/entity.h"
#include "control-plane/model/host.h"
#include "control-plane/model/name.h"
#include "control-plane/model/path.h"

enum { TIMEOUT_MAX = 2147483646, RETRIES_MAX = 32767, PORT_MAX = 65535, DEPTH_MAX = 64 };

static const char *const protocols[] = {"grpc", "grpcs",	   "http", "https", "tcp",
					"tls",	"tls_passthrough", "udp",  NULL};

static const struct field ca_elements = {
	.name = "ca_certificate",
	.type = FIELD_UUID,
	.flags = FIELD_REQUIRED,
};

static const struct field fields[] = {
	{.name = "name", .type = FIELD_STRING, .flags = FIELD_UNIQUE, .check = name_check},
	{
		.name = "retries",
		.type = FIELD_INTEGER,
		.fallback = "5",
		.max = RETRIES_MAX,
	},
	{
		.name = "protocol",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		.fallback = "\"http\"",
		.one_of = protocols,
	},
	{
		.name = "host",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		.check = host_check,
	},
	{
		.name = "port",
		.type = FIELD_INTEGER,
		.flags = FIELD_REQUIRED,
		.fallback = "80",
		.max = PORT_MAX,
	},
	{.name = "path", .type = FIELD_STRING, .check = path_check},
	{
		.name = "connect_timeout",
		.type = FIELD_INTEGER,
		.fallback = "60000",
		.min = 1,
		.max = TIMEOUT_MAX,
	},
	{
		.name = "write_timeout",
		.type = FIELD_INTEGER,
		.fallback = "60000",
		.min = 1,
		.max = TIMEOUT_MAX,
	},
	{
		.name = "read_timeout",
		.type = FIELD_INTEGER,
		.fallback = "60000",
		.min = 1,
		.max = TIMEOUT_MAX,
	},
	{.name = "client_certificate", .type = FIELD_FOREIGN, .reference = "certificates"},
	{.name = "tls_verify", .type = FIELD_BOOLEAN},
	{.name = "tls_verify_depth", .type = FIELD_INTEGER, .max = DEPTH_MAX},
	{.name = "ca_certificates", .type = FIELD_ARRAY, .elements = &ca_elements},
	{
		.name = "enabled",
		.type = FIELD_BOOLEAN,
		.flags = FIELD_REQUIRED,
		.fallback = "true",
	},
	{.name = "url", .type = FIELD_STRING, .flags = FIELD_TRANSIENT | FIELD_WRITE_ONLY},
};

static const char *const with_tls[] = {"https", "tls", NULL};
static const char *const without_path[] = {"tcp", "tls", "udp", "grpc", "grpcs", NULL};

static const struct condition conditions[] = {
	{"protocol", without_path, false, "path", CONDITION_NULL, NULL},
	{"protocol", with_tls, true, "client_certificate", CONDITION_NULL, NULL},
	{"protocol", with_tls, true, "tls_verify", CONDITION_NULL, NULL},
	{"protocol", with_tls, true, "tls_verify_depth", CONDITION_NULL, NULL},
	{"protocol", with_tls, true, "ca_certificates", CONDITION_NULL, NULL},
};

static void check(const json_t *entity, struct violations *v)
{
	condition_check(conditions, array_len(conditions), entity, v);
}

/* scheme://user@host:port/path?query in parts; those that are absent are STR_NONE. */
struct url {
	struct str scheme, host, port, path;
};

static void split_url(struct str s, struct url *u)
{
	const char *mark = strstr(s.ptr, "://");
	size_t end, at, colon;

	*u = (struct url){.scheme = STR_NONE};
	if (mark) {
		u->scheme = str_sub(s, 0, (size_t)(mark - s.ptr));
		s = str_sub(s, u->scheme.len + 3, s.len);
	}
	s = str_sub(s, 0, str_find(s, '#', 0));
	s = str_sub(s, 0, str_find(s, '?', 0));
	end = str_find(s, '/', 0);
	if (end < s.len)
		u->path = str_sub(s, end, s.len);
	s = str_sub(s, 0, end);
	at = str_find(s, '@', 0);
	if (at < s.len)
		s = str_sub(s, at + 1, s.len);
	colon = str_find(s, ':', s.len && s.ptr[0] == '[' ? str_find(s, ']', 0) : 0);
	if (colon < s.len)
		u->port = str_sub(s, colon + 1, s.len);
	u->host = str_sub(s, 0, colon);
	if (u->host.len > 2 && u->host.ptr[0] == '[')
		u->host = str_sub(u->host, 1, u->host.len - 1);
}

static json_t *json_or_null(struct str s)
{
	return s.len ? json_stringn(s.ptr, s.len) : json_null();
}

/* The port as a number, or as it stands when it is none: the field's check refuses that. */
static json_t *port_of(const struct url *u, bool https)
{
	uint64_t port;

	if (!u->port.len)
		return json_integer(https ? 443 : 80);
	if (str_u64(u->port, &port) < 0 || port > PORT_MAX)
		return json_stringn(u->port.ptr, u->port.len);
	return json_integer((json_int_t)port);
}

/* All four fields follow from the URL, whatever else was sent (kong-admin-api.md 2.4). */
static void prepare(json_t *input, const json_t *old, struct violations *v)
{
	const json_t *given = json_object_get(input, "url");
	bool https;
	struct url u;
	int rc = 0;

	(void)old;
	if (!json_is_string(given) || json_string_length(given) == 0)
		return;
	split_url((struct str){json_string_value(given), json_string_length(given)}, &u);
	if (!u.scheme.ptr)
		u.scheme = str_eq(u.port, STR("443")) ? STR("https") : STR("http");
	https = str_eq(u.scheme, STR("https"));
	rc |= json_object_set_new(input, "protocol", json_or_null(u.scheme));
	rc |= json_object_set_new(input, "host", json_or_null(u.host));
	rc |= json_object_set_new(input, "port", port_of(&u, https));
	rc |= json_object_set_new(input, "path", json_or_null(u.path));
	if (rc < 0)
		v->no_memory = true;
}

const struct entity entity_services = {
	.name = "services",
	.singular = "service",
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
