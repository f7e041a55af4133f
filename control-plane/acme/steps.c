/* One function per state of an order: what is asked of the CA there, and where the answer leads.
 *
 * Happy path: new -> (newOrder) authorizing -> validate.c -> finalizing -> (CSR, order) downloading
 * -> (certificate) install.c.
 * Failure path: everything goes to order_trouble, which asks the table of problem.c.
 * Every step leaves by exactly one of: order_post, order_save, a timer, a barrier, a work,
 * order_trouble, order_end.
 */
#include <stdio.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "common/pki/csr.h"
#include "control-plane/acme/engine.h"
#include "control-plane/acme/names.h"

enum { CA_WAIT_S = 60 }; /* for a validation or an issuance, in one run */

static void read_order(struct order *o);
static void send_csr(struct order *o);

/* --- trouble --- */

void order_trouble_err(struct order *o, const char *kind, const struct err *e)
{
	struct problem p;

	problem_from_err(&p, kind, e);
	order_trouble(o, &p);
}

/* For answers that make no sense. */
static void bad_answer(struct order *o, const struct err *e)
{
	order_trouble_err(o, "answer", e);
}

/* Looks again after a growing pause, or gives up. */
void order_poll_later(struct order *o, int64_t retry_after_ms, void (*look)(struct order *o))
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

void order_poll_begin(struct order *o)
{
	o->polls = 0;
	o->deadline_ns = 0;
}

/* --- new --- */

/* The order's URL and its authorizations; the document is read already. */
static int take_order(struct order *o, const struct acme_order_doc *d, struct str location,
		      struct err *e)
{
	if (location.len == 0 || location.len >= sizeof(o->order_url))
		return err_set(e, ERR_INVALID, "the CA's new order has no usable Location");
	if (authorizations_load(&o->authorizations, d->authorizations, o, e) != 0)
		return -1;
	memcpy(o->order_url, location.ptr, location.len);
	o->order_url[location.len] = '\0';
	memcpy(o->finalize_url, d->finalize, sizeof(d->finalize));
	return 0;
}

/* Pebble before 2.9 has no other word for a profile that it does not have; the rest is verdict.c's.
 */
static bool malformed_profile(struct order *o, const struct problem *p)
{
	if (!problem_is_acme(p, "malformed") || !o->sent_profile || o->profile_required)
		return false;
	o->no_profile = true;
	return true;
}

static void post_new_order(struct order *o);

static void new_order_refused(struct order *o, const struct client_reply *r)
{
	struct problem p;

	if (o->profile_missing) {
		problem_own(&p, "profile", "the authority has no profile %s", o->profile);
		order_trouble(o, &p);
	} else if (malformed_profile(o, &r->problem)) {
		post_new_order(o);
	} else {
		order_blame(o, problem_subproblems(r->body));
		order_trouble(o, &r->problem);
	}
}

static void on_new_order(struct order *o, const struct client_reply *r)
{
	struct acme_order_doc d;
	struct err e = ERR_INIT;

	if (problem_is_set(&r->problem)) {
		new_order_refused(o, r);
		return;
	}
	if (message_read_order(&d, r->body, &e) != 0) {
		bad_answer(o, &e);
		return;
	}
	if (take_order(o, &d, r->location, &e) == 0) {
		order_move(o, ORDER_AUTHORIZING);
		order_save(o, order_step);
	} else {
		bad_answer(o, &e);
	}
	json_decref(d.authorizations);
}

/* RFC 9773 section 5: only the CA that issued the predecessor knows it. */
static bool may_replace(const struct order *o, const struct acme_directory *d)
{
	return o->replaces[0] && d->renewal_info[0] && o->ca_before &&
	       str_eq(str_from(o->ca_before), str_from(o->authority->conf.directory));
}

static int build_new_order(struct buf *out, const struct acme_directory *d, void *arg,
			   struct err *e)
{
	struct order *o = arg;
	bool offered = names_has(str_from(d->profiles), str_from(o->profile));
	struct message_order m = {.names = order_names(o), .not_after = o->wanted_not_after};

	o->profile_missing = o->profile[0] && o->profile_required && !offered;
	if (o->profile_missing)
		return err_set(e, ERR_INVALID, "the authority has no profile %s", o->profile);
	o->sent_profile = o->profile[0] && offered && !o->no_profile;
	m.profile = o->sent_profile ? o->profile : NULL;
	m.replaces = may_replace(o, d) ? o->replaces : NULL;
	return message_new_order(out, &m, e);
}

static void post_new_order(struct order *o)
{
	order_post_built(o, CLIENT_NEW_ORDER, build_new_order, on_new_order);
}

/* The row of one of the order's names; NULL: none. */
static const json_t *row_of_names(const json_t *rows, const struct order *o)
{
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		const char *name = json_string_value(json_object_get(row, "host"));

		if (name && names_has(order_names(o), str_from(name)))
			return row;
	}
	return NULL;
}

static void sni_checked(struct order *o, const struct store_result *r)
{
	const json_t *row = row_of_names(r->rows, o);
	struct problem p;

	if (r->fault != STORE_OK) {
		order_saved(o, r);
	} else if (row) {
		problem_own(&p, "sni",
			    "the SNI %s belongs to a certificate that is not tagged "
			    "managed-by-acme; delete that SNI first",
			    json_string_value(json_object_get(row, "name")));
		order_trouble(o, &p);
	} else {
		post_new_order(o);
	}
}

static void on_snis_checked(const struct store_result *r, void *arg)
{
	group_answer(arg, r, sni_checked);
}

/* A certificate that somebody put there by hand is never replaced: that is said before the CA is
 * bothered. */
void order_check_snis(struct group_batch *b)
{
	static const char sql[] =
		"SELECT s.name, lower(s.name) AS host FROM snis s JOIN certificates c ON c.id = "
		"s.certificate WHERE lower(s.name) = ANY (string_to_array($1, ' ')) AND NOT "
		"coalesce('managed-by-acme' = ANY (c.tags), false)";
	struct store_result failed = {.fault = STORE_FAILED, .err = ERR_INIT};
	struct buf names = BUF_INIT;

	if (group_names(b, &names, &failed.err) == 0)
		store_query(b->orders[0]->acme->store, sql, (const char *[]){names.data}, 1,
			    on_snis_checked, b);
	else
		on_snis_checked(&failed, b);
	buf_deinit(&names);
}

static void step_new(struct order *o)
{
	group_add(&o->acme->sni_checks, o);
}

/* --- finalizing --- */

static void generate_key(struct work *w)
{
	struct order *o = container_of(w, struct order, work);

	if (key_generate_once(&o->key, o->key_type, &o->work_err) != 0)
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
		order_trouble_err(o, "internal", &o->work_err);
		return;
	}
	if (seal_key(o, &e) != 0) {
		order_trouble_err(o, "internal", &e);
		return;
	}
	o->resumed = false;
	order_poll_begin(o);
	order_move(o, ORDER_FINALIZING);
	order_save(o, order_step);
}

/* A fresh key, stored with the move, before the CA sees it. */
void order_finalize(struct order *o)
{
	struct err e = ERR_INIT;

	EVP_PKEY_free(o->key);
	o->key = NULL;
	err_clear(&o->work_err);
	if (work_start(&o->work, o->acme->loop, generate_key, on_key, &e) != 0)
		order_trouble_err(o, "internal", &e);
	else
		order_sleep(o);
}

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
		order_poll_later(o, retry_after_ms, read_order);
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

	if (problem_is_set(&r->problem)) {
		order_blame(o, problem_subproblems(r->body));
		order_trouble(o, &r->problem);
	} else if (message_read_order(&d, r->body, &e) != 0) {
		bad_answer(o, &e);
	} else {
		follow_order(o, &d, r->retry_after_ms);
		json_decref(d.authorizations);
	}
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
		rc = key_open(&o->key, buf_str(&der), e);
	buf_deinit(&der);
	return rc;
}

static int make_csr(struct order *o, struct buf *body, struct err *e)
{
	struct str names[NAMES_MAX], rest = order_names(o);
	struct buf csr = BUF_INIT;
	size_t n = 0;
	int rc = -1;

	while (n < NAMES_MAX && str_split(&rest, ' ', &names[n]))
		n++;
	if (csr_make(&csr, o->key, names, n, e) == 0)
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
		order_trouble_err(o, "internal", &e);
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

static void step_downloading(struct order *o)
{
	struct err e = ERR_INIT;

	if (open_key(o, &e) != 0)
		key_lost(o, &e);
	else
		order_download(o);
}

/* --- the table --- */

static void (*const steps[ORDER_STATES])(struct order *o) = {
	[ORDER_NEW] = step_new,
	[ORDER_AUTHORIZING] = order_step_authorizing,
	[ORDER_PUBLISHING] = order_step_publishing,
	[ORDER_VALIDATING] = order_step_validating,
	[ORDER_FINALIZING] = step_finalizing,
	[ORDER_DOWNLOADING] = step_downloading,
	[ORDER_VALID] = order_end,
	[ORDER_FAILED] = order_end,
	[ORDER_PAUSED] = order_end,
	[ORDER_PARKED] = order_end,
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
	order_blame(o, NULL);
	if (account_ready(o->authority->account)) {
		steps[o->state](o);
		return;
	}
	o->waiter.done = on_account;
	account_wait(o->authority->account, &o->waiter);
}
