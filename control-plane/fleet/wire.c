#include "control-plane/fleet/wire.h"

#include "cardea/v1/fleet.pb-c.h"
#include "common/core/codec.h"

enum { ID_SIZE = 16 };

struct maker {
	struct arena *arena;
	const struct entity *entity;
	const struct field *field; /* of the entity, that is at work: for messages */
	struct err *e;
};

typedef int make_fn(const struct maker *m, Cardea__V1__Value *v, const struct field *f,
		    const json_t *json);

static int make_value(const struct maker *m, Cardea__V1__Value **out, const struct field *f,
		      const json_t *json);

static void *room(const struct maker *m, size_t n)
{
	void *p = arena_alloc(m->arena, n);

	if (!p)
		(void)err_memory(m->e, "encoding an entity");
	return p;
}

static int wrong(const struct maker *m)
{
	return err_set(m->e, ERR_INVALID, "%s: %s is not what its table says", m->entity->name,
		       m->field->name);
}

/* The generated structs take plain char *; packing only reads them. */
static char *text(const char *s)
{
	union {
		const char *in;
		char *out;
	} u = {.in = s};
	return u.out;
}

/* --- one value --- */

static int make_text(const struct maker *m, Cardea__V1__Value *v, const struct field *f,
		     const json_t *json)
{
	(void)f;
	if (!json_is_string(json))
		return wrong(m);
	v->value_case = CARDEA__V1__VALUE__VALUE_TEXT;
	v->text = text(json_string_value(json));
	return 0;
}

static int make_integer(const struct maker *m, Cardea__V1__Value *v, const struct field *f,
			const json_t *json)
{
	(void)f;
	if (!json_is_integer(json))
		return wrong(m);
	v->value_case = CARDEA__V1__VALUE__VALUE_INTEGER;
	v->integer = json_integer_value(json);
	return 0;
}

static int make_number(const struct maker *m, Cardea__V1__Value *v, const struct field *f,
		       const json_t *json)
{
	(void)f;
	if (!json_is_number(json))
		return wrong(m);
	v->value_case = CARDEA__V1__VALUE__VALUE_NUMBER;
	v->number = json_number_value(json);
	return 0;
}

static int make_flag(const struct maker *m, Cardea__V1__Value *v, const struct field *f,
		     const json_t *json)
{
	(void)f;
	if (!json_is_boolean(json))
		return wrong(m);
	v->value_case = CARDEA__V1__VALUE__VALUE_FLAG;
	v->flag = json_is_true(json);
	return 0;
}

static int make_id(const struct maker *m, Cardea__V1__Value *v, const struct field *f,
		   const json_t *json)
{
	const json_t *id = f->type == FIELD_FOREIGN ? json_object_get(json, "id") : json;
	struct str s = {json_string_value(id), json_string_length(id)};
	unsigned char *bytes;

	if (!json_is_string(id) || !uuid_is(s))
		return wrong(m);
	bytes = room(m, ID_SIZE);
	if (!bytes)
		return -1;
	uuid_bytes(s, bytes);
	v->value_case = CARDEA__V1__VALUE__VALUE_ID;
	v->id = (ProtobufCBinaryData){ID_SIZE, bytes};
	return 0;
}

static int make_list(const struct maker *m, Cardea__V1__Value *v, const struct field *f,
		     const json_t *json)
{
	Cardea__V1__List *list = room(m, sizeof(*list));
	size_t n = json_array_size(json), i;
	const json_t *item;

	if (!json_is_array(json))
		return wrong(m);
	if (!list)
		return -1;
	cardea__v1__list__init(list);
	list->items = room(m, (n + 1) * sizeof(Cardea__V1__Value *));
	if (!list->items)
		return -1;
	json_array_foreach(json, i, item)
	{
		if (make_value(m, &list->items[i], f->elements, item) < 0)
			return -1;
		list->n_items = i + 1;
	}
	v->value_case = CARDEA__V1__VALUE__VALUE_LIST;
	v->list = list;
	return 0;
}

static int add_field(const struct maker *m, Cardea__V1__Field **fields, size_t *count,
		     const char *name, const struct field *f, const json_t *json)
{
	Cardea__V1__Field *field;

	if (!json || json_is_null(json))
		return 0;
	field = room(m, sizeof(*field));
	if (!field)
		return -1;
	cardea__v1__field__init(field);
	field->name = text(name);
	if (make_value(m, &field->value, f, json) < 0)
		return -1;
	fields[(*count)++] = field;
	return 0;
}

/* A map: every key, in its order. */
static int add_keys(const struct maker *m, Cardea__V1__Record *record, const struct field *f,
		    const json_t *json)
{
	json_t *object = (json_t *)(uintptr_t)json;

	for (void *it = json_object_iter(object); it; it = json_object_iter_next(object, it))
		if (add_field(m, record->fields, &record->n_fields, json_object_iter_key(it),
			      &f->elements[1], json_object_iter_value(it)) < 0)
			return -1;
	return 0;
}

/* A secret inside a record is for the control plane (the account of plugin "acme"). */
static int add_fields(const struct maker *m, Cardea__V1__Record *record, const struct field *f,
		      const json_t *json)
{
	for (size_t i = 0; i < f->field_count; i++)
		if (!(f->fields[i].flags & FIELD_SECRET) &&
		    add_field(m, record->fields, &record->n_fields, f->fields[i].name,
			      &f->fields[i], json_object_get(json, f->fields[i].name)) < 0)
			return -1;
	return 0;
}

static int make_record(const struct maker *m, Cardea__V1__Value *v, const struct field *f,
		       const json_t *json)
{
	size_t n = f->type == FIELD_MAP ? json_object_size(json) : f->field_count;
	Cardea__V1__Record *record = room(m, sizeof(*record));

	if (!json_is_object(json))
		return wrong(m);
	if (!record)
		return -1;
	cardea__v1__record__init(record);
	record->fields = room(m, (n + 1) * sizeof(Cardea__V1__Field *));
	if (!record->fields)
		return -1;
	v->value_case = CARDEA__V1__VALUE__VALUE_RECORD;
	v->record = record;
	return f->type == FIELD_MAP ? add_keys(m, record, f, json) : add_fields(m, record, f, json);
}

static make_fn *const makers[] = {
	[FIELD_STRING] = make_text,   [FIELD_INTEGER] = make_integer,
	[FIELD_NUMBER] = make_number, [FIELD_BOOLEAN] = make_flag,
	[FIELD_UUID] = make_id,	      [FIELD_TIMESTAMP] = make_number,
	[FIELD_FOREIGN] = make_id,    [FIELD_SET] = make_list,
	[FIELD_ARRAY] = make_list,    [FIELD_MAP] = make_record,
	[FIELD_RECORD] = make_record,
};

static int make_value(const struct maker *m, Cardea__V1__Value **out, const struct field *f,
		      const json_t *json)
{
	Cardea__V1__Value *v = room(m, sizeof(*v));

	if (!v)
		return -1;
	cardea__v1__value__init(v);
	*out = v;
	return makers[f->type](m, v, f, json);
}

/* --- the entity --- */

/* What a node has no use for, or has elsewhere. */
static bool is_left_out(const struct field *f)
{
	return (f->flags & FIELD_TRANSIENT) || strcmp(f->name, "id") == 0 ||
	       strcmp(f->name, "updated_at") == 0;
}

static size_t field_count(const struct entity *t)
{
	size_t n = 0;

	while (entity_field_at(t, n))
		n++;
	return n;
}

int wire_entity(struct Cardea__V1__Entity **out, struct arena *a, const struct entity *t,
		const json_t *row, struct err *e)
{
	struct maker m = {a, t, NULL, e};
	Cardea__V1__Entity *entity = room(&m, sizeof(*entity));
	Cardea__V1__Record *record = room(&m, sizeof(*record));

	if (!entity || !record)
		return -1;
	cardea__v1__entity__init(entity);
	cardea__v1__record__init(record);
	entity->kind = text(t->name);
	entity->fields = record;
	record->fields = room(&m, field_count(t) * sizeof(Cardea__V1__Field *));
	if (!record->fields)
		return -1;
	for (size_t i = 0; (m.field = entity_field_at(t, i)); i++) {
		const struct field *f = m.field;
		const json_t *json = json_object_get(row, f->name);

		if (f->variant && f->variant(row))
			f = f->variant(row);
		if (!is_left_out(m.field) &&
		    add_field(&m, record->fields, &record->n_fields, m.field->name, f, json) < 0)
			return -1;
	}
	*out = entity;
	return 0;
}
