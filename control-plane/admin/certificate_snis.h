/* The `snis` shorthand of certificates: names that are no column but rows of their own
 * (kong-admin-api.md 2.1). Thread: the loop. */
#ifndef CARDEA_ADMIN_CERTIFICATE_SNIS_H
#define CARDEA_ADMIN_CERTIFICATE_SNIS_H

#include "control-plane/admin/request.h"

/* Checks that no name of the certificate's snis belongs to another certificate, then runs next;
 * else answers 400 with a text at `field`. */
void certificate_snis_check(struct admin_request *r, const json_t *certificate, const char *field,
			    admin_handler next);
/* Adds to the transaction what turns the names of `old` (may be NULL) into those of
 * `certificate`. */
int certificate_snis_write(const json_t *certificate, const json_t *old, struct txn *t,
			   struct err *e) must_check;

#endif
