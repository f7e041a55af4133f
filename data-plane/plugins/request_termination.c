/* request-termination (kong-admin-api.md 2.9): Cardea answers, and no upstream is asked. */
#include <jansson.h>
#include <stdlib.h>

#include "data-plane/plugins/plugins.h"
#include "data-plane/tables/fields.h"

struct termination_config {
	unsigned status;
	bool echo;
	struct str message;    /* of echo */
	struct str trigger;    /* a header field or an argument; STR_NONE: always */
	struct str type, body; /* type STR_NONE: no body */
};

/* What Kong says when the operator does not. */
static const struct {
	unsigned status;
	struct str text;
} messages[] = {
	{401, STR("Unauthorized")},	  {404, STR("Not found")},
	{405, STR("Method not allowed")}, {500, STR("An unexpected error occurred")},
	{502, STR("Bad Gateway")},	  {503, STR("Service unavailable")},
};

static const struct str body_type = STR("application/json; charset=utf-8");

static int keep(struct str *out, struct str text, struct arena *a, struct err *e)
{
	*out = arena_str(a, text);
	return out->ptr ? 0 : err_memory(e, "a plugin");
}

static int keep_json(struct str *out, json_t *value, struct arena *a, struct err *e)
{
	char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
	int rc = text ? keep(out, str_from(text), a, e) : err_memory(e, "a plugin");

	free(text);
	json_decref(value);
	return rc;
}

static int configure(void *config, const struct fields *f, struct arena *a, struct err *e)
{
	struct termination_config *c = config;
	struct str body = fields_text(f, "body"), message = fields_text(f, "message");
	struct str type = fields_text(f, "content_type"), trigger = fields_text(f, "trigger");
	int64_t status = fields_integer(f, "status_code", 503);

	if (status < 100 || status > 599)
		return err_set(e, ERR_INVALID, "status_code: 100 to 599");
	/* Kong takes what is below 200, but no client takes it for the answer. */
	c->status = status < 200 ? 500 : (unsigned)status;
	c->echo = fields_flag(f, "echo", false);
	if (trigger.ptr && keep(&c->trigger, trigger, a, e) < 0)
		return -1;
	for (size_t i = 0; !message.ptr && i < array_len(messages); i++)
		if (messages[i].status == c->status)
			message = messages[i].text;
	if (message.ptr && keep(&c->message, message, a, e) < 0)
		return -1;
	if (body.ptr) {
		if (keep(&c->type, type.ptr ? type : STR("text/plain; charset=utf-8"), a, e) < 0)
			return -1;
		return keep(&c->body, body, a, e);
	}
	if (!message.ptr)
		return 0;
	c->type = body_type;
	return keep_json(&c->body, json_pack("{s:s%}", "message", message.ptr, message.len), a, e);
}

static bool has_argument(struct str query, struct str name)
{
	struct str part;

	while (query.ptr && str_split(&query, '&', &part))
		if (str_eq(str_sub(part, 0, str_find(part, '=', 0)), name))
			return true;
	return false;
}

/* A new reference; bytes that are no UTF-8 are left out. */
static json_t *echo(const struct request *r, const struct termination_config *c)
{
	const struct http_request *q = request_head(r);
	json_t *headers = json_object();

	for (size_t i = 0; headers && i < q->fields.count; i++) {
		const struct http_field *f = &q->fields.items[i];
		json_t *value = json_stringn(f->value.ptr, f->value.len);

		if (value)
			json_object_setn_new(headers, f->name.ptr, f->name.len, value);
	}
	return json_pack("{s:s%, s:{s:s%, s:s%, s:s%, s:o}}", "message",
			 c->message.ptr ? c->message.ptr : "", c->message.len, "request", "scheme",
			 q->scheme.ptr, q->scheme.len, "method", q->method.ptr, q->method.len,
			 "path", q->path.ptr, q->path.len, "headers", headers);
}

static enum plugin_verdict access_termination(struct request *r, const void *config)
{
	const struct termination_config *c = config;
	const struct http_request *q = request_head(r);
	struct str body = c->body;
	struct err e = ERR_INIT;

	if (c->trigger.ptr && http_fields_count(&q->fields, c->trigger) == 0 &&
	    !has_argument(q->query, c->trigger))
		return PLUGIN_NEXT;
	if (c->echo && keep_json(&body, echo(r, c), request_arena(r), &e) < 0) {
		request_answer_message(r, 500, STR("An unexpected error occurred"));
		return PLUGIN_ANSWERED;
	}
	request_answer(r, c->status, c->echo ? body_type : c->type, body.ptr ? body : STR(""),
		       NULL);
	return PLUGIN_ANSWERED;
}

const struct plugin_type plugin_request_termination = {
	.kind = {.name = "request-termination",
		 .config_size = sizeof(struct termination_config),
		 .configure = configure},
	.priority = 2,
	.access = access_termination,
};
