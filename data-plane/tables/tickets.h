/* The fleet's ticket secrets: a handful, from which session ticket keys are derived
 * (data-plane/tls/tickets.h). Readers and writer as in vmap.h.
 */
#ifndef CARDEA_TABLES_TICKETS_H
#define CARDEA_TABLES_TICKETS_H

#include "data-plane/tables/secmem.h"
#include "data-plane/tables/vmap.h"

enum { TICKET_SECRET_SIZE = 32, TICKET_SECRETS_MAX = 16, TICKET_ID_SIZE = 16 };

struct ticket_secret {
	int64_t not_before; /* seconds since 1970 */
	unsigned char bytes[TICKET_SECRET_SIZE];
};

struct tickets {
	struct vmap secrets; /* private; count may be read */
	struct secmem keys;  /* private */
};

/* Empty. */
int tickets_init(struct tickets *t, struct err *e) must_check;
/* No reader may be left; cleanses. */
void tickets_deinit(struct tickets *t);

/* Copies the secrets of a generation, newest not_before first; returns how many. The caller
 * cleanses. */
size_t tickets_copy(const struct tickets *t, uint64_t generation,
		    struct ticket_secret out[TICKET_SECRETS_MAX]);

/* --- writer --- */

/* Copies. ERR_INVALID: a secret of another size. */
int tickets_put(struct tickets *t, struct vmap_txn *x, const unsigned char id[TICKET_ID_SIZE],
		struct str secret, int64_t not_before, struct err *e) must_check;
/* What is not there is fine. */
int tickets_remove(struct tickets *t, struct vmap_txn *x, const unsigned char id[TICKET_ID_SIZE],
		   struct err *e) must_check;
/* Everything that x did not touch goes. */
int tickets_sweep(struct tickets *t, struct vmap_txn *x, struct err *e) must_check;
/* Checks the number of secrets: once, before the commit. */
int tickets_resolve(struct tickets *t, struct vmap_txn *x, unsigned char culprit[TICKET_ID_SIZE],
		    struct err *e) must_check;

#endif
