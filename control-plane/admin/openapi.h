/* The OpenAPI 3.1 description of the admin API: made from the table of routes, the entities' tables
 * and openapi_docs.c. Pure. Thread: any. */
#ifndef CARDEA_ADMIN_OPENAPI_H
#define CARDEA_ADMIN_OPENAPI_H

#include <jansson.h>
#include <stdbool.h>

/* The whole document; a new reference, NULL when out of memory. auth_required: whether requests
 * without credentials are refused. */
json_t *openapi_make(bool auth_required);

#endif
