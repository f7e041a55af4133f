/* Reading: one entity, pages of entities, and finding what a path names. */
#include "control-plane/admin/crud.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/core/codec.h"
#include "control-plane/admin/fault.h"

enum { SIZE_DEFAULT = 100, SIZE_MAX_ROWS = 1000, TAGS_MAX = 5 };

json_t *crud_show(const struct entity *t, const json_t *row)
{
	return entity_show(t, row, true);
}

const char *crud_parent_field(const struct admin_request *r)
{
	for (size_t i = 0; i < r->entity->field_count; i++) {
		const struct field *f = &r->entity->fields[i];

		if (f->type == FIELD_FOREIGN && strcmp(f->reference, r->parent->name) == 0)
			return f->name;
	}
	return NULL;
}

static bool is_certificates(const struct entity *t)
{
	return t == &entity_certificates;
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
	admin_suspend(r);
	if (is_certificates(r->entity) && !uuid_is(r->key))
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
	if (!is_certificates(r->entity))
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
		admin_reply(r, 200, crud_show(r->entity, r->old));
}

void crud_get(struct admin_request *r)
{
	crud_resolve(r, true, got);
}

/* --- pages --- */

static bool parse_size(struct admin_request *r, unsigned *size)
{
	struct str text = admin_query(r, "size");
	uint64_t n;

	*size = SIZE_DEFAULT;
	if (!text.ptr)
		return true;
	if (str_u64(text, &n) < 0) {
		fault_code(r, 400, 9, "invalid size", NULL, "size must be a number");
		return false;
	}
	if (n < 1 || n > SIZE_MAX_ROWS) {
		fault_code(r, 400, 9, "invalid size", NULL,
			   "size must be an integer between 1 and %d", SIZE_MAX_ROWS);
		return false;
	}
	*size = (unsigned)n;
	return true;
}

/* An offset is the unpadded base64url of ["<id of the last row>"]. */
static bool parse_offset(struct admin_request *r, struct str *after)
{
	struct str text = admin_query(r, "offset");
	struct buf raw = BUF_INIT;
	json_t *array = NULL;
	const char *id;
	const char *why = NULL;

	*after = STR_NONE;
	if (!text.ptr)
		return true;
	if (text.len > 128 || base64url_decode(&raw, text, NULL) < 0)
		why = "bad base64 encoding";
	else
		array = json_loadb(raw.data, raw.len, 0, NULL);
	id = json_string_value(json_array_get(array, 0));
	if (!why && (!id || !uuid_is(str_from(id))))
		why = "bad json encoding";
	if (!why)
		*after = arena_str(exchange_arena(r->x), str_from(id));
	else
		fault_code(r, 400, 7, "invalid offset", NULL, "'%.*s' is not a valid offset: %s",
			   (int)(text.len > 128 ? 128 : text.len), text.ptr, why);
	json_decref(array);
	buf_deinit(&raw);
	return !why;
}

static bool invalid_tags(struct admin_request *r, const char *why)
{
	json_t *message = json_sprintf("invalid option (tags: %s)", why);

	admin_reply(r, 400,
		    json_pack("{s:i, s:s, s:o, s:{s:s}}", "code", 11, "name", "invalid options",
			      "message", message, "options", "tags", why));
	return false;
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
		if (tag.len == 0)
			return invalid_tags(r, "invalid filter syntax");
		tags[p->tag_count++] = tag;
	}
	p->tags = tags;
	p->tags_any = any;
	return true;
}

/* The path of the next page: "/snis?offset=...&size=2". */
static json_t *next_path(struct admin_request *r, const char *offset)
{
	struct str size = admin_query(r, "size"), tags = admin_query(r, "tags");
	struct buf path = BUF_INIT;
	json_t *out = NULL;
	int rc;

	if (r->parent)
		rc = buf_addf(&path, NULL, "/%s/%.*s/%s?offset=%s", r->parent->name,
			      (int)r->parent_key.len, r->parent_key.ptr, r->entity->name, offset);
	else
		rc = buf_addf(&path, NULL, "/%s?offset=%s", r->entity->name, offset);
	if (rc == 0 && tags.ptr && !r->parent)
		rc = buf_addf(&path, NULL, "&tags=%.*s", (int)tags.len, tags.ptr);
	if (rc == 0 && size.ptr && !r->parent)
		rc = buf_addf(&path, NULL, "&size=%.*s", (int)size.len, size.ptr);
	if (rc == 0)
		out = json_string(path.data);
	buf_deinit(&path);
	return out;
}

static void add_offset(struct admin_request *r, json_t *page, const json_t *last)
{
	const char *id = json_string_value(json_object_get(last, "id"));
	struct buf raw = BUF_INIT, text = BUF_INIT;

	if (buf_addf(&raw, NULL, "[\"%s\"]", id ? id : "") == 0 &&
	    base64url_encode(&text, buf_str(&raw), NULL) == 0) {
		json_object_set_new(page, "next", next_path(r, text.data));
		json_object_set_new(page, "offset", json_string(text.data));
	}
	buf_deinit(&raw);
	buf_deinit(&text);
}

static void on_page(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;
	json_t *data, *page, *row;
	size_t i;

	if (!admin_resume(r))
		return;
	if (res->fault != STORE_OK) {
		fault_reply(r, r->entity, res);
		return;
	}
	data = json_array();
	page = json_pack("{s:o, s:n}", "data", data, "next");
	json_array_foreach(res->rows, i, row)
	{
		if (i == r->page_size) {
			add_offset(r, page, json_array_get(res->rows, i - 1));
			break;
		}
		json_array_append_new(data, crud_show(r->entity, row));
	}
	admin_reply(r, 200, page);
}

static void list(struct admin_request *r)
{
	struct str tags[TAGS_MAX];
	struct store_page p = {0};

	if (!parse_size(r, &p.size) || !parse_offset(r, &p.after) || !parse_tags(r, tags, &p))
		return;
	if (r->parent) {
		p.foreign = crud_parent_field(r);
		p.foreign_id = str_from(r->parent_id);
	}
	r->page_size = p.size;
	admin_suspend(r);
	store_list(r->ctx->store, r->entity, &p, on_page, r);
}

void crud_list(struct admin_request *r)
{
	crud_resolve(r, false, list);
}
