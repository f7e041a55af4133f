#include "control-plane/bulk/chunk.h"

#include <openssl/err.h>
#include <stdlib.h>

#include "control-plane/bulk/line.h"
#include "control-plane/model/verification.h"

struct chunk *chunk_create(size_t line_max)
{
	struct chunk *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	list_init(&c->link);
	buf_init(&c->text, CHUNK_BYTES + line_max);
	c->text.secret = true;
	c->line_max = line_max;
	return c;
}

void chunk_free(struct chunk *c)
{
	if (!c)
		return;
	buf_deinit(&c->text);
	for (size_t i = 0; i < c->count; i++) {
		json_decref(c->rows[i].row);
		json_decref(c->rows[i].refusal);
	}
	free(c);
}

bool chunk_full(const struct chunk *c)
{
	return c->count == CHUNK_LINES || c->text.len >= CHUNK_BYTES;
}

int chunk_add(struct chunk *c, const struct ndjson_line *line, struct err *e)
{
	struct chunk_line *l = &c->lines[c->count];

	*l = (struct chunk_line){line->number, c->text.len, line->text.len, line->too_long};
	if (buf_add_str(&c->text, line->text, e) < 0)
		return -1;
	c->count++;
	return 0;
}

static json_t *refusal(const char *message)
{
	return json_pack("{s:s%, s:{}}", "message", message, strlen(message), "fields");
}

/* What entity_create found, in the words of a POST's answer. */
static json_t *refusal_of(const struct violations *v)
{
	json_t *body = v->no_memory ? NULL : violations_body(v);
	json_t *out = NULL;

	if (body)
		out = json_pack("{s:O, s:O?}", "message", json_object_get(body, "message"),
				"fields", json_object_get(body, "fields"));
	json_decref(body);
	return out ? out : refusal("out of memory");
}

static void check_entity(struct batch_row *r, const json_t *input, int64_t now_ms, bool verify)
{
	struct violations v;

	violations_init(&v);
	r->has_id = json_is_string(json_object_get(input, "id"));
	r->has_names = json_is_array(json_object_get(input, "snis"));
	r->row = entity_create(r->entity, input, now_ms, &v);
	entity_refuse_transient(r->entity, r->row, &v);
	if (verify)
		verification_check(r->entity, r->row, &v);
	if (violations_any(&v)) {
		json_decref(r->row);
		r->row = NULL;
		r->refusal = refusal_of(&v);
	}
	violations_deinit(&v);
}

static void check_line(struct chunk *c, size_t i, int64_t now_ms)
{
	const struct chunk_line *l = &c->lines[i];
	struct batch_row *r = &c->rows[i];
	json_t *input = NULL;
	struct err e = ERR_INIT;

	*r = (struct batch_row){.line = l->number};
	if (l->too_long)
		err_set(&e, ERR_LIMIT, "the line is longer than %zu bytes", c->line_max);
	else if (line_decode(&r->entity, &input,
			     str_sub(buf_str(&c->text), l->from, l->from + l->len), &e) == 0)
		check_entity(r, input, now_ms, c->verify);
	if (e.kind != ERR_NONE)
		r->refusal = refusal(e.message);
	json_decref(input);
}

void chunk_check(struct chunk *c, int64_t now_ms)
{
	for (size_t i = 0; i < c->count; i++)
		check_line(c, i, now_ms);
	buf_deinit(&c->text);
	ERR_clear_error();
}

int chunk_give(struct chunk *c, struct batch *b, struct err *e)
{
	for (size_t i = 0; i < c->count; i++) {
		struct batch_row row = c->rows[i];

		c->rows[i].row = NULL;
		c->rows[i].refusal = NULL;
		/* Without memory even for a refusal. */
		if (!row.row && !row.refusal)
			return err_memory(e, "rows of an import");
		if (batch_add(b, &row, e) < 0)
			return -1;
	}
	return 0;
}
