/* ACME http-01 challenges by host and token (reliability-goals CH-01 to CH-05).
 *
 *     live: "host\0token"  ─▶ {challenge id, key authorization}  (readers)
 *     ids:  challenge id   ─▶ {"host\0token"}                    (writer)
 *
 * Readers and writer as in vmap.h.
 */
#ifndef CARDEA_TABLES_CHALLENGES_H
#define CARDEA_TABLES_CHALLENGES_H

#include "data-plane/tables/vmap.h"

enum {
	CHALLENGE_ID_SIZE = 16,
	CHALLENGE_HOST_MAX = 253,
	CHALLENGE_TOKEN_MAX = 128,
	CHALLENGE_AUTHORIZATION_MAX = 512,
};

struct challenge {
	struct version version;
	unsigned char id[CHALLENGE_ID_SIZE];
	uint16_t len;
	char key_authorization[];
};

struct challenges {
	struct vmap live, ids; /* private; live.count may be read */
};

/* Empty. */
int challenges_init(struct challenges *c, struct err *e) must_check;
/* No reader may be left. */
void challenges_deinit(struct challenges *c);

/* host: lower case, without port. NULL: no such challenge. Lives until rcu_leave. */
const struct challenge *challenges_find(const struct challenges *c, uint64_t generation,
					struct str host, struct str token);

/* --- writer --- */

/* Copies. ERR_INVALID: host, token or key authorization are not what ACME has. */
int challenges_put(struct challenges *c, struct vmap_txn *x,
		   const unsigned char id[CHALLENGE_ID_SIZE], struct str host, struct str token,
		   struct str key_authorization, struct err *e) must_check;
/* What is not there is fine. */
int challenges_remove(struct challenges *c, struct vmap_txn *x,
		      const unsigned char id[CHALLENGE_ID_SIZE], struct err *e) must_check;
/* Everything that x did not touch goes. */
int challenges_sweep(struct challenges *c, struct vmap_txn *x, struct err *e) must_check;
/* Derives `live` from the staged challenges: once, before the commit. On error culprit is the
 * challenge at fault (two with one host and token). */
int challenges_resolve(struct challenges *c, struct vmap_txn *x,
		       unsigned char culprit[CHALLENGE_ID_SIZE], struct err *e) must_check;

#endif
