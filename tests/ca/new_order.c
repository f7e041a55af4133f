/* newOrder: what is asked for, whether it may be had, and what is made of it (RFC 8555 7.4). */
#include <openssl/rand.h>
#include <stdio.h>

#include "common/core/clock.h"
#include "common/core/codec.h"
#include "common/pki/san.h"
#include "tests/ca/ca.h"

enum { TOKEN_BYTES = 32 };

/* --- newOrder: what is asked for --- */

struct wanted {
	char *names[CA_NAMES_MAX]; /* sorted, without duplicates; owned until moved into authzs */
	size_t count;
	const struct ca_profile *profile;
	char *set;
	json_t *problems; /* per identifier */
	const char *type; /* of the problem that all share */
};

static void wanted_free(struct wanted *w)
{
	for (size_t i = 0; i < w->count; i++)
		free(w->names[i]);
	free(w->set);
	json_decref(w->problems);
}

static void refuse(struct wanted *w, const char *type, const char *kind, const char *name,
		   const char *why)
{
	json_t *p = ca_problem_json(400, type, "%s", why);

	json_object_set_new(p, "identifier", json_pack("{s:s, s:s}", "type", kind, "value", name));
	if (!w->problems)
		w->problems = json_array();
	json_array_append_new(w->problems, p);
	w->type = type;
}

static const char *bad_dns_name(struct str s)
{
	size_t dots = 0;

	if (str_starts(s, STR("*.")))
		s = str_sub(s, 2, s.len);
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];

		dots += c == '.';
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.'))
			return "Domain name contains an invalid character";
	}
	if (s.len == 0 || s.len >= CA_NAME_SIZE || s.ptr[0] == '.' || s.ptr[s.len - 1] == '.')
		return "Domain name is empty, too long, or begins or ends with a dot";
	return dots == 0 ? "Domain name needs at least one dot" : NULL;
}

static void take_identifier(struct wanted *w, const json_t *id)
{
	const char *kind = json_string_value(json_object_get(id, "type"));
	const char *value = json_string_value(json_object_get(id, "value"));
	const char *bad;
	const bool ip = kind && str_eq(str_from(kind), STR("ip"));
	size_t at = 0;
	int order = 1;

	if (!kind || !value || (!ip && !str_eq(str_from(kind), STR("dns")))) {
		refuse(w, "unsupportedIdentifier", kind ? kind : "", value ? value : "",
		       "identifier type is not supported");
		return;
	}
	if (ip)
		bad = san_is_ip(str_from(value)) ? NULL : "not an IP address";
	else
		bad = san_is_ip(str_from(value))
			      ? "The ACME server can not issue a certificate for an IP address"
			      : bad_dns_name(str_from(value));
	if (bad) {
		refuse(w, ip || bad_dns_name(str_from(value)) ? "malformed" : "rejectedIdentifier",
		       kind, value, bad);
		return;
	}
	if (ca_name_fate(value, true)) {
		refuse(w, "rejectedIdentifier", kind, value,
		       "The ACME server refuses to issue a certificate for this domain name, "
		       "because it is forbidden by policy");
		return;
	}
	while (at < w->count && (order = strcmp(w->names[at], value)) < 0)
		at++;
	if (at < w->count && order == 0)
		return;
	memmove(&w->names[at + 1], &w->names[at], (w->count - at) * sizeof(w->names[0]));
	w->names[at] = str_dup(str_from(value));
	w->count++;
}

static void answer_refused(struct ca_request *q, struct wanted *w)
{
	const json_t *first = json_array_get(w->problems, 0);
	json_t *p;

	if (json_array_size(w->problems) == 1) {
		p = ca_problem_json(400, w->type,
				    "Invalid identifiers requested :: Cannot issue for \"%s\": %s",
				    json_string_value(json_object_get(
					    json_object_get(first, "identifier"), "value")),
				    json_string_value(json_object_get(first, "detail")));
	} else {
		p = ca_problem_json(400, w->type,
				    "Invalid identifiers requested :: Cannot issue for some names "
				    "(see subproblems)");
	}
	json_object_set(p, "subproblems", w->problems);
	ca_problem_doc(q, 400, p);
}

static bool take_profile(struct ca_request *q, struct wanted *w)
{
	const char *name = json_string_value(json_object_get(q->json, "profile"));

	if (q->ca->profile_count && !name)
		w->profile = &q->ca->profiles[0];
	if (name && !ca_profile_known(q->ca, str_from(name), &w->profile)) {
		ca_problem(q, 400, "invalidProfile", "profile \"%s\" not recognized", name);
		return false;
	}
	for (size_t i = 0; i < w->count; i++) {
		if (!w->profile || w->profile->ip || !san_is_ip(str_from(w->names[i])))
			continue;
		ca_problem(q, 403, "unauthorized",
			   "profile \"%s\" does not permit ip type identifiers", w->profile->name);
		return false;
	}
	return true;
}

static bool make_set(const struct ca_request *q, struct wanted *w)
{
	struct buf set = BUF_INIT;

	if (buf_addf(&set, NULL, "%zu", q->account->id) != 0)
		return false;
	for (size_t i = 0; i < w->count; i++)
		if (buf_addf(&set, NULL, "%c%s", i ? ',' : '|', w->names[i]) != 0)
			return false;
	w->set = set.data;
	return true;
}

static bool read_wanted(struct ca_request *q, struct wanted *w)
{
	const json_t *ids = json_object_get(q->json, "identifiers"), *id;
	size_t i;

	if (json_array_size(ids) == 0 || json_array_size(ids) > CA_NAMES_MAX) {
		ca_problem(q, 400, "malformed",
			   json_array_size(ids)
				   ? "Order cannot contain more than %d identifiers"
				   : "NewOrder request did not specify any identifiers (max %d)",
			   CA_NAMES_MAX);
		return false;
	}
	json_array_foreach(ids, i, id)
	{
		take_identifier(w, id);
	}
	if (w->problems) {
		answer_refused(q, w);
		return false;
	}
	return take_profile(q, w) && make_set(q, w);
}

/* ARI: the predecessor is known, this account's, shares a name, and has no successor yet. */
static bool replaces_ok(struct ca_request *q, const struct wanted *w, const char *certid)
{
	struct ca_certificate *c = map_get(&q->ca->by_certid, str_from(certid));
	bool shared = false;

	for (size_t i = 0; c && i < c->order->authz_count; i++)
		for (size_t k = 0; k < w->count; k++)
			shared |=
				str_eq(str_from(c->order->authzs[i]->name), str_from(w->names[k]));
	if (!c)
		ca_problem(q, 404, "malformed",
			   "Could not find the certificate that 'replaces' names");
	else if (c->order->account != q->account)
		ca_problem(q, 403, "unauthorized",
			   "requester account did not request the certificate being replaced by "
			   "this order");
	else if (!shared)
		ca_problem(q, 400, "malformed",
			   "identifiers in this order do not match any names in the certificate "
			   "being replaced");
	else if (c->replaced)
		ca_problem(q, 409, "alreadyReplaced",
			   "cannot indicate an order replaces certificate with serial %s, which "
			   "already has a replacement order",
			   c->serial);
	else
		return true;
	return false;
}

/* --- newOrder: made --- */

static struct ca_authz *reuse_authz(struct ca *ca, size_t account, const char *name)
{
	struct buf key = BUF_INIT;
	struct ca_authz *a = NULL;

	if (!ca->settings.authz_reuse)
		return NULL;
	if (ca_authz_key(&key, account, name) == 0)
		a = map_get(&ca->reusable, buf_str(&key));
	buf_deinit(&key);
	return a && a->status == CA_VALID && a->expires > clock_wall_s() ? a : NULL;
}

static void make_token(char out[CA_TOKEN_SIZE])
{
	unsigned char raw[TOKEN_BYTES];
	struct buf text = BUF_INIT;

	if (RAND_bytes(raw, sizeof(raw)) != 1 ||
	    base64url_encode(&text, (struct str){(char *)raw, sizeof(raw)}, NULL) != 0)
		abort();
	memcpy(out, text.data, CA_TOKEN_SIZE);
	buf_deinit(&text);
}

static struct ca_authz *make_authz(struct ca_order *o, const char *name)
{
	struct ca_authz *a = reuse_authz(o->ca, o->account->id, name);

	if (a)
		return a;
	a = calloc(1, sizeof(*a));
	if (!a)
		abort();
	a->account = o->account;
	a->order = o;
	a->wildcard = str_starts(str_from(name), STR("*."));
	a->name = str_dup(str_from(name + (a->wildcard ? 2 : 0)));
	a->ip = san_is_ip(str_from(a->name));
	a->expires = clock_wall_s() + o->ca->settings.authz_life_s;
	for (enum ca_method m = 0; m < CA_METHODS; m++)
		make_token(a->challenges[m].token);
	a->id = ca_table_add(&o->ca->authzs, a);
	return a;
}

static void own_order(struct ca_account *a, size_t number)
{
	size_t cap = a->order_cap ? 2 * a->order_cap : 64;
	size_t *orders;

	if (a->order_count == a->order_cap) {
		orders = realloc(a->orders, cap * sizeof(*orders));
		if (!orders)
			abort();
		a->orders = orders;
		a->order_cap = cap;
	}
	a->orders[a->order_count++] = number;
}

static int64_t time_of(const json_t *doc, const char *name)
{
	const char *text = json_string_value(json_object_get(doc, name));
	int64_t s = 0;

	return text && clock_parse_rfc3339(str_from(text), &s, NULL) == 0 ? s : 0;
}

static struct ca_order *make_order(struct ca_request *q, struct wanted *w, const char *replaces)
{
	struct ca_order *o = calloc(1, sizeof(*o));

	if (!o || !(o->authzs = calloc(w->count, sizeof(struct ca_authz *))))
		abort();
	o->ca = q->ca;
	o->account = q->account;
	o->profile = w->profile;
	o->expires = clock_wall_s() + q->ca->settings.order_life_s;
	o->not_before = time_of(q->json, "notBefore");
	o->not_after = time_of(q->json, "notAfter");
	o->replaces = replaces ? str_dup(str_from(replaces)) : NULL;
	o->set = w->set;
	w->set = NULL;
	for (size_t i = 0; i < w->count; i++)
		o->authzs[o->authz_count++] = make_authz(o, w->names[i]);
	o->id = ca_table_add(&q->ca->orders, o);
	own_order(q->account, o->id);
	q->ca->counts.orders[CA_PENDING]++;
	if (map_put(&q->ca->open_sets, str_from(o->set), o, NULL, NULL) != 0)
		abort();
	if (ca_order_all_valid(o))
		ca_order_move(o, CA_READY);
	return o;
}

/* Let's Encrypt gives an identical pending or ready order again. */
static bool reuse_order(struct ca_request *q, const struct wanted *w)
{
	struct ca_order *o = map_get(&q->ca->open_sets, str_from(w->set));

	if (!q->ca->settings.order_reuse || !o || o->profile != w->profile ||
	    o->expires <= clock_wall_s())
		return false;
	ca_answer_order(q, 201, o);
	return true;
}

void ca_new_order(struct ca_request *q)
{
	struct wanted w = {.count = 0};
	const char *replaces = json_string_value(json_object_get(q->json, "replaces"));
	struct ca_order *o;

	if (read_wanted(q, &w) && (!replaces || replaces_ok(q, &w, replaces)) &&
	    !reuse_order(q, &w) &&
	    ca_limit_order(q, q->account, w.names, w.count, strchr(w.set, '|') + 1)) {
		o = make_order(q, &w, replaces);
		if (replaces)
			((struct ca_certificate *)map_get(&q->ca->by_certid, str_from(replaces)))
				->replaced = true;
		ca_answer_order(q, 201, o);
	}
	wanted_free(&w);
}
