/* Entities as the stream's generic message, by their field tables: a field that is added to a table
 * is sent. Thread: any. */
#ifndef CARDEA_FLEET_WIRE_H
#define CARDEA_FLEET_WIRE_H

#include <jansson.h>

#include "common/core/arena.h"
#include "common/core/err.h"
#include "control-plane/model/entity.h"

struct Cardea__V1__Entity;

/* Lives in the arena, and points into row and t. ERR_INVALID: row is not what t describes; names
 * the field. ERR_MEMORY: the arena is full. */
int wire_entity(struct Cardea__V1__Entity **out, struct arena *a, const struct entity *t,
		const json_t *row, struct err *e) must_check;

#endif
