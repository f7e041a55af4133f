/* Field tables as JSON. Defaults are what the store would hold: decK compares them. */
#include "control-plane/model/schema.h"

#include "control-plane/model/condition.h"

static json_t *describe(const struct field *f);

static const char *const type_names[] = {
	[FIELD_STRING] = "string",   [FIELD_INTEGER] = "integer", [FIELD_NUMBER] = "number",
	[FIELD_BOOLEAN] = "boolean", [FIELD_UUID] = "string",	  [FIELD_TIMESTAMP] = "integer",
	[FIELD_FOREIGN] = "foreign", [FIELD_SET] = "set",	  [FIELD_ARRAY] = "array",
	[FIELD_MAP] = "map",	     [FIELD_RECORD] = "record",
};

/* Each name becomes an object of its own: the order of declaration is part of the form. */
static json_t *list_fields(const struct field *fields, size_t n)
{
	json_t *out = json_array();

	for (size_t i = 0; out && i < n; i++)
		json_array_append_new(out,
				      json_pack("{s:o}", fields[i].name, describe(&fields[i])));
	return out;
}

static void describe_flags(json_t *out, const struct field *f)
{
	static const struct {
		unsigned flag;
		const char *name;
	} names[] = {
		{FIELD_REQUIRED, "required"},
		{FIELD_UNIQUE, "unique"},
		{FIELD_AUTO, "auto"},
		{FIELD_SECRET, "encrypted"},
	};

	for (size_t i = 0; i < array_len(names); i++)
		if (f->flags & names[i].flag && !(f->type == FIELD_UUID && i == 1))
			json_object_set_new(out, names[i].name, json_true());
	if (f->type == FIELD_UUID)
		json_object_set_new(out, "uuid", json_true());
	if (f->type == FIELD_TIMESTAMP)
		json_object_set_new(out, "timestamp", json_true());
	if (f->flags & FIELD_PRECISE)
		json_object_set_new(out, "type", json_string("number"));
}

static void describe_limits(json_t *out, const struct field *f)
{
	json_t *values = f->one_of ? json_array() : NULL;

	for (size_t i = 0; values && f->one_of[i]; i++)
		json_array_append_new(values, json_string(f->one_of[i]));
	if (values)
		json_object_set_new(out, "one_of", values);
	if (f->min || f->max)
		json_object_set_new(out, "between",
				    json_pack("[I, I]", (json_int_t)f->min, (json_int_t)f->max));
	if (f->len_min || (f->flags & FIELD_EMPTY))
		json_object_set_new(out, "len_min", json_integer((json_int_t)f->len_min));
	if (f->type == FIELD_STRING && (f->flags & FIELD_UNIQUE))
		json_object_set_new(out, "len_max", json_integer(FIELD_UNIQUE_MAX));
	if (f->fallback)
		json_object_set_new(out, "default", json_loads(f->fallback, JSON_DECODE_ANY, NULL));
}

static json_t *describe(const struct field *f)
{
	json_t *out = json_pack("{s:s}", "type", type_names[f->type]);

	describe_flags(out, f);
	describe_limits(out, f);
	if (f->type == FIELD_FOREIGN)
		json_object_set_new(out, "reference", json_string(f->reference));
	if (f->type == FIELD_SET || f->type == FIELD_ARRAY)
		json_object_set_new(out, "elements", describe(f->elements));
	if (f->type == FIELD_MAP) {
		json_object_set_new(out, "keys", describe(&f->elements[0]));
		json_object_set_new(out, "values", describe(&f->elements[1]));
	}
	if (f->type == FIELD_RECORD)
		json_object_set_new(out, "fields", list_fields(f->fields, f->field_count));
	return out;
}

/* --- rules over several fields --- */

static json_t *names_of(const char *const *names)
{
	json_t *out = json_array();

	for (size_t i = 0; out && names[i]; i++)
		json_array_append_new(out, json_string(names[i]));
	return out;
}

static json_t *matches(const char *const *values, bool inverted)
{
	return json_pack("{s:o}", inverted ? "not_one_of" : "one_of", names_of(values));
}

static json_t *consequence(const struct condition *c)
{
	if (c->kind == CONDITION_REQUIRED)
		return json_pack("{s:b}", "required", 1);
	if (c->kind == CONDITION_NULL)
		return json_pack("{s:n}", "eq");
	return matches(c->values, false);
}

static void list_checks(json_t *out, const struct entity *t)
{
	for (size_t i = 0; i < t->condition_count; i++) {
		const struct condition *c = &t->conditions[i];

		json_array_append_new(out, json_pack("{s:{s:s, s:o, s:s, s:o}}", "conditional",
						     "if_field", c->when, "if_match",
						     matches(c->is, c->is_not), "then_field",
						     c->then, "then_match", consequence(c)));
	}
	if (t->at_least_one)
		json_array_append_new(
			out, json_pack("{s:o}", "at_least_one_of", names_of(t->at_least_one)));
	if (t->all_or_none)
		json_array_append_new(
			out, json_pack("{s:o}", "mutually_required", names_of(t->all_or_none)));
}

/* Shorthands stand apart: they are no fields that a stored entity has. */
json_t *schema_of_entity(const struct entity *t)
{
	json_t *out = json_pack("{s:[], s:[]}", "fields", "entity_checks");
	json_t *shorthands = NULL;
	const struct field *f;

	if (out)
		list_checks(json_object_get(out, "entity_checks"), t);
	for (size_t i = 0; out && (f = entity_field_at(t, i)); i++) {
		json_t *one = json_pack("{s:o}", f->name, describe(f));

		if ((f->flags & FIELD_TRANSIENT) && !shorthands)
			json_object_set_new(out, "shorthand_fields", shorthands = json_array());
		json_array_append_new((f->flags & FIELD_TRANSIENT) ? shorthands
								   : json_object_get(out, "fields"),
				      one);
	}
	return out;
}

json_t *schema_of_tags(void)
{
	const struct field *tags = entity_field(&entity_services, STR("tags"));
	const struct field text = {.type = FIELD_STRING, .flags = FIELD_REQUIRED};
	const struct field id = {.type = FIELD_UUID, .flags = FIELD_REQUIRED};

	return json_pack("{s:[{s:o}, {s:o}, {s:o}], s:[]}", "fields", "tag",
			 describe(tags->elements), "entity_name", describe(&text), "entity_id",
			 describe(&id), "entity_checks");
}

json_t *schema_of_plugin(const struct plugin_schema *p)
{
	static const char *const shared[] = {"consumer", "service", "route", "protocols"};
	/* The first three are scopes, in the order of enum plugin_scope. */
	json_t *fields = json_array();

	for (size_t i = 0; i < array_len(shared); i++) {
		const struct field *f = entity_field(&entity_plugins, str_from(shared[i]));

		json_t *shape = describe(f);

		/* "eq": null is how Kong says that a scope is not for this plugin. */
		if (i < 3 && (p->refuses & (1U << i)))
			json_object_set_new(shape, "eq", json_null());
		json_array_append_new(fields, json_pack("{s:o}", shared[i], shape));
	}
	json_array_append_new(fields, json_pack("{s:o}", "config", describe(&p->config)));
	return json_pack("{s:o, s:[]}", "fields", fields, "entity_checks");
}

json_t *schema_of_config(const struct plugin_schema *p)
{
	return json_pack("{s:o}", "fields", list_fields(p->config.fields, p->config.field_count));
}
