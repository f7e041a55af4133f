/* The special lists of an upstream's targets: all of them, and their health
 * (kong-admin-api.md 2.7). Nobody probes yet, which is what the health says. */
#include <string.h>

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

/* Of all targets of a page, which nobody looks after. */
static json_t *weight_json(json_int_t total)
{
	return json_pack("{s:I, s:I, s:i}", "total", total, "available", total, "unavailable", 0);
}

/* host:port in its parts; IPv6 addresses stand in brackets. */
static json_t *target_data(const json_t *target)
{
	const char *text = json_string_value(json_object_get(target, "target"));
	const char *colon = text ? strrchr(text, ':') : NULL;
	json_int_t weight = json_integer_value(json_object_get(target, "weight"));
	uint64_t port = 0;

	if (!colon || str_u64(str_from(colon + 1), &port) < 0)
		return NULL;
	return json_pack("{s:s%, s:I, s:I, s:o, s:[]}", "host", text, (size_t)(colon - text),
			 "port", (json_int_t)port, "nodeWeight", weight, "weight",
			 weight_json(weight), "addresses");
}

static void add_health(struct admin_request *r, json_t *page)
{
	json_t *target;
	size_t i;

	json_array_foreach(json_object_get(page, "data"), i, target)
	{
		json_t *data = target_data(target);

		if (data)
			json_object_set_new(target, "data", data);
		json_object_set_new(target, "health", json_string("HEALTHCHECKS_OFF"));
	}
	json_object_set_new(page, "node_id", json_string(r->ctx->conf.control_plane_id));
}

/* The upstream as a whole, in place of the page. */
static void make_balancer_health(struct admin_request *r, json_t *page)
{
	json_t *hosts = json_array();
	json_int_t total = 0;
	json_t *target;
	size_t i;

	json_array_foreach(json_object_get(page, "data"), i, target)
	{
		json_t *data = target_data(target);

		total += json_integer_value(json_object_get(target, "weight"));
		if (data)
			json_array_append_new(hosts, data);
	}
	json_object_clear(page);
	json_object_set_new(page, "data",
			    json_pack("{s:s, s:s, s:s, s:{s:b, s:o, s:o}}", "health",
				      "HEALTHCHECKS_OFF", "balancer_health", "HEALTHCHECKS_OFF",
				      "id", r->parent_id, "details", "healthy", 1, "weight",
				      weight_json(total), "hosts", hosts));
	json_object_set_new(page, "next", json_null());
	json_object_set_new(page, "node_id", json_string(r->ctx->conf.control_plane_id));
}

void upstream_health(struct admin_request *r)
{
	bool whole = str_eq(admin_query(r, "balancer_health"), STR("1"));

	r->finish_page = whole ? make_balancer_health : add_health;
	list_targets(r);
}
