/* Happy path: the order's rows -> (pool) each record's place -> stored, with the time until which
 * it may be set -> set -> that time is over -> (pool) asked for until it is shown -> the order.
 * Failure paths: an order's problem is "dns" while nothing is known to be set, and the same records
 * are tried again later; what is set and not shown in time is "propagation", which gives the order
 * up and so the records to the sweep. */
#include "control-plane/acme/dns01.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "control-plane/acme/dns01_internal.h"
#include "control-plane/acme/names.h"

enum { LOOK_FIRST_MS = 250, LOOK_MAX_MS = 5000, NUMBER_SIZE = 24 };
#define MS_NS UINT64_C(1000000)

/* --- what a record says --- */

int dns01_value(char out[DNS01_VALUE_SIZE], struct str key_authorization, struct err *e)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned size = 0;
	struct buf text = BUF_INIT;
	int rc = 0;

	if (!EVP_Digest(key_authorization.ptr, key_authorization.len, digest, &size, EVP_sha256(),
			NULL))
		rc = err_openssl(e, ERR_INTERNAL, "SHA-256");
	if (rc == 0)
		rc = base64url_encode(&text, (struct str){(const char *)digest, size}, e);
	if (rc == 0)
		snprintf(out, DNS01_VALUE_SIZE, "%.*s", (int)text.len, text.data);
	buf_deinit(&text);
	return rc;
}

void dns01_name(char out[DNS01_NAME_SIZE], struct str identifier)
{
	if (str_starts(identifier, STR("*.")))
		identifier = str_sub(identifier, 2, identifier.len);
	snprintf(out, DNS01_NAME_SIZE, "_acme-challenge.%.*s", (int)identifier.len, identifier.ptr);
}

bool dns01_given(const struct acme *a)
{
	return a->conf.dns01.update || a->conf.dns01.webhook;
}

bool acme_proves_wildcards(const struct acme *a)
{
	return dns01_given(a);
}

int dns01_metrics(struct acme *a, struct err *e)
{
	static const char *const labels[] = {"result", NULL};
	static const char *const results[DNS01_RESULTS] = {
		"set", "not_set", "shown", "not_shown", "removed", "not_removed", "given_up",
	};
	struct metric_family *f;

	if (!a->conf.metrics || !dns01_given(a))
		return 0;
	f = metrics_family(a->conf.metrics, METRIC_COUNTER, "cardea_acme_dns_records_total",
			   "Records of dns-01 by what became of them.", labels, NULL, 0);
	for (size_t i = 0; f && i < DNS01_RESULTS; i++) {
		const char *values[] = {results[i]};

		a->dns01.results[i] = metrics_series(f, values);
		if (!a->dns01.results[i])
			f = NULL;
	}
	return f ? 0 : err_memory(e, "ACME metrics");
}

void dns01_count(struct acme *a, enum dns01_result r, uint64_t n)
{
	if (a->dns01.results[r])
		metric_add(a->dns01.results[r], n);
}

/* --- jobs --- */

struct dns01_job *dns01_job_create(struct acme *a, size_t records)
{
	struct dns01_job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->acme = a;
	list_init(&j->link);
	j->count = records;
	j->records = records ? calloc(records, sizeof(*j->records)) : NULL;
	if (!records || j->records)
		return j;
	free(j);
	return NULL;
}

void dns01_job_free(struct dns01_job *j)
{
	list_remove(&j->link);
	fetch_cancel(j->fetch);
	free(j->records);
	free(j);
}

void dns01_forget(struct dns01_job *j)
{
	if (!j)
		return;
	j->order = NULL;
	if (!j->busy)
		dns01_job_free(j);
}

void dns01_sleep(struct dns01_job *j)
{
	j->busy = true;
	acme_sleep(j->acme);
}

bool dns01_awoke(struct dns01_job *j)
{
	bool there = acme_awoke(j->acme);

	j->busy = false;
	if (there && (j->order || j->sweep))
		return true;
	dns01_job_free(j);
	return false;
}

static void run_on_pool(struct work *w)
{
	struct dns01_job *j = container_of(w, struct dns01_job, work);

	j->run(j);
}

static void start_next(struct acme *a);

static void on_pool_done(struct work *w)
{
	struct dns01_job *j = container_of(w, struct dns01_job, work);
	struct acme *a = j->acme;

	a->dns01.running--;
	if (!a->closing)
		start_next(a);
	if (dns01_awoke(j))
		j->then(j);
}

/* False: it waits on, for the next job or sweep. */
static bool start(struct dns01_job *j)
{
	struct acme *a = j->acme;
	struct err e = ERR_INIT;

	list_remove(&j->link);
	if (work_start(&j->work, a->loop, run_on_pool, on_pool_done, &e) != 0) {
		log_error("the pool refuses work", log_err(&e));
		list_push_front(&a->dns01.waiting, &j->link);
		return false;
	}
	a->dns01.running++;
	dns01_sleep(j);
	return true;
}

static void start_next(struct acme *a)
{
	struct link *first;

	while (a->dns01.running < a->conf.dns01.at_once &&
	       (first = list_first(&a->dns01.waiting)) != NULL &&
	       start(container_of(first, struct dns01_job, link)))
		;
}

void dns01_pool(struct dns01_job *j, void (*run)(struct dns01_job *j),
		void (*then)(struct dns01_job *j))
{
	j->run = run;
	j->then = then;
	list_push(&j->acme->dns01.waiting, &j->link);
	start_next(j->acme);
}

static int take_text(char *out, size_t size, const json_t *value)
{
	if (json_string_length(value) >= size)
		return -1;
	snprintf(out, size, "%s", json_is_string(value) ? json_string_value(value) : "");
	return 0;
}

int dns01_record_load(struct dns01_record *r, const json_t *row)
{
	if (take_text(r->id, sizeof(r->id), json_object_get(row, "id")) != 0 ||
	    take_text(r->name, sizeof(r->name), json_object_get(row, "name")) != 0 ||
	    take_text(r->value, sizeof(r->value), json_object_get(row, "value")) != 0 ||
	    take_text(r->place.name, sizeof(r->place.name), json_object_get(row, "target")) != 0 ||
	    take_text(r->place.zone, sizeof(r->place.zone), json_object_get(row, "zone")) != 0)
		return -1;
	return 0;
}

/* --- the end of an order's job --- */

static void end(struct dns01_job *j, const struct problem *p)
{
	struct order *o = j->order;
	void (*done)(struct order *) = j->done;

	o->dns01 = NULL;
	dns01_job_free(j);
	if (p)
		order_trouble(o, p);
	else
		done(o);
}

static void end_err(struct dns01_job *j, const char *kind, const struct err *e)
{
	struct problem p;

	problem_from_err(&p, kind, e);
	end(j, &p);
}

/* The first record that is not done; NULL: all are. */
static const struct dns01_record *undone(const struct dns01_job *j)
{
	for (size_t i = 0; i < j->count; i++)
		if (!j->records[i].done)
			return &j->records[i];
	return NULL;
}

static struct dns_asked asked_of(const struct dns01_job *j)
{
	const struct acme_conf *c = &j->acme->conf;

	return (struct dns_asked){
		.resolver = c->dns01.resolver_given ? c->dns01.resolver : c->dns_server,
		.resolver_given = c->dns01.resolver_given || c->dns_server_given,
		.resolver_only = c->dns01.resolver_given,
		.port = c->dns01.port,
		.timeout_ms = c->dns01.timeout_ms,
	};
}

/* --- shown --- */

static void look(struct dns01_job *j);

static void look_again(struct order *o)
{
	look(o->dns01);
}

static void not_shown(struct dns01_job *j)
{
	const struct dns01_record *r = undone(j);
	struct problem p;

	dns01_count(j->acme, DNS01_NOT_SHOWN, 1);
	problem_own(&p, "propagation",
		    "the TXT record %.200s is set, but %s after %llu s (%.100s): see "
		    "acme_dns_propagation_timeout",
		    r->place.name, r->who[0] ? "is not shown everywhere" : "nobody can be asked",
		    (unsigned long long)j->acme->conf.dns01.propagation_ms / 1000,
		    r->who[0] ? r->who : r->err.message);
	end(j, &p);
}

static void on_looked(struct dns01_job *j)
{
	uint64_t wait = (uint64_t)LOOK_FIRST_MS << (j->looks < 5 ? j->looks : 5);

	if (!undone(j)) {
		dns01_count(j->acme, DNS01_SHOWN, j->count);
		order_tell(j->order, "record shown", j->records[0].place.name);
		end(j, NULL);
	} else if (clock_mono_ns() >= j->shown_by_ns) {
		not_shown(j);
	} else {
		j->looks++;
		j->order->then = look_again;
		timer_start(&j->order->timer, wait < LOOK_MAX_MS ? wait : LOOK_MAX_MS, 0);
	}
}

static void look_on_pool(struct dns01_job *j)
{
	const struct dns_asked asked = asked_of(j);

	for (size_t i = 0; i < j->count; i++) {
		struct dns01_record *r = &j->records[i];

		if (r->done)
			continue;
		err_clear(&r->err);
		r->who[0] = '\0';
		if (dns_place_shows(&r->place, r->value, &asked, &r->done, r->who, &r->err) != 0)
			r->done = false;
	}
}

static void look(struct dns01_job *j)
{
	dns01_pool(j, look_on_pool, on_looked);
}

/* --- set --- */

static void on_settled(const struct store_result *r, void *arg)
{
	struct dns01_job *j = arg;
	const struct dns01_record *failed;
	struct err e = ERR_INIT;

	(void)r; /* else its time runs out by itself */
	if (!dns01_awoke(j))
		return;
	failed = undone(j);
	if (failed) {
		err_set(&e, failed->err.kind, "the record %.200s cannot be set: %s",
			failed->place.name, failed->err.message);
		dns01_count(j->acme, DNS01_NOT_SET, 1);
		end_err(j, "dns", &e);
		return;
	}
	dns01_count(j->acme, DNS01_SET, j->count);
	order_tell(j->order, "record set", j->records[0].place.name);
	for (size_t i = 0; i < j->count; i++)
		j->records[i].done = false;
	j->shown_by_ns = clock_mono_ns() + j->acme->conf.dns01.propagation_ms * MS_NS;
	look(j);
}

/* Nothing is being set any more. */
static void on_set(struct dns01_job *j)
{
	const char *params[] = {j->order->id};

	dns01_sleep(j);
	store_query(j->acme->store,
		    "UPDATE acme_dns_records SET next_attempt = now() WHERE order_id = $1", params,
		    array_len(params), on_settled, j);
}

/* --- the place --- */

static void on_stored(const struct store_result *r, void *arg)
{
	struct dns01_job *j = arg;
	struct problem p;

	if (!dns01_awoke(j))
		return;
	if (r->fault != STORE_OK) {
		end_err(j, "internal", &r->err);
	} else if (r->affected != j->count) {
		problem_own(&p, "gone", "the challenge's record is not in the database any more");
		end(j, &p);
	} else {
		dns01_apply(j, on_set);
	}
}

static char *places(const struct dns01_job *j)
{
	json_t *rows = json_array();
	char *text = NULL;
	size_t i = 0;

	while (rows && i < j->count &&
	       json_array_append_new(rows, json_pack("{s:s, s:s, s:s}", "id", j->records[i].id,
						     "target", j->records[i].place.name, "zone",
						     j->records[i].place.zone)) == 0)
		i++;
	if (rows && i == j->count)
		text = json_dumps(rows, JSON_COMPACT);
	json_decref(rows);
	return text;
}

/* What is set later than the row says might stay for ever: each update has its own time, and the
 * last one begins early enough. */
static void store_places(struct dns01_job *j)
{
	const uint64_t timeout = j->acme->conf.dns01.timeout_ms, budget = timeout * (j->count + 2);
	char *rows = places(j), ms[NUMBER_SIZE];
	const char *params[] = {rows, ms};
	struct err e = ERR_INIT;

	if (!rows) {
		err_memory(&e, "records of dns-01");
		end_err(j, "internal", &e);
		return;
	}
	snprintf(ms, sizeof(ms), "%llu", (unsigned long long)budget);
	j->add = true;
	j->stop_ns = clock_mono_ns() + (budget - timeout) * MS_NS;
	dns01_sleep(j);
	store_query(j->acme->store,
		    "UPDATE acme_dns_records r SET target = g.target, zone = g.zone, next_attempt "
		    "= now() + $2::bigint * interval '1 millisecond' FROM "
		    "jsonb_to_recordset($1::jsonb) AS g (id uuid, target text, zone text) WHERE "
		    "r.id = g.id",
		    params, array_len(params), on_stored, j);
	free(rows);
}

static void on_found(struct dns01_job *j)
{
	const struct dns01_record *failed = undone(j);

	if (failed) {
		dns01_count(j->acme, DNS01_NOT_SET, 1);
		end_err(j, "dns", &failed->err);
		return;
	}
	store_places(j);
}

static void find_on_pool(struct dns01_job *j)
{
	const struct dns01_conf *c = &j->acme->conf.dns01;
	const struct dns_asked asked = asked_of(j);
	const char *zone = c->webhook ? (asked.resolver_only ? "" : NULL) : c->zone;

	for (size_t i = 0; i < j->count; i++) {
		struct dns01_record *r = &j->records[i];

		r->done = dns_place_find(&r->place, r->name, zone, &asked, &r->err) == 0;
	}
}

/* --- the rows --- */

static int load_records(struct dns01_job *j, const json_t *rows)
{
	size_t n = json_array_size(rows);

	if (n == 0 || n < authorizations_in_dns(&j->order->authorizations))
		return -1;
	j->records = calloc(n, sizeof(*j->records));
	for (; j->records && j->count < n; j->count++)
		if (dns01_record_load(&j->records[j->count], json_array_get(rows, j->count)) != 0)
			return -1;
	return j->records ? 0 : -1;
}

static void on_rows(const struct store_result *r, void *arg)
{
	struct dns01_job *j = arg;
	struct problem p;

	if (!dns01_awoke(j))
		return;
	if (r->fault != STORE_OK) {
		end_err(j, "internal", &r->err);
	} else if (load_records(j, r->rows) != 0) {
		problem_own(&p, "gone", "the challenge's record is not in the database any more");
		end(j, &p);
	} else {
		dns01_pool(j, find_on_pool, on_found);
	}
}

void dns01_begin(struct order *o, void (*then)(struct order *o))
{
	struct dns01_job *j = dns01_job_create(o->acme, 0);
	const char *params[] = {o->id};
	struct err e = ERR_INIT;
	struct problem p;

	if (!j || !dns01_given(o->acme)) {
		if (j)
			problem_own(&p, "gone", "dns-01 is not configured any more");
		else
			err_memory(&e, "records of dns-01"), problem_from_err(&p, "internal", &e);
		free(j);
		order_trouble(o, &p);
		return;
	}
	j->order = o;
	j->done = then;
	o->dns01 = j;
	dns01_sleep(j);
	store_query(o->acme->store,
		    "SELECT id, name, value, target, zone FROM acme_dns_records WHERE order_id = "
		    "$1 ORDER BY id",
		    params, array_len(params), on_rows, j);
}
