/* The plugins that are known: name, and what their config holds. Adding one: a row in
 * plugin_schemas.c. Thread: any; tables are constant. */
#ifndef CARDEA_MODEL_PLUGIN_SCHEMAS_H
#define CARDEA_MODEL_PLUGIN_SCHEMAS_H

#include "control-plane/model/field.h"

enum plugin_scope {
	PLUGIN_FOR_CONSUMER = 1 << 0,
	PLUGIN_FOR_SERVICE = 1 << 1,
	PLUGIN_FOR_ROUTE = 1 << 2,
};

struct plugin_schema {
	const char *name;
	const char *version;
	int priority;	     /* larger ones run first */
	struct field config; /* named "config", a required RECORD */
	/* Checks over several fields of config, after each is right; paths begin with "config.".
	 * May be NULL. */
	void (*check)(const json_t *config, struct violations *v);
	unsigned refuses; /* PLUGIN_FOR_...: what it cannot be scoped to */
};

/* The plugin of Kong 0.3 to 0.9 that gave a host its certificate. Its config.cert and config.key
 * are TRANSIENT: they stand in the certificate that has the plugin's id
 * (control-plane/admin/plugin_certificate.h). */
#define PLUGIN_SSL "ssl"

/* NULL when there is none of that name. */
const struct plugin_schema *plugin_schema_find(struct str name);
/* All; NULL at the end. */
const struct plugin_schema *plugin_schema_at(size_t i);

#endif
