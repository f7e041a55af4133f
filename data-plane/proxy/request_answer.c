/* Answers of Cardea's own, in Kong's words. */
#include "common/core/clock.h"
#include "data-plane/proxy/request_internal.h"

static int own_fields(struct request *r, struct http_fields *f, const struct http_fields *extra)
{
	struct arena *a = request_arena(r);
	const struct token_facts facts = {
		.id = request_id(r),
		.response_ms = (clock_mono_ns() - r->started_ns) / 1000000,
	};

	for (size_t i = 0; extra && i < extra->count; i++)
		if (http_fields_add(f, a, extra->items[i].name, extra->items[i].value) != 0)
			return -1;
	for (size_t i = 0; i < r->response_fields.count; i++)
		if (http_fields_add(f, a, r->response_fields.items[i].name,
				    r->response_fields.items[i].value) != 0)
			return -1;
	if (r->upgrade_hint.ptr && http_fields_add(f, a, STR("upgrade"), r->upgrade_hint) != 0)
		return -1;
	return tokens_add(&r->proxy->options.edge->tokens, f, a, &facts);
}

void request_answer(struct request *r, unsigned status, struct str content_type, struct str body,
		    const struct http_fields *fields)
{
	struct http_fields all = {NULL, 0, 0};
	struct err e = ERR_INIT;

	if (r->state >= REQUEST_ANSWERING)
		return;
	request_leave_upstream(r);
	request_move(r, REQUEST_ANSWERED);
	request_drop_kept(r);
	if (own_fields(r, &all, fields) != 0) {
		err_memory(&e, "response fields");
		exchange_abort(r->exchange, &e);
		return;
	}
	r->status = status;
	r->bytes_out += str_eq(r->head->method, STR("HEAD")) ? 0 : body.len;
	stats_request(r->proxy->options.stats, status);
	exchange_reply(r->exchange, status, content_type, body, &all);
}

void request_answer_message(struct request *r, unsigned status, struct str message)
{
	struct buf *b = &r->proxy->scratch;
	struct err e = ERR_INIT;

	buf_clear(b);
	if (buf_addf(b, &e, "{\"message\":\"%.*s\",\"request_id\":\"%s\"}", (int)message.len,
		     message.ptr, r->id) != 0)
		exchange_abort(r->exchange, &e);
	else
		request_answer(r, status, STR("application/json; charset=utf-8"), buf_str(b), NULL);
}

void request_fail(struct request *r, unsigned status, const char *message)
{
	request_answer_message(r, status, str_from(message));
}
