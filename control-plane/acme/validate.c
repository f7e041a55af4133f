/* The states in which the names of an order are proved: its authorizations are read, the challenges
 * published by one revision, the CA told, and the authorizations read until all are decided.
 *
 * Happy path: authorizing -(each authorization read)-> publishing -(barrier)-> validating -(each
 * challenge posted; hits)-(each read again ...)-> finalizing.
 * A round asks about every authorization that is not decided, a few at once; when the last has
 * answered, its `then` decides where the order goes. Failure paths: what is no answer about a name
 * (network, limits, nonsense) ends the round and the step by order_trouble; names that will not
 * become valid are gathered, so that all of them are told at once.
 */
#include <stdio.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "control-plane/acme/engine.h"
#include "control-plane/acme/names.h"

/* Between the challenges' POST and the first look at the authorizations, unless data planes report
 * the CA's requests earlier (RFC 8555 section 7.5.1). */
enum { HIT_WAIT_MS = 3000 };
/* From the last first hit to the first look: the CA asks from several places and then has to think.
 */
enum { HIT_SETTLE_MS = 10 };
/* What is asked of DNS nobody here sees. */
enum { DNS_SETTLE_MS = 300 };
enum { ROUND_WINDOW = 4 }; /* requests of an order at once */
/* How long a name that failed waits for the verdict about the others. */
static const uint64_t failed_wait_ns = UINT64_C(5) * 1000000000;
/* Until another order is done with the same name. */
enum { OTHER_WAIT_MS = 1000 };
enum { REREAD_MAX = 3 };

/* --- rounds --- */

static bool decided(const struct authorization *a)
{
	return a->valid || problem_is_set(&a->problem);
}

static void round_go(struct order *o)
{
	while (o->round.next < o->authorizations.count && o->round.in_flight < ROUND_WINDOW) {
		struct authorization *a = &o->authorizations.items[o->round.next++];

		if (decided(a))
			continue;
		o->round.in_flight++;
		if (!o->round.ask(a))
			return;
	}
	if (o->round.in_flight == 0)
		o->round.then(o);
}

static void round_begin(struct order *o, bool (*ask)(struct authorization *a),
			void (*then)(struct order *o))
{
	o->round.next = 0;
	o->round.in_flight = 0;
	o->round.posted = false;
	o->round.retry_after_ms = RETRY_AFTER_NONE;
	o->round.ask = ask;
	o->round.then = then;
	round_go(o);
}

static void round_answered(struct authorization *a)
{
	a->order->round.in_flight--;
	round_go(a->order);
}

/* No answer about a name: the step is over. */
static void round_trouble(struct authorization *a, const struct problem *p)
{
	authorizations_cancel(&a->order->authorizations);
	order_trouble(a->order, p);
}

static void round_bad_answer(struct authorization *a, const struct err *e)
{
	struct problem p;

	problem_from_err(&p, "answer", e);
	round_trouble(a, &p);
}

/* Some names will never become valid in this order of the CA: it is spent, and they are named. */
static void give_up(struct order *o)
{
	const struct authorization *first;
	size_t failed, names = names_count(order_names(o));
	struct problem p;
	struct err e = ERR_INIT;

	order_blame(o, authorizations_blame(&o->authorizations, &first, &failed));
	if (!first) {
		err_memory(&e, "the problems of an order");
		order_trouble_err(o, "internal", &e);
		return;
	}
	p = first->problem;
	if (names > 1)
		snprintf(p.detail, sizeof(p.detail), "%zu of %zu names failed; %s: %.190s", failed,
			 names, first->name, first->problem.detail);
	order_spent(o, &p);
}

/* --- what an authorization says --- */

static void spend(struct authorization *a, const struct acme_authorization_doc *d)
{
	a->problem = d->error;
	if (!problem_is_set(&a->problem))
		problem_own(&a->problem, "gone", "the CA's authorization is %s",
			    acme_status_name(d->status));
}

/* False: the step is already over. */
static bool read_reply(struct authorization *a, const struct client_reply *r,
		       struct acme_authorization_doc *d)
{
	struct order *o = a->order;
	char name[sizeof(a->name)];
	struct err e = ERR_INIT;

	if (problem_is_set(&r->problem)) {
		round_trouble(a, &r->problem);
		return false;
	}
	if (message_read_authorization(d, r->body, &e) != 0) {
		round_bad_answer(a, &e);
		return false;
	}
	if (acme_name(str_from(d->name), name, &e) != 0 ||
	    !names_has(order_names(o), str_from(name)) ||
	    (a->name[0] && !str_eq(str_from(a->name), str_from(name)))) {
		err_set(&e, ERR_INVALID, "the CA's authorization is for %s", d->name);
		round_bad_answer(a, &e);
		return false;
	}
	memcpy(a->name, name, sizeof(name));
	if (r->retry_after_ms > o->round.retry_after_ms)
		o->round.retry_after_ms = r->retry_after_ms;
	return true;
}

/* --- authorizing --- */

static bool take_offer(struct authorization *a, const struct acme_authorization_doc *d,
		       enum challenge_type type)
{
	const struct acme_challenge_doc *offer = &d->challenges[type];

	if (!offer->offered || (type == CHALLENGE_DNS_01 && !dns01_given(a->order->acme)))
		return false;
	a->type = type;
	memcpy(a->challenge_url, offer->url, sizeof(offer->url));
	memcpy(a->token, offer->token, sizeof(offer->token));
	return true;
}

/* The first kind of challenge, in the order of acme_challenges, that the CA offers; of a wildcard
 * dns-01. */
static void choose(struct authorization *a, const struct acme_authorization_doc *d)
{
	static const enum challenge_type of_wildcards[] = {CHALLENGE_DNS_01};
	const struct acme_conf *c = &a->order->acme->conf;
	bool wildcard = str_starts(str_from(a->name), STR("*."));
	const enum challenge_type *types = wildcard ? of_wildcards : c->challenges;
	size_t n = wildcard ? array_len(of_wildcards) : c->challenge_count;

	for (size_t i = 0; i < n; i++)
		if (take_offer(a, d, types[i]))
			return;
	if (wildcard) {
		problem_own(&a->problem, "challenge",
			    dns01_given(a->order->acme)
				    ? "the CA does not offer dns-01 for %s"
				    : "%s needs dns-01: set acme_dns_update_server or "
				      "acme_dns_webhook",
			    a->name);
		return;
	}
	problem_own(&a->problem, "challenge",
		    "the CA offers none of the challenges of acme_challenges for %s", a->name);
}

static void on_authorization(struct authorization *a, const struct client_reply *r)
{
	struct acme_authorization_doc d;

	if (!read_reply(a, r, &d))
		return;
	if (d.status == ACME_VALID)
		a->valid = true;
	else if (d.status == ACME_PENDING)
		choose(a, &d);
	else
		spend(a, &d);
	round_answered(a);
}

static bool ask_authorization(struct authorization *a)
{
	return order_post_about(a, CLIENT_AUTHORIZATION, a->url, NULL, on_authorization);
}

static void publish(struct order *o)
{
	order_move(o, ORDER_PUBLISHING);
	group_add(&o->acme->publishes, o);
}

/* A challenge names the account's key: none is published while that is being replaced. */
static void publish_unless_draining(struct order *o)
{
	if (account_draining(o->authority->account))
		order_yield(o, OTHER_WAIT_MS);
	else
		publish(o);
}

static void authorizations_read(struct order *o)
{
	for (size_t i = 0; i < o->authorizations.count; i++) {
		if (problem_is_set(&o->authorizations.items[i].problem)) {
			give_up(o);
			return;
		}
	}
	if (authorizations_open(&o->authorizations) == 0)
		order_finalize(o);
	else
		publish_unless_draining(o);
}

void order_step_authorizing(struct order *o)
{
	round_begin(o, ask_authorization, authorizations_read);
}

/* --- publishing --- */

static void missing_problem(struct problem *p, const struct barrier_result *r)
{
	char names[300] = "";
	size_t used = 0, i;
	const json_t *node;

	json_array_foreach(r->missing, i, node)
	{
		const char *hostname = json_string_value(json_object_get(node, "hostname"));
		const char *id = json_string_value(json_object_get(node, "id"));
		int n = snprintf(names + used, sizeof(names) - used, "%s%s (%s)", used ? ", " : "",
				 hostname ? hostname : "?", id ? id : "?");

		if (n < 0 || (size_t)n >= sizeof(names) - used)
			break;
		used += (size_t)n;
	}
	problem_own(p, "barrier", "%zu of %llu data planes do not hold the challenge yet: %s",
		    json_array_size(r->missing), (unsigned long long)r->nodes, names);
}

static void tell_barrier(struct order *o, const struct barrier_result *r)
{
	char text[64];

	snprintf(text, sizeof(text), "%llu of %llu data planes",
		 (unsigned long long)(r->nodes - json_array_size(r->missing)),
		 (unsigned long long)r->nodes);
	order_tell(o, "held", text);
}

static void published_everywhere(struct order *o)
{
	o->resumed = false;
	order_move(o, ORDER_VALIDATING);
	order_save(o, order_step);
}

static void published_to_fleet(struct order *o)
{
	if (authorizations_in_dns(&o->authorizations) > 0)
		dns01_begin(o, published_everywhere);
	else
		published_everywhere(o);
}

static void on_barrier(const struct barrier_result *r, void *arg)
{
	struct order *o = arg;
	struct problem p;

	o->barrier = NULL;
	if (!r->complete) {
		missing_problem(&p, r);
		if (o->acme->conf.barrier_required) {
			order_trouble(o, &p);
			return;
		}
		order_problem(o, &p);
		o->late = true;
		log_warn("going on without late data planes", log_str("id", o->id),
			 log_str("host", o->host), log_str("detail", p.detail));
	}
	tell_barrier(o, r);
	published_to_fleet(o);
}

void order_step_publishing(struct order *o)
{
	struct err e = ERR_INIT;
	struct problem p;

	if (authorizations_in_fleet(&o->authorizations) == 0) {
		published_to_fleet(o);
		return;
	}
	if (o->challenge_revision == 0) {
		problem_own(&p, "gone", "the challenge is not in the fleet's state any more");
		order_trouble(o, &p);
		return;
	}
	if (fleet_wait(&o->barrier, o->acme->fleet, o->challenge_revision,
		       o->acme->conf.barrier_timeout_ms, on_barrier, o, &e) != 0)
		order_trouble_err(o, "internal", &e);
}

/* --- validating --- */

static void look(struct order *o);

/* The first one after the CA was told; order_hit brings it forward. */
static void first_look(struct order *o)
{
	look(o);
}

static bool all_hit(const struct order *o)
{
	for (size_t i = 0; i < o->authorizations.count; i++) {
		const struct authorization *a = &o->authorizations.items[i];

		if (!decided(a) && !a->hit && a->type != CHALLENGE_DNS_01)
			return false;
	}
	return true;
}

static void wait_for_hits(struct order *o)
{
	uint64_t settle = authorizations_in_dns(&o->authorizations) ? DNS_SETTLE_MS : HIT_SETTLE_MS;

	o->then = first_look;
	timer_start(&o->timer, all_hit(o) ? settle : HIT_WAIT_MS, 0);
}

bool order_hit(struct order *o, struct str challenge_id, const char *node)
{
	for (size_t i = 0; i < o->authorizations.count; i++) {
		struct authorization *a = &o->authorizations.items[i];

		if (!str_eq(str_from(a->challenge_id), challenge_id))
			continue;
		timeline_add_node(&o->timeline, clock_wall_ms(), "asked for", node);
		if (!a->hit && o->state == ORDER_VALIDATING && o->then == first_look) {
			a->hit = true;
			wait_for_hits(o);
		}
		a->hit = true;
		return true;
	}
	return false;
}

static void on_challenge(struct authorization *a, const struct client_reply *r)
{
	struct err e = ERR_INIT;

	/* It may have been decided already: the authorization knows. */
	if (problem_is_set(&r->problem) &&
	    !(problem_is_acme(&r->problem, "malformed") && a->rereads++ < REREAD_MAX)) {
		round_trouble(a, &r->problem);
		return;
	}
	if (!problem_is_set(&r->problem) && message_check_challenge(r->body, &e) != 0) {
		round_bad_answer(a, &e);
		return;
	}
	a->order->round.posted = true;
	round_answered(a);
}

static bool post_challenge(struct authorization *a)
{
	return order_post_about(a, CLIENT_CHALLENGE, a->challenge_url, "{}", on_challenge);
}

static void on_validation(struct authorization *a, const struct client_reply *r)
{
	struct acme_authorization_doc d;
	const struct acme_challenge_doc *c = &d.challenges[a->type];

	if (!read_reply(a, r, &d))
		return;
	if (d.status == ACME_VALID) {
		a->valid = true;
	} else if (d.status != ACME_PENDING) {
		spend(a, &d);
	} else if (a->order->resumed && c->offered && c->status == ACME_PENDING) {
		(void)!post_challenge(a);
		return;
	}
	round_answered(a);
}

static bool ask_validation(struct authorization *a)
{
	return order_post_about(a, CLIENT_AUTHORIZATION, a->url, NULL, on_validation);
}

static bool waited_for_others(struct order *o)
{
	uint64_t now = clock_mono_ns();

	if (!o->failed_ns)
		o->failed_ns = now;
	return now - o->failed_ns > failed_wait_ns;
}

static void validations_read(struct order *o)
{
	size_t open = authorizations_open(&o->authorizations), valid = 0;
	bool failed;

	o->resumed = false;
	for (size_t i = 0; i < o->authorizations.count; i++)
		valid += o->authorizations.items[i].valid;
	failed = open + valid < o->authorizations.count;
	if (failed && (open == 0 || waited_for_others(o)))
		give_up(o);
	else if (open == 0)
		order_finalize(o);
	else if (o->round.posted)
		wait_for_hits(o);
	else
		order_poll_later(o, o->round.retry_after_ms, look);
}

static void look(struct order *o)
{
	round_begin(o, ask_validation, validations_read);
}

/* After a take-over nobody knows whether the CA was told: it is asked first. */
void order_step_validating(struct order *o)
{
	o->failed_ns = 0;
	order_poll_begin(o);
	if (o->resumed)
		look(o);
	else
		round_begin(o, post_challenge, wait_for_hits);
}
