/* Whether a plugin's protocols fit what it is scoped to (kong-admin-api.md 2.9). Thread: the loop.
 */
#ifndef CARDEA_ADMIN_PLUGIN_SCOPE_H
#define CARDEA_ADMIN_PLUGIN_SCOPE_H

#include "control-plane/admin/request.h"

/* Checks that r->row shares a protocol with its route, or with a route of its service, then runs
 * next; else answers 400. A service without routes fits everything. */
void plugin_scope_check(struct admin_request *r, admin_handler next);

#endif
