/* Host names in entities: Kong's shared validators (kong-admin-api.md 2). Thread: any. */
#ifndef CARDEA_MODEL_HOST_H
#define CARDEA_MODEL_HOST_H

#include <jansson.h>

#include "common/core/err.h"

/* A field check: a host name with at most one `*`, as first or last character; `*` alone. */
int host_check_wildcard(const json_t *value, struct err *e) must_check;

#endif
