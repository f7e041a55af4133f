/* What all rows of a declarative document together must keep: ids, unique fields, fields that are
 * unique together, and the authorities that plugins name. Kong's texts. */
#include <stdlib.h>

#include "control-plane/model/declarative_internal.h"

/* Whether key is new in seen; notes it. */
static bool is_new(struct declarative *d, struct map *seen, struct str key)
{
	static char mark;
	struct err e = ERR_INIT;

	if (map_get(seen, key))
		return false;
	if (map_put(seen, key, &mark, NULL, &e) < 0)
		d->no_memory = true;
	return true;
}

static void refuse(struct declarative *d, size_t i, const char *under, const char *what,
		   const char *value)
{
	declarative_late(d, i, under,
			 "uniqueness violation: '%s' entity with %s set to '%s' already declared",
			 d->items[i].entity->name, what, value);
}

static const char *text_of(const json_t *row, const char *name)
{
	const json_t *value = json_object_get(row, name);

	if (json_is_object(value))
		value = json_object_get(value, "id");
	return json_string_value(value);
}

static void lower(struct buf *b)
{
	for (size_t i = 0; i < b->len; i++)
		b->data[i] = ascii_lower(b->data[i]);
}

/* Whether the value of a unique field, or none, is new. */
static bool value_is_new(struct declarative *d, struct map *seen, const struct field *f,
			 const char *value)
{
	struct buf key = BUF_INIT;
	bool new;

	if (!value)
		return true;
	/* The names of all unique fields of a kind in one map. */
	if (buf_addf(&key, NULL, "%s:%s", f->name, value) < 0)
		d->no_memory = true;
	if (f->flags & FIELD_CASELESS)
		lower(&key);
	new = is_new(d, seen, buf_str(&key));
	buf_deinit(&key);
	return new;
}

static bool check_unique(struct declarative *d, struct map *seen, size_t i)
{
	const struct declarative_item *item = &d->items[i];
	const struct entity *t = item->entity;
	const char *under = t->endpoint_key ? text_of(item->row, t->endpoint_key) : NULL;

	for (size_t k = 0; k < t->field_count; k++) {
		const struct field *f = &t->fields[k];
		const char *value = text_of(item->row, f->name);
		bool is_key =
			t->endpoint_key && str_eq(str_from(t->endpoint_key), str_from(f->name));

		if (!(f->flags & FIELD_UNIQUE) || value_is_new(d, seen, f, value))
			continue;
		if (!under)
			under = item->id;
		refuse(d, i, is_key ? NULL : under, f->name, value);
		return false;
	}
	return true;
}

static void check_composite(struct declarative *d, struct map *seen, size_t i)
{
	const json_t *row = d->items[i].row;
	const char *const *name = d->items[i].entity->composite;
	struct buf names = BUF_INIT, values = BUF_INIT, key = BUF_INIT;
	int rc = 0;

	for (; name && *name && rc == 0; name++) {
		const char *value = text_of(row, *name);

		rc = buf_addf(&names, NULL, "%s%s", names.len ? ", " : "", *name);
		if (rc == 0)
			rc = buf_addf(&values, NULL, "%s%s", values.len ? ", " : "",
				      value ? value : "null");
	}
	if (rc == 0)
		rc = buf_addf(&key, NULL, "=%s", values.data ? values.data : "");
	if (rc < 0)
		d->no_memory = true;
	else if (names.len && !is_new(d, seen, buf_str(&key)))
		refuse(d, i, NULL, names.data, values.data);
	buf_deinit(&names);
	buf_deinit(&values);
	buf_deinit(&key);
}

static void check_row(struct declarative *d, struct map *ids, struct map *seen, size_t i)
{
	if (!check_unique(d, seen, i))
		return;
	if (!is_new(d, ids, str_from(d->items[i].id)))
		refuse(d, i, NULL, "primary key", d->items[i].id);
	else
		check_composite(d, seen, i);
}

/* Those of the database are not seen here: it looks after them itself. */
static void check_authorities(struct declarative *d, const struct map *authorities, size_t i)
{
	const json_t *config = json_object_get(d->items[i].row, "config"), *one;
	size_t k;

	json_array_foreach(json_object_get(config, "ca_certificates"), k, one)
	{
		const char *id = json_string_value(one);

		if (!map_get(authorities, str_from(id)))
			declarative_late(d, i, d->items[i].id,
					 "invalid reference 'config.ca_certificates: %s' (no such "
					 "entry in 'ca_certificates')",
					 id);
	}
}

void declarative_unique(struct declarative *d)
{
	struct map ids, seen, authorities;

	map_init(&authorities);
	for (size_t i = 0; i < d->count;) {
		const struct entity *t = d->items[i].entity;

		map_init(&ids);
		map_init(&seen);
		for (; i < d->count && d->items[i].entity == t; i++) {
			check_row(d, &ids, &seen, i);
			if (t == &entity_ca_certificates)
				(void)is_new(d, &authorities, str_from(d->items[i].id));
			if (t == &entity_plugins && !d->options.open)
				check_authorities(d, &authorities, i);
		}
		map_deinit(&ids);
		map_deinit(&seen);
	}
	map_deinit(&authorities);
}
