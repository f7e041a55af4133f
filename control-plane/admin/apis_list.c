/* Routes are read in pages, each with what an api needs, until there is one api more than was asked
 * for or no route is left.
 *
 *   page of routes ─▶ route ─▶ service, plugin ─▶ shown, or passed over ─▶ next route ...
 */
#include "control-plane/admin/apis_list.h"

#include <stdlib.h>
#include <string.h>

#include "control-plane/admin/apis_bundle.h"
#include "control-plane/admin/fault.h"
#include "control-plane/admin/handlers.h"
#include "control-plane/admin/page.h"

/* Routes read at a time. */
enum { ROUTES_STEP = 100 };

struct apis_list {
	unsigned size;
	json_t *data;	/* shown apis: at most size + 1 */
	json_t *routes; /* the page that is worked on */
	size_t i;	/* in routes */
	bool more;	/* there are routes after this page */
	bool offset;	/* the client asked for what comes after another page */
};

void apis_list_free(struct apis_list *l)
{
	if (!l)
		return;
	json_decref(l->data);
	json_decref(l->routes);
	free(l);
}

static void read_routes(struct admin_request *r, const char *after);

/* --- the end --- */

/* Fields that the query names must have the value it says (?name=x, ?request_host=a.com). */
static bool is_wanted(struct admin_request *r, const json_t *api)
{
	json_t *node = (json_t *)(uintptr_t)api;

	for (void *it = json_object_iter(node); it; it = json_object_iter_next(node, it)) {
		struct str want = admin_query(r, json_object_iter_key(it));
		json_t *value = json_object_iter_value(it);
		struct str have = {json_string_value(value), json_string_length(value)};

		if (!want.ptr || json_is_array(value))
			continue;
		if (!json_is_string(value) || !str_eq(want, have))
			return false;
	}
	return true;
}

static void reply(struct admin_request *r, json_int_t total)
{
	struct apis_list *l = r->api_list;
	json_t *page = page_make(json_incref(l->data));

	if (json_array_size(l->data) > l->size) {
		const json_t *last;

		json_array_remove(l->data, l->size);
		last = json_array_get(l->data, l->size - 1);
		page_add_next(r, page, json_pack("[O]", json_object_get(last, "id")), true);
	}
	if (total >= 0)
		json_object_set_new(page, "total", json_integer(total));
	admin_reply(r, 200, page);
}

static void on_counted(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;
	json_t *total = json_object_get(json_array_get(res->rows, 0), "total");

	if (!admin_resume(r))
		return;
	/* A list without its total is better than none. */
	reply(r, res->fault == STORE_OK && json_is_integer(total) ? json_integer_value(total) : -1);
}

/* The list is all there is: its length is the total. */
static void finish(struct admin_request *r)
{
	struct apis_list *l = r->api_list;
	size_t n = json_array_size(l->data);

	if (n <= l->size && !l->offset) {
		reply(r, (json_int_t)n);
		return;
	}
	admin_suspend(r);
	store_query(r->ctx->store,
		    "SELECT count(*) AS total FROM routes r JOIN services s ON s.id = r.service "
		    "WHERE r.protocols <@ ARRAY['http', 'https'] AND s.protocol IN ('http', "
		    "'https') AND coalesce(r.headers, '{}') = '{}' AND "
		    "coalesce(cardinality(r.snis), 0) = 0",
		    NULL, 0, on_counted, r);
}

/* --- one route after the other --- */

static void next_route(struct admin_request *r);

static void add(struct admin_request *r)
{
	struct apis_list *l = r->api_list;
	json_t *api = apis_show(&r->api->rows);

	if (!api) {
		fault_internal(r);
		return;
	}
	if (is_wanted(r, api))
		json_array_append(l->data, api);
	json_decref(api);
	next_route(r);
}

static void on_bundle(struct admin_request *r)
{
	if (r->api->rows.route)
		apis_bundle_complete(r, add);
	else
		next_route(r);
}

static void next_route(struct admin_request *r)
{
	struct apis_list *l = r->api_list;
	size_t n = json_array_size(l->routes);
	json_t *route = json_array_get(l->routes, l->i);
	const char *service =
		json_string_value(json_object_get(json_object_get(route, "service"), "id"));

	while (l->i < n && !service) {
		route = json_array_get(l->routes, ++l->i);
		service =
			json_string_value(json_object_get(json_object_get(route, "service"), "id"));
	}
	if (json_array_size(l->data) > l->size || (l->i >= n && !l->more)) {
		finish(r);
		return;
	}
	if (l->i >= n) {
		read_routes(r, json_string_value(
				       json_object_get(json_array_get(l->routes, n - 1), "id")));
		return;
	}
	l->i++;
	apis_bundle_of(r, route, on_bundle);
}

static void on_routes(const struct store_result *res, void *arg)
{
	struct admin_request *r = arg;
	struct apis_list *l = r->api_list;

	if (!admin_resume(r))
		return;
	if (res->fault != STORE_OK) {
		fault_reply(r, &apis_entity, res);
		return;
	}
	json_decref(l->routes);
	l->routes = json_copy(res->rows);
	l->i = 0;
	l->more = json_array_size(l->routes) > ROUTES_STEP;
	if (l->more)
		json_array_remove(l->routes, ROUTES_STEP);
	next_route(r);
}

static void read_routes(struct admin_request *r, const char *after)
{
	admin_suspend(r);
	store_list(r->ctx->store, &entity_routes,
		   &(struct store_page){.size = ROUTES_STEP, .after = str_from(after)}, on_routes,
		   r);
}

void apis_list(struct admin_request *r)
{
	struct apis_list *l;
	json_t *offset = NULL;
	unsigned size;

	apis_begin(r);
	if (!page_size(r, &size) || !page_offset(r, 1, &offset))
		return;
	l = r->api_list = calloc(1, sizeof(*l));
	if (l)
		*l = (struct apis_list){
			.size = size, .data = json_array(), .offset = offset != NULL};
	if (l && l->data)
		read_routes(r, json_string_value(json_array_get(offset, 0)));
	else
		fault_internal(r);
	json_decref(offset);
}
