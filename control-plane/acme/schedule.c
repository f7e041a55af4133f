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
#include "control-plane/acme/ids.h"
#include "control-plane/acme/renewal_sql.h"
#include "control-plane/acme/stapling.h"

enum { TICK_MS = 1000, TAKE_PAUSE_MS = 10 };
enum { PRUNE_BATCH = 10000 }; /* as in the statements */
static const uint64_t adopt_every_ns = UINT64_C(60) * 1000000000;
static const uint64_t prune_every_ns = UINT64_C(3600) * 1000000000;

static void add_quoted(struct buf *out, const char *separator, const char *text)
{
	/* Texts of ours: ids and URLs that passed url_gate. An unusable list finds nothing. */
	if (buf_addf(out, NULL, "%s\"%s\"", separator, text) != 0)
		buf_clear(out);
}

/* Orders at work as a PostgreSQL array literal: "{id,id}". */
static int list_ids(const struct acme *a, struct buf *out)
{
	list_for_each(it, &a->orders)
	{
		if (ids_add(out, container_of(it, struct order, link)->id, NULL) != 0)
			return -1;
	}
	return ids_end(out, NULL);
}

/* Directories of those that are away. */
static int list_away(struct acme *a, struct buf *out)
{
	const char *separator = "";

	if (buf_add_str(out, STR("{"), NULL) != 0)
		return -1;
	list_for_each(it, &a->authorities)
	{
		struct authority *au = container_of(it, struct authority, link);

		if (!authority_away(au))
			continue;
		add_quoted(out, separator, au->conf.directory);
		separator = ",";
	}
	return buf_add_str(out, STR("}"), NULL);
}

/* Directories of the authorities: of all, or of those that take orders now. room: how many those
 * take; budget: whether one of them takes first orders. */
static int list_authorities(struct acme *a, bool all, struct buf *out, unsigned *room, bool *budget)
{
	const char *separator = "";

	*room = 0;
	*budget = false;
	if (buf_add_str(out, STR("{"), NULL) != 0)
		return -1;
	list_for_each(it, &a->authorities)
	{
		struct authority *au = container_of(it, struct authority, link);
		unsigned more = authority_room(au);

		*room = *room > UINT32_MAX - more ? UINT32_MAX : *room + more;
		*budget = *budget || (more > 0 && authority_has_budget(au));
		if (!all && more == 0 && !authority_lost(au))
			continue;
		add_quoted(out, separator, au->conf.directory);
		separator = ",";
	}
	return buf_add_str(out, STR("}"), NULL);
}

/* --- taking --- */

/* One that is at work here was taken again: its lease had run out, and its fence is old now. */
static void end_former_run(struct acme *a, const char *id)
{
	struct order *o = map_get(&a->by_id, str_from(id));

	if (o)
		order_end(o);
}

static void begin(struct acme *a, const json_t *row)
{
	const char *id = json_string_value(json_object_get(row, "id"));
	struct order *o = NULL;
	struct err e = ERR_INIT;

	if (id)
		end_former_run(a, id);
	if (order_create(&o, a, row, &e) != 0) {
		log_error("an order's row cannot be used", log_str("id", id), log_err(&e));
		return;
	}
	log_info("order taken", log_str("id", o->id), log_str("host", o->host),
		 log_str("state", order_state_name(o->state)), log_str("lane", lane_name(o->lane)),
		 log_i64("fence", o->fence));
	admission_add(a, o);
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
	admission_run(a);
	if (a->in_flight)
		metric_set(a->in_flight, a->at_work);
	if (a->take_again)
		schedule_kick(a);
}

/* The more urgent lanes first, each up to its room, the longest due first within a lane. One that
 * has begun is taken when its authority is well or lost; or only away, and there is no time to wait
 * for it ($11, $12). */
static const char take_sql[] =
	"WITH lanes (lane, room) AS (VALUES (0, $4::bigint), (1, $5::bigint), (2, $6::bigint), "
	"(3, $7::bigint)), due AS (SELECT d.id FROM lanes l CROSS JOIN LATERAL (SELECT o.id FROM "
	"acme_orders o WHERE o.lane = l.lane AND o.state NOT IN ('valid', 'failed', 'parked') AND "
	"o.directory = ANY ($3::text[]) AND o.next_attempt <= now() AND (o.lease_until IS NULL OR "
	"o.lease_until < now()) AND (CASE WHEN o.state IN ('new', 'paused_by_ca') THEN o.renewal "
	"OR $10::boolean ELSE o.ca = ANY ($9::text[]) OR (o.ca = ANY ($11::text[]) AND EXISTS "
	"(SELECT 1 FROM acme_orders v WHERE v.id = o.renews AND v.not_after BETWEEN now() AND "
	"now() + $12::bigint * interval '1 second')) END) ORDER BY o.next_attempt LIMIT l.room "
	"FOR UPDATE SKIP LOCKED) d ORDER BY l.lane LIMIT $8::bigint) "
	"UPDATE acme_orders o SET lease_owner = $1, lease_until = now() + $2::bigint * interval '1 "
	"millisecond', fence = fence + 1, state = CASE WHEN o.state = 'paused_by_ca' THEN 'new' "
	"ELSE o.state END FROM due d WHERE o.id = d.id RETURNING " ORDER_COLUMNS;

enum { TAKE_PARAMS = 12, NUMBER_SIZE = 24 };

static void take_due(struct acme *a)
{
	struct buf all = BUF_INIT, healthy = BUF_INIT, away = BUF_INIT;
	char lease[NUMBER_SIZE], rooms[LANES][NUMBER_SIZE], limit[NUMBER_SIZE], hurry[NUMBER_SIZE];
	const char *params[TAKE_PARAMS] = {a->conf.control_plane_id, lease};
	unsigned room[LANES], most = 0, any = 0;
	bool budget = false;

	a->take_again = a->taking;
	if (a->taking || a->closing || a->at_work >= a->conf.max_in_flight)
		return;
	if (list_authorities(a, true, &all, &any, &budget) != 0 ||
	    list_authorities(a, false, &healthy, &most, &budget) != 0 || most == 0 ||
	    list_away(a, &away) != 0)
		goto done;
	if (most > a->conf.max_in_flight - a->at_work)
		most = a->conf.max_in_flight - a->at_work;
	lane_room(a->used, a->conf.max_in_flight, room);
	for (unsigned l = 0; l < LANES; l++) {
		snprintf(rooms[l], sizeof(rooms[l]), "%u", room[l]);
		params[3 + l] = rooms[l];
	}
	snprintf(lease, sizeof(lease), "%llu", (unsigned long long)a->conf.lease_ms);
	snprintf(limit, sizeof(limit), "%u", most);
	snprintf(hurry, sizeof(hurry), "%d", AUTHORITY_WAIT_S);
	params[2] = all.data;
	params[7] = limit;
	params[8] = healthy.data;
	params[9] = budget ? "true" : "false";
	params[10] = away.data;
	params[11] = hurry;
	a->taking = true;
	a->take_asked_ns = clock_mono_ns();
	acme_sleep(a);
	store_query(a->store, take_sql, params, TAKE_PARAMS, on_taken, a);
done:
	buf_deinit(&all);
	buf_deinit(&healthy);
	buf_deinit(&away);
}

/* Thousands of orders end in a second: they are replaced some at a time. */
void schedule_kick(struct acme *a)
{
	uint64_t since = clock_mono_ns() - a->take_asked_ns;

	if (a->closing || timer_active(&a->take_timer))
		return;
	if (since >= TAKE_PAUSE_MS * UINT64_C(1000000))
		take_due(a);
	else
		timer_start(&a->take_timer, TAKE_PAUSE_MS, 0);
}

static void on_take_timer(struct timer *t)
{
	take_due(container_of(t, struct acme, take_timer));
}

/* --- leases --- */

/* Those that the database says are ours. */
static void keep_leases(struct acme *a, const json_t *rows)
{
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		const char *id = json_string_value(json_object_get(row, "id"));
		struct order *o = id ? map_get(&a->by_id, str_from(id)) : NULL;

		/* One that was taken after the question is not meant. */
		if (!o || !o->beating)
			continue;
		o->beating = false;
		o->lease_ns = a->beat_asked_ns + a->conf.lease_ms * UINT64_C(1000000);
	}
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
	keep_leases(a, r->rows);
	list_for_each_safe(it, &a->orders)
	{
		struct order *o = container_of(it, struct order, link);

		if (!o->beating)
			continue;
		o->beating = false;
		if (o->released)
			continue;
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
		    "WITH mine AS (SELECT id FROM acme_orders WHERE lease_owner = $1 AND id = ANY "
		    "($3::uuid[]) ORDER BY id FOR UPDATE) UPDATE acme_orders o SET lease_until = "
		    "now() + $2::bigint * interval '1 millisecond' FROM mine WHERE o.id = mine.id "
		    "RETURNING o.id",
		    params, array_len(params), on_beat, a);
	buf_deinit(&ids);
}

/* --- renewal --- */

#define KEPT RENEWAL_KEPT("due")
#define VALUES ", CASE WHEN d.urgent <= now() THEN 0 ELSE 1 END, d.urgent"
#define MADE RENEWAL_INSERT(", lane, urgent_at", "$1", VALUES, "due")
static const char renew_sql[] =
	"WITH due AS (SELECT *, not_after - (not_after - renew_at) * 0.15 AS urgent FROM "
	"acme_orders WHERE state = 'valid' AND renew_at IS NOT NULL AND (renew_at <= now() OR "
	"$2::boolean) ORDER BY renew_at LIMIT $3 FOR UPDATE SKIP LOCKED), " KEPT ", made AS (" MADE
	"DO NOTHING RETURNING id, renews), cleared AS (UPDATE acme_orders o SET "
	"renew_at = NULL FROM due WHERE o.id = due.id) SELECT due.id, made.id AS made FROM due "
	"LEFT JOIN made ON made.renews = due.id";

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
	const char *params[] = {acme_home(a), force ? "true" : "false", limit};

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
	if (a->renewing || list_empty(&a->authorities))
		return;
	a->renewing = true;
	acme_sleep(a);
	schedule_renew(a, false, NULL, on_renewed, a);
}

static void on_urged(const struct store_result *r, void *arg)
{
	struct acme *a = arg;

	if (!acme_awoke(a))
		return;
	if (r->fault != STORE_OK)
		log_warn("urgent renewals cannot be read", log_err(&r->err));
	else if (json_array_size(r->rows) > 0)
		log_warn("certificates expire soon and are not renewed yet",
			 log_u64("orders", json_array_size(r->rows)));
}

/* Renewals whose certificate expires soon go first. Those in the lane of retries stay there: they
 * fail by their owner's fault, and would only be in everybody's way. Both are told, once. */
static void urge(struct acme *a)
{
	const char *params[] = {a->conf.webhook_url ? "true" : "false"};

	acme_sleep(a);
	store_query(
		a->store,
		"WITH soon AS (UPDATE acme_orders o SET lane = CASE WHEN lane = 1 THEN 0 ELSE "
		"lane END, urgent_at = NULL, events = acme_events(events, "
		"acme_event('urgent', 'the certificate that is renewed expires soon')) WHERE "
		"lane IN (1, 3) AND urgent_at <= now() AND state NOT IN ('valid', 'failed', "
		"'parked') RETURNING o.id, acme_notice('expiring', o) AS body), told AS (INSERT "
		"INTO acme_notices (body) SELECT body FROM soon WHERE $1::boolean) SELECT id "
		"FROM soon",
		params, array_len(params), on_urged, a);
}

/* --- orders of an authority that is not configured any more --- */

/* They were due minutes ago and nobody took them: each begins anew here, unless its host has an
 * order here already; that of the other authority has failed then. A challenge that they leave is
 * removed like an operator's SQL: its revision is taken at commit. */
static const char adopt_sql[] =
	"WITH stray AS (SELECT id, host, more, challenge_ids FROM acme_orders WHERE state NOT IN "
	"('valid', 'failed') AND (directory <> ALL ($2::text[]) OR (state NOT IN ('new', "
	"'parked') AND ca <> ALL ($2::text[]))) AND next_attempt < now() - interval '5 minutes' "
	"AND (lease_until IS NULL OR lease_until < now() - interval '5 minutes') LIMIT 1000 FOR "
	"UPDATE SKIP LOCKED), "
	"gone AS (DELETE FROM acme_challenges c USING stray s WHERE c.id = ANY "
	"(s.challenge_ids)) "
	"UPDATE acme_orders o SET state = CASE WHEN here.id IS NULL THEN 'new' ELSE 'failed' END, "
	"directory = CASE WHEN here.id IS NULL THEN $1 ELSE o.directory END, "
	"problem = CASE WHEN here.id IS NULL THEN o.problem ELSE jsonb_build_object('type', "
	"'" PROBLEM_OWN "authority', 'detail', 'its authority is not configured any more, and the "
	"host has an order at the one that is', 'status', NULL, 'at', extract(epoch FROM "
	"now())::bigint) END, "
	"updated_at = now(), next_attempt = now(), fence = o.fence + 1, lease_owner = NULL, "
	"lease_until = NULL, order_url = NULL, authorizations = '[]', challenge_ids = '{}', "
	"replaces = NULL, finalize_url = NULL, certificate_url = NULL, challenge_revision = NULL, "
	"events = acme_events(o.events, acme_event('begun anew', 'its authority is not "
	"configured any more')), "
	"key = NULL FROM stray LEFT JOIN acme_orders here ON here.host = stray.host AND here.more "
	"= stray.more AND here.directory = $1 AND here.id <> stray.id AND here.state NOT IN "
	"('valid', 'failed') WHERE o.id = stray.id "
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
	struct buf all = BUF_INIT;
	const char *params[] = {acme_home(a), NULL};
	unsigned room;
	bool budget;

	if (clock_mono_ns() < a->adopt_at_ns || list_empty(&a->authorities))
		return;
	a->adopt_at_ns = clock_mono_ns() + adopt_every_ns;
	if (list_authorities(a, true, &all, &room, &budget) == 0) {
		params[1] = all.data;
		acme_sleep(a);
		store_query(a->store, adopt_sql, params, array_len(params), on_adopted, a);
	}
	buf_deinit(&all);
}

/* --- old rows --- */

static void prune_challenges(struct acme *a);
static void prune_orders(struct acme *a);
static void prune_buckets(struct acme *a);

/* gone: how many of a batch went; all of it: there may be more, which go in turn, so that neither a
 * flood grows a table for hours nor one statement holds it for long. */
static void on_pruned(struct acme *a, const struct store_result *r, uint64_t gone,
		      void (*more)(struct acme *a))
{
	if (!acme_awoke(a))
		return;
	if (r->fault != STORE_OK)
		log_warn("rows that are not needed any more cannot be removed", log_err(&r->err));
	else if (gone >= PRUNE_BATCH)
		more(a);
}

static void on_challenges_pruned(const struct store_result *r, void *arg)
{
	on_pruned(arg, r, r->affected, prune_challenges);
}

/* What a pre-flight could not take away any more. */
static void prune_challenges(struct acme *a)
{
	acme_sleep(a);
	store_query(a->store,
		    "DELETE FROM acme_challenges WHERE id IN (SELECT id FROM acme_challenges WHERE "
		    "created_at < now() - interval '1 hour' AND key_authorization LIKE "
		    "'preflight.%' LIMIT 10000)",
		    NULL, 0, on_challenges_pruned, a);
}

static void on_orders_pruned(const struct store_result *r, void *arg)
{
	on_pruned(arg, r, r->affected, prune_orders);
}

/* Ended orders that nothing refers to any more are kept for a month, for those who ask why. */
static void prune_orders(struct acme *a)
{
	acme_sleep(a);
	store_query(
		a->store,
		"DELETE FROM acme_orders WHERE id IN (SELECT id FROM acme_orders WHERE (state = "
		"'failed' OR (state = 'valid' AND renew_at IS NULL)) AND updated_at < now() - "
		"interval '30 days' LIMIT 10000)",
		NULL, 0, on_orders_pruned, a);
}

static void on_buckets_pruned(const struct store_result *r, void *arg)
{
	const json_t *gone = json_object_get(json_array_get(r->rows, 0), "gone");

	on_pruned(arg, r, (uint64_t)json_integer_value(gone), prune_buckets);
}

/* Budgets that are full again. */
static void prune_buckets(struct acme *a)
{
	acme_sleep(a);
	store_query(a->store, "SELECT acme_prune_buckets(10000) AS gone", NULL, 0,
		    on_buckets_pruned, a);
}

static void prune(struct acme *a)
{
	if (clock_mono_ns() < a->prune_at_ns)
		return;
	a->prune_at_ns = clock_mono_ns() + prune_every_ns;
	prune_challenges(a);
	prune_orders(a);
	prune_buckets(a);
}

static void tick(struct timer *t)
{
	struct acme *a = container_of(t, struct acme, tick);

	authorities_watch(a);
	list_for_each(it, &a->authorities)
		account_watch(container_of(it, struct authority, link)->account);
	take_due(a);
	urge(a);
	ari_tick(a);
	notices_tick(a);
	dns01_sweep(a);
	stapling_tick(a);
	renew_due(a);
	adopt(a);
	write_through_tick(a);
	prune(a);
}

void schedule_start(struct acme *a)
{
	timer_init(&a->tick, a->loop, tick);
	timer_init(&a->beat, a->loop, beat);
	timer_init(&a->take_timer, a->loop, on_take_timer);
	timer_start(&a->tick, 1, TICK_MS);
	timer_start(&a->beat, a->conf.lease_ms / 3, a->conf.lease_ms / 3);
}
