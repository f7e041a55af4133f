/* Handlers of the special paths. Thread: the loop. */
#ifndef CARDEA_ADMIN_HANDLERS_H
#define CARDEA_ADMIN_HANDLERS_H

#include "control-plane/admin/request.h"

/* root.c (kong-admin-api.md 3.2) */
void info_root(struct admin_request *r);

/* info.c (3.3, 3.9) */
void info_status(struct admin_request *r);
void info_ready(struct admin_request *r);
void info_drain(struct admin_request *r);
void info_metrics(struct admin_request *r);
void info_endpoints(struct admin_request *r);

/* log_level.c (3.7): this control plane's, or that of all */
void log_level_get(struct admin_request *r);
void log_level_put(struct admin_request *r);
void log_level_put_all(struct admin_request *r);

/* openapi.c */
void openapi_get(struct admin_request *r);

/* config_api.c (3.4) */
void config_get(struct admin_request *r);
void config_post(struct admin_request *r);

/* tags.c (1.8) */
void tags_all(struct admin_request *r);
void tags_one(struct admin_request *r);

/* schemas.c (3.5) */
void schemas_entity(struct admin_request *r);
void schemas_plugin(struct admin_request *r);
void schemas_config(struct admin_request *r);
void schemas_vault(struct admin_request *r);
void schemas_validate(struct admin_request *r);
void schemas_enabled_plugins(struct admin_request *r);

/* upstream_targets.c (2.7) */
void upstream_targets_all(struct admin_request *r);
void upstream_health(struct admin_request *r);

/* tokens.c */
void tokens_list(struct admin_request *r);
void tokens_create(struct admin_request *r);
void tokens_get(struct admin_request *r);
void tokens_revoke(struct admin_request *r);

/* audit_list.c: newest first, in pages */
void audit_list(struct admin_request *r);

/* clustering.c (3.6) */
void clustering_data_planes(struct admin_request *r);
void clustering_status(struct admin_request *r);

/* apis_api.c, apis_list.c and apis_plugins.c: Kong 0.3 to 0.14 (kong-acme-hybrid.md 4) */
void apis_list(struct admin_request *r);
void apis_get(struct admin_request *r);
void apis_post(struct admin_request *r);
void apis_put(struct admin_request *r);
void apis_patch(struct admin_request *r);
void apis_delete(struct admin_request *r);
void apis_plugins_list(struct admin_request *r);
void apis_plugins_get(struct admin_request *r);
void apis_plugins_post(struct admin_request *r);
void apis_plugins_put(struct admin_request *r);
void apis_plugins_patch(struct admin_request *r);
void apis_plugins_delete(struct admin_request *r);
/* Gives errors the form of that time. First thing in each. */
void apis_begin(struct admin_request *r);

/* acme_accounts_api.c */
void acme_accounts_list(struct admin_request *r);
void acme_accounts_patch(struct admin_request *r);
void acme_accounts_delete(struct admin_request *r);
void acme_accounts_agree(struct admin_request *r);
void acme_accounts_rollover(struct admin_request *r);
void acme_authorities_status(struct admin_request *r);
/* acme_api.c (kong-acme-hybrid.md 1.4, and Cardea's orders) */
void acme_api_create(struct admin_request *r);
void acme_api_renew(struct admin_request *r);
void acme_api_orders(struct admin_request *r);
void acme_api_order(struct admin_request *r);
void acme_api_retry(struct admin_request *r);
/* acme_hosts.c */
void acme_hosts_list(struct admin_request *r);
void acme_hosts_events(struct admin_request *r);
/* acme_certificates.c */
void acme_api_certificates(struct admin_request *r);
void acme_api_certificate(struct admin_request *r);
/* acme_replace.c */
void acme_replace_post(struct admin_request *r);
void acme_replace_get(struct admin_request *r);
/* acme_import.c */
void acme_import_post(struct admin_request *r);
/* acme_revoke.c */
void acme_revoke_post(struct admin_request *r);

#endif
