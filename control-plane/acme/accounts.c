/* Accounts and authorities as the admin API asks for them. */
#include <stdio.h>

#include "common/core/clock.h"
#include "control-plane/acme/engine.h"

#define COLUMNS                                                                                    \
	"id, directory, email, url, coalesce(contact, CASE WHEN email = '' THEN '[]'::jsonb ELSE " \
	"jsonb_build_array('mailto:' || email) END) AS contact, terms_url, problem AS "            \
	"last_problem, eab_kid, next_key IS NOT NULL AS key_change_pending, extract(epoch FROM "   \
	"deactivated_at)::bigint AS deactivated_at, extract(epoch FROM created_at)::bigint AS "    \
	"created_at"

struct account_ask {
	struct acme *acme;
	char id[UUID_TEXT_SIZE];
	enum account_change_kind kind;
	json_t *value;
	store_done done;
	void *arg;
};

static void end(struct account_ask *q, const struct store_result *r)
{
	struct acme *a = q->acme;

	q->done(r, q->arg);
	json_decref(q->value);
	free(q);
	(void)acme_awoke(a);
}

static void on_shown(const struct store_result *r, void *arg)
{
	end(arg, r);
}

static struct account_ask *begin(struct acme *a, store_done done, void *arg)
{
	struct account_ask *q = calloc(1, sizeof(*q));
	struct store_result r = {.fault = STORE_FAILED};

	if (!q) {
		err_memory(&r.err, "ACME accounts");
		done(&r, arg);
		return NULL;
	}
	q->acme = a;
	q->done = done;
	q->arg = arg;
	acme_sleep(a);
	return q;
}

void acme_accounts(struct acme *a, store_done done, void *arg)
{
	struct account_ask *q = begin(a, done, arg);

	if (q)
		store_query(a->store,
			    "SELECT " COLUMNS " FROM acme_accounts ORDER BY created_at, id", NULL,
			    0, on_shown, q);
}

static void show(struct account_ask *q)
{
	const char *params[] = {q->id};

	store_query(q->acme->store,
		    "SELECT " COLUMNS " FROM acme_accounts WHERE id = nullif($1, '')::uuid", params,
		    1, on_shown, q);
}

static void on_changed(const struct problem *p, void *arg)
{
	struct account_ask *q = arg;
	struct store_result r = {.fault = STORE_FAILED};

	if (!p) {
		show(q);
		return;
	}
	if (problem_is_own(p) && p->status == 503)
		r.fault = STORE_UNAVAILABLE;
	err_set(&r.err, r.fault == STORE_UNAVAILABLE ? ERR_UNAVAILABLE : ERR_INVALID, "%.400s",
		p->detail);
	end(q, &r);
}

static void on_found(const struct store_result *r, void *arg)
{
	struct account_ask *q = arg;
	const char *directory =
		json_string_value(json_object_get(json_array_get(r->rows, 0), "directory"));
	struct authority *au = directory ? authority_find(q->acme, directory) : NULL;
	struct store_result none = {.fault = STORE_NOT_FOUND};

	if (r->fault != STORE_OK || q->acme->closing)
		end(q, r);
	else if (!au)
		end(q, &none);
	else
		account_change(au->account, q->kind, q->value, on_changed, q);
}

void acme_account_change(struct acme *a, struct str id, enum account_change_kind kind,
			 const json_t *value, const struct store_note *note, store_done done,
			 void *arg)
{
	struct account_ask *q = begin(a, done, arg);
	const char *params[1];

	if (!q)
		return;
	if (uuid_is(id))
		snprintf(q->id, sizeof(q->id), "%.*s", (int)id.len, id.ptr);
	q->kind = kind;
	q->value = value ? json_deep_copy(value) : NULL;
	params[0] = q->id;
	store_query_noted(a->store,
			  "SELECT directory FROM acme_accounts WHERE id = nullif($1, '')::uuid AND "
			  "deactivated_at IS NULL",
			  params, 1, note, on_found, q);
}

json_t *acme_authorities(struct acme *a)
{
	json_t *list = json_array();
	uint64_t now = clock_mono_ns();

	list_for_each(it, &a->authorities)
	{
		struct authority *au = container_of(it, struct authority, link);
		enum breaker_state s = breaker_state(&au->breaker, now);
		uint64_t open = s == BREAKER_OPEN ? au->breaker.until_ns - now : 0;
		uint64_t budget = au->budget_ns > now ? au->budget_ns - now : 0;

		(void)json_array_append_new(
			list,
			json_pack("{s:s, s:s, s:s, s:I, s:I, s:b, s:I, s:s}", "name", au->conf.name,
				  "directory", au->conf.directory, "breaker", breaker_state_name(s),
				  "open_seconds", (json_int_t)(open / 1000000000), "budget_seconds",
				  (json_int_t)(budget / 1000000000), "account_blocked",
				  account_blocked(au->account), "orders", (json_int_t)au->users,
				  "limits", au->conf.limits ? au->conf.limits : ""));
	}
	return list;
}
