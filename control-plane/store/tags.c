/* Tags in PostgreSQL: one statement over all tables that have them. */
#include "control-plane/store/store_internal.h"

/* The tables one after the other, then what comes after the page before. */
static int make_sql(struct buf *sql, bool one_tag, bool after, unsigned size)
{
	const char *glue = "";
	const struct entity *t;
	int rc = buf_add_str(
		sql, STR("SELECT tag, entity_name, entity_id::text AS entity_id FROM ("), NULL);

	for (size_t i = 0; (t = entity_at(i)) && rc == 0; i++) {
		if (t->internal || !t->has_tags)
			continue;
		rc = buf_addf(sql, NULL,
			      "%sSELECT unnest(tags) COLLATE \"C\" AS tag, '%s' COLLATE \"C\" AS "
			      "entity_name, id AS entity_id FROM %s%s",
			      glue, t->name, t->name,
			      one_tag ? " WHERE tags @> ARRAY[$1::text]" : "");
		glue = " UNION ALL ";
	}
	if (rc == 0)
		rc = buf_addf(sql, NULL, ") x WHERE ($1::text IS NULL OR tag = $1::text)");
	if (rc == 0 && after)
		rc = buf_addf(sql, NULL,
			      " AND (tag, entity_name, entity_id) > ($2::text, $3::text, "
			      "$4::uuid)");
	if (rc == 0)
		rc = buf_addf(sql, NULL, " ORDER BY tag, entity_name, entity_id LIMIT %u",
			      size + 1);
	return rc;
}

void pg_store_tags(struct store *s, const struct store_tag_page *p, store_done done, void *arg)
{
	const char *const params[] = {p->tag, p->after_tag, p->after_entity, p->after_id};
	struct buf sql = BUF_INIT;

	/* Without memory: no statement, which is refused. */
	if (make_sql(&sql, p->tag != NULL, p->after_tag != NULL, p->size) < 0)
		buf_clear(&sql);
	pg_store_query(s, sql.data ? sql.data : "", params, p->after_tag ? 4 : 1, NULL, done, arg);
	buf_deinit(&sql);
}
