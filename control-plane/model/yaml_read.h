/* YAML 1.1 text into JSON values, by libyaml. What JSON cannot say is refused. Pure. Thread: any.
 *
 * Plain scalars become null, booleans (true, yes, on and their opposites), integers, numbers or
 * text; quoted ones stay text. Aliases are copied, `<<` merges. Refused: duplicate keys, keys that
 * are no scalars, more than one document, NUL in texts, tags of other types, and what goes over a
 * limit.
 */
#ifndef CARDEA_MODEL_YAML_READ_H
#define CARDEA_MODEL_YAML_READ_H

#include <jansson.h>

#include "common/core/err.h"
#include "common/core/str.h"

struct yaml_limits {
	size_t depth;	/* of nested lists and mappings */
	size_t aliased; /* values that all aliases together stand for */
};

/* ERR_INVALID says "line:column: what". An empty text is null. */
int yaml_read(json_t **out, struct str text, const struct yaml_limits *limits,
	      struct err *e) must_check;
/* What a plain scalar means; a new reference, NULL when out of memory. */
json_t *yaml_plain(struct str text);

#endif
