#include "control-plane/admin/audit.h"

#include "control-plane/admin/fault.h"

/* --- notes --- */

const struct store_note *audit_note(struct admin_request *r, struct store_note *note,
				    const char *kind, const char *id)
{
	const struct http_request *q = exchange_request(r->x);
	struct arena *a = exchange_arena(r->x);

	if (!r->ctx->conf.audit.on)
		return NULL;
	*note = (struct store_note){
		.actor = r->who.name,
		.actor_kind = r->who.kind,
		.address = r->address,
		.method = arena_str(a, q->method).ptr,
		.path = arena_str(a, q->path).ptr,
		.kind = kind,
		.entity = id,
	};
	return note;
}

void audit_about(struct admin_request *r, struct txn *t, const char *kind, const char *id,
		 json_t *fields)
{
	struct store_note note;

	if (audit_note(r, &note, kind, id)) {
		note.fields = fields;
		txn_note(t, &note);
	}
	json_decref(fields);
}

struct txn *audit_begin(struct admin_request *r)
{
	struct txn *t = txn_create(r->ctx->store, NULL);

	if (t)
		audit_about(r, t, NULL, NULL, NULL);
	else if (store_read_only(r->ctx->store))
		fault_read_only(r, r->entity);
	else
		fault_internal(r);
	return t;
}

/* Absent is the same as null. */
static bool differs(const json_t *a, const json_t *b)
{
	if (!a || json_is_null(a))
		return b && !json_is_null(b);
	return !b || !json_equal(a, b);
}

static json_t *changed_fields(const struct admin_request *r, const struct entity *e,
			      const json_t *old, const json_t *row)
{
	json_t *names = json_array();
	const struct field *f;

	for (size_t i = 0; (f = entity_field_at(e, i)); i++) {
		const json_t *value = json_object_get(row, f->name);
		bool changed;

		/* Time stamps that follow from the write say nothing. */
		if (old)
			changed = !(f->flags & FIELD_AUTO) &&
				  differs(json_object_get(old, f->name), value);
		else
			changed = json_object_get(r->input, f->name) != NULL;
		if (changed)
			json_array_append_new(names, json_string(f->name));
	}
	return names;
}

void audit_entity(struct admin_request *r, struct txn *t, const struct entity *e, const json_t *old,
		  const json_t *row)
{
	const char *id = json_string_value(json_object_get(row ? row : old, "id"));

	audit_about(r, t, e->name, id, row ? changed_fields(r, e, old, row) : NULL);
}
