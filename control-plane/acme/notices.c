/* Happy path: due rows are claimed (their next attempt moves on, so that no other control plane
 * posts them too), posted at once, and deleted. Failure paths: what was not taken is due again
 * after 2, 4, 8
 * ... seconds up to an hour; after a day it is given up, and logged. No more than
 * acme_webhook_queue are kept: the oldest go, and how many is logged. */
#include "control-plane/acme/notices.h"

#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/core/clock.h"
#include "common/core/codec.h"
#include "common/core/log.h"
#include "control-plane/acme/engine.h"

enum { CLAIM_MAX = 8, POST_MS = 10000, CONNECT_MS = 5000, ANSWER_MAX = 65536, NUMBER_SIZE = 24 };

struct post {
	struct link link; /* on acme.notice_posts */
	struct acme *acme;
	struct fetch *fetch;
	char id[NUMBER_SIZE];
};

static const char *const names[NOTICES] = {
	[NOTICE_ISSUED] = "issued",	[NOTICE_RENEWED] = "renewed", [NOTICE_FAILING] = "failing",
	[NOTICE_EXPIRING] = "expiring", [NOTICE_PAUSED] = "paused",
};

const char *notice_name(enum notice n)
{
	return names[n];
}

void notice_in(struct txn *t, const struct order *o, enum notice n)
{
	const char *params[] = {o->id, names[n]};

	if (o->acme->conf.webhook_url)
		txn_exec(t,
			 "INSERT INTO acme_notices (body) SELECT acme_notice($2, o) FROM "
			 "acme_orders o WHERE o.id = $1",
			 params, array_len(params), 0, STORE_OK);
}

int notice_sign(struct buf *out, struct str secret, int64_t at_s, struct str body, struct err *e)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned len = sizeof(mac);
	struct buf input = BUF_INIT;
	int rc = buf_addf(&input, e, "%lld.", (long long)at_s);

	if (rc == 0)
		rc = buf_add_str(&input, body, e);
	if (rc == 0 && !HMAC(EVP_sha256(), secret.ptr, (int)secret.len,
			     (const unsigned char *)input.data, input.len, mac, &len))
		rc = err_openssl(e, ERR_INTERNAL, "HMAC failed");
	if (rc == 0)
		rc = buf_addf(out, e, "t=%lld,v1=", (long long)at_s);
	if (rc == 0)
		rc = hex_encode(out, (struct str){(const char *)mac, len}, e);
	buf_deinit(&input);
	return rc;
}

/* --- one that is under way --- */

static void post_free(struct post *p)
{
	list_remove(&p->link);
	fetch_cancel(p->fetch);
	free(p);
}

static void on_settled(const struct store_result *r, void *arg)
{
	struct acme *a = arg;

	if (!acme_awoke(a))
		return;
	if (r->fault != STORE_OK)
		log_warn("a webhook's notice cannot be settled: it comes again", log_err(&r->err));
	else if (json_array_size(r->rows) > 0)
		log_error("a webhook did not take a notice for a day: it is given up");
}

static void settle(struct acme *a, const char *id, bool taken)
{
	static const char failed[] =
		"WITH old AS (DELETE FROM acme_notices WHERE id = $1::bigint AND at < now() - "
		"interval '1 day' RETURNING id), again AS (UPDATE acme_notices SET next_attempt = "
		"now() + least(power(2, least(attempts, 12)), 3600) * interval '1 second' WHERE id "
		"= $1::bigint) SELECT id FROM old";
	const char *params[] = {id};

	acme_sleep(a);
	store_query(a->store, taken ? "DELETE FROM acme_notices WHERE id = $1::bigint" : failed,
		    params, array_len(params), on_settled, a);
}

static void on_posted(const struct fetch_reply *r, void *arg)
{
	struct post *p = arg;
	bool taken = r->err.kind == ERR_NONE && r->status >= 200 && r->status <= 299;

	p->fetch = NULL;
	if (!taken)
		log_warn("the webhook did not take a notice", log_str("id", p->id),
			 log_u64("status", r->status), log_err(&r->err));
	settle(p->acme, p->id, taken);
	post_free(p);
}

static int have_fetcher(struct acme *a, struct err *e)
{
	const struct fetcher_conf c = {
		.ca_file = a->conf.webhook_ca_file,
		.own = true,
		.allow_private = true,
		.connect_timeout_ms = CONNECT_MS,
		.timeout_ms = POST_MS,
		.body_max = ANSWER_MAX,
	};

	return a->notice_fetcher ? 0 : fetcher_create(&a->notice_fetcher, a->loop, &c, e);
}

static int begin(struct post *p, struct str body, struct err *e)
{
	const char *secret = p->acme->conf.webhook_secret;
	struct buf signature = BUF_INIT;
	struct fetch_request q = {
		.method = FETCH_POST,
		.url = p->acme->conf.webhook_url,
		.body = body,
		.content_type = "application/json",
	};
	int rc = have_fetcher(p->acme, e);

	if (rc == 0 && secret)
		rc = notice_sign(&signature, str_from(secret), clock_wall_s(), body, e);
	q.signature = signature.data;
	if (rc == 0)
		rc = fetch_start(&p->fetch, p->acme->notice_fetcher, &q, on_posted, p, e);
	if (rc != 0)
		p->fetch = NULL;
	buf_deinit(&signature);
	return rc;
}

static void post(struct acme *a, const json_t *row)
{
	struct post *p = calloc(1, sizeof(*p));
	char *body = json_dumps(json_object_get(row, "body"), JSON_COMPACT);
	struct err e = ERR_INIT;

	if (!p || !body) {
		free(p);
		free(body);
		return; /* out of memory: it is due again later */
	}
	p->acme = a;
	snprintf(p->id, sizeof(p->id), "%lld",
		 (long long)json_integer_value(json_object_get(row, "id")));
	list_push(&a->notice_posts, &p->link);
	if (begin(p, str_from(body), &e) != 0) {
		log_warn("the webhook cannot be asked", log_err(&e));
		settle(a, p->id, false);
		post_free(p);
	}
	free(body);
}

/* --- which --- */

/* $1: so many; $2: how many are kept. */
static const char claim_sql[] =
	"WITH dropped AS (DELETE FROM acme_notices WHERE id <= (SELECT max(id) FROM acme_notices) "
	"- "
	"$2::bigint RETURNING id), due AS (SELECT id FROM acme_notices WHERE next_attempt <= now() "
	"ORDER BY id LIMIT $1::bigint FOR UPDATE SKIP LOCKED) UPDATE acme_notices n SET attempts = "
	"attempts + 1, next_attempt = now() + interval '1 minute' FROM due WHERE n.id = due.id "
	"RETURNING n.id, n.body || jsonb_build_object('id', n.id, 'at', extract(epoch FROM "
	"n.at)::bigint) AS body, (SELECT count(*) FROM dropped) AS dropped";

static void on_claimed(const struct store_result *r, void *arg)
{
	struct acme *a = arg;
	const json_t *row;
	json_int_t dropped =
		json_integer_value(json_object_get(json_array_get(r->rows, 0), "dropped"));
	size_t i;

	a->notices_claiming = false;
	if (!acme_awoke(a))
		return;
	if (r->fault != STORE_OK)
		log_warn("notices for the webhook cannot be read", log_err(&r->err));
	if (dropped > 0)
		log_error("notices for the webhook were dropped: acme_webhook_queue is full",
			  log_i64("notices", dropped));
	json_array_foreach(r->rows, i, row)
	{
		post(a, row);
	}
}

void notices_tick(struct acme *a)
{
	char claim[NUMBER_SIZE], kept[NUMBER_SIZE];
	const char *params[] = {claim, kept};

	if (!a->conf.webhook_url || a->notices_claiming || !list_empty(&a->notice_posts))
		return;
	snprintf(claim, sizeof(claim), "%d", CLAIM_MAX);
	snprintf(kept, sizeof(kept), "%llu", (unsigned long long)a->conf.webhook_queue);
	a->notices_claiming = true;
	acme_sleep(a);
	store_query(a->store, claim_sql, params, array_len(params), on_claimed, a);
}

static void on_fetcher_closed(void *arg)
{
	acme_part_closed(arg);
}

void notices_close(struct acme *a)
{
	list_for_each_safe(it, &a->notice_posts) post_free(container_of(it, struct post, link));
	if (a->notice_fetcher)
		fetcher_close(a->notice_fetcher, on_fetcher_closed, a);
}
