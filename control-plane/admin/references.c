/* References by name: one look-up after the other, then the answer or the next handler. */
#include "control-plane/admin/references.h"

#include <stdlib.h>

#include "common/core/codec.h"
#include "control-plane/admin/fault.h"

struct resolve {
	struct admin_request *r;
	admin_handler next;
	size_t at;	     /* field that is looked at */
	const char *key;     /* its unique field that is looked up */
	json_t *unresolved;  /* tree of texts; NULL: none */
	struct buf messages; /* "service.name: text; ..." */
	size_t count;
};

static void resolve_next(struct resolve *s);

static void resolve_free(struct resolve *s)
{
	json_decref(s->unresolved);
	buf_deinit(&s->messages);
	free(s);
}

static bool is_id(const json_t *value)
{
	return json_is_string(value) &&
	       uuid_is((struct str){json_string_value(value), json_string_length(value)});
}

/* The unique field by which `given` names an entity of t; NULL: by id, or by nothing. */
static const char *key_of(const struct entity *t, const json_t *given)
{
	const json_t *id = json_object_get(given, "id");

	/* A bad id is for the schema to refuse. */
	if (!json_is_object(given) || (id && !json_is_null(id)))
		return NULL;
	if (t->endpoint_key && json_is_string(json_object_get(given, t->endpoint_key)))
		return t->endpoint_key;
	for (size_t i = 0; i < t->field_count; i++)
		if ((t->fields[i].flags & FIELD_UNIQUE) &&
		    json_is_string(json_object_get(given, t->fields[i].name)))
			return t->fields[i].name;
	return NULL;
}

static void note_unresolved(struct resolve *s, const struct field *f, const json_t *name)
{
	json_t *text = json_sprintf("the foreign key cannot be resolved with '{%s=\"%s\"}' for an "
				    "existing '%s' entity",
				    s->key, json_string_value(name), f->reference);

	if (!s->unresolved)
		s->unresolved = json_object();
	if (buf_addf(&s->messages, NULL, "%s%s.%s: %s", s->count ? "; " : "", f->name, s->key,
		     text ? json_string_value(text) : "") == 0)
		s->count++;
	json_object_set_new(s->unresolved, f->name, json_pack("{s:o}", s->key, text));
}

static void on_found(const struct store_result *res, void *arg)
{
	struct resolve *s = arg;
	struct admin_request *r = s->r;
	const struct field *f = &r->entity->fields[s->at];
	json_t *given = json_object_get(r->input, f->name);
	json_t *id;

	if (!admin_resume(r)) {
		resolve_free(s);
		return;
	}
	if (res->fault != STORE_OK) {
		fault_reply(r, r->entity, res);
		resolve_free(s);
		return;
	}
	id = json_object_get(json_array_get(res->rows, 0), "id");
	if (is_id(id))
		json_object_set_new(r->input, f->name, json_pack("{s:O}", "id", id));
	else
		note_unresolved(s, f, json_object_get(given, s->key));
	s->at++;
	resolve_next(s);
}

static void finish(struct resolve *s)
{
	struct admin_request *r = s->r;
	admin_handler next = s->next;
	bool plural = s->count > 1;

	if (!s->unresolved) {
		resolve_free(s);
		next(r);
		return;
	}
	if (plural)
		fault_code(r, 400, 13, "foreign keys unresolved", json_incref(s->unresolved),
			   "%zu foreign keys unresolved (%s)", s->count, s->messages.data);
	else
		fault_code(r, 400, 13, "foreign keys unresolved", json_incref(s->unresolved),
			   "foreign key unresolved (%s)", s->messages.data ? s->messages.data : "");
	resolve_free(s);
}

static void resolve_next(struct resolve *s)
{
	struct admin_request *r = s->r;

	for (; s->at < r->entity->field_count; s->at++) {
		const struct field *f = &r->entity->fields[s->at];
		const json_t *given = json_object_get(r->input, f->name), *name;
		const struct entity *to;

		if (f->type != FIELD_FOREIGN)
			continue;
		to = entity_find(str_from(f->reference));
		s->key = to ? key_of(to, given) : NULL;
		if (!s->key)
			continue;
		name = json_object_get(given, s->key);
		admin_suspend(r);
		store_find(r->ctx->store, to,
			   &(struct store_key){
				   .field = s->key,
				   .value = {json_string_value(name), json_string_length(name)},
			   },
			   on_found, s);
		return;
	}
	finish(s);
}

void references_resolve(struct admin_request *r, admin_handler next)
{
	struct resolve *s = calloc(1, sizeof(*s));

	if (!s) {
		fault_internal(r);
		return;
	}
	s->r = r;
	s->next = next;
	resolve_next(s);
}
