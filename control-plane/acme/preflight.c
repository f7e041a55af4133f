/* Whether http-01 would succeed for a name, tried before an authority is asked.
 *
 * Happy path: a challenge of our own enters the fleet's state -> barrier: every data plane holds it
 * -> DNS: the name's addresses and CAA records, asked as an authority does (pool) -> each of them
 * is fetched from, one after the other, as an authority would -> the challenge leaves the fleet's
 * state -> told. Only a data plane of this fleet can answer with it: what answers right is ours.
 * Failure paths: each is a sentence with what to do about it. What could not be removed, as this
 * control plane died or the database was away, is removed by the hourly upkeep (schedule.c). */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/core/codec.h"
#include "common/core/log.h"
#include "common/net/addr.h"
#include "control-plane/acme/caa.h"
#include "control-plane/acme/dns.h"
#include "control-plane/acme/engine.h"

enum { URL_SIZE = 256, FETCH_MS = 10000, CONNECT_MS = 5000, ANSWER_BYTES_MAX = 4096 };
enum { PROBLEM_SIZE = 600 };

struct preflight {
	struct link link; /* on acme.preflights */
	struct acme *acme;
	char host[256];
	char id[UUID_TEXT_SIZE], token[UUID_TEXT_SIZE];
	char proof[UUID_TEXT_SIZE + 16];
	struct store_note note; /* texts are the caller's */
	bool noted;
	struct barrier *barrier;
	struct work work;
	struct err work_err;
	struct dns_addresses addresses;
	struct caa caa;
	struct err caa_err;
	size_t next;
	struct fetch *fetch;
	json_t *shown; /* of the addresses */
	uint64_t nodes;
	char problem[PROBLEM_SIZE]; /* the first; "": none */
	store_done done;
	void *arg;
};

static void preflight_free(struct preflight *p)
{
	list_remove(&p->link);
	barrier_cancel(p->barrier);
	fetch_cancel(p->fetch);
	json_decref(p->shown);
	free(p);
}

static void end(struct preflight *p, const struct store_result *r)
{
	p->done(r, p->arg);
	preflight_free(p);
}

static void end_closing(struct preflight *p)
{
	struct store_result r = {.fault = STORE_UNAVAILABLE};

	err_set(&r.err, ERR_UNAVAILABLE, "this control plane is being stopped");
	end(p, &r);
}

printf_like(2, 3) static void problem(struct preflight *p, const char *fmt, ...)
{
	va_list args;

	if (p->problem[0])
		return;
	va_start(args, fmt);
	vsnprintf(p->problem, sizeof(p->problem), fmt, args);
	va_end(args);
}

/* --- the end --- */

static void on_removed(const struct store_result *r, void *arg)
{
	struct preflight *p = arg;
	struct store_result all = {.fault = STORE_OK};

	if (r->fault != STORE_OK)
		log_warn("a pre-flight's challenge stays until the hourly upkeep",
			 log_str("host", p->host), log_err(&r->err));
	(void)acme_awoke(p->acme);
	all.rows = json_pack("[{s:s, s:b, s:s?, s:I, s:O}]", "host", p->host, "passed",
			     !p->problem[0], "problem", p->problem[0] ? p->problem : NULL,
			     "data_planes", (json_int_t)p->nodes, "addresses", p->shown);
	end(p, &all);
	json_decref(all.rows);
}

static void finish(struct preflight *p)
{
	struct txn *t = txn_create(p->acme->store, NULL);
	struct store_result r = {.fault = STORE_FAILED};

	/* From here on the store calls back, whatever happens. */
	list_remove(&p->link);
	acme_sleep(p->acme);
	if (!t) {
		err_memory(&r.err, "a pre-flight");
		on_removed(&r, p);
		return;
	}
	txn_delete(t, &entity_acme_challenges, str_from(p->id), false);
	if (p->noted)
		txn_note(t, &p->note);
	txn_commit(t, on_removed, p);
}

/* --- each address --- */

static void fetch_next(struct preflight *p);

static bool is_proof(const struct preflight *p, struct str body)
{
	size_t n = strlen(p->proof);

	if (!str_starts(body, str_from(p->proof)))
		return false;
	while (n < body.len && (body.ptr[n] == '\n' || body.ptr[n] == '\r' || body.ptr[n] == ' '))
		n++;
	return n == body.len;
}

/* What an answer says; true: it is the right one. */
static bool judge(struct preflight *p, const char *at, const struct fetch_reply *r)
{
	unsigned port = p->acme->conf.preflight_port;

	if (r->err.kind == ERR_DENIED)
		problem(p,
			"%s has the private address %s, which an authority cannot reach: let its "
			"record point to a public address of a data plane",
			p->host, at);
	else if (r->err.kind != ERR_NONE)
		problem(p,
			"nobody answers at %s, port %u (%.200s): open the port, and lead it to "
			"proxy_listen of a data plane; or take the address out of the record of %s",
			at, port, r->err.message, p->host);
	else if (r->status >= 300 && r->status <= 399)
		problem(p,
			"%s answers with a redirect to %.*s (%u): leave "
			"/.well-known/acme-challenge/ out of it, as far as it is not of Cardea",
			at, (int)(r->location.len > 200 ? 200 : r->location.len),
			r->location.ptr ? r->location.ptr : "", r->status);
	else if (r->status != 200 || !is_proof(p, r->body))
		problem(p,
			"%s answers (%u), but it is no data plane of this fleet, or one behind "
			"something that changes the request: let the record of %s point to data "
			"planes only",
			at, r->status, p->host);
	else
		return true;
	return false;
}

static void on_fetched(const struct fetch_reply *r, void *arg)
{
	struct preflight *p = arg;
	char at[ADDR_TEXT_SIZE];
	bool passed;

	p->fetch = NULL;
	addr_ip_text(&p->addresses.items[p->next], at, sizeof(at));
	passed = judge(p, at, r);
	(void)json_array_append_new(
		p->shown, json_pack("{s:s, s:b, s:o}", "address", at, "passed", passed, "status",
				    r->status ? json_integer((json_int_t)r->status) : json_null()));
	p->next++;
	fetch_next(p);
}

static int have_fetcher(struct acme *a, struct err *e)
{
	const struct fetcher_conf c = {
		.allow_private = a->conf.allow_private,
		.connect_timeout_ms = CONNECT_MS,
		.timeout_ms = FETCH_MS,
		.body_max = ANSWER_BYTES_MAX,
	};

	return a->preflight_fetcher ? 0 : fetcher_create(&a->preflight_fetcher, a->loop, &c, e);
}

static void fetch_next(struct preflight *p)
{
	struct addr a;
	char at[ADDR_TEXT_SIZE], url[URL_SIZE];
	const struct fetch_request q = {.method = FETCH_GET, .url = url, .host = p->host};
	struct err e = ERR_INIT;

	if (p->next == p->addresses.count) {
		finish(p);
		return;
	}
	a = p->addresses.items[p->next];
	addr_set_port(&a, (uint16_t)p->acme->conf.preflight_port);
	addr_text(&a, at, sizeof(at));
	snprintf(url, sizeof(url), "http://%s/.well-known/acme-challenge/%s", at, p->token);
	if (have_fetcher(p->acme, &e) != 0 ||
	    fetch_start(&p->fetch, p->acme->preflight_fetcher, &q, on_fetched, p, &e) != 0) {
		p->fetch = NULL;
		problem(p, "the name cannot be fetched from: %s", e.message);
		finish(p);
	}
}

/* --- where the name points to --- */

static void resolve(struct work *w)
{
	struct preflight *p = container_of(w, struct preflight, work);
	const struct acme_conf *c = &p->acme->conf;
	const struct addr *server = c->dns_server_given ? &c->dns_server : NULL;

	if (addr_parse_ip(&p->addresses.items[0], str_from(p->host)) == 0) {
		p->addresses.count = 1;
		return;
	}
	if (dns_addresses(&p->addresses, p->host, server, &p->work_err) != 0)
		p->addresses.count = 0;
	else if (caa_find(&p->caa, p->host, server, &p->caa_err) != 0)
		p->caa.count = 0;
}

/* Whether any of our authorities may issue; one that does not say what it is called might. */
static bool caa_allows_any(const struct preflight *p)
{
	bool none = true;

	list_for_each(it, &p->acme->authorities)
	{
		const struct authority *au = container_of(it, struct authority, link);
		const struct acme_directory *d = client_directory(au->client);
		const struct caa_issuer i = {
			.identities = d ? d->caa_identities : "",
			.account = account_ready(au->account) ? account_kid(au->account) : NULL,
			.method = "http-01",
		};

		if (!i.identities[0] || caa_allows(&p->caa, &i))
			return true;
		none = false;
	}
	return none;
}

static void judge_caa(struct preflight *p)
{
	struct buf text = BUF_INIT;

	if (p->caa_err.kind != ERR_NONE)
		problem(p,
			"the CAA records of %s cannot be read (%s), with which authorities "
			"refuse: look at its name servers",
			p->host, p->caa_err.message);
	else if (p->caa.count > 0 && !caa_allows_any(p) && caa_text(&p->caa, &text, NULL) == 0)
		problem(p,
			"the CAA records of %s (%.300s) allow none of the authorities: add one of "
			"the kind issue for one of GET /acme/authorities/status, or use one that "
			"they name",
			p->caa.at, text.data);
	buf_deinit(&text);
}

static void on_resolved(struct work *w)
{
	struct preflight *p = container_of(w, struct preflight, work);
	bool awake = acme_awoke(p->acme);

	if (!awake) {
		end_closing(p);
		return;
	}
	list_push(&p->acme->preflights, &p->link);
	if (p->work_err.kind == ERR_INVALID)
		problem(p, "DNS: %s: make an A or AAAA record for %s that points to data planes",
			p->work_err.message, p->host);
	else if (p->work_err.kind != ERR_NONE)
		problem(p,
			"DNS could not be asked for %s (%s): look at dns_resolver, or at "
			"/etc/resolv.conf of the control plane",
			p->host, p->work_err.message);
	judge_caa(p);
	fetch_next(p);
}

static void begin_resolve(struct preflight *p)
{
	struct err e = ERR_INIT;

	list_remove(&p->link);
	if (work_start(&p->work, p->acme->loop, resolve, on_resolved, &e) == 0) {
		acme_sleep(p->acme);
		return;
	}
	problem(p, "DNS could not be asked: %s", e.message);
	finish(p);
}

/* --- the fleet --- */

static void on_barrier(const struct barrier_result *r, void *arg)
{
	struct preflight *p = arg;
	const json_t *late = json_array_get(r->missing, 0);
	const char *name = json_string_value(json_object_get(late, "hostname"));

	p->barrier = NULL;
	p->nodes = r->nodes;
	if (r->nodes == 0)
		problem(p, "no data plane is connected: nobody would answer the authority");
	else if (!r->complete)
		problem(p,
			"%zu of %llu data planes do not hold the challenge in time (%s%s): an "
			"authority that reaches one of them gets no answer; see GET "
			"/clustering/data-planes",
			json_array_size(r->missing), (unsigned long long)r->nodes,
			name ? name : "?", json_array_size(r->missing) > 1 ? ", ..." : "");
	begin_resolve(p);
}

static void on_published(const struct store_result *r, void *arg)
{
	struct preflight *p = arg;
	struct acme *a = p->acme;
	struct err e = ERR_INIT;

	if (!acme_awoke(a)) {
		end_closing(p);
		return;
	}
	if (r->fault != STORE_OK) {
		end(p, r);
		return;
	}
	list_push(&a->preflights, &p->link);
	if (fleet_wait(&p->barrier, a->fleet, r->revision, a->conf.barrier_timeout_ms, on_barrier,
		       p, &e) == 0)
		return;
	problem(p, "the data planes cannot be asked: %s", e.message);
	finish(p);
}

static int publish(struct preflight *p, const struct store_note *note, struct err *e)
{
	const char *params[] = {p->id, p->host, p->token, p->proof};
	char secret[UUID_TEXT_SIZE];
	struct txn *t;

	if (uuid_make(p->id, e) != 0 || uuid_make(p->token, e) != 0 || uuid_make(secret, e) != 0)
		return -1;
	snprintf(p->proof, sizeof(p->proof), "preflight.%s", secret);
	t = txn_create(p->acme->store, NULL);
	if (!t)
		return err_memory(e, "a pre-flight");
	txn_exec(t,
		 "INSERT INTO acme_challenges (id, host, token, key_authorization) VALUES ($1, $2, "
		 "$3, $4)",
		 params, array_len(params), 1, STORE_NOT_FOUND);
	if (note)
		txn_note(t, note);
	acme_sleep(p->acme);
	txn_commit(t, on_published, p);
	return 0;
}

void acme_preflight(struct acme *a, const char *host, const struct store_note *note,
		    store_done done, void *arg)
{
	struct preflight *p = calloc(1, sizeof(*p));
	struct store_result r = {.fault = STORE_FAILED};

	if (p) {
		list_init(&p->link);
		p->acme = a;
		snprintf(p->host, sizeof(p->host), "%s", host);
		p->noted = note != NULL;
		if (note)
			p->note = *note;
		p->done = done;
		p->arg = arg;
		p->shown = json_array();
		if (p->shown && publish(p, note, &r.err) == 0)
			return;
		preflight_free(p);
	}
	if (r.err.kind == ERR_NONE)
		err_memory(&r.err, "a pre-flight");
	done(&r, arg);
}

static void on_fetcher_closed(void *arg)
{
	acme_part_closed(arg);
}

/* Those that wait for the database or the pool end by themselves. */
void preflights_close(struct acme *a)
{
	list_for_each_safe(it, &a->preflights)
		end_closing(container_of(it, struct preflight, link));
	if (a->preflight_fetcher)
		fetcher_close(a->preflight_fetcher, on_fetcher_closed, a);
}
