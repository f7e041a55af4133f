#include "tests/unit/lib/entity_bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data-plane/tables/fields.h"
#include "tests/unit/lib/oom.h"
#include "tests/unit/lib/testentity.h"

void entity_bed_init(struct entity_bed *b, const struct plugin_kind *const *plugin_kinds)
{
	struct err e = ERR_INIT;

	*b = (struct entity_bed){0};
	if (tables_create(&b->tables, plugin_kinds, &e) < 0)
		fail_msg("%s", e.message);
}

void entity_bed_deinit(struct entity_bed *b)
{
	tables_free(b->tables);
	b->tables = NULL;
}

const unsigned char *entity_bed_id(struct entity_bed *b, unsigned id)
{
	memset(b->id, (int)id, sizeof(b->id));
	return b->id;
}

int entity_bed_stage(struct entity_bed *b, enum entities_kind kind, unsigned id, const char *fields,
		     struct err *e)
{
	struct tables *t = b->tables;
	const struct fields *f;
	struct arena memory;
	int rc;

	if (!fields)
		return entities_remove(&t->entities, &t->txn, kind, entity_bed_id(b, id), e);
	arena_init(&memory, 0);
	oom_pause();
	f = fields_of(testentity_record(&memory, fields));
	oom_go_on();
	rc = entities_put(&t->entities, &t->txn, kind, entity_bed_id(b, id), f, str_from(fields),
			  e);
	arena_deinit(&memory);
	return rc;
}

void entity_bed_commit(struct entity_bed *b)
{
	struct tables_culprit c;
	struct err e = ERR_INIT;

	if (tables_commit(b->tables, &c, &e) < 0)
		fail_msg("%s", e.message);
}

void entity_bed_put(struct entity_bed *b, enum entities_kind kind, unsigned id, const char *fields)
{
	struct err e = ERR_INIT;

	tables_begin(b->tables, false);
	if (entity_bed_stage(b, kind, id, fields, &e) < 0)
		fail_msg("%s: %s", fields, e.message);
	entity_bed_commit(b);
}

const char *entity_bed_refusal(struct entity_bed *b, enum entities_kind kind, const char *fields)
{
	int rc;

	b->refusal = (struct err)ERR_INIT;
	tables_begin(b->tables, false);
	rc = entity_bed_stage(b, kind, 0xff, fields, &b->refusal);
	tables_abort(b->tables);
	assert_int_equal(rc, b->refusal.message[0] ? -1 : 0);
	return b->refusal.message;
}
