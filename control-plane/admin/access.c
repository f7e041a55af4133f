#include "control-plane/admin/access.h"

#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/core/log.h"
#include "control-plane/admin/credentials.h"
#include "control-plane/admin/fault.h"
#include "control-plane/admin/origin.h"
#include "control-plane/admin/request.h"
#include "control-plane/admin/token.h"

static const struct {
	const char *label;
	unsigned status;
	const char *challenge; /* WWW-Authenticate (RFC 6750 section 3); NULL: none */
	const char *message;   /* NULL: written where it happens */
	bool counts;	       /* for the throttle: a guess */
} failures[ACCESS_FAILURES] = {
	[ACCESS_MISSING] = {"missing", 401, "Bearer realm=\"cardea\"",
			    "Invalid credentials. Token or User credentials required", false},
	[ACCESS_AMBIGUOUS] = {"ambiguous", 400,
			      "Bearer realm=\"cardea\", error=\"invalid_request\"",
			      "more than one token was sent", true},
	[ACCESS_MALFORMED] = {"malformed", 401, "Bearer realm=\"cardea\", error=\"invalid_token\"",
			      "Invalid credentials. Token or User credentials required", true},
	[ACCESS_UNKNOWN] = {"unknown", 401, "Bearer realm=\"cardea\", error=\"invalid_token\"",
			    "Invalid credentials. Token or User credentials required", true},
	[ACCESS_EXPIRED] = {"expired", 401, "Bearer realm=\"cardea\", error=\"invalid_token\"",
			    "Invalid credentials. Token or User credentials required", true},
	[ACCESS_FORBIDDEN] = {"forbidden", 403, NULL, NULL, false},
	[ACCESS_CROSS_ORIGIN] = {"cross_origin", 403, NULL,
				 "a page of another origin may not use this client certificate",
				 false},
	[ACCESS_THROTTLED] = {"throttled", 429, NULL, "too many failed attempts, try again later",
			      false},
};

int access_init(struct access *a, const struct access_conf *c, struct err *e)
{
	static const char *const labels[] = {"reason", NULL};
	struct metric_family *f;

	*a = (struct access){.required = c->required, .origins = c->origins};
	throttle_init(&a->throttle, c->failures_max);
	if (client_roles_parse(&a->roles, c->client_roles, e) < 0)
		return err_prefix(e, "admin_client_roles");
	f = c->metrics
		    ? metrics_family(c->metrics, METRIC_COUNTER, "cardea_admin_auth_failures_total",
				     "Admin requests refused for who sent them, by reason.", labels,
				     NULL, 0)
		    : NULL;
	for (size_t i = 0; f && i < ACCESS_FAILURES; i++)
		a->failures[i] = metrics_series(f, &failures[i].label);
	return 0;
}

void access_deinit(struct access *a)
{
	throttle_deinit(&a->throttle);
}

/* --- refusing --- */

static void note_failure(struct admin_request *r, enum access_failure why)
{
	struct access *a = &r->ctx->access;

	if (a->failures[why])
		metric_add(a->failures[why], 1);
	if (failures[why].counts)
		throttle_failed(&a->throttle, &r->peer);
	log_info("admin request refused", log_str("reason", failures[why].label),
		 log_str("address", r->address), log_str("name", r->who.name));
}

static void refuse_with(struct admin_request *r, enum access_failure why, const char *message)
{
	struct http_fields extra = {0};
	struct arena *a = exchange_arena(r->x);
	char seconds[16];
	struct str name = STR("www-authenticate"), value = str_from(failures[why].challenge);
	json_t *body = json_pack("{s:s}", "message", message);
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

	note_failure(r, why);
	if (why == ACCESS_THROTTLED) {
		snprintf(seconds, sizeof(seconds), "%u",
			 throttle_wait(&r->ctx->access.throttle, &r->peer));
		name = STR("retry-after");
		value = arena_str(a, str_from(seconds));
	}
	if (value.ptr && http_fields_add(&extra, a, name, value) < 0)
		log_warn("answer header dropped", log_strn("header", name.ptr, name.len));
	admin_reply_text(r, failures[why].status, STR("application/json; charset=utf-8"),
			 text ? str_from(text) : STR("{}"), &extra);
	free(text);
	json_decref(body);
}

static void refuse(struct admin_request *r, enum access_failure why)
{
	refuse_with(r, why, failures[why].message);
}

/* --- tokens --- */

struct lookup {
	struct admin_request *r;
	struct token token;
	admin_handler next;
};

static void lookup_free(struct lookup *l)
{
	OPENSSL_cleanse(l, sizeof(*l));
	free(l);
}

static void on_touched(const struct store_result *res, void *arg)
{
	(void)arg;
	if (res->fault != STORE_OK)
		log_debug("a token's last use was not stored", log_err(&res->err));
}

/* To the minute, so that reading does not become writing. */
static void touch(struct admin_request *r, const struct token *t)
{
	const char *params[] = {t->id};

	store_query(r->ctx->store,
		    "UPDATE admin_tokens SET last_used_at = now() WHERE id = $1::uuid AND "
		    "(last_used_at IS NULL OR last_used_at < now() - interval '1 minute')",
		    params, array_len(params), on_touched, NULL);
}

static const char *text_of(const json_t *row, const char *name)
{
	const char *text = json_string_value(json_object_get(row, name));

	return text ? text : "";
}

/* Fills in r->who, or says why not. */
static bool take_row(struct admin_request *r, const struct token *t, const json_t *row,
		     enum access_failure *why)
{
	*why = ACCESS_UNKNOWN;
	if (!row || !token_matches(t, str_from(text_of(row, "hash"))))
		return false;
	snprintf(r->who.name, sizeof(r->who.name), "%s", text_of(row, "name"));
	r->who.kind = "token";
	*why = ACCESS_EXPIRED;
	if (json_is_true(json_object_get(row, "expired")))
		return false;
	if (role_parse(str_from(text_of(row, "role")), &r->who.role, NULL) < 0)
		r->who.role = ROLE_NONE;
	r->who.keys =
		r->who.role == ROLE_ADMIN ||
		(role_takes_keys(r->who.role) && json_is_true(json_object_get(row, "read_keys")));
	return true;
}

static void on_row(const struct store_result *res, void *arg)
{
	struct lookup *l = arg;
	struct admin_request *r = l->r;
	const json_t *row = json_array_get(res->rows, 0);
	admin_handler next = l->next;
	enum access_failure why;

	if (!admin_resume(r)) {
		lookup_free(l);
		return;
	}
	if (res->fault != STORE_OK) {
		fault_reply(r, NULL, res);
	} else if (!take_row(r, &l->token, row, &why)) {
		refuse(r, why);
	} else {
		if (json_is_true(json_object_get(row, "stale")))
			touch(r, &l->token);
		next(r);
	}
	lookup_free(l);
}

static void find_token(struct admin_request *r, struct str text, admin_handler next)
{
	struct lookup *l = calloc(1, sizeof(*l));
	const char *params[1];

	if (!l) {
		fault_internal(r);
		return;
	}
	if (token_parse(&l->token, text, NULL) < 0) {
		lookup_free(l);
		refuse(r, ACCESS_MALFORMED);
		return;
	}
	/* Tokens are in the database. */
	if (store_read_only(r->ctx->store)) {
		lookup_free(l);
		refuse(r, ACCESS_UNKNOWN);
		return;
	}
	l->r = r;
	l->next = next;
	params[0] = l->token.id;
	admin_suspend(r);
	store_query(r->ctx->store,
		    "SELECT name, role, read_keys, encode(hash, 'hex') AS hash, "
		    "coalesce(expires_at <= now(), false) AS expired, coalesce(last_used_at < "
		    "now() - interval '1 minute', true) AS stale FROM admin_tokens WHERE id = "
		    "$1::uuid",
		    params, array_len(params), on_row, l);
}

/* --- certificates --- */

/* A connection may outlive the certificate that it began with. */
static bool is_current(X509 *cert)
{
	return X509_cmp_current_time(X509_get0_notBefore(cert)) < 0 &&
	       X509_cmp_current_time(X509_get0_notAfter(cert)) > 0;
}

static X509 *verified_certificate(struct admin_request *r)
{
	SSL *ssl = conn_ssl(exchange_conn(r->x));

	if (!ssl || SSL_get_verify_result(ssl) != X509_V_OK)
		return NULL;
	return SSL_get0_peer_certificate(ssl);
}

static void take_certificate(struct admin_request *r, X509 *cert, admin_handler next)
{
	const struct client_role *role = client_roles_find(&r->ctx->access.roles, cert);

	client_subject(cert, r->who.name);
	r->who.kind = "certificate";
	if (!is_current(cert)) {
		refuse(r, ACCESS_EXPIRED);
	} else if (!origin_trusted(r->ctx->access.origins, exchange_request(r->x))) {
		refuse(r, ACCESS_CROSS_ORIGIN);
	} else {
		r->who.role = role ? role->role : ROLE_NONE;
		r->who.keys = role && role->keys;
		next(r);
	}
}

/* --- all of it --- */

static void identify(struct admin_request *r, admin_handler next)
{
	struct str token;
	enum credentials found = credentials_find(&exchange_request(r->x)->fields, &token);
	X509 *cert;

	if (found == CREDENTIALS_AMBIGUOUS) {
		refuse(r, ACCESS_AMBIGUOUS);
		return;
	}
	if (found == CREDENTIALS_TOKEN && throttle_wait(&r->ctx->access.throttle, &r->peer)) {
		refuse(r, ACCESS_THROTTLED);
		return;
	}
	if (found == CREDENTIALS_TOKEN) {
		find_token(r, token, next);
		return;
	}
	/* Another scheme may be for somebody on the way. */
	cert = verified_certificate(r);
	if (cert)
		take_certificate(r, cert, next);
	else
		refuse(r, found == CREDENTIALS_SCHEME ? ACCESS_MALFORMED : ACCESS_MISSING);
}

void access_identify(struct admin_request *r, void (*next)(struct admin_request *r))
{
	snprintf(r->who.name, sizeof(r->who.name), "anonymous");
	r->who.kind = "anonymous";
	if (r->ctx->access.required) {
		identify(r, next);
		return;
	}
	r->who.role = ROLE_ADMIN;
	r->who.keys = true;
	next(r);
}

/* Kong's sentence. */
bool access_allowed(struct admin_request *r, const char *pattern)
{
	struct str method = exchange_request(r->x)->method;
	char text[ACCESS_NAME_SIZE + 80];

	if (r->who.role >= role_needed(method, pattern))
		return true;
	snprintf(text, sizeof(text), "%s, you do not have permissions to %s this resource",
		 r->who.name, role_verb(method));
	refuse_with(r, ACCESS_FORBIDDEN, text);
	return false;
}
