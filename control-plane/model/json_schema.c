#include "control-plane/model/json_schema.h"

#include "control-plane/model/host.h"
#include "control-plane/model/name.h"
#include "control-plane/model/path.h"

static json_t *schema_of(const struct field *f, enum json_schema_use use);

int json_schema_name(struct buf *out, const char *thing, enum json_schema_use use, struct err *e)
{
	static const char *const ends[JSON_SCHEMA_USES] = {"", ".whole", ".change"};

	return buf_addf(out, e, "%s%s", thing, ends[use]);
}

/* Fails as a whole: sets into *o, which becomes NULL. Takes the reference to value. */
static void put(json_t **o, const char *name, json_t *value)
{
	if (*o && json_object_set_new(*o, name, value) == 0)
		return;
	if (!*o)
		json_decref(value);
	json_decref(*o);
	*o = NULL;
}

/* --- values --- */

/* What a check asks for, where a few words say it. */
static const char *words_of(const struct field *f)
{
	static const struct {
		field_check check;
		const char *words;
	} checks[] = {
		{host_check, "a hostname or an address, without a port"},
		{host_check_wildcard, "a hostname; * may be its first or last character"},
		{host_check_route, "a hostname; * may be its first or last label; maybe a port"},
		{host_check_target, "a hostname or an address, maybe a port"},
		{host_check_upstream, "a hostname, no address"},
		{host_check_ip_or_cidr, "an address or a range of addresses"},
		{name_check, "ASCII letters, digits, . - _ ~ and any character beyond ASCII"},
		{name_check_header, "letters, digits, _ and -"},
		{name_check_cookie, "letters, digits, _ and -"},
		{path_check, "begins with /, no empty segments"},
		{path_check_route, "begins with /, or with ~ as a regular expression"},
	};

	for (size_t i = 0; f->check && i < array_len(checks); i++)
		if (checks[i].check == f->check)
			return checks[i].words;
	return NULL;
}

static json_t *text_schema(const struct field *f)
{
	json_t *out = json_pack("{s:s, s:I}", "type", "string", "minLength",
				f->flags & FIELD_EMPTY ? (json_int_t)0
						       : (json_int_t)(f->len_min ? f->len_min : 1));
	json_t *values = f->one_of ? json_array() : NULL;

	for (size_t i = 0; values && f->one_of[i]; i++)
		json_array_append_new(values, json_string(f->one_of[i]));
	if (values)
		put(&out, "enum", values);
	if (f->flags & FIELD_UNIQUE)
		put(&out, "maxLength", json_integer(FIELD_UNIQUE_MAX));
	return out;
}

static json_t *number_schema(const struct field *f)
{
	json_t *out = json_pack("{s:s}", "type", f->type == FIELD_INTEGER ? "integer" : "number");

	if (f->min || f->max) {
		put(&out, "minimum", json_integer(f->min));
		put(&out, "maximum", json_integer(f->max));
	}
	return out;
}

static json_t *boolean_schema(void)
{
	return json_pack("{s:s}", "type", "boolean");
}

static json_t *uuid_schema(void)
{
	return json_pack("{s:s, s:s}", "type", "string", "format", "uuid");
}

static json_t *time_schema(const struct field *f)
{
	bool precise = f->flags & FIELD_PRECISE;

	return json_pack("{s:s, s:s}", "type", precise ? "number" : "integer", "description",
			 precise ? "seconds since 1970, with milliseconds" : "seconds since 1970");
}

/* Who is written may be named by anything that is unique. */
static json_t *foreign_schema(const struct field *f, enum json_schema_use use)
{
	const struct entity *to = entity_find(str_from(f->reference));
	json_t *out =
		json_pack("{s:s, s:{s:o}}", "type", "object", "properties", "id", uuid_schema());

	if (use == JSON_SCHEMA_SHOWN) {
		put(&out, "required", json_pack("[s]", "id"));
		put(&out, "additionalProperties", json_false());
	} else if (to && to->endpoint_key && out) {
		json_object_set_new(json_object_get(out, "properties"), to->endpoint_key,
				    json_pack("{s:s}", "type", "string"));
	}
	put(&out, "description", json_sprintf("one of %s", f->reference));
	return out;
}

static json_t *list_schema(const struct field *f, enum json_schema_use use)
{
	json_t *out =
		json_pack("{s:s, s:o}", "type", "array", "items", schema_of(f->elements, use));

	if (f->type == FIELD_SET && use == JSON_SCHEMA_SHOWN)
		put(&out, "uniqueItems", json_true());
	if (f->len_min)
		put(&out, "minItems", json_integer((json_int_t)f->len_min));
	return out;
}

static json_t *map_schema(const struct field *f, enum json_schema_use use)
{
	return json_pack("{s:s, s:o, s:o}", "type", "object", "propertyNames",
			 schema_of(&f->elements[0], use), "additionalProperties",
			 schema_of(&f->elements[1], use));
}

static json_t *record_schema(const struct field *f, enum json_schema_use use)
{
	json_t *properties = json_object(), *names = json_array();
	json_t *out;

	for (size_t i = 0; properties && i < f->field_count; i++) {
		put(&properties, f->fields[i].name, schema_of(&f->fields[i], use));
		json_array_append_new(names, json_string(f->fields[i].name));
	}
	out = json_pack("{s:s, s:o, s:b}", "type", "object", "properties", properties,
			"additionalProperties", 0);
	if (use == JSON_SCHEMA_SHOWN)
		put(&out, "required", names);
	else
		json_decref(names);
	return out;
}

/* Which one follows from the siblings: any of those that are known. */
static json_t *variant_schema(enum json_schema_use use)
{
	const struct plugin_schema *p;
	json_t *any = json_array();

	for (size_t i = 0; any && (p = plugin_schema_at(i)); i++) {
		struct buf name = BUF_INIT;

		if (json_schema_name(&name, p->name, use, NULL) == 0)
			json_array_append_new(
				any, json_pack("{s:o}", "$ref",
					       json_sprintf("#/components/schemas/plugin.%s",
							    name.data)));
		buf_deinit(&name);
	}
	return json_pack("{s:o}", "anyOf", any);
}

static json_t *value_schema(const struct field *f, enum json_schema_use use)
{
	switch (f->type) {
	case FIELD_STRING:
		return text_schema(f);
	case FIELD_INTEGER:
	case FIELD_NUMBER:
		return number_schema(f);
	case FIELD_BOOLEAN:
		return boolean_schema();
	case FIELD_UUID:
		return uuid_schema();
	case FIELD_TIMESTAMP:
		return time_schema(f);
	case FIELD_FOREIGN:
		return foreign_schema(f, use);
	case FIELD_SET:
	case FIELD_ARRAY:
		return list_schema(f, use);
	case FIELD_MAP:
		return map_schema(f, use);
	case FIELD_RECORD:
		break;
	}
	return f->variant ? variant_schema(use) : record_schema(f, use);
}

/* --- fields --- */

/* Secrets are null for who may not read them. */
static bool may_be_null(const struct field *f, enum json_schema_use use)
{
	if (use == JSON_SCHEMA_SHOWN)
		return (f->flags & FIELD_SECRET) ||
		       !(f->flags & (FIELD_REQUIRED | FIELD_AUTO | FIELD_TRANSIENT));
	return !(f->flags & FIELD_REQUIRED);
}

static void allow_null(json_t **out)
{
	json_t *type = json_object_get(*out, "type");

	if (json_is_array(json_object_get(*out, "anyOf")))
		json_array_append_new(json_object_get(*out, "anyOf"),
				      json_pack("{s:s}", "type", "null"));
	if (json_is_array(json_object_get(*out, "enum")))
		json_array_append_new(json_object_get(*out, "enum"), json_null());
	if (type)
		put(out, "type", json_pack("[O, s]", type, "null"));
}

static json_t *schema_of(const struct field *f, enum json_schema_use use)
{
	json_t *out = value_schema(f, use);

	if (out && may_be_null(f, use))
		allow_null(&out);
	if (words_of(f))
		put(&out, "description", json_string(words_of(f)));
	if (f->fallback && use == JSON_SCHEMA_WHOLE)
		put(&out, "default", json_loads(f->fallback, JSON_DECODE_ANY, NULL));
	if ((f->flags & FIELD_AUTO) && use == JSON_SCHEMA_SHOWN)
		put(&out, "readOnly", json_true());
	return out;
}

/* --- entities --- */

static bool is_there(const struct field *f, enum json_schema_use use)
{
	return use != JSON_SCHEMA_SHOWN || !(f->flags & FIELD_WRITE_ONLY);
}

/* What must be sent. References may come from the path, and records are filled with defaults. */
static bool is_needed(const struct field *f)
{
	return (f->flags & FIELD_REQUIRED) && !f->fallback && f->type != FIELD_FOREIGN &&
	       f->type != FIELD_RECORD;
}

static json_t *names_of(const struct entity *t, enum json_schema_use use)
{
	json_t *names = json_array();
	const struct field *f;

	for (size_t i = 0; (f = entity_field_at(t, i)); i++)
		if (use == JSON_SCHEMA_SHOWN ? is_there(f, use) : is_needed(f))
			json_array_append_new(names, json_string(f->name));
	return names;
}

/* A shorthand may stand for what is needed (services.url). */
static void put_needed(json_t **out, const struct entity *t, json_t *names)
{
	const struct field *f;

	for (size_t i = 0; (f = entity_field_at(t, i)); i++) {
		if (!(f->flags & FIELD_WRITE_ONLY))
			continue;
		put(out, "anyOf",
		    json_pack("[{s:o}, {s:[s]}]", "required", names, "required", f->name));
		return;
	}
	if (json_array_size(names) > 0)
		put(out, "required", names);
	else
		json_decref(names);
}

json_t *json_schema_of_entity(const struct entity *t, enum json_schema_use use)
{
	json_t *properties = json_object();
	const struct field *f;
	json_t *out;

	for (size_t i = 0; properties && (f = entity_field_at(t, i)); i++)
		if (is_there(f, use))
			put(&properties, f->name, schema_of(f, use));
	out = json_pack("{s:s, s:o, s:b}", "type", "object", "properties", properties,
			"additionalProperties", 0);
	if (use == JSON_SCHEMA_SHOWN)
		put(&out, "required", names_of(t, use));
	if (use == JSON_SCHEMA_WHOLE)
		put_needed(&out, t, names_of(t, use));
	return out;
}

json_t *json_schema_of_config(const struct plugin_schema *p, enum json_schema_use use)
{
	return record_schema(&p->config, use);
}
