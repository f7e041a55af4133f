/* Rows in and out of memory, and the life of a run.
 *
 * A run ends by order_end: what can be cancelled is; what cannot (store, pool) still calls back,
 * finds `ended`, and the last of them closes the timer, whose close callback frees the order.
 */
#include "control-plane/acme/order.h"

#include <stdio.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "control-plane/acme/engine.h"

/* How a run may end without a certificate. */
#define ENDS (SM_TO(ORDER_FAILED) | SM_TO(ORDER_PAUSED) | SM_TO(ORDER_PARKED))

static const struct sm_state states[] = {
	[ORDER_NEW] = {"new", SM_TO(ORDER_AUTHORIZING) | ENDS},
	[ORDER_AUTHORIZING] = {"authorizing", SM_TO(ORDER_PUBLISHING) | SM_TO(ORDER_FINALIZING) |
						      SM_TO(ORDER_NEW) | ENDS},
	[ORDER_PUBLISHING] = {"publishing", SM_TO(ORDER_VALIDATING) | SM_TO(ORDER_NEW) | ENDS},
	[ORDER_VALIDATING] = {"validating", SM_TO(ORDER_FINALIZING) | SM_TO(ORDER_NEW) | ENDS},
	[ORDER_FINALIZING] = {"finalizing", SM_TO(ORDER_DOWNLOADING) | SM_TO(ORDER_NEW) | ENDS},
	[ORDER_DOWNLOADING] = {"downloading", SM_TO(ORDER_VALID) | SM_TO(ORDER_NEW) | ENDS},
	[ORDER_VALID] = {"valid", 0},
	[ORDER_FAILED] = {"failed", 0},
	[ORDER_PAUSED] = {"paused_by_ca", 0},
	[ORDER_PARKED] = {"parked", 0},
};
const struct sm order_sm = {"order", states, array_len(states)};
static_assert(array_len(states) == ORDER_STATES, "one row per state");

/* What the time line says beside the name of a state. */
static const char *detail_of(const struct order *o, enum order_state s)
{
	switch (s) {
	case ORDER_AUTHORIZING:
		return o->order_url;
	case ORDER_DOWNLOADING:
		return o->certificate_url;
	case ORDER_VALID:
		return o->certificate_id;
	default:
		return NULL;
	}
}

void order_move(struct order *o, enum order_state to)
{
	o->state = (enum order_state)sm_move(&order_sm, o->state, to, o->id);
	order_tell(o, order_state_name(to), detail_of(o, to));
}

int order_state_parse(struct str text, enum order_state *out)
{
	for (size_t i = 0; i < array_len(states); i++) {
		if (str_eq(text, str_from(states[i].name))) {
			*out = (enum order_state)i;
			return 0;
		}
	}
	return -1;
}

const char *order_state_name(enum order_state s)
{
	return sm_name(&order_sm, s);
}

/* --- a row into memory --- */

struct text_column {
	const char *name;
	size_t offset;
	size_t size;
	bool required;
};
#define TEXT(column, required)                                                                     \
	{                                                                                          \
#column, offsetof(struct order, column), sizeof(((struct order *)NULL)->column),   \
			required                                                                   \
	}
static const struct text_column text_columns[] = {
	TEXT(id, true),
	TEXT(host, true),
	TEXT(order_url, false),
	TEXT(finalize_url, false),
	TEXT(certificate_url, false),
	TEXT(certificate_id, false),
	TEXT(key_type_alt, false),
	TEXT(pair_of, false),
	TEXT(replaces, false),
	TEXT(profile, false),
	TEXT(preferred_chain, false),
};
#undef TEXT

static int load_texts(struct order *o, const json_t *row, struct err *e)
{
	for (size_t i = 0; i < array_len(text_columns); i++) {
		const struct text_column *c = &text_columns[i];
		const json_t *v = json_object_get(row, c->name);

		if (json_string_length(v) >= c->size || (c->required && !json_is_string(v)))
			return err_set(e, ERR_INTERNAL, "acme_orders.%s is broken", c->name);
		if (json_is_string(v))
			memcpy((char *)o + c->offset, json_string_value(v),
			       json_string_length(v) + 1);
	}
	return 0;
}

static int load_names(struct order *o, const json_t *row, struct err *e)
{
	const char *more = json_string_value(json_object_get(row, "more"));

	return buf_addf(&o->names, e, "%s%s%s", o->host, more && more[0] ? " " : "",
			more ? more : "");
}

/* One that is far away is no hurry, whatever it is. */
static void load_expiry(struct order *o, const json_t *row)
{
	static const double far_s = 1e9;
	double left_s = json_number_value(json_object_get(row, "expires_in"));

	if (left_s > 0 && left_s < far_s)
		o->expires_ns = clock_mono_ns() + (uint64_t)(left_s * 1e9);
}

static int load_row(struct order *o, const json_t *row, struct err *e)
{
	const char *state = json_string_value(json_object_get(row, "state"));
	const char *key_type = json_string_value(json_object_get(row, "key_type"));
	const char *key = json_string_value(json_object_get(row, "key"));
	const json_t *problem = json_object_get(row, "problem");

	if (load_texts(o, row, e) != 0 || load_names(o, row, e) != 0 ||
	    authorizations_load(&o->authorizations, json_object_get(row, "authorizations"), o, e) !=
		    0)
		return -1;
	if (!state || order_state_parse(str_from(state), &o->state) != 0)
		return err_set(e, ERR_INTERNAL, "acme_orders.state is broken");
	if (!key_type || key_type_parse(str_from(key_type), &o->key_type) != 0)
		return err_set(e, ERR_INTERNAL, "acme_orders.key_type is broken");
	if (key && buf_add_str(&o->sealed_key, str_from(key), e) != 0)
		return -1;
	o->renewal = json_is_true(json_object_get(row, "renewal"));
	o->attempts = (unsigned)json_integer_value(json_object_get(row, "attempts"));
	o->failures = (unsigned)json_integer_value(json_object_get(row, "failures"));
	o->lane = (enum lane)json_integer_value(json_object_get(row, "lane"));
	if ((unsigned)o->lane >= LANES)
		return err_set(e, ERR_INTERNAL, "acme_orders.lane is broken");
	o->ca = str_dup(str_from(json_string_value(json_object_get(row, "ca"))));
	o->ca_before = str_dup(str_from(json_string_value(json_object_get(row, "ca_before"))));
	o->ca_refused = json_incref(json_object_get(row, "ca_refused"));
	o->fence = json_integer_value(json_object_get(row, "fence"));
	o->challenge_revision =
		(uint64_t)json_integer_value(json_object_get(row, "challenge_revision"));
	o->profile_required = json_is_true(json_object_get(row, "profile_required"));
	load_expiry(o, row);
	o->wanted_not_after = json_integer_value(json_object_get(row, "wanted_not_after"));
	if (problem_from_json(&o->problem, problem)) {
		o->problem_at = json_integer_value(json_object_get(problem, "at"));
		o->subproblems = json_incref(json_object_get(problem, "subproblems"));
	}
	return 0;
}

static void free_order(struct order *o)
{
	buf_deinit(&o->names);
	buf_deinit(&o->sealed_key);
	authorizations_free(&o->authorizations);
	json_decref(o->subproblems);
	json_decref(o->blame);
	EVP_PKEY_free(o->key);
	install_free(o->install);
	problem_help_deinit(&o->help);
	download_free(o->download);
	timeline_deinit(&o->timeline);
	free(o->ca);
	free(o->ca_before);
	json_decref(o->ca_refused);
	free(o);
}

static void on_timer(struct timer *t)
{
	struct order *o = container_of(t, struct order, timer);
	void (*then)(struct order *) = o->then;

	if (o->ended || !then)
		return;
	o->then = NULL;
	then(o);
}

int order_create(struct order **out, struct acme *a, const json_t *row, struct err *e)
{
	struct order *o = calloc(1, sizeof(*o));

	if (!o)
		return err_memory(e, "ACME order");
	list_init(&o->admission);
	list_init(&o->grouped);
	if (load_row(o, row, e) != 0 || map_put(&a->by_id, str_from(o->id), o, NULL, e) != 0) {
		free_order(o);
		return -1;
	}
	o->acme = a;
	o->resumed = true;
	o->lease_ns = a->take_asked_ns + a->conf.lease_ms * UINT64_C(1000000);
	o->next_ms = -1;
	list_init(&o->waiter.link);
	timer_init(&o->timer, a->loop, on_timer);
	list_push(&a->orders, &o->link);
	a->at_work++;
	a->used[o->lane]++;
	*out = o;
	return 0;
}

uint64_t order_left_ms(const struct order *o)
{
	uint64_t now = clock_mono_ns();

	return o->expires_ns > now ? (o->expires_ns - now) / 1000000 : UINT64_MAX;
}

bool order_in_hurry(const struct order *o)
{
	return order_left_ms(o) < AUTHORITY_WAIT_S * UINT64_C(1000);
}

void order_assign(struct order *o, struct authority *au)
{
	if (o->authority)
		authority_release(o->authority);
	o->authority = au;
	authority_use(au);
	timeline_add(&o->timeline, clock_wall_ms(), "taken", o->acme->conf.control_plane_id,
		     au->conf.name);
}

/* --- the end of a run --- */

static void on_timer_closed(struct timer *t)
{
	struct order *o = container_of(t, struct order, timer);
	struct acme *a = o->acme;

	a->used[o->lane]--;
	if (o->authority)
		authority_release(o->authority);
	free_order(o);
	acme_order_gone(a);
}

void order_end(struct order *o)
{
	if (o->ended)
		return;
	o->ended = true;
	list_remove(&o->link);
	list_remove(&o->admission);
	list_remove(&o->grouped);
	map_remove(&o->acme->by_id, str_from(o->id));
	client_cancel(o->call);
	o->call = NULL;
	authorizations_cancel(&o->authorizations);
	list_remove(&o->waiter.link);
	barrier_cancel(o->barrier);
	o->barrier = NULL;
	dns01_forget(o->dns01);
	o->dns01 = NULL;
	timer_stop(&o->timer);
	if (o->outstanding == 0)
		timer_close(&o->timer, on_timer_closed);
}

void order_sleep(struct order *o)
{
	o->outstanding++;
}

bool order_awoke(struct order *o)
{
	o->outstanding--;
	if (o->ended && o->outstanding == 0)
		timer_close(&o->timer, on_timer_closed);
	return !o->ended;
}

/* --- the store --- */

void order_note(const struct order *o, struct txn *t, const struct entity *e, const char *id)
{
	const struct store_note note = {
		.actor = "acme",
		.actor_kind = "engine",
		.kind = e->name,
		.entity = id,
		.if_changed = true,
	};

	if (o->acme->conf.audit)
		txn_note_also(t, &note);
}

bool order_saved(struct order *o, const struct store_result *r)
{
	if (r->fault == STORE_OK) {
		timeline_stored(&o->timeline);
		return true;
	}
	if (r->fault == STORE_LEASE)
		log_notice("order lease lost", log_str("id", o->id), log_str("host", o->host));
	else
		log_warn("order could not be stored", log_str("id", o->id),
			 log_str("host", o->host), log_err(&r->err));
	order_end(o);
	return false;
}

static void on_yielded(const struct store_result *r, void *arg)
{
	(void)r; /* or else the lease runs out */
	(void)order_awoke(arg);
}

void order_yield(struct order *o, uint64_t wait_ms)
{
	char fence[24], wait[24];
	const char *params[] = {o->id, o->acme->conf.control_plane_id, fence, wait};

	snprintf(fence, sizeof(fence), "%lld", (long long)o->fence);
	snprintf(wait, sizeof(wait), "%llu", (unsigned long long)wait_ms);
	order_sleep(o);
	order_end(o);
	store_query(o->acme->store,
		    "UPDATE acme_orders SET lease_owner = NULL, lease_until = NULL, next_attempt = "
		    "now() + $4::bigint * interval '1 millisecond' WHERE id = $1 AND lease_owner = "
		    "$2 AND fence = $3",
		    params, array_len(params), on_yielded, o);
}

/* --- what is known, and forgotten --- */

struct str order_names(const struct order *o)
{
	return buf_str(&o->names);
}

const char *order_challenge(const struct order *o)
{
	for (size_t i = 0; i < o->authorizations.count; i++)
		if (authorization_in_fleet(&o->authorizations.items[i]))
			return o->authorizations.items[i].challenge_id;
	return "";
}

void order_tell(struct order *o, const char *event, const char *detail)
{
	timeline_add(&o->timeline, clock_wall_ms(), event, NULL, detail);
}

void order_blame(struct order *o, json_t *list)
{
	json_decref(o->blame);
	o->blame = list;
}

void order_problem(struct order *o, const struct problem *p)
{
	o->problem = *p;
	o->problem_at = clock_wall_s();
	order_tell(o, p->type, p->detail);
	json_decref(o->subproblems);
	o->subproblems = o->blame;
	o->blame = NULL;
}

void order_forget_ca(struct order *o)
{
	o->order_url[0] = o->finalize_url[0] = o->certificate_url[0] = '\0';
	o->challenge_revision = 0;
	o->dropping = true;
	buf_deinit(&o->sealed_key);
}

void order_drop(struct order *o, struct txn *t)
{
	for (size_t i = 0; i < o->authorizations.count; i++) {
		const struct authorization *a = &o->authorizations.items[i];

		if (authorization_in_fleet(a))
			txn_delete(t, &entity_acme_challenges, str_from(a->challenge_id), false);
	}
}
