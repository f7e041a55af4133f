#include "control-plane/admin/openapi.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "control-plane/admin/fault.h"
#include "control-plane/admin/handlers.h"
#include "control-plane/admin/openapi_docs.h"
#include "control-plane/admin/paths.h"
#include "control-plane/admin/roles.h"
#include "control-plane/model/json_schema.h"

enum { NAME_SIZE = 200 };

/* A document under construction. Failures are remembered, and told once at the end. */
struct making {
	json_t *paths;
	bool auth_required;
	bool failed;
};

/* Takes the reference to value. */
static void put(struct making *m, json_t *o, const char *name, json_t *value)
{
	if (json_object_set_new(o, name, value) < 0)
		m->failed = true;
}

static void append(struct making *m, json_t *list, json_t *value)
{
	if (json_array_append_new(list, value) < 0)
		m->failed = true;
}

static json_t *reference(const char *kind, const char *name)
{
	return json_pack("{s:o}", "$ref", json_sprintf("#/components/%s/%s", kind, name));
}

static json_t *schema_reference(const char *thing, enum json_schema_use use)
{
	struct buf name = BUF_INIT;
	json_t *out = NULL;

	if (json_schema_name(&name, thing, use, NULL) == 0)
		out = reference("schemas", name.data);
	buf_deinit(&name);
	return out;
}

/* --- one operation --- */

/* What is known of an operation, from whichever table. */
struct operation {
	const struct api_path *path;
	const char *method; /* "get" */
	char summary[NAME_SIZE];
	char query[NAME_SIZE]; /* names of parameters, separated by spaces */
	json_t *body, *answer; /* schemas; NULL: none */
	const char *type;      /* of the answer */
	const char *takes;     /* of the body; NULL: JSON and forms */
	unsigned status, also, or ;
	bool writes, deprecated;
};

static bool writes(const char *method)
{
	return strcmp(method, "get") != 0;
}

static void add_path_parameters(struct making *m, json_t *list, const char *text)
{
	const char *open = text;

	while ((open = strchr(open, '{'))) {
		const char *close = strchr(open, '}');
		int n = (int)(close - open) - 1;

		append(m, list,
		       json_pack("{s:s%, s:s, s:b, s:{s:s}, s:s}", "name", open + 1, n, "in",
				 "path", "required", 1, "schema", "type", "string", "description",
				 "id or name"));
		open = close;
	}
}

static json_t *parameters_of(struct making *m, const struct operation *o)
{
	struct str rest = str_from(o->query), name;
	json_t *list = json_array();

	add_path_parameters(m, list, o->path->text);
	while (o->query[0] && str_split(&rest, ' ', &name)) {
		char text[NAME_SIZE];

		snprintf(text, sizeof(text), "%.*s", (int)name.len, name.ptr);
		append(m, list, reference("parameters", text));
	}
	if (o->writes)
		append(m, list, reference("parameters", "prefer"));
	return list;
}

/* Forms hold the same fields, with names as "a.b" and "list[]". */
static json_t *body_of(struct making *m, const struct operation *o)
{
	static const char *const types[] = {
		"application/json",
		"application/x-www-form-urlencoded",
		"multipart/form-data",
	};
	json_t *content = json_object();

	if (o->takes)
		put(m, content, o->takes, json_pack("{s:O}", "schema", o->body));
	for (size_t i = 0; !o->takes && i < array_len(types); i++)
		put(m, content, types[i],
		    i == 0 ? json_pack("{s:O}", "schema", o->body)
			   : json_pack("{s:{s:s}}", "schema", "type", "object"));
	return json_pack("{s:o}", "content", content);
}

static json_t *success_of(struct making *m, const struct operation *o, unsigned status)
{
	json_t *out = json_pack("{s:s}", "description",
				status == 202 ? "accepted, not yet everywhere" : "done");

	if (o->answer)
		put(m, out, "content",
		    json_pack("{s:{s:O}}", "application/json", "schema", o->answer));
	else if (o->type)
		put(m, out, "content",
		    json_pack("{s:{s:{s:s}}}", o->type, "schema", "type", "string"));
	if (o->writes && o->path->entity)
		put(m, out, "headers",
		    json_pack("{s:o}", "X-Cardea-Revision", reference("headers", "revision")));
	if (status == 202 && o->path->entity)
		put(m, json_object_get(out, "headers"), "X-Cardea-Missing-Nodes",
		    reference("headers", "missing-nodes"));
	return out;
}

static json_t *responses_of(struct making *m, const struct operation *o)
{
	json_t *out = json_object();
	bool named = strchr(o->path->text, '{');
	char status[16];

	snprintf(status, sizeof(status), "%u", o->status);
	put(m, out, status, success_of(m, o, o->status));
	if (o->also) {
		snprintf(status, sizeof(status), "%u", o->also);
		put(m, out, status, success_of(m, o, o->also));
	}
	if (o->or) {
		snprintf(status, sizeof(status), "%u", o->or);
		put(m, out, status, success_of(m, o, o->or));
	}
	for (const struct openapi_refusal *r = openapi_refusals; r->status; r++) {
		if ((r->body && !o->body) || (r->writes && !o->writes) || (r->named && !named) ||
		    (r->auth && !m->auth_required))
			continue;
		snprintf(status, sizeof(status), "%u", r->status);
		put(m, out, status, reference("responses", r->name));
	}
	put(m, out, "default", reference("responses", "other"));
	return out;
}

/* Unique, because the path is: "get-services-services". */
static json_t *operation_id(const struct operation *o)
{
	char text[NAME_SIZE];
	size_t n = (size_t)snprintf(text, sizeof(text), "%s", o->method);

	for (const char *p = o->path->text; *p && n + 1 < sizeof(text); p++)
		if (*p != '{' && *p != '}')
			text[n++] = isalnum((unsigned char)*p) || *p == '_' ? *p : '-';
	text[n] = '\0';
	return json_string(text);
}

static const char *tag_of(const struct api_path *p)
{
	if (p->entity)
		return p->entity->name;
	return str_starts(str_from(p->text), STR("/acme")) ? "acme" : "control plane";
}

static json_t *operation_make(struct making *m, const struct operation *o)
{
	char method[8] = "";
	json_t *out;

	for (size_t i = 0; o->method[i] && i + 1 < sizeof(method); i++)
		method[i] = (char)toupper((unsigned char)o->method[i]);
	out = json_pack("{s:s, s:o, s:[s], s:o, s:o, s:s}", "summary", o->summary, "operationId",
			operation_id(o), "tags", tag_of(o->path), "parameters", parameters_of(m, o),
			"responses", responses_of(m, o), "x-cardea-role",
			role_name(role_needed(str_from(method), o->path->route->pattern)));
	if (o->body)
		put(m, out, "requestBody", body_of(m, o));
	if (o->deprecated)
		put(m, out, "deprecated", json_true());
	return out;
}

/* --- where it is known from --- */

static void fill_from_docs(struct operation *o)
{
	const struct openapi_doc *d = openapi_doc_find(o->path->route->pattern, o->method);

	if (!d) {
		snprintf(o->summary, sizeof(o->summary), "%s %s", o->method, o->path->text);
		o->status = 200;
		return;
	}
	snprintf(o->summary, sizeof(o->summary), "%s", d->summary);
	snprintf(o->query, sizeof(o->query), "%s", d->query ? d->query : "");
	if (d->body)
		o->body = reference("schemas", d->body);
	if (d->answer)
		o->answer = reference("schemas", d->answer);
	o->type = d->type;
	o->takes = d->takes;
	o->status = d->status;
	o->also = d->also;
	o->or = d->or ;
	o->deprecated = d->deprecated;
}

static json_t *page_of(const struct entity *t)
{
	return json_pack("{s:o}", "$ref",
			 json_sprintf("#/components/schemas/%s.page", t->singular));
}

/* Each verb of an entity's paths. */
static const struct verb {
	const char *method;
	bool collection;
	const char *summary; /* before the entity's singular */
	unsigned status;
	int body;   /* enum json_schema_use; -1: none */
	bool shows; /* the entity, or for GET of a collection its page */
} verbs[] = {
	{"get", true, "list every", 200, -1, true},
	{"post", true, "create a", 201, JSON_SCHEMA_WHOLE, true},
	{"get", false, "get a", 200, -1, true},
	{"put", false, "create or replace a", 200, JSON_SCHEMA_WHOLE, true},
	{"patch", false, "change a", 200, JSON_SCHEMA_CHANGE, true},
	{"delete", false, "delete a", 204, -1, false},
};

static void fill_from_entity(struct operation *o)
{
	const struct entity *t = o->path->entity;
	const struct verb *v = verbs;

	while (strcmp(v->method, o->method) != 0 || v->collection != o->path->collection)
		v++;
	snprintf(o->summary, sizeof(o->summary), "%s %s", v->summary, t->singular);
	o->status = v->status;
	o->also = o->writes && v->shows ? 202 : 0;
	if (v->collection && !o->writes)
		snprintf(o->query, sizeof(o->query), "size offset%s",
			 o->path->parent ? "" : " tags");
	if (v->body >= 0)
		o->body = schema_reference(t->singular, (enum json_schema_use)v->body);
	if (v->shows)
		o->answer = v->collection && !o->writes
				    ? page_of(t)
				    : schema_reference(t->singular, JSON_SCHEMA_SHOWN);
}

static void add_operation(struct making *m, json_t *item, const struct api_path *p,
			  const char *method, admin_handler handler)
{
	struct operation o = {.path = p, .method = method, .writes = writes(method)};

	if (!handler)
		return;
	if (p->entity)
		fill_from_entity(&o);
	else
		fill_from_docs(&o);
	put(m, item, method, operation_make(m, &o));
	json_decref(o.body);
	json_decref(o.answer);
}

static int add_path(const struct api_path *p, void *arg)
{
	struct making *m = arg;
	const struct route *r = p->route;
	json_t *item = json_object();

	add_operation(m, item, p, "get", r->get);
	add_operation(m, item, p, "post", r->post);
	add_operation(m, item, p, "put", r->put);
	add_operation(m, item, p, "patch", r->patch);
	add_operation(m, item, p, "delete", r->del);
	put(m, m->paths, p->text, item);
	return m->failed ? -1 : 0;
}

/* --- components --- */

static json_t *parts(struct making *m, const struct openapi_part *p)
{
	json_t *out = json_object();

	for (; p->name; p++)
		put(m, out, p->name, json_loads(p->json, JSON_REJECT_DUPLICATES, NULL));
	return out;
}

static json_t *responses(struct making *m)
{
	json_t *content =
		json_pack("{s:{s:o}}", "application/json", "schema", reference("schemas", "error"));
	json_t *out = json_object();

	for (const struct openapi_refusal *r = openapi_refusals; r->status; r++)
		put(m, out, r->name,
		    json_pack("{s:s, s:O}", "description", r->description, "content", content));
	put(m, out, "other",
	    json_pack("{s:s, s:O}", "description", "something else went wrong", "content",
		      content));
	/* An empty one says all. */
	json_object_del(json_object_get(out, "type"), "content");
	json_decref(content);
	return out;
}

static void add_schema(struct making *m, json_t *schemas, const char *thing,
		       enum json_schema_use use, json_t *schema)
{
	struct buf name = BUF_INIT;

	if (json_schema_name(&name, thing, use, NULL) == 0) {
		put(m, schemas, name.data, schema);
	} else {
		json_decref(schema);
		m->failed = true;
	}
	buf_deinit(&name);
}

static void add_page(struct making *m, json_t *schemas, const struct entity *t)
{
	char name[NAME_SIZE];

	snprintf(name, sizeof(name), "%s.page", t->singular);
	put(m, schemas, name,
	    json_pack("{s:s, s:[s, s], s:{s:{s:s, s:o}, s:{s:[s, s]}, s:{s:s}}}", "type", "object",
		      "required", "data", "next", "properties", "data", "type", "array", "items",
		      schema_reference(t->singular, JSON_SCHEMA_SHOWN), "next", "type", "string",
		      "null", "offset", "type", "string"));
}

static json_t *schemas(struct making *m)
{
	json_t *out = parts(m, openapi_schemas);
	const struct plugin_schema *p;
	const struct entity *t;

	for (size_t i = 0; (t = entity_at(i)); i++) {
		if (t->internal)
			continue;
		add_page(m, out, t);
		for (int use = 0; use < JSON_SCHEMA_USES; use++)
			add_schema(m, out, t->singular, (enum json_schema_use)use,
				   json_schema_of_entity(t, (enum json_schema_use)use));
	}
	for (size_t i = 0; (p = plugin_schema_at(i)); i++) {
		char name[NAME_SIZE];

		snprintf(name, sizeof(name), "plugin.%s", p->name);
		for (int use = 0; use < JSON_SCHEMA_USES; use++)
			add_schema(m, out, name, (enum json_schema_use)use,
				   json_schema_of_config(p, (enum json_schema_use)use));
	}
	return out;
}

static json_t *security(struct making *m)
{
	json_t *out = json_array();

	if (!m->auth_required)
		append(m, out, json_object());
	for (const struct openapi_part *p = openapi_security; m->auth_required && p->name; p++)
		append(m, out, json_pack("{s:[]}", p->name));
	return out;
}

json_t *openapi_make(bool auth_required)
{
	struct making m = {.paths = json_object(), .auth_required = auth_required};
	json_t *out;

	if (paths_each(add_path, &m) < 0)
		m.failed = true;
	out = json_pack("{s:s, s:{s:s, s:s, s:s, s:{s:s, s:s}}, s:[{s:s}], s:o, s:o, "
			"s:{s:o, s:o, s:o, s:o, s:o}}",
			"openapi", "3.1.0", "info", "title", "Cardea admin API", "version",
			CARDEA_VERSION, "description", "Kong's Admin API with Cardea's additions.",
			"license", "name", "Apache 2.0", "identifier", "Apache-2.0", "servers",
			"url", "/", "security", security(&m), "paths", m.paths, "components",
			"schemas", schemas(&m), "parameters", parts(&m, openapi_parameters),
			"responses", responses(&m), "headers", parts(&m, openapi_headers),
			"securitySchemes", parts(&m, openapi_security));
	if (out && !m.failed)
		return out;
	json_decref(out);
	return NULL;
}

void openapi_get(struct admin_request *r)
{
	if (!r->ctx->openapi)
		r->ctx->openapi = openapi_make(r->ctx->conf.auth_required);
	if (r->ctx->openapi)
		admin_reply(r, 200, json_incref(r->ctx->openapi));
	else
		fault_internal(r);
}
