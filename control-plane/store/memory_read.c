/* Reading a state in memory: what SQL does for the store with a database. */
#include <math.h>
#include <stdlib.h>

#include "control-plane/store/memory.h"

/* --- rows as they are shown --- */

static int by_text(const void *a, const void *b)
{
	const json_t *const *x = a, *const *y = b;

	return strcmp(json_string_value(*x), json_string_value(*y)); /* not secret */
}

/* The names of a certificate, by bytes. */
static json_t *names_of(const struct memory *m, const char *id)
{
	const struct memory_table *snis = memory_state_table(m->now, &entity_snis);
	size_t from = 0, to = 0, n = 0;
	const struct memory_index *o =
		memory_table_below(snis, "certificate", str_from(id), &from, &to);
	json_t **names = calloc(to - from + 1, sizeof(json_t *));
	json_t *out = json_array();
	int rc = o && names && out ? 0 : -1;

	for (; rc == 0 && from < to; from++)
		names[n++] = json_object_get(snis->rows[o->at[from]].row, "name");
	if (rc == 0)
		qsort(names, n, sizeof(json_t *), by_text);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = json_array_append(out, names[i]);
	free(names);
	if (rc == 0)
		return out;
	json_decref(out);
	return NULL;
}

static int add_row(const struct memory *m, json_t *rows, const struct entity *t,
		   const struct memory_row *row)
{
	json_t *shown;

	if (t != &entity_certificates)
		return json_array_append(rows, row->row);
	shown = json_copy(row->row);
	if (!shown || json_object_set_new(shown, "snis", names_of(m, row->id)) < 0) {
		json_decref(shown);
		return -1;
	}
	return json_array_append_new(rows, shown);
}

static json_t *one_row(const struct memory *m, const struct entity *t, const struct memory_row *row)
{
	json_t *rows = json_array();

	if (row && add_row(m, rows, t, row) < 0) {
		json_decref(rows);
		return NULL;
	}
	return rows;
}

/* --- one --- */

json_t *memory_get(const struct memory *m, const struct entity *t, struct str key)
{
	const struct memory_table *table = memory_state_table(m->now, t);
	const struct field *f = NULL;

	if (uuid_is(key))
		return one_row(m, t, memory_table_get(table, key));
	if (t->endpoint_key)
		f = entity_field(t, str_from(t->endpoint_key));
	return one_row(m, t, f ? memory_table_find(table, f, key) : NULL);
}

static bool has_text(const json_t *row, const char *field, struct str value)
{
	const json_t *text = json_object_get(row, field);

	return json_is_string(text) &&
	       str_eq((struct str){json_string_value(text), json_string_length(text)}, value);
}

json_t *memory_find(const struct memory *m, const struct entity *t, const struct store_key *k)
{
	const struct memory_table *table = memory_state_table(m->now, t);
	const struct field *f = entity_field(t, str_from(k->field));
	const struct memory_index *o;
	size_t from, to;

	if (!k->foreign)
		return one_row(m, t, f ? memory_table_find(table, f, k->value) : NULL);
	o = memory_table_below(table, k->foreign, k->foreign_id, &from, &to);
	for (; o && from < to; from++)
		if (has_text(table->rows[o->at[from]].row, k->field, k->value))
			return one_row(m, t, &table->rows[o->at[from]]);
	return one_row(m, t, NULL);
}

/* --- pages --- */

static bool has_tag(const json_t *tags, struct str wanted)
{
	const json_t *tag;
	size_t i;

	json_array_foreach(tags, i, tag)
	{
		if (str_eq((struct str){json_string_value(tag), json_string_length(tag)}, wanted))
			return true;
	}
	return false;
}

static bool has_tags(const json_t *row, const struct store_page *p)
{
	const json_t *tags = json_object_get(row, "tags");

	for (size_t i = 0; i < p->tag_count; i++)
		if (has_tag(tags, p->tags[i]) == p->tags_any)
			return p->tags_any;
	return p->tag_count == 0 || !p->tags_any;
}

/* Rows in the order of a list: all by id, or those below something. */
struct rows {
	const struct memory_table *table;
	const uint32_t *at; /* NULL: by id */
	size_t from, to;
};

static const struct memory_row *row_at(const struct rows *r, size_t i)
{
	return &r->table->rows[r->at ? r->at[i] : i];
}

/* What stands for the last row of the page before. */
static json_t *after_row(const struct store_page *p)
{
	char time[32] = "0", id[UUID_TEXT_SIZE];
	unsigned char bytes[16];

	if (!uuid_is(p->after))
		return NULL;
	uuid_bytes(p->after, bytes);
	uuid_text(bytes, id);
	if (p->after_time.ptr && p->after_time.len < sizeof(time))
		snprintf(time, sizeof(time), "%.*s", (int)p->after_time.len, p->after_time.ptr);
	return json_pack("{s:s, s:f}", "id", id, "created_at", strtod(time, NULL));
}

/* Moves from behind the row that the page before ended with. */
static int skip(struct rows *r, const struct store_page *p)
{
	json_t *after;
	size_t to = r->to;

	if (!p->after.ptr)
		return 0;
	after = after_row(p);
	if (!after)
		return -1;
	while (r->from < to) {
		size_t middle = r->from + (to - r->from) / 2;

		if (memory_row_compare(r->table->entity, row_at(r, middle)->row, after) <= 0)
			r->from = middle + 1;
		else
			to = middle;
	}
	json_decref(after);
	return 0;
}

json_t *memory_list(const struct memory *m, const struct entity *t, const struct store_page *p)
{
	const struct memory_table *table = memory_state_table(m->now, t);
	struct rows r = {.table = table, .to = table->count};
	json_t *rows = json_array();
	int rc = rows ? 0 : -1;

	if (p->foreign) {
		const struct memory_index *o =
			memory_table_below(table, p->foreign, p->foreign_id, &r.from, &r.to);

		r.at = o ? o->at : NULL;
	}
	if (rc == 0)
		rc = skip(&r, p);
	for (size_t i = r.from; rc == 0 && i < r.to && json_array_size(rows) <= p->size; i++)
		if (has_tags(row_at(&r, i)->row, p))
			rc = add_row(m, rows, t, row_at(&r, i));
	if (rc == 0)
		return rows;
	json_decref(rows);
	return NULL;
}

/* --- tags --- */

static int compare_tag(const struct memory_tag *t, const char *const key[3])
{
	int order = strcmp(t->tag, key[0]); /* not secret */

	if (order == 0)
		order = strcmp(t->entity, key[1]);    /* not secret */
	return order ? order : strcmp(t->id, key[2]); /* not secret */
}

/* The first tag behind key. */
static size_t tags_behind(const struct memory_state *s, const char *const key[3])
{
	size_t from = 0, to = s->tag_count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (compare_tag(&s->tags[middle], key) <= 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

json_t *memory_tags(const struct memory *m, const struct store_tag_page *p)
{
	const struct memory_state *s = m->now;
	const char *const first[3] = {p->tag ? p->tag : "", "", ""};
	size_t i = tags_behind(
		s, p->after_tag ? (const char *const[3]){p->after_tag, p->after_entity, p->after_id}
				: first);
	json_t *rows = json_array();

	for (; rows && i < s->tag_count && json_array_size(rows) <= p->size; i++) {
		const struct memory_tag *t = &s->tags[i];

		if (p->tag && strcmp(t->tag, p->tag) != 0) /* not secret */
			break;
		if (json_array_append_new(rows,
					  json_pack("{s:s, s:s, s:s}", "tag", t->tag, "entity_name",
						    t->entity, "entity_id", t->id)) < 0) {
			json_decref(rows);
			return NULL;
		}
	}
	return rows;
}
