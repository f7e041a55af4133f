/* An order that cannot go on now: what its row says afterwards, by the table of problem.c.
 *
 * Some problems are solved at once (a forgotten account, an order that is further than we thought);
 * all others store the problem, count the attempt and give the lease back, in one transaction with
 * the removal of a challenge that is of no use any more.
 */
#include "common/core/clock.h"
#include "common/core/log.h"
#include "control-plane/acme/engine.h"

enum { REREAD_MAX = 3, REREGISTER_MAX = 2 };

static void forget_ca_order(struct order *o)
{
	o->order_url[0] = o->authorization_url[0] = o->challenge_url[0] = '\0';
	o->finalize_url[0] = o->certificate_url[0] = '\0';
	o->challenge_id[0] = '\0';
	o->challenge_revision = 0;
	buf_deinit(&o->sealed_key);
}

static void on_trouble_saved(const struct store_result *r, void *arg)
{
	struct order *o = arg;

	if (!order_awoke(o) || !order_saved(o, r))
		return;
	order_end(o);
}

/* An order that can never succeed leaves its predecessor, which still serves, without a renewal:
 * this was it, or it was under way when the renewal was due. */
static void try_renewal_tomorrow(const struct order *o, struct txn *t)
{
	const char *params[] = {o->host};

	txn_exec(t,
		 "UPDATE acme_orders SET renew_at = now() + interval '1 day' WHERE renew_at IS "
		 "NULL AND id = (SELECT id FROM acme_orders WHERE host = $1 AND state = 'valid' "
		 "ORDER BY created_at DESC LIMIT 1)",
		 params, array_len(params), 0, STORE_OK);
}

/* The lease goes back; a challenge of the CA's order that is given up leaves the fleet's state in
 * the same transaction. */
static void save_trouble(struct order *o, enum problem_action action)
{
	struct txn *t = txn_create(o->acme->store, NULL);
	char challenge[UUID_TEXT_SIZE];

	if (!t) {
		order_end(o);
		return;
	}
	memcpy(challenge, o->challenge_id, sizeof(challenge));
	o->released = true;
	if (action != PROBLEM_RETRY)
		forget_ca_order(o);
	if (action == PROBLEM_FAIL)
		order_move(o, ORDER_FAILED);
	else if (action == PROBLEM_RESTART && o->state != ORDER_NEW)
		order_move(o, ORDER_NEW);
	order_save_in(o, t);
	if (action != PROBLEM_RETRY && challenge[0])
		txn_delete(t, &entity_acme_challenges, str_from(challenge), false);
	order_note(o, t, &entity_acme_challenges, challenge);
	if (action == PROBLEM_FAIL)
		try_renewal_tomorrow(o, t);
	order_sleep(o);
	txn_commit(t, on_trouble_saved, o);
}

static void wait_or_fail(struct order *o, const struct problem *p, const struct problem_rule *rule,
			 enum problem_action action)
{
	uint64_t wait;

	o->problem = *p;
	o->problem_at = clock_wall_s();
	o->attempts++;
	wait = backoff_ms(&rule->backoff, o->attempts, chance());
	if (o->problem.retry_after_ms > (int64_t)wait)
		wait = (uint64_t)o->problem.retry_after_ms;
	o->next_ms = (int64_t)wait;
	log_warn("order in trouble", log_str("id", o->id), log_str("host", o->host),
		 log_str("state", order_state_name(o->state)), log_str("type", o->problem.type),
		 log_str("detail", o->problem.detail), log_u64("status", o->problem.status),
		 log_u64("attempts", o->attempts),
		 log_u64("next_ms", action == PROBLEM_FAIL ? 0 : wait));
	acme_count(o->acme, action == PROBLEM_FAIL ? ACME_RESULT_FAILED : ACME_RESULT_RETRY);
	save_trouble(o, action);
}

void order_trouble(struct order *o, const struct problem *p)
{
	const struct problem_rule *rule = problem_rule(p);
	enum problem_action action = rule->action;

	/* What is done at once is not shown, unless it does not help. */
	if (action == PROBLEM_REREGISTER && o->reregistered < REREGISTER_MAX) {
		o->reregistered++;
		o->resumed = true;
		account_forget(o->acme->account, account_kid(o->acme->account));
		order_step(o);
		return;
	}
	if (action == PROBLEM_REREAD && o->state == ORDER_FINALIZING && o->rereads < REREAD_MAX) {
		o->rereads++;
		o->resumed = true; /* when it is ready: the CSR again */
		order_step(o);
		return;
	}
	wait_or_fail(o, p, rule, action > PROBLEM_RETRY ? action : PROBLEM_RETRY);
}

void order_spent(struct order *o, const struct problem *p)
{
	const struct problem_rule *rule = problem_rule(p);

	wait_or_fail(o, p, rule, rule->action > PROBLEM_RESTART ? rule->action : PROBLEM_RESTART);
}
