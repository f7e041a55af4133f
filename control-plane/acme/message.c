/* Written and read with jansson. Unknown members are ignored, as the RFC asks; known ones must have
 * their type. */
#include "control-plane/acme/message.h"

#include <jansson.h>

#include "common/core/codec.h"

static int dump(struct buf *out, json_t *o, struct err *e)
{
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	int rc = text ? buf_add_str(out, str_from(text), e)
		      : err_set(e, ERR_INVALID, "text for the CA is not UTF-8");

	free(text);
	json_decref(o);
	return rc;
}

int message_new_account(struct buf *out, const char *email, struct err *e)
{
	if (!email || !email[0])
		return dump(out, json_pack("{s:b}", "termsOfServiceAgreed", 1), e);
	return dump(
		out,
		json_pack("{s:b, s:[s+]}", "termsOfServiceAgreed", 1, "contact", "mailto:", email),
		e);
}

int message_new_order(struct buf *out, const char *host, struct err *e)
{
	return dump(out, json_pack("{s:[{s:s, s:s}]}", "identifiers", "type", "dns", "value", host),
		    e);
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

static int read_first_authorization(char *out, const json_t *o, struct err *e)
{
	const json_t *list = json_object_get(o, "authorizations");
	const json_t *first = json_array_get(list, 0);

	/* One identifier, so one authorization; an order for more is not the one that we made. */
	if (json_array_size(list) != 1 || !json_is_string(first))
		return err_set(e, ERR_INVALID,
			       "the CA's order has %zu authorizations instead of one",
			       json_array_size(list));
	if (json_string_length(first) == 0 || json_string_length(first) >= ACME_URL_SIZE)
		return err_set(e, ERR_INVALID, "the CA's authorization URL is too long or empty");
	memcpy(out, json_string_value(first), json_string_length(first) + 1);
	return 0;
}

int message_read_order(struct acme_order_doc *out, struct str body, struct err *e)
{
	struct acme_order_doc d = {.error.retry_after_ms = RETRY_AFTER_NONE};
	json_t *o = load(body, e);
	int rc = -1;

	if (!o)
		return -1;
	if (read_status(&d.status, o, e) != 0 || read_first_authorization(d.authorization, o, e) ||
	    read_text(d.finalize, sizeof(d.finalize), o, "finalize", e) != 0)
		goto done;
	if (d.status == ACME_VALID &&
	    read_text(d.certificate, sizeof(d.certificate), o, "certificate", e) != 0)
		goto done;
	problem_from_json(&d.error, json_object_get(o, "error"));
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

static int read_http01(struct acme_authorization_doc *d, const json_t *c, struct err *e)
{
	if (read_text(d->challenge_url, sizeof(d->challenge_url), c, "url", e) != 0 ||
	    read_status(&d->challenge_status, c, e) != 0 ||
	    read_text(d->token, sizeof(d->token), c, "token", e) != 0)
		return -1;
	if (!base64url_text(str_from(d->token)))
		return err_set(e, ERR_INVALID, "the CA's token is not base64url");
	problem_from_json(&d->error, json_object_get(c, "error"));
	d->http01 = true;
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
		const char *type = json_string_value(json_object_get(c, "type"));

		if (type && str_eq(str_from(type), STR("http-01")) && !d->http01 &&
		    read_http01(d, c, e) != 0)
			return -1;
		/* A finished authorization may show only the challenge that decided it. */
		if (!problem_is_set(&d->error))
			problem_from_json(&d->error, json_object_get(c, "error"));
	}
	return 0;
}

int message_read_authorization(struct acme_authorization_doc *out, struct str body, struct err *e)
{
	struct acme_authorization_doc d = {.error.retry_after_ms = RETRY_AFTER_NONE};
	json_t *o = load(body, e);
	const json_t *identifier;
	int rc = -1;

	if (!o)
		return -1;
	identifier = json_object_get(o, "identifier");
	if (read_status(&d.status, o, e) != 0 ||
	    read_text(d.host, sizeof(d.host), identifier, "value", e) != 0 ||
	    read_challenges(&d, json_object_get(o, "challenges"), e) != 0)
		goto done;
	for (char *c = d.host; *c; c++)
		*c = ascii_lower(*c);
	*out = d;
	rc = 0;
done:
	json_decref(o);
	return rc;
}

bool message_nonce_ok(struct str nonce)
{
	return nonce.len < ACME_NONCE_SIZE && base64url_text(nonce);
}
