#include "control-plane/bulk/lookup.h"

#include "control-plane/store/bulk.h"

bool lookup_is_key(const struct field *f)
{
	return (f->flags & FIELD_UNIQUE) && !(f->flags & FIELD_AUTO);
}

static bool in_composite(const struct entity *t, const struct field *f)
{
	for (const char *const *name = t->composite; name && *name; name++)
		if (strcmp(*name, f->name) == 0)
			return true;
	return false;
}

/* Texts first: references are not asked for, only told. */
void lookup_init(struct lookup *l, const struct entity *t)
{
	memset(l, 0, sizeof(*l));
	l->entity = t;
	for (size_t i = 0; i < t->field_count && l->field_count < LOOKUP_FIELDS_MAX; i++) {
		const struct field *f = &t->fields[i];

		if (f->type == FIELD_STRING && (lookup_is_key(f) || in_composite(t, f)))
			l->fields[l->field_count++] = f;
	}
	l->asked_count = l->field_count;
	for (size_t i = 0; i < t->field_count && l->field_count < LOOKUP_FIELDS_MAX; i++)
		if (t->fields[i].type == FIELD_FOREIGN)
			l->fields[l->field_count++] = &t->fields[i];
	lookup_clear(l);
}

void lookup_clear(struct lookup *l)
{
	struct buf *all[] = {&l->ids, &l->sql, &l->answer};

	for (size_t i = 0; i < array_len(all); i++)
		buf_deinit(all[i]);
	for (size_t i = 0; i < LOOKUP_FIELDS_MAX; i++)
		buf_deinit(&l->values[i]);
	l->wanted = false;
}

void lookup_deinit(struct lookup *l)
{
	lookup_clear(l);
}

static int add(struct lookup *l, struct buf *to, struct str value, struct err *e)
{
	l->wanted = true;
	if (to->len == 0 && bulk_array_begin(to, e) < 0)
		return -1;
	return bulk_array_add(to, value, e);
}

int lookup_add_id(struct lookup *l, struct str id, struct err *e)
{
	return add(l, &l->ids, id, e);
}

int lookup_add(struct lookup *l, const struct field *f, struct str value, struct err *e)
{
	for (size_t i = 0; i < l->asked_count; i++)
		if (l->fields[i] == f)
			return add(l, &l->values[i], value, e);
	return 0;
}

static int end(struct buf *b, struct err *e)
{
	if (b->len == 0 && bulk_array_begin(b, e) < 0)
		return -1;
	return bulk_array_end(b, e);
}

static int add_columns(struct lookup *l, struct err *e)
{
	int rc = buf_addf(&l->sql, e, "SELECT json_build_array(t.id");

	for (size_t i = 0; rc == 0 && i < l->field_count; i++)
		rc = buf_addf(&l->sql, e, ", t.%s", l->fields[i]->name);
	return rc < 0 ? rc : buf_addf(&l->sql, e, ") AS x FROM %s t", l->entity->name);
}

/* A join per list: `= ANY` of several lists compares each row with each element. A row may be found
 * twice. */
static int make_sql(struct lookup *l, struct err *e)
{
	int rc = buf_addf(&l->sql, e, "SELECT coalesce(json_agg(f.x), '[]')::text AS found FROM (");

	if (rc == 0)
		rc = add_columns(l, e);
	if (rc == 0)
		rc = buf_addf(&l->sql, e, " JOIN unnest($1::uuid[]) AS k(v) ON t.id = k.v");
	for (size_t i = 0; rc == 0 && i < l->asked_count; i++) {
		bool caseless = l->fields[i]->flags & FIELD_CASELESS;

		rc = buf_addf(&l->sql, e, " UNION ALL ");
		if (rc == 0)
			rc = add_columns(l, e);
		if (rc == 0)
			rc = buf_addf(&l->sql, e,
				      " JOIN unnest($%zu::text[]) AS k(v) ON %st.%s%s = k.v", i + 2,
				      caseless ? "lower(" : "", l->fields[i]->name,
				      caseless ? ")" : "");
	}
	return rc < 0 ? rc : buf_addf(&l->sql, e, ") f");
}

int lookup_finish(struct lookup *l, struct err *e)
{
	if (end(&l->ids, e) < 0)
		return -1;
	for (size_t i = 0; i < l->asked_count; i++)
		if (end(&l->values[i], e) < 0)
			return -1;
	return make_sql(l, e);
}

void lookup_params(const struct lookup *l, const char **params, size_t *n)
{
	params[0] = l->ids.data;
	for (size_t i = 0; i < l->asked_count; i++)
		params[i + 1] = l->values[i].data;
	*n = l->asked_count + 1;
}
