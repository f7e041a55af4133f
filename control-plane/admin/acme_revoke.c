/* POST /acme/certificates/:host/revoke: the authority is asked to revoke what a name is served with
 * (RFC 8555 section 7.6); a certificate's id is fine too.
 *
 *     reason   of RFC 5280, by name or code (default: unspecified)
 *     replace  whether the names get another certificate (default: the reason's, which is yes for
 *              all but cessationOfOperation)
 *
 * 200 it is revoked, also when it was before · 400 a reason that cannot be given, or what the
 * authority has against it · 404 no certificate of an authority · 503 the authority cannot be asked
 * now. What is served stays until the replacement is there, or until it is deleted. */
#include <stdio.h>
#include <stdlib.h>

#include "control-plane/admin/audit.h"
#include "control-plane/admin/fault.h"
#include "control-plane/admin/handlers.h"

static const char certificates[] = "certificates";

static json_t *reference(json_t *id)
{
	return json_is_string(id) ? json_pack("{s:O}", "id", id) : json_null();
}

static void reply_failed(struct admin_request *r, const json_t *row)
{
	bool replaced = json_is_string(json_object_get(row, "replacement"));

	admin_reply_message(
		r, json_is_true(json_object_get(row, "refused")) ? 400 : 503,
		"the certificate was not revoked: %s%s%s",
		json_string_value(json_object_get(row, "problem")),
		replaced
			? "; another one for its names was ordered, as its key may be known: order "
			: "",
		replaced ? json_string_value(json_object_get(row, "replacement")) : "");
}

static void reply_done(struct admin_request *r, json_t *row)
{
	bool already = json_integer_value(json_object_get(row, "already")) ==
		       json_integer_value(json_object_get(row, "revoked"));

	admin_reply(r, 200,
		    json_pack("{s:s, s:o, s:O, s:O, s:O, s:O, s:o}", "message",
			      already ? "the certificate was revoked already"
				      : "the certificate is revoked",
			      "certificate", reference(json_object_get(row, "certificate")), "code",
			      json_object_get(row, "code"), "reason",
			      json_object_get(row, "reason"), "revoked",
			      json_object_get(row, "revoked"), "already",
			      json_object_get(row, "already"), "replacement",
			      reference(json_object_get(row, "replacement"))));
}

static void on_revoked(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;
	json_t *row;

	if (!admin_resume(r))
		return;
	row = json_array_get(res->rows, 0);
	if (res->fault == STORE_NOT_FOUND)
		admin_reply_message(r, 404,
				    "%.*s has no certificate that an authority issued to Cardea",
				    (int)r->segments[2].len, r->segments[2].ptr);
	else if (res->fault != STORE_OK || !row)
		fault_reply(r, NULL, res);
	else if (json_is_string(json_object_get(row, "problem")))
		reply_failed(r, row);
	else
		reply_done(r, row);
}

static bool read_reason(struct admin_request *r, struct acme_revocation *w)
{
	const json_t *v = json_object_get(r->input, "reason");
	struct err e = ERR_INIT;
	char number[24];
	struct str text = STR("unspecified");

	snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(v));
	if (json_is_integer(v))
		text = str_from(number);
	else if (json_is_string(v))
		text = str_from(json_string_value(v));
	else if (v && !json_is_null(v))
		text = STR("of this type");
	if (revocation_reason_parse(text, &w->reason, &e) == 0)
		return true;
	admin_reply_message(r, 400, "%s", e.message);
	return false;
}

static bool read_replace(struct admin_request *r, struct acme_revocation *w)
{
	const json_t *v = json_object_get(r->input, "replace");
	const char *text = json_string_value(v);

	w->replace = w->reason->replace;
	if (!v || json_is_null(v))
		return true;
	/* Forms have texts only. */
	w->replace = json_is_true(v) || (text && str_eq(str_from(text), STR("true")));
	if (json_is_boolean(v) || w->replace || (text && str_eq(str_from(text), STR("false"))))
		return true;
	admin_reply_message(r, 400, "replace must be true or false");
	return false;
}

void acme_revoke_post(struct admin_request *r)
{
	struct acme_revocation w = {.reason = NULL};
	struct store_note note;
	const char *which = arena_str(exchange_arena(r->x), r->segments[2]).ptr;

	if (!r->ctx->acme) {
		admin_reply_message(r, 404, "certificates need a database");
		return;
	}
	if (!read_reason(r, &w) || !read_replace(r, &w))
		return;
	admin_suspend(r);
	acme_revoke(r->ctx->acme, r->segments[2], &w, audit_note(r, &note, certificates, which),
		    on_revoked, r);
}
