/* Memory into the row: of all orders that are to be saved at a time one statement. A row that is
 * not among those that it returns has another owner by now.
 */
#include <stdio.h>

#include "common/core/log.h"
#include "control-plane/acme/engine.h"

/* Rows are locked in the order of their ids, as the heartbeat does it. */
#define MINE                                                                                       \
	"given AS (SELECT * FROM jsonb_to_recordset($2::jsonb) AS r (id uuid, fence "              \
	"bigint, state text, attempts integer, order_url text, authorizations jsonb, "             \
	"challenge_ids uuid[], finalize_url text, certificate_url text, replaces text, "           \
	"challenge_revision bigint, key bytea, problem jsonb, certificate_id uuid, not_after "     \
	"bigint, renew_at double precision, renew_pause bigint, next bigint, released "            \
	"boolean, events jsonb)), mine AS (SELECT o.id FROM acme_orders o JOIN given g ON "        \
	"g.id = o.id WHERE o.lease_owner = $1 AND o.fence = g.fence ORDER BY o.id FOR UPDATE "     \
	"OF o), saved AS (UPDATE acme_orders o SET updated_at = now(), state = s.state, "          \
	"attempts = s.attempts, order_url = s.order_url, authorizations = s.authorizations, "      \
	"challenge_ids = s.challenge_ids, finalize_url = s.finalize_url, certificate_url = "       \
	"s.certificate_url, replaces = s.replaces, challenge_revision = s.challenge_revision, "    \
	"key = s.key, problem = s.problem, certificate_id = s.certificate_id, not_after = "        \
	"to_timestamp(s.not_after), renew_at = greatest(to_timestamp(s.renew_at), CASE WHEN "      \
	"s.renew_at IS NOT NULL THEN now() + s.renew_pause * interval '1 millisecond' END), "      \
	"next_attempt = coalesce(now() + s.next * interval '1 millisecond', o.next_attempt), "     \
	"lease_owner = CASE WHEN s.released THEN NULL ELSE o.lease_owner END, lease_until = "      \
	"CASE WHEN s.released THEN NULL ELSE o.lease_until END, events = "                         \
	"acme_events(o.events, s.events) FROM given s JOIN mine m ON m.id = s.id WHERE o.id = "    \
	"s.id RETURNING o.id)"

static json_t *text_or_null(struct str text)
{
	return text.len ? json_stringn(text.ptr, text.len) : json_null();
}

static json_t *number_or_null(int64_t n, bool is)
{
	return is ? json_integer(n) : json_null();
}

static json_t *shown_problem(const struct order *o)
{
	json_t *p = problem_is_set(&o->problem) ? problem_json(&o->problem, o->problem_at) : NULL;

	if (p && o->subproblems)
		(void)json_object_set(p, "subproblems", o->subproblems);
	return p ? p : json_null();
}

/* Of a challenge's rows that cannot be written down nothing is known later: better not at all. */
static int put_lists(json_t *row, const struct order *o, struct err *e)
{
	static const struct authorizations none;
	const struct authorizations *all = o->dropping ? &none : &o->authorizations;
	struct buf ids = BUF_INIT;
	int rc = authorizations_challenges(all, &ids, e);

	if (rc == 0 &&
	    (json_object_set_new(row, "authorizations", authorizations_json(all)) != 0 ||
	     json_object_set_new(row, "challenge_ids", text_or_null(buf_str(&ids))) != 0))
		rc = err_memory(e, "an order's row");
	buf_deinit(&ids);
	return rc;
}

static json_t *row_of(struct order *o, struct err *e)
{
	const struct {
		const char *name;
		json_t *value;
	} columns[] = {
		{"id", json_string(o->id)},
		{"fence", json_integer(o->fence)},
		{"state", json_string(order_state_name(o->state))},
		{"attempts", json_integer(o->attempts)},
		{"order_url", text_or_null(str_from(o->order_url))},
		{"finalize_url", text_or_null(str_from(o->finalize_url))},
		{"certificate_url", text_or_null(str_from(o->certificate_url))},
		{"replaces", text_or_null(str_from(o->replaces))},
		{"challenge_revision",
		 number_or_null((int64_t)o->challenge_revision, o->challenge_revision != 0)},
		{"key", text_or_null(buf_str(&o->sealed_key))},
		{"problem", shown_problem(o)},
		{"certificate_id", text_or_null(str_from(o->certificate_id))},
		{"not_after", number_or_null(o->not_after, o->not_after != 0)},
		{"renew_at",
		 o->renew_at_ms ? json_real((double)o->renew_at_ms / 1000) : json_null()},
		{"renew_pause", json_integer(o->renew_pause_ms)},
		{"next", number_or_null(o->next_ms, o->next_ms >= 0)},
		{"released", json_boolean(o->released)},
		{"events", timeline_send(&o->timeline)},
	};
	json_t *row = json_object();
	int rc = row ? 0 : -1;

	for (size_t i = 0; i < array_len(columns); i++)
		rc |= json_object_set_new(row, columns[i].name, columns[i].value);
	if (rc != 0)
		err_memory(e, "an order's row");
	if (rc == 0 && put_lists(row, o, e) == 0)
		return row;
	json_decref(row);
	return NULL;
}

/* To be freed; NULL: memory. */
static char *rows_of(struct order *const *orders, size_t n, struct err *e)
{
	json_t *rows = json_array(), *row;
	char *text = NULL;
	size_t i = 0;

	while (rows && i < n && (row = row_of(orders[i], e)) != NULL &&
	       json_array_append_new(rows, row) == 0)
		i++;
	text = rows && i == n ? json_dumps(rows, JSON_COMPACT | JSON_REAL_PRECISION(14)) : NULL;
	if (!text && e->kind == ERR_NONE)
		err_memory(e, "orders' rows");
	json_decref(rows);
	return text;
}

void orders_save_in(struct order *const *orders, size_t n, struct txn *t)
{
	static const char sql[] =
		"WITH " MINE " SELECT cardea_expect((SELECT count(*) FROM saved) = $3::bigint, "
		"'CA002', 'another control plane has an order')";
	struct err e = ERR_INIT;
	char count[24];
	char *rows = rows_of(orders, n, &e);
	const char *params[] = {orders[0]->acme->conf.control_plane_id, rows, count};

	snprintf(count, sizeof(count), "%zu", n);
	/* Without the row the rest must not happen either: the lease counts as lost. */
	if (rows)
		txn_exec(t, sql, params, array_len(params), 0, STORE_OK);
	else
		txn_exec(t, "SELECT 1 WHERE false", NULL, 0, 1, STORE_LEASE);
	free(rows);
}

void order_save_in(struct order *o, struct txn *t)
{
	orders_save_in(&o, 1, t);
}

static bool is_among(const json_t *rows, const char *id)
{
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		const char *other = json_string_value(json_object_get(row, "id"));

		if (other && str_eq(str_from(other), str_from(id)))
			return true;
	}
	return false;
}

static void saved(struct order *o, const struct store_result *r)
{
	struct store_result lost = *r;
	void (*then)(struct order *) = o->then;

	if (r->fault == STORE_OK && !is_among(r->rows, o->id))
		lost.fault = STORE_LEASE;
	if (!order_saved(o, &lost))
		return;
	o->then = NULL;
	then(o);
}

static void on_batch_saved(const struct store_result *r, void *arg)
{
	group_answer(arg, r, saved);
}

void order_save_batch(struct group_batch *b)
{
	struct acme *a = b->orders[0]->acme;
	struct store_result failed = {.fault = STORE_FAILED, .err = ERR_INIT};
	char *rows = rows_of(b->orders, b->count, &failed.err);
	const char *params[] = {a->conf.control_plane_id, rows};

	if (rows)
		store_query(a->store, "WITH " MINE " SELECT id FROM saved", params,
			    array_len(params), on_batch_saved, b);
	else
		on_batch_saved(&failed, b);
	free(rows);
}

void order_save(struct order *o, void (*then)(struct order *o))
{
	o->then = then;
	group_add(&o->acme->saves, o);
}
