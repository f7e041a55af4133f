/* What operators change at an account: the CA is asked first, then the row is written. */
#include <stdio.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "common/pki/key.h"
#include "control-plane/acme/account_internal.h"
#include "control-plane/acme/jwk.h"

struct change {
	struct link link; /* on account.changes */
	struct account *account;
	enum account_change_kind kind;
	json_t *value; /* NULL: none */
	struct account_waiter waiter;
	struct client_call *call;
	struct work work;
	EVP_PKEY *key;
	struct err err;
	bool running; /* a query or work will call back */
	bool cancelled;
	void (*done)(const struct problem *p, void *arg);
	void *arg;
};

struct kind {
	const char *name;
	const char *payload; /* NULL: the value, under "contact"; nothing is asked of the CA */
	const char *sql;     /* $1: id, $2: value or sealed key */
};

static const struct kind kinds[ACCOUNT_CHANGES] = {
	[ACCOUNT_CHANGE_AGREE] = {"agreed", "{\"termsOfServiceAgreed\":true}",
				  "UPDATE acme_accounts SET terms_url = NULL, problem = NULL WHERE "
				  "id = $1 AND $2::text IS NULL"},
	[ACCOUNT_CHANGE_CONTACT] = {"contact changed", NULL,
				    "UPDATE acme_accounts SET contact = $2::jsonb WHERE id = $1"},
	[ACCOUNT_CHANGE_DEACTIVATE] = {"deactivated", "{\"status\":\"deactivated\"}",
				       "UPDATE acme_accounts SET deactivated_at = now(), version = "
				       "version + 1 WHERE id = $1 AND $2::text IS NULL"},
	[ACCOUNT_CHANGE_KEY] = {"new key stored", NULL,
				"UPDATE acme_accounts SET next_key = $2::bytea, next_key_at = "
				"now(), problem = NULL WHERE id = $1 AND deactivated_at IS NULL"},
};

static void free_change(struct change *c)
{
	list_remove(&c->link);
	list_remove(&c->waiter.link);
	client_cancel(c->call);
	EVP_PKEY_free(c->key);
	json_decref(c->value);
	free(c);
}

static void finish(struct change *c, const struct problem *p)
{
	void (*done)(const struct problem *, void *) = c->done;
	void *arg = c->arg;

	if (p)
		log_warn("the ACME account could not be changed",
			 log_str("directory", c->account->conf.directory),
			 log_str("change", kinds[c->kind].name), log_str("detail", p->detail));
	else
		log_notice("ACME account changed", log_str("directory", c->account->conf.directory),
			   log_str("change", kinds[c->kind].name));
	free_change(c);
	if (done)
		done(p, arg);
}

static void finish_err(struct change *c, const struct err *e)
{
	struct problem p;

	problem_from_err(&p, "account", e);
	finish(c, &p);
}

/* Whoever waits is told: without an answer neither its request nor the engine would ever end. */
static void give_up(struct change *c)
{
	struct problem p;

	problem_own(&p, "account",
		    "the account's authority is being closed here, and whether it had taken the "
		    "change is not known: look at the account, and try again");
	p.status = 503;
	finish(c, &p);
}

/* --- the row --- */

static void on_stored(const struct store_result *r, void *arg)
{
	struct change *c = arg;
	struct account *a = c->account;

	c->running = false;
	if (!account_awoke(a) || c->cancelled) {
		give_up(c);
		return;
	}
	if (r->fault != STORE_OK) {
		finish_err(c, &r->err);
		return;
	}
	if (c->kind == ACCOUNT_CHANGE_AGREE)
		a->terms[0] = '\0';
	if (c->kind == ACCOUNT_CHANGE_KEY)
		a->draining = true;
	if (c->kind == ACCOUNT_CHANGE_DEACTIVATE)
		account_reload(a);
	finish(c, NULL);
}

static void store(struct change *c, const char *value)
{
	const char *params[] = {c->account->id, value};

	c->running = true;
	account_query(c->account, kinds[c->kind].sql, params, array_len(params), on_stored, c);
}

/* --- the CA --- */

static void on_changed(const struct client_reply *r, void *arg)
{
	struct change *c = arg;
	char *text = c->kind == ACCOUNT_CHANGE_CONTACT ? json_dumps(c->value, JSON_COMPACT) : NULL;

	c->call = NULL;
	if (problem_is_set(&r->problem))
		finish(c, &r->problem);
	else
		store(c, text);
	free(text);
}

static void ask(struct change *c)
{
	struct account *a = c->account;
	json_t *o = json_pack("{s:O*}", "contact", c->value);
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	const char *payload = kinds[c->kind].payload;
	const struct client_request r = {
		.endpoint = CLIENT_ACCOUNT,
		.url = a->kid,
		.key = a->key,
		.kid = a->kid,
		.payload = str_from(payload ? payload : text),
	};
	struct err e = ERR_INIT;

	if (!text)
		err_memory(&e, "ACME account");
	if (!text || client_post(&c->call, a->conf.client, &r, on_changed, c, &e) != 0) {
		c->call = NULL;
		finish_err(c, &e);
	}
	json_decref(o);
	free(text);
}

/* --- the next key --- */

/* Thread: pool. */
static void make_key(struct work *w)
{
	struct change *c = container_of(w, struct change, work);
	const char *given = json_string_value(c->value);

	if (given ? jwk_or_pem_key(&c->key, str_from(given), &c->err) != 0
		  : key_generate(&c->key, KEY_EC_P256, &c->err) != 0)
		c->key = NULL;
}

static int seal_key(struct change *c, struct buf *sealed, struct err *e)
{
	struct buf der = {.secret = true};
	char context[64];
	int rc = -1;

	/* As that of the key whose place it takes. */
	snprintf(context, sizeof(context), "acme_accounts.key:%s", c->account->id);
	if (key_to_der(&der, c->key, e) == 0)
		rc = store_seal(c->account->conf.store, str_from(context), buf_str(&der), sealed,
				e);
	buf_deinit(&der);
	return rc;
}

static void on_key(struct work *w)
{
	struct change *c = container_of(w, struct change, work);
	struct buf sealed = BUF_INIT;
	struct err e = ERR_INIT;

	c->running = false;
	if (!account_awoke(c->account) || c->cancelled)
		give_up(c);
	else if (!c->key)
		finish_err(c, &c->err);
	else if (seal_key(c, &sealed, &e) != 0)
		finish_err(c, &e);
	else
		store(c, sealed.data);
	buf_deinit(&sealed);
}

/* --- when the account is there --- */

static void begin(struct change *c)
{
	struct err e = ERR_INIT;

	if (c->kind != ACCOUNT_CHANGE_KEY) {
		ask(c);
		return;
	}
	if (work_start(&c->work, c->account->conf.loop, make_key, on_key, &e) != 0) {
		finish_err(c, &e);
		return;
	}
	c->running = true;
	c->account->outstanding++;
}

/* Terms that are not agreed to are no reason to wait here: they may be what this is about. */
static void on_account(struct account_waiter *w, const struct problem *p)
{
	struct change *c = container_of(w, struct change, waiter);

	if (p && c->account->state != ACCOUNT_READY)
		finish(c, p);
	else
		begin(c);
}

void account_change(struct account *a, enum account_change_kind kind, const json_t *value,
		    void (*done)(const struct problem *p, void *arg), void *arg)
{
	struct change *c = calloc(1, sizeof(*c));
	struct problem p;

	if (!c) {
		problem_own(&p, "account", "out of memory");
		if (done)
			done(&p, arg);
		return;
	}
	c->account = a;
	c->kind = kind;
	c->value = value ? json_deep_copy(value) : NULL;
	c->done = done;
	c->arg = arg;
	list_init(&c->waiter.link);
	c->waiter.done = on_account;
	list_push(&a->changes, &c->link);
	account_wait(a, &c->waiter);
}

void changes_cancel(struct account *a)
{
	list_for_each_safe(it, &a->changes)
	{
		struct change *c = container_of(it, struct change, link);

		c->cancelled = true;
		list_remove(&c->link);
		if (!c->running)
			give_up(c);
	}
}

/* --- what the authority wants --- */

static void on_refusal_noted(const struct store_result *r, void *arg)
{
	(void)r; /* the next refusal notes it again */
	account_awoke(arg);
}

void account_refused(struct account *a, const struct problem *p, const char *url)
{
	const struct acme_directory *d = client_directory(a->conf.client);
	const char *terms = url ? url : d && d->terms[0] ? d->terms : a->conf.directory;
	json_t *problem = problem_json(p, clock_wall_s());
	char *text = problem ? json_dumps(problem, JSON_COMPACT) : NULL;
	const char *params[] = {a->id, terms, text};

	if (a->closing || !a->id[0] || a->terms[0])
		goto done;
	snprintf(a->terms, sizeof(a->terms), "%.*s", ACME_URL_SIZE - 1, terms);
	log_error("the authority wants its terms of service agreed to: POST "
		  "/acme/accounts/{id}/agree, or acme_tos_accepted",
		  log_str("directory", a->conf.directory), log_str("account", a->id),
		  log_str("terms", terms));
	if (a->conf.agree)
		account_change(a, ACCOUNT_CHANGE_AGREE, NULL, NULL, NULL);
	else
		account_query(a,
			      "UPDATE acme_accounts SET terms_url = $2, problem = $3::jsonb WHERE "
			      "id = $1",
			      params, array_len(params), on_refusal_noted, a);
done:
	json_decref(problem);
	free(text);
}
