/* Rules over several fields. */
#include "control-plane/model/condition.h"

static bool is_one_of(const char *text, const char *const *values)
{
	for (; *values; values++)
		if (strcmp(text, *values) == 0)
			return true;
	return false;
}

static bool applies(const struct condition *c, const json_t *entity)
{
	const char *text = json_string_value(json_object_get(entity, c->when));

	return text && is_one_of(text, c->is) != c->is_not;
}

static void refuse_values(const struct condition *c, struct violations *v)
{
	struct buf b = BUF_INIT;

	for (const char *const *w = c->values; *w; w++)
		if (buf_addf(&b, NULL, "%s%s", b.len ? ", " : "", *w) < 0)
			v->no_memory = true;
	violations_add(v, c->then, "expected one of: %s", b.data ? b.data : "");
	buf_deinit(&b);
}

static bool holds(const struct condition *c, const json_t *entity, struct violations *v)
{
	const json_t *value = json_object_get(entity, c->then);
	bool set = value && !json_is_null(value);

	if (c->kind == CONDITION_REQUIRED && !set)
		violations_add(v, c->then, "required field missing");
	else if (c->kind == CONDITION_NULL && set)
		violations_add(v, c->then, "value must be null");
	else if (c->kind == CONDITION_ONE_OF && json_is_string(value) &&
		 !is_one_of(json_string_value(value), c->values))
		refuse_values(c, v);
	else
		return true;
	return false;
}

void condition_check(const struct condition *c, size_t n, const json_t *entity,
		     struct violations *v)
{
	for (size_t i = 0; i < n; i++)
		if (applies(&c[i], entity) && !holds(&c[i], entity, v))
			violations_add_entity(
				v, "failed conditional validation given value of field '%s'",
				c[i].when);
}

void condition_distinct(const json_t *entity, const char *a, const char *b, struct violations *v)
{
	const json_t *x = json_object_get(entity, a);

	if (json_is_string(x) && json_equal(x, json_object_get(entity, b)))
		violations_add_entity(v, "values of these fields must be distinct: '%s', '%s'", a,
				      b);
}

bool condition_is_set(const json_t *entity, const char *name)
{
	const json_t *value = json_object_get(entity, name);

	if (json_is_array(value))
		return json_array_size(value) > 0;
	if (json_is_object(value))
		return json_object_size(value) > 0;
	return value && !json_is_null(value);
}
