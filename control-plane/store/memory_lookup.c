/* Looking up in states. */
#include <stdlib.h>
#include <string.h>

#include "control-plane/store/memory_state.h"

static const char *text_of(const json_t *row, const char *name)
{
	const json_t *value = json_object_get(row, name);

	if (json_is_object(value))
		value = json_object_get(value, "id");
	return json_string_value(value);
}

static int by_id(const void *a, const void *b)
{
	return strcmp(((const struct memory_row *)a)->id, /* not secret */
		      ((const struct memory_row *)b)->id);
}

int memory_unique_key(struct buf *key, const struct field *f, struct str value)
{
	buf_clear(key);
	if (buf_addf(key, NULL, "%s:", f->name) < 0 || buf_add_str(key, value, NULL) < 0)
		return -1;
	for (size_t i = 0; i < key->len && (f->flags & FIELD_CASELESS); i++)
		key->data[i] = ascii_lower(key->data[i]);
	return 0;
}

const struct memory_table *memory_state_table(const struct memory_state *s, const struct entity *t)
{
	for (size_t k = 0; k < MEMORY_KINDS_MAX && s->tables[k]; k++)
		if (s->tables[k]->entity == t)
			return s->tables[k];
	return NULL;
}

const struct memory_row *memory_table_get(const struct memory_table *t, struct str id)
{
	unsigned char bytes[16];
	char text[UUID_TEXT_SIZE];
	struct memory_row key = {.id = text};

	if (!uuid_is(id))
		return NULL;
	uuid_bytes(id, bytes);
	uuid_text(bytes, text);
	return bsearch(&key, t->rows, t->count, sizeof(key), by_id);
}

const struct memory_row *memory_table_find(const struct memory_table *t, const struct field *f,
					   struct str value)
{
	struct buf key = BUF_INIT;
	size_t at = 0;

	if (f->type == FIELD_UUID)
		return memory_table_get(t, value);
	if (memory_unique_key(&key, f, value) == 0)
		at = (size_t)(uintptr_t)map_get(&t->unique, buf_str(&key));
	buf_deinit(&key);
	return at ? &t->rows[at - 1] : NULL;
}

/* The first index of the order whose reference is not before id (or: behind it). */
static size_t bound(const struct memory_table *t, const struct memory_index *o, const char *id,
		    bool behind)
{
	size_t from = 0, to = o->count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;
		int order = strcmp(text_of(t->rows[o->at[middle]].row, o->field->name), id);

		if (order < 0 || (behind && order == 0))
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

const struct memory_index *memory_table_below(const struct memory_table *t, const char *field,
					      struct str id, size_t *from, size_t *to)
{
	unsigned char bytes[16];
	char text[UUID_TEXT_SIZE];

	*from = *to = 0;
	if (!uuid_is(id))
		return NULL;
	uuid_bytes(id, bytes);
	uuid_text(bytes, text);
	for (size_t i = 0; i < t->order_count; i++) {
		const struct memory_index *o = &t->orders[i];

		if (strcmp(o->field->name, field) != 0) /* not secret */
			continue;
		*from = bound(t, o, text, false);
		*to = bound(t, o, text, true);
		return o;
	}
	return NULL;
}
