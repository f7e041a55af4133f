/* The registry, and whole entities: create, merge, show. */
#include "control-plane/model/entity.h"

#include <stdio.h>

#include "common/core/codec.h"
#include "control-plane/model/validate.h"

static int check_tag(const json_t *value, struct err *e);

static const struct field tag_elements = {
	.name = "tag",
	.type = FIELD_STRING,
	.flags = FIELD_REQUIRED,
	.check = check_tag,
};

/* tags is last: an entity without tags has one less. */
static const struct field common_fields[] = {
	{.name = "id", .type = FIELD_UUID, .flags = FIELD_AUTO | FIELD_UNIQUE},
	{.name = "created_at", .type = FIELD_TIMESTAMP, .flags = FIELD_AUTO},
	{.name = "updated_at", .type = FIELD_TIMESTAMP, .flags = FIELD_AUTO},
	{.name = "tags", .type = FIELD_SET, .elements = &tag_elements},
};

static const struct field precise_fields[] = {
	{.name = "id", .type = FIELD_UUID, .flags = FIELD_AUTO | FIELD_UNIQUE},
	{.name = "created_at", .type = FIELD_TIMESTAMP, .flags = FIELD_AUTO | FIELD_PRECISE},
	{.name = "updated_at", .type = FIELD_TIMESTAMP, .flags = FIELD_AUTO | FIELD_PRECISE},
	{.name = "tags", .type = FIELD_SET, .elements = &tag_elements},
};

/* References before referrers. */
static const struct entity *const entities[] = {
	&entity_certificates,
	&entity_snis,
	&entity_ca_certificates,
	&entity_services,
	&entity_routes,
	&entity_upstreams,
	&entity_targets,
	&entity_consumers,
	&entity_mtls_auth_credentials,
	&entity_header_cert_auth_credentials,
	&entity_plugins,
	&entity_acme_authorities,
	&entity_acme_challenges,
	&entity_ticket_secrets,
};

const struct entity *entity_at(size_t i)
{
	return i < array_len(entities) ? entities[i] : NULL;
}

const struct entity *entity_find(struct str name)
{
	for (size_t i = 0; i < array_len(entities); i++)
		if (str_eq(str_from(entities[i]->name), name))
			return entities[i];
	return NULL;
}

const char *entity_path(const struct entity *t, bool below)
{
	if (below && t->path_below)
		return t->path_below;
	return t->path ? t->path : t->name;
}

const struct entity *entity_of_path(struct str segment, bool below)
{
	for (size_t i = 0; i < array_len(entities); i++)
		if (str_eq(str_from(entity_path(entities[i], false)), segment) ||
		    (below && str_eq(str_from(entity_path(entities[i], true)), segment)))
			return entities[i];
	return NULL;
}

const struct field *entity_field_at(const struct entity *t, size_t i)
{
	size_t common = array_len(common_fields) - (t->has_tags ? 0 : 1);

	if (i < common)
		return t->precise_times ? &precise_fields[i] : &common_fields[i];
	return i - common < t->field_count ? &t->fields[i - common] : NULL;
}

const struct field *entity_field(const struct entity *t, struct str name)
{
	const struct field *f;

	for (size_t i = 0; (f = entity_field_at(t, i)); i++)
		if (str_eq(str_from(f->name), name))
			return f;
	return NULL;
}

const struct field *entity_reference(const struct entity *t, const struct entity *to)
{
	for (size_t i = 0; i < t->field_count; i++)
		if (t->fields[i].type == FIELD_FOREIGN &&
		    strcmp(t->fields[i].reference, to->name) == 0)
			return &t->fields[i];
	return NULL;
}

/* Printable ASCII except the separators of the tags filter; bytes above it are UTF-8, because
 * jansson took them (kong-admin-api.md 1.8). */
static int check_tag(const json_t *value, struct err *e)
{
	const char *text = json_string_value(value);

	for (const char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f || *c == ',' || *c == '/')
			return err_set(e, ERR_INVALID,
				       "invalid tag '%s': expected printable ascii (except `,` and "
				       "`/`) or valid utf-8 sequences",
				       text);
	return 0;
}

/* What an AUTO field holds when it was not given. */
static json_t *auto_value(const struct field *f, int64_t now_ms, struct violations *v)
{
	char id[UUID_TEXT_SIZE];
	json_t *value = NULL;

	if (f->flags & FIELD_PRECISE)
		value = json_real((double)now_ms / 1000);
	else if (f->type == FIELD_TIMESTAMP)
		value = json_integer(now_ms / 1000);
	else if (uuid_make(id, NULL) == 0)
		value = json_string(id);
	if (!value)
		v->no_memory = true;
	return value;
}

static bool is_updated_at(const struct field *f)
{
	return strcmp(f->name, "updated_at") == 0;
}

static json_t *build_field(const struct field *f, const json_t *input, int64_t now_ms,
			   struct violations *v)
{
	const json_t *given = json_object_get(input, f->name);
	struct path p = {.count = 0};

	/* updated_at is always made and never looked at (kong-admin-api.md 1.5). */
	if (is_updated_at(f) || ((f->flags & FIELD_AUTO) && (!given || json_is_null(given))))
		return auto_value(f, now_ms, v);
	if (f->variant && f->variant(input))
		f = f->variant(input);
	path_push(&p, (struct step){str_from(f->name), 0});
	return field_normalise(f, given, &p, v);
}

static void refuse_unknown(const struct entity *t, const json_t *input, struct violations *v)
{
	json_t *o = (json_t *)(uintptr_t)input;

	for (void *it = json_object_iter(o); it; it = json_object_iter_next(o, it)) {
		struct path p = {.count = 0};
		struct str name = str_from(json_object_iter_key(it));

		if (entity_field(t, name))
			continue;
		path_push(&p, (struct step){name, 0});
		violations_add_at(v, &p, "unknown field");
	}
}

static void build_fields(const struct entity *t, const json_t *input, int64_t now_ms, json_t *out,
			 struct violations *v)
{
	const struct field *f;

	for (size_t i = 0; (f = entity_field_at(t, i)); i++) {
		json_t *value = build_field(f, input, now_ms, v);

		if (value && json_object_set_new(out, f->name, value) < 0)
			v->no_memory = true;
		if (f->flags & FIELD_WRITE_ONLY)
			json_object_del(out, f->name);
	}
}

/* All fields of t out of input, checked. */
static json_t *build(const struct entity *t, const json_t *input, int64_t now_ms,
		     struct violations *v)
{
	json_t *out = json_object();

	if (!out) {
		v->no_memory = true;
		return NULL;
	}
	build_fields(t, input, now_ms, out, v);
	refuse_unknown(t, input, v);
	if (!violations_any(v) && t->check)
		t->check(out, v);
	if (!violations_any(v))
		return out;
	json_decref(out);
	return NULL;
}

/* A copy of input in which shorthands stand in long form; NULL with violations. */
static json_t *prepare(const struct entity *t, const json_t *input, const json_t *old,
		       struct violations *v)
{
	json_t *copy = json_copy((json_t *)(uintptr_t)input);

	if (!copy)
		v->no_memory = true;
	else if (t->prepare)
		t->prepare(copy, old, v);
	if (!violations_any(v))
		return copy;
	json_decref(copy);
	return NULL;
}

json_t *entity_create(const struct entity *t, const json_t *input, int64_t now_ms,
		      struct violations *v)
{
	json_t *prepared = prepare(t, input, NULL, v);
	json_t *out = prepared ? build(t, prepared, now_ms, v) : NULL;

	json_decref(prepared);
	return out;
}

/* Records merge at any depth; every other value of patch takes the place of the old one. New
 * reference. */
static json_t *merge_value(const struct field *f, json_t *old, json_t *patch)
{
	const char *key;
	json_t *merged, *value;

	if (f->type != FIELD_RECORD || !json_is_object(old) || !json_is_object(patch))
		return json_incref(patch);
	merged = json_copy(old);
	json_object_foreach(patch, key, value)
	{
		const struct field *inner = NULL;

		for (size_t i = 0; i < f->field_count; i++)
			if (strcmp(f->fields[i].name, key) == 0) /* not secret */
				inner = &f->fields[i];
		if (inner)
			value = merge_value(inner, json_object_get(old, key), value);
		else
			json_incref(value);
		json_object_set_new(merged, key, value);
	}
	return merged;
}

/* Old values under what patch says, in merged, which holds a copy of patch. */
static void merge(const struct entity *t, const json_t *old, json_t *merged)
{
	const struct field *f;

	for (size_t i = 0; (f = entity_field_at(t, i)); i++) {
		const struct field *shape = f;
		json_t *before = json_object_get(old, f->name);
		json_t *given = json_object_get(merged, f->name);

		if (f->variant && f->variant(merged))
			shape = f->variant(merged);
		/* The id in a PATCH body is skipped (kong-admin-api.md 1.5). */
		if (strcmp(f->name, "id") == 0)
			given = NULL;
		if (given && before)
			json_object_set_new(merged, f->name, merge_value(shape, before, given));
		else if (before)
			json_object_set(merged, f->name, before);
	}
}

json_t *entity_merge(const struct entity *t, const json_t *old, const json_t *patch, int64_t now_ms,
		     struct violations *v)
{
	json_t *merged;
	json_t *out = NULL;

	v->updating = true;
	merged = prepare(t, patch, old, v);
	if (merged) {
		merge(t, old, merged);
		out = build(t, merged, now_ms, v);
	}
	json_decref(merged);
	return out;
}

static void refuse_members(const struct field *record, const json_t *value, struct violations *v)
{
	for (size_t i = 0; i < record->field_count; i++) {
		const struct field *f = &record->fields[i];
		const json_t *held = json_object_get(value, f->name);
		char path[128];

		if (!(f->flags & FIELD_TRANSIENT) || !held || json_is_null(held))
			continue;
		snprintf(path, sizeof(path), "%s.%s", record->name, f->name);
		violations_add(v, path, "belongs into 'certificates', under the plugin's id");
	}
}

void entity_refuse_transient(const struct entity *t, const json_t *row, struct violations *v)
{
	const struct field *f;

	for (size_t i = 0; (f = entity_field_at(t, i)); i++) {
		const json_t *value = json_object_get(row, f->name);

		if (f->variant)
			f = f->variant(row);
		if (f && f->type == FIELD_RECORD)
			refuse_members(f, value, v);
	}
}

/* A record without its secrets: a new reference. */
static json_t *hide_secrets(const struct field *f, json_t *value)
{
	json_t *out = json_is_object(value) ? json_copy(value) : json_incref(value);

	for (size_t i = 0; json_is_object(out) && i < f->field_count; i++) {
		const struct field *inner = &f->fields[i];
		json_t *held = json_object_get(out, inner->name);

		if (held && (inner->flags & FIELD_SECRET))
			json_object_set_new(out, inner->name, json_null());
		else if (held && inner->type == FIELD_RECORD)
			json_object_set_new(out, inner->name, hide_secrets(inner, held));
	}
	return out;
}

/* What is shown of one field: a new reference. */
static json_t *show_field(const struct field *f, const json_t *stored, bool show_secrets)
{
	json_t *value = json_object_get(stored, f->name);

	if (!value || ((f->flags & FIELD_SECRET) && !show_secrets))
		return json_null();
	if (f->type != FIELD_RECORD || show_secrets)
		return json_incref(value);
	if (f->variant && f->variant(stored))
		f = f->variant(stored);
	return hide_secrets(f, value);
}

json_t *entity_show(const struct entity *t, const json_t *stored, bool show_secrets)
{
	json_t *out = json_object();
	const struct field *f;

	for (size_t i = 0; out && (f = entity_field_at(t, i)); i++) {
		if (f->flags & FIELD_WRITE_ONLY)
			continue;
		if (json_object_set_new(out, f->name, show_field(f, stored, show_secrets)) < 0) {
			json_decref(out);
			return NULL;
		}
	}
	return out;
}
