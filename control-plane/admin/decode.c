#include "control-plane/admin/decode.h"

#include "common/http/body.h"

static const struct str type_json = {"application/json", 16};
static const struct str type_multipart = {"multipart/form-data", 19};
static const struct str type_form = {"application/x-www-form-urlencoded", 33};

enum decode_verdict decode_type(const struct http_request *q)
{
	struct str type = http_fields_get(&q->fields, STR("content-type"));

	if (http_fields_count(&q->fields, STR("content-type")) > 1)
		return DECODE_DUPLICATE_TYPE;
	if (!type.ptr)
		return q->has_body && q->content_length != 0 ? DECODE_UNSUPPORTED : DECODE_OK;
	if (str_starts(type, type_json) || str_starts(type, type_multipart) ||
	    str_starts(type, type_form))
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
	if (rc == 0 && r->entity)
		entity_coerce_form(r->entity, r->input, NULL);
	return rc;
}

int decode_body(struct admin_request *r, struct err *e)
{
	struct str type = http_fields_get(&exchange_request(r->x)->fields, STR("content-type"));

	if (type.ptr && str_starts(type, type_json))
		return body_json(&r->input, buf_str(&r->body), e);
	if (type.ptr)
		return decode_form(r, type, e);
	r->input = json_object();
	return r->input ? 0 : err_memory(e, "decoding a body");
}
