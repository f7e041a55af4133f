/* Which authority an order goes to, and whether the budgets there have room for it.
 *
 * One that a CA knows of already stays there. A new one goes down the list of authorities by
 * preference: the first that is healthy, that its names' CAA does not exclude, and whose budgets
 * have room takes it. All orders that were taken together ask for an authority's budgets in one
 * query; the database charges each of them in full or not at all. An order that nobody has room for
 * goes back until the first of them has, and says whose budget it waits for.
 */
#include <math.h>
#include <stdio.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "control-plane/acme/domain.h"
#include "control-plane/acme/engine.h"
#include "control-plane/acme/names.h"

/* Orders whose reservation is under way. */
struct batch {
	struct acme *acme;
	struct authority *authority;
	struct link orders; /* struct order.admission */
};

enum { WAIT_MIN_MS = 1000 };

/* --- choosing --- */

/* A renewal of what this CA issued is not counted against the account and the domain. */
static bool is_renewal_at(const struct order *o, const struct authority *au)
{
	return o->renewal && o->ca_before &&
	       str_eq(str_from(o->ca_before), str_from(au->conf.directory));
}

static bool is_refused(const struct order *o, const struct authority *au)
{
	const json_t *directory;
	size_t i;

	json_array_foreach(o->ca_refused, i, directory)
	{
		const char *text = json_string_value(directory);

		if (text && str_eq(str_from(text), str_from(au->conf.directory)))
			return true;
	}
	return false;
}

static bool may_take(const struct order *o, struct authority *au)
{
	return !au->leaving && authority_room(au) > 0 &&
	       (!au->of_plugin || acme_policy(o->acme, order_names(o))) && !is_refused(o, au) &&
	       (is_renewal_at(o, au) || authority_has_budget(au));
}

/* The next one behind `after` (NULL: from the first); NULL: none. */
static struct authority *choose(const struct order *o, const struct authority *after)
{
	const struct link *head = &o->acme->authorities;
	const struct link *from = after && !after->leaving ? &after->link : head;

	for (struct link *it = from->next; it != head; it = it->next) {
		struct authority *au = container_of(it, struct authority, link);

		if (may_take(o, au))
			return au;
	}
	return NULL;
}

struct authority *admission_other(const struct order *o)
{
	list_for_each(it, &o->acme->authorities)
	{
		struct authority *au = container_of(it, struct authority, link);

		if (au != o->authority && may_take(o, au))
			return au;
	}
	return NULL;
}

/* --- nobody takes it --- */

static void give_back(struct order *o)
{
	o->released = true;
	order_save(o, order_end);
}

/* Why no authority can be asked at all. */
static void nobody(struct order *o)
{
	if (json_array_size(o->ca_refused) > 0 && !problem_is_set(&o->problem))
		problem_own(&o->problem, "caa", "CAA allows none of the authorities that are left");
	if (o->next_ms < 0)
		o->next_ms = WAIT_MIN_MS;
	if (problem_is_set(&o->problem))
		order_tell(o, o->problem.type, o->problem.detail);
	give_back(o);
}

static void no_room(struct order *o, const struct authority *au, const json_t *row)
{
	double wait_s = json_number_value(json_object_get(row, "wait"));
	int64_t wait_ms = (int64_t)ceil(wait_s * 1000);
	const char *key = json_string_value(json_object_get(row, "key"));
	const char *reason = json_string_value(json_object_get(row, "reason"));

	if (wait_ms < WAIT_MIN_MS)
		wait_ms = WAIT_MIN_MS;
	if (o->next_ms >= 0 && o->next_ms <= wait_ms)
		return; /* another authority has room sooner */
	o->next_ms = wait_ms;
	problem_own(&o->problem, "budget", "no room at %s for %lld s: %s%s%.300s", au->conf.name,
		    (long long)(wait_ms / 1000), key ? key : "?", reason ? ": " : "",
		    reason ? reason : "");
	o->problem_at = clock_wall_s();
}

/* What all orders share has no room: the others are not even taken. */
static void close_budget(struct authority *au, const json_t *row)
{
	const char *key = json_string_value(json_object_get(row, "key"));
	double wait_s = json_number_value(json_object_get(row, "wait"));
	uint64_t until = clock_mono_ns() + (uint64_t)(wait_s * 1e9);

	if (key && str_starts(str_from(key), STR("account ")) && until > au->budget_ns) {
		au->budget_ns = until;
		log_notice("the account's budget is used up", log_str("authority", au->conf.name),
			   log_i64("seconds", (int64_t)wait_s));
	}
}

/* --- reserving --- */

static int add_key(json_t *keys, const struct authority *au, enum limit_kind k, struct str value,
		   unsigned take)
{
	const struct limit *l = &au->limits.of[k];
	struct buf key = BUF_INIT;
	int rc = limit_key(&key, k, value, au->conf.directory, NULL);

	/* Without a limit it is only looked whether the CA closed it. */
	if (rc == 0)
		rc = json_array_append_new(keys,
					   json_pack("{s:s, s:i, s:f, s:i}", "key", key.data,
						     "take", l->every_s > 0 ? (int)take : 0,
						     "every", l->every_s, "burst", (int)l->burst));
	buf_deinit(&key);
	return rc;
}

static int add_name_keys(json_t *keys, const struct order *o, const struct authority *au,
			 struct str name)
{
	struct buf failing = BUF_INIT;
	char domain[DOMAIN_SIZE], text[DOMAIN_SIZE];
	int rc = 0;

	snprintf(text, sizeof(text), "%.*s", (int)name.len, name.ptr);
	domain_registered(domain, text);
	if (!is_renewal_at(o, au))
		rc = add_key(keys, au, LIMIT_DOMAIN, str_from(domain), 1);
	if (rc == 0)
		rc = buf_addf(&failing, NULL, "%s %s", text, au->conf.email);
	if (rc == 0)
		rc = add_key(keys, au, LIMIT_FAILURE, buf_str(&failing), 0);
	buf_deinit(&failing);
	return rc;
}

/* Renewed in the window that the CA named: no limit counts (RFC 9773 section 5, and Let's Encrypt's
 * rules). */
static bool is_wanted(const struct order *o, const struct authority *au)
{
	return o->replaces[0] && is_renewal_at(o, au);
}

static int add_order_keys(json_t *keys, const struct order *o, const struct authority *au)
{
	struct str rest = order_names(o), one;
	int rc = add_key(keys, au, LIMIT_REQUEST, str_from(o->acme->conf.egress), 0);

	if (rc != 0 || is_wanted(o, au))
		return rc;
	if (!is_renewal_at(o, au))
		rc = add_key(keys, au, LIMIT_ACCOUNT, str_from(au->conf.email), 1);
	if (rc == 0)
		rc = add_key(keys, au, LIMIT_SET, order_names(o), 1);
	while (rc == 0 && (one = names_first(rest, &rest)).len > 0)
		rc = add_name_keys(keys, o, au, one);
	return rc;
}

/* NULL: out of memory. */
static json_t *order_keys(const struct order *o, const struct authority *au)
{
	json_t *keys = json_array();

	if (keys && add_order_keys(keys, o, au) == 0)
		return keys;
	json_decref(keys);
	return NULL;
}

static void ask(struct batch *b);

/* Goes on to the next authority, in a batch of its own behind this one; NULL: it was the last. */
static void go_on(struct order *o, const struct authority *after)
{
	struct authority *next = choose(o, after);

	if (!next) {
		nobody(o);
		return;
	}
	order_assign(o, next);
	list_push(&o->acme->admitting, &o->admission);
}

static void settle(struct batch *b, const json_t *row)
{
	const char *id = json_string_value(json_object_get(row, "id"));
	struct order *o = id ? map_get(&b->acme->by_id, str_from(id)) : NULL;

	if (!o || o->batch != b)
		return;
	o->batch = NULL;
	list_remove(&o->admission);
	if (json_number_value(json_object_get(row, "wait")) <= 0) {
		o->next_ms = -1;
		/* It says something only to who issued what is replaced. */
		if (!is_renewal_at(o, b->authority))
			o->replaces[0] = '\0';
		order_step(o);
		return;
	}
	close_budget(b->authority, row);
	no_room(o, b->authority, row);
	go_on(o, b->authority);
}

static void batch_free(struct batch *b)
{
	authority_release(b->authority);
	free(b);
}

static void on_reserved(const struct store_result *r, void *arg)
{
	struct batch *b = arg;
	struct acme *a = b->acme;
	const json_t *row;
	struct link *it;
	size_t i;

	if (!a->closing) {
		if (r->fault != STORE_OK)
			log_warn("budgets cannot be reserved", log_err(&r->err));
		json_array_foreach(r->rows, i, row)
		{
			settle(b, row);
		}
	}
	/* Without an answer: whoever takes it next asks again. */
	while ((it = list_first(&b->orders)) != NULL)
		order_end(container_of(it, struct order, admission));
	batch_free(b);
	if (acme_awoke(a))
		admission_run(a);
}

static json_t *batch_wants(const struct batch *b)
{
	json_t *wants = json_array();

	list_for_each(it, &b->orders)
	{
		const struct order *o = container_of(it, struct order, admission);
		json_t *keys = order_keys(o, b->authority);

		if (!keys || json_array_append_new(wants, json_pack("{s:s, s:o}", "id", o->id,
								    "keys", keys)) != 0) {
			json_decref(wants);
			return NULL;
		}
	}
	return wants;
}

static void ask(struct batch *b)
{
	json_t *wants = batch_wants(b);
	char *text = wants ? json_dumps(wants, JSON_COMPACT) : NULL;
	const char *params[] = {text, b->authority->conf.directory};

	acme_sleep(b->acme);
	if (text) {
		store_query(b->acme->store,
			    "WITH r AS MATERIALIZED (SELECT * FROM acme_reserve($1::jsonb)), "
			    "given AS (UPDATE acme_orders o SET ca = $2 FROM r WHERE o.id = "
			    "r.id::uuid AND r.wait = 0) SELECT r.id, r.key, r.wait, r.reason FROM "
			    "r",
			    params, array_len(params), on_reserved, b);
	} else {
		struct store_result failed = {.fault = STORE_FAILED};

		err_memory(&failed.err, "reserving budgets");
		on_reserved(&failed, b);
	}
	free(text);
	json_decref(wants);
}

/* Those at the head's authority that wait for a reservation, taken off `admitting`. */
static struct batch *gather(struct acme *a, struct authority *au)
{
	struct batch *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->acme = a;
	b->authority = au;
	list_init(&b->orders);
	authority_use(au);
	list_for_each_safe(it, &a->admitting)
	{
		struct order *o = container_of(it, struct order, admission);

		if (o->authority != au || o->state != ORDER_NEW)
			continue;
		list_remove(&o->admission);
		list_push(&b->orders, &o->admission);
		o->batch = b;
	}
	return b;
}

void admission_run(struct acme *a)
{
	struct link *it;

	while ((it = list_first(&a->admitting)) != NULL) {
		struct order *o = container_of(it, struct order, admission);
		struct batch *b = NULL;

		if (o->state == ORDER_NEW)
			b = gather(a, o->authority);
		if (b) {
			ask(b);
			continue;
		}
		list_remove(&o->admission);
		if (o->state == ORDER_NEW)
			order_end(o); /* out of memory: its lease runs out */
		else
			order_step(o);
	}
}

/* Begun at an authority that is away: better begun anew at another one? What may have made the
 * certificate already is waited for as long as there is time. */
static bool should_move_on(const struct order *o)
{
	bool hurry = order_in_hurry(o);

	if (hurry ? !authority_away(o->authority) : !authority_lost(o->authority))
		return false;
	return (hurry || o->lane == LANE_EMERGENCY || o->state < ORDER_FINALIZING) &&
	       admission_other(o) != NULL;
}

void admission_add(struct acme *a, struct order *o)
{
	struct authority *au;

	if (o->state == ORDER_NEW) {
		go_on(o, NULL);
		return;
	}
	au = authority_find(a, o->ca ? o->ca : "");
	if (!au) {
		order_end(o); /* not configured any more: adopted later */
		return;
	}
	order_assign(o, au);
	if (should_move_on(o))
		order_move_on(o);
	else
		list_push(&a->admitting, &o->admission);
}
