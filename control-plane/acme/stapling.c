/* Happy path: see stapling_internal.h. Failure paths: what cannot be asked, or is no answer, is
 * asked again after a growing pause, and what is stored stays. When a responder does not answer one
 * question, the others of the batch that are for it count as not answered too, so that it holds up
 * nobody else. When the database is away, or this control plane dies, the rows are due again when
 * their claim is over. */
#include "control-plane/acme/stapling.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "common/core/sm.h"
#include "control-plane/acme/backoff.h"
#include "control-plane/acme/stapling_internal.h"

enum { CONNECT_MS = 5000 };
static const uint64_t count_every_ns = UINT64_C(10) * 1000000000;

static const struct sm_state phases[STAPLE_PHASES] = {
	[STAPLE_CLAIMING] = {"claiming", SM_TO(STAPLE_READING)},
	[STAPLE_READING] = {"reading", SM_TO(STAPLE_ASKING)},
	[STAPLE_ASKING] = {"asking", SM_TO(STAPLE_JUDGING)},
	[STAPLE_JUDGING] = {"judging", SM_TO(STAPLE_SAVING)},
	[STAPLE_SAVING] = {"saving", 0},
};
static const struct sm machine = {"staples", phases, STAPLE_PHASES};

static void move(struct staple_batch *b, enum staple_phase to)
{
	b->phase = (enum staple_phase)sm_move(&machine, b->phase, to, NULL);
}

/* --- the end --- */

static void ask_free(struct staple_ask *q)
{
	list_remove(&q->link);
	fetch_cancel(q->fetch);
	staple_question_free(&q->question);
	buf_deinit(&q->body);
	free(q->pem);
	free(q->stored);
	free(q);
}

static void batch_free(struct staple_batch *b)
{
	struct link *lists[] = {&b->waiting, &b->asked, &b->done};

	for (size_t i = 0; i < array_len(lists); i++)
		list_for_each_safe(it, lists[i])
			ask_free(container_of(it, struct staple_ask, link));
	free(b);
}

static void batch_over(struct staple_batch *b)
{
	b->acme->stapling->batch = NULL;
	batch_free(b);
}

/* After a question to the database or the pool; false: closing, b is gone. */
static bool awoke(struct staple_batch *b)
{
	struct acme *a = b->acme;

	if (a->closing)
		batch_over(b);
	return acme_awoke(a);
}

/* --- saving --- */

static void on_saved(const struct store_result *r, void *arg)
{
	struct staple_batch *b = arg;
	struct acme *a = b->acme;

	if (!awoke(b))
		return;
	if (r->fault != STORE_OK)
		log_warn("OCSP responses could not be stored", log_err(&r->err));
	batch_over(b);
	schedule_kick(a); /* for certificates that are to be replaced */
}

/* --- judging --- */

static void judge(struct staple_ask *q)
{
	struct err failed = q->err;
	const struct staple_reply r = {
		.failed = &failed, .status = q->status, .body = buf_str(&q->body)};

	if (q->plan != STAPLE_PLAN_ASK)
		return;
	err_clear(&q->err);
	q->result = staple_question_judge(&q->question, &r, &q->answer, &q->err);
}

static void run_judging(struct work *w)
{
	struct staple_batch *b = container_of(w, struct staple_batch, work);

	list_for_each(it, &b->done) judge(container_of(it, struct staple_ask, link));
}

/* The first failure of a certificate is a warning; that it goes on is a metric. */
static void tell(const struct staple_ask *q)
{
	const char *of = q->alt ? "cert_alt" : "cert";

	if (q->plan == STAPLE_PLAN_BROKEN)
		log_warn("no OCSP response can be asked for", log_str("certificate", q->id),
			 log_str("of", of), log_err(&q->err));
	else if (q->plan != STAPLE_PLAN_ASK)
		return;
	else if (q->result == STAPLE_RESULT_REVOKED)
		log_error("the responder says that a certificate is revoked",
			  log_str("certificate", q->id), log_str("of", of),
			  log_i64("reason", q->answer.reason),
			  log_i64("revoked_at", q->answer.revoked_at));
	else if (q->result != STAPLE_RESULT_GOOD && q->failures == 0)
		log_warn("no OCSP response", log_str("certificate", q->id), log_str("of", of),
			 log_str("responder", q->question.responder),
			 log_str("result", staple_result_name(q->result)), log_err(&q->err));
}

static void on_judged(struct work *w)
{
	struct staple_batch *b = container_of(w, struct staple_batch, work);
	struct stapling *s = b->acme->stapling;

	if (!awoke(b))
		return;
	list_for_each(it, &b->done)
	{
		const struct staple_ask *q = container_of(it, struct staple_ask, link);

		tell(q);
		if (q->plan == STAPLE_PLAN_ASK && s->results[q->result])
			metric_add(s->results[q->result], 1);
	}
	move(b, STAPLE_SAVING);
	acme_sleep(b->acme);
	stapling_save(b, on_saved);
}

static void work(struct staple_batch *b, void (*run)(struct work *w), void (*done)(struct work *w))
{
	struct err e = ERR_INIT;

	acme_sleep(b->acme);
	if (work_start(&b->work, b->acme->loop, run, done, &e) == 0)
		return;
	log_warn("OCSP responses cannot be worked on", log_err(&e));
	if (awoke(b))
		batch_over(b);
}

/* --- asking --- */

static void asking(struct staple_batch *b);

static void finish(struct staple_ask *q)
{
	list_remove(&q->link);
	list_push(&q->batch->done, &q->link);
}

/* The responder is not there: whoever waits for it does not wait in turn. */
static void skip_responder(struct staple_batch *b, const char *responder)
{
	list_for_each_safe(it, &b->waiting)
	{
		struct staple_ask *q = container_of(it, struct staple_ask, link);

		if (!str_eq(str_from(q->question.responder), str_from(responder)))
			continue;
		err_set(&q->err, ERR_UNAVAILABLE,
			"not asked: the responder has just left another question unanswered");
		finish(q);
	}
}

static void on_answer(const struct fetch_reply *r, void *arg)
{
	struct staple_ask *q = arg;
	struct staple_batch *b = q->batch;

	q->fetch = NULL;
	q->err = r->err;
	q->status = r->status;
	q->retry_after_ms = r->retry_after_ms;
	if (r->err.kind == ERR_NONE && buf_add_str(&q->body, r->body, &q->err) != 0)
		q->status = 0;
	if (r->err.kind == ERR_UNAVAILABLE || r->err.kind == ERR_TIMEOUT)
		skip_responder(b, q->question.responder);
	b->in_flight--;
	finish(q);
	asking(b);
}

static void ask(struct staple_ask *q)
{
	struct staple_question *question = &q->question;
	const struct fetch_request r = {
		.method = question->post ? FETCH_POST : FETCH_GET,
		.url = question->url.data,
		.body = question->post ? buf_str(&question->request) : STR_NONE,
		.content_type = question->post ? "application/ocsp-request" : NULL,
		.accept = "application/ocsp-response",
	};

	list_remove(&q->link);
	list_push(&q->batch->asked, &q->link);
	if (fetch_start(&q->fetch, q->batch->acme->stapling->fetcher, &r, on_answer, q, &q->err) ==
	    0) {
		q->batch->in_flight++;
		return;
	}
	q->fetch = NULL;
	finish(q);
}

static void asking(struct staple_batch *b)
{
	struct link *first;

	while (b->in_flight < b->acme->conf.ocsp_fetches_max && (first = list_first(&b->waiting)))
		ask(container_of(first, struct staple_ask, link));
	if (b->in_flight > 0)
		return;
	move(b, STAPLE_JUDGING);
	work(b, run_judging, on_judged);
}

/* --- reading --- */

static void read_one(struct staple_ask *q)
{
	struct staple_question *s = &q->question;
	int64_t now = clock_wall_s();

	if (staple_question_make(s, str_from(q->pem), str_from(q->stored), &q->err) != 0)
		q->plan = STAPLE_PLAN_BROKEN;
	else if (!s->responder || !s->issuer)
		q->plan = STAPLE_PLAN_NOTHING;
	else if (s->until > 0 && now < s->from + (s->until - s->from) / 2)
		q->plan = STAPLE_PLAN_KEEP;
	else
		q->plan = STAPLE_PLAN_ASK;
}

static void run_reading(struct work *w)
{
	struct staple_batch *b = container_of(w, struct staple_batch, work);

	list_for_each(it, &b->waiting) read_one(container_of(it, struct staple_ask, link));
}

static void on_read(struct work *w)
{
	struct staple_batch *b = container_of(w, struct staple_batch, work);

	if (!awoke(b))
		return;
	move(b, STAPLE_ASKING);
	list_for_each_safe(it, &b->waiting)
	{
		struct staple_ask *q = container_of(it, struct staple_ask, link);

		if (q->plan != STAPLE_PLAN_ASK)
			finish(q);
	}
	asking(b);
}

/* --- claiming --- */

static void take(struct staple_batch *b, const json_t *row)
{
	const char *id = json_string_value(json_object_get(row, "certificate"));
	const char *md5 = json_string_value(json_object_get(row, "md5"));
	const json_t *pem = json_object_get(row, "pem"), *stored = json_object_get(row, "stored");
	struct staple_ask *q = id && md5 && pem ? calloc(1, sizeof(*q)) : NULL;

	if (!q)
		return;
	list_init(&q->link);
	q->batch = b;
	snprintf(q->id, sizeof(q->id), "%s", id);
	snprintf(q->md5, sizeof(q->md5), "%s", md5);
	q->alt = json_is_true(json_object_get(row, "alt"));
	q->failures = (unsigned)json_integer_value(json_object_get(row, "attempts"));
	q->pem = str_dup((struct str){json_string_value(pem), json_string_length(pem)});
	q->stored = json_is_string(stored) ? str_dup((struct str){json_string_value(stored),
								  json_string_length(stored)})
					   : NULL;
	q->retry_after_ms = RETRY_AFTER_NONE;
	q->body.limit = STAPLE_MAX;
	list_push(&b->waiting, &q->link);
	if (!q->pem || (json_is_string(stored) && !q->stored))
		ask_free(q); /* out of memory: due again when the claim is over */
}

static void on_claimed(const struct store_result *r, void *arg)
{
	struct staple_batch *b = arg;
	const json_t *row;
	size_t i;

	if (!awoke(b))
		return;
	if (r->fault != STORE_OK)
		log_warn("certificates whose OCSP response is due cannot be read",
			 log_err(&r->err));
	json_array_foreach(r->rows, i, row)
	{
		take(b, row);
	}
	if (list_empty(&b->waiting)) {
		batch_over(b);
		return;
	}
	move(b, STAPLE_READING);
	work(b, run_reading, on_read);
}

/* $1: so many. All responders of a batch that say nothing at all take less than the claim. */
static const char claim_sql[] =
	"WITH due AS (SELECT certificate, alt FROM certificate_staples WHERE next_fetch <= now() "
	"ORDER BY next_fetch LIMIT $1::bigint FOR UPDATE SKIP LOCKED) UPDATE certificate_staples s "
	"SET next_fetch = now() + interval '15 minutes' FROM due d JOIN certificates c ON c.id = "
	"d.certificate WHERE s.certificate = d.certificate AND s.alt = d.alt RETURNING "
	"s.certificate, s.alt, s.attempts, md5(CASE WHEN s.alt THEN c.cert_alt ELSE c.cert END) AS "
	"md5, CASE WHEN s.alt THEN c.cert_alt ELSE c.cert END AS pem, CASE WHEN s.alt THEN "
	"c.ocsp_response_alt ELSE c.ocsp_response END AS stored";

static void claim(struct acme *a)
{
	struct staple_batch *b = calloc(1, sizeof(*b));
	char limit[16];
	const char *params[] = {limit};

	if (!b)
		return;
	b->acme = a;
	list_init(&b->waiting);
	list_init(&b->asked);
	list_init(&b->done);
	a->stapling->batch = b;
	snprintf(limit, sizeof(limit), "%d", STAPLING_CLAIM_MAX);
	acme_sleep(a);
	store_query(a->store, claim_sql, params, array_len(params), on_claimed, b);
}

/* --- metrics --- */

static const char *const watches[STAPLE_WATCHES] = {
	[STAPLE_WATCH_FAILING] = "failing",
	[STAPLE_WATCH_REVOKED] = "revoked",
	[STAPLE_WATCH_MISSING] = "must_staple_missing",
};

static void on_counted(const struct store_result *r, void *arg)
{
	struct acme *a = arg;
	const json_t *row = json_array_get(r->rows, 0);

	if (!acme_awoke(a))
		return;
	a->stapling->counting = false;
	for (size_t i = 0; row && i < STAPLE_WATCHES; i++)
		if (a->stapling->watched[i])
			metric_set(a->stapling->watched[i],
				   (double)json_integer_value(json_object_get(row, watches[i])));
}

static void count(struct acme *a)
{
	struct stapling *s = a->stapling;

	if (s->counting || !s->watched[0] || clock_mono_ns() < s->count_at_ns)
		return;
	s->counting = true;
	s->count_at_ns = clock_mono_ns() + count_every_ns;
	acme_sleep(a);
	store_query(a->store,
		    "SELECT count(*) FILTER (WHERE problem IS NOT NULL) AS failing, count(*) "
		    "FILTER (WHERE revoked_at IS NOT NULL) AS revoked, count(*) FILTER (WHERE "
		    "must_staple AND (until IS NULL OR until <= now())) AS must_staple_missing "
		    "FROM certificate_staples WHERE must_staple OR revoked_at IS NOT NULL OR "
		    "problem IS NOT NULL",
		    NULL, 0, on_counted, a);
}

static int setup_metrics(struct acme *a, struct err *e)
{
	static const char *const result[] = {"result", NULL}, *const state[] = {"state", NULL};
	struct stapling *s = a->stapling;
	struct metric_family *answers, *watched;

	if (!a->conf.metrics)
		return 0;
	answers = metrics_family(a->conf.metrics, METRIC_COUNTER, "cardea_ocsp_answers_total",
				 "Questions to OCSP responders by what came.", result, NULL, 0);
	watched = metrics_family(a->conf.metrics, METRIC_GAUGE, "cardea_ocsp_certificates",
				 "Certificates whose responder does not answer, or says that they "
				 "are revoked, and those that demand a response and have none.",
				 state, NULL, 0);
	if (!answers || !watched)
		return err_memory(e, "OCSP metrics");
	for (int i = 0; i < STAPLE_RESULTS; i++) {
		const char *values[] = {staple_result_name((enum staple_result)i)};

		s->results[i] = metrics_series(answers, values);
		if (!s->results[i])
			return err_memory(e, "OCSP metrics");
	}
	for (int i = 0; i < STAPLE_WATCHES; i++) {
		s->watched[i] = metrics_series(watched, &watches[i]);
		if (!s->watched[i])
			return err_memory(e, "OCSP metrics");
	}
	return 0;
}

/* --- start and end --- */

int stapling_start(struct acme *a, struct err *e)
{
	if (!a->conf.ocsp_fetch)
		return 0;
	a->stapling = calloc(1, sizeof(*a->stapling));
	if (!a->stapling)
		return err_memory(e, "OCSP responses");
	return setup_metrics(a, e);
}

static bool have_fetcher(struct acme *a)
{
	const struct fetcher_conf c = {
		.responder = true,
		.allow_private = a->conf.ocsp_allow_private,
		.connect_timeout_ms = CONNECT_MS,
		.timeout_ms = a->conf.ocsp_timeout_ms,
		.body_max = STAPLE_MAX,
	};
	struct err e = ERR_INIT;

	if (a->stapling->fetcher || fetcher_create(&a->stapling->fetcher, a->loop, &c, &e) == 0)
		return true;
	log_warn("OCSP responders cannot be asked", log_err(&e));
	return false;
}

void stapling_tick(struct acme *a)
{
	if (!a->stapling || a->closing || !have_fetcher(a))
		return;
	count(a);
	if (!a->stapling->batch)
		claim(a);
}

unsigned stapling_parts(const struct acme *a)
{
	return a->stapling && a->stapling->fetcher ? 1 : 0;
}

static void on_fetcher_closed(void *arg)
{
	acme_part_closed(arg);
}

/* What waits for the database or the pool ends by itself. */
void stapling_close(struct acme *a)
{
	if (!a->stapling)
		return;
	if (a->stapling->batch && a->stapling->batch->phase == STAPLE_ASKING)
		batch_over(a->stapling->batch);
	if (a->stapling->fetcher)
		fetcher_close(a->stapling->fetcher, on_fetcher_closed, a);
}

void stapling_free(struct acme *a)
{
	free(a->stapling);
}
