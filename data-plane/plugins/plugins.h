/* The plugins that this data plane has. Adding one: its file in this folder and a line in
 * plugins.c; its schema is in the control plane's plugin_schemas.c. */
#ifndef CARDEA_PLUGINS_PLUGINS_H
#define CARDEA_PLUGINS_PLUGINS_H

#include "data-plane/proxy/plugin_type.h"

/* All of them, by priority; NULL at the end. The position is plugin.kind of the tables. */
extern const struct plugin_type *const plugin_types[];
/* The same list as the tables want it. */
extern const struct plugin_kind *const plugin_kinds[];
/* Each in its file. */
extern const struct plugin_type plugin_ssl;
extern const struct plugin_type plugin_mtls_auth;
extern const struct plugin_type plugin_header_cert_auth;
extern const struct plugin_type plugin_tls_handshake_modifier;
extern const struct plugin_type plugin_tls_metadata_headers;
extern const struct plugin_type plugin_request_size_limiting;
extern const struct plugin_type plugin_request_termination;

#endif
