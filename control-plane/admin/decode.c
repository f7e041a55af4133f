#include "control-plane/admin/decode.h"

#include "common/http/body.h"
#include "control-plane/admin/older.h"
#include "control-plane/admin/plugin_certificate.h"

static const struct str type_json = {"application/json", 16};
static const struct str type_multipart = {"multipart/form-data", 19};
static const struct str type_form = {"application/x-www-form-urlencoded", 33};

/* Documents as they are, for /config alone. */
static bool is_yaml(const struct http_request *q, struct str type)
{
	struct str path = q->path;

	if (!str_starts(type, STR("application/yaml")) && !str_starts(type, STR("text/yaml")))
		return false;
	if (str_starts(path, STR("/default/")))
		path = str_sub(path, strlen("/default"), path.len);
	return str_eq(path, STR("/config")) || str_eq(path, STR("/config/"));
}

enum decode_verdict decode_type(const struct http_request *q)
{
	struct str type = http_fields_get(&q->fields, STR("content-type"));

	if (http_fields_count(&q->fields, STR("content-type")) > 1)
		return DECODE_DUPLICATE_TYPE;
	if (!type.ptr)
		return q->has_body && q->content_length != 0 ? DECODE_UNSUPPORTED : DECODE_OK;
	if (str_starts(type, type_json) || str_starts(type, type_multipart) ||
	    str_starts(type, type_form) || is_yaml(q, type))
		return DECODE_OK;
	return DECODE_UNSUPPORTED;
}

static int decode_form(struct admin_request *r, struct str type, struct err *e)
{
	int rc;

	if (str_starts(type, type_multipart))
		rc = body_multipart(&r->input, buf_str(&r->body), type, e);
	else
		rc = body_form(&r->input, buf_str(&r->body), e);
	r->form = rc == 0;
	return rc;
}

void decode_fields(struct admin_request *r)
{
	if (!r->entity)
		return;
	if (older_input(r->entity, r->form, r->input)) {
		r->older = true;
		r->deprecated = true;
		if (!r->shape)
			r->shape = older_names;
	}
	if (r->entity == &entity_plugins && plugin_certificate_for(r->input))
		r->deprecated = true;
	if (r->form)
		entity_coerce_form(r->entity, r->input, NULL);
}

int decode_body(struct admin_request *r, struct err *e)
{
	struct str type = http_fields_get(&exchange_request(r->x)->fields, STR("content-type"));

	int rc = 0;

	if (type.ptr && str_starts(type, type_json))
		rc = body_json(&r->input, buf_str(&r->body), e);
	else if (type.ptr && !is_yaml(exchange_request(r->x), type))
		rc = decode_form(r, type, e);
	else
		r->input = json_object();
	if (rc == 0 && !r->input)
		rc = err_memory(e, "decoding a body");
	if (rc == 0)
		decode_fields(r);
	return rc;
}
