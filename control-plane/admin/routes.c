/* The table of the admin API's paths. */
#include "control-plane/admin/crud.h"
#include "control-plane/admin/handlers.h"
#include "control-plane/admin/router.h"

const struct route admin_routes[] = {
	{.pattern = "/", .get = info_root},
	{.pattern = "/status", .get = info_status},
	{.pattern = "/status/ready", .get = info_ready, .post = info_drain},
	{.pattern = "/metrics", .get = info_metrics},
	{.pattern = "/endpoints", .get = info_endpoints},
	{.pattern = "/tags", .get = tags_all},
	{.pattern = "/tags/:tag", .get = tags_one},
	{.pattern = "/schemas/plugins/validate", .post = schemas_validate},
	{.pattern = "/schemas/plugins/:name", .get = schemas_plugin},
	{.pattern = "/schemas/vaults/:name", .get = schemas_vault},
	{.pattern = "/schemas/:entity/validate", .post = schemas_validate},
	{.pattern = "/schemas/:entity", .get = schemas_entity},
	{.pattern = "/plugins/enabled", .get = schemas_enabled_plugins},
	{.pattern = "/plugins/schema/:name", .get = schemas_config},
	{.pattern = "/upstreams/:upstream/targets/all", .get = upstream_targets_all},
	{.pattern = "/upstreams/:upstream/health", .get = upstream_health},
	{.pattern = "/clustering/data-planes", .get = clustering_data_planes},
	{.pattern = "/clustering/status", .get = clustering_status},
	{.pattern = "/admin/tokens", .get = tokens_list, .post = tokens_create},
	{.pattern = "/admin/tokens/:token", .get = tokens_get, .del = tokens_revoke},
	{.pattern = "/audit", .get = audit_list},
	{.pattern = "/acme", .post = acme_api_create, .patch = acme_api_renew},
	{.pattern = "/acme/orders", .get = acme_api_orders},
	{.pattern = "/acme/orders/:id", .get = acme_api_order},
	{.pattern = "/acme/orders/:id/retry", .post = acme_api_retry},
	{.pattern = NULL},
};

const struct route admin_entity_routes[ROUTES_OF_ENTITY] = {
	{.pattern = "/:entity", .get = crud_list, .post = crud_post},
	{.pattern = "/:entity/:key",
	 .get = crud_get,
	 .put = crud_put,
	 .patch = crud_patch,
	 .del = crud_delete},
	{.pattern = "/:parent/:key/:entity", .get = crud_list, .post = crud_post},
	{.pattern = "/:parent/:key/:entity/:key",
	 .get = crud_get,
	 .put = crud_put,
	 .patch = crud_patch,
	 .del = crud_delete},
	{.pattern = "/:child/:key/:reference",
	 .get = crud_reverse_get,
	 .put = crud_reverse_put,
	 .patch = crud_reverse_patch,
	 .del = crud_reverse_delete},
};
