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
	{.pattern = "/clustering/data-planes", .get = clustering_data_planes},
	{.pattern = "/clustering/status", .get = clustering_status},
	{.pattern = "/acme", .post = acme_api_create, .patch = acme_api_renew},
	{.pattern = "/acme/orders", .get = acme_api_orders},
	{.pattern = "/acme/orders/:id", .get = acme_api_order},
	{.pattern = "/acme/orders/:id/retry", .post = acme_api_retry},
	{.pattern = NULL},
};

const struct route admin_entity_routes[4] = {
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
};
