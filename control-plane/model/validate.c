/* One value against one field. Texts are Kong's (kong-admin-api.md 1.10). */
#include "control-plane/model/validate.h"

#include <math.h>
#include <stdlib.h>

#include "common/core/codec.h"
#include "control-plane/model/entity.h"

static const char *const type_texts[] = {
	[FIELD_STRING] = "a string",  [FIELD_INTEGER] = "an integer",
	[FIELD_NUMBER] = "a number",  [FIELD_BOOLEAN] = "a boolean",
	[FIELD_UUID] = "a string",    [FIELD_TIMESTAMP] = "an integer",
	[FIELD_FOREIGN] = "a record", [FIELD_SET] = "a set",
	[FIELD_ARRAY] = "an array",   [FIELD_MAP] = "a map",
	[FIELD_RECORD] = "a record",
};

static json_t *refuse_type(const struct field *f, const struct path *p, struct violations *v)
{
	enum field_type shown = f->flags & FIELD_PRECISE ? FIELD_NUMBER : f->type;

	violations_add_at(v, p, "expected %s", type_texts[shown]);
	return NULL;
}

static json_t *no_memory(struct violations *v)
{
	v->no_memory = true;
	return NULL;
}

static bool one_of(const struct field *f, const char *text)
{
	for (const char *const *w = f->one_of; *w; w++)
		if (strcmp(*w, text) == 0)
			return true;
	return false;
}

static void refuse_one_of(const struct field *f, const struct path *p, struct violations *v)
{
	struct buf b = BUF_INIT;

	for (const char *const *w = f->one_of; *w; w++)
		if (buf_addf(&b, NULL, "%s%s", b.len ? ", " : "", *w) < 0)
			v->no_memory = true;
	violations_add_at(v, p, "expected one of: %s", b.data ? b.data : "");
	buf_deinit(&b);
}

static json_t *normalise_string(const struct field *f, const json_t *given, struct path *p,
				struct violations *v)
{
	size_t min = f->flags & FIELD_EMPTY ? 0 : f->len_min ? f->len_min : 1;
	const char *text = json_string_value(given);

	if (!text)
		return refuse_type(f, p, v);
	/* PostgreSQL's text cannot hold NUL. */
	if (strlen(text) != json_string_length(given))
		violations_add_at(v, p, "must not contain NUL bytes");
	else if (json_string_length(given) < min)
		violations_add_at(v, p, "length must be at least %zu", min);
	else if ((f->flags & FIELD_UNIQUE) && json_string_length(given) > FIELD_UNIQUE_MAX)
		violations_add_at(v, p, "length must be at most %d", FIELD_UNIQUE_MAX);
	else if (f->one_of && !one_of(f, text))
		refuse_one_of(f, p, v);
	return json_copy((json_t *)(uintptr_t)given);
}

/* A number without a fraction, also when it is written 80.0. */
static bool integer_of(const json_t *given, long long *out)
{
	double real = json_real_value(given);

	if (json_is_integer(given)) {
		*out = json_integer_value(given);
		return true;
	}
	if (!json_is_real(given) || real != floor(real) || fabs(real) > 9007199254740992.0)
		return false;
	*out = (long long)real;
	return true;
}

static bool in_range(const struct field *f, double n)
{
	return (!f->min && !f->max) || (n >= (double)f->min && n <= (double)f->max);
}

static json_t *normalise_integer(const struct field *f, const json_t *given, struct path *p,
				 struct violations *v)
{
	long long n;

	if (!integer_of(given, &n))
		return refuse_type(f, p, v);
	if (!in_range(f, (double)n))
		violations_add_at(v, p, "value should be between %lld and %lld", f->min, f->max);
	return json_integer(n);
}

static json_t *normalise_timestamp(const struct field *f, const json_t *given, struct path *p,
				   struct violations *v)
{
	/* Year 9999: PostgreSQL and all clients can show it. */
	const long long timestamp_max = 253402300799;
	double real = json_number_value(given);
	long long n = 0;

	if (f->flags & FIELD_PRECISE ? !json_is_number(given) : !integer_of(given, &n))
		return refuse_type(f, p, v);
	if (!(real > 0 && real <= (double)timestamp_max))
		violations_add_at(v, p, "expected a valid timestamp");
	return f->flags & FIELD_PRECISE ? json_real(real) : json_integer(n);
}

static json_t *normalise_number(const struct field *f, const json_t *given, struct path *p,
				struct violations *v)
{
	if (!json_is_number(given))
		return refuse_type(f, p, v);
	if (!in_range(f, json_number_value(given)))
		violations_add_at(v, p, "value should be between %lld and %lld", f->min, f->max);
	return json_copy((json_t *)(uintptr_t)given);
}

static json_t *normalise_boolean(const struct field *f, const json_t *given, struct path *p,
				 struct violations *v)
{
	if (!json_is_boolean(given))
		return refuse_type(f, p, v);
	return json_boolean(json_is_true(given));
}

static struct str text_str(const json_t *given)
{
	return (struct str){json_string_value(given), json_string_length(given)};
}

/* Lower case, as PostgreSQL shows it. given is a text that uuid_is accepts. */
static json_t *uuid_json(struct str s)
{
	unsigned char bytes[16];
	char text[UUID_TEXT_SIZE];

	uuid_bytes(s, bytes);
	uuid_text(bytes, text);
	return json_string(text);
}

static json_t *normalise_uuid(const struct field *f, const json_t *given, struct path *p,
			      struct violations *v)
{
	if (!json_is_string(given))
		return refuse_type(f, p, v);
	if (!uuid_is(text_str(given))) {
		violations_add_at(v, p, "expected a valid UUID");
		return NULL;
	}
	return uuid_json(text_str(given));
}

/* {"id": uuid}, or {"name": "x"} by the endpoint key of what is referenced, for the caller to
 * resolve. Clients send whole entities: further keys are skipped (kong-admin-api.md 1.9). */
static json_t *normalise_foreign(const struct field *f, const json_t *given, struct path *p,
				 struct violations *v)
{
	const struct entity *to = entity_find(str_from(f->reference));
	const json_t *id = json_object_get(given, "id");
	const json_t *name = NULL;

	if (!json_is_object(given))
		return refuse_type(f, p, v);
	if (to && to->endpoint_key)
		name = json_object_get(given, to->endpoint_key);
	if (json_is_string(id) && uuid_is(text_str(id)))
		return json_pack("{s:o}", "id", uuid_json(text_str(id)));
	if (id && !json_is_null(id)) {
		path_push(p, (struct step){STR("id"), 0});
		violations_add_at(v, p, "expected a valid UUID");
		path_pop(p);
		return NULL;
	}
	if (json_is_string(name))
		return json_pack("{s:O}", to->endpoint_key, name);
	path_push(p, (struct step){STR("id"), 0});
	violations_add_at(v, p, "missing primary key");
	path_pop(p);
	return NULL;
}

/* Whether a set's element was seen before; notes it. Elements are looked up by their text, so that
 * a long list from outside costs no more than its length. */
static bool seen_before(json_t *seen, const json_t *value, struct violations *v)
{
	char *dumped =
		json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_SORT_KEYS);
	const char *text = json_is_string(value) ? json_string_value(value) : dumped;
	bool known = text && json_object_get(seen, text);

	if (!known && (!text || json_object_set_new(seen, text, json_true()) < 0))
		v->no_memory = true;
	free(dumped);
	return known;
}

static void list_add(const struct field *f, json_t *out, json_t *seen, json_t *value,
		     struct violations *v)
{
	if (f->type == FIELD_SET && seen_before(seen, value, v))
		json_decref(value);
	else if (json_array_append_new(out, value) < 0)
		v->no_memory = true;
}

static json_t *normalise_list(const struct field *f, const json_t *given, struct path *p,
			      struct violations *v)
{
	const json_t *item;
	json_t *out, *seen;
	size_t i;

	if (!json_is_array(given))
		return refuse_type(f, p, v);
	out = json_array();
	seen = json_object();
	if (!out || !seen)
		v->no_memory = true;
	if (json_array_size(given) < f->len_min)
		violations_add_at(v, p, "length must be at least %zu", f->len_min);
	json_array_foreach(given, i, item)
	{
		json_t *value;

		path_push(p, (struct step){STR_NONE, i + 1});
		value = field_normalise(f->elements, item, p, v);
		path_pop(p);
		if (value)
			list_add(f, out, seen, value, v);
	}
	json_decref(seen);
	return out;
}

static json_t *normalise_map(const struct field *f, const json_t *given, struct path *p,
			     struct violations *v)
{
	json_t *object = (json_t *)(uintptr_t)given;
	json_t *out;

	if (!json_is_object(given))
		return refuse_type(f, p, v);
	out = json_object();
	if (!out)
		return no_memory(v);
	for (void *it = json_object_iter(object); it; it = json_object_iter_next(object, it)) {
		const char *key = json_object_iter_key(it);
		json_t *key_json = json_string(key);
		json_t *value;

		path_push(p, (struct step){str_from(key), 0});
		json_decref(field_normalise(&f->elements[0], key_json, p, v));
		value = field_normalise(&f->elements[1], json_object_iter_value(it), p, v);
		path_pop(p);
		json_decref(key_json);
		if (value && json_object_set_new(out, key, value) < 0)
			v->no_memory = true;
	}
	return out;
}

/* Says "unknown field" for each key of object that none of the n fields is named. */
static void refuse_unknown(const struct field *fields, size_t n, const json_t *object,
			   struct path *p, struct violations *v)
{
	json_t *o = (json_t *)(uintptr_t)object;

	for (void *it = json_object_iter(o); it; it = json_object_iter_next(o, it)) {
		const char *key = json_object_iter_key(it);
		size_t i = 0;

		while (i < n && strcmp(fields[i].name, key) != 0) /* not secret */
			i++;
		if (i < n)
			continue;
		path_push(p, (struct step){str_from(key), 0});
		violations_add_at(v, p, "unknown field");
		path_pop(p);
	}
}

static json_t *normalise_record(const struct field *f, const json_t *given, struct path *p,
				struct violations *v)
{
	json_t *out;

	if (!json_is_object(given))
		return refuse_type(f, p, v);
	out = json_object();
	if (!out)
		return no_memory(v);
	for (size_t i = 0; i < f->field_count; i++) {
		const struct field *inner = &f->fields[i];
		json_t *value;

		path_push(p, (struct step){str_from(inner->name), 0});
		value = field_normalise(inner, json_object_get(given, inner->name), p, v);
		path_pop(p);
		if (value && json_object_set_new(out, inner->name, value) < 0)
			v->no_memory = true;
	}
	refuse_unknown(f->fields, f->field_count, given, p, v);
	return out;
}

static json_t *(*const normalisers[])(const struct field *f, const json_t *given, struct path *p,
				      struct violations *v) = {
	[FIELD_STRING] = normalise_string,   [FIELD_INTEGER] = normalise_integer,
	[FIELD_NUMBER] = normalise_number,   [FIELD_BOOLEAN] = normalise_boolean,
	[FIELD_UUID] = normalise_uuid,	     [FIELD_TIMESTAMP] = normalise_timestamp,
	[FIELD_FOREIGN] = normalise_foreign, [FIELD_SET] = normalise_list,
	[FIELD_ARRAY] = normalise_list,	     [FIELD_MAP] = normalise_map,
	[FIELD_RECORD] = normalise_record,
};

/* What stands for an absent value: the default; an empty record, whose own defaults then apply;
 * NULL: nothing. */
static json_t *default_of(const struct field *f, struct violations *v)
{
	json_t *value;

	if (f->fallback) {
		value = json_loads(f->fallback, JSON_DECODE_ANY, NULL);
		return value ? value : no_memory(v);
	}
	if (f->type == FIELD_RECORD && (f->flags & FIELD_REQUIRED))
		return json_object();
	return NULL;
}

json_t *field_normalise(const struct field *f, const json_t *given, struct path *p,
			struct violations *v)
{
	struct err e = ERR_INIT;
	size_t before = v->count;
	json_t *fallback = given ? NULL : default_of(f, v);
	const json_t *value = given ? given : fallback;
	json_t *out;

	if (!value || json_is_null(value)) {
		if (f->flags & FIELD_REQUIRED)
			violations_add_at(v, p, "required field missing");
		json_decref(fallback);
		return json_null();
	}
	out = normalisers[f->type](f, value, p, v);
	/* The field's own check sees values whose type and elements are right. */
	if (v->count == before) {
		if (!out)
			v->no_memory = true;
		else if (f->check && f->check(out, &e) < 0)
			violations_add_at(v, p, "%s", e.message);
	}
	json_decref(fallback);
	return out;
}
