/* The key is made before the row, and the row before the CA hears of it: a crash at any point
 * leaves either nothing or a row that the next control plane registers with the same key, which
 * the CA answers with the same account (RFC 8555 section 7.3.1).
 */
#include "control-plane/acme/account_internal.h"

#include <stdio.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "common/pki/key.h"
#include "control-plane/acme/jwk.h"
#include "control-plane/acme/message.h"

enum { PAUSE_MS = 500 }; /* while another control plane registers */

static const struct sm_state states[] = {
	[ACCOUNT_IDLE] = {"idle", SM_TO(ACCOUNT_READING)},
	[ACCOUNT_READING] = {"reading", SM_TO(ACCOUNT_MAKING) | SM_TO(ACCOUNT_LEASING) |
						SM_TO(ACCOUNT_READY) | SM_TO(ACCOUNT_IDLE)},
	[ACCOUNT_MAKING] = {"making", SM_TO(ACCOUNT_READING) | SM_TO(ACCOUNT_IDLE)},
	[ACCOUNT_LEASING] = {"leasing", SM_TO(ACCOUNT_BINDING) | SM_TO(ACCOUNT_REGISTERING) |
						SM_TO(ACCOUNT_READING) | SM_TO(ACCOUNT_IDLE)},
	[ACCOUNT_BINDING] = {"binding", SM_TO(ACCOUNT_REGISTERING) | SM_TO(ACCOUNT_IDLE)},
	[ACCOUNT_REGISTERING] = {"registering", SM_TO(ACCOUNT_SAVING) | SM_TO(ACCOUNT_IDLE)},
	[ACCOUNT_SAVING] = {"saving", SM_TO(ACCOUNT_READY) | SM_TO(ACCOUNT_IDLE)},
	[ACCOUNT_READY] = {"ready", SM_TO(ACCOUNT_IDLE)},
};
const struct sm account_sm = {"account", states, array_len(states)};
static_assert(array_len(states) == ACCOUNT_STATES, "one row per state");

static void account_move(struct account *a, enum account_state to)
{
	a->state = (enum account_state)sm_move(&account_sm, a->state, to, a->conf.directory);
}

static void read_row(struct account *a);

static void on_timer_closed(struct timer *t)
{
	struct account *a = container_of(t, struct account, timer);

	a->closed(a->closed_arg);
	EVP_PKEY_free(a->key);
	buf_deinit(&a->eab_hmac);
	free(a);
}

bool account_awoke(struct account *a)
{
	a->outstanding--;
	if (a->closing && a->outstanding == 0)
		timer_close(&a->timer, on_timer_closed);
	return !a->closing;
}

void account_query(struct account *a, const char *sql, const char *const *params, size_t n,
		   store_done done, void *arg)
{
	a->outstanding++;
	store_query(a->conf.store, sql, params, n, done, arg);
}

static void query(struct account *a, const char *sql, const char *const *params, size_t n,
		  store_done done)
{
	account_query(a, sql, params, n, done, a);
}

/* Ends the waiting of all who wait now. */
static void answer(struct account *a, const struct problem *p)
{
	struct link waiters;

	list_init(&waiters);
	while (!list_empty(&a->waiters)) {
		struct link *it = list_first(&a->waiters);

		list_remove(it);
		list_push(&waiters, it);
	}
	while (!list_empty(&waiters)) {
		struct account_waiter *w =
			container_of(list_first(&waiters), struct account_waiter, link);

		list_remove(&w->link);
		w->done(w, p);
	}
}

/* Ready, but perhaps the CA wants agreement before anything else. */
static void answer_ready(struct account *a)
{
	struct problem p;

	if (!a->terms[0]) {
		answer(a, NULL);
		return;
	}
	problem_own(&p, "terms", "the authority wants its terms of service agreed to: %s",
		    a->terms);
	answer(a, &p);
}

static void fail(struct account *a, const struct problem *p)
{
	account_move(a, ACCOUNT_IDLE);
	log_warn("ACME account not available", log_str("directory", a->conf.directory),
		 log_str("type", p->type), log_str("detail", p->detail));
	answer(a, p);
}

static void fail_err(struct account *a, const struct err *e)
{
	struct problem p;

	problem_from_err(&p, "account", e);
	fail(a, &p);
}

static void on_fire(struct timer *t)
{
	struct account *a = container_of(t, struct account, timer);

	if (a->closing)
		return;
	if (a->pausing) {
		a->pausing = false;
		read_row(a);
	} else if (a->state == ACCOUNT_READY) {
		answer_ready(a);
	} else if (a->state == ACCOUNT_IDLE && !list_empty(&a->waiters)) {
		/* Forgotten before they were told. */
		account_move(a, ACCOUNT_READING);
		read_row(a);
	}
}

/* --- the key and the row --- */

static void generate(struct work *w)
{
	struct account *a = container_of(w, struct account, work);

	err_clear(&a->work_err);
	if (a->conf.key ? jwk_or_pem_key(&a->key, str_from(a->conf.key), &a->work_err) != 0
			: key_generate(&a->key, KEY_EC_P256, &a->work_err) != 0)
		a->key = NULL;
}

static void on_inserted(const struct store_result *r, void *arg)
{
	struct account *a = arg;

	if (!account_awoke(a))
		return;
	if (r->fault != STORE_OK) {
		fail_err(a, &r->err);
		return;
	}
	/* Ours, or that of whoever was faster. */
	account_move(a, ACCOUNT_READING);
	read_row(a);
}

static int insert_row(struct account *a, struct err *e)
{
	struct buf der = {.secret = true}, sealed = BUF_INIT;
	char context[64];
	int rc = -1;

	if (uuid_make(a->id, e) != 0)
		return -1;
	snprintf(context, sizeof(context), "acme_accounts.key:%s", a->id);
	if (key_to_der(&der, a->key, e) == 0 &&
	    store_seal(a->conf.store, str_from(context), buf_str(&der), &sealed, e) == 0) {
		const char *params[] = {a->id, a->conf.directory, a->conf.email, sealed.data};

		query(a,
		      "INSERT INTO acme_accounts (id, directory, email, key) VALUES ($1, $2, $3, "
		      "$4::bytea) ON CONFLICT (directory, email) WHERE deactivated_at IS NULL DO "
		      "NOTHING",
		      params, array_len(params), on_inserted);
		rc = 0;
	}
	buf_deinit(&der);
	buf_deinit(&sealed);
	EVP_PKEY_free(a->key); /* the row is the truth: read back */
	a->key = NULL;
	return rc;
}

static void on_generated(struct work *w)
{
	struct account *a = container_of(w, struct account, work);
	struct err e = ERR_INIT;

	if (!account_awoke(a))
		return;
	if (!a->key)
		fail_err(a, &a->work_err);
	else if (insert_row(a, &e) != 0)
		fail_err(a, &e);
}

static void make(struct account *a)
{
	struct err e = ERR_INIT;

	account_move(a, ACCOUNT_MAKING);
	EVP_PKEY_free(a->key);
	a->key = NULL;
	if (work_start(&a->work, a->conf.loop, generate, on_generated, &e) != 0)
		fail_err(a, &e);
	else
		a->outstanding++;
}

/* --- registration --- */

static void on_saved(const struct store_result *r, void *arg)
{
	struct account *a = arg;

	if (!account_awoke(a))
		return;
	if (r->fault != STORE_OK) {
		fail_err(a, &r->err);
		return;
	}
	a->stale_kid[0] = '\0';
	account_move(a, ACCOUNT_READY);
	log_notice("ACME account ready", log_str("directory", a->conf.directory),
		   log_str("account", a->kid));
	answer(a, NULL);
}

static void on_released(const struct store_result *r, void *arg)
{
	(void)r; /* else the lease runs out */
	account_awoke(arg);
}

static void release_lease(struct account *a)
{
	const char *params[] = {a->id, a->conf.control_plane_id};

	query(a,
	      "UPDATE acme_accounts SET lease_owner = NULL, lease_until = NULL WHERE id = $1 AND "
	      "lease_owner = $2",
	      params, array_len(params), on_released);
}

static void on_registered(const struct client_reply *r, void *arg)
{
	struct account *a = arg;
	struct problem p = {.status = 0};
	const char *params[] = {a->id, a->conf.control_plane_id, a->kid};

	a->call = NULL;
	if (problem_is_set(&r->problem)) {
		release_lease(a);
		fail(a, &r->problem);
		return;
	}
	if (r->location.len == 0 || r->location.len >= sizeof(a->kid)) {
		problem_own(&p, "answer", "the CA's new account has no usable Location");
		release_lease(a);
		fail(a, &p);
		return;
	}
	memcpy(a->kid, r->location.ptr, r->location.len);
	a->kid[r->location.len] = '\0';
	account_move(a, ACCOUNT_SAVING);
	query(a,
	      "UPDATE acme_accounts SET url = $3, problem = NULL, lease_owner = NULL, lease_until "
	      "= NULL WHERE id "
	      "= $1 AND (lease_owner = $2 OR url IS NULL)",
	      params, array_len(params), on_saved);
}

/* The payload of newAccount; the directory says where it goes, which the binding signs. */
static int build_new_account(struct buf *out, const struct acme_directory *d, void *arg,
			     struct err *e)
{
	struct account *a = arg;
	const char *kid = a->conf.eab_kid ? a->conf.eab_kid : a->eab_kid;
	struct str hmac = a->conf.eab_kid ? str_from(a->conf.eab_hmac) : buf_str(&a->eab_hmac);
	struct buf binding = BUF_INIT;
	int rc = 0;

	if (kid[0])
		rc = eab_sign(&binding, kid, hmac, a->key, d->new_account, e);
	else if (d->external_account_required)
		rc = err_set(e, ERR_INVALID,
			     "the authority requires an external account binding: eab_kid and "
			     "eab_hmac_key");
	if (rc == 0)
		rc = message_new_account(out, a->conf.email, kid[0] ? binding.data : NULL, e);
	buf_deinit(&binding);
	return rc;
}

static void post_new_account(struct account *a)
{
	const struct client_request r = {
		.endpoint = CLIENT_NEW_ACCOUNT, .key = a->key, .build = build_new_account};
	struct err e = ERR_INIT;

	account_move(a, ACCOUNT_REGISTERING);
	if (client_post(&a->call, a->conf.client, &r, on_registered, a, &e) != 0) {
		release_lease(a);
		fail_err(a, &e);
	}
}

static void on_bound(struct account *a, const struct problem *p)
{
	if (!p) {
		post_new_account(a);
		return;
	}
	release_lease(a);
	fail(a, p);
}

/* With the lease: an external account binding first, where one is given for an e-mail address. */
static void begin_registering(struct account *a)
{
	if (a->conf.eab_kid || a->eab_kid[0] || !a->conf.eab_url || !a->conf.email[0]) {
		post_new_account(a);
		return;
	}
	account_move(a, ACCOUNT_BINDING);
	eab_fetch(a, on_bound);
}

static void on_leased(const struct store_result *r, void *arg)
{
	struct account *a = arg;

	if (!account_awoke(a))
		return;
	if (r->fault != STORE_OK) {
		fail_err(a, &r->err);
		return;
	}
	if (r->affected == 0) {
		account_move(a, ACCOUNT_READING);
		a->pausing = true;
		timer_start(&a->timer, PAUSE_MS, 0);
		return;
	}
	begin_registering(a);
}

static void lease(struct account *a)
{
	char ms[24];
	const char *params[] = {a->id, a->conf.control_plane_id, ms, a->stale_kid};

	snprintf(ms, sizeof(ms), "%llu", (unsigned long long)a->conf.lease_ms);
	account_move(a, ACCOUNT_LEASING);
	query(a,
	      "UPDATE acme_accounts SET url = NULL, lease_owner = $2, lease_until = now() + "
	      "$3::bigint * interval '1 millisecond' WHERE id = $1 AND (url IS NULL OR url = $4) "
	      "AND (lease_until IS NULL OR lease_until < now())",
	      params, array_len(params), on_leased);
}

/* --- reading --- */

static int load_binding(struct account *a, const json_t *row, struct err *e)
{
	const char *kid = json_string_value(json_object_get(row, "eab_kid"));
	const char *sealed = json_string_value(json_object_get(row, "eab_hmac"));
	char context[64];

	a->eab_kid[0] = '\0';
	buf_clear(&a->eab_hmac);
	if (!kid || !sealed || strlen(kid) >= sizeof(a->eab_kid))
		return 0;
	memcpy(a->eab_kid, kid, strlen(kid) + 1);
	snprintf(context, sizeof(context), "acme_accounts.eab:%s", a->id);
	return store_unseal(a->conf.store, str_from(context), str_from(sealed), &a->eab_hmac, e);
}

/* Why nothing may go on with it now. */
static void read_pause(struct account *a, const json_t *row)
{
	const char *terms = json_string_value(json_object_get(row, "terms_url"));

	snprintf(a->terms, sizeof(a->terms), "%s", terms ? terms : "");
	a->draining = json_is_true(json_object_get(row, "rolling"));
}

static int load_row(struct account *a, const json_t *row, struct err *e)
{
	const char *id = json_string_value(json_object_get(row, "id"));
	const char *sealed = json_string_value(json_object_get(row, "key"));
	const char *url = json_string_value(json_object_get(row, "url"));
	struct buf der = {.secret = true};
	char context[64];
	int rc = -1;

	if (!id || !sealed || strlen(id) >= sizeof(a->id) || (url && strlen(url) >= sizeof(a->kid)))
		return err_set(e, ERR_INTERNAL, "the row of the ACME account is broken");
	memcpy(a->id, id, strlen(id) + 1);
	snprintf(a->kid, sizeof(a->kid), "%s", url ? url : "");
	a->version = json_integer_value(json_object_get(row, "version"));
	if (load_binding(a, row, e) != 0)
		return -1;
	read_pause(a, row);
	snprintf(context, sizeof(context), "acme_accounts.key:%s", a->id);
	EVP_PKEY_free(a->key);
	a->key = NULL;
	if (store_unseal(a->conf.store, str_from(context), str_from(sealed), &der, e) == 0 &&
	    key_from_der(&a->key, buf_str(&der), e) == 0)
		rc = jws_thumbprint(a->thumbprint, a->key, e);
	buf_deinit(&der);
	return rc;
}

static void on_row(const struct store_result *r, void *arg)
{
	struct account *a = arg;
	struct err e = ERR_INIT;

	if (!account_awoke(a))
		return;
	if (r->fault != STORE_OK) {
		fail_err(a, &r->err);
	} else if (json_array_size(r->rows) == 0) {
		make(a);
	} else if (load_row(a, json_array_get(r->rows, 0), &e) != 0) {
		err_prefix(&e, "ACME account");
		fail_err(a, &e);
	} else if (a->kid[0] && !str_eq(str_from(a->kid), str_from(a->stale_kid))) {
		account_move(a, ACCOUNT_READY);
		answer_ready(a);
	} else {
		lease(a);
	}
}

static void read_row(struct account *a)
{
	const char *params[] = {a->conf.directory, a->conf.email};

	query(a,
	      "SELECT id, key, url, version, eab_kid, eab_hmac, terms_url, next_key IS NOT NULL AS "
	      "rolling FROM acme_accounts WHERE directory = $1 AND email = $2 AND deactivated_at "
	      "IS NULL",
	      params, array_len(params), on_row);
}

/* --- for the engine --- */

int account_create(struct account **out, const struct account_conf *c, struct err *e)
{
	struct account *a = calloc(1, sizeof(*a));

	if (!a)
		return err_memory(e, "ACME account");
	a->conf = *c;
	a->eab_hmac.secret = true;
	list_init(&a->waiters);
	list_init(&a->changes);
	timer_init(&a->timer, c->loop, on_fire);
	*out = a;
	return 0;
}

void account_close(struct account *a, void (*closed)(void *arg), void *arg)
{
	a->closing = true;
	a->closed = closed;
	a->closed_arg = arg;
	client_cancel(a->call);
	a->call = NULL;
	fetch_cancel(a->fetch);
	a->fetch = NULL;
	roll_cancel(a);
	changes_cancel(a);
	timer_stop(&a->timer);
	if (a->outstanding == 0)
		timer_close(&a->timer, on_timer_closed);
}

void account_wait(struct account *a, struct account_waiter *w)
{
	list_push(&a->waiters, &w->link);
	if (a->state == ACCOUNT_READY) {
		timer_start(&a->timer, 0, 0);
	} else if (a->state == ACCOUNT_IDLE) {
		account_move(a, ACCOUNT_READING);
		read_row(a);
	}
}

bool account_ready(const struct account *a)
{
	return a->state == ACCOUNT_READY;
}

EVP_PKEY *account_key(const struct account *a)
{
	return a->key;
}

const char *account_kid(const struct account *a)
{
	return a->kid;
}

const char *account_thumbprint(const struct account *a)
{
	return a->thumbprint;
}

const char *account_id(const struct account *a)
{
	return a->id;
}

void account_forget(struct account *a, const char *kid)
{
	if (a->state != ACCOUNT_READY || !str_eq(str_from(a->kid), str_from(kid)))
		return;
	log_notice("the CA does not know our account any more",
		   log_str("directory", a->conf.directory), log_str("account", kid));
	snprintf(a->stale_kid, sizeof(a->stale_kid), "%s", kid);
	account_move(a, ACCOUNT_IDLE);
}

/* --- what others do with it --- */

bool account_blocked(const struct account *a)
{
	return a->terms[0] != '\0' || a->draining;
}

bool account_draining(const struct account *a)
{
	return a->draining;
}

void account_reload(struct account *a)
{
	if (a->state == ACCOUNT_READY)
		account_move(a, ACCOUNT_IDLE);
}

static void on_watched(const struct store_result *r, void *arg)
{
	struct account *a = arg;
	const json_t *row = json_array_get(r->rows, 0);

	a->watching = false;
	if (!account_awoke(a) || r->fault != STORE_OK)
		return;
	if (!row || json_integer_value(json_object_get(row, "version")) != a->version) {
		log_notice("the ACME account changed", log_str("directory", a->conf.directory));
		a->terms[0] = '\0';
		a->draining = false;
		a->id[0] = '\0';
		account_reload(a);
		return;
	}
	read_pause(a, row);
	if (json_is_true(json_object_get(row, "drained")) && a->state == ACCOUNT_READY)
		roll_start(a);
}

void account_watch(struct account *a)
{
	const char *params[] = {a->id};

	if (a->watching || a->closing || !a->id[0] ||
	    (a->state != ACCOUNT_READY && !account_blocked(a)))
		return;
	a->watching = true;
	query(a,
	      "SELECT version, terms_url, next_key IS NOT NULL AS rolling, coalesce(next_key_at < "
	      "now() - interval '3 seconds' AND (next_key_at < now() - interval '1 minute' OR NOT "
	      "EXISTS (SELECT 1 FROM acme_orders o WHERE o.ca = a.directory AND o.state IN "
	      "('publishing', 'validating'))), false) AS drained FROM acme_accounts a WHERE id = "
	      "$1 AND deactivated_at IS NULL",
	      params, array_len(params), on_watched);
}
