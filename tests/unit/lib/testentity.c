#include "tests/unit/lib/testentity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cardea/v1/fleet.pb-c.h"

enum { FIELDS_MAX = 16 };

static Cardea__V1__Value *make_value(struct arena *a, struct str s);

/* NUL-terminated, in the arena. */
static char *copy(struct arena *a, struct str s)
{
	char *text = arena_alloc(a, s.len + 1);

	if (s.len)
		memcpy(text, s.ptr, s.len);
	return text;
}

/* As str_split, but not within brackets. */
static bool split(struct str *rest, char c, struct str *head)
{
	size_t depth = 0, at = 0;

	if (!rest->ptr)
		return false;
	for (; at < rest->len && (depth > 0 || rest->ptr[at] != c); at++) {
		depth += rest->ptr[at] == '[' || rest->ptr[at] == '{';
		depth -= depth > 0 && (rest->ptr[at] == ']' || rest->ptr[at] == '}');
	}
	*head = str_sub(*rest, 0, at);
	*rest = at < rest->len ? str_sub(*rest, at + 1, rest->len) : STR_NONE;
	return true;
}

static Cardea__V1__List *make_list(struct arena *a, struct str s)
{
	Cardea__V1__List *list = arena_alloc(a, sizeof(*list));
	struct str item;

	cardea__v1__list__init(list);
	list->items = arena_alloc(a, FIELDS_MAX * sizeof(Cardea__V1__Value *));
	while (s.len > 0 && split(&s, ',', &item))
		list->items[list->n_items++] = make_value(a, item);
	return list;
}

static Cardea__V1__Record *make_record(struct arena *a, struct str s, char between, char equals)
{
	Cardea__V1__Record *record = arena_alloc(a, sizeof(*record));
	struct str part;

	cardea__v1__record__init(record);
	record->fields = arena_alloc(a, FIELDS_MAX * sizeof(Cardea__V1__Field *));
	while (s.len > 0 && split(&s, between, &part)) {
		size_t at = str_find(part, equals, 0);
		Cardea__V1__Field *f = arena_alloc(a, sizeof(*f));

		assert_true(record->n_fields < FIELDS_MAX);
		cardea__v1__field__init(f);
		f->name = copy(a, str_sub(part, 0, at));
		if (at < part.len)
			f->value = make_value(a, str_sub(part, at + 1, part.len));
		record->fields[record->n_fields++] = f;
	}
	return record;
}

static void make_id(struct arena *a, Cardea__V1__Value *v, struct str s)
{
	v->value_case = CARDEA__V1__VALUE__VALUE_ID;
	if (s.len == 1) {
		v->id = (ProtobufCBinaryData){16, arena_alloc(a, 16)};
		memset(v->id.data, s.ptr[0], 16);
	} else {
		v->id = (ProtobufCBinaryData){s.len, (uint8_t *)copy(a, s)};
	}
}

static Cardea__V1__Value *make_value(struct arena *a, struct str s)
{
	Cardea__V1__Value *v = arena_alloc(a, sizeof(*v));
	struct str inner = str_sub(s, 1, s.len ? s.len - 1 : 0);

	cardea__v1__value__init(v);
	if (str_eq(s, STR("!"))) {
		v->value_case = CARDEA__V1__VALUE__VALUE_FLAG;
		v->flag = 1;
	} else if (str_eq(s, STR("!no"))) {
		v->value_case = CARDEA__V1__VALUE__VALUE_FLAG;
		v->flag = 0;
	} else if (str_starts(s, STR("%")) && str_find(s, '.', 0) < s.len) {
		v->value_case = CARDEA__V1__VALUE__VALUE_NUMBER;
		v->number = strtod(copy(a, str_sub(s, 1, s.len)), NULL);
	} else if (str_starts(s, STR("#"))) {
		make_id(a, v, str_sub(s, 1, s.len));
	} else if (str_starts(s, STR("%"))) {
		v->value_case = CARDEA__V1__VALUE__VALUE_INTEGER;
		v->integer = strtoll(copy(a, str_sub(s, 1, s.len)), NULL, 10);
	} else if (str_starts(s, STR("["))) {
		v->value_case = CARDEA__V1__VALUE__VALUE_LIST;
		v->list = make_list(a, inner);
	} else if (str_starts(s, STR("{"))) {
		v->value_case = CARDEA__V1__VALUE__VALUE_RECORD;
		v->record = make_record(a, inner, ';', ':');
	} else { /* a quote before it says so */
		v->value_case = CARDEA__V1__VALUE__VALUE_TEXT;
		v->text = copy(a, str_sub(s, str_starts(s, STR("'")), s.len));
	}
	return v;
}

struct Cardea__V1__Record *testentity_record(struct arena *a, const char *fields)
{
	return make_record(a, str_from(fields), ' ', '=');
}

struct Cardea__V1__Record *testentity_text(struct arena *a, const char *fields, const char *name,
					   struct str text)
{
	Cardea__V1__Record *record = testentity_record(a, fields);
	Cardea__V1__Field *f = arena_alloc(a, sizeof(*f));

	assert_true(record->n_fields < FIELDS_MAX);
	cardea__v1__field__init(f);
	f->name = copy(a, str_from(name));
	f->value = make_value(a, STR("x"));
	f->value->text = copy(a, text);
	record->fields[record->n_fields++] = f;
	return record;
}

void testentity_change(struct buf *out, unsigned id, const char *kind, const char *fields)
{
	Cardea__V1__Change change;
	Cardea__V1__Entity entity;
	unsigned char bytes[16];
	struct arena a;

	arena_init(&a, 0);
	memset(bytes, (int)id, sizeof(bytes));
	cardea__v1__change__init(&change);
	cardea__v1__entity__init(&entity);
	change.id = (ProtobufCBinaryData){sizeof(bytes), bytes};
	change.entity_case = CARDEA__V1__CHANGE__ENTITY_OTHER;
	change.other = &entity;
	entity.kind = copy(&a, str_from(kind));
	entity.fields = testentity_record(&a, fields);
	assert_int_equal(buf_reserve(out, cardea__v1__change__get_packed_size(&change), NULL), 0);
	out->len += cardea__v1__change__pack(&change, (uint8_t *)out->data + out->len);
	arena_deinit(&a);
}
