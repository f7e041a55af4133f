/* Replaces an account's key (RFC 8555 section 7.3.5), which every challenge that is published
 * names: nothing is published any more (account_draining) and none is under way when this begins.
 *
 *    lease the row --> keyChange --> the row has the new key, version + 1: everybody reads it again
 *
 * Whoever asked the CA may have died before the row was written. So when the CA refuses the change,
 * it is asked whether the new key is the account's already.
 */
#include <stdio.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "common/pki/key.h"
#include "control-plane/acme/account_internal.h"
#include "control-plane/acme/jws.h"

struct roll {
	struct account *account;
	EVP_PKEY *key; /* the new one */
	struct client_call *call;
	struct problem refusal;
	bool running; /* a query will call back */
	bool cancelled;
};

static void free_roll(struct roll *x)
{
	if (x->account->roll == x)
		x->account->roll = NULL;
	client_cancel(x->call);
	EVP_PKEY_free(x->key);
	free(x);
}

/* At the head of each callback of the store; false: it is over. */
static bool awoke(struct roll *x)
{
	x->running = false;
	if (account_awoke(x->account) && !x->cancelled)
		return true;
	free_roll(x);
	return false;
}

static void query(struct roll *x, const char *sql, const char *const *params, size_t n,
		  store_done done)
{
	x->running = true;
	account_query(x->account, sql, params, n, done, x);
}

static void on_over(const struct store_result *r, void *arg)
{
	struct roll *x = arg;

	(void)r; /* or else the lease runs out */
	if (awoke(x))
		free_roll(x);
}

/* Again later, when the lease has run out. */
static void later(struct roll *x, const char *detail)
{
	log_warn("the account's key is not replaced yet",
		 log_str("directory", x->account->conf.directory), log_str("detail", detail));
	free_roll(x);
}

/* The old key stays; operators see why. */
static void refuse(struct roll *x)
{
	json_t *problem = problem_json(&x->refusal, clock_wall_s());
	char *text = problem ? json_dumps(problem, JSON_COMPACT) : NULL;
	const char *params[] = {x->account->id, x->account->conf.control_plane_id, text};

	log_error("the authority refuses the account's new key",
		  log_str("directory", x->account->conf.directory),
		  log_str("detail", x->refusal.detail));
	query(x,
	      "UPDATE acme_accounts SET next_key = NULL, next_key_at = NULL, lease_owner = NULL, "
	      "lease_until = NULL, problem = $3::jsonb WHERE id = $1 AND lease_owner = $2",
	      params, array_len(params), on_over);
	json_decref(problem);
	free(text);
}

static void on_saved(const struct store_result *r, void *arg)
{
	struct roll *x = arg;
	struct account *a = x->account;

	if (!awoke(x))
		return;
	if (r->fault != STORE_OK) {
		later(x, r->err.message);
		return;
	}
	log_notice("the account's key was replaced", log_str("directory", a->conf.directory),
		   log_str("account", a->kid));
	a->id[0] = '\0';
	a->draining = false;
	free_roll(x);
	account_reload(a);
}

static void save(struct roll *x)
{
	const char *params[] = {x->account->id, x->account->conf.control_plane_id};

	query(x,
	      "UPDATE acme_accounts SET key = next_key, next_key = NULL, next_key_at = NULL, "
	      "version "
	      "= version + 1, lease_owner = NULL, lease_until = NULL, problem = NULL WHERE id = $1 "
	      "AND lease_owner = $2 AND next_key IS NOT NULL",
	      params, array_len(params), on_saved);
}

static void on_found(const struct client_reply *r, void *arg)
{
	struct roll *x = arg;

	x->call = NULL;
	if (!problem_is_set(&r->problem) && str_eq(r->location, str_from(x->account->kid)))
		save(x); /* changed already, by whoever came this far before */
	else
		refuse(x);
}

static void find(struct roll *x)
{
	const struct client_request r = {
		.endpoint = CLIENT_NEW_ACCOUNT,
		.key = x->key,
		.payload = STR("{\"onlyReturnExisting\":true}"),
	};
	struct err e = ERR_INIT;

	if (client_post(&x->call, x->account->conf.client, &r, on_found, x, &e) != 0) {
		x->call = NULL;
		later(x, e.message);
	}
}

static void on_changed(const struct client_reply *r, void *arg)
{
	struct roll *x = arg;

	x->call = NULL;
	if (!problem_is_set(&r->problem)) {
		save(x);
	} else if (r->status >= 400 && r->status < 500 && r->status != 429) {
		x->refusal = r->problem;
		find(x);
	} else {
		later(x, r->problem.detail);
	}
}

/* The inner JWS is signed by the new key, and names the account and its old key. */
static int build(struct buf *out, const struct acme_directory *d, void *arg, struct err *e)
{
	struct roll *x = arg;
	const struct jws_header h = {.url = d->key_change};
	struct buf jwk = BUF_INIT, payload = BUF_INIT;
	json_t *o = NULL;
	char *text = NULL;
	int rc = -1;

	if (!d->key_change[0])
		return err_set(e, ERR_INVALID, "the authority does not replace keys of accounts");
	if (jws_jwk(&jwk, x->account->key, e) != 0)
		goto done;
	o = json_pack("{s:s, s:o*}", "account", x->account->kid, "oldKey",
		      json_loadb(jwk.data, jwk.len, 0, NULL));
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	if (!text)
		err_memory(e, "key change");
	else
		rc = jws_sign(out, &h, x->key, str_from(text), e);
done:
	buf_deinit(&jwk);
	buf_deinit(&payload);
	json_decref(o);
	free(text);
	return rc;
}

static void change(struct roll *x)
{
	const struct client_request r = {
		.endpoint = CLIENT_KEY_CHANGE,
		.key = x->account->key,
		.kid = x->account->kid,
		.build = build,
	};
	struct err e = ERR_INIT;

	if (client_post(&x->call, x->account->conf.client, &r, on_changed, x, &e) != 0) {
		x->call = NULL;
		later(x, e.message);
	}
}

static int open_key(struct roll *x, const char *sealed, struct err *e)
{
	struct buf der = {.secret = true};
	char context[64];
	int rc = -1;

	snprintf(context, sizeof(context), "acme_accounts.key:%s", x->account->id);
	if (store_unseal(x->account->conf.store, str_from(context), str_from(sealed), &der, e) == 0)
		rc = key_from_der(&x->key, buf_str(&der), e);
	buf_deinit(&der);
	return rc;
}

static void on_leased(const struct store_result *r, void *arg)
{
	struct roll *x = arg;
	const char *sealed;
	struct err e = ERR_INIT;

	if (!awoke(x))
		return;
	sealed = json_string_value(json_object_get(json_array_get(r->rows, 0), "next_key"));
	if (r->fault != STORE_OK || !sealed) {
		free_roll(x); /* another control plane does it */
		return;
	}
	if (open_key(x, sealed, &e) != 0) {
		problem_from_err(&x->refusal, "account", &e);
		refuse(x);
	} else {
		change(x);
	}
}

void roll_start(struct account *a)
{
	struct roll *x;
	const char *params[] = {a->id, a->conf.control_plane_id};

	if (a->roll)
		return;
	x = calloc(1, sizeof(*x));
	if (!x)
		return; /* the next look tries again */
	x->account = a;
	a->roll = x;
	query(x,
	      "UPDATE acme_accounts SET lease_owner = $2, lease_until = now() + interval '1 "
	      "minute' "
	      "WHERE id = $1 AND next_key IS NOT NULL AND deactivated_at IS NULL AND (lease_until "
	      "IS NULL OR lease_until < now()) RETURNING next_key",
	      params, array_len(params), on_leased);
}

void roll_cancel(struct account *a)
{
	struct roll *x = a->roll;

	if (!x)
		return;
	a->roll = NULL;
	x->cancelled = true;
	client_cancel(x->call);
	x->call = NULL;
	if (!x->running)
		free_roll(x);
}
