/* The healthchecks record of upstreams: its fields and all its defaults. Private to
 * control-plane/model/. Thread: any. */
#ifndef CARDEA_MODEL_HEALTHCHECKS_H
#define CARDEA_MODEL_HEALTHCHECKS_H

#include "control-plane/model/field.h"

enum { HEALTHCHECKS_FIELDS = 4 };
extern const struct field healthchecks_fields[HEALTHCHECKS_FIELDS];

#endif
