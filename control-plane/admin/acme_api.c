/* /acme: Kong's call that asks for a certificate, and the orders behind it.
 *
 * POST /acme answers when the certificate is live, as Kong's does, or tells the truth when it is
 * not: 201  the order is valid (its revision in X-Cardea-Revision; `Prefer: wait` also waits for
 * the fleet) 202  still going on after the wait, or `Prefer: respond-async`: the order shows where
 * it is 500  the authority or the challenge failed; the order stays and is tried again ("failed to
 * update certificate: ...") 400  not a host that http-01 can get a certificate for
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/core/clock.h"
#include "common/core/codec.h"
#include "control-plane/acme/names.h"
#include "control-plane/admin/audit.h"
#include "control-plane/admin/fault.h"
#include "control-plane/admin/handlers.h"
#include "control-plane/model/plugin_acme.h"

static const char orders[] = "acme_orders";
static const int64_t time_max = INT64_C(253402300800); /* the year 10000 */

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
	json_int_t first = json_integer_value(json_object_get(order, "revision"));
	json_int_t second = json_integer_value(
		json_object_get(json_object_get(order, "alternative"), "revision"));
	uint64_t revision = (uint64_t)(first > second ? first : second);
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

static void reply_failed(struct admin_request *r, json_t *order, const json_t *problem)
{
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

/* The first certificate is live; a second one may be asked for as well. */
static void judge_valid(struct admin_request *r, json_t *order)
{
	json_t *second = json_object_get(order, "alternative");
	const char *state = text_of(second, "state");
	json_t *problem = json_object_get(second, "last_problem");

	if (!state[0] || strcmp(state, "valid") == 0)
		reply_valid(r, order);
	else if (json_is_object(problem))
		reply_failed(r, order, problem);
	else if (clock_mono_ns() >= r->deadline_ns)
		reply_pending(r, order);
	else
		look_again(r);
}

/* attempts counts failures: one that came while this client waits is what it is told. */
static void judge(struct admin_request *r, json_t *order)
{
	const char *state = text_of(order, "state");
	json_int_t attempts = json_integer_value(json_object_get(order, "attempts"));

	if (strcmp(state, "valid") == 0)
		judge_valid(r, order);
	else if (strcmp(state, "failed") == 0 || strcmp(state, "parked") == 0 ||
		 strcmp(state, "paused_by_ca") == 0 || attempts > (json_int_t)r->attempts)
		reply_failed(r, order, json_object_get(order, "last_problem"));
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

/* The set of `host` and `hosts` (Cardea's own: more names of one certificate). -1: answered. */
static int read_names(struct admin_request *r, struct buf *out)
{
	const json_t *host = json_object_get(r->input, "host"), *one;
	const json_t *hosts = json_object_get(r->input, "hosts");
	struct str names[NAMES_MAX + 1];
	struct err e = ERR_INIT;
	size_t n = 0, i;

	if (host ? !json_is_string(host) : json_array_size(hosts) == 0) {
		admin_reply_message(r, 400, "host must be given, as a single domain name%s",
				    hosts ? ", or hosts, as an array of several" : "");
		return -1;
	}
	if (host)
		names[n++] = str_from(json_string_value(host));
	json_array_foreach(hosts, i, one)
	{
		if (!json_is_string(one) || i >= NAMES_MAX) {
			admin_reply_message(r, 400, "hosts must be an array of 1 to %d names",
					    NAMES_MAX);
			return -1;
		}
		names[n++] = str_from(json_string_value(one));
	}
	if (hosts && !json_is_array(hosts))
		admin_reply_message(r, 400, "hosts must be an array of 1 to %d names", NAMES_MAX);
	else if (names_make(out, names, n, &e) < 0)
		admin_reply_message(r, 400, "%s", e.message);
	else if (names_has_wildcard(buf_str(out)) && !acme_proves_wildcards(r->ctx->acme))
		admin_reply_message(r, 400,
				    "invalid host: wildcards need dns-01: set "
				    "acme_dns_update_server or acme_dns_webhook");
	else
		return 0;
	return -1;
}

/* What else can be asked for; each is one word or sentence long. */
static const struct wish_text {
	const char *name;
	size_t offset, max;
} wish_texts[] = {
	{"key_type", offsetof(struct acme_wish, key_type), 15},
	{"key_type_alt", offsetof(struct acme_wish, key_type_alt), 15},
	{"profile", offsetof(struct acme_wish, profile), 63},
	{"preferred_chain", offsetof(struct acme_wish, preferred_chain), 255},
};

static bool read_texts(struct admin_request *r, struct acme_wish *w)
{
	for (size_t i = 0; i < array_len(wish_texts); i++) {
		const struct wish_text *t = &wish_texts[i];
		const json_t *v = json_object_get(r->input, t->name);

		if (!v || json_is_null(v))
			continue;
		if (!json_is_string(v) || json_string_length(v) == 0 ||
		    json_string_length(v) > t->max) {
			admin_reply_message(r, 400, "%s must be a text of 1 to %zu bytes", t->name,
					    t->max);
			return false;
		}
		*(const char **)((char *)w + t->offset) = json_string_value(v);
	}
	return true;
}

static bool read_key_type(struct admin_request *r, const char *name, const char *text,
			  enum key_type *out)
{
	if (!text || key_type_parse(str_from(text), out) == 0)
		return true;
	admin_reply_message(r, 400, "%s must be one of: %s, %s, %s, %s, %s", name,
			    key_type_name(KEY_EC_P256), key_type_name(KEY_EC_P384),
			    key_type_name(KEY_RSA_2048), key_type_name(KEY_RSA_3072),
			    key_type_name(KEY_RSA_4096));
	return false;
}

static bool read_key_types(struct admin_request *r, const struct acme_wish *w)
{
	enum key_type first = acme_key_type(r->ctx->acme), second = KEY_EC_P256;

	if (!read_key_type(r, "key_type", w->key_type, &first) ||
	    !read_key_type(r, "key_type_alt", w->key_type_alt, &second))
		return false;
	if (!w->key_type_alt || !acme_same_algorithm(first, second))
		return true;
	admin_reply_message(r, 400,
			    "key_type_alt must be of the other algorithm than key_type (%s): one "
			    "RSA, one ECDSA",
			    key_type_name(first));
	return false;
}

static bool read_not_after(struct admin_request *r, struct acme_wish *w)
{
	const json_t *v = json_object_get(r->input, "not_after");

	if (!v || json_is_null(v))
		return true;
	w->not_after = json_integer_value(v);
	if (json_is_integer(v) && w->not_after > clock_wall_s() && w->not_after < time_max)
		return true;
	admin_reply_message(r, 400, "not_after must be a time to come, in seconds since 1970");
	return false;
}

/* Authorities that are widely used do not sign such certificates any more, and run no OCSP. */
static bool no_staple(struct admin_request *r)
{
	if (!json_is_true(json_object_get(r->input, "must_staple")))
		return true;
	admin_reply_message(r, 400,
			    "must_staple is refused: authorities have given OCSP up, and a "
			    "certificate that demands a stapled answer could not be served");
	return false;
}

static bool read_wish(struct admin_request *r, struct acme_wish *w)
{
	w->profile_required = json_is_true(json_object_get(r->input, "profile_required"));
	return read_texts(r, w) && read_key_types(r, w) && read_not_after(r, w) && no_staple(r);
}

static void ask(struct admin_request *r, const json_t *policy)
{
	struct acme_wish wish = {.policy = policy, .policy_read = true};
	uint64_t wait_s = admin_prefer_wait(r);
	struct buf names = BUF_INIT;
	struct store_note note;
	struct str rest;

	if (read_names(r, &names) == 0 && read_wish(r, &wish)) {
		char first[HOST_SIZE];
		struct str host = names_first(buf_str(&names), &rest);

		snprintf(first, sizeof(first), "%.*s", (int)host.len, host.ptr);
		wish.names = names.data;
		r->deadline_ns =
			clock_mono_ns() + (wait_s ? wait_s : WAIT_DEFAULT_S) * 1000000000ULL;
		admin_suspend(r);
		acme_request(r->ctx->acme, &wish, audit_note(r, &note, orders, first), on_requested,
			     r);
	}
	buf_deinit(&names);
}

/* The first name that the plugin acme is not for; STR_NONE: all are allowed. Without `domains` it
 * restricts nothing that an operator asks for, as in Kong. */
static struct str not_allowed(const json_t *config, struct str names)
{
	struct str name, rest;

	if (json_array_size(json_object_get(config, "domains")) == 0)
		return STR_NONE;
	for (name = names_first(names, &rest); name.len > 0; name = names_first(rest, &rest))
		if (!plugin_acme_allows(config, name))
			return name;
	return STR_NONE;
}

/* --- test_http_challenge_flow: only looks --- */

static bool only_looks(const struct admin_request *r)
{
	const json_t *v = json_object_get(r->input, "test_http_challenge_flow");
	const char *text = json_string_value(v);

	return json_is_true(v) || (text && str_eq(str_from(text), STR("true")));
}

/* Kong's words, and beside them each address. */
static void on_looked(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;
	const char *problem;
	json_t *row, *out;

	if (!admin_resume(r))
		return;
	row = json_array_get(res->rows, 0);
	if (res->fault != STORE_OK || !row) {
		fault_reply(r, NULL, res);
		return;
	}
	problem = json_string_value(json_object_get(row, "problem"));
	out = json_object();
	(void)json_object_set_new(
		out, "message",
		problem ? json_sprintf("problem found running sanity check for %s: %s",
				       text_of(row, "host"), problem)
			: json_sprintf("sanity test for host %s passed", text_of(row, "host")));
	(void)json_object_update(out, row);
	admin_reply(r, problem ? 400 : 200, out);
}

static void look_only(struct admin_request *r, struct str names)
{
	struct str rest, first = names_first(names, &rest);
	struct store_note note;
	const char *host;

	if (rest.len > 0) {
		admin_reply_message(r, 400, "test_http_challenge_flow takes one host");
		return;
	}
	host = arena_str(exchange_arena(r->x), first).ptr;
	admin_suspend(r);
	acme_preflight(r->ctx->acme, host, audit_note(r, &note, "acme_challenges", host), on_looked,
		       r);
}

static void on_policy(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;
	const json_t *config = json_object_get(json_array_get(res->rows, 0), "config");
	struct buf names = BUF_INIT;
	struct str refused;

	if (!admin_resume(r))
		return;
	if (res->fault != STORE_OK) {
		fault_reply(r, NULL, res);
		return;
	}
	/* One that was just made may not be known to the engine yet. */
	if (!only_looks(r) && !acme_has_authority(r->ctx->acme) &&
	    !json_is_true(json_object_get(json_array_get(res->rows, 0), "others"))) {
		admin_reply_message(r, 404,
				    "no ACME authority is configured (acme_directory, POST "
				    "/acme_authorities, or the plugin acme with an api_uri of "
				    "https)");
		return;
	}
	if (read_names(r, &names) == 0) {
		refused = not_allowed(config, buf_str(&names));
		if (refused.len > 0)
			admin_reply_message(r, 400,
					    "host %.*s is not allowed: config.domains of the "
					    "plugin acme does not have it",
					    (int)refused.len, refused.ptr);
		else if (only_looks(r))
			look_only(r, buf_str(&names));
		else
			ask(r, config);
	}
	buf_deinit(&names);
}

static const char policy_sql[] =
	"SELECT (SELECT config FROM plugins WHERE name = 'acme' AND enabled ORDER BY created_at "
	"LIMIT 1) AS config, EXISTS (SELECT 1 FROM acme_authorities) OR EXISTS (SELECT 1 FROM "
	"plugins WHERE name = 'acme' AND enabled AND config ->> 'api_uri' LIKE 'https://%') AS "
	"others";

void acme_api_create(struct admin_request *r)
{
	struct acme_wish wish = {.names = NULL};
	struct buf names = BUF_INIT;

	if (!have_acme(r))
		return;
	if (read_names(r, &names) == 0 && read_wish(r, &wish)) {
		admin_suspend(r);
		store_query(r->ctx->store, policy_sql, NULL, 0, on_policy, r);
	}
	buf_deinit(&names);
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
