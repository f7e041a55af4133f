/* Tables whose entities are staged from lines of text (see testentity.h). */
#ifndef CARDEA_TESTS_ENTITY_BED_H
#define CARDEA_TESTS_ENTITY_BED_H

#include "data-plane/tables/tables.h"

struct entity_bed {
	struct tables *tables;
	unsigned char id[ENTITY_ID_SIZE]; /* see entity_bed_id */
	struct err refusal;		  /* see entity_bed_refusal */
};

/* Fails the test when it cannot. */
void entity_bed_init(struct entity_bed *b, const struct plugin_kind *const *plugin_kinds);
/* What was freed is no longer there. */
void entity_bed_deinit(struct entity_bed *b);

/* A change of one entity in the open transaction; id is one byte repeated. */
int entity_bed_stage(struct entity_bed *b, enum entities_kind kind, unsigned id, const char *fields,
		     struct err *e);
/* The same as a revision of its own; NULL: removed. Fails the test on an error. */
void entity_bed_put(struct entity_bed *b, enum entities_kind kind, unsigned id, const char *fields);
void entity_bed_commit(struct entity_bed *b);
/* The reason for which it is refused, in b until the next call; "" when it is taken. Nothing is
 * left of it. */
const char *entity_bed_refusal(struct entity_bed *b, enum entities_kind kind, const char *fields);
/* One byte repeated, in b until the next call. */
const unsigned char *entity_bed_id(struct entity_bed *b, unsigned id);

#endif
