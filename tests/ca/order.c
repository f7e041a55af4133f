/* Orders and what belongs to them: authorizations, challenges, finalize, the certificate's download
 * (RFC 8555 7.4 and 7.5).
 *
 *   PENDING --all authorizations valid--> READY --finalize--> PROCESSING --issued--> VALID
 *      `--one of them failed--> INVALID            `--could not--> INVALID
 */
#include <stdio.h>

#include "common/core/clock.h"
#include "common/core/codec.h"
#include "common/pki/pem.h"
#include "tests/ca/ca.h"

static const char *const status_names[CA_STATUSES] = {
	"pending", "ready", "processing", "valid", "invalid", "deactivated", "expired", "revoked",
};
const char *ca_status_name(enum ca_status s)
{
	return status_names[s];
}

const char *ca_method_name(enum ca_method m)
{
	return m == CA_HTTP01 ? "http-01" : "tls-alpn-01";
}

size_t ca_table_add(struct ca_table *t, void *item)
{
	size_t cap = t->cap ? 2 * t->cap : 1024;
	void **items;

	if (t->count == t->cap) {
		items = realloc(t->items, cap * sizeof(*items));
		if (!items)
			abort(); /* a tool: nothing to save */
		t->items = items;
		t->cap = cap;
	}
	t->items[t->count] = item;
	return t->count++;
}

void *ca_table_get(const struct ca_table *t, struct str text)
{
	uint64_t n = 0;

	return str_u64(text, &n) == 0 && n < t->count ? t->items[n] : NULL;
}

bool ca_profile_known(const struct ca *ca, struct str name, const struct ca_profile **out)
{
	for (size_t i = 0; i < ca->profile_count; i++) {
		if (str_eq(str_from(ca->profiles[i].name), name)) {
			*out = &ca->profiles[i];
			return true;
		}
	}
	return false;
}

void ca_order_move(struct ca_order *o, enum ca_status to)
{
	o->ca->counts.orders[o->status]--;
	o->ca->counts.orders[to]++;
	if (to == CA_VALID || to == CA_INVALID || to == CA_PROCESSING)
		map_remove(&o->ca->open_sets, str_from(o->set));
	o->status = to;
}

/* --- documents --- */

static json_t *challenge_doc(const struct ca_request *q, const struct ca_authz *a, enum ca_method m)
{
	const struct ca_challenge *c = &a->challenges[m];
	json_t *doc = json_pack("{s:s, s:s, s:s, s:o}", "type", ca_method_name(m), "status",
				ca_status_name(c->status), "token", c->token, "url",
				ca_url(q, "/challenge/", a->id * CA_METHODS + m));

	if (c->error)
		json_object_set(doc, "error", c->error);
	if (c->validated)
		json_object_set_new(doc, "validated", ca_time(c->validated));
	return doc;
}

static json_t *authz_doc(const struct ca_request *q, const struct ca_authz *a)
{
	const bool pending = a->status == CA_PENDING;
	json_t *challenges = json_array();
	json_t *doc = json_pack("{s:s, s:{s:s, s:s}, s:o}", "status", ca_status_name(a->status),
				"identifier", "type", a->ip ? "ip" : "dns", "value", a->name,
				"expires", ca_time(a->expires));

	/* After the verdict only what was tried. */
	for (enum ca_method m = 0; m < CA_METHODS; m++)
		if (pending || a->challenges[m].status != CA_PENDING)
			json_array_append_new(challenges, challenge_doc(q, a, m));
	json_object_set_new(doc, "challenges", challenges);
	if (a->wildcard)
		json_object_set_new(doc, "wildcard", json_true());
	return doc;
}

static json_t *identifier_json(const struct ca_authz *a)
{
	return json_pack("{s:s, s:s+}", "type", a->ip ? "ip" : "dns", "value",
			 a->wildcard ? "*." : "", a->name);
}

static json_t *order_doc(const struct ca_request *q, const struct ca_order *o)
{
	json_t *identifiers = json_array(), *authzs = json_array();
	json_t *doc =
		json_pack("{s:s, s:o, s:o, s:o, s:o}", "status", ca_status_name(o->status),
			  "expires", ca_time(o->expires), "identifiers", identifiers,
			  "authorizations", authzs, "finalize", ca_url(q, "/finalize/", o->id));

	for (size_t i = 0; i < o->authz_count; i++) {
		json_array_append_new(identifiers, identifier_json(o->authzs[i]));
		json_array_append_new(authzs, ca_url(q, "/authz/", o->authzs[i]->id));
	}
	if (o->profile)
		json_object_set_new(doc, "profile", json_string(o->profile->name));
	if (o->replaces)
		json_object_set_new(doc, "replaces", json_string(o->replaces));
	if (o->error)
		json_object_set(doc, "error", o->error);
	if (o->not_before)
		json_object_set_new(doc, "notBefore", ca_time(o->not_before));
	if (o->not_after)
		json_object_set_new(doc, "notAfter", ca_time(o->not_after));
	if (o->status == CA_VALID)
		json_object_set_new(doc, "certificate", ca_url(q, "/cert/", o->certificate->id));
	return doc;
}

void ca_answer_order(struct ca_request *q, unsigned status, const struct ca_order *o)
{
	json_t *url = ca_url(q, "/order/", o->id);

	if (status == 201)
		ca_field(q, "location", "%s", json_string_value(url));
	json_decref(url);
	if (o->status == CA_PROCESSING)
		ca_retry_after(q, q->ca->settings.retry_after_order_s);
	ca_answer(q, status, order_doc(q, o));
}

int ca_authz_key(struct buf *out, size_t account, const char *name)
{
	return buf_addf(out, NULL, "%zu|%s", account, name);
}

bool ca_order_all_valid(const struct ca_order *o)
{
	for (size_t i = 0; i < o->authz_count; i++)
		if (o->authzs[i]->status != CA_VALID)
			return false;
	return true;
}

/* --- what is there --- */

void ca_order(struct ca_request *q)
{
	struct ca_order *o = ca_table_get(&q->ca->orders, q->rest);

	if (!o || o->account != q->account)
		ca_problem(q, 404, "malformed", "No order for ID %.*s", (int)q->rest.len,
			   q->rest.ptr);
	else
		ca_answer_order(q, 200, o);
}

static void drop_authz(struct ca *ca, struct ca_authz *a)
{
	struct ca_order *o = a->order;

	a->status = CA_DEACTIVATED;
	if (o->status == CA_PENDING || o->status == CA_READY) {
		o->error = ca_problem_json(403, "unauthorized", "an authorization was deactivated");
		ca_order_move(o, CA_INVALID);
	}
	(void)ca;
}

void ca_authz(struct ca_request *q)
{
	struct ca_authz *a = ca_table_get(&q->ca->authzs, q->rest);
	const char *status = json_string_value(json_object_get(q->json, "status"));

	if (!a) {
		ca_problem(q, 404, "malformed", "No such authorization");
		return;
	}
	if (a->account != q->account) {
		ca_problem(q, 403, "unauthorized", "Account does not own the authorization");
		return;
	}
	if (status && !str_eq(str_from(status), STR("deactivated"))) {
		ca_problem(q, 400, "malformed", "Invalid status value");
		return;
	}
	if (status && (a->status == CA_PENDING || a->status == CA_VALID))
		drop_authz(q->ca, a);
	if (a->status == CA_PENDING)
		ca_retry_after(q, q->ca->settings.retry_after_s);
	ca_answer(q, 200, authz_doc(q, a));
}

/* --- challenges --- */

void ca_challenge(struct ca_request *q)
{
	uint64_t number = 0;
	struct ca_authz *a = NULL;
	enum ca_method m;
	json_t *up;

	if (str_u64(q->rest, &number) == 0 && number / CA_METHODS < q->ca->authzs.count)
		a = q->ca->authzs.items[number / CA_METHODS];
	if (!a || a->account != q->account) {
		ca_problem(q, a ? 403 : 404, a ? "unauthorized" : "malformed",
			   "No such challenge of this account");
		return;
	}
	m = (enum ca_method)(number % CA_METHODS);
	if (q->json && a->challenges[m].status == CA_PENDING) {
		if (a->status != CA_PENDING || a->expires <= clock_wall_s()) {
			ca_problem(q, 400, "malformed", "Authorization is not pending: it is %s",
				   ca_status_name(a->status));
			return;
		}
		a->challenges[m].status = CA_PROCESSING;
		ca_validate(q->ca, a, m);
	}
	up = ca_url(q, "/authz/", a->id);
	ca_field(q, "link", "<%s>;rel=\"up\"", json_string_value(up));
	json_decref(up);
	ca_answer(q, 200, challenge_doc(q, a, m));
}

void ca_authz_decided(struct ca *ca, struct ca_authz *a)
{
	struct ca_order *o = a->order;
	struct buf key = BUF_INIT;
	char name[CA_NAME_SIZE + 2];

	ca_count_verdict(ca, a);
	snprintf(name, sizeof(name), "%s%s", a->wildcard ? "*." : "", a->name);
	if (a->status == CA_VALID && ca_authz_key(&key, a->account->id, name) == 0 &&
	    map_put(&ca->reusable, buf_str(&key), a, NULL, NULL) != 0)
		abort();
	buf_deinit(&key);
	if (o->status != CA_PENDING)
		return;
	if (a->status == CA_VALID) {
		if (ca_order_all_valid(o))
			ca_order_move(o, CA_READY);
		return;
	}
	for (enum ca_method m = 0; m < CA_METHODS; m++)
		if (a->challenges[m].error && !o->error)
			o->error = json_incref(a->challenges[m].error);
	ca_order_move(o, CA_INVALID);
}

/* --- finalize --- */

static void issue_now(struct ca_order *o)
{
	o->certificate = ca_issue(o->ca, o);
	X509_REQ_free(o->csr);
	o->csr = NULL;
	if (!o->certificate)
		o->error = ca_problem_json(500, "serverInternal", "could not issue");
	ca_order_move(o, o->certificate ? CA_VALID : CA_INVALID);
	if (o->certificate)
		ca_count_issued(o->ca, o);
}

static void on_issue_time(struct timer *t)
{
	struct ca_order *o = container_of(t, struct ca_order, timer);

	timer_close(t, NULL);
	issue_now(o);
}

static X509_REQ *read_csr(const json_t *doc)
{
	struct buf der = BUF_INIT;
	const unsigned char *at;
	const char *text = json_string_value(json_object_get(doc, "csr"));
	X509_REQ *csr = NULL;

	if (text && base64url_decode(&der, str_from(text), NULL) == 0 && der.len > 0) {
		at = (const unsigned char *)der.data;
		csr = d2i_X509_REQ(NULL, &at, (long)der.len);
	}
	buf_deinit(&der);
	return csr;
}

void ca_finalize(struct ca_request *q)
{
	struct ca_order *o = ca_table_get(&q->ca->orders, q->rest);
	X509_REQ *csr;

	if (!o || o->account != q->account) {
		ca_problem(q, 404, "malformed", "No order for ID");
		return;
	}
	if (o->status != CA_READY) {
		ca_problem(q, 403, "orderNotReady",
			   "Order's status (\"%s\") is not acceptable for finalization",
			   ca_status_name(o->status));
		return;
	}
	csr = read_csr(q->json);
	if (!csr) {
		ca_problem(q, 400, "badCSR", "Error parsing certificate request");
		return;
	}
	if (!ca_csr_check(q, o, csr)) {
		X509_REQ_free(csr);
		return;
	}
	o->csr = csr;
	ca_order_move(o, CA_PROCESSING);
	if (q->ca->settings.sync_issue) {
		issue_now(o);
	} else {
		timer_init(&o->timer, &q->ca->loop, on_issue_time);
		timer_start(&o->timer, (uint64_t)q->ca->settings.issue_ms, 0);
	}
	ca_answer_order(q, 200, o);
}

/* --- the certificate --- */

/* "N", or "N/A" for its alternate A. */
void ca_cert(struct ca_request *q)
{
	struct str rest = q->rest, number;
	uint64_t alternate = 0;
	const bool other = str_split(&rest, '/', &number) && rest.len > 0;
	struct ca_certificate *c = ca_table_get(&q->ca->certificates, number);
	const uint64_t alternates = (uint64_t)q->ca->settings.alternates;
	struct buf pem = BUF_INIT;
	json_t *url;

	if (!c || c->order->account != q->account ||
	    (other && (str_u64(rest, &alternate) != 0 || alternate > alternates))) {
		ca_problem(q, c ? 403 : 404, c ? "unauthorized" : "malformed",
			   "Certificate not found");
		return;
	}
	for (uint64_t i = 0; i <= alternates; i++) {
		if (i == alternate)
			continue;
		url = ca_url(q, "/cert/", c->id);
		ca_field(q, "link", i ? "<%s/%llu>;rel=\"alternate\"" : "<%s>;rel=\"alternate\"",
			 json_string_value(url), (unsigned long long)i);
		json_decref(url);
	}
	if (pem_write(&pem, "CERTIFICATE", buf_str(&c->der), NULL) != 0 ||
	    buf_add_str(&pem, buf_str(&q->ca->chain_pem[alternate]), NULL) != 0)
		abort();
	ca_answer_text(q, 200, "application/pem-certificate-chain", buf_str(&pem));
	buf_deinit(&pem);
}
