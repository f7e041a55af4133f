/* Failed attempts per address: after so many within a minute, the rest of that minute is refused
 * unseen. IPv6 counts by /64. Bounded: with the table full, the address that failed longest ago is
 * forgotten. owner: admin, thread: the loop. */
#ifndef CARDEA_ADMIN_THROTTLE_H
#define CARDEA_ADMIN_THROTTLE_H

#include <stdint.h>

#include "common/core/list.h"
#include "common/core/map.h"
#include "common/net/addr.h"

enum { THROTTLE_ADDRESSES_MAX = 4096, THROTTLE_WINDOW_S = 60 };

struct throttle {
	unsigned limit;	    /* failures per window; 0: never refuses */
	struct map entries; /* private */
	struct link oldest; /* private: entries, by their last failure */
};

/* Empty; allocates nothing yet. */
void throttle_init(struct throttle *t, unsigned limit);
/* Frees everything. */
void throttle_deinit(struct throttle *t);
/* Seconds until this address may try again; 0: now. */
unsigned throttle_wait(const struct throttle *t, const struct addr *from);
/* One more failure. Out of memory: not counted. */
void throttle_failed(struct throttle *t, const struct addr *from);

#endif
