/* States in memory: made, compared with the one before, and looked up. */
#include "control-plane/store/memory_state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(const json_t *row, const char *name)
{
	const json_t *value = json_object_get(row, name);

	if (json_is_object(value))
		value = json_object_get(value, "id");
	return json_string_value(value);
}

/* --- life --- */

static void table_unref(struct memory_table *t)
{
	if (!t || atomic_fetch_sub(&t->references, 1) > 1)
		return;
	for (size_t i = 0; i < t->count; i++) {
		json_decref(t->rows[i].row);
		json_decref(t->rows[i].refusal);
	}
	for (size_t i = 0; i < t->order_count; i++)
		free(t->orders[i].at);
	map_deinit(&t->unique);
	free(t->by_revision);
	free(t->rows);
	free(t);
}

struct memory_state *memory_state_ref(struct memory_state *s)
{
	atomic_fetch_add(&s->references, 1);
	return s;
}

void memory_state_unref(struct memory_state *s)
{
	if (!s || atomic_fetch_sub(&s->references, 1) > 1)
		return;
	for (size_t i = 0; i < MEMORY_KINDS_MAX; i++)
		table_unref(s->tables[i]);
	free(s->removed);
	free(s->tags);
	free(s);
}

static struct memory_table *table_create(const struct entity *t, size_t rows)
{
	struct memory_table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	atomic_init(&table->references, 1);
	map_init(&table->unique);
	table->entity = t;
	table->rows = calloc(rows ? rows : 1, sizeof(*table->rows));
	if (table->rows)
		return table;
	table_unref(table);
	return NULL;
}

/* --- order --- */

/* Milliseconds, so that a time which came back from a client compares equal. */
static long long created_ms(const json_t *row)
{
	return llround(json_number_value(json_object_get(row, "created_at")) * 1000);
}

int memory_row_compare(const struct entity *t, const json_t *a, const json_t *b)
{
	int by_id = strcmp(text_of(a, "id"), text_of(b, "id")); /* not secret */
	long long x, y;

	if (!t->newest_first)
		return by_id;
	x = created_ms(a);
	y = created_ms(b);
	if (x != y)
		return x > y ? -1 : 1;
	return -by_id;
}

struct sorting {
	const struct memory_table *table;
	const char *field; /* NULL: by revision */
};

static int by_field(const void *a, const void *b, void *arg)
{
	const struct sorting *s = arg;
	const struct memory_row *x = &s->table->rows[*(const uint32_t *)a];
	const struct memory_row *y = &s->table->rows[*(const uint32_t *)b];
	int order;

	if (!s->field) {
		if (x->revision != y->revision)
			return x->revision < y->revision ? -1 : 1;
		return *(const uint32_t *)a < *(const uint32_t *)b ? -1 : 1;
	}
	order = strcmp(text_of(x->row, s->field), text_of(y->row, s->field)); /* not secret */
	return order ? order : memory_row_compare(s->table->entity, x->row, y->row);
}

/* Indexes of the rows that have the field (NULL: of all), sorted. */
static int make_order(const struct memory_table *t, const char *field, uint32_t **at, size_t *count)
{
	struct sorting s = {t, field};
	size_t n = 0;

	*at = calloc(t->count ? t->count : 1, sizeof(**at));
	if (!*at)
		return -1;
	for (size_t i = 0; i < t->count; i++)
		if (!field || text_of(t->rows[i].row, field))
			(*at)[n++] = (uint32_t)i;
	qsort_r(*at, n, sizeof(**at), by_field, &s);
	*count = n;
	return 0;
}

/* --- unique fields --- */

static int index_row(struct memory_table *t, size_t i, struct buf *key)
{
	const struct field *f;

	for (size_t k = 0; k < t->entity->field_count; k++) {
		const char *value;

		f = &t->entity->fields[k];
		value = (f->flags & FIELD_UNIQUE) ? text_of(t->rows[i].row, f->name) : NULL;
		if (value &&
		    (memory_unique_key(key, f, str_from(value)) < 0 ||
		     map_put(&t->unique, buf_str(key), (void *)(uintptr_t)(i + 1), NULL, NULL) < 0))
			return -1;
	}
	return 0;
}

static int index_table(struct memory_table *t)
{
	struct buf key = BUF_INIT;
	size_t count;
	int rc = 0;

	for (size_t i = 0; i < t->count && rc == 0; i++)
		rc = index_row(t, i, &key);
	buf_deinit(&key);
	for (size_t k = 0; k < t->entity->field_count && rc == 0; k++) {
		const struct field *f = &t->entity->fields[k];
		struct memory_index *o = &t->orders[t->order_count];

		if (f->type != FIELD_FOREIGN || t->order_count == MEMORY_REFERENCES_MAX)
			continue;
		o->field = f;
		t->order_count++;
		rc = make_order(t, f->name, &o->at, &o->count);
	}
	if (rc == 0 && t->entity->pushed)
		rc = make_order(t, NULL, &t->by_revision, &count);
	return rc;
}

/* --- what changed --- */

static bool is_time(const char *name)
{
	return strcmp(name, "updated_at") == 0 || strcmp(name, "created_at") == 0 ||
	       strcmp(name, "version") == 0;
}

/* Whether a row says what it said before. */
static bool is_same(const json_t *before, const struct memory_input *now)
{
	json_t *object = now->row;

	if (now->dated && created_ms(before) != created_ms(now->row))
		return false;
	for (void *it = json_object_iter(object); it; it = json_object_iter_next(object, it)) {
		const char *name = json_object_iter_key(it);

		if (!is_time(name) &&
		    !json_equal(json_object_get(before, name), json_object_iter_value(it)))
			return false;
	}
	return true;
}

static int note_removed(struct memory_state *s, const struct entity *t, const char *id)
{
	struct memory_removed *r = &s->removed[s->removed_count];

	if (!t->pushed)
		return 0;
	*r = (struct memory_removed){.entity = t, .revision = s->revision};
	snprintf(r->id, sizeof(r->id), "%s", id);
	s->removed_count++;
	return 0;
}

/* The row for an input: the one before when it says the same. */
static int take_row(struct memory_row *out, const struct memory_row *before,
		    const struct memory_input *now, uint64_t revision)
{
	if (before && is_same(before->row, now)) {
		*out = *before;
		json_incref(out->row);
		json_incref(out->refusal);
		return 0;
	}
	*out = (struct memory_row){
		.row = json_incref(now->row), .id = text_of(now->row, "id"), .revision = revision};
	return json_object_set_new(now->row, "version", json_integer((json_int_t)revision));
}

struct inputs {
	const struct memory_input *all;
	size_t count;
};

static int by_input_id(const void *a, const void *b)
{
	const struct memory_input *const *x = a, *const *y = b;

	return strcmp(text_of((*x)->row, "id"), text_of((*y)->row, "id")); /* not secret */
}

static const struct memory_input **sort_inputs(const struct inputs *in)
{
	const struct memory_input **sorted = calloc(in->count + 1, sizeof(*sorted));

	for (size_t i = 0; sorted && i < in->count; i++)
		sorted[i] = &in->all[i];
	if (sorted)
		qsort(sorted, in->count, sizeof(*sorted), by_input_id);
	return sorted;
}

/* Both sides by id. */
static int merge_rows(struct memory_state *s, struct memory_table *t,
		      const struct memory_table *before, const struct memory_input **sorted,
		      size_t n, bool *changed)
{
	size_t old = 0;

	for (size_t i = 0; i < n; i++) {
		const char *id = text_of(sorted[i]->row, "id");
		const struct memory_row *same = NULL;

		for (; old < before->count && strcmp(before->rows[old].id, id) < 0; old++) {
			*changed = true;
			note_removed(s, t->entity, before->rows[old].id);
		}
		if (old < before->count && strcmp(before->rows[old].id, id) == 0)
			same = &before->rows[old++];
		t->count++;
		if (take_row(&t->rows[t->count - 1], same, sorted[i], s->revision) < 0)
			return -1;
		*changed |= !same || t->rows[t->count - 1].row != same->row;
	}
	for (; old < before->count; old++) {
		*changed = true;
		note_removed(s, t->entity, before->rows[old].id);
	}
	return 0;
}

static int make_table(struct memory_state *s, size_t kind, const struct memory_table *before,
		      const struct inputs *in, bool *any)
{
	struct memory_table *t = table_create(entity_at(kind), in->count);
	const struct memory_input **sorted = sort_inputs(in);
	bool changed = false;
	int rc = -1;

	s->tables[kind] = t;
	if (t && sorted)
		rc = merge_rows(s, t, before, sorted, in->count, &changed);
	free(sorted);
	*any |= changed;
	if (rc < 0 || changed)
		return rc < 0 ? -1 : index_table(t);
	table_unref(t);
	s->tables[kind] = (struct memory_table *)(uintptr_t)before;
	atomic_fetch_add(&s->tables[kind]->references, 1);
	return 0;
}

/* --- removals --- */

/* Room for those before, and for all rows there were. */
static int take_removed(struct memory_state *s, const struct memory_state *before)
{
	size_t most = before->removed_count;

	for (size_t i = 0; i < MEMORY_KINDS_MAX; i++)
		most += before->tables[i] ? before->tables[i]->count : 0;
	s->removed = calloc(most ? most : 1, sizeof(*s->removed));
	if (!s->removed)
		return -1;
	if (before->removed_count)
		memcpy(s->removed, before->removed, before->removed_count * sizeof(*s->removed));
	s->removed_count = before->removed_count;
	s->floor = before->floor;
	return 0;
}

static bool is_there(const struct memory_state *s, const struct memory_removed *r)
{
	const struct memory_table *t = memory_state_table(s, r->entity);

	return t && memory_table_get(t, str_from(r->id));
}

/* What came back is not removed any more; the oldest of too many are forgotten. */
static void trim_removed(struct memory_state *s)
{
	struct memory_removed *smaller;
	size_t n = 0, drop;

	for (size_t i = 0; i < s->removed_count; i++)
		if (!is_there(s, &s->removed[i]))
			s->removed[n++] = s->removed[i];
	drop = n > MEMORY_REMOVED_MAX ? n - MEMORY_REMOVED_MAX : 0;
	if (drop) {
		s->floor = s->removed[drop - 1].revision;
		memmove(s->removed, s->removed + drop, (n - drop) * sizeof(*s->removed));
	}
	s->removed_count = n - drop;
	smaller = realloc(s->removed, (s->removed_count + 1) * sizeof(*smaller));
	if (smaller)
		s->removed = smaller;
}

/* --- tags --- */

static int by_tag(const void *a, const void *b)
{
	const struct memory_tag *x = a, *y = b;
	int order = strcmp(x->tag, y->tag); /* not secret */

	if (order == 0)
		order = strcmp(x->entity, y->entity); /* not secret */
	return order ? order : strcmp(x->id, y->id);  /* not secret */
}

static size_t count_tags(const struct memory_state *s)
{
	size_t n = 0;

	for (size_t k = 0; k < MEMORY_KINDS_MAX; k++)
		for (size_t i = 0; s->tables[k] && i < s->tables[k]->count; i++)
			n += json_array_size(json_object_get(s->tables[k]->rows[i].row, "tags"));
	return n;
}

static void add_tags(struct memory_state *s, const struct memory_table *t)
{
	for (size_t i = 0; i < t->count; i++) {
		const json_t *tag;
		size_t at;

		json_array_foreach(json_object_get(t->rows[i].row, "tags"), at, tag)
		{
			s->tags[s->tag_count++] = (struct memory_tag){
				json_string_value(tag), t->entity->name, t->rows[i].id};
		}
	}
}

static int make_tags(struct memory_state *s)
{
	size_t n = count_tags(s);

	s->tags = calloc(n ? n : 1, sizeof(*s->tags));
	if (!s->tags)
		return -1;
	for (size_t k = 0; k < MEMORY_KINDS_MAX; k++)
		if (s->tables[k])
			add_tags(s, s->tables[k]);
	qsort(s->tags, s->tag_count, sizeof(*s->tags), by_tag);
	return 0;
}

/* --- states --- */

static struct memory_state *state_create(uint64_t revision)
{
	struct memory_state *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	atomic_init(&s->references, 1);
	s->revision = revision;
	return s;
}

int memory_state_empty(struct memory_state **out, struct err *e)
{
	struct memory_state *s = state_create(0);
	const struct entity *t;
	int rc = s ? 0 : -1;

	for (size_t k = 0; rc == 0 && k < MEMORY_KINDS_MAX && (t = entity_at(k)); k++) {
		s->tables[k] = table_create(t, 0);
		rc = s->tables[k] ? index_table(s->tables[k]) : -1;
	}
	if (rc == 0) {
		*out = s;
		return 0;
	}
	memory_state_unref(s);
	return err_memory(e, "store in memory");
}

static int make_tables(struct memory_state *s, const struct memory_state *before,
		       memory_replaces replaces, const void *arg, const struct memory_input *inputs,
		       size_t n, bool *changed)
{
	const struct entity *t;
	size_t at = 0;

	for (size_t k = 0; k < MEMORY_KINDS_MAX && (t = entity_at(k)); k++) {
		struct inputs in = {.all = inputs + at};

		if (!replaces(t, arg)) {
			s->tables[k] = before->tables[k];
			atomic_fetch_add(&s->tables[k]->references, 1);
			continue;
		}
		while (at < n && inputs[at].entity == t)
			at++;
		in.count = (size_t)(inputs + at - in.all);
		if (make_table(s, k, before->tables[k], &in, changed) < 0)
			return -1;
	}
	return 0;
}

int memory_state_make(struct memory_state **out, struct memory_state *before,
		      memory_replaces replaces, const void *arg, const struct memory_input *inputs,
		      size_t n, struct err *e)
{
	struct memory_state *s = state_create(before->revision + 1);
	bool changed = false;

	if (!s || take_removed(s, before) < 0 ||
	    make_tables(s, before, replaces, arg, inputs, n, &changed) < 0 || make_tags(s) < 0) {
		memory_state_unref(s);
		return err_memory(e, "store in memory");
	}
	if (!changed) {
		memory_state_unref(s);
		*out = memory_state_ref(before);
		return 0;
	}
	trim_removed(s);
	*out = s;
	return 0;
}

/* --- refusals --- */

static struct memory_table *table_copy(const struct memory_table *t)
{
	struct memory_table *copy = table_create(t->entity, t->count);

	for (size_t i = 0; copy && i < t->count; i++) {
		copy->rows[i] = t->rows[i];
		json_incref(copy->rows[i].row);
		json_incref(copy->rows[i].refusal);
		copy->count++;
	}
	return copy;
}

static int refuse_one(struct memory_state *s, const struct memory_state *before,
		      const json_t *refusal)
{
	const struct entity *t = entity_find(str_from(text_of(refusal, "kind")));
	const char *id = text_of(refusal, "id");
	const struct memory_row *found;
	struct memory_row *row;
	size_t k = 0;

	while (k < MEMORY_KINDS_MAX && s->tables[k] && s->tables[k]->entity != t)
		k++;
	if (!t || !id || k == MEMORY_KINDS_MAX || !s->tables[k])
		return 0;
	found = memory_table_get(s->tables[k], str_from(id));
	if (!found || found->refused ||
	    found->revision > (uint64_t)json_integer_value(json_object_get(refusal, "revision")))
		return 0;
	if (s->tables[k] == before->tables[k]) {
		struct memory_table *copy = table_copy(before->tables[k]);

		if (!copy)
			return -1;
		found = copy->rows + (found - s->tables[k]->rows);
		table_unref(s->tables[k]);
		s->tables[k] = copy;
	}
	row = &s->tables[k]->rows[found - s->tables[k]->rows];
	row->refused = row->revision;
	row->revision = s->revision;
	row->refusal = json_incref(json_object_get(refusal, "refusal"));
	return 0;
}

/* Those that were copied have no order yet. */
static int index_copies(struct memory_state *s, const struct memory_state *before, bool *changed)
{
	for (size_t k = 0; k < MEMORY_KINDS_MAX && s->tables[k]; k++) {
		if (s->tables[k] == before->tables[k])
			continue;
		*changed = true;
		if (index_table(s->tables[k]) < 0)
			return -1;
	}
	return 0;
}

static void share_tables(struct memory_state *s, const struct memory_state *before)
{
	for (size_t k = 0; k < MEMORY_KINDS_MAX && before->tables[k]; k++) {
		s->tables[k] = before->tables[k];
		atomic_fetch_add(&s->tables[k]->references, 1);
	}
}

int memory_state_refuse(struct memory_state **out, struct memory_state *before,
			const json_t *refusals, struct err *e)
{
	struct memory_state *s = state_create(before->revision + 1);
	bool changed = false;
	int rc = s ? take_removed(s, before) : -1;
	const json_t *one;
	size_t i;

	if (rc == 0)
		share_tables(s, before);
	json_array_foreach(refusals, i, one)
	{
		if (rc == 0)
			rc = refuse_one(s, before, one);
	}
	if (rc == 0)
		rc = index_copies(s, before, &changed);
	if (rc == 0 && changed)
		rc = make_tags(s);
	if (rc < 0 || !changed) {
		memory_state_unref(s);
		s = rc < 0 ? NULL : memory_state_ref(before);
	}
	*out = s;
	return rc < 0 ? err_memory(e, "store in memory") : 0;
}
