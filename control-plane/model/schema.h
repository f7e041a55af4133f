/* Field tables as Kong's clients read them: GET /schemas/{entity} (kong-admin-api.md 3.5). Thread:
 * any. */
#ifndef CARDEA_MODEL_SCHEMA_H
#define CARDEA_MODEL_SCHEMA_H

#include "control-plane/model/entity.h"
#include "control-plane/model/plugin_schemas.h"

/* {"fields":[{"name":{...}},...],"entity_checks":[...]}; a new reference, NULL when out of memory.
 * Checks that are code and no table are not told. */
json_t *schema_of_entity(const struct entity *t);
/* The same of what GET /tags lists. */
json_t *schema_of_tags(void);
/* The same for one plugin: its scopes, protocols and config. */
json_t *schema_of_plugin(const struct plugin_schema *p);
/* The fields of its config alone: {"fields":[...]}. */
json_t *schema_of_config(const struct plugin_schema *p);

#endif
