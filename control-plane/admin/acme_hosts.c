/* What operators see of the names that are kept in date.
 *
 * GET /acme/hosts               each set of names with what it is served with and where its newest
 *                               order stands, by name, in pages
 *     ?state=                   of the newest order
 *     ?issuer=                  of what is served: an authority's name, or its directory
 *     ?expiring_before=         what is served ends before then, in seconds since 1970
 *     ?tag=                     of the certificate that is served
 *     ?host=                    one name, in whatever set
 * GET /acme/orders/:id/events   the time line of an order: acme/timeline.h
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/core/codec.h"
#include "control-plane/admin/fault.h"
#include "control-plane/admin/handlers.h"
#include "control-plane/admin/page.h"

enum { NUMBER_SIZE = 24 };

/* $1: after this place ("host id"), $2: so many, $3 to $7: the filters. The second of a pair is
 * with the first. */
static const char hosts_sql[] =
	"SELECT o.host, o.host || ' ' || o.id AS place, to_jsonb(string_to_array(concat_ws(' ', "
	"o.host, nullif(o.more, '')), ' ')) AS hosts, o.state, o.renewal, o.id AS order_id, "
	"o.attempts, o.failures, extract(epoch FROM o.next_attempt)::bigint AS next_attempt, "
	"o.problem, o.unpause_url, v.ca, coalesce(a.name, v.ca) AS issuer, v.certificate_id, "
	"extract(epoch FROM v.not_after)::bigint AS not_after, extract(epoch FROM "
	"v.renew_at)::bigint AS renew_at, extract(epoch FROM v.revoked_at)::bigint AS revoked_at, "
	"to_jsonb(c.tags) AS tags FROM acme_orders o "
	"LEFT JOIN LATERAL (SELECT p.* FROM acme_orders p WHERE p.host = o.host AND p.more = "
	"o.more AND p.state = 'valid' AND p.pair_of IS NULL ORDER BY p.created_at DESC LIMIT 1) v "
	"ON true LEFT JOIN certificates c ON c.id = v.certificate_id LEFT JOIN acme_authorities a "
	"ON a.directory = v.ca "
	"WHERE o.pair_of IS NULL AND NOT EXISTS (SELECT 1 FROM acme_orders n WHERE n.host = o.host "
	"AND n.more = o.more AND n.pair_of IS NULL AND (n.created_at, n.id) > (o.created_at, "
	"o.id)) AND ($1::text IS NULL OR (o.host, o.id) > (split_part($1, ' ', 1), split_part($1, "
	"' ', 2)::uuid)) "
	"AND ($3::text IS NULL OR o.state = $3) AND ($4::text IS NULL OR $4 IN (v.ca, a.name)) "
	"AND ($5::bigint IS NULL OR v.not_after < to_timestamp($5::bigint)) AND ($6::text IS NULL "
	"OR $6 = ANY (c.tags)) AND ($7::text IS NULL OR o.host = lower($7) OR "
	"string_to_array(o.more, ' ') @> ARRAY[lower($7)]) ORDER BY o.host, o.id LIMIT $2::bigint";

enum { HOSTS_PARAMS = 7 };

static const struct shown {
	const char *name, *column;
} members[] = {
	{"host", "host"},
	{"hosts", "hosts"},
	{"state", "state"},
	{"renewal", "renewal"},
	{"attempts", "attempts"},
	{"failures", "failures"},
	{"next_attempt", "next_attempt"},
	{"last_problem", "problem"},
	{"unpause_url", "unpause_url"},
	{"issuer", "issuer"},
	{"directory", "ca"},
	{"not_after", "not_after"},
	{"renew_at", "renew_at"},
	{"revoked_at", "revoked_at"},
	{"tags", "tags"},
};

static json_t *reference(json_t *id)
{
	return json_is_string(id) ? json_pack("{s:O}", "id", id) : json_null();
}

static json_t *show(const json_t *row)
{
	json_t *out = json_pack("{s:o, s:o}", "order", reference(json_object_get(row, "order_id")),
				"certificate", reference(json_object_get(row, "certificate_id")));

	for (size_t i = 0; out && i < array_len(members); i++) {
		json_t *v = json_object_get(row, members[i].column);

		(void)json_object_set_new(out, members[i].name, v ? json_incref(v) : json_null());
	}
	return out;
}

static void on_hosts(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;

	if (!admin_resume(r))
		return;
	if (res->fault != STORE_OK)
		fault_reply(r, NULL, res);
	else
		page_reply(r, res, "place", show);
}

/* A text of the query for SQL: NULL when it is not there. */
static const char *filter(struct admin_request *r, const char *name)
{
	struct str value = admin_query(r, name);

	return value.ptr ? arena_str(exchange_arena(r->x), value).ptr : NULL;
}

static bool read_before(struct admin_request *r, const char **out)
{
	struct str text = admin_query(r, "expiring_before");
	uint64_t seconds;

	*out = filter(r, "expiring_before");
	if (!text.ptr || (str_u64(text, &seconds) == 0 && seconds < UINT32_MAX * UINT64_C(60)))
		return true;
	fault_code(r, 400, 9, "invalid expiring_before", NULL,
		   "expiring_before must be a time in seconds since 1970");
	return false;
}

/* "host id", as the page before said. */
static bool place_ok(const char *place)
{
	struct str rest = str_from(place), host = STR_NONE;

	return str_split(&rest, ' ', &host) && uuid_is(rest);
}

static bool possible(struct admin_request *r)
{
	if (store_read_only(r->ctx->store))
		admin_reply_message(r, 405, "there are none when not using a database");
	return !store_read_only(r->ctx->store);
}

void acme_hosts_list(struct admin_request *r)
{
	const char *params[HOSTS_PARAMS] = {NULL};
	char limit[NUMBER_SIZE];
	json_t *place = NULL;

	if (!possible(r) || !page_size(r, &r->page_size) || !page_offset_text(r, &place))
		return;
	params[0] = json_string_value(place);
	if (place && !place_ok(params[0])) {
		fault_code(r, 400, 7, "invalid offset", NULL, "offset is of another list");
	} else if (read_before(r, &params[4])) {
		snprintf(limit, sizeof(limit), "%u", r->page_size + 1);
		params[1] = limit;
		params[2] = filter(r, "state");
		params[3] = filter(r, "issuer");
		params[5] = filter(r, "tag");
		params[6] = filter(r, "host");
		admin_suspend(r);
		store_query(r->ctx->store, hosts_sql, params, HOSTS_PARAMS, on_hosts, r);
	}
	json_decref(place);
}

static void on_events(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;
	json_t *row;

	if (!admin_resume(r))
		return;
	row = json_array_get(res->rows, 0);
	if (res->fault != STORE_OK)
		fault_reply(r, NULL, res);
	else if (!row)
		admin_reply_message(r, 404, "Not found");
	else
		admin_reply(
			r, 200,
			json_pack("{s:O, s:n}", "data", json_object_get(row, "events"), "next"));
}

void acme_hosts_events(struct admin_request *r)
{
	const char *params[1];

	if (!possible(r))
		return;
	if (!uuid_is(r->segments[2])) {
		admin_reply_message(r, 404, "Not found");
		return;
	}
	params[0] = arena_str(exchange_arena(r->x), r->segments[2]).ptr;
	admin_suspend(r);
	store_query(r->ctx->store,
		    "SELECT jsonb_build_array(jsonb_build_object('at', round(extract(epoch FROM "
		    "created_at)::numeric, 3), 'event', CASE WHEN renewal THEN 'due for renewal' "
		    "ELSE 'asked' END)) || events AS events FROM acme_orders WHERE id = $1",
		    params, array_len(params), on_events, r);
}
