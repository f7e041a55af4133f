/* GET /audit: newest first. Filters: actor, kind, entity, method, since, until. */
#include <inttypes.h>

#include "common/core/clock.h"
#include "control-plane/admin/fault.h"
#include "control-plane/admin/handlers.h"
#include "control-plane/admin/page.h"

enum { FILTERS = 4, TIMES = 2, NUMBER_SIZE = 24 };

static const char *const filters[FILTERS] = {"actor", "kind", "entity", "method"};
static const char *const times[TIMES] = {"since", "until"};

static const char sql[] =
	"SELECT id, at, actor, actor_kind, address, method, path, kind, entity, to_jsonb(fields) "
	"AS fields, revision FROM admin_audit WHERE ($1::text IS NULL OR actor = $1) AND ($2::text "
	"IS NULL OR kind = $2) AND ($3::text IS NULL OR entity = $3) AND ($4::text IS NULL OR "
	"method = $4) AND ($5::bigint IS NULL OR at >= to_timestamp($5::bigint)) AND ($6::bigint "
	"IS NULL OR at < to_timestamp($6::bigint)) AND ($7::bigint IS NULL OR id < $7::bigint) "
	"ORDER BY id DESC LIMIT $8::bigint";

static void on_rows(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;

	if (!admin_resume(r))
		return;
	if (res->fault != STORE_OK)
		fault_reply(r, NULL, res);
	else
		page_reply(r, res, "id", NULL);
}

/* A time as RFC 3339 or as seconds since 1970, in seconds. Answers 400 unless it returns true. */
static bool read_time(struct admin_request *r, const char *name, char out[NUMBER_SIZE], bool *given)
{
	struct str text = admin_query(r, name);
	int64_t seconds = 0;
	uint64_t number = 0;

	*given = text.ptr != NULL;
	if (!text.ptr)
		return true;
	if (str_u64(text, &number) == 0 && number <= UINT32_MAX)
		seconds = (int64_t)number;
	else if (clock_parse_rfc3339(text, &seconds, NULL) < 0) {
		admin_reply_message(r, 400,
				    "%s must be a time: seconds since 1970 or 2026-11-21T13:00:00Z",
				    name);
		return false;
	}
	snprintf(out, NUMBER_SIZE, "%" PRId64, seconds);
	return true;
}

void audit_list(struct admin_request *r)
{
	char numbers[TIMES][NUMBER_SIZE], before[NUMBER_SIZE], limit[NUMBER_SIZE];
	const char *params[FILTERS + TIMES + 2] = {NULL};
	uint64_t offset;
	bool given;

	if (!page_size(r, &r->page_size) || !page_offset_number(r, &offset))
		return;
	for (size_t i = 0; i < FILTERS; i++) {
		struct str value = admin_query(r, filters[i]);

		if (value.ptr)
			params[i] = arena_str(exchange_arena(r->x), value).ptr;
	}
	for (size_t i = 0; i < TIMES; i++) {
		if (!read_time(r, times[i], numbers[i], &given))
			return;
		if (given)
			params[FILTERS + i] = numbers[i];
	}
	snprintf(before, sizeof(before), "%" PRIu64, offset);
	snprintf(limit, sizeof(limit), "%u", r->page_size + 1);
	params[FILTERS + TIMES] = offset ? before : NULL;
	params[FILTERS + TIMES + 1] = limit;
	admin_suspend(r);
	store_query(r->ctx->store, sql, params, array_len(params), on_rows, r);
}
