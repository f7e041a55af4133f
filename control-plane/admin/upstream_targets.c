/* The special lists of an upstream's targets: all of them, and their health
 * (kong-admin-api.md 2.7), as the data planes of the cluster see it: every control plane answers
 * alike.
 *
 * A target is HEALTHY when one of its addresses is for one of them; HEALTHCHECKS_OFF when its
 * upstream's checks are off, or no data plane is there to make them.
 *
 * Happy path: the page of targets -> what is known of each -> shown. Without what is known: 503. */
#include <string.h>

#include "control-plane/admin/crud.h"
#include "control-plane/admin/fault.h"
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

static json_t *weight_json(json_int_t available, json_int_t unavailable)
{
	return json_pack("{s:I, s:I, s:I}", "total", available + unavailable, "available",
			 available, "unavailable", unavailable);
}

/* host:port in its parts; IPv6 addresses stand in brackets. state: what data planes say, or NULL
 * when nobody looks after it. */
static json_t *target_data(const json_t *target, const json_t *state)
{
	const char *text = json_string_value(json_object_get(target, "target"));
	const char *colon = text ? strrchr(text, ':') : NULL;
	json_int_t weight = json_integer_value(json_object_get(target, "weight"));
	json_int_t available =
		state ? json_integer_value(json_object_get(state, "available")) : weight;
	json_int_t unavailable = json_integer_value(json_object_get(state, "unavailable"));
	json_t *addresses = json_object_get(state, "addresses");
	uint64_t port = 0;

	if (!colon || str_u64(str_from(colon + 1), &port) < 0)
		return NULL;
	return json_pack("{s:s%, s:I, s:I, s:o, s:o}", "host", text, (size_t)(colon - text), "port",
			 (json_int_t)port, "nodeWeight", weight, "weight",
			 weight_json(available, unavailable), "addresses",
			 addresses ? json_incref(addresses) : json_array());
}

/* NULL: nobody looks after it. */
static json_t *state_of(const struct admin_request *r, const json_t *target)
{
	return json_object_get(r->states, json_string_value(json_object_get(target, "id")));
}

static const char *health_of(const json_t *state)
{
	const char *health = json_string_value(json_object_get(state, "health"));

	return health ? health : "HEALTHCHECKS_OFF";
}

static void add_health(struct admin_request *r, json_t *page)
{
	json_t *target;
	size_t i;

	json_array_foreach(json_object_get(page, "data"), i, target)
	{
		json_t *state = state_of(r, target);
		json_t *data = target_data(target, state);

		if (data)
			json_object_set_new(target, "data", data);
		json_object_set_new(target, "health", json_string(health_of(state)));
	}
	json_object_set_new(page, "node_id", json_string(r->ctx->conf.control_plane_id));
}

/* Of all targets of a page. */
struct totals {
	json_int_t available, unavailable;
	bool watched; /* some data plane looks after one */
	json_t *hosts;
};

static struct totals add_up(struct admin_request *r, const json_t *page)
{
	struct totals sum = {.hosts = json_array()};
	json_t *target;
	size_t i;

	json_array_foreach(json_object_get(page, "data"), i, target)
	{
		json_t *state = state_of(r, target);
		json_t *data = target_data(target, state);
		const json_t *weight = json_object_get(data, "weight");

		sum.watched |= state != NULL;
		sum.available += json_integer_value(json_object_get(weight, "available"));
		sum.unavailable += json_integer_value(json_object_get(weight, "unavailable"));
		if (data)
			json_array_append_new(sum.hosts, data);
	}
	return sum;
}

/* The upstream as a whole, in place of the page. */
static void make_balancer_health(struct admin_request *r, json_t *page)
{
	struct totals sum = add_up(r, page);
	bool healthy = !sum.watched || sum.available > 0;
	const char *health = !sum.watched ? "HEALTHCHECKS_OFF" : healthy ? "HEALTHY" : "UNHEALTHY";

	json_object_clear(page);
	json_object_set_new(
		page, "data",
		json_pack("{s:s, s:s, s:s, s:{s:b, s:o, s:o}}", "health", health, "balancer_health",
			  health, "id", r->parent_id, "details", "healthy", healthy, "weight",
			  weight_json(sum.available, sum.unavailable), "hosts", sum.hosts));
	json_object_set_new(page, "next", json_null());
	json_object_set_new(page, "node_id", json_string(r->ctx->conf.control_plane_id));
}

static void on_states(json_t *states, void *arg)
{
	struct admin_request *r = arg;
	const struct store_result away = {.fault = STORE_UNAVAILABLE};

	if (!admin_resume(r))
		return;
	if (!states) {
		fault_reply(r, r->entity, &away);
		return;
	}
	r->states = json_incref(states);
	r->checked(r);
}

static void fill_health(struct admin_request *r, admin_handler next)
{
	json_t *ids = json_array();
	json_t *row;
	size_t i;

	json_array_foreach(r->rows, i, row) json_array_append(ids, json_object_get(row, "id"));
	r->checked = next;
	admin_suspend(r);
	fleet_target_health(r->ctx->fleet, ids, on_states, r);
	json_decref(ids);
}

void upstream_health(struct admin_request *r)
{
	bool whole = str_eq(admin_query(r, "balancer_health"), STR("1"));

	r->fill_page = fill_health;
	r->finish_page = whole ? make_balancer_health : add_health;
	list_targets(r);
}
