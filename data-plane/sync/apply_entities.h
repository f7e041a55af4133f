/* What apply makes of the stream's generic entities: routes for the router, and all others.
 * Thread: the sync thread. */
#ifndef CARDEA_SYNC_APPLY_ENTITIES_H
#define CARDEA_SYNC_APPLY_ENTITIES_H

#include "data-plane/sync/change.h"
#include "data-plane/tables/tables.h"

/* Each stages the change in the open transaction. ERR_INVALID: a field is not acceptable. */
int apply_put_route(struct tables *t, const struct change *c, struct err *e) must_check;
int apply_put_entity(struct tables *t, const struct change *c, struct err *e) must_check;
/* What is not there is fine. */
int apply_remove_entity(struct tables *t, const struct change *c, struct err *e) must_check;

#endif
