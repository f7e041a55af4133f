#include "control-plane/admin/fault.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/core/codec.h"
#include "common/core/log.h"

void fault_internal(struct admin_request *r)
{
	admin_reply_message(r, 500, "An unexpected error occurred");
}

/* Kong prints keys as {a="x",b={id="..."}}, sorted. */
static int print_key(struct buf *out, json_t *key)
{
	const char *separator = "";
	const char *name;
	json_t *value;
	int rc = buf_add_str(out, STR("{"), NULL);

	json_object_foreach(key, name, value)
	{
		rc |= buf_addf(out, NULL, "%s%s=", separator, name);
		if (json_is_object(value))
			rc |= print_key(out, value);
		else if (json_is_string(value))
			rc |= buf_addf(out, NULL, "\"%s\"", json_string_value(value));
		else
			rc |= buf_add_str(out, STR("null"), NULL);
		separator = ",";
	}
	return rc | buf_add_str(out, STR("}"), NULL);
}

void fault_code(struct admin_request *r, unsigned status, int code, const char *name,
		json_t *fields, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	json_t *body;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	body = json_pack("{s:i, s:s, s:s}", "code", code, "name", name, "message", text);
	if (body && fields)
		json_object_set(body, "fields", fields);
	json_decref(fields);
	if (body)
		admin_reply(r, status, body);
	else
		fault_internal(r);
}

/* before + 'key' + after */
static void reply_key(struct admin_request *r, unsigned status, int code, const char *name,
		      json_t *key, const char *before, const char *after)
{
	struct buf text = BUF_INIT;

	if (print_key(&text, key) < 0)
		fault_internal(r);
	else
		fault_code(r, status, code, name, json_incref(key), "%s'%s'%s", before, text.data,
			   after);
	buf_deinit(&text);
}

static void reply_foreign(struct admin_request *r, const struct store_result *res)
{
	const char *name = json_object_iter_key(json_object_iter(res->key));
	const struct field *f =
		name && res->entity ? entity_field(res->entity, str_from(name)) : NULL;
	/* A reference inside a record is told by the entity that it is to. */
	const struct entity *to = name && !f ? entity_find(str_from(name)) : NULL;
	json_t *inner = name ? json_object_get(res->key, name) : NULL;
	struct buf text = BUF_INIT;

	if (print_key(&text, inner) < 0)
		fault_internal(r);
	else
		fault_code(r, 400, 4, "foreign key violation", json_incref(res->key),
			   "the foreign key '%s' does not reference an existing '%s' entity.",
			   text.data,
			   f && f->reference ? f->reference
			   : to		     ? to->name
					     : "");
	buf_deinit(&text);
}

static void reply_referenced(struct admin_request *r, const struct entity *t,
			     const struct store_result *res)
{
	const char *by = res->referrer ? res->referrer : "";

	fault_code(r, 400, 4, "foreign key violation", json_pack("{s:s}", "@referenced_by", by),
		   "an existing '%s' entity references this '%s' entity", by, t ? t->name : "");
}

static void reply_in_use(struct admin_request *r, const struct entity *t,
			 const struct store_result *res)
{
	const char *by = res->referrer ? res->referrer : "";
	const char *id = json_string_value(json_object_get(res->key, "id"));

	fault_code(r, 400, 19, "referenced by others", json_pack("{s:s}", "@referenced_by", by),
		   "%s %s is still referenced by %s (id = %s)",
		   t == &entity_ca_certificates ? "ca certificate"
		   : t				? t->singular
						: "",
		   json_string_value(json_object_get(r->old, "id")), by, id ? id : "");
}

static void reply_failed(struct admin_request *r, const struct store_result *res)
{
	log_error("admin request failed", log_err(&res->err));
	fault_internal(r);
}

static void reply_unavailable(struct admin_request *r, const struct store_result *res)
{
	struct http_fields extra = {0};

	log_warn("admin request refused: no database", log_err(&res->err));
	if (http_fields_add(&extra, exchange_arena(r->x), STR("retry-after"), STR("5")) < 0)
		log_debug("no room for a header", log_str("header", "retry-after"));
	admin_reply_text(r, 503, STR("application/json; charset=utf-8"),
			 STR("{\"message\":\"the database is not available, try again\"}"), &extra);
}

/* What Kong calls it, by method and whether the path had a name (kong-admin-api.md 1.10). */
static const struct {
	const char *method, *operation;
} operations[] = {
	{"POST", "create"},
	{"PUT", "create or update"},
	{"PATCH", "update"},
	{"DELETE", "remove"},
};

void fault_read_only(struct admin_request *r, const struct entity *t)
{
	struct str method = exchange_request(r->x)->method;
	const char *operation = NULL;
	bool by_name = t && r->key.ptr && !uuid_is(r->key) && t->endpoint_key;

	for (size_t i = 0; i < array_len(operations); i++)
		if (str_eq(method, str_from(operations[i].method)))
			operation = operations[i].operation;
	/* Tokens, audit rows: what there is in a database only. */
	if (!operation || !r->entity || !t) {
		admin_reply_message(r, 405, "not available when not using a database");
		return;
	}
	/* Targets are never put. */
	if (t->below_parent && str_eq(method, STR("PUT")))
		operation = "update";
	fault_code(r, 405, 12, "operation unsupported", NULL,
		   "cannot %s '%s' entities%s%s%s when not using a database", operation, t->name,
		   by_name ? " by '" : "", by_name ? t->endpoint_key : "", by_name ? "'" : "");
}

void fault_reply(struct admin_request *r, const struct entity *t, const struct store_result *res)
{
	switch (res->fault) {
	case STORE_UNIQUE:
		reply_key(r, 409, 5, "unique constraint violation", res->key,
			  "UNIQUE violation detected on ", "");
		break;
	case STORE_PRIMARY_KEY:
		reply_key(r, 400, 3, "primary key violation", res->key,
			  "primary key violation on key ", "");
		break;
	case STORE_FOREIGN:
		reply_foreign(r, res);
		break;
	case STORE_REFERENCED:
		reply_referenced(r, t, res);
		break;
	case STORE_IN_USE:
		reply_in_use(r, t, res);
		break;
	case STORE_NOT_FOUND:
		admin_reply_message(r, 404, "Not found");
		break;
	case STORE_VERSION:
		admin_reply_message(r, 409, "the entity was changed by somebody else, try again");
		break;
	case STORE_READ_ONLY:
		fault_read_only(r, t);
		break;
	case STORE_LEASE:
	case STORE_UNAVAILABLE:
		reply_unavailable(r, res);
		break;
	case STORE_OK:
	case STORE_FAILED:
		reply_failed(r, res);
		break;
	}
}

void fault_not_found(struct admin_request *r, const struct entity *t, struct str key)
{
	bool by_id = uuid_is(key) || !t->endpoint_key;
	json_t *fields = json_pack("{s:s%}", by_id ? "id" : t->endpoint_key, key.ptr, key.len);

	reply_key(r, 404, 6, "not found", fields,
		  by_id ? "could not find the entity with primary key "
			: "could not find the entity with ",
		  "");
	json_decref(fields);
}

void fault_violations(struct admin_request *r, const struct violations *v)
{
	json_t *body = v->no_memory ? NULL : violations_body(v);

	if (body)
		admin_reply(r, 400, body);
	else
		fault_internal(r);
}
