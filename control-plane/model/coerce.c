/* Form text to typed values (kong-admin-api.md 1.3, coercion table). What cannot be read as the
 * field's type is left as text, which the checks then refuse. */
#include <errno.h>
#include <math.h>

#include "control-plane/model/entity.h"

static json_t *coerce(const struct field *f, json_t *value);

/* Each takes a reference to text and returns one, maybe the same. */
static json_t *coerce_number(json_t *text)
{
	const char *s = json_string_value(text);
	char *end;
	json_t *number;
	double real;

	if (strlen(s) != json_string_length(text) || strspn(s, "+-.0123456789eE") != strlen(s))
		return text;
	errno = 0;
	real = strtod(s, &end);
	if (*end || errno || !isfinite(real))
		return text;
	if (strpbrk(s, ".eE"))
		number = json_real(real);
	else
		number = json_integer(strtoll(s, NULL, 10));
	if (!number)
		return text;
	json_decref(text);
	return number;
}

static json_t *coerce_boolean(json_t *text)
{
	const char *s = json_string_value(text);
	bool yes = strcmp(s, "true") == 0;

	if (!yes && strcmp(s, "false") != 0)
		return text;
	json_decref(text);
	return json_boolean(yes);
}

static json_t *coerce_list(const struct field *f, json_t *value)
{
	json_t *list = value;
	json_t *item;
	size_t i;

	if (json_is_string(value))
		list = json_pack("[o]", value);
	if (!json_is_array(list))
		return list;
	json_array_foreach(list, i, item)
		json_array_set_new(list, i, coerce(f->elements, json_incref(item)));
	return list;
}

static json_t *coerce_map(const struct field *f, json_t *value)
{
	const char *key;
	json_t *item;
	void *next;

	json_object_foreach_safe(value, next, key, item)
		json_object_set_new(value, key, coerce(&f->elements[1], json_incref(item)));
	return value;
}

/* f may follow from other members of object, or of old. */
static void coerce_member(const struct field *f, json_t *object, const json_t *old)
{
	json_t *value = json_object_get(object, f->name);

	if (f->variant) {
		const struct field *shape = f->variant(object);

		if (!shape)
			shape = f->variant(old);
		f = shape ? shape : f;
	}
	if (value)
		json_object_set_new(object, f->name, coerce(f, json_incref(value)));
}

static json_t *coerce_record(const struct field *f, json_t *value)
{
	for (size_t i = 0; i < f->field_count; i++)
		coerce_member(&f->fields[i], value, NULL);
	return value;
}

/* {"id": ""} refers to nothing. */
static json_t *coerce_foreign(json_t *value)
{
	const json_t *id = json_object_get(value, "id");

	if (json_is_string(id) && json_string_length(id) == 0)
		json_object_set_new(value, "id", json_null());
	return value;
}

static json_t *coerce(const struct field *f, json_t *value)
{
	bool text = json_is_string(value);

	if (text && json_string_length(value) == 0) {
		json_decref(value);
		return json_null();
	}
	switch (f->type) {
	case FIELD_INTEGER:
	case FIELD_NUMBER:
	case FIELD_TIMESTAMP:
		return text ? coerce_number(value) : value;
	case FIELD_BOOLEAN:
		return text ? coerce_boolean(value) : value;
	case FIELD_SET:
	case FIELD_ARRAY:
		return coerce_list(f, value);
	case FIELD_MAP:
		return coerce_map(f, value);
	case FIELD_RECORD:
		return coerce_record(f, value);
	case FIELD_FOREIGN:
		return coerce_foreign(value);
	case FIELD_STRING:
	case FIELD_UUID:
		break;
	}
	return value;
}

void entity_coerce_form(const struct entity *t, json_t *input, const json_t *old)
{
	const struct field *f;

	for (size_t i = 0; (f = entity_field_at(t, i)); i++)
		coerce_member(f, input, old);
}
