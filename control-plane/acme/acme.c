/* The public calls, and the engine's beginning and end.
 *
 * Start: client, account, scheduler. Close: runs of orders are ended (their leases run out, another
 * control plane goes on), then every part closes; when the last callback has come, all is freed.
 */
#include "control-plane/acme/acme.h"

#include <stdio.h>

#include "common/core/clock.h"
#include "common/core/codec.h"
#include "common/core/log.h"
#include "control-plane/acme/chain.h"
#include "control-plane/acme/engine.h"
#include "control-plane/acme/names.h"
#include "control-plane/acme/show.h"
#include "control-plane/acme/stapling.h"

enum { TIMERS = 3 };

/* --- counting --- */

static int setup_metrics(struct acme *a, struct err *e)
{
	static const char *const labels[] = {"result", NULL};
	static const char *const results[ACME_RESULTS] = {"valid", "failed", "retry"};
	struct metric_family *orders, *flight;

	if (!a->conf.metrics)
		return 0;
	orders = metrics_family(a->conf.metrics, METRIC_COUNTER, "cardea_acme_orders_total",
				"Runs of certificate orders by how they ended.", labels, NULL, 0);
	flight = metrics_family(a->conf.metrics, METRIC_GAUGE, "cardea_acme_in_flight",
				"Certificate orders at work on this control plane.", NULL, NULL, 0);
	if (!orders || !flight)
		return err_memory(e, "ACME metrics");
	for (size_t i = 0; i < ACME_RESULTS; i++) {
		const char *values[] = {results[i]};

		a->results[i] = metrics_series(orders, values);
		if (!a->results[i])
			return err_memory(e, "ACME metrics");
	}
	a->in_flight = metrics_series(flight, NULL);
	return a->in_flight ? 0 : err_memory(e, "ACME metrics");
}

void acme_count(struct acme *a, enum acme_result result)
{
	if (a->results[result])
		metric_add(a->results[result], 1);
}

/* --- start --- */

static int load_roots(struct acme *a, struct err *e)
{
	if (a->conf.chain_roots && chain_roots_load(&a->roots, a->conf.chain_roots, e) != 0)
		return err_prefix(e, "acme_chain_roots");
	return 0;
}

static void free_engine(struct acme *a)
{
	map_deinit(&a->by_id);
	stapling_free(a);
	free(a->authorities_seen);
	json_decref(a->policy);
	acme_conf_free(&a->conf);
	chain_roots_free(a->roots);
	free(a);
}

/* A hit brings the first look at the authorization forward. */
static void on_hit(const char *challenge_id, const char *node_id, uint32_t count, void *arg)
{
	struct acme *a = arg;

	list_for_each(it, &a->orders)
	{
		struct order *o = container_of(it, struct order, link);

		if (!order_hit(o, str_from(challenge_id), node_id))
			continue;
		log_debug("challenge asked for", log_str("host", o->host), log_str("node", node_id),
			  log_u64("count", count));
		return;
	}
}

/* Reads are small; what makes a revision reaches data planes as one message. */
static void init_groups(struct acme *a)
{
	enum { READS = 200, SAVES = 100, REVISION = 50 };

	group_init(&a->sni_checks, order_check_snis, READS);
	group_init(&a->saves, order_save_batch, SAVES);
	group_init(&a->publishes, order_publish_batch, REVISION);
	group_init(&a->placements, install_place_batch, READS);
	group_init(&a->installs, install_batch, REVISION);
}

int acme_start(struct acme **out, struct loop *l, struct store *s, struct fleet *f,
	       const struct acme_conf *c, struct err *e)
{
	struct acme *a;

	a = calloc(1, sizeof(*a));
	if (!a)
		return err_memory(e, "ACME engine");
	a->loop = l;
	a->store = s;
	a->fleet = f;
	list_init(&a->orders);
	list_init(&a->admitting);
	list_init(&a->authorities);
	list_init(&a->leaving);
	list_init(&a->ari_asks);
	list_init(&a->revokes);
	list_init(&a->notice_posts);
	list_init(&a->preflights);
	list_init(&a->dns01.waiting);
	map_init(&a->by_id);
	init_groups(a);
	if (acme_conf_copy(&a->conf, c, e) != 0 || load_roots(a, e) != 0 ||
	    setup_metrics(a, e) != 0 || dns01_metrics(a, e) != 0 || stapling_start(a, e) != 0 ||
	    authorities_start(a, c->authority, e) != 0) {
		free_engine(a);
		return -1;
	}
	fleet_on_challenge_hit(f, on_hit, a);
	schedule_start(a);
	*out = a;
	return 0;
}

/* --- close --- */

static void maybe_closed(struct acme *a)
{
	void (*closed)(void *) = a->closed;
	void *arg = a->closed_arg;

	if (!a->closing || a->parts_open > 0 || a->at_work > 0 || a->outstanding > 0)
		return;
	free_engine(a);
	if (closed)
		closed(arg);
}

void acme_part_closed(struct acme *a)
{
	if (!a->closing)
		return;
	a->parts_open--;
	maybe_closed(a);
}

static void on_tick_closed(struct timer *t)
{
	acme_part_closed(container_of(t, struct acme, tick));
}

static void on_beat_closed(struct timer *t)
{
	acme_part_closed(container_of(t, struct acme, beat));
}

static void on_take_closed(struct timer *t)
{
	acme_part_closed(container_of(t, struct acme, take_timer));
}

static void count_parts(struct acme *a)
{
	a->parts_open = TIMERS;
	a->parts_open += a->preflight_fetcher != NULL;
	a->parts_open += a->notice_fetcher != NULL;
	a->parts_open += a->dns01.fetcher != NULL;
	a->parts_open += stapling_parts(a);
	list_for_each(it, &a->authorities) a->parts_open++;
	list_for_each(it, &a->leaving) a->parts_open++;
}

void acme_close(struct acme *a, void (*closed)(void *arg), void *arg)
{
	a->closing = true;
	a->closed = closed;
	a->closed_arg = arg;
	count_parts(a);
	fleet_on_challenge_hit(a->fleet, NULL, NULL);
	list_for_each_safe(it, &a->orders) order_end(container_of(it, struct order, link));
	ari_close(a);
	revokes_close(a);
	preflights_close(a);
	takeover_close(a);
	write_through_close(a);
	notices_close(a);
	dns01_close(a);
	stapling_close(a);
	timer_close(&a->tick, on_tick_closed);
	timer_close(&a->beat, on_beat_closed);
	timer_close(&a->take_timer, on_take_closed);
	list_move_all(&a->leaving, &a->authorities);
	list_for_each_safe(it, &a->leaving)
		authority_leave(container_of(it, struct authority, link));
}

void acme_order_gone(struct acme *a)
{
	a->at_work--;
	if (a->in_flight)
		metric_set(a->in_flight, a->at_work);
	if (a->closing)
		maybe_closed(a);
	else
		schedule_kick(a);
}

void acme_sleep(struct acme *a)
{
	a->outstanding++;
}

bool acme_awoke(struct acme *a)
{
	bool closing = a->closing;

	a->outstanding--;
	maybe_closed(a);
	return !closing;
}

/* --- one public call: a query whose rows are shaped for the caller --- */

enum { WISH_PARAMS = 9 }; /* of request_sql */
struct ask {
	struct acme *acme;
	store_done done;
	void *arg;
	/* acme_request: asked again when a rival's order was there but not visible yet. */
	char *params[WISH_PARAMS];
	unsigned tries;
	bool missing;	/* acme_order: with the barrier's nodes */
	uint64_t total; /* acme_renew */
	bool force;
};
enum { REQUEST_TRIES = 3 };

static struct ask *ask_create(struct acme *a, store_done done, void *arg)
{
	struct ask *q = calloc(1, sizeof(*q));

	if (!q) {
		/* Nowhere to keep the caller: its answer can only come now. */
		struct store_result r = {.fault = STORE_FAILED};

		err_memory(&r.err, "ACME request");
		done(&r, arg);
		return NULL;
	}
	q->acme = a;
	q->done = done;
	q->arg = arg;
	acme_sleep(a);
	return q;
}

static void ask_end(struct ask *q, const struct store_result *r)
{
	struct acme *a = q->acme;

	q->done(r, q->arg);
	for (size_t i = 0; i < WISH_PARAMS; i++)
		free(q->params[i]);
	free(q);
	(void)acme_awoke(a);
}

static void on_shown(const struct store_result *r, void *arg)
{
	struct ask *q = arg;
	struct store_result shown = *r;

	if (r->fault == STORE_OK) {
		shown.rows = show_orders(r->rows, q->missing ? q->acme->fleet : NULL);
		if (!shown.rows) {
			shown.fault = STORE_FAILED;
			err_memory(&shown.err, "showing orders");
		}
	}
	ask_end(q, &shown);
	if (shown.rows != r->rows)
		json_decref(shown.rows);
}

/* --- acme_request --- */

static const char request_sql[] =
	"WITH made AS (INSERT INTO acme_orders (id, host, more, directory, key_type, key_type_alt, "
	"profile, profile_required, preferred_chain, wanted_not_after) VALUES "
	"(gen_random_uuid(), $1, $2, $3, $4, $5, $6, $7::boolean, $8, "
	"to_timestamp($9::double precision)) ON CONFLICT (directory, host, md5(more)) WHERE state "
	"NOT IN ('valid', 'failed') DO NOTHING RETURNING *) "
	"SELECT " SHOW_COLUMNS ", true AS made FROM made o UNION ALL SELECT " SHOW_COLUMNS
	", false AS made FROM acme_orders o WHERE host = $1 AND more = $2 AND directory = $3 AND "
	"state NOT IN ('valid', 'failed') AND NOT EXISTS (SELECT 1 FROM made)";

static void ask_request(struct ask *q, const struct store_note *note);

static void on_requested(const struct store_result *r, void *arg)
{
	struct ask *q = arg;
	struct acme *a = q->acme;
	struct store_result shown = *r;
	bool made;

	if (r->fault != STORE_OK) {
		ask_end(q, r);
		return;
	}
	/* Another transaction inserted the row after our snapshot: now it is visible. */
	if (json_array_size(r->rows) == 0 && ++q->tries < REQUEST_TRIES && !a->closing) {
		ask_request(q, NULL);
		return;
	}
	made = json_is_true(json_object_get(json_array_get(r->rows, 0), "made"));
	shown.rows = show_orders(r->rows, NULL);
	shown.affected = made ? 1 : 0;
	if (json_array_size(shown.rows) == 0) {
		shown.fault = STORE_FAILED;
		err_set(&shown.err, ERR_INTERNAL, "the order could neither be made nor found");
	}
	if (!a->closing)
		schedule_kick(a);
	ask_end(q, &shown);
	json_decref(shown.rows);
}

static void ask_request(struct ask *q, const struct store_note *note)
{
	const char *params[WISH_PARAMS];

	memcpy(params, q->params, sizeof(params));
	store_query_noted(q->acme->store, request_sql, params, array_len(params), note,
			  on_requested, q);
}

const json_t *acme_policy(const struct acme *a, struct str names)
{
	return policy_covers(a->policy, names) ? a->policy : NULL;
}

bool acme_has_authority(const struct acme *a)
{
	return !list_empty(&a->authorities);
}

enum key_type acme_key_type(const struct acme *a)
{
	return a->conf.key_type;
}

bool acme_same_algorithm(enum key_type a, enum key_type b)
{
	return (a >= KEY_RSA_2048) == (b >= KEY_RSA_2048);
}

static const json_t *policy_for(const struct acme *a, const struct acme_wish *w)
{
	const json_t *config = w->policy_read ? w->policy : a->policy;

	return policy_covers(config, str_from(w->names)) ? config : NULL;
}

/* False: out of memory. */
static bool wish_params(struct ask *q, const struct acme_wish *w)
{
	const struct acme_conf *c = &q->acme->conf;
	struct str more, host = names_first(str_from(w->names), &more);
	const json_t *policy = policy_for(q->acme, w);
	const char *profile = policy_text(policy, "profile");
	const char *chain = policy_text(policy, "preferred_chain");
	char not_after[24];
	int digits = snprintf(not_after, sizeof(not_after), "%lld", (long long)w->not_after);
	const struct str values[WISH_PARAMS] = {
		host,
		more,
		str_from(acme_home(q->acme)),
		str_from(w->key_type ? w->key_type
			 : policy    ? policy_key_type(policy)
				     : key_type_name(c->key_type)),
		str_from(w->key_type_alt),
		str_from(w->profile ? w->profile
			 : profile  ? profile
				    : c->profile),
		w->profile_required || (!w->profile && !profile && c->profile_required)
			? STR("true")
			: STR("false"),
		str_from(w->preferred_chain ? w->preferred_chain
			 : chain	    ? chain
					    : c->preferred_chain),
		w->not_after ? (struct str){not_after, (size_t)digits} : STR_NONE,
	};

	for (size_t i = 0; i < WISH_PARAMS; i++) {
		q->params[i] = values[i].ptr ? str_dup(values[i]) : NULL;
		if (values[i].ptr && !q->params[i])
			return false;
	}
	return true;
}

void acme_request(struct acme *a, const struct acme_wish *w, const struct store_note *note,
		  store_done done, void *arg)
{
	struct ask *q = ask_create(a, done, arg);
	struct store_result r = {.fault = STORE_FAILED};

	if (!q)
		return;
	if (wish_params(q, w)) {
		ask_request(q, note);
		return;
	}
	err_memory(&r.err, "ACME request");
	ask_end(q, &r);
}

/* --- the other calls --- */

void acme_orders(struct acme *a, struct str host, struct str state, unsigned size, struct str after,
		 store_done done, void *arg)
{
	struct ask *q = ask_create(a, done, arg);
	char *texts[] = {str_dup(host), str_dup(state), str_dup(after)};
	char limit[16];
	const char *params[] = {host.ptr ? texts[0] : NULL, state.ptr ? texts[1] : NULL, limit,
				after.ptr ? texts[2] : NULL};

	snprintf(limit, sizeof(limit), "%u", size);
	if (q)
		store_query(a->store,
			    "SELECT " SHOW_COLUMNS " FROM acme_orders o WHERE ($1::text IS NULL OR "
			    "o.host = $1 OR string_to_array(o.more, ' ') @> ARRAY[$1]) AND "
			    "($2::text IS NULL OR o.state = $2) AND ($4::text IS "
			    "NULL OR (o.created_at, o.id) < (SELECT p.created_at, p.id FROM "
			    "acme_orders p WHERE p.id::text = lower($4))) ORDER BY o.created_at "
			    "DESC, o.id DESC LIMIT $3::bigint",
			    params, array_len(params), on_shown, q);
	for (size_t i = 0; i < array_len(texts); i++)
		free(texts[i]);
}

/* The id as SQL gets it: what is no UUID finds nothing. */
static void id_param(char out[UUID_TEXT_SIZE], struct str id)
{
	out[0] = '\0';
	if (!uuid_is(id))
		return;
	memcpy(out, id.ptr, UUID_TEXT_SIZE - 1);
	out[UUID_TEXT_SIZE - 1] = '\0';
}

void acme_order(struct acme *a, struct str id, store_done done, void *arg)
{
	struct ask *q = ask_create(a, done, arg);
	char text[UUID_TEXT_SIZE];
	const char *params[] = {text};

	if (!q)
		return;
	id_param(text, id);
	q->missing = true;
	store_query(a->store,
		    "SELECT " SHOW_COLUMNS
		    ", (SELECT max(c.revision) FROM changes c WHERE c.kind = 'acme_challenges' AND "
		    "c.id = ANY (o.challenge_ids) AND NOT c.removed) AS challenge_revision FROM "
		    "acme_orders o "
		    "WHERE o.id = nullif($1, '')::uuid",
		    params, array_len(params), on_shown, q);
}

static void on_retried(const struct store_result *r, void *arg)
{
	struct ask *q = arg;

	if (r->fault == STORE_OK && !q->acme->closing)
		schedule_kick(q->acme);
	on_shown(r, arg);
}

void acme_retry(struct acme *a, struct str id, const struct store_note *note, store_done done,
		void *arg)
{
	struct ask *q = ask_create(a, done, arg);
	char text[UUID_TEXT_SIZE];
	const char *params[] = {text};

	if (!q)
		return;
	id_param(text, id);
	store_query_noted(
		a->store,
		"UPDATE acme_orders o SET next_attempt = now(), updated_at = now(), lane = CASE "
		"WHEN lane <> 3 THEN lane WHEN renewal THEN 1 ELSE 2 END, state = CASE WHEN state "
		"IN ('parked', 'paused_by_ca') THEN 'new' ELSE state END, failures = CASE WHEN "
		"state = 'parked' THEN 0 ELSE failures END, ca_refused = '{}', unpause_url = NULL, "
		"dns_next = NULL, events = acme_events(events, acme_event('retried', NULL)) WHERE "
		"o.id = nullif($1, '')::uuid AND o.state NOT IN ('valid', "
		"'failed') RETURNING " SHOW_COLUMNS,
		params, array_len(params), note, on_retried, q);
}

static void on_renewed(const struct store_result *r, void *arg)
{
	struct ask *q = arg;
	struct acme *a = q->acme;
	struct store_result all = *r;

	q->total += schedule_made(r->rows);
	/* A full batch: there may be more. */
	if (r->fault == STORE_OK && json_array_size(r->rows) == RENEW_BATCH && !a->closing) {
		schedule_renew(a, q->force, NULL, on_renewed, q);
		return;
	}
	all.affected = q->total;
	if (!a->closing)
		schedule_kick(a);
	ask_end(q, &all);
}

void acme_renew(struct acme *a, bool force, const struct store_note *note, store_done done,
		void *arg)
{
	struct ask *q = ask_create(a, done, arg);

	if (!q)
		return;
	q->force = force;
	schedule_renew(a, force, note, on_renewed, q);
}
