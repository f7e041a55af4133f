/* Records into DNS and out of it: RFC 2136 on the pool, one after the other, or calls of the
 * operator's webhook, one after the other. */
#include <stdio.h>
#include <stdlib.h>

#include "common/core/clock.h"
#include "control-plane/acme/dns01_internal.h"

enum { ANSWER_MAX = 65536 };

static int in_time(const struct dns01_job *j, struct err *e)
{
	if (!j->add || clock_mono_ns() < j->stop_ns)
		return 0;
	return err_set(e, ERR_UNAVAILABLE, "there was no time left to set it");
}

/* --- RFC 2136 (thread: pool) --- */

static int update_one(const struct dns01_job *j, struct dns01_record *r)
{
	const struct dns01_conf *c = &j->acme->conf.dns01;
	const struct dns_update_conf conf = {
		.server = c->server,
		.key_name = c->key_name,
		.key_file = c->key_file,
		.timeout_ms = c->timeout_ms,
	};
	const struct dns_change change = {
		.zone = r->place.zone,
		.name = r->place.name,
		.value = r->value,
		.add = j->add,
	};

	if (!r->place.zone[0])
		return err_set(&r->err, ERR_INVALID, "the zone of %s is not known", r->place.name);
	if (in_time(j, &r->err) != 0)
		return -1;
	return dns_update_send(&conf, &change, &r->err);
}

static void update_all(struct dns01_job *j)
{
	for (size_t i = 0; i < j->count; i++) {
		struct dns01_record *r = &j->records[i];

		err_clear(&r->err);
		r->done = update_one(j, r) == 0;
	}
}

/* --- the webhook --- */

static void call_next(struct dns01_job *j);

static void on_called(const struct fetch_reply *reply, void *arg)
{
	struct dns01_job *j = arg;
	struct dns01_record *r = &j->records[j->at];

	j->fetch = NULL;
	r->done = reply->err.kind == ERR_NONE && reply->status >= 200 && reply->status <= 299;
	if (reply->err.kind != ERR_NONE)
		err_set(&r->err, ERR_UNAVAILABLE, "acme_dns_webhook does not answer: %s",
			reply->err.message);
	else if (!r->done)
		err_set(&r->err, ERR_UNAVAILABLE, "acme_dns_webhook answers %u", reply->status);
	j->at++;
	call_next(j);
}

static int have_fetcher(struct acme *a, struct err *e)
{
	const struct fetcher_conf c = {
		.ca_file = a->conf.dns01.webhook_ca_file,
		.own = true,
		.allow_private = true,
		.connect_timeout_ms = a->conf.dns01.timeout_ms,
		.timeout_ms = a->conf.dns01.timeout_ms,
		.body_max = ANSWER_MAX,
	};

	return a->dns01.fetcher ? 0 : fetcher_create(&a->dns01.fetcher, a->loop, &c, e);
}

static char *body_of(const struct dns01_job *j, const struct dns01_record *r)
{
	json_t *o = json_pack("{s:s, s:s, s:s}", "action", j->add ? "present" : "cleanup", "name",
			      r->place.name, "value", r->value);
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

	json_decref(o);
	return text;
}

static int call(struct dns01_job *j, struct dns01_record *r)
{
	const struct dns01_conf *c = &j->acme->conf.dns01;
	struct buf signature = BUF_INIT;
	char *body = body_of(j, r);
	struct fetch_request q = {
		.method = FETCH_POST,
		.url = c->webhook,
		.body = str_from(body),
		.content_type = "application/json",
	};
	int rc = body ? in_time(j, &r->err) : err_memory(&r->err, "a webhook's body");

	if (rc == 0)
		rc = have_fetcher(j->acme, &r->err);
	if (rc == 0 && c->webhook_secret)
		rc = notice_sign(&signature, str_from(c->webhook_secret), clock_wall_s(), q.body,
				 &r->err);
	q.signature = signature.data;
	if (rc == 0)
		rc = fetch_start(&j->fetch, j->acme->dns01.fetcher, &q, on_called, j, &r->err);
	if (rc != 0)
		j->fetch = NULL;
	buf_deinit(&signature);
	free(body);
	return rc;
}

static void call_next(struct dns01_job *j)
{
	for (; j->at < j->count; j->at++) {
		struct dns01_record *r = &j->records[j->at];

		err_clear(&r->err);
		r->done = false;
		if (call(j, r) == 0)
			return;
	}
	j->then(j);
}

void dns01_apply(struct dns01_job *j, void (*then)(struct dns01_job *j))
{
	if (!j->acme->conf.dns01.webhook) {
		dns01_pool(j, update_all, then);
		return;
	}
	j->then = then;
	j->at = 0;
	call_next(j);
}
