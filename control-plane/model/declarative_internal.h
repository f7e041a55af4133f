/* What the files of the declarative format share. Private to control-plane/model/. */
#ifndef CARDEA_MODEL_DECLARATIVE_INTERNAL_H
#define CARDEA_MODEL_DECLARATIVE_INTERNAL_H

#include "common/core/map.h"
#include "control-plane/model/declarative.h"

enum { DECLARATIVE_KINDS_MAX = 32 };

/* Whether documents list entities of t. */
bool declarative_has(const struct entity *t);
/* Whether lists of `child` stand in entities of t. */
bool declarative_nests(const struct entity *t, const struct entity *child);
/* input without what is nested in it; shallow, new reference. */
json_t *declarative_own(const struct entity *t, const json_t *input);
/* Adds a text that is told only when all items are right by themselves. key: what Kong tells it
 * under in place of the position; NULL: the position. */
void declarative_late(struct declarative *d, size_t item, const char *key, const char *fmt, ...)
	printf_like(4, 5);
/* Id of what the item refers to by f; NULL: nothing. */
const char *declarative_refers(const struct declarative *d, const struct declarative_item *item,
			       const struct field *f);
/* Whether there is a field of this name that is of no entity (_comment); *text: why value cannot be
 * it, or NULL. */
bool declarative_meta(const char *name, const json_t *value, const char **text);
/* Fills in item->id: the one given, or made. occurrences: of ids made out of content, to how many
 * there are. -1: out of memory. */
int declarative_take_id(const struct declarative *d, struct declarative_item *item,
			struct map *occurrences) must_check;
/* What all rows together must keep, references inside plugins' config included
 * (declarative_unique.c). */
void declarative_unique(struct declarative *d);

#endif
