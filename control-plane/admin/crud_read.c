/* Reading: one entity, pages of entities, and finding what a path names. */
#include "control-plane/admin/crud.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/core/codec.h"
#include "control-plane/admin/fault.h"
#include "control-plane/admin/page.h"
#include "control-plane/admin/plugin_certificate.h"

enum { TAGS_MAX = 5 };

json_t *crud_show(const struct admin_request *r, const json_t *row)
{
	return entity_show(r->entity, row, r->who.keys);
}

const char *crud_parent_field(const struct admin_request *r)
{
	const struct field *f = entity_reference(r->entity, r->parent);

	return f ? f->name : NULL;
}

static bool is_certificates(const struct entity *t)
{
	return t == &entity_certificates;
}

/* --- keys --- */

static const struct field *key_field(const struct entity *t)
{
	if (is_certificates(t))
		return entity_field(&entity_snis, STR("name"));
	return t->endpoint_key ? entity_field(t, str_from(t->endpoint_key)) : NULL;
}

bool crud_key_ok(struct admin_request *r, const struct entity *t, struct str key)
{
	const struct field *f = key_field(t);
	struct err e = ERR_INIT;
	json_t *text;
	int rc = 0;

	if (uuid_is(key))
		return true;
	if (!f) {
		fault_code(r, 400, 1, "invalid primary key",
			   json_pack("{s:s}", "id", "expected a valid UUID"),
			   "invalid primary key: '{id=\"expected a valid UUID\"}'");
		return false;
	}
	text = json_stringn(key.ptr, key.len);
	if (!text || strlen(json_string_value(text)) != key.len)
		rc = err_set(&e, ERR_INVALID, "invalid value");
	else if (f->check && !t->below_parent)
		rc = f->check(text, &e);
	json_decref(text);
	if (rc < 0) {
		char name[64];

		snprintf(name, sizeof(name), "invalid unique %s", f->name);
		fault_code(r, 400, 10, name, NULL, "%s", e.message);
	}
	return rc == 0;
}

/* --- finding --- */

/* A resolution under way; it owns nothing but itself. */
struct resolve {
	struct admin_request *r;
	bool with_row;
	admin_handler next;
};

static void find_row(struct resolve *s);

static void finish(struct resolve *s)
{
	admin_handler next = s->next;
	struct admin_request *r = s->r;

	free(s);
	if (r->entity == &entity_plugins && r->old)
		plugin_certificate_load(r, next);
	else
		next(r);
}

static void on_row(const struct store_result *res, void *arg)
{
	struct resolve *s = arg;
	struct admin_request *r = s->r;

	if (!admin_resume(r)) {
		free(s);
		return;
	}
	if (res->fault != STORE_OK) {
		fault_reply(r, r->entity, res);
		free(s);
		return;
	}
	json_decref(r->old);
	r->old = json_incref(json_array_get(res->rows, 0));
	finish(s);
}

static void on_sni(const struct store_result *res, void *arg)
{
	struct resolve *s = arg;
	struct admin_request *r = s->r;
	const char *id;

	if (!admin_resume(r)) {
		free(s);
		return;
	}
	if (res->fault != STORE_OK) {
		fault_reply(r, r->entity, res);
		free(s);
		return;
	}
	id = json_string_value(json_object_get(
		json_object_get(json_array_get(res->rows, 0), "certificate"), "id"));
	if (!id) {
		json_decref(r->old);
		r->old = NULL;
		finish(s);
		return;
	}
	admin_suspend(r);
	store_get(r->ctx->store, r->entity, str_from(id), on_row, s);
}

/* Certificates are addressed by id or by the name of one of their SNIs (kong-admin-api.md 2.1). */
static void find_row(struct resolve *s)
{
	struct admin_request *r = s->r;

	if (!s->with_row || !r->key.ptr) {
		finish(s);
		return;
	}
	if (!crud_key_ok(r, r->entity, r->key)) {
		free(s);
		return;
	}
	admin_suspend(r);
	if (r->entity->below_parent && !uuid_is(r->key))
		store_find(r->ctx->store, r->entity,
			   &(struct store_key){
				   .field = r->entity->endpoint_key,
				   .value = r->key,
				   .foreign = crud_parent_field(r),
				   .foreign_id = str_from(r->parent_id),
			   },
			   on_row, s);
	else if (is_certificates(r->entity) && !uuid_is(r->key))
		store_get(r->ctx->store, &entity_snis, r->key, on_sni, s);
	else
		store_get(r->ctx->store, r->entity, r->key, on_row, s);
}

static void on_parent(const struct store_result *res, void *arg)
{
	struct resolve *s = arg;
	struct admin_request *r = s->r;
	const json_t *row;
	const char *id;

	if (!admin_resume(r)) {
		free(s);
		return;
	}
	row = json_array_get(res->rows, 0);
	/* A parent that was addressed by SNI name came as the SNI. */
	if (is_certificates(r->parent) && !uuid_is(r->parent_key))
		row = json_object_get(row, "certificate");
	id = json_string_value(json_object_get(row, "id"));
	if (res->fault != STORE_OK || !id) {
		if (res->fault != STORE_OK)
			fault_reply(r, r->parent, res);
		else
			admin_reply_message(r, 404, "Not found");
		free(s);
		return;
	}
	snprintf(r->parent_id, sizeof(r->parent_id), "%s", id);
	find_row(s);
}

void crud_resolve(struct admin_request *r, bool with_row, admin_handler next)
{
	struct resolve *s = calloc(1, sizeof(*s));
	bool by_sni = r->parent && is_certificates(r->parent) && !uuid_is(r->parent_key);

	if (!s) {
		fault_internal(r);
		return;
	}
	*s = (struct resolve){r, with_row, next};
	if (!r->parent || r->parent_id[0]) {
		find_row(s);
		return;
	}
	if (!crud_key_ok(r, r->parent, r->parent_key)) {
		free(s);
		return;
	}
	admin_suspend(r);
	store_get(r->ctx->store, by_sni ? &entity_snis : r->parent, r->parent_key, on_parent, s);
}

/* Whether the row that was found belongs to the parent of the path. */
static bool belongs(const struct admin_request *r)
{
	const char *id;

	if (!r->parent)
		return true;
	id = json_string_value(
		json_object_get(json_object_get(r->old, crud_parent_field(r)), "id"));
	return id && strcmp(id, r->parent_id) == 0;
}

/* --- one --- */

static void reply_missing(struct admin_request *r)
{
	if (!is_certificates(r->entity) || r->parent)
		admin_reply_message(r, 404, "Not found");
	else if (uuid_is(r->key))
		fault_not_found(r, r->entity, r->key);
	else
		admin_reply_message(r, 404, "SNI not found");
}

static void got(struct admin_request *r)
{
	if (!r->old || !belongs(r))
		reply_missing(r);
	else
		admin_reply(r, 200, crud_show(r, r->old));
}

void crud_get(struct admin_request *r)
{
	crud_resolve(r, true, got);
}

/* --- pages --- */

static bool invalid_tags(struct admin_request *r, const char *why)
{
	json_t *message = json_sprintf("invalid option (tags: %s)", why);

	admin_reply(r, 400,
		    json_pack("{s:i, s:s, s:o, s:{s:s}}", "code", 11, "name", "invalid options",
			      "message", message, "options", "tags", why));
	return false;
}

/* As check_tag of the model: a tag that cannot be there is a mistake. */
static bool is_tag(struct str tag)
{
	for (size_t i = 0; i < tag.len; i++)
		if ((unsigned char)tag.ptr[i] < 0x20 || tag.ptr[i] == 0x7f)
			return false;
	return tag.len > 0;
}

static bool parse_tags(struct admin_request *r, struct str tags[TAGS_MAX], struct store_page *p)
{
	struct str text = r->parent ? STR_NONE : admin_query(r, "tags");
	bool any = str_find(text, '/', 0) < text.len;
	struct str tag;

	if (!text.ptr)
		return true;
	if (text.len == 0)
		return invalid_tags(r, "cannot be null");
	if (any && str_find(text, ',', 0) < text.len)
		return invalid_tags(r, "invalid filter syntax");
	while (str_split(&text, any ? '/' : ',', &tag)) {
		if (p->tag_count == TAGS_MAX)
			return invalid_tags(r, "cannot query more than 5 tags");
		if (!is_tag(tag))
			return invalid_tags(r, "invalid filter syntax");
		tags[p->tag_count++] = tag;
	}
	p->tags = tags;
	p->tags_any = any;
	return true;
}

/* The key of the row that a page ends with. */
static json_t *row_key(const struct admin_request *r, const json_t *row)
{
	double at = json_number_value(json_object_get(row, "created_at"));

	if (!r->entity->newest_first)
		return json_pack("[O]", json_object_get(row, "id"));
	return json_pack("[o, O]", json_sprintf("%.3f", at), json_object_get(row, "id"));
}

static void show_page(struct admin_request *r)
{
	json_t *data = json_array();
	json_t *page = page_make(data);
	json_t *row;
	size_t i;

	json_array_foreach(r->rows, i, row)
	{
		if (i == r->page_size) {
			page_add_next(r, page, row_key(r, json_array_get(r->rows, i - 1)),
				      !r->parent);
			break;
		}
		json_array_append_new(data, crud_show(r, row));
	}
	if (r->finish_page)
		r->finish_page(r, page);
	admin_reply(r, 200, page);
}

static void on_page(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;

	if (!admin_resume(r))
		return;
	if (res->fault != STORE_OK) {
		fault_reply(r, r->entity, res);
		return;
	}
	r->rows = json_incref(res->rows);
	if (r->fill_page)
		r->fill_page(r, show_page);
	else if (r->entity == &entity_plugins)
		plugin_certificate_fill(r, show_page);
	else
		show_page(r);
}

/* GET /consumers?custom_id=x: the one or none (kong-admin-api.md 2.8). */
static bool list_by_custom_id(struct admin_request *r)
{
	struct str custom_id = admin_query(r, "custom_id");

	if (r->entity != &entity_consumers || !custom_id.ptr)
		return false;
	r->page_size = 1;
	admin_suspend(r);
	store_find(r->ctx->store, r->entity,
		   &(struct store_key){.field = "custom_id", .value = custom_id}, on_page, r);
	return true;
}

static void list(struct admin_request *r)
{
	size_t key_size = r->entity->newest_first ? 2 : 1;
	json_t *offset = NULL;
	struct str tags[TAGS_MAX];
	struct store_page p = {0};

	if (list_by_custom_id(r) || !page_size(r, &p.size) || !page_offset(r, key_size, &offset))
		return;
	if (!parse_tags(r, tags, &p)) {
		json_decref(offset);
		return;
	}
	if (offset) {
		p.after = str_from(json_string_value(json_array_get(offset, key_size - 1)));
		p.after_time = str_from(json_string_value(json_array_get(offset, 0)));
	}
	if (r->parent) {
		p.foreign = crud_parent_field(r);
		p.foreign_id = str_from(r->parent_id);
	}
	r->page_size = p.size;
	admin_suspend(r);
	store_list(r->ctx->store, r->entity, &p, on_page, r);
	json_decref(offset);
}

void crud_list(struct admin_request *r)
{
	crud_resolve(r, false, list);
}
