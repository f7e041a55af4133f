/* /acme: Kong's call that asks for a certificate, and the orders behind it.
 *
 * POST /acme answers when the certificate is live, as Kong's does, or tells the truth when it is
 * not: 201  the order is valid (its revision in X-Cardea-Revision; `Prefer: wait` also waits for
 * the fleet) 202  still going on after the wait, or `Prefer: respond-async`: the order shows where
 * it is 500  the authority or the challenge failed; the order stays and is tried again ("failed to
 * update certificate: ...") 400  not a host that http-01 can get a certificate for
 */
#include <stdlib.h>
#include <string.h>

#include "common/core/clock.h"
#include "common/core/codec.h"
#include "control-plane/admin/audit.h"
#include "control-plane/admin/fault.h"
#include "control-plane/admin/handlers.h"

static const char orders[] = "acme_orders";

enum { WAIT_DEFAULT_S = 60, HOST_SIZE = 254, SIZE_DEFAULT = 100, SIZE_LIMIT = 1000 };
/* A client that waits looks at its order so often; all of them together so often per second, so
 * that thousands that wait leave the database to those who work. */
enum { LOOK_MS = 50, LOOKS_PER_S = 500 };

static const char *text_of(const json_t *order, const char *name)
{
	const char *s = json_string_value(json_object_get(order, name));

	return s ? s : "";
}

static bool have_acme(struct admin_request *r)
{
	if (store_read_only(r->ctx->store))
		admin_reply_message(r, 405,
				    "certificates cannot be issued when not using a database: "
				    "there is nowhere to keep accounts and orders yet");
	else if (!r->ctx->acme)
		admin_reply_message(r, 404, "no ACME authority is configured (acme_directory)");
	return r->ctx->acme != NULL;
}

static void reply_valid(struct admin_request *r, json_t *order)
{
	uint64_t revision = (uint64_t)json_integer_value(json_object_get(order, "revision"));
	json_t *message =
		json_sprintf("certificate for host %s is created", text_of(order, "host"));

	admin_reply_write(r, 201, json_pack("{s:o, s:O}", "message", message, "order", order),
			  revision);
}

static void reply_pending(struct admin_request *r, json_t *order)
{
	json_t *message = json_sprintf("certificate for host %s is on its way: %s",
				       text_of(order, "host"), text_of(order, "state"));

	admin_reply(r, 202, json_pack("{s:o, s:O}", "message", message, "order", order));
}

static void reply_failed(struct admin_request *r, json_t *order)
{
	json_t *problem = json_object_get(order, "last_problem");
	json_t *message =
		json_sprintf("failed to update certificate: %s", text_of(problem, "detail"));

	admin_reply(r, 500, json_pack("{s:o, s:O}", "message", message, "order", order));
}

static void look(struct timer *t);

static void look_again(struct admin_request *r)
{
	uint64_t fair_ms;

	if (!r->timer) {
		r->timer = calloc(1, sizeof(*r->timer));
		if (!r->timer) {
			fault_internal(r);
			return;
		}
		timer_init(r->timer, r->ctx->loop, look);
		r->timer->uv.data = r;
		r->ctx->waiting++;
	}
	fair_ms = r->ctx->waiting * UINT64_C(1000) / LOOKS_PER_S;
	timer_start(r->timer, fair_ms > LOOK_MS ? fair_ms : LOOK_MS, 0);
}

/* attempts counts failures: one that came while this client waits is what it is told. */
static void judge(struct admin_request *r, json_t *order)
{
	const char *state = text_of(order, "state");
	json_int_t attempts = json_integer_value(json_object_get(order, "attempts"));

	if (strcmp(state, "valid") == 0)
		reply_valid(r, order);
	else if (strcmp(state, "failed") == 0 || attempts > (json_int_t)r->attempts)
		reply_failed(r, order);
	else if (clock_mono_ns() >= r->deadline_ns)
		reply_pending(r, order);
	else
		look_again(r);
}

static void on_order(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;
	json_t *order;

	if (!admin_resume(r))
		return;
	order = json_array_get(res->rows, 0);
	if (res->fault != STORE_OK && clock_mono_ns() < r->deadline_ns)
		look_again(r); /* the order is stored: a database that is away now does not end the
				  wait */
	else if (res->fault != STORE_OK)
		fault_reply(r, NULL, res);
	else if (!order)
		admin_reply_message(r, 404, "Not found");
	else
		judge(r, order);
}

static void look(struct timer *t)
{
	struct admin_request *r = t->uv.data;

	if (!r->x)
		return;
	admin_suspend(r);
	acme_order(r->ctx->acme, str_from(r->order_id), on_order, r);
}

static void on_requested(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;
	json_t *order;

	if (!admin_resume(r))
		return;
	order = json_array_get(res->rows, 0);
	if (res->fault != STORE_OK || !order) {
		fault_reply(r, NULL, res);
		return;
	}
	snprintf(r->order_id, sizeof(r->order_id), "%s", text_of(order, "id"));
	r->attempts = (unsigned)json_integer_value(json_object_get(order, "attempts"));
	if (admin_prefer_async(r))
		reply_pending(r, order);
	else
		judge(r, order);
}

void acme_api_create(struct admin_request *r)
{
	const json_t *host = json_object_get(r->input, "host");
	const char *key_type = json_string_value(json_object_get(r->input, "key_type"));
	uint64_t wait_s = admin_prefer_wait(r);
	char name[HOST_SIZE];
	enum key_type type;
	struct store_note note;
	struct err e = ERR_INIT;

	if (!have_acme(r))
		return;
	if (!json_is_string(host)) {
		admin_reply_message(r, 400, "host must be given, as a single domain name");
		return;
	}
	if (acme_host(str_from(json_string_value(host)), name, &e) < 0) {
		admin_reply_message(r, 400, "%s", e.message);
		return;
	}
	if (key_type && key_type_parse(str_from(key_type), &type) < 0) {
		admin_reply_message(r, 400, "key_type must be one of: %s, %s, %s, %s, %s",
				    key_type_name(KEY_EC_P256), key_type_name(KEY_EC_P384),
				    key_type_name(KEY_RSA_2048), key_type_name(KEY_RSA_3072),
				    key_type_name(KEY_RSA_4096));
		return;
	}
	r->deadline_ns = clock_mono_ns() + (wait_s ? wait_s : WAIT_DEFAULT_S) * 1000000000ULL;
	admin_suspend(r);
	acme_request(r->ctx->acme, name, key_type, audit_note(r, &note, orders, name), on_requested,
		     r);
}

static void on_renewed(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;

	if (!admin_resume(r))
		return;
	if (res->fault != STORE_OK)
		fault_reply(r, NULL, res);
	else
		admin_reply(r, 202,
			    json_pack("{s:s, s:I}", "message",
				      "Renewal process started successfully", "orders",
				      (json_int_t)res->affected));
}

void acme_api_renew(struct admin_request *r)
{
	struct store_note note;

	if (!have_acme(r))
		return;
	admin_suspend(r);
	acme_renew(r->ctx->acme, json_is_true(json_object_get(r->input, "force")),
		   audit_note(r, &note, orders, NULL), on_renewed, r);
}

static void on_orders(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;

	if (!admin_resume(r))
		return;
	if (res->fault != STORE_OK)
		fault_reply(r, NULL, res);
	else
		admin_reply(r, 200, json_pack("{s:O, s:n}", "data", res->rows, "next"));
}

void acme_api_orders(struct admin_request *r)
{
	struct str size = admin_query(r, "size"), after = admin_query(r, "after");
	uint64_t n = SIZE_DEFAULT;

	if (!have_acme(r))
		return;
	if (size.ptr && (str_u64(size, &n) < 0 || n < 1 || n > SIZE_LIMIT)) {
		fault_code(r, 400, 9, "invalid size", NULL,
			   "size must be an integer between 1 and %d", SIZE_LIMIT);
		return;
	}
	if (after.ptr && !uuid_is(after)) {
		admin_reply_message(r, 400, "after must be the id of an order");
		return;
	}
	admin_suspend(r);
	acme_orders(r->ctx->acme, admin_query(r, "host"), admin_query(r, "state"), (unsigned)n,
		    after, on_orders, r);
}

static void on_one(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;

	if (!admin_resume(r))
		return;
	if (res->fault != STORE_OK)
		fault_reply(r, NULL, res);
	else if (json_array_size(res->rows) == 0)
		admin_reply_message(r, 404, "Not found");
	else
		admin_reply(r, 200, json_incref(json_array_get(res->rows, 0)));
}

static bool order_id(struct admin_request *r)
{
	if (!have_acme(r))
		return false;
	if (!uuid_is(r->segments[2])) {
		admin_reply_message(r, 404, "Not found");
		return false;
	}
	return true;
}

void acme_api_order(struct admin_request *r)
{
	if (!order_id(r))
		return;
	admin_suspend(r);
	acme_order(r->ctx->acme, r->segments[2], on_one, r);
}

void acme_api_retry(struct admin_request *r)
{
	struct store_note note;
	const char *id;

	if (!order_id(r))
		return;
	id = arena_str(exchange_arena(r->x), r->segments[2]).ptr;
	admin_suspend(r);
	acme_retry(r->ctx->acme, r->segments[2], audit_note(r, &note, orders, id), on_one, r);
}
