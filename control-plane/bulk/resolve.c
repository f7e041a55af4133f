/* Who is who in a batch: ids, references, conflicts. Kinds in the order of references, twice each:
 *
 *   claim: references become ids; a row gets its id and claims its unique values; an earlier row of
 *          the same id gives way
 *   check: a value that another entity claimed refuses the row; names of certificates become rows
 *
 * A row that is refused claims all the same, so that what refers to it is not refused for that.
 */
#include <stdarg.h>
#include <stdlib.h>

#include "control-plane/bulk/batch_internal.h"

enum { BULK_ROWS = 1000, BULK_BYTES = 1 << 20 };

/* An entity of the database, of the batch, or of both. */
struct known {
	char id[UUID_TEXT_SIZE];    /* empty: a name that is claimed and not yet a row */
	char owner[UUID_TEXT_SIZE]; /* of a name: its certificate */
	bool stored;		    /* the database has it */
	size_t row;		    /* index + 1 of the row that is it; 0: none */
};

struct resolve {
	struct batch *b;
	int64_t now_ms;
	struct err *e;
	struct buf text; /* scratch for map keys */
	bool failed;	 /* *e is set */
};

/* --- what is known --- */

static int key_begin(struct resolve *s, const struct entity *t, const char *field)
{
	buf_clear(&s->text);
	return buf_addf(&s->text, s->e, "%s\037%s\037", t->name, field);
}

static struct known *find_id(struct resolve *s, const struct entity *t, struct str id)
{
	if (key_begin(s, t, "id") < 0 || buf_add_str(&s->text, id, s->e) < 0) {
		s->failed = true;
		return NULL;
	}
	return map_get(&s->b->known, buf_str(&s->text));
}

static struct known *find_value(struct resolve *s, const struct entity *t, const struct field *f,
				struct str value)
{
	if (key_begin(s, t, f->name) < 0 || batch_value(&s->text, f, value, s->e) < 0) {
		s->failed = true;
		return NULL;
	}
	return map_get(&s->b->known, buf_str(&s->text));
}

/* The fields that are unique together, out of a row; false: it has none. */
static bool composite_key(struct resolve *s, const struct entity *t, const json_t *row)
{
	if (!t->composite)
		return false;
	if (key_begin(s, t, "@") < 0)
		s->failed = true;
	for (const char *const *name = t->composite; *name; name++) {
		const json_t *value = json_object_get(row, *name);

		if (json_is_object(value))
			value = json_object_get(value, "id");
		if (buf_addf(&s->text, s->e, "%s\037",
			     json_is_string(value) ? json_string_value(value) : "") < 0)
			s->failed = true;
	}
	return !s->failed;
}

/* Under the key in s->text. */
static void put(struct resolve *s, struct known *k)
{
	if (k && map_put(&s->b->known, buf_str(&s->text), k, NULL, s->e) < 0)
		s->failed = true;
}

static struct known *known_create(struct resolve *s, struct str id)
{
	struct known *k = arena_alloc(&s->b->arena, sizeof(*k));

	if (!k) {
		err_memory(s->e, "rows of an import");
		s->failed = true;
		return NULL;
	}
	snprintf(k->id, sizeof(k->id), "%.*s", (int)id.len, id.len ? id.ptr : "");
	return k;
}

/* --- what the database said --- */

static json_t *as_member(const struct field *f, json_t *value)
{
	if (f->type == FIELD_FOREIGN && json_is_string(value))
		return json_pack("{s:O}", "id", value);
	return json_incref(value);
}

/* A name that is stored has a certificate that is. */
static void take_owner(struct resolve *s, const char *owner)
{
	struct known *k;

	if (!owner[0] || find_id(s, &entity_certificates, str_from(owner)))
		return;
	k = known_create(s, str_from(owner));
	put(s, k);
	if (k)
		k->stored = true;
}

/* [id, field, ...] of l->fields. */
static void take_found(struct resolve *s, struct lookup *l, json_t *found)
{
	struct known *k = known_create(s, batch_text(json_array_get(found, 0)));
	json_t *row = json_object();

	for (size_t i = 0; k && row && i < l->field_count; i++) {
		const struct field *f = l->fields[i];
		json_t *value = json_array_get(found, i + 1);

		json_object_set_new(row, f->name, as_member(f, value));
		if (l->entity == &entity_snis && f->type == FIELD_FOREIGN)
			snprintf(k->owner, sizeof(k->owner), "%s",
				 json_is_string(value) ? json_string_value(value) : "");
		if (lookup_is_key(f) && json_is_string(value) &&
		    !find_value(s, l->entity, f, batch_text(value)))
			put(s, k);
	}
	if (k && row) {
		k->stored = true;
		if (!find_id(s, l->entity, str_from(k->id)))
			put(s, k);
		if (composite_key(s, l->entity, row))
			put(s, k);
		take_owner(s, k->owner);
	}
	json_decref(row);
}

static void take_answer(struct resolve *s, struct lookup *l)
{
	json_t *all, *found;
	size_t i;

	if (!l->wanted)
		return;
	all = json_loadb(l->answer.data ? l->answer.data : "", l->answer.len, 0, NULL);
	if (!json_is_array(all)) {
		err_set(s->e, ERR_INTERNAL, "an answer about %s is not what was asked for",
			l->entity->name);
		s->failed = true;
	}
	json_array_foreach(all, i, found)
	{
		take_found(s, l, found);
	}
	json_decref(all);
	buf_deinit(&l->answer);
}

/* --- refusing --- */

static void refuse(struct resolve *s, struct batch_row *r, const char *field, const char *fmt, ...)
	printf_like(4, 5);
static void refuse(struct resolve *s, struct batch_row *r, const char *field, const char *fmt, ...)
{
	char text[512];
	json_t *message;
	va_list ap;

	if (r->refusal)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	message = json_string(text);
	r->refusal = json_pack("{s:O, s:{s:O}}", "message", message, "fields", field, message);
	json_decref(message);
	s->b->refused++;
	if (!r->refusal) {
		err_memory(s->e, "rows of an import");
		s->failed = true;
	}
}

/* --- claim --- */

static void set_id(struct resolve *s, json_t *object, const char *id)
{
	if (json_object_set_new(object, "id", json_string(id)) < 0) {
		err_memory(s->e, "rows of an import");
		s->failed = true;
	}
}

static void resolve_name(struct resolve *s, struct batch_row *r, const struct field *f,
			 const struct entity *to, json_t *value)
{
	const json_t *name = to->endpoint_key ? json_object_get(value, to->endpoint_key) : NULL;
	const struct known *k = NULL;

	if (json_is_string(name))
		k = find_value(s, to, entity_field(to, str_from(to->endpoint_key)),
			       batch_text(name));
	if (!k || !k->id[0]) {
		refuse(s, r, f->name,
		       "the foreign key cannot be resolved with '{%s=\"%.200s\"}' for an existing "
		       "'%s' entity",
		       to->endpoint_key ? to->endpoint_key : "id",
		       json_is_string(name) ? json_string_value(name) : "", to->name);
		return;
	}
	json_object_clear(value);
	set_id(s, value, k->id);
}

static void resolve_reference(struct resolve *s, struct batch_row *r, const struct field *f)
{
	const struct entity *to = entity_find(str_from(f->reference));
	json_t *value = json_object_get(r->row, f->name);
	const json_t *id = json_object_get(value, "id");
	const struct known *k;
	const char *alias;

	if (!to || !json_is_object(value))
		return;
	if (!id) {
		resolve_name(s, r, f, to, value);
		return;
	}
	alias = batch_alias(s->b, batch_text(id));
	k = find_id(s, to, alias ? str_from(alias) : batch_text(id));
	if (k)
		set_id(s, value, k->id);
	else
		refuse(s, r, f->name,
		       "the foreign key '{id=\"%s\"}' does not reference an existing '%s' entity.",
		       json_string_value(id), to->name);
}

/* The certificate that has one of these names; NULL: none has. */
static const char *owner_of_names(struct resolve *s, const json_t *names)
{
	const struct field *f = entity_field(&entity_snis, STR("name"));
	const json_t *name;
	size_t i;

	json_array_foreach(names, i, name)
	{
		const struct known *k = find_value(s, &entity_snis, f, batch_text(name));

		if (k && k->owner[0])
			return k->owner;
	}
	return NULL;
}

/* The id of the entity that the row is, when it does not say so itself; NULL: a new one. */
static const char *found_id(struct resolve *s, const struct batch_row *r)
{
	const struct entity *t = r->entity;
	const struct known *k = NULL;

	if (t == &entity_certificates)
		return owner_of_names(s, json_object_get(r->row, "snis"));
	for (size_t i = 0; i < t->field_count && !k; i++) {
		const json_t *value = json_object_get(r->row, t->fields[i].name);

		if (lookup_is_key(&t->fields[i]) && json_is_string(value))
			k = find_value(s, t, &t->fields[i], batch_text(value));
	}
	if (!k && composite_key(s, t, r->row))
		k = map_get(&s->b->known, buf_str(&s->text));
	return k && k->id[0] ? k->id : NULL;
}

static struct known *claim_id(struct resolve *s, size_t index)
{
	struct batch_row *r = &s->b->rows[index];
	struct str own = batch_text(json_object_get(r->row, "id"));
	struct known *k = find_id(s, r->entity, own);

	if (!k) {
		k = known_create(s, own);
		put(s, k);
	}
	if (k && k->row)
		s->b->rows[k->row - 1].superseded = true;
	if (k)
		k->row = index + 1;
	return k;
}

static void remember_alias(struct resolve *s, struct str from, const char *to)
{
	void *old = NULL;
	char *copy;

	if (!s->b->aliases || str_eq(from, str_from(to)))
		return;
	copy = strdup(to);
	if (!copy || map_put(s->b->aliases, from, copy, &old, s->e) < 0) {
		free(copy);
		s->failed = true;
	}
	free(old);
}

static void claim_names(struct resolve *s, const struct batch_row *r, const char *id)
{
	const struct field *f = entity_field(&entity_snis, STR("name"));
	const json_t *names = json_object_get(r->row, "snis"), *name;
	size_t i;

	json_array_foreach(names, i, name)
	{
		struct known *k = find_value(s, &entity_snis, f, batch_text(name));

		if (k)
			continue;
		k = known_create(s, STR_NONE);
		put(s, k);
		if (k)
			snprintf(k->owner, sizeof(k->owner), "%s", id);
	}
}

/* A name that was made for a certificate of this batch, and that a line of its own is about. */
static bool gives_way(struct resolve *s, const struct known *was, const struct known *k)
{
	struct batch_row *r = was->row ? &s->b->rows[was->row - 1] : NULL;

	if (was == k || !r || !r->derived)
		return false;
	r->superseded = true;
	return true;
}

static void claim_values(struct resolve *s, const struct batch_row *r, struct known *k)
{
	const struct entity *t = r->entity;

	for (size_t i = 0; i < t->field_count; i++) {
		const json_t *value = json_object_get(r->row, t->fields[i].name);
		struct known *was;

		if (!lookup_is_key(&t->fields[i]) || !json_is_string(value))
			continue;
		was = find_value(s, t, &t->fields[i], batch_text(value));
		if (!was || !was->id[0] || gives_way(s, was, k))
			put(s, k);
	}
	if (composite_key(s, t, r->row) && !map_get(&s->b->known, buf_str(&s->text)))
		put(s, k);
}

static void claim(struct resolve *s, size_t index)
{
	struct batch_row *r = &s->b->rows[index];
	const char *found;
	struct known *k;

	for (size_t i = 0; i < r->entity->field_count; i++)
		if (r->entity->fields[i].type == FIELD_FOREIGN)
			resolve_reference(s, r, &r->entity->fields[i]);
	found = r->has_id ? NULL : found_id(s, r);
	if (found) {
		remember_alias(s, batch_text(json_object_get(r->row, "id")), found);
		set_id(s, r->row, found);
	}
	k = claim_id(s, index);
	if (!k || s->failed)
		return;
	if (r->entity == &entity_snis) {
		const json_t *to = json_object_get(r->row, "certificate");
		const char *owner = json_string_value(json_object_get(to, "id"));

		snprintf(k->owner, sizeof(k->owner), "%s", owner ? owner : "");
	}
	if (r->entity == &entity_certificates)
		claim_names(s, r, k->id);
	claim_values(s, r, k);
}

/* --- check --- */

static void check_values(struct resolve *s, struct batch_row *r, const char *id)
{
	const struct entity *t = r->entity;
	const struct known *k;

	for (size_t i = 0; i < t->field_count; i++) {
		const json_t *value = json_object_get(r->row, t->fields[i].name);

		if (!lookup_is_key(&t->fields[i]) || !json_is_string(value))
			continue;
		k = find_value(s, t, &t->fields[i], batch_text(value));
		if (k && strcmp(k->id, id) != 0)
			refuse(s, r, t->fields[i].name,
			       "UNIQUE violation detected on '{%s=\"%.200s\"}'", t->fields[i].name,
			       json_string_value(value));
	}
	if (!composite_key(s, t, r->row))
		return;
	k = map_get(&s->b->known, buf_str(&s->text));
	if (k && strcmp(k->id, id) != 0)
		refuse(s, r, t->composite[0], "UNIQUE violation: %s '%s' is the same", t->singular,
		       k->id);
}

/* A row for a name that the certificate gets. */
static void make_name(struct resolve *s, const struct batch_row *r, struct known *k,
		      const json_t *name)
{
	json_t *input = json_pack("{s:O, s:{s:s}}", "name", name, "certificate", "id", k->owner);
	struct batch_row sni = {.line = r->line, .entity = &entity_snis, .derived = true};
	struct violations v;

	violations_init(&v);
	sni.row = input ? entity_create(&entity_snis, input, s->now_ms, &v) : NULL;
	if (!sni.row) {
		err_set(s->e, ERR_INTERNAL, "a name that was checked was refused");
		s->failed = true;
	} else {
		snprintf(k->id, sizeof(k->id), "%s",
			 json_string_value(json_object_get(sni.row, "id")));
		if (batch_append(s->b, &sni, s->e) < 0)
			s->failed = true;
		k->row = s->b->count;
		if (!find_id(s, &entity_snis, str_from(k->id)))
			put(s, k);
	}
	json_decref(input);
	violations_deinit(&v);
}

static void check_names(struct resolve *s, size_t index, const char *id)
{
	const struct field *f = entity_field(&entity_snis, STR("name"));
	const json_t *names = json_object_get(s->b->rows[index].row, "snis"), *name;
	size_t i;

	json_array_foreach(names, i, name)
	{
		/* Rows may move when one is added. */
		struct batch_row *r = &s->b->rows[index];
		struct known *k = find_value(s, &entity_snis, f, batch_text(name));

		if (!k || s->failed)
			return;
		if (strcmp(k->owner, id) != 0)
			refuse(s, r, "snis",
			       "%.253s already associated with existing certificate '%s'",
			       json_string_value(name), k->owner);
		else if (!k->id[0])
			make_name(s, r, k, name);
	}
}

static int add_text(struct buf *to, struct str text, struct err *e)
{
	if (to->len == 0 && bulk_array_begin(to, e) < 0)
		return -1;
	return bulk_array_add(to, text, e);
}

/* Names that a stored certificate has and that its row does not list are to go. */
static void note_names(struct resolve *s, const struct batch_row *r, const char *id)
{
	const struct field *f = entity_field(&entity_snis, STR("name"));
	const json_t *names = json_object_get(r->row, "snis"), *name;
	size_t i;

	if (add_text(&s->b->owners, str_from(id), s->e) < 0)
		s->failed = true;
	json_array_foreach(names, i, name)
	{
		buf_clear(&s->text);
		if (batch_value(&s->text, f, batch_text(name), s->e) < 0 ||
		    add_text(&s->b->names, buf_str(&s->text), s->e) < 0)
			s->failed = true;
	}
	s->b->drops_names = true;
}

static void check(struct resolve *s, size_t index)
{
	struct batch_row *r = &s->b->rows[index];
	const struct known *k = find_id(s, r->entity, batch_text(json_object_get(r->row, "id")));

	if (!k || r->superseded)
		return;
	check_values(s, r, k->id);
	if (r->entity != &entity_certificates)
		return;
	if (r->has_names && k->stored)
		note_names(s, r, k->id);
	check_names(s, index, k->id);
}

/* --- statements --- */

static struct bulk *bulk_for(struct batch *b, const struct entity *t, struct err *e)
{
	struct bulk *bulk = NULL;

	if (b->bulk_count == b->bulk_cap) {
		size_t cap = b->bulk_cap ? b->bulk_cap * 2 : 16;
		struct bulk **bigger = realloc(b->bulks, cap * sizeof(*bigger));

		if (!bigger) {
			err_memory(e, "statements");
			return NULL;
		}
		b->bulks = bigger;
		b->bulk_cap = cap;
	}
	if (bulk_create(&bulk, b->store, t, e) < 0)
		return NULL;
	b->bulks[b->bulk_count++] = bulk;
	return bulk;
}

static int encode_kind(struct batch *b, const struct entity *t, struct err *e)
{
	struct bulk *bulk = NULL;

	for (size_t i = 0; i < b->count; i++) {
		const struct batch_row *r = &b->rows[i];

		if (r->entity != t || r->superseded)
			continue;
		if (!bulk || bulk_rows(bulk) >= BULK_ROWS || bulk_bytes(bulk) >= BULK_BYTES)
			bulk = bulk_for(b, t, e);
		if (!bulk || bulk_add(bulk, r->row, e) < 0)
			return -1;
	}
	return 0;
}

static int encode(struct batch *b, struct err *e)
{
	const struct entity *t;

	for (size_t i = 0; (t = entity_at(i)); i++)
		if (encode_kind(b, t, e) < 0)
			return -1;
	if (!b->drops_names)
		return 0;
	if (b->names.len == 0 && bulk_array_begin(&b->names, e) < 0)
		return -1;
	return bulk_array_end(&b->owners, e) < 0 ? -1 : bulk_array_end(&b->names, e);
}

static void each_of(struct resolve *s, const struct entity *t,
		    void (*visit)(struct resolve *, size_t))
{
	/* Derived rows are what they are. */
	for (size_t i = 0; i < s->b->lines && !s->failed; i++)
		if (s->b->rows[i].entity == t && s->b->rows[i].row)
			visit(s, i);
}

int batch_resolve(struct batch *b, int64_t now_ms, struct err *e)
{
	struct resolve s = {.b = b, .now_ms = now_ms, .e = e, .text = BUF_INIT};
	const struct entity *t;

	for (size_t i = 0; i < LOOKUP_KINDS_MAX && b->lookups[i].entity && !s.failed; i++)
		take_answer(&s, &b->lookups[i]);
	for (size_t i = 0; (t = entity_at(i)) && !s.failed; i++) {
		each_of(&s, t, claim);
		each_of(&s, t, check);
	}
	buf_deinit(&s.text);
	if (s.failed)
		return -1;
	return b->refused ? 0 : encode(b, e);
}
