/* The config of the plugin "acme" (kong-acme-hybrid.md 1.2): Kong's way to say which authority
 * gives certificates, for which names, and where they are kept. Thread: any; tables are constant.
 */
#ifndef CARDEA_MODEL_PLUGIN_ACME_H
#define CARDEA_MODEL_PLUGIN_ACME_H

#include "control-plane/model/field.h"

#define PLUGIN_ACME "acme"

enum { PLUGIN_ACME_FIELDS = 17 };
extern const struct field plugin_acme_config[PLUGIN_ACME_FIELDS];

/* Rules over several fields; paths begin with "config.". */
void plugin_acme_check(const json_t *config, struct violations *v);

/* Whether a plugin with this config may get a certificate for a name, in lower case: any with
 * allow_any_domain, else one of `domains`: a name itself, "*.a.com" for what ends with ".a.com",
 * "a.*" for what begins with "a." (which Kong takes and never matches). */
bool plugin_acme_allows(const json_t *config, struct str name) must_check;

#endif
