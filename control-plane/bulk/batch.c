#include "control-plane/bulk/batch.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "control-plane/bulk/batch_internal.h"

void batch_init(struct batch *b, const struct store *s)
{
	memset(b, 0, sizeof(*b));
	b->store = s;
	map_init(&b->known);
	arena_init(&b->arena, 0);
	for (size_t i = 0; i < LOOKUP_KINDS_MAX && entity_at(i); i++)
		lookup_init(&b->lookups[i], entity_at(i));
}

static void row_clear(struct batch_row *r)
{
	json_decref(r->row);
	json_decref(r->refusal);
	memset(r, 0, sizeof(*r));
}

/* What a try made of the lines. */
static void forget(struct batch *b)
{
	for (size_t i = b->lines; i < b->count; i++)
		row_clear(&b->rows[i]);
	b->count = b->lines;
	for (size_t i = 0; i < b->lines; i++)
		b->rows[i].superseded = false;
	for (size_t i = 0; i < LOOKUP_KINDS_MAX && b->lookups[i].entity; i++)
		lookup_clear(&b->lookups[i]);
	map_deinit(&b->known);
	map_init(&b->known);
	arena_reset(&b->arena);
	for (size_t i = 0; i < b->bulk_count; i++)
		bulk_free(b->bulks[i]);
	b->bulk_count = 0;
	buf_deinit(&b->owners);
	buf_deinit(&b->names);
	b->drops_names = false;
}

void batch_deinit(struct batch *b)
{
	forget(b);
	for (size_t i = 0; i < b->count; i++)
		row_clear(&b->rows[i]);
	free(b->rows);
	free(b->bulks);
	for (size_t i = 0; i < LOOKUP_KINDS_MAX && b->lookups[i].entity; i++)
		lookup_deinit(&b->lookups[i]);
	map_deinit(&b->known);
	arena_deinit(&b->arena);
	memset(b, 0, sizeof(*b));
}

int batch_append(struct batch *b, const struct batch_row *row, struct err *e)
{
	struct batch_row copy = *row;

	if (b->count == b->cap) {
		size_t cap = b->cap ? b->cap * 2 : 256;
		struct batch_row *bigger = realloc(b->rows, cap * sizeof(*bigger));

		if (!bigger) {
			row_clear(&copy);
			return err_memory(e, "rows of an import");
		}
		b->rows = bigger;
		b->cap = cap;
	}
	b->rows[b->count++] = copy;
	return 0;
}

int batch_add(struct batch *b, const struct batch_row *row, struct err *e)
{
	bool refused = row->refusal;

	if (batch_append(b, row, e) < 0)
		return -1;
	b->lines = b->count;
	b->refused += refused;
	return 0;
}

struct lookup *batch_lookup(struct batch *b, const struct entity *t)
{
	for (size_t i = 0; i < LOOKUP_KINDS_MAX && b->lookups[i].entity; i++)
		if (b->lookups[i].entity == t)
			return &b->lookups[i];
	return NULL;
}

struct str batch_text(const json_t *value)
{
	return (struct str){json_string_value(value), json_string_length(value)};
}

const char *batch_alias(const struct batch *b, struct str id)
{
	return b->aliases ? map_get(b->aliases, id) : NULL;
}

/* Texts as the database compares them: lower case where case does not count. */
int batch_value(struct buf *out, const struct field *f, struct str value, struct err *e)
{
	size_t from = out->len;

	if (buf_add_str(out, value, e) < 0)
		return -1;
	for (size_t i = from; (f->flags & FIELD_CASELESS) && i < out->len; i++)
		out->data[i] = ascii_lower(out->data[i]);
	return 0;
}

/* --- the questions --- */

static int ask_value(struct batch *b, const struct entity *t, const struct field *f,
		     const json_t *value, struct err *e)
{
	struct lookup *l = batch_lookup(b, t);
	struct buf text = BUF_INIT;
	int rc;

	if (!l || !json_is_string(value))
		return 0;
	rc = batch_value(&text, f, batch_text(value), e);
	if (rc == 0)
		rc = lookup_add(l, f, buf_str(&text), e);
	buf_deinit(&text);
	return rc;
}

static int ask_id(struct batch *b, const struct entity *t, const json_t *id, struct err *e)
{
	struct lookup *l = batch_lookup(b, t);
	const char *alias;

	if (!l || !json_is_string(id))
		return 0;
	alias = batch_alias(b, batch_text(id));
	return lookup_add_id(l, alias ? str_from(alias) : batch_text(id), e);
}

static int ask_reference(struct batch *b, const struct field *f, const json_t *value, struct err *e)
{
	const struct entity *to = entity_find(str_from(f->reference));
	const json_t *id = json_object_get(value, "id");

	if (!to || !json_is_object(value))
		return 0;
	if (id)
		return ask_id(b, to, id, e);
	if (!to->endpoint_key)
		return 0;
	return ask_value(b, to, entity_field(to, str_from(to->endpoint_key)),
			 json_object_get(value, to->endpoint_key), e);
}

static int ask_names(struct batch *b, const json_t *names, struct err *e)
{
	const struct field *f = entity_field(&entity_snis, STR("name"));
	const json_t *name;
	size_t i;

	json_array_foreach(names, i, name)
	{
		if (ask_value(b, &entity_snis, f, name, e) < 0)
			return -1;
	}
	return 0;
}

/* The same certificate gets the same id each time: it has no name that could tell. */
static int name_by_content(struct batch_row *r, struct err *e)
{
	struct str cert = batch_text(json_object_get(r->row, "cert"));
	unsigned char digest[EVP_MAX_MD_SIZE];
	char id[UUID_TEXT_SIZE];
	unsigned n = 0;

	if (EVP_Digest(cert.ptr, cert.len, digest, &n, EVP_sha256(), NULL) != 1)
		return err_openssl(e, ERR_INTERNAL, "hashing a certificate");
	digest[6] = (unsigned char)((digest[6] & 0x0f) | 0x80); /* version 8, RFC 9562 */
	digest[8] = (unsigned char)((digest[8] & 0x3f) | 0x80);
	uuid_text(digest, id);
	r->has_id = true;
	return json_object_set_new(r->row, "id", json_string(id)) < 0
		       ? err_memory(e, "rows of an import")
		       : 0;
}

static int ask_row(struct batch *b, struct batch_row *r, struct err *e)
{
	const json_t *names = NULL;

	if (r->entity == &entity_certificates)
		names = json_object_get(r->row, "snis");
	if (r->entity == &entity_certificates && !r->has_id && json_array_size(names) == 0 &&
	    name_by_content(r, e) < 0)
		return -1;
	if (r->has_id && ask_id(b, r->entity, json_object_get(r->row, "id"), e) < 0)
		return -1;
	for (size_t i = 0; i < r->entity->field_count; i++) {
		const struct field *f = &r->entity->fields[i];
		const json_t *value = json_object_get(r->row, f->name);

		if (f->type == FIELD_FOREIGN ? ask_reference(b, f, value, e) < 0
					     : ask_value(b, r->entity, f, value, e) < 0)
			return -1;
	}
	return ask_names(b, names, e);
}

int batch_ask(struct batch *b, struct err *e)
{
	forget(b);
	for (size_t i = 0; i < b->lines; i++)
		if (b->rows[i].row && ask_row(b, &b->rows[i], e) < 0)
			return -1;
	for (size_t i = 0; i < LOOKUP_KINDS_MAX && b->lookups[i].entity; i++)
		if (b->lookups[i].wanted && lookup_finish(&b->lookups[i], e) < 0)
			return -1;
	return 0;
}

int batch_answer(struct batch *b, size_t i, struct str text, struct err *e)
{
	return buf_add_str(&b->lookups[i].answer, text, e);
}

/* --- the statements --- */

void batch_store(struct batch *b, struct txn *t)
{
	const char *params[] = {b->owners.data, b->names.data};

	/* First, so that a name is free for another certificate. */
	if (b->drops_names)
		txn_exec(t,
			 "DELETE FROM snis s USING unnest($1::uuid[]) AS c(id) WHERE "
			 "s.certificate = c.id AND NOT EXISTS (SELECT 1 FROM unnest($2::text[]) AS "
			 "n(name) WHERE n.name = lower(s.name))",
			 params, 2, 0, STORE_FAILED);
	for (size_t i = 0; i < b->bulk_count; i++)
		txn_upsert_many(t, b->bulks[i]);
	b->bulk_count = 0;
}
