/* Field tables as JSON Schema (2020-12), for the OpenAPI description. Whole entities and the config
 * of plugins are referred to below #/components/schemas/. Pure. Thread: any; tables are constant.
 */
#ifndef CARDEA_MODEL_JSON_SCHEMA_H
#define CARDEA_MODEL_JSON_SCHEMA_H

#include "control-plane/model/entity.h"
#include "control-plane/model/plugin_schemas.h"

enum json_schema_use {
	JSON_SCHEMA_SHOWN,  /* what an answer holds: every field */
	JSON_SCHEMA_WHOLE,  /* what POST and PUT take */
	JSON_SCHEMA_CHANGE, /* what PATCH takes */
	JSON_SCHEMA_USES,
};

/* A new reference; NULL when out of memory. */
json_t *json_schema_of_entity(const struct entity *t, enum json_schema_use use);
json_t *json_schema_of_config(const struct plugin_schema *p, enum json_schema_use use);
/* The name of an entity's component: "service", "service.whole", "service.change". Appends. */
int json_schema_name(struct buf *out, const char *thing, enum json_schema_use use,
		     struct err *e) must_check;

#endif
