/* From method and path to a handler: a table of special paths, and the paths that follow from the
 * entities (kong-admin-api.md 1.2, 1.6). Pure. Thread: any. */
#ifndef CARDEA_ADMIN_ROUTER_H
#define CARDEA_ADMIN_ROUTER_H

#include "control-plane/admin/request.h"

/* Handlers by method; NULL: not defined there. HEAD is GET without a body, OPTIONS is the router's
 * own. */
struct route {
	const char *pattern; /* "/acme/orders/:id": segments, ":" takes any */
	admin_handler get, post, put, patch, del;
	bool older; /* of Kong 0.3 to 0.14: all its answers are marked as deprecated */
	/* post takes the body as it comes: it runs when the head is there, and replaces the
	 * exchange's handler. */
	bool streams;
};

extern const struct route admin_routes[]; /* routes.c; ends with a NULL pattern */
/* Collection, element, nested collection, nested element, and what an element refers to. */
enum { ROUTES_OF_ENTITY = 5, ROUTE_REFERENCE = 4 };
extern const struct route admin_entity_routes[ROUTES_OF_ENTITY];

enum router_verdict { ROUTER_FOUND, ROUTER_NO_PATH, ROUTER_NO_METHOD, ROUTER_OPTIONS };

/* Splits and decodes the path into r->segments (strings live in `a`), finds the route, fills in
 * entity, keys and handler. For ROUTER_OPTIONS, ROUTER_NO_METHOD and ROUTER_FOUND, *route is the
 * one. */
enum router_verdict router_find(struct admin_request *r, const struct http_request *q,
				struct arena *a, const struct route **route);
/* "GET, HEAD, OPTIONS, POST". */
struct str router_allowed(const struct route *route, struct arena *a);

#endif
