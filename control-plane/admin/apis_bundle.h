/* Reads an api: its route and service, and, when asked for, the ssl plugin of the route with its
 * certificate. Kept in r->api. Thread: the loop. */
#ifndef CARDEA_ADMIN_APIS_BUNDLE_H
#define CARDEA_ADMIN_APIS_BUNDLE_H

#include "control-plane/admin/apis.h"
#include "control-plane/admin/request.h"

struct apis_bundle {
	/* read: NULL where there is none; with "version" */
	struct apis_rows rows;
	json_t *certificate; /* of rows.plugin */
	/* set: what a write makes of rows */
	struct apis_rows made;
	/* private */
	admin_handler next;
};
/* NULL is fine. */
void apis_bundle_free(struct apis_bundle *b);

/* An api that is to be made: nothing is read. Answers unless it returns true. */
bool apis_bundle_start(struct admin_request *r) must_check;
/* By id or name. r->api->rows.route is NULL when there is none, or when it is no api
 * (apis_is_api). Then runs next; answers when the database fails. */
void apis_bundle_find(struct admin_request *r, struct str key, admin_handler next);
/* The same from a route that was read. */
void apis_bundle_of(struct admin_request *r, json_t *route, admin_handler next);
/* Reads the plugin of the route that was found, and its certificate; then runs next. */
void apis_bundle_complete(struct admin_request *r, admin_handler next);

#endif
