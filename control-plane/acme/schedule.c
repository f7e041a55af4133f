/* Who works on what: due orders are leased from the database, leases are kept alive, and
 * certificates whose time has come get a new order.
 *
 * Every second, and at once after a request or the end of an order: take due orders while fewer
 * than max_in_flight are at work. SKIP LOCKED keeps control planes out of each other's way; the
 * lease and its fence keep a paused one from writing over its successor.
 */
#include <stdio.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "control-plane/acme/engine.h"

enum { TICK_MS = 1000 };
static const uint64_t adopt_every_ns = UINT64_C(60) * 1000000000;
static const uint64_t prune_every_ns = UINT64_C(3600) * 1000000000;

static void take_due(struct acme *a);

/* Orders at work as a PostgreSQL array literal: "{id,id}". */
static int list_ids(const struct acme *a, struct buf *out)
{
	const char *separator = "{";

	list_for_each(it, &a->orders)
	{
		const struct order *o = container_of(it, struct order, link);

		if (buf_addf(out, NULL, "%s%s", separator, o->id) != 0)
			return -1;
		separator = ",";
	}
	return buf_add_str(out, list_empty(&a->orders) ? STR("{}") : STR("}"), NULL);
}

/* --- taking --- */

static void begin(struct acme *a, const json_t *row)
{
	struct order *o = NULL;
	struct err e = ERR_INIT;

	if (order_create(&o, a, row, &e) != 0) {
		log_error("an order's row cannot be used",
			  log_str("id", json_string_value(json_object_get(row, "id"))),
			  log_err(&e));
		return;
	}
	log_info("order taken", log_str("id", o->id), log_str("host", o->host),
		 log_str("state", order_state_name(o->state)), log_i64("fence", o->fence));
	order_step(o);
}

static void on_taken(const struct store_result *r, void *arg)
{
	struct acme *a = arg;
	const json_t *row;
	size_t i;

	a->taking = false;
	if (!acme_awoke(a))
		return;
	if (r->fault != STORE_OK)
		log_warn("due orders cannot be read", log_err(&r->err));
	json_array_foreach(r->rows, i, row)
	{
		begin(a, row);
	}
	if (a->in_flight)
		metric_set(a->in_flight, a->at_work);
	if (a->take_again)
		take_due(a);
}

static const char take_sql[] =
	"UPDATE acme_orders o SET lease_owner = $1, lease_until = now() + $2::bigint * interval '1 "
	"millisecond', fence = fence + 1 FROM (SELECT id FROM acme_orders WHERE state NOT IN "
	"('valid', 'failed') AND directory = $3 AND next_attempt <= now() AND (lease_until IS NULL "
	"OR lease_until < now()) AND NOT id = ANY ($5::uuid[]) ORDER BY next_attempt LIMIT $4 FOR "
	"UPDATE SKIP LOCKED) d WHERE o.id = d.id RETURNING o.id, o.host, o.key_type, o.state, "
	"o.renewal, o.attempts, o.fence, o.order_url, o.authorization_url, o.challenge_url, "
	"o.finalize_url, o.certificate_url, o.challenge_id, o.certificate_id, o.key, o.problem, "
	"(SELECT c.revision FROM changes c WHERE c.kind = 'acme_challenges' AND c.id = "
	"o.challenge_id AND NOT c.removed) AS challenge_revision";

static void take_due(struct acme *a)
{
	struct buf ids = BUF_INIT;
	char lease[24], limit[16];
	const char *params[] = {a->conf.control_plane_id, lease, a->conf.directory, limit, NULL};

	a->take_again = a->taking;
	if (a->taking || a->closing || a->at_work >= a->conf.max_in_flight)
		return;
	snprintf(lease, sizeof(lease), "%llu", (unsigned long long)a->conf.lease_ms);
	snprintf(limit, sizeof(limit), "%u", a->conf.max_in_flight - a->at_work);
	if (list_ids(a, &ids) == 0) {
		params[4] = ids.data;
		a->taking = true;
		a->take_asked_ns = clock_mono_ns();
		acme_sleep(a);
		store_query(a->store, take_sql, params, array_len(params), on_taken, a);
	}
	buf_deinit(&ids);
}

void schedule_kick(struct acme *a)
{
	take_due(a);
}

/* --- leases --- */

static bool still_ours(const json_t *rows, const char *id)
{
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		const char *kept = json_string_value(json_object_get(row, "id"));

		if (kept && str_eq(str_from(kept), str_from(id)))
			return true;
	}
	return false;
}

static void on_beat(const struct store_result *r, void *arg)
{
	struct acme *a = arg;

	a->beating = false;
	if (!acme_awoke(a))
		return;
	if (r->fault != STORE_OK) {
		log_warn("order leases cannot be refreshed", log_err(&r->err));
		return;
	}
	list_for_each_safe(it, &a->orders)
	{
		struct order *o = container_of(it, struct order, link);

		/* One that was taken, or ended, after the question is not meant. */
		if (!o->beating)
			continue;
		o->beating = false;
		if (o->released)
			continue;
		if (still_ours(r->rows, o->id)) {
			o->lease_ns = a->beat_asked_ns + a->conf.lease_ms * UINT64_C(1000000);
			continue;
		}
		log_notice("order lease lost", log_str("id", o->id), log_str("host", o->host));
		order_end(o);
	}
}

static void beat(struct timer *t)
{
	struct acme *a = container_of(t, struct acme, beat);
	struct buf ids = BUF_INIT;
	char lease[24];
	const char *params[] = {a->conf.control_plane_id, lease, NULL};

	if (a->beating || list_empty(&a->orders) || list_ids(a, &ids) != 0) {
		buf_deinit(&ids);
		return;
	}
	list_for_each(it, &a->orders) container_of(it, struct order, link)->beating = true;
	snprintf(lease, sizeof(lease), "%llu", (unsigned long long)a->conf.lease_ms);
	params[2] = ids.data;
	a->beating = true;
	a->beat_asked_ns = clock_mono_ns();
	acme_sleep(a);
	store_query(a->store,
		    "UPDATE acme_orders SET lease_until = now() + $2::bigint * interval '1 "
		    "millisecond' WHERE lease_owner = $1 AND id = ANY ($3::uuid[]) RETURNING id",
		    params, array_len(params), on_beat, a);
	buf_deinit(&ids);
}

/* --- renewal --- */

/* A host whose SNI was deleted, or moved to another certificate, is not ours to renew any more. */
static const char renew_sql[] =
	"WITH due AS (SELECT id, host, key_type, certificate_id FROM acme_orders WHERE state = "
	"'valid' AND renew_at IS NOT NULL AND (renew_at <= now() OR $2::boolean) ORDER BY renew_at "
	"LIMIT $3 FOR UPDATE SKIP LOCKED), "
	"made AS (INSERT INTO acme_orders (id, host, directory, key_type, renewal) SELECT "
	"gen_random_uuid(), d.host, $1, d.key_type, true FROM due d WHERE EXISTS (SELECT 1 FROM "
	"snis s WHERE lower(s.name) = d.host AND s.certificate = d.certificate_id) ON CONFLICT "
	"(directory, host) WHERE state NOT IN ('valid', 'failed') DO NOTHING RETURNING id, host), "
	"cleared AS (UPDATE acme_orders o SET renew_at = NULL FROM due WHERE o.id = due.id) "
	"SELECT due.id, made.id AS made FROM due LEFT JOIN made USING (host)";

size_t schedule_made(const json_t *rows)
{
	const json_t *row;
	size_t made = 0, i;

	json_array_foreach(rows, i, row)
	{
		made += json_is_string(json_object_get(row, "made"));
	}
	return made;
}

void schedule_renew(struct acme *a, bool force, const struct store_note *note, store_done done,
		    void *arg)
{
	char limit[16];
	const char *params[] = {a->conf.directory, force ? "true" : "false", limit};

	snprintf(limit, sizeof(limit), "%d", RENEW_BATCH);
	store_query_noted(a->store, renew_sql, params, array_len(params), note, done, arg);
}

static void on_renewed(const struct store_result *r, void *arg)
{
	struct acme *a = arg;

	a->renewing = false;
	if (!acme_awoke(a))
		return;
	if (r->fault != STORE_OK) {
		log_warn("due renewals cannot be read", log_err(&r->err));
		return;
	}
	if (schedule_made(r->rows) == 0)
		return;
	log_info("renewals due", log_u64("orders", schedule_made(r->rows)));
	take_due(a);
}

static void renew_due(struct acme *a)
{
	if (a->renewing)
		return;
	a->renewing = true;
	acme_sleep(a);
	schedule_renew(a, false, NULL, on_renewed, a);
}

/* --- orders of an authority that is not configured any more --- */

/* They were due minutes ago and nobody took them: each begins anew here, unless its host has an
 * order here already; that of the other authority has failed then. A challenge that they leave is
 * removed like an operator's SQL: its revision is taken at commit. */
static const char adopt_sql[] =
	"WITH stray AS (SELECT id, host, challenge_id FROM acme_orders WHERE state NOT IN "
	"('valid', 'failed') AND directory <> $1 AND next_attempt < now() - interval '5 minutes' "
	"AND (lease_until IS NULL OR lease_until < now() - interval '5 minutes') LIMIT 1000 FOR "
	"UPDATE SKIP LOCKED), "
	"gone AS (DELETE FROM acme_challenges c USING stray s WHERE c.id = s.challenge_id) "
	"UPDATE acme_orders o SET state = CASE WHEN here.id IS NULL THEN 'new' ELSE 'failed' END, "
	"directory = CASE WHEN here.id IS NULL THEN $1 ELSE o.directory END, "
	"problem = CASE WHEN here.id IS NULL THEN o.problem ELSE jsonb_build_object('type', "
	"'" PROBLEM_OWN "authority', 'detail', 'its authority is not configured any more, and the "
	"host has an order at the one that is', 'status', NULL, 'at', extract(epoch FROM "
	"now())::bigint) END, "
	"updated_at = now(), next_attempt = now(), fence = o.fence + 1, lease_owner = NULL, "
	"lease_until = NULL, order_url = NULL, authorization_url = NULL, challenge_url = NULL, "
	"finalize_url = NULL, certificate_url = NULL, challenge_id = NULL, challenge_revision = "
	"NULL, key = NULL FROM stray LEFT JOIN acme_orders here ON here.host = stray.host AND "
	"here.directory = $1 AND here.state NOT IN ('valid', 'failed') WHERE o.id = stray.id "
	"RETURNING o.id, o.host";

static void on_adopted(const struct store_result *r, void *arg)
{
	struct acme *a = arg;

	if (!acme_awoke(a))
		return;
	if (r->fault != STORE_OK)
		log_warn("orders of another authority cannot be taken over", log_err(&r->err));
	else if (json_array_size(r->rows) > 0)
		log_notice("orders of an authority that is not configured any more begin anew",
			   log_u64("orders", json_array_size(r->rows)));
}

static void adopt(struct acme *a)
{
	const char *params[] = {a->conf.directory};

	if (clock_mono_ns() < a->adopt_at_ns)
		return;
	a->adopt_at_ns = clock_mono_ns() + adopt_every_ns;
	acme_sleep(a);
	store_query(a->store, adopt_sql, params, array_len(params), on_adopted, a);
}

/* --- old rows --- */

static void on_pruned(const struct store_result *r, void *arg)
{
	struct acme *a = arg;

	if (!acme_awoke(a))
		return;
	if (r->fault != STORE_OK)
		log_warn("old orders cannot be removed", log_err(&r->err));
}

/* Ended orders that nothing refers to any more are kept for a month, for those who ask why. */
static void prune(struct acme *a)
{
	if (clock_mono_ns() < a->prune_at_ns)
		return;
	a->prune_at_ns = clock_mono_ns() + prune_every_ns;
	acme_sleep(a);
	store_query(
		a->store,
		"DELETE FROM acme_orders WHERE id IN (SELECT id FROM acme_orders WHERE (state = "
		"'failed' OR (state = 'valid' AND renew_at IS NULL)) AND updated_at < now() - "
		"interval '30 days' LIMIT 10000)",
		NULL, 0, on_pruned, a);
}

static void tick(struct timer *t)
{
	struct acme *a = container_of(t, struct acme, tick);

	take_due(a);
	renew_due(a);
	adopt(a);
	prune(a);
}

void schedule_start(struct acme *a)
{
	timer_init(&a->tick, a->loop, tick);
	timer_init(&a->beat, a->loop, beat);
	timer_start(&a->tick, 1, TICK_MS);
	timer_start(&a->beat, a->conf.lease_ms / 3, a->conf.lease_ms / 3);
}
