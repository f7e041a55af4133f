/* Happy path of a call: directory (cached) -> nonce (pooled) -> POST -> reply.
 * Failure paths: no directory or no nonce: a problem of kind "connection" or "answer", or what the
 * CA said; badNonce: sign again with the nonce of that answer, at most CLIENT_BAD_NONCE_MAX times;
 * 404: the directory may have moved, it is read again for the next call.
 */
#include "control-plane/acme/client.h"

#include <stdio.h>

#include "common/core/clock.h"
#include "common/core/list.h"
#include "control-plane/acme/jws.h"
#include "control-plane/acme/message.h"
#include "control-plane/acme/nonce.h"

static const uint64_t directory_age_max_ns = UINT64_C(12) * 3600 * 1000000000;

struct client {
	struct fetcher *fetcher;
	char *directory_url;
	struct acme_directory directory;
	uint64_t directory_at_ns; /* 0: none */
	struct fetch *directory_fetch;
	struct link waiting; /* calls, for the directory */
	struct nonce_pool nonces;
	struct metric_family *requests; /* NULL: not counted */
};

struct client_call {
	struct link link; /* on client.waiting, or on none */
	struct client *client;
	enum client_endpoint endpoint;
	char url[ACME_URL_SIZE];
	EVP_PKEY *key;
	char *kid;
	struct buf payload;
	const uint64_t *until_ns;
	struct fetch *fetch;
	unsigned bad_nonces;
	client_done done;
	void *arg;
};

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
};

static int call_step(struct client_call *call, struct err *e) must_check;

int client_create(struct client **out, struct fetcher *f, const char *directory_url,
		  struct metrics *m, struct err *e)
{
	static const char *const labels[] = {"endpoint", "status", NULL};
	struct client *c = calloc(1, sizeof(*c));

	if (!c || !(c->directory_url = str_dup(str_from(directory_url)))) {
		free(c);
		return err_memory(e, "ACME client");
	}
	c->fetcher = f;
	list_init(&c->waiting);
	nonce_pool_init(&c->nonces);
	if (m)
		c->requests = metrics_family(m, METRIC_COUNTER, "cardea_acme_requests_total",
					     "Requests to the ACME authority.", labels, NULL, 0);
	*out = c;
	return 0;
}

void client_free(struct client *c)
{
	if (!c)
		return;
	fetch_cancel(c->directory_fetch);
	free(c->directory_url);
	free(c);
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

static void free_call(struct client_call *call)
{
	list_remove(&call->link);
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

static void fail(struct client_call *call, const struct problem *p)
{
	struct client_reply r = {.problem = *p, .retry_after_ms = p->retry_after_ms};

	finish(call, &r);
}

static void fail_err(struct client_call *call, const struct err *e)
{
	struct problem p;

	problem_from_err(&p, "connection", e);
	fail(call, &p);
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

/* --- directory --- */

/* Everybody who waited goes on, or gets the problem. */
static void end_waiting(struct client *c, const struct problem *p)
{
	struct link waiting;

	/* Those who call again from their callback wait for the next round. */
	list_init(&waiting);
	while (!list_empty(&c->waiting)) {
		struct link *it = list_first(&c->waiting);

		list_remove(it);
		list_push(&waiting, it);
	}
	while (!list_empty(&waiting)) {
		struct client_call *call =
			container_of(list_first(&waiting), struct client_call, link);
		struct err e = ERR_INIT;

		list_remove(&call->link);
		if (p)
			fail(call, p);
		else if (call_step(call, &e) != 0)
			fail_err(call, &e);
	}
}

static void on_directory(const struct fetch_reply *r, void *arg)
{
	struct client *c = arg;
	struct problem p;
	struct err e = ERR_INIT;

	c->directory_fetch = NULL;
	count_request(c, "directory", r);
	if (reply_problem(&p, r, "directory")) {
		/* Not our order that is gone, but the CA: nothing to start anew. */
		if (r->err.kind == ERR_NONE && r->status != 429 && r->status < 500)
			problem_own(&p, "answer", "the directory answers with status %u",
				    r->status);
		end_waiting(c, &p);
		return;
	}
	if (message_read_directory(&c->directory, r->body, &e) != 0) {
		err_prefix(&e, "directory");
		problem_own(&p, "answer", "%s", e.message);
		end_waiting(c, &p);
		return;
	}
	c->directory_at_ns = clock_mono_ns();
	end_waiting(c, NULL);
}

static bool directory_fresh(const struct client *c)
{
	return c->directory_at_ns != 0 &&
	       clock_mono_ns() - c->directory_at_ns < directory_age_max_ns;
}

static int wait_for_directory(struct client_call *call, struct err *e)
{
	struct client *c = call->client;
	const struct fetch_request r = {.method = FETCH_GET, .url = c->directory_url};

	if (!c->directory_fetch &&
	    fetch_start(&c->directory_fetch, c->fetcher, &r, on_directory, c, e) != 0)
		return err_prefix(e, "directory");
	list_push(&c->waiting, &call->link);
	return 0;
}

/* --- nonce --- */

static void on_nonce(const struct fetch_reply *r, void *arg)
{
	struct client_call *call = arg;
	struct err e = ERR_INIT;
	struct problem p;

	call->fetch = NULL;
	count_request(call->client, "new_nonce", r);
	if (reply_problem(&p, r, "new nonce")) {
		if (r->status == 404)
			call->client->directory_at_ns = 0;
		fail(call, &p);
		return;
	}
	if (!r->nonce.ptr || !message_nonce_ok(r->nonce)) {
		problem_own(&p, "answer", "the CA gives no usable Replay-Nonce");
		fail(call, &p);
		return;
	}
	nonce_put(&call->client->nonces, r->nonce);
	if (call_step(call, &e) != 0)
		fail_err(call, &e);
}

static int fetch_nonce(struct client_call *call, struct err *e)
{
	struct client *c = call->client;
	const struct fetch_request r = {.method = FETCH_HEAD, .url = c->directory.new_nonce};

	return fetch_start(&call->fetch, c->fetcher, &r, on_nonce, call, e);
}

/* --- the request itself --- */

/* Signs again at once; false when it has been tried enough. */
static bool again_with_new_nonce(struct client_call *call)
{
	struct err e = ERR_INIT;

	if (++call->bad_nonces > CLIENT_BAD_NONCE_MAX)
		return false;
	if (call_step(call, &e) != 0)
		fail_err(call, &e);
	return true;
}

static void on_post(const struct fetch_reply *r, void *arg)
{
	struct client_call *call = arg;
	struct client *c = call->client;
	struct client_reply reply = {.retry_after_ms = r->retry_after_ms};
	bool bad;

	call->fetch = NULL;
	count_request(c, endpoints[call->endpoint].name, r);
	bad = reply_problem(&reply.problem, r, endpoints[call->endpoint].name);
	if (bad && problem_is_acme(&reply.problem, "badNonce"))
		nonce_pool_clear(&c->nonces);
	if (r->nonce.ptr)
		nonce_put(&c->nonces, r->nonce);
	if (bad && problem_rule(&reply.problem)->action == PROBLEM_NEW_NONCE &&
	    again_with_new_nonce(call))
		return;
	if (bad && r->status == 404)
		c->directory_at_ns = 0;
	reply.status = r->status;
	reply.body = r->body;
	reply.location = r->location;
	finish(call, &reply);
}

static const char *call_url(const struct client_call *call)
{
	if (call->endpoint == CLIENT_NEW_ACCOUNT)
		return call->client->directory.new_account;
	if (call->endpoint == CLIENT_NEW_ORDER)
		return call->client->directory.new_order;
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
		rc = fetch_start(&call->fetch, call->client->fetcher, &r, on_post, call, e);
	}
	buf_deinit(&body);
	return rc;
}

/* Does the next thing that is missing. */
static int call_step(struct client_call *call, struct err *e)
{
	struct client *c = call->client;
	char nonce[ACME_NONCE_SIZE];

	if (!directory_fresh(c))
		return wait_for_directory(call, e);
	if (!nonce_take(&c->nonces, nonce))
		return fetch_nonce(call, e);
	return post(call, nonce, e);
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
	if (!call->key || buf_add_str(&call->payload, r->payload, e) != 0 ||
	    call_step(call, e) != 0)
		goto fail;
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
