/* Keeps the fleet's ticket secrets.
 *
 *   timer -> one transaction per step: lock, condition, insert or delete -> next step -> timer
 *   condition does not hold (somebody was faster, nothing is due): STORE_NOT_FOUND, next step
 *   database away: all steps again in a few seconds
 *   no database: one list, the steps done to it here, and all of it kept
 */
#include "control-plane/fleet/ticket_secret.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "common/core/clock.h"
#include "common/core/codec.h"
#include "common/core/log.h"

enum { LOOK_MS = 3600 * 1000, RETRY_MS = 5000, AHEAD_S = 86400 };

static const char sql_lock[] =
	"SELECT pg_advisory_xact_lock(hashtext('cardea_ticket_secrets')) AS locked";
static const char sql_none[] = "SELECT 1 AS ok WHERE NOT EXISTS (SELECT 1 FROM ticket_secrets)";
static const char sql_none_ahead[] =
	"SELECT 1 AS ok WHERE NOT EXISTS (SELECT 1 FROM ticket_secrets WHERE not_before > now())";
/* The successor must have counted for three slots: tickets of the slot before last are dead. */
static const char sql_prune[] =
	"DELETE FROM ticket_secrets o WHERE EXISTS (SELECT 1 FROM ticket_secrets s"
	" WHERE s.not_before > o.not_before AND s.not_before < now() - interval '36 hours')";

int64_t ticket_secret_not_before(int64_t now)
{
	return (now + AHEAD_S + TICKET_SLOT_S - 1) / TICKET_SLOT_S * TICKET_SLOT_S;
}

static int secret_row(json_t **out, int64_t not_before, struct err *e)
{
	unsigned char bytes[TICKET_SECRET_BYTES];
	struct buf hex = {.secret = true};
	char id[UUID_TEXT_SIZE];
	int64_t now = clock_wall_s();
	int rc;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return err_openssl(e, ERR_INTERNAL, "random bytes");
	rc = hex_encode(&hex, (struct str){(const char *)bytes, sizeof(bytes)}, e);
	if (rc == 0)
		rc = uuid_make(id, e);
	if (rc == 0) {
		*out = json_pack("{s:s, s:I, s:I, s:s, s:I}", "id", id, "created_at",
				 (json_int_t)now, "updated_at", (json_int_t)now, "secret", hex.data,
				 "not_before", (json_int_t)not_before);
		rc = *out ? 0 : err_memory(e, "ticket secret");
	}
	OPENSSL_cleanse(bytes, sizeof(bytes));
	buf_deinit(&hex);
	return rc;
}

static void add_secret(struct txn *t, const char *condition, int64_t not_before)
{
	struct err e = ERR_INIT;
	json_t *row;

	txn_exec(t, sql_lock, NULL, 0, 0, STORE_OK);
	txn_exec(t, condition, NULL, 0, 1, STORE_NOT_FOUND);
	if (secret_row(&row, not_before, &e)) {
		log_error("no ticket secret could be made", log_err(&e));
		return;
	}
	txn_insert(t, &entity_ticket_secrets, row);
	json_decref(row);
}

static void step_first(struct txn *t)
{
	add_secret(t, sql_none, 0);
}

static void step_ahead(struct txn *t)
{
	add_secret(t, sql_none_ahead, ticket_secret_not_before(clock_wall_s()));
}

static void step_prune(struct txn *t)
{
	txn_exec(t, sql_lock, NULL, 0, 0, STORE_OK);
	txn_exec(t, sql_prune, NULL, 0, 0, STORE_OK);
}

static void (*const steps[])(struct txn *t) = {step_first, step_ahead, step_prune};

static void run_step(struct ticket_keeper *k);

static void release(struct ticket_keeper *k)
{
	if (--k->open == 0 && k->closed)
		k->closed(k->arg);
}

static void on_step(const struct store_result *r, void *arg)
{
	struct ticket_keeper *k = arg;
	bool failed = r->err.kind != ERR_NONE && r->fault != STORE_NOT_FOUND;

	if (failed)
		log_warn("ticket secrets could not be looked after", log_err(&r->err));
	if (!k->closing && failed) {
		timer_start(&k->timer, RETRY_MS, 0);
	} else if (!k->closing) {
		k->step = (k->step + 1) % array_len(steps);
		if (k->step)
			run_step(k);
		else
			timer_start(&k->timer, LOOK_MS, 0);
	}
	release(k);
}

/* --- without a database --- */

static int64_t not_before(const json_t *row)
{
	return json_integer_value(json_object_get(row, "not_before"));
}

/* Whether one that began to count after row did so long enough ago that no ticket needs row. */
static bool is_superseded(const json_t *rows, const json_t *row, int64_t now)
{
	const json_t *other;
	size_t i;

	json_array_foreach(rows, i, other)
	{
		if (not_before(other) > not_before(row) &&
		    not_before(other) < now - 3 * TICKET_SLOT_S)
			return true;
	}
	return false;
}

static int add_when_none_after(json_t *rows, int64_t after, int64_t from, struct err *e)
{
	const json_t *row;
	json_t *fresh = NULL;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		if (not_before(row) > after)
			return 0;
	}
	if (secret_row(&fresh, from, e) < 0)
		return -1;
	return json_array_append_new(rows, fresh) < 0 ? err_memory(e, "ticket secret") : 0;
}

json_t *ticket_secrets_next(const json_t *rows, int64_t now, struct err *e)
{
	json_t *next = json_array();
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		if (!is_superseded(rows, row, now))
			(void)json_array_append(next, row);
	}
	if (!next || add_when_none_after(next, -1, 0, e) < 0 ||
	    add_when_none_after(next, now, ticket_secret_not_before(now), e) < 0) {
		json_decref(next);
		return NULL;
	}
	return next;
}

static void on_kept(const struct store_result *r, void *arg)
{
	struct ticket_keeper *k = arg;

	if (r->fault != STORE_OK)
		log_warn("ticket secrets could not be looked after", log_err(&r->err));
	if (!k->closing)
		timer_start(&k->timer, r->fault != STORE_OK ? RETRY_MS : LOOK_MS, 0);
	release(k);
}

static void on_all(const struct store_result *r, void *arg)
{
	struct ticket_keeper *k = arg;
	struct err e = r->err;
	json_t *next = NULL;

	if (!k->closing && r->fault == STORE_OK)
		next = ticket_secrets_next(r->rows, clock_wall_s(), &e);
	if (next) {
		store_keep(k->store, &entity_ticket_secrets, next, on_kept, k);
		json_decref(next);
		return;
	}
	if (!k->closing) {
		log_error("no ticket secret could be made", log_err(&e));
		timer_start(&k->timer, RETRY_MS, 0);
	}
	release(k);
}

static void keep_all(struct ticket_keeper *k)
{
	/* There are three at most. */
	const struct store_page all = {.size = 100};

	k->open++;
	store_list(k->store, &entity_ticket_secrets, &all, on_all, k);
}

/* --- with one --- */

static void run_step(struct ticket_keeper *k)
{
	struct txn *t = txn_create(k->store, NULL);

	if (!t) {
		timer_start(&k->timer, RETRY_MS, 0);
		return;
	}
	steps[k->step](t);
	k->open++;
	txn_commit(t, on_step, k);
}

static void on_timer(struct timer *timer)
{
	struct ticket_keeper *k = container_of(timer, struct ticket_keeper, timer);

	k->step = 0;
	if (store_read_only(k->store))
		keep_all(k);
	else
		run_step(k);
}

void ticket_keeper_init(struct ticket_keeper *k, struct loop *l, struct store *s)
{
	memset(k, 0, sizeof(*k));
	k->store = s;
	k->open = 1;
	timer_init(&k->timer, l, on_timer);
	timer_start(&k->timer, 0, 0);
}

static void timer_closed(struct timer *timer)
{
	release(container_of(timer, struct ticket_keeper, timer));
}

void ticket_keeper_close(struct ticket_keeper *k, void (*closed)(void *arg), void *arg)
{
	k->closing = true;
	k->closed = closed;
	k->arg = arg;
	timer_close(&k->timer, timer_closed);
}
