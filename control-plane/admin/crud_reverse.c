/* What an entity refers to, seen from it: /routes/{r}/service (kong-admin-api.md 1.6).
 *
 *   read the entity ─▶ its reference is set ───▶ the verb on what it refers to
 *                   └▶ unset: PUT creates that and links it in the same transaction; else 404
 */
#include <stdlib.h>

#include "control-plane/admin/crud.h"
#include "control-plane/admin/fault.h"

struct look {
	struct admin_request *r;
	admin_handler set, unset;
};

static void on_child(const struct store_result *res, void *arg)
{
	struct look *s = arg;
	struct admin_request *r = s->r;
	struct look next = *s;
	json_t *row = json_array_get(res->rows, 0);
	const char *id;

	free(s);
	if (!admin_resume(r))
		return;
	if (res->fault != STORE_OK) {
		fault_reply(r, r->child, res);
		return;
	}
	if (!row) {
		admin_reply_message(r, 404, "Not found");
		return;
	}
	id = json_string_value(json_object_get(json_object_get(row, r->via->name), "id"));
	if (!id) {
		r->linked = json_incref(row);
		next.unset(r);
		return;
	}
	r->key = arena_str(exchange_arena(r->x), str_from(id));
	if (r->key.ptr)
		next.set(r);
	else
		fault_internal(r);
}

static void look(struct admin_request *r, admin_handler set, admin_handler unset)
{
	struct look *s;

	if (!crud_key_ok(r, r->child, r->child_key))
		return;
	s = calloc(1, sizeof(*s));
	if (!s) {
		fault_internal(r);
		return;
	}
	*s = (struct look){r, set, unset};
	admin_suspend(r);
	store_get(r->ctx->store, r->child, r->child_key, on_child, s);
}

static void missing(struct admin_request *r)
{
	admin_reply_message(r, 404, "Not found");
}

static void not_allowed(struct admin_request *r)
{
	admin_reply_message(r, 405, "Method not allowed");
}

void crud_reverse_get(struct admin_request *r)
{
	look(r, crud_get, missing);
}

void crud_reverse_put(struct admin_request *r)
{
	look(r, crud_put, crud_put);
}

void crud_reverse_patch(struct admin_request *r)
{
	look(r, crud_patch, missing);
}

void crud_reverse_delete(struct admin_request *r)
{
	look(r, not_allowed, missing);
}
