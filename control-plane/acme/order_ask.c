/* An order's requests to its CA: within the lease, and from the top of the step when the account is
 * gone. */
#include "common/core/clock.h"
#include "common/core/log.h"
#include "control-plane/acme/engine.h"

/* Ends the run when the lease may be somebody else's. */
static bool lease_over(struct order *o)
{
	if (clock_mono_ns() < o->lease_ns)
		return false;
	log_notice("order lease ran out", log_str("id", o->id), log_str("host", o->host));
	order_end(o);
	return true;
}

static void deliver(const struct client_reply *r, void *arg)
{
	struct order *o = arg;

	o->call = NULL;
	if (problem_is_set(&r->problem))
		problem_help(&o->help, r->body);
	if (!problem_is_set(&r->problem) || !lease_over(o))
		o->on_reply(o, r);
}

static struct client_request request_of(struct order *o, enum client_endpoint endpoint,
					const char *url)
{
	return (struct client_request){
		.endpoint = endpoint,
		.url = url,
		.key = account_key(o->authority->account),
		.kid = account_kid(o->authority->account),
		.until_ns = &o->lease_ns,
		.lane = o->lane,
	};
}

static void ask(struct order *o, const struct client_request *request,
		void (*on_reply)(struct order *o, const struct client_reply *r))
{
	struct client_reply failed = {.retry_after_ms = RETRY_AFTER_NONE};
	struct err e = ERR_INIT;

	if (!account_ready(o->authority->account)) {
		/* Another order found it gone: from the top of this state, with the next one. */
		o->resumed = true;
		order_step(o);
		return;
	}
	if (lease_over(o))
		return;
	o->on_reply = on_reply;
	if (client_post(&o->call, o->authority->client, request, deliver, o, &e) == 0)
		return;
	o->call = NULL;
	problem_from_err(&failed.problem, "connection", &e);
	on_reply(o, &failed);
}

void order_post(struct order *o, enum client_endpoint endpoint, const char *url,
		const char *payload,
		void (*on_reply)(struct order *o, const struct client_reply *r))
{
	struct client_request request = request_of(o, endpoint, url);

	request.payload = str_from(payload);
	ask(o, &request, on_reply);
}

void order_post_built(struct order *o, enum client_endpoint endpoint, client_build build,
		      void (*on_reply)(struct order *o, const struct client_reply *r))
{
	struct client_request request = request_of(o, endpoint, NULL);

	request.build = build;
	ask(o, &request, on_reply);
}

static void deliver_about(const struct client_reply *r, void *arg)
{
	struct authorization *a = arg;

	a->call = NULL;
	if (problem_is_set(&r->problem))
		problem_help(&a->order->help, r->body);
	if (!problem_is_set(&r->problem) || !lease_over(a->order))
		a->on_reply(a, r);
}

bool order_post_about(struct authorization *a, enum client_endpoint endpoint, const char *url,
		      const char *payload,
		      void (*on_reply)(struct authorization *a, const struct client_reply *r))
{
	struct order *o = a->order;
	struct client_request request = request_of(o, endpoint, url);
	struct problem p;
	struct err e = ERR_INIT;

	if (!account_ready(o->authority->account)) {
		authorizations_cancel(&o->authorizations);
		o->resumed = true;
		order_step(o);
		return false;
	}
	if (lease_over(o))
		return false;
	request.payload = str_from(payload);
	a->on_reply = on_reply;
	if (client_post(&a->call, o->authority->client, &request, deliver_about, a, &e) == 0)
		return true;
	a->call = NULL;
	authorizations_cancel(&o->authorizations);
	problem_from_err(&p, "connection", &e);
	order_trouble(o, &p);
	return false;
}
