/* /acme/accounts and /acme/authorities: our accounts at authorities, and how those are doing.
 *
 * GET    /acme/accounts                all, with terms to agree to and the last problem
 * PATCH  /acme/accounts/:id            {"contact":["mailto:..."]}: the authority is told first
 * DELETE /acme/accounts/:id            deactivated, for ever; the next order makes another one
 * POST   /acme/accounts/:id/agree      to the terms of service that the authority asked for
 * POST   /acme/accounts/:id/rollover   a new key ({"key": PEM or JWK} or one that is made); 202: it
 *                                      takes over when no challenge needs the old one any more
 * GET    /acme/authorities/status      health and budget, as this control plane sees them
 */
#include "common/core/codec.h"
#include "control-plane/admin/audit.h"
#include "control-plane/admin/fault.h"
#include "control-plane/admin/handlers.h"

static const char accounts[] = "acme_accounts";

enum { CONTACTS_MAX = 10 };

static bool have_acme(struct admin_request *r)
{
	if (!r->ctx->acme)
		admin_reply_message(r, 404, "certificates need a database");
	return r->ctx->acme != NULL;
}

static void on_accounts(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;

	if (!admin_resume(r))
		return;
	if (res->fault != STORE_OK)
		fault_reply(r, NULL, res);
	else
		admin_reply(r, 200, json_pack("{s:O, s:n}", "data", res->rows, "next"));
}

void acme_accounts_list(struct admin_request *r)
{
	if (!have_acme(r))
		return;
	admin_suspend(r);
	acme_accounts(r->ctx->acme, on_accounts, r);
}

static void on_changed(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;
	const json_t *row;
	bool pending;

	if (!admin_resume(r))
		return;
	row = json_array_get(res->rows, 0);
	pending = json_is_true(json_object_get(row, "key_change_pending"));
	if (res->fault == STORE_NOT_FOUND || (res->fault == STORE_OK && !row))
		admin_reply_message(r, 404, "Not found");
	else if (res->fault == STORE_FAILED && res->err.kind == ERR_INVALID)
		admin_reply_message(r, 400, "the account was not changed: %s", res->err.message);
	else if (res->fault != STORE_OK)
		fault_reply(r, NULL, res);
	else
		admin_reply(r, pending ? 202 : 200, json_incref(json_array_get(res->rows, 0)));
}

static void change(struct admin_request *r, enum account_change_kind kind, const json_t *value)
{
	struct store_note note;
	const char *id;

	if (!have_acme(r))
		return;
	if (!uuid_is(r->segments[2])) {
		admin_reply_message(r, 404, "Not found");
		return;
	}
	id = arena_str(exchange_arena(r->x), r->segments[2]).ptr;
	admin_suspend(r);
	acme_account_change(r->ctx->acme, r->segments[2], kind, value,
			    audit_note(r, &note, accounts, id), on_changed, r);
}

static bool contacts_ok(const json_t *list)
{
	const json_t *one;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) > CONTACTS_MAX)
		return false;
	json_array_foreach(list, i, one)
	{
		const char *text = json_string_value(one);

		if (!text || !str_starts(str_from(text), STR("mailto:")) || !strchr(text, '@'))
			return false;
	}
	return true;
}

void acme_accounts_patch(struct admin_request *r)
{
	const json_t *contact = json_object_get(r->input, "contact");

	if (!contacts_ok(contact))
		admin_reply_message(r, 400,
				    "contact must be an array of at most %d \"mailto:\" addresses",
				    CONTACTS_MAX);
	else
		change(r, ACCOUNT_CHANGE_CONTACT, contact);
}

void acme_accounts_delete(struct admin_request *r)
{
	change(r, ACCOUNT_CHANGE_DEACTIVATE, NULL);
}

void acme_accounts_agree(struct admin_request *r)
{
	change(r, ACCOUNT_CHANGE_AGREE, NULL);
}

void acme_accounts_rollover(struct admin_request *r)
{
	const json_t *key = json_object_get(r->input, "key");

	if (key && !json_is_string(key) && !json_is_null(key))
		admin_reply_message(r, 400, "key must be a private key, as PEM or as JWK text");
	else
		change(r, ACCOUNT_CHANGE_KEY, key);
}

void acme_authorities_status(struct admin_request *r)
{
	if (have_acme(r))
		admin_reply(r, 200, json_pack("{s:o}", "data", acme_authorities(r->ctx->acme)));
}
