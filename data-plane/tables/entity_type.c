#include "data-plane/tables/entity_type.h"

static int copy_text(struct entity *en, struct str in, bool lower, struct str *out, struct err *e)
{
	char *copy;

	if (in.len > ENTITY_TEXT_MAX)
		return err_set(e, ERR_INVALID, "text of %zu bytes: at most %d are allowed", in.len,
			       ENTITY_TEXT_MAX);
	if (in.len == 0) {
		*out = STR_NONE;
		return 0;
	}
	copy = arena_alloc(&en->memory, in.len);
	if (!copy)
		return err_memory(e, "storing an entity");
	for (size_t i = 0; i < in.len; i++)
		copy[i] = lower ? ascii_lower(in.ptr[i]) : in.ptr[i];
	*out = (struct str){copy, in.len};
	return 0;
}

int entity_text(struct entity *en, const struct fields *f, const char *name, bool lower,
		struct str *out, struct err *e)
{
	if (copy_text(en, fields_text(f, name), lower, out, e) < 0)
		return err_prefix(e, "%s", name);
	return 0;
}

int entity_integer(const struct fields *f, const char *name, int64_t absent, int64_t min,
		   int64_t max, int64_t *out, struct err *e)
{
	int64_t n = fields_integer(f, name, absent);

	if (n != absent && (n < min || n > max))
		return err_set(e, ERR_INVALID, "%s: %lld is not within %lld and %lld", name,
			       (long long)n, (long long)min, (long long)max);
	*out = n;
	return 0;
}

int entity_number(const struct fields *f, const char *name, double absent, double max, double *out,
		  struct err *e)
{
	double n = fields_number(f, name, absent);

	if (!(n >= 0 && n <= max)) /* also what is no number */
		return err_set(e, ERR_INVALID, "%s: %g is not within 0 and %g", name, n, max);
	*out = n;
	return 0;
}

int entity_choice(const struct fields *f, const char *name, const char *const *names,
		  unsigned absent, unsigned *out, struct err *e)
{
	struct str text = fields_text(f, name);
	unsigned i = 0;

	if (!text.ptr) {
		*out = absent;
		return 0;
	}
	while (names[i] && !str_eq(text, str_from(names[i])))
		i++;
	if (!names[i])
		return err_set(e, ERR_INVALID, "%s: \"%.*s\" is not known", name,
			       text.len > 64 ? 64 : (int)text.len, text.ptr);
	*out = i;
	return 0;
}

int entity_id(struct entity *en, const struct fields *f, const char *name,
	      const unsigned char **out, struct err *e)
{
	const unsigned char *id = fields_id(f, name);
	struct str copy;

	*out = NULL;
	if (!id)
		return 0;
	copy = arena_str(&en->memory, (struct str){(const char *)id, ENTITY_ID_SIZE});
	if (!copy.ptr)
		return err_memory(e, "storing an entity");
	*out = (const unsigned char *)copy.ptr;
	return 0;
}

int entity_values(struct entity *en, const struct fields *map, size_t i, struct entity_field *out,
		  struct err *e)
{
	const char *name = fields_name(map, i);
	struct fields_texts in;
	struct str *values;

	if (copy_text(en, str_from(name), true, &out->name, e) < 0 ||
	    fields_texts(map, name, &en->memory, &in, e) < 0)
		return -1;
	values = arena_alloc(&en->memory, in.count * sizeof(*values));
	if (!values)
		return err_memory(e, "storing an entity");
	for (size_t k = 0; k < in.count; k++)
		if (copy_text(en, in.items[k], false, &values[k], e) < 0)
			return -1;
	out->values = values;
	out->count = in.count;
	return 0;
}

int entity_add_key(struct entity *en, char kind, struct str text, struct err *e)
{
	char *key = arena_alloc(&en->memory, 1 + text.len);

	if (!key)
		return err_memory(e, "storing an entity");
	key[0] = kind;
	if (text.len)
		memcpy(key + 1, text.ptr, text.len);
	en->keys[en->key_count++] = (struct str){key, 1 + text.len};
	return 0;
}

const struct entity_list *entity_by_key(const struct entities *t, uint64_t generation,
					enum entities_kind kind, char key_kind, struct str text)
{
	char key[1 + ENTITY_TEXT_MAX];

	if (text.len > ENTITY_TEXT_MAX)
		return NULL;
	key[0] = key_kind;
	if (text.len)
		memcpy(key + 1, text.ptr, text.len);
	return entities_list(t, generation, kind, (struct str){key, 1 + text.len});
}

const struct entity *entity_first(const struct entities *t, uint64_t generation,
				  enum entities_kind kind, char key_kind, struct str text)
{
	const struct entity_list *l = entity_by_key(t, generation, kind, key_kind, text);

	return l ? l->items[0] : NULL;
}
