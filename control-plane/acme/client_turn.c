/* Whose turn it is: directory, then room in the window, the address's pace, a nonce. */
#include "common/core/clock.h"
#include "control-plane/acme/client_internal.h"

static const uint64_t directory_age_max_ns = UINT64_C(12) * 3600 * 1000000000;

void client_pump_soon(void *arg)
{
	struct client *c = arg;

	loop_defer(c->conf.loop, &c->pump);
}

/* --- directory --- */

/* The CA cannot be asked at all: everybody who is queued gets the problem. */
static void fail_queued(struct client *c, const struct problem *p)
{
	struct link waiting;
	struct link *it;

	/* Those who call again from their callback wait for the next round. */
	list_init(&waiting);
	for (size_t l = 0; l < LANES; l++)
		list_move_all(&waiting, &c->queues[l]);
	while ((it = list_first(&waiting)) != NULL) {
		client_call_dequeue(container_of(it, struct client_call, link));
		client_call_fail(container_of(it, struct client_call, link), p);
	}
}

static void on_directory(const struct fetch_reply *r, void *arg)
{
	struct client *c = arg;
	struct problem p;
	struct err e = ERR_INIT;
	bool bad = client_judge(c, r, "directory", &p);

	c->directory_fetch = NULL;
	if (bad) {
		/* Not our order that is gone, but the CA: nothing to start anew. */
		if (r->err.kind == ERR_NONE && r->status != 429 && r->status < 500)
			problem_own(&p, "answer", "the directory answers with status %u",
				    r->status);
		fail_queued(c, &p);
		return;
	}
	if (message_read_directory(&c->directory, r->body, &e) != 0) {
		err_prefix(&e, "directory");
		problem_own(&p, "answer", "%s", e.message);
		fail_queued(c, &p);
		return;
	}
	c->directory_at_ns = clock_mono_ns();
	client_pump_soon(c);
}

static bool directory_fresh(const struct client *c)
{
	return c->directory_at_ns != 0 &&
	       clock_mono_ns() - c->directory_at_ns < directory_age_max_ns;
}

static void fetch_directory(struct client *c)
{
	const struct fetch_request r = {.method = FETCH_GET, .url = c->conf.directory};
	struct problem p;
	struct err e = ERR_INIT;

	if (c->directory_fetch ||
	    fetch_start(&c->directory_fetch, c->conf.fetcher, &r, on_directory, c, &e) == 0)
		return;
	err_prefix(&e, "directory");
	problem_from_err(&p, "connection", &e);
	fail_queued(c, &p);
}

void client_learn(struct client *c)
{
	if (!directory_fresh(c))
		fetch_directory(c);
}

/* --- nonce --- */

static struct client_call *first_queued(struct client *c)
{
	for (size_t l = 0; l < LANES; l++)
		if (!list_empty(&c->queues[l]))
			return container_of(list_first(&c->queues[l]), struct client_call, link);
	return NULL;
}

/* The one that the nonce was for. */
static void fail_first(struct client *c, const struct problem *p)
{
	struct client_call *call = first_queued(c);

	if (!call)
		return;
	client_call_dequeue(call);
	client_call_fail(call, p);
}

static void on_nonce(const struct fetch_reply *r, void *arg)
{
	struct nonce_fetch *f = arg;
	struct client *c = f->client;
	struct problem p;
	bool bad = client_judge(c, r, "new_nonce", &p);

	f->fetch = NULL;
	if (bad) {
		if (r->status == 404)
			c->directory_at_ns = 0;
		fail_first(c, &p);
	} else if (!r->nonce.ptr || !message_nonce_ok(r->nonce)) {
		problem_own(&p, "answer", "the CA gives no usable Replay-Nonce");
		fail_first(c, &p);
	} else {
		nonce_put(&c->nonces, r->nonce);
	}
	if (c->queued > 0)
		client_pump_soon(c);
}

/* One for each that waits, a few at a time; those under way will bring some too. */
static void fetch_nonces(struct client *c, unsigned wanted)
{
	const struct fetch_request r = {.method = FETCH_HEAD, .url = c->directory.new_nonce};
	struct problem p;
	struct err e = ERR_INIT;

	for (size_t i = 0; i < NONCE_FETCHES_MAX && i < wanted; i++) {
		struct nonce_fetch *f = &c->nonce_fetches[i];

		if (f->fetch || fetch_start(&f->fetch, c->conf.fetcher, &r, on_nonce, f, &e) == 0)
			continue;
		problem_from_err(&p, "connection", &e);
		fail_first(c, &p);
		return;
	}
}

/* --- whose turn it is --- */

static struct pace *call_pace(struct client_call *call)
{
	return &call->client->paces[call->endpoint == CLIENT_NEW_ORDER ? 0 : 1];
}

/* The most urgent one whose pace has room. */
static struct client_call *next_call(struct client *c)
{
	for (size_t l = 0; l < LANES; l++) {
		list_for_each(it, &c->queues[l])
		{
			struct client_call *call = container_of(it, struct client_call, link);

			if (pace_take(call_pace(call), c->queued))
				return call;
			/* The others of this lane are seldom of another kind. */
			if (call->endpoint == CLIENT_NEW_ORDER)
				continue;
			break;
		}
	}
	return NULL;
}

static void wait_for_pace(struct client *c)
{
	for (size_t i = 0; i < PACES; i++) {
		uint64_t ms = pace_wait_ms(&c->paces[i]);

		if (ms > 0)
			timer_start(&c->timer, ms, 0);
	}
}

/* True: nothing may be asked now. */
static bool held(struct client *c)
{
	uint64_t now = clock_mono_ns();
	struct problem p;

	if (breaker_state(c->conf.breaker, now) == BREAKER_OPEN) {
		problem_own(&p, "breaker", "%s is in trouble and left alone for a while",
			    c->conf.directory);
		p.retry_after_ms = (int64_t)((c->conf.breaker->until_ns - now) / 1000000);
		fail_queued(c, &p);
		return true;
	}
	if (now >= c->hold_ns)
		return false;
	timer_start(&c->timer, (c->hold_ns - now) / 1000000 + 1, 0);
	return true;
}

void client_pump(struct deferred *d)
{
	struct client *c = container_of(d, struct client, pump);
	char nonce[ACME_NONCE_SIZE];

	while (c->queued > 0 && !held(c)) {
		struct client_call *call;

		if (!directory_fresh(c)) {
			fetch_directory(c);
			return;
		}
		if (c->in_flight >= (unsigned)c->window)
			return;
		if (!nonce_ready(&c->nonces)) {
			fetch_nonces(c, c->queued);
			return;
		}
		call = next_call(c);
		if (!call) {
			wait_for_pace(c);
			return;
		}
		if (nonce_take(&c->nonces, nonce))
			client_call_send(call, nonce);
	}
}

void client_on_timer(struct timer *t)
{
	struct client *c = container_of(t, struct client, timer);

	client_pump_soon(c);
}
