/* Renewal information (RFC 9773) of the certificates that are watched, asked for in batches.
 *
 * Each second: rows whose ari_next has come are claimed (ari_next moves on, so that no other
 * control plane asks too), their windows are fetched, a few at once, and what came is written by
 * one statement when the last of the batch has answered. A window that moved chooses a new time of
 * renewal; one that did not keeps it. Failure paths: what cannot be read now is asked for again
 * when the claim is over; what the CA refuses, after hours.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "control-plane/acme/engine.h"
#include "control-plane/acme/renewal_info.h"

enum { CLAIM_MAX = 100, WINDOW = 8 };
static const uint64_t learn_every_ns = UINT64_C(60) * 1000000000;
static const int64_t refused_wait_ms = 6 * 3600 * INT64_C(1000);

/* One certificate's question. */
struct ask {
	struct link link; /* on batch.waiting, or on acme.ari_asks */
	struct batch *batch;
	struct authority *authority;
	struct fetch *fetch;
	char id[UUID_TEXT_SIZE];
	struct renewal_life life;
	char url[ACME_URL_SIZE];
};

struct batch {
	struct acme *acme;
	struct link waiting; /* struct ask */
	size_t in_flight;
	json_t *answers;
};

json_t *ari_row(const struct order *o, const char *ari_id, int64_t not_before)
{
	const struct acme_directory *d = client_directory(o->authority->client);
	bool watched = ari_id && d && d->renewal_info[0] && !o->pair_of[0];

	return json_pack("{s:s, s:I, s:s?, s:b}", "id", o->id, "not_before", (json_int_t)not_before,
			 "ari_id", ari_id, "watched", watched);
}

void ari_watch(struct txn *t, const char *rows)
{
	txn_exec(t,
		 "UPDATE acme_orders o SET not_before = to_timestamp(r.not_before), ari_id = "
		 "r.ari_id, ari_next = CASE WHEN r.watched THEN now() + least(interval '1 hour', "
		 "(o.not_after - to_timestamp(r.not_before)) / 20) * (0.5 + random() / 2) END FROM "
		 "jsonb_to_recordset($1::jsonb) AS r (id uuid, not_before bigint, ari_id text, "
		 "watched boolean) WHERE o.id = r.id",
		 &rows, 1, 0, STORE_OK);
}

/* --- writing --- */

static void batch_free(struct batch *b)
{
	json_decref(b->answers);
	free(b);
}

static void on_written(const struct store_result *r, void *arg)
{
	struct acme *a = arg;

	if (!acme_awoke(a))
		return;
	a->ari_claiming = false;
	if (r->fault != STORE_OK)
		log_warn("renewal information could not be stored", log_err(&r->err));
	else
		ari_tick(a);
}

/* A renewal at once, again and again, is not followed: a CA that always wants that is obeyed once
 * an hour, or ten times in the life of a certificate. */
static const char write_sql[] =
	"UPDATE acme_orders o SET ari_next = now() + r.next * interval '1 millisecond', ari_start "
	"= "
	"to_timestamp(r.window_start), ari_end = to_timestamp(r.window_end), ari_explanation = "
	"r.explanation, renew_at = CASE WHEN r.renew IS NULL OR (o.ari_start = "
	"to_timestamp(r.window_start) AND o.ari_end = to_timestamp(r.window_end)) THEN o.renew_at "
	"ELSE greatest(to_timestamp(r.renew), o.created_at + least((o.not_after - o.not_before) / "
	"10, interval '1 hour')) END FROM jsonb_to_recordset($1::jsonb) AS r (id uuid, next "
	"double precision, window_start double precision, window_end double precision, renew "
	"double precision, explanation text) WHERE o.id = r.id AND o.state = 'valid' AND "
	"o.renew_at IS NOT NULL";

static void batch_write(struct batch *b)
{
	struct acme *a = b->acme;
	char *text = json_dumps(b->answers, JSON_COMPACT);
	const char *params[] = {text};

	if (text && json_array_size(b->answers) > 0) {
		acme_sleep(a);
		store_query(a->store, write_sql, params, array_len(params), on_written, a);
	} else {
		a->ari_claiming = false;
	}
	free(text);
	batch_free(b);
}

/* --- asking --- */

static void ask_free(struct ask *q)
{
	list_remove(&q->link);
	fetch_cancel(q->fetch);
	authority_release(q->authority);
	free(q);
}

static json_t *answer_of(const struct ask *q, const struct fetch_reply *r)
{
	int64_t next = renewal_poll_ms(r->retry_after_ms, &q->life), when;
	struct renewal_window w;
	struct err e = r->err;
	json_t *renew;

	if (r->err.kind != ERR_NONE || r->status == 429 || r->status >= 500)
		return NULL; /* the claim is the pause */
	if (r->status != 200 || renewal_read(&w, r->body, &e) != 0) {
		log_notice("no renewal information", log_str("id", q->id),
			   log_u64("status", r->status), log_err(&e));
		return json_pack("{s:s, s:I}", "id", q->id, "next", (json_int_t)refused_wait_ms);
	}
	when = renewal_when_ms(&w, &q->life, clock_wall_s(), chance());
	renew = when == RENEWAL_NO_OPINION ? json_null() : json_real((double)when / 1000);
	return json_pack("{s:s, s:I, s:I, s:I, s:o, s:s?}", "id", q->id, "next", (json_int_t)next,
			 "window_start", (json_int_t)w.start_s, "window_end", (json_int_t)w.end_s,
			 "renew", renew, "explanation", w.explanation[0] ? w.explanation : NULL);
}

static void batch_go(struct batch *b);

static void on_answer(const struct fetch_reply *r, void *arg)
{
	struct ask *q = arg;
	struct batch *b = q->batch;
	json_t *answer = answer_of(q, r);

	q->fetch = NULL;
	if (answer)
		(void)json_array_append_new(b->answers, answer);
	ask_free(q);
	b->in_flight--;
	batch_go(b);
}

static void batch_go(struct batch *b)
{
	struct link *it;

	while (b->in_flight < WINDOW && (it = list_pop(&b->waiting))) {
		struct ask *q = container_of(it, struct ask, link);
		const struct fetch_request r = {.method = FETCH_GET, .url = q->url};
		struct err e = ERR_INIT;

		list_push(&b->acme->ari_asks, &q->link);
		if (fetch_start(&q->fetch, q->authority->fetcher, &r, on_answer, q, &e) == 0) {
			b->in_flight++;
			continue;
		}
		log_warn("renewal information cannot be asked for", log_str("id", q->id),
			 log_err(&e));
		ask_free(q);
	}
	if (b->in_flight == 0)
		batch_write(b);
}

static struct ask *ask_create(struct batch *b, const json_t *row)
{
	const char *ca = json_string_value(json_object_get(row, "ca"));
	const char *id = json_string_value(json_object_get(row, "id"));
	const char *name = json_string_value(json_object_get(row, "ari_id"));
	struct authority *au = ca ? authority_find(b->acme, ca) : NULL;
	const struct acme_directory *d = au ? client_directory(au->client) : NULL;
	struct ask *q = d && id && name ? calloc(1, sizeof(*q)) : NULL;
	size_t len = d ? strlen(d->renewal_info) : 0;

	if (!q)
		return NULL;
	list_init(&q->link);
	q->batch = b;
	q->authority = au;
	authority_use(au);
	q->life.not_before_s = json_integer_value(json_object_get(row, "not_before"));
	q->life.not_after_s = json_integer_value(json_object_get(row, "not_after"));
	snprintf(q->id, sizeof(q->id), "%s", id);
	if (len > 0 && d->renewal_info[len - 1] == '/')
		len--;
	/* One that does not fit is refused as a URL, and told. */
	snprintf(q->url, sizeof(q->url), "%.*s/%.127s", (int)(len < 890 ? len : 890),
		 d->renewal_info, name);
	return q;
}

static void on_claimed(const struct store_result *r, void *arg)
{
	struct acme *a = arg;
	struct batch *b;
	const json_t *row;
	size_t i;

	if (!acme_awoke(a))
		return;
	if (r->fault != STORE_OK)
		log_warn("renewal information is not asked for", log_err(&r->err));
	b = json_array_size(r->rows) > 0 ? calloc(1, sizeof(*b)) : NULL;
	if (!b) {
		a->ari_claiming = false;
		return;
	}
	b->acme = a;
	b->answers = json_array();
	list_init(&b->waiting);
	json_array_foreach(r->rows, i, row)
	{
		struct ask *q = ask_create(b, row);

		if (q)
			list_push(&b->waiting, &q->link);
	}
	/* So that closing finds those that wait, too. */
	batch_go(b);
}

/* --- claiming --- */

/* Authorities that have renewal information, as a JSON array. */
static char *offering(struct acme *a)
{
	json_t *list = json_array();
	char *text = NULL;

	list_for_each(it, &a->authorities)
	{
		struct authority *au = container_of(it, struct authority, link);
		const struct acme_directory *d = client_directory(au->client);

		if (clock_mono_ns() >= a->ari_learn_ns)
			client_learn(au->client);
		if (list && d && d->renewal_info[0])
			(void)json_array_append_new(list, json_string(au->conf.directory));
	}
	if (clock_mono_ns() >= a->ari_learn_ns)
		a->ari_learn_ns = clock_mono_ns() + learn_every_ns;
	if (json_array_size(list) > 0)
		text = json_dumps(list, JSON_COMPACT);
	json_decref(list);
	return text;
}

static const char claim_sql[] =
	"UPDATE acme_orders o SET ari_next = now() + least(interval '10 minutes', (o.not_after - "
	"o.not_before) / 20) FROM (SELECT id FROM acme_orders WHERE ari_next <= now() AND state = "
	"'valid' AND renew_at IS NOT NULL AND not_after > now() AND $1::jsonb ? ca ORDER BY "
	"ari_next LIMIT $2 FOR UPDATE SKIP LOCKED) d WHERE o.id = d.id RETURNING o.id, o.ca, "
	"o.ari_id, extract(epoch FROM o.not_before)::bigint AS not_before, extract(epoch FROM "
	"o.not_after)::bigint AS not_after";

void ari_tick(struct acme *a)
{
	char limit[16];
	const char *params[] = {NULL, limit};
	char *directories;

	if (a->ari_claiming || a->closing)
		return;
	directories = offering(a);
	if (directories) {
		params[0] = directories;
		snprintf(limit, sizeof(limit), "%d", CLAIM_MAX);
		a->ari_claiming = true;
		acme_sleep(a);
		store_query(a->store, claim_sql, params, array_len(params), on_claimed, a);
	}
	free(directories);
}

void ari_close(struct acme *a)
{
	struct batch *b = NULL;
	struct link *it;

	/* One batch at a time: all of these are of it. */
	while ((it = list_pop(&a->ari_asks))) {
		struct ask *q = container_of(it, struct ask, link);

		b = q->batch;
		ask_free(q);
	}
	while (b && (it = list_pop(&b->waiting)))
		ask_free(container_of(it, struct ask, link));
	if (b)
		batch_free(b);
}
