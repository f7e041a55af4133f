/* An order that cannot go on now: what its row says afterwards, by the table of verdict.c.
 *
 * Some problems are solved at once (a forgotten account, an order that is further than we thought,
 * a profile that is not offered); all others store the problem, count the attempt and give the
 * lease back, in one transaction with everything that follows: challenges that are of no use any
 * more, budgets that the CA closed, failures that are counted, names that are left out.
 */
#include <stdio.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "control-plane/acme/domain.h"
#include "control-plane/acme/engine.h"
#include "control-plane/acme/names.h"
#include "control-plane/acme/verdict.h"

enum { REREAD_MAX = 3, REGISTER_MAX = 2, AGAIN_MAX = 3 };
enum { AGAIN_FIRST_MS = 250, AGAIN_WAIT_MAX_MS = 10000 };
enum { NUMBER_SIZE = 24 };
/* A wait takes at most this part of what is left of the certificate that is renewed. */
enum { LEFT_SHARE = 4, LEFT_WAIT_MIN_MS = 2000 };
static const int64_t day_ms = INT64_C(24) * 3600 * 1000;

/* What becomes of an order whose lease is given back. */
struct outcome {
	const struct verdict *verdict;
	enum order_state next; /* after it; the one that it has: keeps what the CA knows */
	bool spent;	       /* the CA's order is given up */
	bool by_owner;	       /* counts as a failure of its names */
	uint64_t wait_ms;
	struct buf names;  /* those that are left, when some are dropped; else empty */
	json_t *dropped;   /* the subproblems of the others; owned */
	const char *leave; /* directory of a CA that may not issue; NULL: none */
};

/* --- the transaction --- */

static void on_trouble_saved(const struct store_result *r, void *arg)
{
	struct order *o = arg;

	if (!order_awoke(o) || !order_saved(o, r))
		return;
	order_end(o);
}

/* An order that can never succeed leaves its predecessor, which still serves, without a renewal:
 * this was it, or it was under way when the renewal was due. Tomorrow, or before it ends, or soon
 * after that. */
static void try_renewal_later(const struct order *o, struct txn *t)
{
	const char *params[] = {o->id};

	txn_exec(t,
		 "UPDATE acme_orders SET renew_at = now() + least(interval '1 day', greatest("
		 "(not_after - now()) / 4, coalesce((not_after - not_before) / 10, interval '1 "
		 "day'))) WHERE renew_at IS NULL AND id = (SELECT v.id FROM acme_orders v JOIN "
		 "acme_orders o ON v.host = "
		 "o.host AND v.more = o.more WHERE o.id = $1 AND v.state = 'valid' AND v.pair_of "
		 "IS NULL ORDER BY v.created_at DESC LIMIT 1)",
		 params, array_len(params), 0, STORE_OK);
}

/* Of one that is not to blame. */
static enum lane lane_of(const struct order *o)
{
	return o->renewal ? LANE_RENEWAL : LANE_FIRST;
}

/* The lane of retries is behind all others: what would expire there stays where it is. */
static enum lane lane_after(const struct order *o, const struct outcome *x)
{
	if (x->by_owner && !order_in_hurry(o))
		return LANE_RETRY;
	return x->names.len ? lane_of(o) : o->lane;
}

/* What order_save_in does not write. Names that failed by their owner's fault are marked by
 * dns_next, for a look at what they resolve to; nobody looks yet. */
static void save_lane(const struct order *o, const struct outcome *x, struct txn *t)
{
	char lane[NUMBER_SIZE], failures[NUMBER_SIZE];
	const char *params[] = {o->id,
				lane,
				failures,
				x->leave,
				x->next == ORDER_PAUSED ? o->help.url : NULL,
				x->by_owner ? "true" : "false"};

	snprintf(lane, sizeof(lane), "%d", (int)lane_after(o, x));
	snprintf(failures, sizeof(failures), "%u", o->failures);
	txn_exec(t,
		 "UPDATE acme_orders SET lane = $2::integer, failures = $3::integer, ca_refused = "
		 "CASE WHEN $4::text IS NULL OR $4 = ANY (ca_refused) THEN ca_refused ELSE "
		 "array_append(ca_refused, $4) END, unpause_url = $5, dns_seen = NULL, dns_next = "
		 "CASE WHEN $6::boolean THEN now() END WHERE id = $1",
		 params, array_len(params), 0, STORE_OK);
}

/* The order goes on without them. Not when another order has the rest already. */
static void save_names(const struct order *o, const struct outcome *x, struct txn *t)
{
	struct str more, host = names_first(buf_str(&x->names), &more);
	char *texts[] = {str_dup(host), str_dup(more),
			 x->dropped ? json_dumps(x->dropped, JSON_COMPACT) : NULL};
	const char *params[] = {o->id, texts[0], texts[1], texts[2]};

	txn_exec(t,
		 "UPDATE acme_orders o SET host = $2, more = coalesce($3, ''), dropped = dropped "
		 "|| coalesce($4::jsonb, '[]') WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM "
		 "acme_orders h WHERE h.id <> o.id AND h.directory = o.directory AND h.host = $2 "
		 "AND h.more = coalesce($3, '') AND h.state NOT IN ('valid', 'failed'))",
		 params, array_len(params), 0, STORE_OK);
	for (size_t i = 0; i < array_len(texts); i++)
		free(texts[i]);
}

/* --- the names that are blamed --- */

static const char *blamed(const json_t *list, size_t i)
{
	return json_string_value(
		json_object_get(json_object_get(json_array_get(list, i), "identifier"), "value"));
}

static bool is_blamed(const json_t *list, struct str name)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *text = blamed(list, i);

		if (text && str_ieq(str_from(text), name))
			return true;
	}
	return false;
}

/* --- budgets --- */

/* One more failure of each name that failed, as the CA counts it. */
static void charge_failures(const struct order *o, struct txn *t)
{
	const struct authority *au = o->authority;
	const struct limit *l = &au->limits.of[LIMIT_FAILURE];
	struct str rest = order_names(o), one;
	char every[NUMBER_SIZE];

	snprintf(every, sizeof(every), "%.3f", l->every_s);
	while (l->every_s > 0 && (one = names_first(rest, &rest)).len > 0) {
		struct buf value = BUF_INIT, key = BUF_INIT;
		const char *params[] = {NULL, every};

		if (json_array_size(o->subproblems) > 0 && !is_blamed(o->subproblems, one))
			continue;
		if (buf_addf(&value, NULL, "%.*s %s", (int)one.len, one.ptr, au->conf.email) == 0 &&
		    limit_key(&key, LIMIT_FAILURE, buf_str(&value), au->conf.directory, NULL) ==
			    0) {
			params[0] = key.data;
			txn_exec(t,
				 "INSERT INTO acme_buckets AS b (key, tat) VALUES ($1, now() + "
				 "$2::float8 * interval '1 second') ON CONFLICT (key) DO UPDATE "
				 "SET tat = greatest(b.tat, now()) + $2::float8 * interval '1 "
				 "second'",
				 params, array_len(params), 0, STORE_OK);
		}
		buf_deinit(&value);
		buf_deinit(&key);
	}
}

/* The value of the bucket that the CA named. */
static int bucket_value(const struct order *o, const struct limit_named *n, struct buf *out)
{
	const struct authority *au = o->authority;
	char domain[DOMAIN_SIZE];

	switch (n->kind) {
	case LIMIT_ACCOUNT:
		return buf_add_str(out, str_from(au->conf.email), NULL);
	case LIMIT_DOMAIN:
		domain_registered(domain, n->value[0] ? n->value : o->host);
		return buf_add_str(out, str_from(domain), NULL);
	case LIMIT_FAILURE:
		return buf_addf(out, NULL, "%s %s", n->value[0] ? n->value : o->host,
				au->conf.email);
	case LIMIT_SET:
		return buf_add_str(out, order_names(o), NULL);
	default:
		return buf_add_str(out, str_from(o->acme->conf.egress), NULL);
	}
}

static void block(const struct order *o, const struct limit_named *n, uint64_t wait_ms,
		  struct txn *t)
{
	struct buf value = BUF_INIT, key = BUF_INIT;
	char seconds[NUMBER_SIZE];
	const char *params[] = {NULL, seconds, o->problem.detail};

	snprintf(seconds, sizeof(seconds), "%.3f", (double)wait_ms / 1000);
	if (bucket_value(o, n, &value) == 0 &&
	    limit_key(&key, n->kind, buf_str(&value), o->authority->conf.directory, NULL) == 0) {
		params[0] = key.data;
		txn_exec(t, "SELECT acme_block($1, $2::float8, $3)", params, array_len(params), 0,
			 STORE_OK);
		log_notice("the authority closed a budget", log_str("bucket", key.data),
			   log_u64("ms", wait_ms));
	}
	buf_deinit(&value);
	buf_deinit(&key);
}

/* What nobody knows is the order's own: its exact set. */
static struct limit_named read_bucket(const struct problem *p)
{
	struct limit_named n = {.kind = LIMIT_SET};
	int64_t until;

	if (!limit_read_detail(&n, str_from(p->detail))) {
		until = n.until_s;
		n = (struct limit_named){.kind = LIMIT_SET, .until_s = until};
	}
	return n;
}

static void save_budgets(const struct order *o, const struct outcome *x, struct txn *t)
{
	struct limit_named n = {.kind = LIMIT_REQUEST};

	if (x->verdict->scope == SCOPE_ENDPOINT && o->problem.retry_after_ms > 0) {
		block(o, &n, (uint64_t)o->problem.retry_after_ms, t);
	} else if (x->verdict->scope == SCOPE_BUCKET) {
		n = read_bucket(&o->problem);
		block(o, &n, x->wait_ms, t);
	}
	if (x->by_owner)
		charge_failures(o, t);
}

/* A name that fails again and again is told once, and when it is given up. */
static void save_notice(const struct order *o, const struct outcome *x, struct txn *t)
{
	if (x->next == ORDER_PAUSED)
		notice_in(t, o, NOTICE_PAUSED);
	else if (x->next == ORDER_FAILED || x->next == ORDER_PARKED || o->attempts == 1)
		notice_in(t, o, NOTICE_FAILING);
}

/* --- the row --- */

static void save_trouble(struct order *o, const struct outcome *x)
{
	struct txn *t = txn_create(o->acme->store, NULL);

	if (!t) {
		order_end(o);
		return;
	}
	o->released = true;
	o->next_ms = (int64_t)x->wait_ms;
	if (x->spent)
		order_forget_ca(o);
	if (x->next != o->state)
		order_move(o, x->next);
	order_save_in(o, t);
	save_lane(o, x, t);
	if (x->spent)
		order_drop(o, t);
	order_note(o, t, &entity_acme_challenges, order_challenge(o));
	if (x->next == ORDER_FAILED)
		try_renewal_later(o, t);
	if (x->names.len > 0)
		save_names(o, x, t);
	save_budgets(o, x, t);
	save_notice(o, x, t);
	order_sleep(o);
	txn_commit(t, on_trouble_saved, o);
}

static void finish(struct order *o, const struct problem *p, struct outcome *x)
{
	order_problem(o, p);
	o->attempts++;
	log_warn("order in trouble", log_str("id", o->id), log_str("host", o->host),
		 log_str("authority", o->authority->conf.name),
		 log_str("state", order_state_name(o->state)), log_str("type", o->problem.type),
		 log_str("detail", o->problem.detail), log_u64("status", o->problem.status),
		 log_str("scope", scope_name(x->verdict->scope)),
		 log_str("step", step_name(x->verdict->step)), log_u64("attempts", o->attempts),
		 log_u64("failures", o->failures), log_str("then", order_state_name(x->next)),
		 log_u64("next_ms", x->wait_ms));
	acme_count(o->acme, x->next == ORDER_FAILED ? ACME_RESULT_FAILED : ACME_RESULT_RETRY);
	save_trouble(o, x);
	buf_deinit(&x->names);
	json_decref(x->dropped);
}

/* --- names that are dropped --- */

/* False: nobody is blamed, or everybody. */
static bool drop_names(const struct order *o, struct outcome *x)
{
	struct str rest = order_names(o), one;
	size_t kept = 0;

	while ((one = names_first(rest, &rest)).len > 0) {
		if (is_blamed(o->blame, one))
			continue;
		if ((kept++ > 0 && buf_add_str(&x->names, STR(" "), NULL) != 0) ||
		    buf_add_str(&x->names, one, NULL) != 0) {
			buf_clear(&x->names);
			return false;
		}
	}
	if (kept == 0 || kept == names_count(order_names(o))) {
		buf_clear(&x->names);
		return false;
	}
	x->dropped = json_incref(o->blame);
	return true;
}

/* --- the steps --- */

/* Our own waits end before the certificate does, and get shorter with what is left of it: a minute
 * is nothing to one of 90 days, and too long for one that lives a minute. */
static uint64_t within_life(const struct order *o, uint64_t wait_ms)
{
	uint64_t most = order_left_ms(o) / LEFT_SHARE;

	most = most < LEFT_WAIT_MIN_MS ? LEFT_WAIT_MIN_MS : most;
	return wait_ms < most ? wait_ms : most;
}

/* What the authority asks for is kept, whatever is left. */
static uint64_t as_asked(const struct problem *p, uint64_t wait_ms)
{
	return p->retry_after_ms > (int64_t)wait_ms ? (uint64_t)p->retry_after_ms : wait_ms;
}

static uint64_t pace_of(const struct order *o, const struct verdict *v)
{
	return backoff_ms(&v->pace, o->attempts + 1, chance());
}

static uint64_t paced(const struct order *o, const struct problem *p, const struct verdict *v)
{
	return as_asked(p, within_life(o, pace_of(o, v)));
}

static void retry(struct order *o, const struct problem *p, struct outcome *x)
{
	x->wait_ms = paced(o, p, x->verdict);
}

static void restart(struct order *o, const struct problem *p, struct outcome *x)
{
	x->wait_ms = paced(o, p, x->verdict);
	x->next = ORDER_NEW;
}

static void fail(struct order *o, const struct problem *p, struct outcome *x)
{
	(void)o;
	(void)p;
	x->next = ORDER_FAILED;
}

/* Retry-After, or the time in the words, or our own pace. */
static void budget(struct order *o, const struct problem *p, struct outcome *x)
{
	struct limit_named n = read_bucket(p);
	int64_t said = n.until_s > 0 ? (n.until_s - clock_wall_s()) * 1000 : 0;

	if (said > 30 * day_ms)
		said = 30 * day_ms;
	x->wait_ms = as_asked(p, pace_of(o, x->verdict));
	if (p->retry_after_ms > 0)
		x->wait_ms = (uint64_t)p->retry_after_ms;
	else if (said > 0)
		x->wait_ms = (uint64_t)said;
}

/* A name with a certificate is never parked: its expiry is worse than a request a day. Names that
 * are not to blame go on without the one that would be parked. */
static void quarantine(struct order *o, const struct problem *p, struct outcome *x)
{
	uint64_t least;

	(void)p;
	o->failures++;
	x->by_owner = true;
	x->next = ORDER_NEW;
	x->wait_ms = within_life(o, quarantine_ms(o->failures, chance()));
	least = policy_backoff_ms(acme_policy(o->acme, order_names(o)));
	x->wait_ms = x->wait_ms > least ? x->wait_ms : least;
	if (o->failures < o->acme->conf.park_after)
		return;
	if (drop_names(o, x)) {
		o->failures = 0;
		x->by_owner = false;
		x->wait_ms = 0;
	} else if (!o->renewal) {
		x->next = ORDER_PARKED;
	}
}

static void other_ca(struct order *o, const struct problem *p, struct outcome *x)
{
	x->leave = o->authority->conf.directory;
	if (admission_other(o) == NULL) {
		quarantine(o, p, x);
		return;
	}
	x->next = ORDER_NEW;
	x->wait_ms = 0;
}

/* Its owner unpauses it at the CA; once a day we look. */
static void paused(struct order *o, const struct problem *p, struct outcome *x)
{
	(void)o;
	(void)p;
	x->next = ORDER_PAUSED;
	x->wait_ms = (uint64_t)day_ms;
}

static void drop(struct order *o, const struct problem *p, struct outcome *x)
{
	if (drop_names(o, x))
		x->next = ORDER_NEW;
	else
		fail(o, p, x);
}

static void agree(struct order *o, const struct problem *p, struct outcome *x)
{
	account_refused(o->authority->account, p, o->help.url);
	retry(o, p, x);
}

typedef void (*step_fn)(struct order *o, const struct problem *p, struct outcome *x);
static const step_fn step_fns[STEPS] = {
	[STEP_NEW_NONCE] = retry,
	[STEP_REGISTER] = retry,
	[STEP_REREAD] = retry,
	[STEP_AGAIN] = retry,
	[STEP_WITHOUT_PROFILE] = fail,
	[STEP_WITHOUT_REPLACES] = restart,
	[STEP_RETRY] = retry,
	[STEP_RESTART] = restart,
	[STEP_BUDGET] = budget,
	[STEP_AGREE] = agree,
	[STEP_OTHER_CA] = other_ca,
	[STEP_QUARANTINE] = quarantine,
	[STEP_RESOLVE] = quarantine,
	[STEP_PAUSED] = paused,
	[STEP_DROP] = drop,
	[STEP_FAIL] = fail,
	[STEP_DONE] = fail, /* of a revocation: no order sees it */
};

/* --- what is solved at once; false: not, or not any more --- */

static bool again(struct order *o, const struct problem *p)
{
	uint64_t wait = (uint64_t)AGAIN_FIRST_MS << (2 * o->again);

	if (p->retry_after_ms > (int64_t)wait)
		wait = (uint64_t)p->retry_after_ms;
	if (o->again >= AGAIN_MAX || wait > AGAIN_WAIT_MAX_MS)
		return false;
	o->again++;
	o->resumed = true;
	o->then = order_step;
	timer_start(&o->timer, wait, 0);
	return true;
}

static bool at_once(struct order *o, const struct problem *p, enum step step)
{
	switch (step) {
	case STEP_REGISTER:
		if (o->reregistered++ >= REGISTER_MAX)
			return false;
		account_forget(o->authority->account, account_kid(o->authority->account));
		break;
	case STEP_REREAD:
		if (o->state != ORDER_FINALIZING || o->rereads++ >= REREAD_MAX)
			return false;
		break;
	case STEP_WITHOUT_PROFILE:
		if (o->profile_required || !o->profile[0])
			return false;
		o->profile[0] = '\0';
		break;
	case STEP_WITHOUT_REPLACES:
		if (!o->replaces[0] || o->state != ORDER_NEW)
			return false;
		o->replaces[0] = '\0';
		break;
	case STEP_AGAIN:
		return again(o, p);
	default:
		return false;
	}
	o->resumed = true; /* when it is ready: the CSR again */
	order_step(o);
	return true;
}

static struct signal signal_of(const struct order *o, const struct problem *p, bool spent)
{
	return (struct signal){
		.problem = p,
		.new_order = o->state == ORDER_NEW,
		.profile = o->profile[0] != '\0',
		.replaces = o->replaces[0] != '\0',
		.unpause = o->help.unpause && p->retry_after_ms < 0,
		.late = spent && o->late,
	};
}

/* Spent: the CA's order or authorization says by itself that it will never be valid, so that what
 * would only be asked again later needs a new order. */
static void judge(struct order *o, const struct problem *p, bool spent)
{
	const struct signal s = signal_of(o, p, spent);
	const struct verdict *v = verdict(&s);
	struct outcome x = {.verdict = v, .next = o->state};

	if (!spent && at_once(o, p, v->step))
		return;
	step_fns[v->step](o, p, &x);
	if (spent && x.next != ORDER_FAILED && x.next != ORDER_PARKED && x.next != ORDER_PAUSED)
		x.next = ORDER_NEW;
	x.spent = x.next != o->state || x.next == ORDER_NEW;
	finish(o, p, &x);
}

void order_move_on(struct order *o)
{
	static const struct verdict moved = {.scope = SCOPE_CA, .step = STEP_RESTART};
	const struct outcome x = {.verdict = &moved, .next = ORDER_NEW, .spent = true};

	log_notice("order goes to another authority", log_str("id", o->id),
		   log_str("host", o->host), log_str("from", o->authority->conf.name));
	save_trouble(o, &x);
}

void order_trouble(struct order *o, const struct problem *p)
{
	judge(o, p, false);
}

void order_spent(struct order *o, const struct problem *p)
{
	judge(o, p, true);
}
