/* SQL of entities, made from their field tables. Names come from our own tables only, so that they
 * need no quoting. */
#include "control-plane/store/sql.h"

#include <stdarg.h>
#include <stdlib.h>

/* No two writes of rows have the same: one that was removed and made again is not the one that was
 * read before. */
#define NEXT_VERSION "version = nextval('row_versions')"

/* Appends; the first failure stays. */
struct out {
	struct buf *b;
	struct err *e;
	int rc;
};

static void put(struct out *o, const char *fmt, ...) printf_like(2, 3);
static void put(struct out *o, const char *fmt, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		text = NULL;
	va_end(args);
	if (!text)
		o->rc = err_memory(o->e, "SQL");
	else if (o->rc == 0)
		o->rc = buf_add_str(o->b, str_from(text), o->e);
	free(text);
}

bool sql_is_text_list(const struct field *f)
{
	return (f->type == FIELD_SET || f->type == FIELD_ARRAY) &&
	       (f->elements->type == FIELD_STRING || f->elements->type == FIELD_UUID);
}

/* The values of a shorthand that lists another entity: certificates.snis is the names in snis that
 * refer to the certificate. */
static void put_shorthand(struct out *o, const struct entity *t, const struct field *f)
{
	const struct entity *of = entity_find(str_from(f->name));
	const struct field *reference = NULL;

	for (size_t i = 0; of && i < of->field_count; i++)
		if (of->fields[i].type == FIELD_FOREIGN &&
		    strcmp(of->fields[i].reference, t->name) == 0)
			reference = &of->fields[i];
	if (!reference || !of->endpoint_key) {
		put(o, "NULL");
		return;
	}
	put(o,
	    "(SELECT coalesce(jsonb_agg(x.%s ORDER BY x.%s COLLATE \"C\"), '[]') FROM %s x WHERE "
	    "x.%s = t.id)",
	    of->endpoint_key, of->endpoint_key, of->name, reference->name);
}

static void put_column(struct out *o, const struct entity *t, const struct field *f, bool transient)
{
	if (f->flags & FIELD_TRANSIENT) {
		if (transient)
			put_shorthand(o, t, f);
		else
			put(o, "NULL");
	} else if (f->flags & FIELD_PRECISE) {
		put(o, "round(extract(epoch FROM t.%s), 3)", f->name);
	} else if (f->type == FIELD_TIMESTAMP) {
		put(o, "floor(extract(epoch FROM t.%s))::bigint", f->name);
	} else if (f->type == FIELD_SET || f->type == FIELD_ARRAY) {
		put(o, "to_jsonb(t.%s)", f->name);
	} else {
		put(o, "t.%s", f->name);
	}
}

static int make_columns(struct sql *s, struct buf *b, bool transient, struct err *e)
{
	struct out o = {b, e, 0};

	for (size_t i = 0; i < s->read_count; i++) {
		put_column(&o, s->entity, s->read[i], transient);
		put(&o, ", ");
	}
	put(&o, "t.version");
	return o.rc;
}

/* A text value (a parameter, or a column of the bulk statement's input) as the column's type. */
static void put_value(struct out *o, const struct field *f, const char *value)
{
	static const char *const casts[] = {
		[FIELD_STRING] = "text",   [FIELD_INTEGER] = "bigint",
		[FIELD_NUMBER] = "float8", [FIELD_BOOLEAN] = "boolean",
		[FIELD_UUID] = "uuid",	   [FIELD_TIMESTAMP] = "float8",
		[FIELD_FOREIGN] = "uuid",  [FIELD_SET] = "jsonb",
		[FIELD_ARRAY] = "jsonb",   [FIELD_MAP] = "jsonb",
		[FIELD_RECORD] = "jsonb",
	};

	if (f->flags & FIELD_SECRET)
		put(o, "%s::bytea", value);
	else if (f->type == FIELD_TIMESTAMP)
		put(o, "to_timestamp(%s::float8)", value);
	else if (sql_is_text_list(f))
		put(o,
		    "CASE WHEN %s::jsonb IS NOT NULL THEN "
		    "ARRAY(SELECT jsonb_array_elements_text(%s::jsonb)) END",
		    value, value);
	else
		put(o, "%s::%s", value, casts[f->type]);
}

/* "$3" or "u.c3". */
static void put_values(struct out *o, const struct sql *s, const char *prefix)
{
	for (size_t i = 0; i < s->write_count; i++) {
		char value[32];

		snprintf(value, sizeof(value), "%s%zu", prefix, i + 1);
		put(o, "%s", i ? ", " : "");
		put_value(o, s->write[i], value);
	}
}

static void put_insert_into(struct out *o, const struct sql *s)
{
	put(o, "INSERT INTO %s (", s->entity->name);
	for (size_t i = 0; i < s->write_count; i++)
		put(o, "%s%s", i ? ", " : "", s->write[i]->name);
	put(o, ") ");
}

static void put_insert(struct out *o, const struct sql *s)
{
	put_insert_into(o, s);
	put(o, "VALUES (");
	put_values(o, s, "$");
	put(o, ")");
}

static int make_insert(struct sql *s, struct err *e)
{
	struct out o = {&s->insert, e, 0};

	put_insert(&o, s);
	return o.rc;
}

static int make_upsert(struct sql *s, struct err *e)
{
	struct out o = {&s->upsert, e, 0};

	put_insert(&o, s);
	put(&o, " ON CONFLICT (id) DO UPDATE SET ");
	for (size_t i = 1; i < s->write_count; i++)
		put(&o, "%s = excluded.%s, ", s->write[i]->name, s->write[i]->name);
	put(&o, NEXT_VERSION);
	return o.rc;
}

static bool is_time_of_row(const struct field *f)
{
	return strcmp(f->name, "created_at") == 0 || strcmp(f->name, "updated_at") == 0;
}

/* The same for many rows, a text[] parameter per column. A row that is there already keeps its
 * created_at, and is not touched when nothing would change. Secrets are not compared, for they are
 * sealed anew each time: they belong to a public half that is (certificates.cert). */
static int make_upsert_many(struct sql *s, struct err *e)
{
	const char *table = s->entity->name;
	struct out o = {&s->upsert_many, e, 0};
	const char *glue = "";

	put_insert_into(&o, s);
	put(&o, "SELECT ");
	put_values(&o, s, "u.c");
	put(&o, " FROM unnest(");
	for (size_t i = 0; i < s->write_count; i++)
		put(&o, "%s$%zu::text[]", i ? ", " : "", i + 1);
	put(&o, ") AS u(");
	for (size_t i = 0; i < s->write_count; i++)
		put(&o, "%sc%zu", i ? ", " : "", i + 1);
	put(&o, ") ON CONFLICT (id) DO UPDATE SET ");
	for (size_t i = 1; i < s->write_count; i++)
		if (strcmp(s->write[i]->name, "created_at") != 0)
			put(&o, "%s = excluded.%s, ", s->write[i]->name, s->write[i]->name);
	put(&o, NEXT_VERSION " WHERE ");
	for (size_t i = 1; i < s->write_count; i++) {
		const struct field *f = s->write[i];

		if ((f->flags & FIELD_SECRET) || is_time_of_row(f))
			continue;
		put(&o, "%s%s.%s IS DISTINCT FROM excluded.%s", glue, table, f->name, f->name);
		glue = " OR ";
	}
	return o.rc;
}

static int make_update(struct sql *s, struct err *e)
{
	const char *table = s->entity->name;
	size_t version = s->write_count + 1;
	struct out o = {&s->update, e, 0};

	put(&o, "WITH u AS (UPDATE %s SET ", table);
	for (size_t i = 1; i < s->write_count; i++) {
		char value[32];

		snprintf(value, sizeof(value), "$%zu", i + 1);
		put(&o, "%s = ", s->write[i]->name);
		put_value(&o, s->write[i], value);
		put(&o, ", ");
	}
	put(&o,
	    NEXT_VERSION
	    " WHERE id = $1::uuid AND ($%zu::bigint < 0 OR version = "
	    "$%zu::bigint) RETURNING 1) SELECT CASE WHEN count(*) = 0 THEN cardea_expect(false, "
	    "CASE WHEN EXISTS (SELECT 1 FROM %s WHERE id = $1::uuid) THEN 'CA003' ELSE 'CA001' "
	    "END, 'the %s is gone or was changed') END FROM u",
	    version, version, table, s->entity->singular);
	return o.rc;
}

static int make_deletes(struct sql *s, struct err *e)
{
	struct out any = {&s->delete_any, e, 0};
	struct out must = {&s->delete_must, e, 0};

	put(&any, "DELETE FROM %s WHERE id = $1::uuid", s->entity->name);
	put(&must,
	    "WITH d AS (DELETE FROM %s WHERE id = $1::uuid RETURNING 1) "
	    "SELECT CASE WHEN count(*) = 0 THEN cardea_expect(false, 'CA001', 'the %s is gone') "
	    "END "
	    "FROM d",
	    s->entity->name, s->entity->singular);
	return any.rc < 0 ? -1 : must.rc;
}

static int make_gets(struct sql *s, struct err *e)
{
	const struct entity *t = s->entity;
	const struct field *key = NULL;
	struct out id = {&s->get_id, e, 0};
	struct out by = {&s->get_key, e, 0};

	put(&id, "SELECT %s FROM %s t WHERE t.id = $1::uuid", s->columns.data, t->name);
	if (t->endpoint_key)
		key = entity_field(t, str_from(t->endpoint_key));
	if (key && (key->flags & FIELD_CASELESS))
		put(&by, "SELECT %s FROM %s t WHERE lower(t.%s) = lower($1)", s->columns.data,
		    t->name, key->name);
	else if (key)
		put(&by, "SELECT %s FROM %s t WHERE t.%s = $1", s->columns.data, t->name,
		    key->name);
	return id.rc < 0 ? -1 : by.rc;
}

/* Rows of the feed: what is stored, then its revision, id, whether it was removed, and which
 * revision of it a data plane refused. */
static int make_feed(struct sql *s, struct err *e)
{
	const char *tail = "c.revision, c.id, c.removed, c.refused FROM changes c LEFT JOIN";
	const char *table = s->entity->name;
	struct out delta = {&s->changed, e, 0};
	struct out all = {&s->cursor, e, 0};
	struct out changed = {&s->cursor_changed, e, 0};

	put(&delta,
	    "SELECT %s, %s %s t ON t.id = c.id WHERE c.kind = '%s' AND c.revision > $1::bigint "
	    "ORDER BY c.revision LIMIT $2::bigint",
	    s->columns_stored.data, tail, table, table);
	put(&all,
	    "DECLARE c NO SCROLL CURSOR FOR SELECT %s, %s %s t ON t.id = c.id WHERE c.kind = '%s' "
	    "ORDER BY c.revision",
	    s->columns_stored.data, tail, table, table);
	put(&changed,
	    "DECLARE c NO SCROLL CURSOR FOR SELECT %s, %s %s t ON t.id = c.id WHERE c.kind = '%s' "
	    "AND c.revision > $1::bigint ORDER BY c.revision",
	    s->columns_stored.data, tail, table, table);
	return delta.rc < 0 || all.rc < 0 ? -1 : changed.rc;
}

static int split_fields(struct sql *s, struct err *e)
{
	const struct field *f;

	for (size_t i = 0; (f = entity_field_at(s->entity, i)); i++) {
		if (s->read_count == SQL_FIELDS_MAX)
			return err_set(e, ERR_LIMIT, "%s has more than %d fields", s->entity->name,
				       SQL_FIELDS_MAX);
		if (f->flags & FIELD_WRITE_ONLY)
			continue;
		s->read[s->read_count++] = f;
		if (!(f->flags & FIELD_TRANSIENT))
			s->write[s->write_count++] = f;
	}
	return 0;
}

int sql_init(struct sql *s, const struct entity *t, struct err *e)
{
	memset(s, 0, sizeof(*s));
	s->entity = t;
	if (split_fields(s, e) < 0 || make_columns(s, &s->columns, true, e) < 0 ||
	    make_columns(s, &s->columns_stored, false, e) < 0 || make_insert(s, e) < 0 ||
	    make_upsert(s, e) < 0 || make_upsert_many(s, e) < 0 || make_update(s, e) < 0 ||
	    make_deletes(s, e) < 0 || make_gets(s, e) < 0 || make_feed(s, e) < 0) {
		sql_deinit(s);
		return -1;
	}
	return 0;
}

void sql_deinit(struct sql *s)
{
	struct buf *all[] = {
		&s->columns,	 &s->columns_stored, &s->insert,	 &s->update, &s->upsert,
		&s->upsert_many, &s->delete_any,     &s->delete_must,	 &s->get_id, &s->get_key,
		&s->changed,	 &s->cursor,	     &s->cursor_changed,
	};

	for (size_t i = 0; i < array_len(all); i++)
		buf_deinit(all[i]);
}
