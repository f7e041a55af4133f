/* The special lists of an upstream's targets: all of them, and their health
 * (kong-admin-api.md 2.7). Nobody probes yet, which is what the health says. */
#include "control-plane/admin/crud.h"
#include "control-plane/admin/handlers.h"

static void list_targets(struct admin_request *r)
{
	r->entity = &entity_targets;
	r->parent = &entity_upstreams;
	r->parent_key = r->segments[1];
	crud_list(r);
}

void upstream_targets_all(struct admin_request *r)
{
	list_targets(r);
}

static void add_health(struct admin_request *r, json_t *page)
{
	json_t *target;
	size_t i;

	json_array_foreach(json_object_get(page, "data"), i, target)
		json_object_set_new(target, "health", json_string("HEALTHCHECKS_OFF"));
	json_object_set_new(page, "node_id", json_string(r->ctx->conf.control_plane_id));
}

void upstream_health(struct admin_request *r)
{
	r->finish_page = add_health;
	list_targets(r);
}
