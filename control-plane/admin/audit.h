/* The audit: who wrote what, stored in the transaction of the write. Every transaction of
 * a request begins here. Thread: the loop. */
#ifndef CARDEA_ADMIN_AUDIT_H
#define CARDEA_ADMIN_AUDIT_H

#include "control-plane/admin/request.h"

/* A transaction that says who asked for it. NULL: out of memory; 500 was answered. */
struct txn *audit_begin(struct admin_request *r);
/* What it is about: a collection and an id (may be NULL), and names of fields (taken over; may be
 * NULL). */
void audit_about(struct admin_request *r, struct txn *t, const char *kind, const char *id,
		 json_t *fields);
/* The same for one entity: the fields that differ between old and row; those that r->input gave,
 * without an old one. row NULL: it is deleted. */
void audit_entity(struct admin_request *r, struct txn *t, const struct entity *e, const json_t *old,
		  const json_t *row);
/* The note of a write that is one statement (store_query_noted); *note lives as long as the
 * exchange. NULL: the audit is off. */
const struct store_note *audit_note(struct admin_request *r, struct store_note *note,
				    const char *kind, const char *id);

#endif
