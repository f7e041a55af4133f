/* routes: which requests go to which service (kong-admin-api.md 2.5). What a route may and must say
 * follows from the group of its first protocol. */
#include <stdlib.h>

#include "control-plane/model/condition.h"
#include "control-plane/model/entity.h"
#include "control-plane/model/host.h"
#include "control-plane/model/name.h"
#include "control-plane/model/path.h"
#include "control-plane/model/regex.h"

enum { PORT_MAX = 65535 };

static const char *const protocol_names[] = {"grpc", "grpcs",		"http", "https", "tcp",
					     "tls",  "tls_passthrough", "udp",	NULL};
static const char *const path_handlings[] = {"v0", "v1", NULL};

/* Protocols of one group only. */
static const char *const groups[][4] = {
	{"http", "https"},
	{"tcp", "tls", "udp"},
	{"tls_passthrough"},
	{"grpc", "grpcs"},
};

static size_t group_of(const char *protocol)
{
	for (size_t g = 0; g < array_len(groups); g++)
		for (size_t i = 0; i < array_len(groups[g]) && groups[g][i]; i++)
			if (strcmp(groups[g][i], protocol) == 0)
				return g;
	return array_len(groups);
}

static int add_group(struct buf *out, size_t g)
{
	int rc = buf_addf(out, NULL, "%s(", out->len ? ", " : "");

	for (size_t i = 0; i < array_len(groups[g]) && groups[g][i] && rc == 0; i++)
		rc = buf_addf(out, NULL, "%s'%s'", i ? ", " : "", groups[g][i]);
	return rc < 0 ? -1 : buf_add_str(out, STR(")"), NULL);
}

static int check_protocols(const json_t *value, struct err *e)
{
	bool seen[array_len(groups) + 1] = {false};
	struct buf text = BUF_INIT;
	const json_t *one;
	size_t i, n = 0;
	int rc = 0;

	json_array_foreach(value, i, one) seen[group_of(json_string_value(one))] = true;
	for (size_t g = 0; g < array_len(groups) && rc == 0; g++) {
		if (!seen[g])
			continue;
		n++;
		rc = add_group(&text, g);
	}
	if (rc < 0)
		err_memory(e, "checking protocols");
	else if (n > 1)
		rc = err_set(e, ERR_INVALID, "these sets are mutually exclusive: %s", text.data);
	buf_deinit(&text);
	return rc;
}

static int check_method(const json_t *value, struct err *e)
{
	const char *text = json_string_value(value);

	for (const char *c = text; *c; c++)
		if (*c < 'A' || *c > 'Z')
			return err_set(e, ERR_INVALID, "invalid value: %s", text);
	return 0;
}

static int check_header(const json_t *value, struct err *e)
{
	if (strcasecmp(json_string_value(value), "host") == 0)
		return err_set(e, ERR_INVALID,
			       "cannot contain 'host' header, which must be specified in the "
			       "'hosts' attribute");
	return name_check_header(value, e);
}

/* A single value that begins with ~* is a regular expression. */
static int check_header_values(const json_t *value, struct err *e)
{
	const json_t *only = json_array_size(value) == 1 ? json_array_get(value, 0) : NULL;
	struct str s = {json_string_value(only), json_string_length(only)};

	return str_starts(s, STR("~*")) ? regex_check(str_sub(s, 2, s.len), e) : 0;
}

static int check_endpoint(const json_t *value, struct err *e)
{
	if (condition_is_set(value, "ip") || condition_is_set(value, "port"))
		return 0;
	return err_set(e, ERR_INVALID,
		       "at least one of these fields must be non-empty: 'ip', 'port'");
}

static int check_redirect(const json_t *value, struct err *e)
{
	static const json_int_t codes[] = {426, 301, 302, 307, 308};

	for (size_t i = 0; i < array_len(codes); i++)
		if (json_integer_value(value) == codes[i])
			return 0;
	return err_set(e, ERR_INVALID, "expected one of: 426, 301, 302, 307, 308");
}

static const struct field text_element = {
	.name = "value",
	.type = FIELD_STRING,
	.flags = FIELD_REQUIRED,
};
static const struct field protocol_element = {
	.name = "protocol",
	.type = FIELD_STRING,
	.flags = FIELD_REQUIRED,
	.one_of = protocol_names,
};
static const struct field method_element = {
	.name = "method",
	.type = FIELD_STRING,
	.flags = FIELD_REQUIRED,
	.check = check_method,
};
static const struct field host_element = {
	.name = "host",
	.type = FIELD_STRING,
	.flags = FIELD_REQUIRED,
	.check = host_check_route,
};
static const struct field path_element = {
	.name = "path",
	.type = FIELD_STRING,
	.flags = FIELD_REQUIRED,
	.check = path_check_route,
};
static const struct field sni_element = {
	.name = "sni",
	.type = FIELD_STRING,
	.flags = FIELD_REQUIRED,
	.check = host_check_wildcard,
};
static const struct field header_elements[] = {
	{.name = "name", .type = FIELD_STRING, .flags = FIELD_REQUIRED, .check = check_header},
	{
		.name = "values",
		.type = FIELD_ARRAY,
		.flags = FIELD_REQUIRED,
		.elements = &text_element,
		.check = check_header_values,
	},
};
static const struct field endpoint_fields[] = {
	{.name = "ip", .type = FIELD_STRING, .check = host_check_ip_or_cidr},
	{.name = "port", .type = FIELD_INTEGER, .max = PORT_MAX},
};
static const struct field endpoint_element = {
	.name = "endpoint",
	.type = FIELD_RECORD,
	.flags = FIELD_REQUIRED,
	.fields = endpoint_fields,
	.field_count = array_len(endpoint_fields),
	.check = check_endpoint,
};

static const struct field fields[] = {
	{.name = "name", .type = FIELD_STRING, .flags = FIELD_UNIQUE, .check = name_check},
	{
		.name = "protocols",
		.type = FIELD_SET,
		.flags = FIELD_REQUIRED,
		.fallback = "[\"http\",\"https\"]",
		.elements = &protocol_element,
		.len_min = 1,
		.check = check_protocols,
	},
	{
		.name = "https_redirect_status_code",
		.type = FIELD_INTEGER,
		.flags = FIELD_REQUIRED,
		.fallback = "426",
		.check = check_redirect,
	},
	{
		.name = "strip_path",
		.type = FIELD_BOOLEAN,
		.flags = FIELD_REQUIRED,
		.fallback = "true",
	},
	{
		.name = "preserve_host",
		.type = FIELD_BOOLEAN,
		.flags = FIELD_REQUIRED,
		.fallback = "false",
	},
	{
		.name = "request_buffering",
		.type = FIELD_BOOLEAN,
		.flags = FIELD_REQUIRED,
		.fallback = "true",
	},
	{
		.name = "response_buffering",
		.type = FIELD_BOOLEAN,
		.flags = FIELD_REQUIRED,
		.fallback = "true",
	},
	{.name = "snis", .type = FIELD_SET, .elements = &sni_element},
	{.name = "sources", .type = FIELD_SET, .elements = &endpoint_element},
	{.name = "destinations", .type = FIELD_SET, .elements = &endpoint_element},
	{.name = "methods", .type = FIELD_SET, .elements = &method_element},
	{.name = "hosts", .type = FIELD_ARRAY, .elements = &host_element},
	{.name = "paths", .type = FIELD_ARRAY, .elements = &path_element},
	{.name = "headers", .type = FIELD_MAP, .elements = header_elements},
	{.name = "regex_priority", .type = FIELD_INTEGER, .fallback = "0"},
	{
		.name = "path_handling",
		.type = FIELD_STRING,
		.fallback = "\"v0\"",
		.one_of = path_handlings,
	},
	{.name = "service", .type = FIELD_FOREIGN, .reference = "services"},
};

/* --- what the protocols allow --- */

static bool has_protocol(const json_t *protocols, const char *name)
{
	const json_t *one;
	size_t i;

	json_array_foreach(protocols, i, one)
	{
		if (strcmp(json_string_value(one), name) == 0)
			return true;
	}
	return false;
}

enum { RULE_FIELDS_MAX = 6 };

/* Per group of protocols: what must not be set. */
static const struct {
	const char *first; /* of the group */
	const char *forbidden[RULE_FIELDS_MAX];
	const char *protocols; /* as the text names them */
} forbidden_rules[] = {
	{"http", {"sources", "destinations"}, "'http' or 'https'"},
	{"grpc", {"methods", "sources", "destinations"}, "'grpc' or 'grpcs'"},
	{"tcp",
	 {"methods", "hosts", "paths", "headers"},
	 "'tcp', 'tls', 'tls_passthrough' or 'udp'"},
	{"tls_passthrough",
	 {"methods", "hosts", "paths", "headers"},
	 "'tcp', 'tls', 'tls_passthrough' or 'udp'"},
};

static void check_forbidden(const json_t *route, const char *protocol, struct violations *v)
{
	size_t group = group_of(protocol);

	for (size_t r = 0; r < array_len(forbidden_rules); r++) {
		if (group_of(forbidden_rules[r].first) != group)
			continue;
		for (size_t i = 0; forbidden_rules[r].forbidden[i]; i++) {
			const char *name = forbidden_rules[r].forbidden[i];

			if (!json_is_null(json_object_get(route, name)))
				violations_add(v, name, "cannot set '%s' when 'protocols' is %s",
					       name, forbidden_rules[r].protocols);
		}
	}
	if (group == group_of("grpc") && json_is_true(json_object_get(route, "strip_path")))
		violations_add(v, "strip_path",
			       "cannot set 'strip_path' when 'protocols' is 'grpc' or 'grpcs'");
}

/* The first row whose protocol the route has says what must be set. */
static const struct {
	const char *protocol;
	const char *one_of[RULE_FIELDS_MAX];
	const char *text;
} needed_rules[] = {
	{"https",
	 {"methods", "hosts", "headers", "paths", "snis"},
	 "must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when 'protocols' is "
	 "'https'"},
	{"http",
	 {"methods", "hosts", "headers", "paths"},
	 "must set one of 'methods', 'hosts', 'headers', 'paths' when 'protocols' is 'http'"},
	{"grpcs",
	 {"hosts", "headers", "paths", "snis"},
	 "must set one of 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'grpcs'"},
	{"grpc",
	 {"hosts", "headers", "paths"},
	 "must set one of 'hosts', 'headers', 'paths' when 'protocols' is 'grpc'"},
	{"tls_passthrough", {"snis"}, "must set snis when 'protocols' is 'tls_passthrough'"},
	{"tcp",
	 {"sources", "destinations", "snis"},
	 "must set one of 'sources', 'destinations', 'snis' when 'protocols' is 'tcp', 'tls' or "
	 "'udp'"},
	{"tls",
	 {"sources", "destinations", "snis"},
	 "must set one of 'sources', 'destinations', 'snis' when 'protocols' is 'tcp', 'tls' or "
	 "'udp'"},
	{"udp",
	 {"sources", "destinations", "snis"},
	 "must set one of 'sources', 'destinations', 'snis' when 'protocols' is 'tcp', 'tls' or "
	 "'udp'"},
};

static void check_needed(const json_t *route, const json_t *protocols, struct violations *v)
{
	size_t r = 0;

	while (r < array_len(needed_rules) && !has_protocol(protocols, needed_rules[r].protocol))
		r++;
	if (r == array_len(needed_rules))
		return;
	for (size_t i = 0; needed_rules[r].one_of[i]; i++)
		if (condition_is_set(route, needed_rules[r].one_of[i]))
			return;
	violations_add_entity(v, "%s", needed_rules[r].text);
}

static void check_snis(const json_t *route, const json_t *protocols, struct violations *v)
{
	static const char *const with_names[] = {"grpcs", "https", "tls", "tls_passthrough"};

	if (!condition_is_set(route, "snis"))
		return;
	for (size_t i = 0; i < array_len(with_names); i++)
		if (has_protocol(protocols, with_names[i]))
			return;
	violations_add_entity(v, "'snis' can only be set when 'protocols' is 'grpcs', 'https', "
				 "'tls' or 'tls_passthrough'");
}

/* Nothing is promised that no data plane does. */
static void check_served(const json_t *protocols, struct violations *v)
{
	if (!violations_any(v) && has_protocol(protocols, "udp"))
		violations_add(v, "protocols", "udp is not served: data planes listen on TCP only");
}

static void check(const json_t *entity, struct violations *v)
{
	const json_t *protocols = json_object_get(entity, "protocols");

	check_forbidden(entity, json_string_value(json_array_get(protocols, 0)), v);
	if (violations_any(v))
		return;
	check_snis(entity, protocols, v);
	check_needed(entity, protocols, v);
	check_served(protocols, v);
}

/* gRPC routes keep the path unless told otherwise, and cannot be told. */
static void prepare(json_t *input, const json_t *old, struct violations *v)
{
	const char *first =
		json_string_value(json_array_get(json_object_get(input, "protocols"), 0));

	if (old || !first || group_of(first) != group_of("grpc") ||
	    json_object_get(input, "strip_path"))
		return;
	if (json_object_set_new(input, "strip_path", json_false()) < 0)
		v->no_memory = true;
}

const struct entity entity_routes = {
	.name = "routes",
	.singular = "route",
	.endpoint_key = "name",
	.fields = fields,
	.field_count = array_len(fields),
	.prepare = prepare,
	.check = check,
	.has_tags = true,
	.pushed = true,
};
