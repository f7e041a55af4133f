/* Apis to rows and back, by tables. */
#include "control-plane/admin/apis.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "control-plane/admin/apis_fold.h"
#include "control-plane/model/host.h"
#include "control-plane/model/name.h"
#include "control-plane/model/plugin_schemas.h"

/* --- fields --- */

static int check_url(const json_t *value, struct err *e)
{
	const char *text = json_string_value(value);

	if (strncasecmp(text, "http://", 7) == 0 || strncasecmp(text, "https://", 8) == 0)
		return 0;
	return err_set(e, ERR_INVALID, "Supported protocols are HTTP and HTTPS");
}

static const struct field text_element = {
	.name = "value",
	.type = FIELD_STRING,
	.flags = FIELD_REQUIRED,
};
static const struct field host_element = {
	.name = "host",
	.type = FIELD_STRING,
	.flags = FIELD_REQUIRED,
	.check = host_check_route,
};

#define FLAG(of, value)                                                                            \
	{                                                                                          \
		.name = of, .type = FIELD_BOOLEAN, .flags = FIELD_REQUIRED, .fallback = value      \
	}
#define TIMEOUT(of)                                                                                \
	{                                                                                          \
		.name = of, .type = FIELD_INTEGER, .fallback = "60000"                             \
	}

static const struct field fields[] = {
	{.name = "name", .type = FIELD_STRING, .flags = FIELD_UNIQUE, .check = name_check},
	{
		.name = "upstream_url",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		.check = check_url,
	},
	{.name = "hosts", .type = FIELD_ARRAY, .elements = &host_element},
	{.name = "uris", .type = FIELD_ARRAY, .elements = &text_element},
	{.name = "methods", .type = FIELD_ARRAY, .elements = &text_element},
	FLAG("strip_uri", "true"),
	FLAG("preserve_host", "false"),
	{.name = "retries", .type = FIELD_INTEGER, .fallback = "5"},
	TIMEOUT("upstream_connect_timeout"),
	TIMEOUT("upstream_send_timeout"),
	TIMEOUT("upstream_read_timeout"),
	FLAG("https_only", "false"),
	FLAG("http_if_terminated", "false"),
	/* From here on: older names. */
	{.name = "request_host", .type = FIELD_STRING},
	{.name = "request_path", .type = FIELD_STRING},
	{.name = "strip_request_path", .type = FIELD_BOOLEAN},
	{.name = "public_dns", .type = FIELD_STRING},
	{.name = "path", .type = FIELD_STRING},
	{.name = "strip_path", .type = FIELD_BOOLEAN},
	{.name = "target_url", .type = FIELD_STRING},
};
const struct entity apis_entity = {
	.name = "apis",
	.singular = "api",
	.endpoint_key = "name",
	.fields = fields,
	.field_count = array_len(fields) - APIS_ALIASES,
};
const struct entity apis_body = {
	.name = "apis",
	.singular = "api",
	.endpoint_key = "name",
	.fields = fields,
	.field_count = array_len(fields),
};

enum owner { OF_SERVICE, OF_ROUTE };

/* Fields that are the same under another name. */
static const struct {
	const char *api;
	enum owner owner;
	const char *field;
} maps[] = {
	{"name", OF_ROUTE, "name"},
	{"hosts", OF_ROUTE, "hosts"},
	{"methods", OF_ROUTE, "methods"},
	{"strip_uri", OF_ROUTE, "strip_path"},
	{"preserve_host", OF_ROUTE, "preserve_host"},
	{"retries", OF_SERVICE, "retries"},
	{"upstream_connect_timeout", OF_SERVICE, "connect_timeout"},
	{"upstream_send_timeout", OF_SERVICE, "write_timeout"},
	{"upstream_read_timeout", OF_SERVICE, "read_timeout"},
};

/* Where violations of the others belong. */
static const struct {
	enum owner owner;
	const char *field, *api;
} origins[] = {
	{OF_SERVICE, "name", "name"},	      {OF_SERVICE, "protocol", "upstream_url"},
	{OF_SERVICE, "host", "upstream_url"}, {OF_SERVICE, "port", "upstream_url"},
	{OF_SERVICE, "path", "upstream_url"}, {OF_SERVICE, "url", "upstream_url"},
	{OF_ROUTE, "paths", "uris"},	      {OF_ROUTE, "protocols", "https_only"},
};

void apis_rows_deinit(struct apis_rows *rows)
{
	json_decref(rows->route);
	json_decref(rows->service);
	json_decref(rows->plugin);
	*rows = (struct apis_rows){NULL, NULL, NULL};
}

/* --- showing --- */

static bool is_http(const json_t *protocol)
{
	const char *text = json_string_value(protocol);

	return text && (strcmp(text, "http") == 0 || strcmp(text, "https") == 0);
}

bool apis_is_api(const json_t *route, const json_t *service)
{
	const json_t *protocol;
	size_t i;

	json_array_foreach(json_object_get(route, "protocols"), i, protocol)
	{
		if (!is_http(protocol))
			return false;
	}
	return is_http(json_object_get(service, "protocol")) &&
	       apis_is_empty(json_object_get(route, "headers")) &&
	       apis_is_empty(json_object_get(route, "snis"));
}

static bool is_plugin_set(const json_t *plugin, const char *name)
{
	return json_is_true(json_object_get(json_object_get(plugin, "config"), name));
}

static bool is_https_only(const struct apis_rows *rows)
{
	const json_t *protocols = json_object_get(rows->route, "protocols");
	const char *first = json_string_value(json_array_get(protocols, 0));

	return is_plugin_set(rows->plugin, "only_https") ||
	       (json_array_size(protocols) == 1 && strcmp(first, "https") == 0);
}

/* Scheme, host, port unless it is the scheme's, path. */
static json_t *url_of(const json_t *service)
{
	const char *protocol = json_string_value(json_object_get(service, "protocol"));
	const char *host = json_string_value(json_object_get(service, "host"));
	const char *path = json_string_value(json_object_get(service, "path"));
	json_int_t port = json_integer_value(json_object_get(service, "port"));
	bool v6 = host && strchr(host, ':');
	char suffix[24] = "";

	if (port != (protocol && strcmp(protocol, "https") == 0 ? 443 : 80))
		snprintf(suffix, sizeof(suffix), ":%lld", (long long)port);
	return json_sprintf("%s://%s%s%s%s%s", protocol ? protocol : "", v6 ? "[" : "",
			    host ? host : "", v6 ? "]" : "", suffix, path ? path : "");
}

/* A uri that is no plain path was a regular expression: `~` is how paths say that now. */
static bool is_plain(const char *uri)
{
	return strspn(uri, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~/%"
			   "-") == strlen(uri);
}

static json_t *uris_of(const json_t *paths)
{
	json_t *out = json_is_array(paths) ? json_array() : json_null();
	const json_t *path;
	size_t i;

	json_array_foreach(paths, i, path)
	{
		const char *text = json_string_value(path);

		json_array_append_new(out, json_string(text[0] == '~' ? text + 1 : text));
	}
	return out;
}

static json_t *paths_of(const json_t *uris)
{
	json_t *out = json_is_array(uris) ? json_array() : json_null();
	const json_t *uri;
	size_t i;

	json_array_foreach(uris, i, uri)
	{
		const char *text = json_string_value(uri);

		json_array_append_new(out, json_sprintf("%s%s", is_plain(text) ? "" : "~", text));
	}
	return out;
}

static void show_aliases(json_t *api)
{
	for (size_t i = 0; i < APIS_ALIASES; i++) {
		json_t *value = json_object_get(api, apis_aliases[i].now);

		if (apis_aliases[i].first)
			value = json_array_get(value, 0);
		json_object_set(api, apis_aliases[i].name, value ? value : json_null());
	}
}

json_t *apis_show(const struct apis_rows *rows)
{
	json_t *out = json_object();

	if (!out)
		return NULL;
	json_object_set(out, "id", json_object_get(rows->route, "id"));
	json_object_set(out, "created_at", json_object_get(rows->route, "created_at"));
	json_object_set_new(out, "upstream_url", url_of(rows->service));
	json_object_set_new(out, "uris", uris_of(json_object_get(rows->route, "paths")));
	for (size_t i = 0; i < array_len(maps); i++)
		json_object_set(
			out, maps[i].api,
			json_object_get(maps[i].owner == OF_ROUTE ? rows->route : rows->service,
					maps[i].field));
	json_object_set_new(out, "https_only", json_boolean(is_https_only(rows)));
	json_object_set_new(
		out, "http_if_terminated",
		json_boolean(is_plugin_set(rows->plugin, "accept_http_if_already_terminated")));
	show_aliases(out);
	return out;
}

/* --- checking --- */

static const char *first_text(const json_t *node)
{
	const json_t *child;
	size_t i;

	json_array_foreach(node, i, child)
	{
		if (json_is_string(child))
			return json_string_value(child);
	}
	return json_string_value(node);
}

static void check_match(const json_t *api, const json_t *spelled, struct violations *v)
{
	static const char *const lists[] = {"hosts", "uris", "methods"};

	for (size_t i = 0; i < array_len(lists); i++)
		if (!apis_is_empty(json_object_get(api, lists[i])))
			return;
	if (apis_is_recent(spelled)) {
		for (size_t i = 0; i < array_len(lists); i++)
			violations_add(v, lists[i],
				       "at least one of 'hosts', 'uris' or 'methods' must be "
				       "specified");
		return;
	}
	violations_add(v, "request_host",
		       "At least a 'request_host' or a 'request_path' must be specified");
	violations_add(v, "request_path",
		       "At least a 'request_host' or a 'request_path' must be specified");
}

/* Texts that stand at the fields of an entity, under the client's names. name_of: of a field. */
static void translate(const struct violations *from, const json_t *spelled,
		      const char *(*name_of)(const char *field), struct violations *v)
{
	json_t *tree = from->fields;

	v->no_memory = v->no_memory || from->no_memory;
	for (void *it = json_object_iter(tree); it; it = json_object_iter_next(tree, it)) {
		const char *text = first_text(json_object_iter_value(it));
		const char *field = json_object_iter_key(it);
		const char *name = apis_spelling(spelled, name_of ? name_of(field) : field);

		/* A name of the body that no path can hold. */
		if (!name[0] || strchr(name, '.'))
			violations_add_entity(v, "%s: %s", name, text ? text : "");
		else
			violations_add(v, name, "%s", text ? text : "invalid value");
	}
	for (size_t i = 0; i < json_array_size(from->entity); i++)
		violations_add_entity(v, "%s", json_string_value(json_array_get(from->entity, i)));
}

json_t *apis_check(const json_t *input, bool whole, const json_t *old, const json_t *spelled,
		   int64_t now_ms, struct violations *v)
{
	struct violations found;
	json_t *api;

	violations_init(&found);
	api = whole ? entity_create(&apis_entity, input, now_ms, &found)
		    : entity_merge(&apis_entity, old, input, now_ms, &found);
	translate(&found, spelled, NULL, v);
	violations_deinit(&found);
	if (api || whole)
		check_match(api ? api : input, spelled, v);
	if (!violations_any(v))
		return api;
	json_decref(api);
	return NULL;
}

/* --- making rows --- */

static const char *api_field(enum owner owner, const char *field)
{
	for (size_t i = 0; i < array_len(maps); i++)
		if (maps[i].owner == owner && strcmp(maps[i].field, field) == 0)
			return maps[i].api;
	for (size_t i = 0; i < array_len(origins); i++)
		if (origins[i].owner == owner && strcmp(origins[i].field, field) == 0)
			return origins[i].api;
	return field;
}

static const char *service_field(const char *field)
{
	return api_field(OF_SERVICE, field);
}

static const char *route_field(const char *field)
{
	return api_field(OF_ROUTE, field);
}

static bool differs(const json_t *api, const json_t *before, const char *field)
{
	return !before || !json_equal(json_object_get(api, field), json_object_get(before, field));
}

/* What changes in the fields of an owner. */
static json_t *changes(enum owner owner, const json_t *api, const json_t *before)
{
	json_t *out = json_object();

	for (size_t i = 0; out && i < array_len(maps); i++)
		if (maps[i].owner == owner && differs(api, before, maps[i].api))
			json_object_set(out, maps[i].field, json_object_get(api, maps[i].api));
	return out;
}

static json_t *make_row(const struct entity *t, const json_t *old, const json_t *input,
			const json_t *spelled, const char *(*name_of)(const char *field),
			int64_t now_ms, struct violations *v)
{
	struct violations found;
	json_t *row = NULL;

	violations_init(&found);
	if (!input)
		found.no_memory = true;
	else if (old)
		row = entity_merge(t, old, input, now_ms, &found);
	else
		row = entity_create(t, input, now_ms, &found);
	translate(&found, spelled, name_of, v);
	violations_deinit(&found);
	return row;
}

/* One api has one id: that of its route and, when they were made together, of its service. */
static void set_id(json_t *input, const json_t *api)
{
	json_object_set(input, "id", json_object_get(api, "id"));
	json_object_set(input, "created_at", json_object_get(api, "created_at"));
}

static json_t *make_service(const json_t *api, const json_t *before, const struct apis_rows *old,
			    const json_t *spelled, int64_t now_ms, struct violations *v)
{
	json_t *input = changes(OF_SERVICE, api, before);
	bool own = !old || json_equal(json_object_get(old->service, "id"),
				      json_object_get(old->route, "id"));
	json_t *row = NULL;

	if (differs(api, before, "upstream_url"))
		json_object_set(input, "url", json_object_get(api, "upstream_url"));
	if (own && differs(api, before, "name"))
		json_object_set(input, "name", json_object_get(api, "name"));
	if (!old)
		set_id(input, api);
	if (!input || json_object_size(input) > 0)
		row = make_row(&entity_services, old ? old->service : NULL, input, spelled,
			       service_field, now_ms, v);
	json_decref(input);
	return row;
}

static json_t *make_route(const json_t *api, const json_t *before, const struct apis_rows *old,
			  const json_t *spelled, int64_t now_ms, struct violations *v)
{
	json_t *input = changes(OF_ROUTE, api, before);
	bool https = json_is_true(json_object_get(api, "https_only"));
	json_t *row;

	if (differs(api, before, "uris"))
		json_object_set_new(input, "paths", paths_of(json_object_get(api, "uris")));
	if (differs(api, before, "https_only") && (https || before)) {
		json_object_set_new(
			input, "protocols",
			json_pack(https ? "[s]" : "[s, s]", https ? "https" : "http", "https"));
		json_object_set_new(input, "https_redirect_status_code", json_integer(426));
	}
	if (!old) {
		set_id(input, api);
		json_object_set_new(input, "service",
				    json_pack("{s:O}", "id", json_object_get(api, "id")));
	}
	row = make_row(&entity_routes, old ? old->route : NULL, input, spelled, route_field, now_ms,
		       v);
	json_decref(input);
	return row;
}

/* The row that says what the protocols of a route cannot: whether HTTP counts that was HTTPS before
 * a proxy. */
static json_t *make_plugin(const json_t *api, const json_t *before, const struct apis_rows *old,
			   const json_t *spelled, int64_t now_ms, struct violations *v)
{
	json_t *https = json_object_get(api, "https_only");
	json_t *terminated = json_object_get(api, "http_if_terminated");
	const json_t *plugin = old ? old->plugin : NULL;
	json_t *config, *input, *row;

	if (!differs(api, before, "https_only") && !differs(api, before, "http_if_terminated"))
		return NULL;
	if (!plugin && !json_is_true(https) && !json_is_true(terminated))
		return NULL;
	config = json_pack("{s:O, s:O}", "only_https", https, "accept_http_if_already_terminated",
			   terminated);
	if (plugin)
		input = json_pack("{s:o}", "config", config);
	else
		input = json_pack("{s:s, s:o, s:{s:O}}", "name", PLUGIN_SSL, "config", config,
				  "route", "id", json_object_get(old ? old->route : api, "id"));
	row = make_row(&entity_plugins, plugin, input, spelled, NULL, now_ms, v);
	json_decref(input);
	return row;
}

int apis_make(struct apis_rows *out, const json_t *api, const json_t *before,
	      const struct apis_rows *old, const json_t *spelled, int64_t now_ms,
	      struct violations *v)
{
	*out = (struct apis_rows){
		.service = make_service(api, before, old, spelled, now_ms, v),
		.route = make_route(api, before, old, spelled, now_ms, v),
		.plugin = make_plugin(api, before, old, spelled, now_ms, v),
	};
	if (!violations_any(v))
		return 0;
	apis_rows_deinit(out);
	return -1;
}
