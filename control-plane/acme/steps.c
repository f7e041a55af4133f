/* One function per state of an order: what is asked of the CA there, and where the answer leads.
 *
 * Happy path: new -> (newOrder) authorizing -> (authorization) publishing -> (barrier) validating
 * -> (challenge, authorization) finalizing -> (CSR, order) downloading -> (certificate) install.c.
 * Failure path: everything goes to order_trouble, which asks the table of problem.c.
 * Every step leaves by exactly one of: order_post, order_save, a timer, a barrier, a work,
 * order_trouble, order_end.
 */
#include <stdio.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "common/pki/csr.h"
#include "control-plane/acme/engine.h"

/* Between the challenge's POST and the first look at the authorization, unless a data plane reports
 * the CA's request earlier (RFC 8555 section 7.5.1). */
enum { HIT_WAIT_MS = 3000 };
/* From the first hit to the first look: the CA asks from several places and then has to think. */
enum { HIT_SETTLE_MS = 10 };
enum { CA_WAIT_S = 60 }; /* for a validation or an issuance, in one run */
enum { REREAD_MAX = 3 };

static void read_authorization(struct order *o);
static void read_order(struct order *o);
static void send_csr(struct order *o);

/* --- trouble --- */

static void trouble_err(struct order *o, const char *kind, const struct err *e)
{
	struct problem p;

	problem_from_err(&p, kind, e);
	order_trouble(o, &p);
}

/* For answers that make no sense. */
static void bad_answer(struct order *o, const struct err *e)
{
	trouble_err(o, "answer", e);
}

/* Looks again after a growing pause, or gives up. */
static void poll_later(struct order *o, int64_t retry_after_ms, void (*look)(struct order *o))
{
	struct problem p;

	if (o->polls == 0 && !o->deadline_ns)
		o->deadline_ns = clock_mono_ns() + CA_WAIT_S * UINT64_C(1000000000);
	if (clock_mono_ns() > o->deadline_ns) {
		problem_own(&p, "timeout", "the CA was not done after %d seconds of %s", CA_WAIT_S,
			    order_state_name(o->state));
		order_trouble(o, &p);
		return;
	}
	o->then = look;
	timer_start(&o->timer, backoff_poll_ms(o->polls++, retry_after_ms), 0);
}

static void begin_polling(struct order *o)
{
	o->polls = 0;
	o->deadline_ns = 0;
}

/* --- new --- */

static void on_new_order(struct order *o, const struct client_reply *r)
{
	struct acme_order_doc d;
	struct err e = ERR_INIT;

	if (problem_is_set(&r->problem)) {
		order_trouble(o, &r->problem);
		return;
	}
	if (message_read_order(&d, r->body, &e) != 0) {
		bad_answer(o, &e);
		return;
	}
	if (r->location.len == 0 || r->location.len >= sizeof(o->order_url)) {
		err_set(&e, ERR_INVALID, "the CA's new order has no usable Location");
		bad_answer(o, &e);
		return;
	}
	memcpy(o->order_url, r->location.ptr, r->location.len);
	o->order_url[r->location.len] = '\0';
	memcpy(o->authorization_url, d.authorization, sizeof(d.authorization));
	memcpy(o->finalize_url, d.finalize, sizeof(d.finalize));
	order_move(o, ORDER_AUTHORIZING);
	order_save(o, order_step);
}

static void post_new_order(struct order *o)
{
	struct buf body = BUF_INIT;
	struct err e = ERR_INIT;

	if (message_new_order(&body, o->host, &e) != 0)
		trouble_err(o, "internal", &e);
	else
		order_post(o, CLIENT_NEW_ORDER, NULL, body.data, on_new_order);
	buf_deinit(&body);
}

static void on_sni_checked(const struct store_result *r, void *arg)
{
	struct order *o = arg;
	struct problem p;

	if (!order_awoke(o))
		return;
	if (r->fault != STORE_OK) {
		order_saved(o, r);
		return;
	}
	if (json_array_size(r->rows) != 0) {
		problem_own(&p, "sni",
			    "the SNI %s belongs to a certificate that is not tagged "
			    "managed-by-acme; delete that SNI first",
			    o->host);
		order_trouble(o, &p);
		return;
	}
	post_new_order(o);
}

/* A certificate that somebody put there by hand is never replaced: that is said before the CA is
 * bothered. */
static void step_new(struct order *o)
{
	const char *params[] = {o->host};

	order_sleep(o);
	store_query(o->acme->store,
		    "SELECT s.id FROM snis s JOIN certificates c ON c.id = s.certificate WHERE "
		    "lower(s.name) = $1 AND NOT coalesce('managed-by-acme' = ANY (c.tags), false)",
		    params, array_len(params), on_sni_checked, o);
}

/* --- authorizing --- */

static void generate_key(struct work *w)
{
	struct order *o = container_of(w, struct order, work);

	if (key_generate(&o->key, o->key_type, &o->work_err) != 0)
		o->key = NULL;
}

static int seal_key(struct order *o, struct err *e)
{
	struct buf der = {.secret = true};
	char context[64];
	int rc = -1;

	snprintf(context, sizeof(context), "acme_orders.key:%s", o->id);
	buf_deinit(&o->sealed_key);
	if (key_to_der(&der, o->key, e) == 0)
		rc = store_seal(o->acme->store, str_from(context), buf_str(&der), &o->sealed_key,
				e);
	buf_deinit(&der);
	return rc;
}

static void on_key(struct work *w)
{
	struct order *o = container_of(w, struct order, work);
	struct err e = ERR_INIT;

	if (!order_awoke(o))
		return;
	if (!o->key) {
		trouble_err(o, "internal", &o->work_err);
		return;
	}
	if (seal_key(o, &e) != 0) {
		trouble_err(o, "internal", &e);
		return;
	}
	o->resumed = false;
	begin_polling(o);
	order_move(o, ORDER_FINALIZING);
	order_save(o, order_step);
}

/* The authorization is valid: a fresh key, stored with the move, before the CA sees it. */
static void begin_finalizing(struct order *o)
{
	struct err e = ERR_INIT;

	EVP_PKEY_free(o->key);
	o->key = NULL;
	err_clear(&o->work_err);
	if (work_start(&o->work, o->acme->loop, generate_key, on_key, &e) != 0)
		trouble_err(o, "internal", &e);
	else
		order_sleep(o);
}

static void on_published(const struct store_result *r, void *arg)
{
	struct order *o = arg;

	if (!order_awoke(o) || !order_saved(o, r))
		return;
	o->challenge_revision = r->revision;
	order_step(o);
}

static json_t *challenge_row(const struct order *o, const char *token)
{
	char authorization[ACME_TOKEN_SIZE + JWS_THUMBPRINT_SIZE];

	snprintf(authorization, sizeof(authorization), "%s.%s", token,
		 account_thumbprint(o->acme->account));
	return json_pack("{s:s, s:I, s:I, s:s, s:s, s:s}", "id", o->challenge_id, "created_at",
			 (json_int_t)clock_wall_s(), "updated_at", (json_int_t)clock_wall_s(),
			 "host", o->host, "token", token, "key_authorization", authorization);
}

/* The challenge enters the fleet's state in one revision with the order's move. */
static void publish(struct order *o, const struct acme_authorization_doc *d)
{
	struct err e = ERR_INIT;
	struct txn *t = NULL;
	json_t *row = NULL;

	memcpy(o->challenge_url, d->challenge_url, sizeof(d->challenge_url));
	if (uuid_make(o->challenge_id, &e) == 0) {
		row = challenge_row(o, d->token);
		t = txn_create(o->acme->store, NULL);
	}
	if (!row || !t) {
		txn_free(t);
		json_decref(row);
		o->challenge_id[0] = '\0';
		err_memory(&e, "publishing a challenge");
		trouble_err(o, "internal", &e);
		return;
	}
	order_move(o, ORDER_PUBLISHING);
	order_save_in(o, t);
	txn_insert(t, &entity_acme_challenges, row);
	order_note(o, t, &entity_acme_challenges, o->challenge_id);
	json_decref(row);
	order_sleep(o);
	txn_commit(t, on_published, o);
}

/* An authorization that will not become valid: the challenge's error says why. */
static void authorization_spent(struct order *o, const struct acme_authorization_doc *d)
{
	struct problem p = d->error;

	if (!problem_is_set(&p))
		problem_own(&p, "gone", "the CA's authorization is %s",
			    acme_status_name(d->status));
	order_spent(o, &p);
}

/* Common to authorizing and validating; false: the order's step is already over. */
static bool read_authorization_reply(struct order *o, const struct client_reply *r,
				     struct acme_authorization_doc *d)
{
	struct err e = ERR_INIT;

	if (problem_is_set(&r->problem)) {
		order_trouble(o, &r->problem);
		return false;
	}
	if (message_read_authorization(d, r->body, &e) != 0) {
		bad_answer(o, &e);
		return false;
	}
	if (!str_eq(str_from(d->host), str_from(o->host))) {
		err_set(&e, ERR_INVALID, "the CA's authorization is for %s", d->host);
		bad_answer(o, &e);
		return false;
	}
	return true;
}

static void on_authorization(struct order *o, const struct client_reply *r)
{
	struct acme_authorization_doc d;
	struct problem p;

	if (!read_authorization_reply(o, r, &d))
		return;
	if (d.status == ACME_VALID) {
		begin_finalizing(o);
	} else if (d.status != ACME_PENDING) {
		authorization_spent(o, &d);
	} else if (!d.http01) {
		problem_own(&p, "challenge", "the CA offers no http-01 challenge for %s", o->host);
		order_trouble(o, &p);
	} else {
		publish(o, &d);
	}
}

static void step_authorizing(struct order *o)
{
	order_post(o, CLIENT_AUTHORIZATION, o->authorization_url, NULL, on_authorization);
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
		o->problem = p;
		o->problem_at = clock_wall_s();
		log_warn("going on without late data planes", log_str("id", o->id),
			 log_str("host", o->host), log_str("detail", p.detail));
	}
	o->resumed = false;
	begin_polling(o);
	order_move(o, ORDER_VALIDATING);
	order_save(o, order_step);
}

static void step_publishing(struct order *o)
{
	struct err e = ERR_INIT;
	struct problem p;

	if (o->challenge_revision == 0) {
		problem_own(&p, "gone", "the challenge is not in the fleet's state any more");
		order_trouble(o, &p);
		return;
	}
	if (fleet_wait(&o->barrier, o->acme->fleet, o->challenge_revision,
		       o->acme->conf.barrier_timeout_ms, on_barrier, o, &e) != 0)
		trouble_err(o, "internal", &e);
}

/* --- validating --- */

static void on_challenge(struct order *o, const struct client_reply *r)
{
	if (problem_is_set(&r->problem)) {
		/* It may have been decided already: the authorization knows. */
		if (problem_is_acme(&r->problem, "malformed") && o->rereads++ < REREAD_MAX)
			read_authorization(o);
		else
			order_trouble(o, &r->problem);
		return;
	}
	o->then = read_authorization;
	timer_start(&o->timer, o->hit ? HIT_SETTLE_MS : HIT_WAIT_MS, 0);
}

void order_hit(struct order *o)
{
	o->hit = true;
	if (o->state == ORDER_VALIDATING && o->then == read_authorization && o->polls == 0)
		timer_start(&o->timer, HIT_SETTLE_MS, 0);
}

static void post_challenge(struct order *o)
{
	o->resumed = false;
	order_post(o, CLIENT_CHALLENGE, o->challenge_url, "{}", on_challenge);
}

static void on_validation(struct order *o, const struct client_reply *r)
{
	struct acme_authorization_doc d;

	if (!read_authorization_reply(o, r, &d))
		return;
	if (d.status == ACME_VALID)
		begin_finalizing(o);
	else if (d.status != ACME_PENDING)
		authorization_spent(o, &d);
	else if (o->resumed && d.http01 && d.challenge_status == ACME_PENDING)
		post_challenge(o);
	else
		poll_later(o, r->retry_after_ms, read_authorization);
}

static void read_authorization(struct order *o)
{
	order_post(o, CLIENT_AUTHORIZATION, o->authorization_url, NULL, on_validation);
}

/* After a take-over nobody knows whether the CA was told: it is asked first. */
static void step_validating(struct order *o)
{
	if (o->resumed)
		read_authorization(o);
	else
		post_challenge(o);
}

/* --- finalizing --- */

static void follow_order(struct order *o, const struct acme_order_doc *d, int64_t retry_after_ms)
{
	struct problem p = d->error;

	if (d->status == ACME_VALID) {
		memcpy(o->certificate_url, d->certificate, sizeof(d->certificate));
		order_move(o, ORDER_DOWNLOADING);
		order_save(o, order_step);
	} else if (d->status == ACME_READY && o->resumed) {
		send_csr(o);
	} else if (d->status != ACME_INVALID) {
		poll_later(o, retry_after_ms, read_order);
	} else {
		if (!problem_is_set(&p))
			problem_own(&p, "gone", "the CA's order is invalid");
		order_spent(o, &p);
	}
}

static void on_order(struct order *o, const struct client_reply *r)
{
	struct acme_order_doc d;
	struct err e = ERR_INIT;

	if (problem_is_set(&r->problem))
		order_trouble(o, &r->problem);
	else if (message_read_order(&d, r->body, &e) != 0)
		bad_answer(o, &e);
	else
		follow_order(o, &d, r->retry_after_ms);
}

static void read_order(struct order *o)
{
	order_post(o, CLIENT_ORDER, o->order_url, NULL, on_order);
}

/* The key of the row, when this run did not make it itself. */
static int open_key(struct order *o, struct err *e)
{
	struct buf der = {.secret = true};
	char context[64];
	int rc = -1;

	if (o->key)
		return 0;
	snprintf(context, sizeof(context), "acme_orders.key:%s", o->id);
	if (store_unseal(o->acme->store, str_from(context), buf_str(&o->sealed_key), &der, e) == 0)
		rc = key_from_der(&o->key, buf_str(&der), e);
	buf_deinit(&der);
	return rc;
}

static int make_csr(struct order *o, struct buf *body, struct err *e)
{
	const struct str names[] = {str_from(o->host)};
	struct buf csr = BUF_INIT;
	int rc = -1;

	if (csr_make(&csr, o->key, names, array_len(names), e) == 0)
		rc = message_finalize(body, buf_str(&csr), e);
	buf_deinit(&csr);
	return rc;
}

static void send_csr(struct order *o)
{
	struct buf body = BUF_INIT;
	struct err e = ERR_INIT;

	o->resumed = false;
	if (make_csr(o, &body, &e) != 0)
		trouble_err(o, "internal", &e);
	else
		order_post(o, CLIENT_FINALIZE, o->finalize_url, body.data, on_order);
	buf_deinit(&body);
}

/* A key that does not open any more costs the CA's order, not the host. */
static void key_lost(struct order *o, const struct err *e)
{
	struct problem p;

	problem_own(&p, "gone", "the certificate's key cannot be opened: %s", e->message);
	order_trouble(o, &p);
}

static void step_finalizing(struct order *o)
{
	struct err e = ERR_INIT;

	if (open_key(o, &e) != 0)
		key_lost(o, &e);
	else if (o->resumed)
		read_order(o);
	else
		send_csr(o);
}

/* --- downloading --- */

/* A certificate that is wrong fails the order; what is none at all (a proxy's page) comes again. */
static void on_certificate(struct order *o, const struct client_reply *r)
{
	static const char begin[] = "-----BEGIN CERTIFICATE-----";
	struct err e = ERR_INIT;

	if (problem_is_set(&r->problem)) {
		order_trouble(o, &r->problem);
	} else if (r->body.len == 0 ||
		   !memmem(r->body.ptr, r->body.len, begin, sizeof(begin) - 1)) {
		err_set(&e, ERR_INVALID, "the CA's answer holds no certificate");
		bad_answer(o, &e);
	} else {
		order_install(o, r->body);
	}
}

static void step_downloading(struct order *o)
{
	struct err e = ERR_INIT;

	if (open_key(o, &e) != 0)
		key_lost(o, &e);
	else
		order_post(o, CLIENT_CERTIFICATE, o->certificate_url, NULL, on_certificate);
}

/* --- the table --- */

static void (*const steps[ORDER_STATES])(struct order *o) = {
	[ORDER_NEW] = step_new,
	[ORDER_AUTHORIZING] = step_authorizing,
	[ORDER_PUBLISHING] = step_publishing,
	[ORDER_VALIDATING] = step_validating,
	[ORDER_FINALIZING] = step_finalizing,
	[ORDER_DOWNLOADING] = step_downloading,
	[ORDER_VALID] = order_end,
	[ORDER_FAILED] = order_end,
};

static void on_account(struct account_waiter *w, const struct problem *p)
{
	struct order *o = container_of(w, struct order, waiter);

	if (p)
		order_trouble(o, p);
	else
		steps[o->state](o);
}

void order_step(struct order *o)
{
	if (account_ready(o->acme->account)) {
		steps[o->state](o);
		return;
	}
	o->waiter.done = on_account;
	account_wait(o->acme->account, &o->waiter);
}
