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

static const struct sm_state states[] = {
	[ORDER_NEW] = {"new", SM_TO(ORDER_AUTHORIZING) | SM_TO(ORDER_FAILED)},
	[ORDER_AUTHORIZING] = {"authorizing", SM_TO(ORDER_PUBLISHING) | SM_TO(ORDER_FINALIZING) |
						      SM_TO(ORDER_NEW) | SM_TO(ORDER_FAILED)},
	[ORDER_PUBLISHING] = {"publishing",
			      SM_TO(ORDER_VALIDATING) | SM_TO(ORDER_NEW) | SM_TO(ORDER_FAILED)},
	[ORDER_VALIDATING] = {"validating",
			      SM_TO(ORDER_FINALIZING) | SM_TO(ORDER_NEW) | SM_TO(ORDER_FAILED)},
	[ORDER_FINALIZING] = {"finalizing",
			      SM_TO(ORDER_DOWNLOADING) | SM_TO(ORDER_NEW) | SM_TO(ORDER_FAILED)},
	[ORDER_DOWNLOADING] = {"downloading",
			       SM_TO(ORDER_VALID) | SM_TO(ORDER_NEW) | SM_TO(ORDER_FAILED)},
	[ORDER_VALID] = {"valid", 0},
	[ORDER_FAILED] = {"failed", 0},
};
const struct sm order_sm = {"order", states, array_len(states)};
static_assert(array_len(states) == ORDER_STATES, "one row per state");

void order_move(struct order *o, enum order_state to)
{
	o->state = (enum order_state)sm_move(&order_sm, o->state, to, o->id);
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
	TEXT(authorization_url, false),
	TEXT(challenge_url, false),
	TEXT(finalize_url, false),
	TEXT(certificate_url, false),
	TEXT(challenge_id, false),
	TEXT(certificate_id, false),
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

static int load_row(struct order *o, const json_t *row, struct err *e)
{
	const char *state = json_string_value(json_object_get(row, "state"));
	const char *key_type = json_string_value(json_object_get(row, "key_type"));
	const char *key = json_string_value(json_object_get(row, "key"));
	const json_t *problem = json_object_get(row, "problem");

	if (load_texts(o, row, e) != 0)
		return -1;
	if (!state || order_state_parse(str_from(state), &o->state) != 0)
		return err_set(e, ERR_INTERNAL, "acme_orders.state is broken");
	if (!key_type || key_type_parse(str_from(key_type), &o->key_type) != 0)
		return err_set(e, ERR_INTERNAL, "acme_orders.key_type is broken");
	if (key && buf_add_str(&o->sealed_key, str_from(key), e) != 0)
		return -1;
	o->renewal = json_is_true(json_object_get(row, "renewal"));
	o->attempts = (unsigned)json_integer_value(json_object_get(row, "attempts"));
	o->fence = json_integer_value(json_object_get(row, "fence"));
	o->challenge_revision =
		(uint64_t)json_integer_value(json_object_get(row, "challenge_revision"));
	if (problem_from_json(&o->problem, problem))
		o->problem_at = json_integer_value(json_object_get(problem, "at"));
	return 0;
}

static void free_order(struct order *o)
{
	buf_deinit(&o->sealed_key);
	EVP_PKEY_free(o->key);
	install_free(o->install);
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
	if (load_row(o, row, e) != 0) {
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
	*out = o;
	return 0;
}

/* --- the end of a run --- */

static void on_timer_closed(struct timer *t)
{
	struct order *o = container_of(t, struct order, timer);
	struct acme *a = o->acme;

	free_order(o);
	acme_order_gone(a);
}

void order_end(struct order *o)
{
	if (o->ended)
		return;
	o->ended = true;
	list_remove(&o->link);
	client_cancel(o->call);
	o->call = NULL;
	list_remove(&o->waiter.link);
	barrier_cancel(o->barrier);
	o->barrier = NULL;
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

/* --- memory into the row --- */

static const char save_sql[] =
	"UPDATE acme_orders SET updated_at = now(), state = $4, attempts = $5, order_url = $6, "
	"authorization_url = $7, challenge_url = $8, finalize_url = $9, certificate_url = $10, "
	"challenge_id = $11, challenge_revision = $12, key = $13::bytea, problem = $14::jsonb, "
	"certificate_id = $15, not_after = to_timestamp($16::double precision), "
	"renew_at = CASE WHEN $17::double precision IS NOT NULL THEN "
	"greatest(to_timestamp($17::double precision), now() + $20::bigint * interval '1 "
	"millisecond') END, "
	"next_attempt = CASE WHEN $18::bigint IS NULL THEN next_attempt "
	"ELSE now() + $18::bigint * interval '1 millisecond' END, "
	"lease_owner = CASE WHEN $19::boolean THEN NULL ELSE lease_owner END, "
	"lease_until = CASE WHEN $19::boolean THEN NULL ELSE lease_until END "
	"WHERE id = $1 AND lease_owner = $2 AND fence = $3";

enum { SAVE_PARAMS = 20, NUMBER_SIZE = 24 };

struct save_params {
	const char *values[SAVE_PARAMS];
	char fence[NUMBER_SIZE], attempts[NUMBER_SIZE], challenge_revision[NUMBER_SIZE];
	char not_after[NUMBER_SIZE], renew_at[NUMBER_SIZE + 8], renew_pause[NUMBER_SIZE];
	char next[NUMBER_SIZE];
	char *problem; /* freed by the caller */
};

static const char *or_null(const char *text)
{
	return text[0] ? text : NULL;
}

static void fill_params(struct save_params *p, const struct order *o)
{
	json_t *problem =
		problem_is_set(&o->problem) ? problem_json(&o->problem, o->problem_at) : NULL;
	const char *const values[SAVE_PARAMS] = {
		o->id,
		o->acme->conf.control_plane_id,
		p->fence,
		order_state_name(o->state),
		p->attempts,
		or_null(o->order_url),
		or_null(o->authorization_url),
		or_null(o->challenge_url),
		or_null(o->finalize_url),
		or_null(o->certificate_url),
		or_null(o->challenge_id),
		o->challenge_revision ? p->challenge_revision : NULL,
		o->sealed_key.len ? o->sealed_key.data : NULL,
		p->problem = problem ? json_dumps(problem, JSON_COMPACT) : NULL,
		or_null(o->certificate_id),
		o->not_after ? p->not_after : NULL,
		o->renew_at_ms ? p->renew_at : NULL,
		o->next_ms >= 0 ? p->next : NULL,
		o->released ? "true" : "false",
		p->renew_pause,
	};

	memcpy(p->values, values, sizeof(values));
	snprintf(p->fence, sizeof(p->fence), "%lld", (long long)o->fence);
	snprintf(p->attempts, sizeof(p->attempts), "%u", o->attempts);
	snprintf(p->challenge_revision, sizeof(p->challenge_revision), "%llu",
		 (unsigned long long)o->challenge_revision);
	snprintf(p->not_after, sizeof(p->not_after), "%lld", (long long)o->not_after);
	snprintf(p->renew_at, sizeof(p->renew_at), "%lld.%03lld",
		 (long long)(o->renew_at_ms / 1000), (long long)(o->renew_at_ms % 1000));
	snprintf(p->renew_pause, sizeof(p->renew_pause), "%lld", (long long)o->renew_pause_ms);
	snprintf(p->next, sizeof(p->next), "%lld", (long long)o->next_ms);
	json_decref(problem);
}

void order_save_in(struct order *o, struct txn *t)
{
	struct save_params p;

	fill_params(&p, o);
	txn_exec(t, save_sql, p.values, SAVE_PARAMS, 1, STORE_LEASE);
	free(p.problem);
}

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
		txn_note(t, &note);
}

bool order_saved(struct order *o, const struct store_result *r)
{
	if (r->fault == STORE_OK)
		return true;
	if (r->fault == STORE_LEASE)
		log_notice("order lease lost", log_str("id", o->id), log_str("host", o->host));
	else
		log_warn("order could not be stored", log_str("id", o->id),
			 log_str("host", o->host), log_err(&r->err));
	order_end(o);
	return false;
}

static void on_saved(const struct store_result *r, void *arg)
{
	struct order *o = arg;
	struct store_result lost = *r;
	void (*then)(struct order *);

	if (!order_awoke(o))
		return;
	if (r->fault == STORE_OK && r->affected == 0)
		lost.fault = STORE_LEASE;
	if (!order_saved(o, &lost))
		return;
	then = o->then;
	o->then = NULL;
	then(o);
}

void order_save(struct order *o, void (*then)(struct order *o))
{
	struct save_params p;

	fill_params(&p, o);
	o->then = then;
	order_sleep(o);
	store_query(o->acme->store, save_sql, p.values, SAVE_PARAMS, on_saved, o);
	free(p.problem);
}

/* --- asking the CA --- */

/* Ends the run when the lease may be somebody else's. */
static bool lease_over(struct order *o)
{
	if (clock_mono_ns() < o->lease_ns)
		return false;
	log_notice("order lease ran out", log_str("id", o->id), log_str("host", o->host));
	order_end(o);
	return true;
}

static void deliver(const struct client_reply *r, void *arg)
{
	struct order *o = arg;

	o->call = NULL;
	if (!problem_is_set(&r->problem) || !lease_over(o))
		o->on_reply(o, r);
}

void order_post(struct order *o, enum client_endpoint endpoint, const char *url,
		const char *payload,
		void (*on_reply)(struct order *o, const struct client_reply *r))
{
	const struct client_request request = {
		.endpoint = endpoint,
		.url = url,
		.key = account_key(o->acme->account),
		.kid = account_kid(o->acme->account),
		.payload = str_from(payload),
		.until_ns = &o->lease_ns,
	};
	struct client_reply failed = {.retry_after_ms = RETRY_AFTER_NONE};
	struct err e = ERR_INIT;

	if (!account_ready(o->acme->account)) {
		/* Another order found it gone: from the top of this state, with the next one. */
		o->resumed = true;
		order_step(o);
		return;
	}
	if (lease_over(o))
		return;
	o->on_reply = on_reply;
	if (client_post(&o->call, o->acme->client, &request, deliver, o, &e) == 0)
		return;
	o->call = NULL;
	problem_from_err(&failed.problem, "connection", &e);
	on_reply(o, &failed);
}
