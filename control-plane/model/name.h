/* Names in entities: Kong's shared validators (kong-admin-api.md 2). Field checks. Thread: any. */
#ifndef CARDEA_MODEL_NAME_H
#define CARDEA_MODEL_NAME_H

#include <jansson.h>

#include "common/core/err.h"

/* Of ASCII only letters, digits, `.`, `-`, `_` and `~`; any other UTF-8. */
int name_check(const json_t *value, struct err *e) must_check;
/* A header's name. */
int name_check_header(const json_t *value, struct err *e) must_check;
/* A cookie's name. */
int name_check_cookie(const json_t *value, struct err *e) must_check;

#endif
