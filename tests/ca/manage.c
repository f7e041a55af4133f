/* The management port: plain HTTP and JSON, for tests.
 *
 *   GET  /counters            requests by endpoint, answers by status, orders by state, validation
 * requests POST /counters/reset GET  /settings            POST /settings {"validity_s": 60, ...}
 *   GET  /roots/N             PEM; 0 is the default chain's
 *   GET  /certificates        {"name": [{"serial", "certid", "not_after", "revoked", ...}]};
 * ?name=N for one GET  /duplicates          names with more than one certificate: {"name": count}
 *   POST /renewal-info        {"certid" or "name", "start", "end" (seconds), "explanation"}
 *   POST /revoke              {"certid" or "name", "reason"}: as the CA does in an incident
 *   POST /pause               {"names": [...], "account": 0}; POST /unpause {"names": [...]} or {}
 *   POST /sfe/v1/unpause?jwt= what the unpause address leads to: everything of that name
 *   POST /addresses           {"http": ["ip:port"], "tls": [...]}: where validation requests go
 *   POST /resolve             {"name", "addresses": ["ip:port"]}; null: as configured
 */
#include <openssl/pem.h>
#include <stdio.h>

#include "common/core/clock.h"
#include "tests/ca/ca.h"

struct route {
	const char *method, *path;
	void (*run)(struct ca_request *q);
};

static struct str query(const struct ca_request *q, const char *name)
{
	struct str rest = exchange_request(q->x)->query, part;

	while (rest.len && str_split(&rest, '&', &part)) {
		size_t at = str_find(part, '=', 0);

		if (str_eq(str_sub(part, 0, at), str_from(name)))
			return str_sub(part, at + 1, part.len);
	}
	if (str_starts(part = exchange_request(q->x)->query, str_from(name)))
		return str_sub(part, str_find(part, '=', 0) + 1, part.len);
	return STR_NONE;
}

static void done(struct ca_request *q)
{
	ca_answer(q, 200, json_object());
}

/* --- counters and settings --- */

static void counters(struct ca_request *q)
{
	const struct ca *ca = q->ca;
	json_t *orders = json_object();

	for (enum ca_status s = 0; s <= CA_INVALID; s++)
		json_object_set_new(orders, ca_status_name(s),
				    json_integer((json_int_t)ca->counts.orders[s]));
	ca_answer(q, 200,
		  json_pack("{s:O, s:O, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "requests",
			    ca->requests, "answers", ca->answers, "orders", orders,
			    "validation_requests", (json_int_t)ca->counts.validation_requests,
			    "validations", (json_int_t)ca->counts.validations, "failed_validations",
			    (json_int_t)ca->counts.failed_validations, "bad_nonces",
			    (json_int_t)ca->counts.bad_nonces, "rate_limited",
			    (json_int_t)ca->counts.rate_limited, "certificates",
			    (json_int_t)ca->certificates.count, "accounts",
			    (json_int_t)ca->accounts.count, "connections",
			    (json_int_t)ca->counts.tls_connections));
}

/* Orders keep their counts: they are there still. */
static void counters_reset(struct ca_request *q)
{
	struct ca_counts *c = &q->ca->counts;

	json_object_clear(q->ca->requests);
	json_object_clear(q->ca->answers);
	c->validation_requests = c->validations = c->failed_validations = 0;
	c->bad_nonces = c->rate_limited = c->tls_connections = 0;
	done(q);
}

static void settings(struct ca_request *q)
{
	ca_answer(q, 200, ca_settings_json(&q->ca->settings));
}

static void settings_put(struct ca_request *q)
{
	const char *name;
	json_t *value;
	struct err e = ERR_INIT;

	json_object_foreach(q->json, name, value)
	{
		if (ca_settings_put(&q->ca->settings, name, json_integer_value(value), &e) == 0)
			continue;
		ca_problem(q, 400, "malformed", "%s", e.message);
		return;
	}
	settings(q);
}

static void root(struct ca_request *q)
{
	struct str path = exchange_request(q->x)->path;
	uint64_t n = 0;
	X509 *cert = NULL;
	BIO *b = BIO_new(BIO_s_mem());
	char *text = NULL;
	long len;

	if (str_u64(str_sub(path, 7, path.len), &n) == 0 && n <= CA_ALTERNATES_MAX)
		cert = n ? q->ca->alternate_roots[n - 1] : q->ca->root;
	if (!cert || !b || PEM_write_bio_X509(b, cert) != 1) {
		ca_problem(q, 404, "malformed", "no such root");
	} else {
		len = BIO_get_mem_data(b, &text);
		ca_answer_text(q, 200, "application/x-pem-file", (struct str){text, (size_t)len});
	}
	BIO_free(b);
}

/* --- certificates --- */

static json_t *certificate_json(const struct ca_certificate *c)
{
	return json_pack("{s:s, s:s, s:I, s:I, s:b, s:I, s:b, s:s?, s:I, s:s?}", "serial",
			 c->serial, "certid", c->certid, "not_before", (json_int_t)c->not_before,
			 "not_after", (json_int_t)c->not_after, "revoked", c->revoked_at != 0,
			 "reason", (json_int_t)c->reason, "replaced", c->replaced, "replaces",
			 c->order->replaces, "account", (json_int_t)c->order->account->id,
			 "profile", c->order->profile ? c->order->profile->name : NULL);
}

static json_t *certificates_of(const struct ca *ca, const json_t *numbers)
{
	json_t *list = json_array();
	const json_t *n;
	size_t i;

	json_array_foreach(numbers, i, n)
	{
		json_array_append_new(
			list, certificate_json(ca->certificates.items[json_integer_value(n)]));
	}
	return list;
}

static void certificates(struct ca_request *q)
{
	struct str only = query(q, "name"), name;
	json_t *doc = json_object();
	size_t pos = 0;
	void *numbers;

	if (only.ptr) {
		numbers = map_get(&q->ca->by_name, only);
		json_object_setn_new(doc, only.ptr, only.len, certificates_of(q->ca, numbers));
		ca_answer(q, 200, doc);
		return;
	}
	while (map_next(&q->ca->by_name, &pos, &name, &numbers))
		json_object_setn_new(doc, name.ptr, name.len, certificates_of(q->ca, numbers));
	ca_answer(q, 200, doc);
}

static void duplicates(struct ca_request *q)
{
	json_t *doc = json_object();
	size_t pos = 0;
	struct str name;
	void *numbers;

	while (map_next(&q->ca->by_name, &pos, &name, &numbers))
		if (json_array_size(numbers) > 1)
			json_object_setn_new(doc, name.ptr, name.len,
					     json_integer((json_int_t)json_array_size(numbers)));
	ca_answer(q, 200, doc);
}

/* The newest of a name, or that with the id. */
static struct ca_certificate *find_certificate(struct ca_request *q)
{
	const char *certid = json_string_value(json_object_get(q->json, "certid"));
	const char *name = json_string_value(json_object_get(q->json, "name"));
	const json_t *numbers = name ? map_get(&q->ca->by_name, str_from(name)) : NULL;
	struct ca_certificate *c = certid ? map_get(&q->ca->by_certid, str_from(certid)) : NULL;

	if (numbers)
		c = q->ca->certificates.items[json_integer_value(
			json_array_get(numbers, json_array_size(numbers) - 1))];
	if (!c)
		ca_problem(q, 404, "malformed", "no such certificate");
	return c;
}

static void move_window(struct ca_request *q)
{
	struct ca_certificate *c = find_certificate(q);
	const char *explanation = json_string_value(json_object_get(q->json, "explanation"));

	if (!c)
		return;
	c->window_start = json_integer_value(json_object_get(q->json, "start"));
	c->window_end = json_integer_value(json_object_get(q->json, "end"));
	free(c->explanation);
	c->explanation = explanation ? str_dup(str_from(explanation)) : NULL;
	ca_answer(q, 200, certificate_json(c));
}

static void revoke_certificate(struct ca_request *q)
{
	struct ca_certificate *c = find_certificate(q);

	if (!c)
		return;
	c->revoked_at = clock_wall_s();
	c->reason = json_integer_value(json_object_get(q->json, "reason"));
	ca_answer(q, 200, certificate_json(c));
}

/* --- pauses --- */

static void pause_names(struct ca_request *q)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(q->json, "names"), i, v)
	{
		ca_pause(q->ca, (size_t)json_integer_value(json_object_get(q->json, "account")),
			 json_string_value(v));
	}
	done(q);
}

static void unpause(struct ca_request *q)
{
	ca_answer(q, 200,
		  json_pack("{s:I}", "unpaused",
			    (json_int_t)ca_unpause(q->ca, json_object_get(q->json, "names"))));
}

static void unpause_page(struct ca_request *q)
{
	struct str jwt = query(q, "jwt");
	size_t dot = str_find(jwt, '.', 0);
	json_t *names = json_array();

	json_array_append_new(
		names, json_stringn(jwt.ptr + dot + 1, dot < jwt.len ? jwt.len - dot - 1 : 0));
	ca_answer(q, 200, json_pack("{s:I}", "unpaused", (json_int_t)ca_unpause(q->ca, names)));
	json_decref(names);
}

/* --- names --- */

static size_t read_addresses(struct addr *out, const json_t *list)
{
	const json_t *v;
	size_t i, n = 0;

	json_array_foreach(list, i, v)
	{
		if (n < CA_ADDRESSES_MAX &&
		    addr_parse(&out[n], str_from(json_string_value(v)), NULL) == 0)
			n++;
	}
	return n;
}

static void resolve(struct ca_request *q)
{
	const char *name = json_string_value(json_object_get(q->json, "name"));
	const json_t *list = json_object_get(q->json, "addresses");
	struct ca_route *r = calloc(1, sizeof(*r));
	void *old = NULL;

	if (!name || !r) {
		free(r);
		ca_problem(q, 400, "malformed", "no name");
		return;
	}
	free(map_remove(&q->ca->resolve, str_from(name)));
	r->count = read_addresses(r->at, list);
	if (!json_is_array(list) || map_put(&q->ca->resolve, str_from(name), r, &old, NULL) != 0)
		free(r);
	done(q);
}

static void addresses(struct ca_request *q)
{
	const json_t *http = json_object_get(q->json, "http"),
		     *tls = json_object_get(q->json, "tls");

	if (http)
		q->ca->http_count = read_addresses(q->ca->http_at, http);
	if (tls)
		q->ca->tls_count = read_addresses(q->ca->tls_at, tls);
	done(q);
}

/* --- routing --- */

static const struct route routes[] = {
	{"GET", "/counters", counters},
	{"POST", "/counters/reset", counters_reset},
	{"GET", "/settings", settings},
	{"POST", "/settings", settings_put},
	{"GET", "/roots/", root},
	{"GET", "/certificates", certificates},
	{"GET", "/duplicates", duplicates},
	{"POST", "/renewal-info", move_window},
	{"POST", "/revoke", revoke_certificate},
	{"POST", "/pause", pause_names},
	{"POST", "/unpause", unpause},
	{"POST", "/sfe/v1/unpause", unpause_page},
	{"POST", "/addresses", addresses},
	{"POST", "/resolve", resolve},
};

static bool matches(const struct route *r, const struct http_request *request)
{
	struct str path = str_from(r->path);

	return str_eq(str_from(r->method), request->method) &&
	       (path.ptr[path.len - 1] == '/' ? str_starts(request->path, path)
					      : str_eq(request->path, path));
}

void ca_manage_dispatch(struct ca_request *q)
{
	const struct http_request *r = exchange_request(q->x);

	if (q->body.len)
		q->json = json_loadb(q->body.data, q->body.len, 0, NULL);
	for (size_t i = 0; i < array_len(routes); i++) {
		if (!matches(&routes[i], r))
			continue;
		routes[i].run(q);
		return;
	}
	ca_problem(q, 404, "malformed", "no such page");
}
