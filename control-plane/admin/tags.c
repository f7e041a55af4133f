/* /tags: every tag of every entity, in pages (kong-admin-api.md 1.8). */
#include <string.h>

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

static void list(struct admin_request *r, const char *tag)
{
	json_t *after = NULL;
	struct store_tag_page p = {.tag = tag};

	if (!page_size(r, &r->page_size) || !page_offset(r, KEY_SIZE, &after))
		return;
	p.size = r->page_size;
	p.after_tag = json_string_value(json_array_get(after, 0));
	p.after_entity = json_string_value(json_array_get(after, 1));
	p.after_id = json_string_value(json_array_get(after, 2));
	admin_suspend(r);
	store_tags(r->ctx->store, &p, on_tags, r);
	json_decref(after);
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
