/* Keeps the fleet's ticket secrets: makes the first, a new one about a day ahead whenever the last
 * one begins to count, and removes those that no ticket needs (proto/README.md). Every control
 * plane does so; an advisory lock and a condition in the transaction let one of them win. owner:
 * the fleet, thread: the loop. */
#ifndef CARDEA_FLEET_TICKET_SECRET_H
#define CARDEA_FLEET_TICKET_SECRET_H

#include "common/net/loop.h"
#include "control-plane/store/store.h"

enum { TICKET_SLOT_S = 43200, TICKET_SECRET_BYTES = 32 };

struct ticket_keeper {
	struct store *store; /* private, as all */
	struct timer timer;
	unsigned step;
	unsigned open; /* timer and transaction under way */
	bool closing;
	void (*closed)(void *arg);
	void *arg;
};

/* Looks at once, then every hour; sooner again when the database was away. */
void ticket_keeper_init(struct ticket_keeper *k, struct loop *l, struct store *s);
void ticket_keeper_close(struct ticket_keeper *k, void (*closed)(void *arg), void *arg);
/* When a secret made at `now` begins to count: the start of the first slot that is a day ahead. */
int64_t ticket_secret_not_before(int64_t now);
/* What a store without a database keeps from now on: rows (those there are) without those that no
 * ticket needs, with a first one and one ahead. New reference, NULL with e set. */
json_t *ticket_secrets_next(const json_t *rows, int64_t now, struct err *e);

#endif
