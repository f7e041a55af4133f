/* Paths in entities: Kong's shared validators (kong-admin-api.md 2 and 2.5). Field checks. Thread:
 * any. */
#ifndef CARDEA_MODEL_PATH_H
#define CARDEA_MODEL_PATH_H

#include <jansson.h>

#include "common/core/err.h"
#include "common/core/str.h"

/* A path of an upstream: begins with `/`, no empty segments, characters of RFC 3986. */
int path_check(const json_t *value, struct err *e) must_check;
/* routes.paths: `/...` in normal form (common/http/path.h), or `~/...`, a regular expression. */
int path_check_route(const json_t *value, struct err *e) must_check;

#endif
