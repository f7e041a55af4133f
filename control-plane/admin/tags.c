/* /tags: every tag of every entity, in pages (kong-admin-api.md 1.8). One statement over all tables
 * that have tags. */
#include <stdlib.h>

#include "control-plane/admin/fault.h"
#include "control-plane/admin/handlers.h"
#include "control-plane/admin/page.h"

enum { KEY_SIZE = 3 }; /* tag, entity, id */

static void on_tags(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;
	json_t *data, *page, *row;
	size_t i;

	if (!admin_resume(r))
		return;
	if (res->fault != STORE_OK) {
		fault_reply(r, &entity_services, res);
		return;
	}
	data = json_array();
	page = page_make(data);
	json_array_foreach(res->rows, i, row)
	{
		if (i == r->page_size) {
			row = json_array_get(res->rows, i - 1);
			page_add_next(r, page,
				      json_pack("[O, O, O]", json_object_get(row, "tag"),
						json_object_get(row, "entity_name"),
						json_object_get(row, "entity_id")),
				      true);
			break;
		}
		json_array_append(data, row);
	}
	admin_reply(r, 200, page);
}

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

static void list(struct admin_request *r, const char *tag)
{
	struct buf sql = BUF_INIT;
	json_t *after = NULL;
	const char *params[KEY_SIZE + 1] = {tag};

	if (!page_size(r, &r->page_size) || !page_offset(r, KEY_SIZE, &after))
		return;
	for (size_t i = 0; after && i < KEY_SIZE; i++)
		params[i + 1] = json_string_value(json_array_get(after, i));
	if (make_sql(&sql, tag != NULL, after != NULL, r->page_size) < 0) {
		fault_internal(r);
	} else {
		admin_suspend(r);
		store_query(r->ctx->store, sql.data, params, after ? KEY_SIZE + 1 : 1, on_tags, r);
	}
	json_decref(after);
	buf_deinit(&sql);
}

void tags_all(struct admin_request *r)
{
	list(r, NULL);
}

void tags_one(struct admin_request *r)
{
	struct str tag = r->segments[1];
	json_t *text = json_stringn(tag.ptr, tag.len);

	if (!text || strlen(json_string_value(text)) != tag.len)
		admin_reply_message(r, 400, "invalid tag: expected valid utf-8 sequences");
	else
		list(r, json_string_value(text));
	json_decref(text);
}
