/* One line of an import: {"certificates": {...}}, the name of an entity and the entity as a POST
 * would have it. Pure. Thread: any. */
#ifndef CARDEA_BULK_LINE_H
#define CARDEA_BULK_LINE_H

#include <jansson.h>

#include "common/core/err.h"
#include "common/core/str.h"
#include "control-plane/model/entity.h"

/* input is the caller's (json_decref). ERR_INVALID never quotes the line: it may hold a key. */
int line_decode(const struct entity **t, json_t **input, struct str text, struct err *e) must_check;

#endif
