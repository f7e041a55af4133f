/* POST /import: many entities by one request, line by line (bulk/import.h). Thread: the loop. */
#ifndef CARDEA_ADMIN_IMPORT_API_H
#define CARDEA_ADMIN_IMPORT_API_H

#include "control-plane/admin/request.h"

/* Handler of a route that streams. */
void import_api_post(struct admin_request *r);

/* How many imports may run at a time; shared with those that outlive the admin API for a moment.
 * NULL: out of memory. */
struct import_gate *import_gate_create(unsigned max);
/* The last one frees it; NULL is fine. */
void import_gate_unref(struct import_gate *g);

#endif
