#include "control-plane/admin/request.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "control-plane/admin/apis_bundle.h"
#include "control-plane/admin/apis_list.h"
#include "control-plane/admin/older.h"
#include "control-plane/admin/origin.h"

enum { WAIT_MAX_S = 300 };

static const struct str type_json = {"application/json; charset=utf-8", 31};

struct admin_request *admin_request_create(struct admin_context *ctx, struct exchange *x)
{
	struct admin_request *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->ctx = ctx;
	r->x = x;
	r->started_ns = clock_mono_ns();
	r->peer = *conn_peer(exchange_conn(x));
	addr_ip_text(&r->peer, r->address, sizeof(r->address));
	buf_init(&r->body, ctx->conf.body_max + 1);
	r->body.secret = true;
	ctx->requests_total++;
	return r;
}

static void timer_closed(struct timer *t)
{
	free(t);
}

static void request_free(struct admin_request *r)
{
	barrier_cancel(r->barrier);
	if (r->timer)
		timer_close(r->timer, timer_closed);
	buf_deinit(&r->body);
	json_decref(r->input);
	json_decref(r->row);
	json_decref(r->old);
	json_decref(r->linked);
	json_decref(r->rows);
	json_decref(r->states);
	json_decref(r->pair);
	json_decref(r->new_pair);
	json_decref(r->scope);
	apis_bundle_free(r->api);
	apis_list_free(r->api_list);
	json_decref(r->answer);
	free(r);
}

void admin_request_gone(struct admin_request *r)
{
	r->x = NULL;
	/* Here, because the context may be gone when the last call comes back. */
	if (r->timer)
		r->ctx->waiting--;
	if (r->pending == 0)
		request_free(r);
}

void admin_suspend(struct admin_request *r)
{
	r->pending++;
}

bool admin_resume(struct admin_request *r)
{
	assert(r->pending > 0);
	r->pending--;
	if (r->x)
		return true;
	if (r->pending == 0)
		request_free(r);
	return false;
}

static void add(struct admin_request *r, struct http_fields *f, struct str name, struct str value)
{
	/* A missing header is better than no answer when the arena is full. */
	if (value.ptr && http_fields_add(f, exchange_arena(r->x), name, value) < 0)
		log_warn("answer header dropped", log_strn("header", name.ptr, name.len));
}

static struct str number_text(struct admin_request *r, uint64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, n);
	return arena_str(exchange_arena(r->x), str_from(text));
}

static void add_origin(struct admin_request *r, struct http_fields *f)
{
	const struct access *a = &r->ctx->access;
	struct str origin = http_fields_get(&exchange_request(r->x)->fields, STR("origin"));
	struct str allowed = origin_allowed(a->origins, a->required, origin);

	if (a->origins || a->required)
		add(r, f, STR("vary"), STR("Origin"));
	if (!allowed.ptr)
		return;
	add(r, f, STR("access-control-allow-origin"), allowed);
	add(r, f, STR("access-control-allow-credentials"), STR("true"));
}

static void add_common(struct admin_request *r, struct http_fields *f)
{
	uint64_t ms = (clock_mono_ns() - r->started_ns) / 1000000U;

	add_origin(r, f);
	add(r, f, STR("x-kong-admin-latency"), number_text(r, ms));
	if (r->deprecated && older_headers(f, exchange_arena(r->x), r->entity) < 0)
		log_warn("answer header dropped", log_str("header", "deprecation"));
}

static void send_json(struct admin_request *r, unsigned status, json_t *body,
		      struct http_fields *fields)
{
	char *text;

	if (r->shape && body)
		body = r->shape(r, &status, body);
	/* Milliseconds of a time stamp come out as they went in. */
	text = json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(16));

	add_common(r, fields);
	json_decref(body);
	if (!text)
		exchange_reply(r->x, 500, type_json,
			       STR("{\"message\":\"An unexpected error occurred\"}"), fields);
	else
		exchange_reply(r->x, status, type_json, str_from(text), fields);
	free(text);
}

void admin_reply(struct admin_request *r, unsigned status, json_t *body)
{
	struct http_fields fields = {0};

	send_json(r, status, body, &fields);
}

void admin_reply_text(struct admin_request *r, unsigned status, struct str type, struct str text,
		      struct http_fields *extra)
{
	struct http_fields fields = {0};

	if (!extra)
		extra = &fields;
	add_common(r, extra);
	exchange_reply(r->x, status, type, text, extra);
}

void admin_reply_empty(struct admin_request *r, unsigned status)
{
	admin_reply_text(r, status, STR_NONE, STR(""), NULL);
}

void admin_reply_message(struct admin_request *r, unsigned status, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	json_t *message;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* Bytes of a message may be the client's: they must not make the answer invalid. */
	message = json_string(text);
	admin_reply(r, status, json_pack("{s:o}", "message", message ? message : json_string("")));
}

static bool prefers(struct admin_request *r, struct str name, struct str *value)
{
	struct str prefer = http_fields_get(&exchange_request(r->x)->fields, STR("prefer"));
	struct str item;

	while (str_split(&prefer, ',', &item)) {
		item = str_trim(item);
		if (!str_starts(item, name))
			continue;
		*value = str_sub(item, name.len, item.len);
		return true;
	}
	return false;
}

uint64_t admin_prefer_wait(struct admin_request *r)
{
	struct str value;
	uint64_t seconds;

	if (!prefers(r, STR("wait="), &value) || str_u64(value, &seconds) < 0)
		return 0;
	return seconds > WAIT_MAX_S ? WAIT_MAX_S : seconds;
}

bool admin_prefer_async(struct admin_request *r)
{
	struct str value;

	return prefers(r, STR("respond-async"), &value);
}

static void send_write(struct admin_request *r, unsigned status, json_t *body, struct str missing)
{
	struct http_fields fields = {0};

	add(r, &fields, STR("x-cardea-revision"), number_text(r, r->answer_revision));
	if (missing.ptr)
		add(r, &fields, STR("x-cardea-missing-nodes"), missing);
	if (body)
		send_json(r, status, body, &fields);
	else
		admin_reply_text(r, status, STR_NONE, STR(""), &fields);
}

static struct str node_ids(struct admin_request *r, const json_t *missing)
{
	struct buf ids = BUF_INIT;
	struct str out;
	size_t i;
	const json_t *node;

	json_array_foreach(missing, i, node)
	{
		const char *id = json_string_value(json_object_get(node, "id"));

		if (buf_addf(&ids, NULL, "%s%s", i ? ", " : "", id ? id : "") < 0)
			break;
	}
	out = arena_str(exchange_arena(r->x), buf_str(&ids));
	buf_deinit(&ids);
	return out;
}

static void on_barrier(const struct barrier_result *b, void *arg)
{
	struct admin_request *r = arg;
	json_t *body;

	r->barrier = NULL;
	if (!admin_resume(r))
		return;
	body = r->answer;
	r->answer = NULL;
	if (b->complete) {
		send_write(r, r->answer_status, body, STR_NONE);
		return;
	}
	if (!body)
		body = json_pack("{s:s, s:O}", "message",
				 "some data planes have not confirmed this revision yet",
				 "missing_nodes", b->missing);
	send_write(r, 202, body, node_ids(r, b->missing));
}

void admin_reply_write(struct admin_request *r, unsigned status, json_t *body, uint64_t revision)
{
	uint64_t seconds = admin_prefer_wait(r);
	struct err e = ERR_INIT;

	r->answer_status = status;
	r->answer_revision = revision;
	if (seconds == 0) {
		send_write(r, status, body, STR_NONE);
		return;
	}
	if (fleet_wait(&r->barrier, r->ctx->fleet, revision, seconds * 1000, on_barrier, r, &e) <
	    0) {
		log_warn("waiting for data planes failed", log_err(&e));
		send_write(r, status, body, STR_NONE);
		return;
	}
	r->answer = body;
	admin_suspend(r);
}

struct str admin_query(struct admin_request *r, const char *name)
{
	struct str query = exchange_request(r->x)->query;
	struct str pair, value, decoded;

	while (str_split(&query, '&', &pair)) {
		size_t eq = str_find(pair, '=', 0);

		if (!str_eq(str_sub(pair, 0, eq), str_from(name)))
			continue;
		value = eq < pair.len ? str_sub(pair, eq + 1, pair.len) : STR("");
		if (http_percent_decode(exchange_arena(r->x), value, true, &decoded) < 0)
			return STR("");
		return decoded;
	}
	return STR_NONE;
}
