/* /acme/replacements: every certificate of an authority, or with a tag, is replaced.
 *
 * POST /acme/replacements      issuer= an authority's name or directory, tag=, per_minute=
 * (default: all at once; budgets hold in any case). 202: how many got an order, and how many were
 * left to one that is at work GET  /acme/replacements/:id  how far it is: orders by state, and some
 * of the problems
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/core/codec.h"
#include "control-plane/admin/audit.h"
#include "control-plane/admin/fault.h"
#include "control-plane/admin/handlers.h"

enum { PER_MINUTE_MAX = 1000000 };

static const char orders[] = "acme_orders";

static void on_replaced(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;
	json_t *row;

	if (!admin_resume(r))
		return;
	row = json_array_get(res->rows, 0);
	if (res->fault != STORE_OK || !row)
		fault_reply(r, NULL, res);
	else
		admin_reply(r, 202, json_incref(row));
}

static bool read_text(struct admin_request *r, const char *name, const char **out)
{
	const json_t *v = json_object_get(r->input, name);

	*out = json_string_value(v);
	if (!v || json_is_null(v) || (*out && (*out)[0]))
		return true;
	admin_reply_message(r, 400, "%s must be a text", name);
	return false;
}

/* Forms have texts only. */
static bool read_pace(struct admin_request *r, unsigned *out)
{
	const json_t *v = json_object_get(r->input, "per_minute");
	uint64_t n = (uint64_t)json_integer_value(v);
	bool ok = json_is_integer(v) ||
		  (json_is_string(v) && str_u64(str_from(json_string_value(v)), &n) == 0);

	*out = 0;
	if (!v || json_is_null(v))
		return true;
	if (ok && n >= 1 && n <= PER_MINUTE_MAX) {
		*out = (unsigned)n;
		return true;
	}
	admin_reply_message(r, 400, "per_minute must be an integer between 1 and %d",
			    PER_MINUTE_MAX);
	return false;
}

void acme_replace_post(struct admin_request *r)
{
	struct acme_replacement w = {.issuer = NULL};
	struct store_note note;

	if (!r->ctx->acme) {
		admin_reply_message(r, 404, "certificates need a database");
		return;
	}
	if (!read_text(r, "issuer", &w.issuer) || !read_text(r, "tag", &w.tag) ||
	    !read_pace(r, &w.per_minute))
		return;
	if (!w.issuer && !w.tag) {
		admin_reply_message(r, 400,
				    "issuer or tag must be given: the certificates of which "
				    "authority, or with which tag, are to be replaced");
		return;
	}
	admin_suspend(r);
	acme_replace(r->ctx->acme, &w, audit_note(r, &note, orders, NULL), on_replaced, r);
}

/* --- how far --- */

static const char progress_sql[] =
	"SELECT count(*) AS orders, count(*) FILTER (WHERE state = 'valid') AS valid, count(*) "
	"FILTER (WHERE state IN ('failed', 'parked', 'paused_by_ca')) AS stopped, count(*) FILTER "
	"(WHERE state NOT IN ('valid', 'failed', 'parked', 'paused_by_ca')) AS waiting, count(*) "
	"FILTER (WHERE attempts > 0 AND state NOT IN ('valid')) AS in_trouble, extract(epoch FROM "
	"min(created_at))::bigint AS created_at, extract(epoch FROM max(next_attempt) FILTER "
	"(WHERE state NOT IN ('valid', 'failed', 'parked', 'paused_by_ca')))::bigint AS "
	"last_attempt, (SELECT coalesce(jsonb_agg(p), '[]') FROM (SELECT "
	"jsonb_build_object('host', "
	"host, 'order', id, 'state', state, 'detail', problem ->> 'detail') AS p FROM acme_orders "
	"WHERE replacement = $1::uuid AND problem IS NOT NULL AND state <> 'valid' ORDER BY "
	"updated_at DESC LIMIT 20) newest) AS problems FROM acme_orders WHERE replacement = "
	"$1::uuid";

static void on_progress(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;
	json_t *row, *out;

	if (!admin_resume(r))
		return;
	row = json_array_get(res->rows, 0);
	if (res->fault != STORE_OK) {
		fault_reply(r, NULL, res);
		return;
	}
	if (json_integer_value(json_object_get(row, "orders")) == 0) {
		admin_reply_message(r, 404, "Not found");
		return;
	}
	out = json_pack("{s:s%}", "id", r->segments[2].ptr, r->segments[2].len);
	if (out)
		(void)json_object_update(out, row);
	admin_reply(r, 200, out);
}

void acme_replace_get(struct admin_request *r)
{
	const char *params[1];

	if (!r->ctx->acme || !uuid_is(r->segments[2])) {
		admin_reply_message(r, 404, "Not found");
		return;
	}
	params[0] = arena_str(exchange_arena(r->x), r->segments[2]).ptr;
	admin_suspend(r);
	store_query(r->ctx->store, progress_sql, params, array_len(params), on_progress, r);
}
