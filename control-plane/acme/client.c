/* Happy path of a call: queued by urgency -> directory (cached) -> room in the window, the
 * address's pace, a nonce (pooled) -> POST -> reply. Failure paths: no directory or no nonce: a
 * problem of kind "connection" or "answer", or what the CA said; badNonce: sign again with the
 * nonce of that answer, at most CLIENT_BAD_NONCE_MAX times; 404: the directory may have moved, it
 * is read again for the next call; a CA in trouble: the window of requests under way is halved, and
 * when its breaker opens, what is queued ends with a problem of kind "breaker". Each reply brings a
 * nonce and frees a place in the window, so that no more nonces are fetched than the window has
 * places, however many orders are at work.
 */
#include "control-plane/acme/client_internal.h"

#include <stdio.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "control-plane/acme/backoff.h"
#include "control-plane/acme/jws.h"
#include "control-plane/acme/message.h"

/* For a CA that turns everybody away and does not say for how long. */
static const struct backoff hold_pace = {5000, 300000, 2};

struct endpoint {
	const char *name;
	const char *accept;
};
static const struct endpoint endpoints[] = {
	[CLIENT_NEW_ACCOUNT] = {"new_account", NULL},
	[CLIENT_NEW_ORDER] = {"new_order", NULL},
	[CLIENT_ORDER] = {"order", NULL},
	[CLIENT_AUTHORIZATION] = {"authorization", NULL},
	[CLIENT_CHALLENGE] = {"challenge", NULL},
	[CLIENT_FINALIZE] = {"finalize", NULL},
	[CLIENT_CERTIFICATE] = {"certificate", "application/pem-certificate-chain"},
	[CLIENT_ACCOUNT] = {"account", NULL},
	[CLIENT_KEY_CHANGE] = {"key_change", NULL},
	[CLIENT_REVOKE] = {"revoke", NULL},
};

/* --- life --- */

static void setup_metrics(struct client *c)
{
	static const char *const labels[] = {"endpoint", "status", NULL};

	if (c->conf.metrics)
		c->requests = metrics_family(c->conf.metrics, METRIC_COUNTER,
					     "cardea_acme_requests_total",
					     "Requests to the ACME authority.", labels, NULL, 0);
}

static int setup_paces(struct client *c, struct err *e)
{
	static const enum limit_kind kinds[PACES] = {LIMIT_NEW_ORDER, LIMIT_REQUEST};

	for (size_t i = 0; i < PACES; i++)
		if (pace_init(&c->paces[i], c->conf.store, &c->conf.limits->of[kinds[i]], kinds[i],
			      c->conf.egress, c->conf.directory, client_pump_soon, c, e) != 0)
			return -1;
	return 0;
}

int client_create(struct client **out, const struct client_conf *conf, struct err *e)
{
	struct client *c = calloc(1, sizeof(*c));

	if (!c)
		return err_memory(e, "ACME client");
	c->conf = *conf;
	c->window = conf->requests_max;
	for (size_t l = 0; l < LANES; l++)
		list_init(&c->queues[l]);
	for (size_t i = 0; i < NONCE_FETCHES_MAX; i++)
		c->nonce_fetches[i].client = c;
	nonce_pool_init(&c->nonces);
	if (setup_paces(c, e) != 0) {
		free(c);
		return -1;
	}
	setup_metrics(c);
	deferred_init(&c->pump, client_pump);
	timer_init(&c->timer, conf->loop, client_on_timer);
	*out = c;
	return 0;
}

static void part_closed(struct client *c)
{
	if (--c->parts_open > 0)
		return;
	c->closed(c->closed_arg);
	free(c);
}

static void on_pace_closed(void *arg)
{
	part_closed(arg);
}

static void on_timer_closed(struct timer *t)
{
	part_closed(container_of(t, struct client, timer));
}

void client_close(struct client *c, void (*closed)(void *arg), void *arg)
{
	c->closed = closed;
	c->closed_arg = arg;
	c->parts_open = 1;
	fetch_cancel(c->directory_fetch);
	for (size_t i = 0; i < NONCE_FETCHES_MAX; i++)
		fetch_cancel(c->nonce_fetches[i].fetch);
	for (size_t i = 0; i < PACES; i++)
		c->parts_open += pace_close(&c->paces[i], on_pace_closed);
	deferred_cancel(&c->pump);
	timer_close(&c->timer, on_timer_closed);
}

const struct acme_directory *client_directory(const struct client *c)
{
	return c->directory_at_ns ? &c->directory : NULL;
}

static void count_request(struct client *c, const char *endpoint, const struct fetch_reply *r)
{
	char status[16] = "error";
	const char *values[] = {endpoint, status};
	struct metric_series *s;

	if (!c->requests)
		return;
	if (r->err.kind == ERR_NONE)
		snprintf(status, sizeof(status), "%u", r->status);
	s = metrics_series(c->requests, values);
	if (s)
		metric_add(s, 1);
}

void client_call_dequeue(struct client_call *call)
{
	list_remove(&call->link);
	call->client->queued -= call->queued;
	call->queued = false;
}

void client_call_enqueue(struct client_call *call)
{
	struct client *c = call->client;

	list_push(&c->queues[call->lane], &call->link);
	call->queued = true;
	c->queued++;
	client_pump_soon(c);
}

/* Its place in the window is free. */
static void landed(struct client_call *call)
{
	call->client->in_flight -= call->in_flight;
	call->in_flight = false;
	if (call->client->queued > 0)
		client_pump_soon(call->client);
}

static void free_call(struct client_call *call)
{
	client_call_dequeue(call);
	landed(call);
	fetch_cancel(call->fetch);
	EVP_PKEY_free(call->key);
	free(call->kid);
	buf_deinit(&call->payload);
	free(call);
}

static void finish(struct client_call *call, const struct client_reply *r)
{
	call->done(r, call->arg);
	free_call(call);
}

void client_call_fail(struct client_call *call, const struct problem *p)
{
	struct client_reply r = {.problem = *p, .retry_after_ms = p->retry_after_ms};

	finish(call, &r);
}

void client_call_fail_err(struct client_call *call, const struct err *e)
{
	struct problem p;

	problem_from_err(&p, "connection", e);
	client_call_fail(call, &p);
}

/* --- how the CA is --- */

/* Slower: half of the window; and a pause, when the CA turned everybody away. */
static void slow_down(struct client *c, const struct fetch_reply *r, bool turned_away)
{
	uint64_t ms;

	c->window = c->window > 2 ? c->window / 2 : 1;
	if (c->conf.breaker->state != BREAKER_CLOSED) {
		/* It says when to ask next. */
		c->hold_ns = 0;
		c->holds = 0;
		return;
	}
	if (!turned_away)
		return;
	ms = backoff_ms(&hold_pace, ++c->holds, 1 - chance() / 5);
	if (r->retry_after_ms > (int64_t)ms)
		ms = (uint64_t)r->retry_after_ms;
	c->hold_ns = clock_mono_ns() + ms * UINT64_C(1000000);
	log_warn("the authority turns requests away", log_str("directory", c->conf.directory),
		 log_u64("status", r->status), log_u64("pause_ms", ms),
		 log_u64("window", (uint64_t)c->window));
}

static void speed_up(struct client *c)
{
	c->holds = 0;
	c->window += 1 / c->window;
	if (c->window > c->conf.requests_max)
		c->window = c->conf.requests_max;
}

/* The problem of an answer that was none or not 2xx; false: there is no problem. */
static bool reply_problem(struct problem *p, const struct fetch_reply *r, const char *what)
{
	struct err e = r->err;

	if (r->err.kind != ERR_NONE) {
		err_prefix(&e, "%s", what);
		problem_from_err(p, "connection", &e);
		return true;
	}
	if (r->status >= 200 && r->status <= 299)
		return false;
	problem_from_answer(p, r->status, r->body, r->retry_after_ms);
	return true;
}

/* p: the problem of the answer, or NULL. What is refused here says nothing about the CA, and a 429
 * with a document is about a budget. */
static void judge(struct client *c, const struct fetch_reply *r, const struct problem *p)
{
	bool document = p && !problem_is_own(p);
	bool down = r->err.kind == ERR_UNAVAILABLE || r->err.kind == ERR_TIMEOUT;
	bool turned_away = !document && (r->status == 429 || r->status == 503);
	uint64_t now = clock_mono_ns();
	enum breaker_state before = breaker_state(c->conf.breaker, now);

	if (!p || (r->status > 0 && r->status < 500 && !turned_away)) {
		breaker_success(c->conf.breaker);
		speed_up(c);
	} else if (down || r->status >= 500 || turned_away) {
		breaker_failure(c->conf.breaker, now, r->retry_after_ms, chance());
		slow_down(c, r, turned_away);
	}
	if (breaker_state(c->conf.breaker, now) != before)
		log_notice("the authority's breaker moved", log_str("directory", c->conf.directory),
			   log_str("from", breaker_state_name(before)),
			   log_str("to", breaker_state_name(c->conf.breaker->state)));
}

bool client_judge(struct client *c, const struct fetch_reply *r, const char *what,
		  struct problem *p)
{
	bool bad = reply_problem(p, r, what);

	count_request(c, what, r);
	judge(c, r, bad ? p : NULL);
	return bad;
}

/* --- the request itself --- */

/* Signs again, before all others; false when it has been tried enough. */
static bool again_with_new_nonce(struct client_call *call)
{
	if (++call->bad_nonces > CLIENT_BAD_NONCE_MAX)
		return false;
	landed(call);
	client_call_enqueue(call);
	return true;
}

static void on_post(const struct fetch_reply *r, void *arg)
{
	struct client_call *call = arg;
	struct client *c = call->client;
	struct client_reply reply = {.retry_after_ms = r->retry_after_ms};
	bool bad;

	call->fetch = NULL;
	bad = client_judge(c, r, endpoints[call->endpoint].name, &reply.problem);
	if (bad && problem_is_acme(&reply.problem, "badNonce"))
		nonce_pool_clear(&c->nonces);
	if (r->nonce.ptr)
		nonce_put(&c->nonces, r->nonce);
	if (bad && problem_is_acme(&reply.problem, "badNonce") && again_with_new_nonce(call))
		return;
	if (bad && r->status == 404)
		c->directory_at_ns = 0;
	reply.status = r->status;
	reply.body = r->body;
	reply.location = r->location;
	reply.links = r->links;
	finish(call, &reply);
}

static const char *call_url(const struct client_call *call)
{
	if (call->endpoint == CLIENT_NEW_ACCOUNT)
		return call->client->directory.new_account;
	if (call->endpoint == CLIENT_NEW_ORDER)
		return call->client->directory.new_order;
	if (call->endpoint == CLIENT_KEY_CHANGE)
		return call->client->directory.key_change;
	if (call->endpoint == CLIENT_REVOKE)
		return call->client->directory.revoke;
	return call->url;
}

static int post(struct client_call *call, const char *nonce, struct err *e)
{
	struct buf body = BUF_INIT;
	const struct jws_header h = {.url = call_url(call), .nonce = nonce, .kid = call->kid};
	struct fetch_request r = {.method = FETCH_POST,
				  .url = h.url,
				  .content_type = "application/jose+json",
				  .accept = endpoints[call->endpoint].accept};
	int rc = -1;

	if (call->until_ns && clock_mono_ns() >= *call->until_ns)
		return err_set(e, ERR_TIMEOUT, "the time to ask this was over");
	if (jws_sign(&body, &h, call->key, buf_str(&call->payload), e) == 0) {
		r.body = buf_str(&body);
		rc = fetch_start(&call->fetch, call->client->conf.fetcher, &r, on_post, call, e);
	}
	buf_deinit(&body);
	return rc;
}

/* What the request says, where that needs the directory. */
static int build(struct client_call *call, struct err *e)
{
	if (!call->build)
		return 0;
	buf_clear(&call->payload);
	return call->build(&call->payload, &call->client->directory, call->arg, e);
}

void client_call_send(struct client_call *call, const char *nonce)
{
	struct err e = ERR_INIT;

	client_call_dequeue(call);
	call->in_flight = true;
	call->client->in_flight++;
	if (build(call, &e) != 0 || post(call, nonce, &e) != 0)
		client_call_fail_err(call, &e);
}

int client_post(struct client_call **out, struct client *c, const struct client_request *r,
		client_done done, void *arg, struct err *e)
{
	struct client_call *call = calloc(1, sizeof(*call));
	size_t len = r->url ? strlen(r->url) : 0;

	if (!call)
		return err_memory(e, "ACME request");
	list_init(&call->link);
	call->client = c;
	call->endpoint = r->endpoint;
	call->until_ns = r->until_ns;
	call->lane = r->lane;
	call->build = r->build;
	call->done = done;
	call->arg = arg;
	if (len >= sizeof(call->url)) {
		err_set(e, ERR_LIMIT, "URL refused: longer than %d bytes", ACME_URL_SIZE - 1);
		goto fail;
	}
	if (r->url)
		memcpy(call->url, r->url, len + 1);
	if (r->kid && !(call->kid = str_dup(str_from(r->kid)))) {
		err_memory(e, "ACME request");
		goto fail;
	}
	if (EVP_PKEY_up_ref(r->key) == 1)
		call->key = r->key;
	if (!call->key || buf_add_str(&call->payload, r->payload, e) != 0)
		goto fail;
	client_call_enqueue(call);
	*out = call;
	return 0;
fail:
	free_call(call);
	return -1;
}

void client_cancel(struct client_call *call)
{
	if (call)
		free_call(call);
}
