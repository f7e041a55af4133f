/* Deciding: what becomes of a name that data planes want a certificate for. */
#include "control-plane/acme/on_demand_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "common/core/sm.h"

enum {
	COMES_S = 60,		     /* an order takes at most about so long, or fails */
	KNOWN_S = 10,		     /* the certificate is there: it is on its way */
	SOON_S = 10,		     /* what is wrong here may be over by then */
	TELL_NS = 60 * 1000000000LL, /* a budget that is used up is warned of so often */
};

static const struct sm_state states[WANT_STATES] = {
	[WANT_LOOKING] = {"looking", SM_TO(WANT_ASKING) | SM_TO(WANT_RESERVING)},
	[WANT_ASKING] = {"asking", SM_TO(WANT_RESERVING)},
	[WANT_RESERVING] = {"reserving", SM_TO(WANT_ORDERING)},
	[WANT_ORDERING] = {"ordering", 0},
};
static const struct sm machine = {"want", states, WANT_STATES};

const char *const on_demand_outcomes[OUTCOMES] = {
	"ordered",     "under_way",  "known",	      "invalid",       "not_allowed",
	"ask_refused", "ask_failed", "client_budget", "domain_budget", "name_budget",
	"failing",     "busy",	     "unavailable",
};

static void want_move(struct want *w, enum want_state to)
{
	w->state = (enum want_state)sm_move(&machine, w->state, to, w->host);
}

static void count(struct on_demand *d, enum outcome o)
{
	if (d->results[o])
		metric_add(d->results[o], 1);
}

static void show_deciding(struct on_demand *d)
{
	if (d->deciding)
		metric_set(d->deciding, (double)d->wants.count);
}

/* --- the end --- */

void on_demand_release(struct on_demand *d)
{
	if (--d->open > 0 || !d->closing)
		return;
	map_deinit(&d->wants);
	free((void *)(uintptr_t)d->conf.domains);
	free((void *)(uintptr_t)d->conf.ask);
	if (d->closed)
		d->closed(d->closed_arg);
	free(d);
}

void on_demand_forget(struct want *w)
{
	struct on_demand *d = w->d;

	map_remove(&d->wants, str_from(w->host));
	show_deciding(d);
	for (struct asker *a = w->askers, *next; a; a = next) {
		next = a->next;
		free(a);
	}
	free(w);
	on_demand_release(d);
}

/* Tells every data plane that waits, and forgets it. */
static void answer(struct want *w, enum outcome outcome, const struct want_answer *a)
{
	count(w->d, outcome);
	for (const struct asker *n = w->askers; n && !w->d->closing; n = n->next)
		fleet_answer_want(w->d->fleet, n->node_id, a);
	on_demand_forget(w);
}

static void comes(struct want *w, enum outcome outcome, uint32_t seconds)
{
	const struct want_answer a = {
		.host = w->host, .verdict = WANT_COMES, .seconds = seconds, .reason = ""};

	answer(w, outcome, &a);
}

static uint32_t refused_s(const struct on_demand *d)
{
	return (uint32_t)(d->conf.refused_ms / 1000 > 0 ? d->conf.refused_ms / 1000 : 1);
}

static void refuse_as(struct want *w, enum outcome outcome, enum want_verdict verdict,
		      uint32_t seconds, const char *reason)
{
	const struct want_answer a = {
		.host = w->host, .verdict = verdict, .seconds = seconds, .reason = reason};

	log_info("no certificate is ordered on demand", log_str("host", w->host),
		 log_str("client", w->client), log_str("result", on_demand_outcomes[outcome]),
		 log_u64("seconds", seconds), log_str("reason", reason));
	answer(w, outcome, &a);
}

static void refuse(struct want *w, enum outcome outcome, uint32_t seconds, const char *reason)
{
	refuse_as(w, outcome, WANT_REFUSED, seconds, reason);
}

/* --- queries --- */

/* false: it is over, or cannot be answered. */
static bool have_rows(struct want *w, const struct store_result *r)
{
	if (w->d->closing) {
		on_demand_forget(w);
		return false;
	}
	if (r->fault == STORE_OK)
		return true;
	refuse(w, OUTCOME_UNAVAILABLE, SOON_S, "the database is away");
	return false;
}

/* --- ordering --- */

static void on_ordered(const struct store_result *r, void *arg)
{
	struct want *w = arg;

	if (!have_rows(w, r))
		return;
	if (r->affected > 0)
		log_notice("a certificate is ordered on demand", log_str("host", w->host),
			   log_str("client", w->client),
			   log_str("node", w->askers ? w->askers->node_id : ""));
	comes(w, r->affected > 0 ? OUTCOME_ORDERED : OUTCOME_UNDER_WAY, COMES_S);
}

static void order(struct want *w)
{
	const struct acme_wish wish = {.names = w->host};
	const struct store_note note = {.actor = "acme",
					.actor_kind = "engine",
					.kind = "acme_orders",
					.address = w->client[0] ? w->client : NULL};

	want_move(w, WANT_ORDERING);
	acme_request(w->d->acme, &wish, w->d->conf.audit ? &note : NULL, on_ordered, w);
}

/* --- budgets --- */

static const enum outcome budget_outcomes[ON_DEMAND_LIMITS + 1] = {
	OUTCOME_CLIENT_BUDGET, OUTCOME_DOMAIN_BUDGET, OUTCOME_NAME_BUDGET, OUTCOME_NAME_BUDGET};

/* The first in a while is worth a warning: it says what an operator can change. */
static void tell_budget(struct on_demand *d, enum on_demand_limit k, const struct want *w,
			double wait_s)
{
	uint64_t now = clock_mono_ns();

	if (k >= ON_DEMAND_LIMITS || (d->told_ns[k] && now - d->told_ns[k] < TELL_NS))
		return;
	d->told_ns[k] = now;
	log_warn("a budget of issuance on demand is used up (acme_on_demand_limits)",
		 log_str("limit", on_demand_limit_name(k)), log_str("host", w->host),
		 log_str("client", w->client), log_i64("seconds", (int64_t)ceil(wait_s)));
}

/* Whether a reservation was refused; the want is answered then. */
static bool no_room(struct want *w, const json_t *row)
{
	const char *key = json_string_value(json_object_get(row, "key"));
	double wait_s = json_number_value(json_object_get(row, "wait"));
	enum on_demand_limit k = on_demand_key_kind(key ? key : "");
	uint32_t seconds = refused_s(w->d);
	char reason[96];

	if (wait_s <= 0)
		return false;
	if (wait_s < seconds)
		seconds = (uint32_t)ceil(wait_s);
	tell_budget(w->d, k, w, wait_s);
	snprintf(reason, sizeof(reason), "the budget of the %s has no room for %lld s",
		 on_demand_limit_name(k), (long long)ceil(wait_s));
	refuse_as(w, budget_outcomes[k], k == ON_DEMAND_CLIENT ? WANT_CLIENT_REFUSED : WANT_REFUSED,
		  seconds, reason);
	return true;
}

static void on_reserved(const struct store_result *r, void *arg)
{
	struct want *w = arg;

	if (have_rows(w, r) && !no_room(w, json_array_get(r->rows, 0)))
		order(w);
}

/* params: the host or NULL, and keys of `first` to `last`. */
static void reserve_with(struct want *w, const char *sql, const char *host,
			 enum on_demand_limit first, enum on_demand_limit last, store_done done)
{
	json_t *keys = on_demand_keys(&w->d->limits, first, last, w->host, w->client);
	char *text = keys ? json_dumps(keys, JSON_COMPACT) : NULL;
	const char *params[] = {text, host};

	if (text)
		store_query(w->d->store, sql, params, host ? 2 : 1, done, w);
	else
		refuse(w, OUTCOME_UNAVAILABLE, SOON_S, "out of memory");
	free(text);
	json_decref(keys);
}

static void reserve(struct want *w)
{
	want_move(w, WANT_RESERVING);
	reserve_with(w, "SELECT key, wait FROM acme_reserve($1::jsonb)", NULL, ON_DEMAND_DOMAIN,
		     ON_DEMAND_NAME, on_reserved);
}

/* --- asking --- */

static void ask_failed(struct want *w, const char *why)
{
	log_warn("the server that allows names on demand does not answer (acme_on_demand_ask)",
		 log_str("host", w->host), log_str("error", why));
	refuse(w, OUTCOME_ASK_FAILED, SOON_S, "the server that allows names does not answer");
}

static void on_asked(const struct fetch_reply *r, void *arg)
{
	struct want *w = arg;
	char text[64];

	w->fetch = NULL;
	snprintf(text, sizeof(text), "the server that allows names says status %u", r->status);
	if (r->err.kind != ERR_NONE)
		ask_failed(w, r->err.message);
	else if (r->status >= 500)
		ask_failed(w, text);
	else if (r->status >= 200 && r->status < 300)
		reserve(w);
	else
		refuse(w, OUTCOME_ASK_REFUSED, refused_s(w->d), text);
}

static void ask(struct want *w)
{
	struct buf url = BUF_INIT;
	struct err e = ERR_INIT;
	struct fetch_request q = {.method = FETCH_GET};
	int rc;

	want_move(w, WANT_ASKING);
	rc = on_demand_ask_url(&url, w->d->conf.ask, w->host, w->client, &e);
	q.url = url.data;
	if (rc == 0)
		rc = fetch_start(&w->fetch, w->d->fetcher, &q, on_asked, w, &e);
	buf_deinit(&url);
	if (rc != 0)
		ask_failed(w, e.message);
}

/* --- looking --- */

/* One row. The client is charged only when there is something to decide. */
static const char look_sql[] =
	"SELECT k.known, o.state, o.trouble, o.seconds, r.key, r.wait FROM "
	"(SELECT EXISTS (SELECT 1 FROM snis WHERE lower(name) = $2) AS known) k LEFT JOIN LATERAL "
	"(SELECT l.state, l.problem ->> 'detail' AS trouble, CASE WHEN l.state IN ('parked', "
	"'paused_by_ca') THEN 86400 ELSE extract(epoch FROM l.next_attempt - now())::float8 END AS "
	"seconds FROM (SELECT * FROM acme_orders WHERE host = $2 AND state NOT IN ('valid', "
	"'failed') UNION ALL SELECT * FROM acme_orders WHERE more <> '' AND string_to_array(more, "
	"' ') @> ARRAY[$2] AND state NOT IN ('valid', 'failed')) l ORDER BY l.created_at DESC "
	"LIMIT "
	"1) o ON true LEFT JOIN LATERAL acme_reserve(CASE WHEN k.known OR o.state IS NOT NULL THEN "
	"'[]'::jsonb ELSE $1::jsonb END) r ON true";

enum { TROUBLE_S = 2 }; /* an order that waits longer waits for a reason */

static void look_at_order(struct want *w, const json_t *row)
{
	const char *trouble = json_string_value(json_object_get(row, "trouble"));
	double seconds = json_number_value(json_object_get(row, "seconds"));
	double most = refused_s(w->d);
	char reason[512];

	if (!trouble || seconds < TROUBLE_S) {
		comes(w, OUTCOME_UNDER_WAY, COMES_S);
		return;
	}
	snprintf(reason, sizeof(reason), "its order waits: %s", trouble);
	refuse(w, OUTCOME_FAILING, (uint32_t)ceil(seconds < most ? seconds : most), reason);
}

static void on_looked(const struct store_result *r, void *arg)
{
	struct want *w = arg;
	const json_t *row = json_array_get(r->rows, 0);

	if (!have_rows(w, r))
		return;
	if (json_is_true(json_object_get(row, "known")))
		comes(w, OUTCOME_KNOWN, KNOWN_S);
	else if (json_is_string(json_object_get(row, "state")))
		look_at_order(w, row);
	else if (no_room(w, row))
		return;
	else if (w->d->conf.ask)
		ask(w);
	else
		reserve(w);
}

static void look(struct want *w)
{
	reserve_with(w, look_sql, w->host, ON_DEMAND_CLIENT, ON_DEMAND_CLIENT, on_looked);
}

/* --- wants --- */

/* Without memory the data plane is not told, and asks again. */
static void add_asker(struct want *w, const char *node_id)
{
	struct asker *a;

	for (a = w->askers; a; a = a->next)
		if (strcmp(a->node_id, node_id) == 0)
			return;
	a = calloc(1, sizeof(*a));
	if (!a)
		return;
	snprintf(a->node_id, sizeof(a->node_id), "%s", node_id);
	a->next = w->askers;
	w->askers = a;
}

/* Without a want: nothing was begun. */
static void refuse_now(struct on_demand *d, const struct fleet_want *f, enum outcome outcome,
		       uint32_t seconds, const char *reason)
{
	const struct want_answer a = {
		.host = f->host, .verdict = WANT_REFUSED, .seconds = seconds, .reason = reason};

	log_info("no certificate is ordered on demand", log_str("host", f->host),
		 log_str("client", f->client), log_str("result", on_demand_outcomes[outcome]),
		 log_u64("seconds", seconds), log_str("reason", reason));
	count(d, outcome);
	fleet_answer_want(d->fleet, f->node_id, &a);
}

static struct want *want_make(struct on_demand *d, const char *host, const struct fleet_want *f)
{
	struct want *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->d = d;
	snprintf(w->host, sizeof(w->host), "%s", host);
	snprintf(w->client, sizeof(w->client), "%s", f->client);
	add_asker(w, f->node_id);
	if (map_put(&d->wants, str_from(w->host), w, NULL, NULL) != 0) {
		free(w->askers);
		free(w);
		return NULL;
	}
	d->open++;
	show_deciding(d);
	return w;
}

void on_demand_want(const struct fleet_want *f, void *arg)
{
	struct on_demand *d = arg;
	char host[ON_DEMAND_HOST_SIZE];
	struct err e = ERR_INIT;
	struct want *w;

	if (on_demand_host(str_from(f->host), host, &e) != 0) {
		refuse_now(d, f, OUTCOME_INVALID, refused_s(d), e.message);
		return;
	}
	w = map_get(&d->wants, str_from(host));
	if (w) {
		add_asker(w, f->node_id);
		return;
	}
	if (d->conf.domains && !on_demand_domains_match(str_from(d->conf.domains), str_from(host)))
		refuse_now(d, f, OUTCOME_NOT_ALLOWED, refused_s(d),
			   "no pattern of acme_on_demand_domains matches");
	else if (!acme_has_authority(d->acme))
		refuse_now(d, f, OUTCOME_UNAVAILABLE, SOON_S, "there is no ACME authority");
	else if (d->wants.count >= d->conf.max)
		refuse_now(d, f, OUTCOME_BUSY, SOON_S,
			   "acme_on_demand_max names are looked at already");
	else if ((w = want_make(d, host, f)) != NULL)
		look(w);
	else
		refuse_now(d, f, OUTCOME_UNAVAILABLE, SOON_S, "out of memory");
}
