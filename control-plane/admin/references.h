/* References in bodies by name instead of id (kong-admin-api.md 1.9). Thread: the loop. */
#ifndef CARDEA_ADMIN_REFERENCES_H
#define CARDEA_ADMIN_REFERENCES_H

#include "control-plane/admin/request.h"

/* Puts the id in place of each {"name": ...} of r->input that refers to another entity by one of
 * its unique fields, then runs next. Answers 400 with code 13 when one names nothing. */
void references_resolve(struct admin_request *r, admin_handler next);

#endif
