/* /admin/tokens: tokens are made, listed and revoked. What a token is, is told once, to whoever
 * made it. */
#include <openssl/crypto.h>
#include <stdlib.h>

#include "control-plane/admin/audit.h"
#include "control-plane/admin/fault.h"
#include "control-plane/admin/handlers.h"
#include "control-plane/admin/page.h"
#include "control-plane/admin/token_store.h"
#include "control-plane/model/name.h"

enum { EXPIRES_MAX_S = 3650 * 86400, NAME_MAX_LEN = 128 };

static const char *const roles[] = {"reader", "operator", "admin", NULL};

static int check_name(const json_t *value, struct err *e)
{
	if (json_string_length(value) > NAME_MAX_LEN)
		return err_set(e, ERR_INVALID, "length must be at most %d", NAME_MAX_LEN);
	return name_check(value, e);
}

static const struct field fields[] = {
	{.name = "name", .type = FIELD_STRING, .flags = FIELD_REQUIRED, .check = check_name},
	{.name = "role", .type = FIELD_STRING, .flags = FIELD_REQUIRED, .one_of = roles},
	{.name = "read_keys", .type = FIELD_BOOLEAN, .flags = FIELD_REQUIRED, .fallback = "false"},
	{.name = "expires_in", .type = FIELD_INTEGER, .min = 1, .max = EXPIRES_MAX_S},
};

/* An operator is told apart from an admin by what he may not see. */
static void check(const json_t *token, struct violations *v)
{
	const char *name = json_string_value(json_object_get(token, "role"));
	enum role role;

	if (json_is_true(json_object_get(token, "read_keys")) &&
	    role_parse(str_from(name), &role, NULL) == 0 && role == ROLE_READER)
		violations_add(v, "read_keys", "a reader reads no keys");
}

/* For the checks of bodies only: tokens are no entity of the store. */
static const struct entity body = {
	.name = "admin_tokens",
	.singular = "token",
	.endpoint_key = "name",
	.fields = fields,
	.field_count = array_len(fields),
	.check = check,
	.internal = true,
};

/* --- making --- */

struct making {
	struct admin_request *r;
	struct token token;
	char text[TOKEN_TEXT_SIZE];
	json_t *input; /* checked */
};

static void making_free(struct making *m)
{
	json_decref(m->input);
	OPENSSL_cleanse(m, sizeof(*m));
	free(m);
}

static void reply_made(struct admin_request *r, const json_t *row, const char *token)
{
	json_t *shown = json_copy((json_t *)(uintptr_t)row);
	char *text = NULL;
	struct http_fields extra = {0};

	if (shown && json_object_set_new(shown, "token", json_string(token)) == 0)
		text = json_dumps(shown, JSON_COMPACT);
	json_decref(shown);
	if (!text || http_fields_add(&extra, exchange_arena(r->x), STR("cache-control"),
				     STR("no-store")) < 0) {
		fault_internal(r);
	} else {
		admin_reply_text(r, 201, STR("application/json; charset=utf-8"), str_from(text),
				 &extra);
		OPENSSL_cleanse(text, strlen(text));
	}
	free(text);
}

static void on_made(const struct store_result *res, void *arg)
{
	struct making *m = arg;
	struct admin_request *r = m->r;
	const char *name = json_string_value(json_object_get(m->input, "name"));

	if (!admin_resume(r)) {
		making_free(m);
		return;
	}
	if (res->fault == STORE_UNIQUE)
		fault_code(r, 409, 5, "unique constraint violation",
			   json_pack("{s:s}", "name", name),
			   "UNIQUE violation detected on '{name=\"%s\"}'", name);
	else if (res->fault != STORE_OK)
		fault_reply(r, &body, res);
	else
		reply_made(r, json_array_get(res->rows, 0), m->text);
	making_free(m);
}

static void make(struct making *m)
{
	struct admin_request *r = m->r;
	struct token_spec spec = {
		.name = json_string_value(json_object_get(m->input, "name")),
		.read_keys = json_is_true(json_object_get(m->input, "read_keys")),
		.expires_s = (uint64_t)json_integer_value(json_object_get(m->input, "expires_in")),
	};
	struct store_note note;
	struct err e = ERR_INIT;

	if (role_parse(str_from(json_string_value(json_object_get(m->input, "role"))), &spec.role,
		       &e) < 0 ||
	    token_make(&m->token, m->text, &e) < 0) {
		making_free(m);
		fault_internal(r);
		return;
	}
	/* An admin reads them anyway: the list says so. */
	spec.read_keys = spec.read_keys || spec.role == ROLE_ADMIN;
	admin_suspend(r);
	token_store_add(r->ctx->store, &m->token, &spec,
			audit_note(r, &note, TOKEN_STORE_KIND, m->token.id), on_made, m);
}

void tokens_create(struct admin_request *r)
{
	struct making *m = calloc(1, sizeof(*m));
	struct violations v;

	if (!m) {
		fault_internal(r);
		return;
	}
	m->r = r;
	if (r->form)
		entity_coerce_form(&body, r->input, NULL);
	violations_init(&v);
	m->input = entity_create(&body, r->input, 0, &v);
	if (m->input) {
		make(m);
	} else {
		making_free(m);
		fault_violations(r, &v);
	}
	violations_deinit(&v);
}

/* --- looking --- */

static void on_page(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;

	if (!admin_resume(r))
		return;
	if (res->fault != STORE_OK)
		fault_reply(r, &body, res);
	else
		page_reply(r, res, "id", NULL);
}

void tokens_list(struct admin_request *r)
{
	json_t *offset = NULL;

	if (!page_size(r, &r->page_size) || !page_offset(r, 1, &offset))
		return;
	admin_suspend(r);
	token_store_list(r->ctx->store, json_string_value(json_array_get(offset, 0)),
			 r->page_size + 1, on_page, r);
	json_decref(offset);
}

static void on_one(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;

	if (!admin_resume(r))
		return;
	if (res->fault != STORE_OK)
		fault_reply(r, &body, res);
	else if (json_array_size(res->rows) == 0)
		admin_reply_message(r, 404, "Not found");
	else
		admin_reply(r, 200, json_incref(json_array_get(res->rows, 0)));
}

void tokens_get(struct admin_request *r)
{
	admin_suspend(r);
	token_store_get(r->ctx->store, r->segments[2], on_one, r);
}

/* --- revoking --- */

static void on_revoked(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;

	if (!admin_resume(r))
		return;
	/* Unlike entities: a name that was mistyped must not look revoked. */
	if (res->fault != STORE_OK)
		fault_reply(r, &body, res);
	else
		admin_reply_empty(r, 204);
}

void tokens_revoke(struct admin_request *r)
{
	struct txn *t = audit_begin(r);
	struct str key = r->segments[2];

	if (!t)
		return;
	token_store_remove(t, key);
	audit_about(r, t, TOKEN_STORE_KIND, arena_str(exchange_arena(r->x), key).ptr, NULL);
	admin_suspend(r);
	txn_commit(t, on_revoked, r);
}
