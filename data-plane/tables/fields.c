#include "data-plane/tables/fields.h"

#include "cardea/v1/fleet.pb-c.h"

/* What is handed out is the generated record itself, under a name that says nothing of it. */
const struct fields *fields_of(const struct Cardea__V1__Record *record)
{
	return (const struct fields *)(const void *)record;
}

static const Cardea__V1__Record *record_of(const struct fields *f)
{
	return (const Cardea__V1__Record *)(const void *)f;
}

/* --- checking --- */

static int check_record(const Cardea__V1__Record *r, unsigned depth, struct err *e);

static int check_value(const Cardea__V1__Value *v, unsigned depth, struct err *e)
{
	if (depth > FIELDS_DEPTH_MAX)
		return err_set(e, ERR_CONFLICT, "values nested deeper than %d", FIELDS_DEPTH_MAX);
	if (v->value_case == CARDEA__V1__VALUE__VALUE_ID && v->id.len != FIELDS_ID_SIZE)
		return err_set(e, ERR_CONFLICT, "an id of %zu bytes, must have %d", v->id.len,
			       FIELDS_ID_SIZE);
	if (v->value_case == CARDEA__V1__VALUE__VALUE_RECORD)
		return check_record(v->record, depth + 1, e);
	if (v->value_case != CARDEA__V1__VALUE__VALUE_LIST)
		return 0;
	for (size_t i = 0; i < v->list->n_items; i++)
		if (check_value(v->list->items[i], depth + 1, e) < 0)
			return -1;
	return 0;
}

static int check_record(const Cardea__V1__Record *r, unsigned depth, struct err *e)
{
	for (size_t i = 0; i < r->n_fields; i++) {
		const Cardea__V1__Field *f = r->fields[i];

		if (!f->name[0] || !f->value)
			return err_set(e, ERR_CONFLICT, "a field without a %s",
				       f->name[0] ? "value" : "name");
		if (check_value(f->value, depth, e) < 0)
			return err_prefix(e, "%.64s", f->name);
	}
	return 0;
}

int fields_check(const struct fields *f, struct err *e)
{
	return f ? check_record(record_of(f), 0, e) : 0;
}

/* --- reading --- */

/* The value with this name and one of two types; NULL: absent. */
static const Cardea__V1__Value *find(const struct fields *f, const char *name,
				     Cardea__V1__Value__ValueCase type)
{
	const Cardea__V1__Record *r = record_of(f);

	for (size_t i = 0; r && i < r->n_fields; i++)
		if (strcmp(r->fields[i]->name, name) == 0)
			return r->fields[i]->value->value_case == type ? r->fields[i]->value : NULL;
	return NULL;
}

struct str fields_text(const struct fields *f, const char *name)
{
	const Cardea__V1__Value *v = find(f, name, CARDEA__V1__VALUE__VALUE_TEXT);

	return v ? str_from(v->text) : STR_NONE;
}

int64_t fields_integer(const struct fields *f, const char *name, int64_t absent)
{
	const Cardea__V1__Value *v = find(f, name, CARDEA__V1__VALUE__VALUE_INTEGER);

	return v ? v->integer : absent;
}

double fields_number(const struct fields *f, const char *name, double absent)
{
	const Cardea__V1__Value *v = find(f, name, CARDEA__V1__VALUE__VALUE_NUMBER);

	if (v)
		return v->number;
	v = find(f, name, CARDEA__V1__VALUE__VALUE_INTEGER);
	return v ? (double)v->integer : absent;
}

bool fields_flag(const struct fields *f, const char *name, bool absent)
{
	const Cardea__V1__Value *v = find(f, name, CARDEA__V1__VALUE__VALUE_FLAG);

	return v ? v->flag : absent;
}

const unsigned char *fields_id(const struct fields *f, const char *name)
{
	const Cardea__V1__Value *v = find(f, name, CARDEA__V1__VALUE__VALUE_ID);

	return v ? v->id.data : NULL;
}

int fields_texts(const struct fields *f, const char *name, struct arena *a,
		 struct fields_texts *out, struct err *e)
{
	const Cardea__V1__Value *v = find(f, name, CARDEA__V1__VALUE__VALUE_LIST);
	struct str *items;
	size_t n = 0;

	*out = (struct fields_texts){NULL, 0};
	if (!v || v->list->n_items == 0)
		return 0;
	items = arena_alloc(a, v->list->n_items * sizeof(*items));
	if (!items)
		return err_memory(e, "reading a list");
	for (size_t i = 0; i < v->list->n_items; i++)
		if (v->list->items[i]->value_case == CARDEA__V1__VALUE__VALUE_TEXT)
			items[n++] = str_from(v->list->items[i]->text);
	*out = (struct fields_texts){items, n};
	return 0;
}

int fields_integers(const struct fields *f, const char *name, struct arena *a,
		    struct fields_integers *out, struct err *e)
{
	const Cardea__V1__Value *v = find(f, name, CARDEA__V1__VALUE__VALUE_LIST);
	int64_t *items;
	size_t n = 0;

	*out = (struct fields_integers){NULL, 0};
	if (!v || v->list->n_items == 0)
		return 0;
	items = arena_alloc(a, v->list->n_items * sizeof(*items));
	if (!items)
		return err_memory(e, "reading a list");
	for (size_t i = 0; i < v->list->n_items; i++)
		if (v->list->items[i]->value_case == CARDEA__V1__VALUE__VALUE_INTEGER)
			items[n++] = v->list->items[i]->integer;
	*out = (struct fields_integers){items, n};
	return 0;
}

int fields_ids(const struct fields *f, const char *name, struct arena *a, const unsigned char **out,
	       size_t *count, struct err *e)
{
	const Cardea__V1__Value *v = find(f, name, CARDEA__V1__VALUE__VALUE_LIST);
	unsigned char *items;
	size_t n = 0;

	*out = NULL;
	*count = 0;
	if (!v || v->list->n_items == 0)
		return 0;
	items = arena_alloc(a, v->list->n_items * FIELDS_ID_SIZE);
	if (!items)
		return err_memory(e, "reading a list");
	for (size_t i = 0; i < v->list->n_items; i++)
		if (v->list->items[i]->value_case == CARDEA__V1__VALUE__VALUE_ID)
			memcpy(items + n++ * FIELDS_ID_SIZE, v->list->items[i]->id.data,
			       FIELDS_ID_SIZE);
	*out = n ? items : NULL;
	*count = n;
	return 0;
}

const struct fields *fields_record(const struct fields *f, const char *name)
{
	const Cardea__V1__Value *v = find(f, name, CARDEA__V1__VALUE__VALUE_RECORD);

	return v ? fields_of(v->record) : NULL;
}

const struct fields *fields_item(const struct fields *f, const char *name, size_t i)
{
	const Cardea__V1__Value *v = find(f, name, CARDEA__V1__VALUE__VALUE_LIST);

	if (!v || i >= v->list->n_items ||
	    v->list->items[i]->value_case != CARDEA__V1__VALUE__VALUE_RECORD)
		return NULL;
	return fields_of(v->list->items[i]->record);
}

bool fields_has(const struct fields *f, const char *name)
{
	const Cardea__V1__Record *r = record_of(f);

	for (size_t i = 0; r && i < r->n_fields; i++)
		if (strcmp(r->fields[i]->name, name) == 0)
			return true;
	return false;
}

size_t fields_count(const struct fields *f)
{
	return f ? record_of(f)->n_fields : 0;
}

const char *fields_name(const struct fields *f, size_t i)
{
	return record_of(f)->fields[i]->name;
}
