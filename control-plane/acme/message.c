/* Written and read with jansson. Unknown members are ignored, as the RFC asks; known ones must have
 * their type. */
#include "control-plane/acme/message.h"

#include <jansson.h>
#include <time.h>

#include "common/core/codec.h"
#include "common/pki/san.h"

static int dump(struct buf *out, json_t *o, struct err *e)
{
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	int rc = text ? buf_add_str(out, str_from(text), e)
		      : err_set(e, ERR_INVALID, "text for the CA is not UTF-8");

	free(text);
	json_decref(o);
	return rc;
}

int message_new_account(struct buf *out, const char *email, const char *binding, struct err *e)
{
	json_t *o = json_pack("{s:b}", "termsOfServiceAgreed", 1);

	if (o && email && email[0] &&
	    json_object_set_new(o, "contact", json_pack("[s+]", "mailto:", email)) != 0) {
		json_decref(o);
		o = NULL;
	}
	if (o && binding &&
	    json_object_set_new(o, "externalAccountBinding", json_loads(binding, 0, NULL)) != 0) {
		json_decref(o);
		o = NULL;
	}
	return dump(out, o, e);
}

static json_t *identifiers(struct str names)
{
	json_t *list = json_array();
	struct str name = STR_NONE;

	while (str_split(&names, ' ', &name)) {
		json_t *one = json_pack("{s:s, s:s%}", "type", san_is_ip(name) ? "ip" : "dns",
					"value", name.ptr, name.len);

		if (!list || json_array_append_new(list, one) != 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

int message_new_order(struct buf *out, const struct message_order *m, struct err *e)
{
	char text[] = "0000-00-00T00:00:00Z....";
	const char *not_after = NULL;
	time_t at = (time_t)m->not_after;
	struct tm tm;

	if (m->not_after && gmtime_r(&at, &tm) &&
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0)
		not_after = text;
	return dump(out,
		    json_pack("{s:o, s:s*, s:s*, s:s*}", "identifiers", identifiers(m->names),
			      "profile", m->profile, "replaces", m->replaces, "notAfter",
			      not_after),
		    e);
}

int message_revoke(struct buf *out, struct str certificate_der, int reason, struct err *e)
{
	struct buf der = BUF_INIT;
	int rc = -1;

	if (base64url_encode(&der, certificate_der, e) == 0)
		rc = dump(out, json_pack("{s:s, s:i}", "certificate", der.data, "reason", reason),
			  e);
	buf_deinit(&der);
	return rc;
}

int message_finalize(struct buf *out, struct str csr_der, struct err *e)
{
	struct buf csr = BUF_INIT;
	int rc = -1;

	if (base64url_encode(&csr, csr_der, e) == 0)
		rc = dump(out, json_pack("{s:s}", "csr", csr.data), e);
	buf_deinit(&csr);
	return rc;
}

/* --- reading --- */

static json_t *load(struct str body, struct err *e)
{
	json_error_t at;
	json_t *o;

	if (body.len > ACME_DOCUMENT_MAX) {
		err_set(e, ERR_LIMIT, "the CA's answer is longer than %d bytes", ACME_DOCUMENT_MAX);
		return NULL;
	}
	o = json_loadb(body.ptr ? body.ptr : "", body.len, JSON_REJECT_DUPLICATES, &at);
	if (!o) {
		err_set(e, ERR_INVALID, "the CA's answer is not JSON: line %d column %d", at.line,
			at.column);
		return NULL;
	}
	if (!json_is_object(o)) {
		err_set(e, ERR_INVALID, "the CA's answer is not a JSON object");
		json_decref(o);
		return NULL;
	}
	return o;
}

/* A member that must be a string shorter than size. */
static int read_text(char *out, size_t size, const json_t *o, const char *member, struct err *e)
{
	const json_t *v = json_object_get(o, member);
	size_t len = json_string_length(v);

	if (!json_is_string(v) || len == 0)
		return err_set(e, ERR_INVALID, "the CA's answer has no text member \"%s\"", member);
	if (len >= size)
		return err_set(e, ERR_INVALID, "the CA's \"%s\" is longer than %zu bytes", member,
			       size - 1);
	memcpy(out, json_string_value(v), len + 1);
	return 0;
}

/* Adds to names with a space between. Those that have a space in them, or that do not fit, cannot
 * be asked for. */
static void add_name(char *names, size_t size, const char *name)
{
	size_t used = strlen(names), len = strlen(name);

	if (len == 0 || strchr(name, ' ') || used + len + 2 > size)
		return;
	if (used > 0)
		names[used++] = ' ';
	memcpy(names + used, name, len + 1);
}

static void read_profiles(struct acme_directory *d, json_t *profiles)
{
	const char *name;
	json_t *what;

	json_object_foreach(profiles, name, what)
	{
		(void)what;
		add_name(d->profiles, sizeof(d->profiles), name);
	}
}

static void read_identities(struct acme_directory *d, const json_t *identities)
{
	const json_t *one;
	size_t i;

	json_array_foreach(identities, i, one)
	{
		if (json_is_string(one))
			add_name(d->caa_identities, sizeof(d->caa_identities),
				 json_string_value(one));
	}
}

int message_read_directory(struct acme_directory *out, struct str body, struct err *e)
{
	struct acme_directory d = {.external_account_required = false};
	json_t *o = load(body, e);
	int rc = -1;

	if (!o)
		return -1;
	if (read_text(d.new_nonce, sizeof(d.new_nonce), o, "newNonce", e) == 0 &&
	    read_text(d.new_account, sizeof(d.new_account), o, "newAccount", e) == 0 &&
	    read_text(d.new_order, sizeof(d.new_order), o, "newOrder", e) == 0) {
		const json_t *meta = json_object_get(o, "meta");

		(void)read_text(d.key_change, sizeof(d.key_change), o, "keyChange", NULL);
		(void)read_text(d.revoke, sizeof(d.revoke), o, "revokeCert", NULL);
		(void)read_text(d.terms, sizeof(d.terms), meta, "termsOfService", NULL);
		(void)read_text(d.renewal_info, sizeof(d.renewal_info), o, "renewalInfo", NULL);
		read_profiles(&d, json_object_get(meta, "profiles"));
		read_identities(&d, json_object_get(meta, "caaIdentities"));
		d.external_account_required = json_is_true(
			json_object_get(json_object_get(o, "meta"), "externalAccountRequired"));
		*out = d;
		rc = 0;
	}
	json_decref(o);
	return rc;
}

static const char *const status_names[] = {
	[ACME_PENDING] = "pending", [ACME_READY] = "ready",	[ACME_PROCESSING] = "processing",
	[ACME_VALID] = "valid",	    [ACME_INVALID] = "invalid", [ACME_DEACTIVATED] = "deactivated",
	[ACME_EXPIRED] = "expired", [ACME_REVOKED] = "revoked",
};

const char *acme_status_name(enum acme_status s)
{
	return (size_t)s < array_len(status_names) ? status_names[s] : "?";
}

static int read_status(enum acme_status *out, const json_t *o, struct err *e)
{
	const char *text = json_string_value(json_object_get(o, "status"));

	for (size_t i = 0; text && i < array_len(status_names); i++) {
		if (str_eq(str_from(text), str_from(status_names[i]))) {
			*out = (enum acme_status)i;
			return 0;
		}
	}
	return err_set(e, ERR_INVALID, "the CA's answer has no known \"status\" (%.40s)",
		       text ? text : "none");
}

static int check_authorizations(const json_t *list, struct err *e)
{
	const json_t *url;
	size_t i;

	if (json_array_size(list) == 0 || json_array_size(list) > ACME_AUTHORIZATIONS_MAX)
		return err_set(e, ERR_INVALID,
			       "the CA's order has %zu authorizations: 1 to %d can be",
			       json_array_size(list), ACME_AUTHORIZATIONS_MAX);
	json_array_foreach(list, i, url)
	{
		size_t len = json_string_length(url);

		if (len == 0 || len >= ACME_URL_SIZE)
			return err_set(e, ERR_INVALID,
				       "the CA's authorization URL is no text, too long or empty");
	}
	return 0;
}

int message_read_order(struct acme_order_doc *out, struct str body, struct err *e)
{
	struct acme_order_doc d = {.error.retry_after_ms = RETRY_AFTER_NONE};
	json_t *o = load(body, e);
	int rc = -1;

	if (!o)
		return -1;
	d.authorizations = json_object_get(o, "authorizations");
	if (read_status(&d.status, o, e) != 0 || check_authorizations(d.authorizations, e) != 0 ||
	    read_text(d.finalize, sizeof(d.finalize), o, "finalize", e) != 0)
		goto done;
	if (d.status == ACME_VALID &&
	    read_text(d.certificate, sizeof(d.certificate), o, "certificate", e) != 0)
		goto done;
	problem_from_json(&d.error, json_object_get(o, "error"));
	json_incref(d.authorizations);
	*out = d;
	rc = 0;
done:
	json_decref(o);
	return rc;
}

/* The token becomes a path that data planes look up: only its own alphabet is let in (RFC 8555
 * section 8.3). */
static bool base64url_text(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = ascii_lower(s.ptr[i]);

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
			return false;
	}
	return s.len > 0;
}

static const char *const challenge_names[CHALLENGE_TYPES] = {
	[CHALLENGE_HTTP_01] = "http-01",
	[CHALLENGE_TLS_ALPN_01] = "tls-alpn-01",
	[CHALLENGE_DNS_01] = "dns-01",
};

int challenge_type_parse(struct str text, enum challenge_type *out)
{
	for (size_t i = 0; i < CHALLENGE_TYPES; i++) {
		if (str_eq(text, str_from(challenge_names[i]))) {
			*out = (enum challenge_type)i;
			return 0;
		}
	}
	return -1;
}

const char *challenge_type_name(enum challenge_type t)
{
	return t < CHALLENGE_TYPES ? challenge_names[t] : "?";
}

int challenge_types_parse(struct str list, enum challenge_type out[CHALLENGE_TYPES], size_t *n,
			  struct err *e)
{
	struct str rest = list, one = STR_NONE;
	unsigned seen = 0;

	*n = 0;
	while (str_split(&rest, ',', &one)) {
		enum challenge_type type;

		one = str_trim(one);
		if (challenge_type_parse(one, &type) != 0)
			return err_set(e, ERR_INVALID,
				       "\"%.*s\" is no kind of challenge: http-01, tls-alpn-01 and "
				       "dns-01 are",
				       (int)(one.len < 40 ? one.len : 40), one.ptr);
		if (seen & 1U << type)
			return err_set(e, ERR_INVALID, "%s is there twice", challenge_names[type]);
		seen |= 1U << type;
		out[(*n)++] = type;
	}
	return *n ? 0 : err_set(e, ERR_INVALID, "it names no kind of challenge");
}

static int read_challenge(struct acme_challenge_doc *d, const json_t *c, struct err *e)
{
	if (read_text(d->url, sizeof(d->url), c, "url", e) != 0 ||
	    read_status(&d->status, c, e) != 0 ||
	    read_text(d->token, sizeof(d->token), c, "token", e) != 0)
		return -1;
	if (!base64url_text(str_from(d->token)))
		return err_set(e, ERR_INVALID, "the CA's token is not base64url");
	d->offered = true;
	return 0;
}

static int read_challenges(struct acme_authorization_doc *d, const json_t *list, struct err *e)
{
	const json_t *c;
	size_t i;

	if (!json_is_array(list))
		return err_set(e, ERR_INVALID, "the CA's authorization has no \"challenges\"");
	json_array_foreach(list, i, c)
	{
		const char *text = json_string_value(json_object_get(c, "type"));
		enum challenge_type type;

		if (text && challenge_type_parse(str_from(text), &type) == 0 &&
		    !d->challenges[type].offered && read_challenge(&d->challenges[type], c, e) != 0)
			return -1;
		/* A finished authorization may show only the challenge that decided it. */
		if (!problem_is_set(&d->error))
			problem_from_json(&d->error, json_object_get(c, "error"));
	}
	return 0;
}

/* Section 7.1.4: the identifier is the name without "*.", and a member of its own says so. */
static int read_identifier(struct acme_authorization_doc *d, const json_t *o, struct err *e)
{
	const size_t star = json_is_true(json_object_get(o, "wildcard")) ? 2 : 0;

	memcpy(d->name, "*.", star);
	if (read_text(d->name + star, sizeof(d->name) - star, json_object_get(o, "identifier"),
		      "value", e) != 0)
		return -1;
	for (char *c = d->name; *c; c++)
		*c = ascii_lower(*c);
	return 0;
}

int message_read_authorization(struct acme_authorization_doc *out, struct str body, struct err *e)
{
	struct acme_authorization_doc d = {.error.retry_after_ms = RETRY_AFTER_NONE};
	json_t *o = load(body, e);
	int rc = -1;

	if (!o)
		return -1;
	if (read_status(&d.status, o, e) != 0 || read_identifier(&d, o, e) != 0 ||
	    read_challenges(&d, json_object_get(o, "challenges"), e) != 0)
		goto done;
	*out = d;
	rc = 0;
done:
	json_decref(o);
	return rc;
}

int message_check_challenge(struct str body, struct err *e)
{
	enum acme_status status;
	json_t *o = load(body, e);
	int rc = o ? read_status(&status, o, e) : -1;

	json_decref(o);
	return rc;
}

bool message_nonce_ok(struct str nonce)
{
	return nonce.len < ACME_NONCE_SIZE && base64url_text(nonce);
}

/* --- links --- */

/* One parameter of a link: whether it is the relation "alternate", alone or among others. */
static bool is_alternate(struct str parameter)
{
	struct str rest, word = STR_NONE;

	parameter = str_trim(parameter);
	if (parameter.len < 4 || !str_ieq(str_sub(parameter, 0, 4), STR("rel=")))
		return false;
	rest = str_sub(parameter, 4, parameter.len);
	if (rest.len >= 2 && rest.ptr[0] == '"' && rest.ptr[rest.len - 1] == '"')
		rest = str_sub(rest, 1, rest.len - 1);
	while (str_split(&rest, ' ', &word))
		if (str_ieq(word, STR("alternate")))
			return true;
	return false;
}

size_t message_alternates(struct str links, char (*out)[ACME_URL_SIZE], size_t max)
{
	size_t n = 0;

	while (n < max) {
		size_t begin = str_find(links, '<', 0), end = str_find(links, '>', begin);
		struct str url, rest, parameter = STR_NONE;
		bool alternate = false;

		if (end >= links.len)
			break;
		url = str_sub(links, begin + 1, end);
		links = str_sub(links, end + 1, links.len);
		/* The parameters end where the next link begins. */
		rest = str_sub(links, 0, str_find(links, '<', 0));
		while (rest.len > 0 &&
		       (rest.ptr[rest.len - 1] == ' ' || rest.ptr[rest.len - 1] == ','))
			rest.len--;
		while (str_split(&rest, ';', &parameter))
			alternate = alternate || is_alternate(parameter);
		if (!alternate || url.len == 0 || url.len >= ACME_URL_SIZE)
			continue;
		memcpy(out[n], url.ptr, url.len);
		out[n++][url.len] = '\0';
	}
	return n;
}
