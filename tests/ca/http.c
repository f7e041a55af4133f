/* Requests in, answers out: the body is gathered, the endpoint found, the JWS checked. */
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "common/core/clock.h"
#include "tests/ca/ca.h"

enum { BODY_MAX = 256 << 10 };

struct ca_endpoint {
	const char *path; /* a prefix when it ends with '/' */
	const char *name; /* as it is counted */
	enum ca_jws jws;
	void (*run)(struct ca_request *q);
};

/* --- answers --- */

void ca_field(struct ca_request *q, const char *name, const char *fmt, ...)
{
	struct arena *a = exchange_arena(q->x);
	struct str value;
	va_list ap;
	char line[2048];

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	value = arena_str(a, str_from(line));
	if (!value.ptr || http_fields_add(&q->fields, a, str_from(name), value) != 0)
		abort();
}

static void count(json_t *counts, const char *name)
{
	json_object_set_new(counts, name,
			    json_integer(json_integer_value(json_object_get(counts, name)) + 1));
}

void ca_answer_text(struct ca_request *q, unsigned status, const char *type, struct str text)
{
	char nonce[CA_NONCE_SIZE], label[16];

	if (q->endpoint && (q->endpoint->jws != CA_JWS_NONE || !q->endpoint->run)) {
		ca_nonce_make(&q->ca->nonces, nonce);
		ca_field(q, "replay-nonce", "%s", nonce);
		ca_field(q, "cache-control", "no-store");
		ca_field(q, "link", "<https://%.*s/dir>;rel=\"index\"",
			 (int)exchange_request(q->x)->authority.len,
			 exchange_request(q->x)->authority.ptr);
	}
	if (q->endpoint) {
		snprintf(label, sizeof(label), "%u", status);
		count(q->ca->answers, label);
		count(q->ca->requests, q->endpoint->name);
	}
	exchange_reply(q->x, status, type ? str_from(type) : STR_NONE, text, &q->fields);
}

static void answer_json(struct ca_request *q, unsigned status, const char *type, json_t *doc)
{
	char *text = json_dumps(doc, JSON_COMPACT);

	ca_answer_text(q, status, type, text ? str_from(text) : STR("{}"));
	free(text);
	json_decref(doc);
}

void ca_answer(struct ca_request *q, unsigned status, json_t *doc)
{
	answer_json(q, status, "application/json", doc);
}

static printf_like(3, 0) json_t *problem_json(unsigned status, const char *type, const char *fmt,
					      va_list ap)
{
	char detail[1024], urn[96];

	vsnprintf(detail, sizeof(detail), fmt, ap);
	snprintf(urn, sizeof(urn), "urn:ietf:params:acme:error:%s", type);
	return json_pack("{s:s, s:s, s:i}", "type", urn, "detail", detail, "status", (int)status);
}

json_t *ca_problem_json(unsigned status, const char *type, const char *fmt, ...)
{
	va_list ap;
	json_t *doc;

	va_start(ap, fmt);
	doc = problem_json(status, type, fmt, ap);
	va_end(ap);
	return doc;
}

void ca_problem_doc(struct ca_request *q, unsigned status, json_t *doc)
{
	answer_json(q, status, "application/problem+json", doc);
}

void ca_problem(struct ca_request *q, unsigned status, const char *type, const char *fmt, ...)
{
	va_list ap;
	json_t *doc;

	va_start(ap, fmt);
	doc = problem_json(status, type, fmt, ap);
	va_end(ap);
	ca_problem_doc(q, status, doc);
}

json_t *ca_url(const struct ca_request *q, const char *path, size_t number)
{
	struct str host = exchange_request(q->x)->authority;

	return json_sprintf("https://%.*s%s%zu", (int)host.len, host.ptr, path, number);
}

json_t *ca_time(int64_t seconds)
{
	char text[CLOCK_TEXT_SIZE];

	clock_text(seconds, text, sizeof(text));
	return json_string(text);
}

void ca_retry_after(struct ca_request *q, int64_t seconds)
{
	time_t at = (time_t)(clock_wall_s() + seconds);
	struct tm tm;
	char text[64];

	if (seconds <= 0)
		return;
	if (!q->ca->settings.retry_after_date) {
		ca_field(q, "retry-after", "%lld", (long long)seconds);
		return;
	}
	gmtime_r(&at, &tm);
	if (strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0)
		ca_field(q, "retry-after", "%s", text);
}

/* --- directory and nonces --- */

static json_t *profiles_json(const struct ca *ca)
{
	json_t *o = json_object();

	for (size_t i = 0; i < ca->profile_count; i++)
		json_object_set_new(o, ca->profiles[i].name,
				    json_string(ca->profiles[i].description));
	return o;
}

static void directory(struct ca_request *q)
{
	static const char *const urls[][2] = {
		{"newNonce", "/new-nonce"},   {"newAccount", "/new-account"},
		{"newOrder", "/new-order"},   {"revokeCert", "/revoke-cert"},
		{"keyChange", "/key-change"}, {"renewalInfo", "/renewal-info"},
	};
	struct str host = exchange_request(q->x)->authority;
	json_t *doc = json_object(), *meta;

	for (size_t i = 0; i < array_len(urls); i++)
		if (i + 1 < array_len(urls) || q->ca->settings.ari)
			json_object_set_new(doc, urls[i][0],
					    json_sprintf("https://%.*s%s", (int)host.len, host.ptr,
							 urls[i][1]));
	meta = json_pack("{s:s, s:s, s:[s], s:b}", "termsOfService", "https://ca.example/terms/v1",
			 "website", "https://ca.example", "caaIdentities", "ca.example",
			 "externalAccountRequired", q->ca->settings.eab_required != 0);
	if (q->ca->profile_count)
		json_object_set_new(meta, "profiles", profiles_json(q->ca));
	json_object_set_new(doc, "meta", meta);
	ca_answer(q, 200, doc);
}

static void new_nonce(struct ca_request *q)
{
	bool head = str_eq(exchange_request(q->x)->method, STR("HEAD"));

	ca_answer_text(q, head ? 200 : 204, NULL, STR(""));
}

/* --- routing --- */

/* run NULL: a nonce. */
static const struct ca_endpoint endpoints[] = {
	{"/dir", "directory", CA_JWS_NONE, directory},
	{"/new-nonce", "new-nonce", CA_JWS_NONE, NULL},
	{"/new-account", "new-account", CA_JWS_JWK, ca_new_account},
	{"/account/", "account", CA_JWS_KID, ca_account},
	{"/orders/", "account-orders", CA_JWS_KID, ca_account_orders},
	{"/key-change", "key-change", CA_JWS_KID, ca_key_change},
	{"/new-order", "new-order", CA_JWS_KID, ca_new_order},
	{"/order/", "order", CA_JWS_KID, ca_order},
	{"/authz/", "authz", CA_JWS_KID, ca_authz},
	{"/challenge/", "challenge", CA_JWS_KID, ca_challenge},
	{"/finalize/", "finalize", CA_JWS_KID, ca_finalize},
	{"/cert/", "cert", CA_JWS_KID, ca_cert},
	{"/revoke-cert", "revoke-cert", CA_JWS_EITHER, ca_revoke},
	{"/renewal-info/", "renewal-info", CA_JWS_NONE, ca_renewal_info},
};

static const struct ca_endpoint *find_endpoint(struct str path, struct str *rest)
{
	for (size_t i = 0; i < array_len(endpoints); i++) {
		struct str p = str_from(endpoints[i].path);
		bool prefix = p.ptr[p.len - 1] == '/';

		if (prefix ? str_starts(path, p) : str_eq(path, p)) {
			*rest = str_sub(path, p.len, path.len);
			return &endpoints[i];
		}
	}
	return NULL;
}

static void dispatch(struct ca_request *q)
{
	const struct http_request *r = exchange_request(q->x);
	const bool post = str_eq(r->method, STR("POST"));

	q->endpoint = find_endpoint(r->path, &q->rest);
	if (!q->endpoint)
		ca_problem(q, 404, "malformed", "Page not found");
	else if (post != (q->endpoint->jws != CA_JWS_NONE))
		ca_problem(q, 405, "malformed", "Method not allowed");
	else if (!q->endpoint->run)
		new_nonce(q);
	else if (q->endpoint->jws == CA_JWS_NONE || ca_jws_check(q, q->endpoint->jws))
		q->endpoint->run(q);
}

static void take_head(struct exchange *x, struct ca *ca, bool manage)
{
	struct ca_request *q = calloc(1, sizeof(*q));

	if (!q) {
		exchange_reply(x, 500, STR_NONE, STR(""), NULL);
		return;
	}
	q->ca = ca;
	q->x = x;
	q->run = manage ? ca_manage_dispatch : dispatch;
	q->body.limit = BODY_MAX;
	exchange_set_user(x, q);
	if (!exchange_request(x)->has_body)
		q->run(q);
}

static void on_head(struct exchange *x, void *arg)
{
	take_head(x, arg, false);
}

static void on_manage_head(struct exchange *x, void *arg)
{
	take_head(x, arg, true);
}

static void on_body(struct exchange *x, struct str bytes, bool last, void *arg)
{
	struct ca_request *q = exchange_user(x);

	(void)arg;
	if (!q)
		return;
	if (buf_add_str(&q->body, bytes, NULL) != 0) {
		ca_problem(q, 413, "malformed", "too long");
		return;
	}
	if (last)
		q->run(q);
}

static void on_end(struct exchange *x, const struct err *why, void *arg)
{
	struct ca_request *q = exchange_user(x);

	(void)why;
	(void)arg;
	if (!q)
		return;
	buf_deinit(&q->body);
	buf_deinit(&q->payload);
	EVP_PKEY_free(q->jwk);
	json_decref(q->header);
	json_decref(q->json);
	free(q);
}

const struct http_handler ca_acme_handler = {
	.on_head = on_head, .on_body = on_body, .on_end = on_end};
const struct http_handler ca_manage_handler = {
	.on_head = on_manage_head, .on_body = on_body, .on_end = on_end};
