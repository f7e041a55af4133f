/* Removes audit rows that are too old or too many, and tokens that expired long ago, a bounded
 * number at a time. owner: admin, thread: the loop. */
#ifndef CARDEA_ADMIN_AUDIT_KEEPER_H
#define CARDEA_ADMIN_AUDIT_KEEPER_H

#include "common/net/loop.h"
#include "control-plane/store/store.h"

struct audit_conf {
	bool on;	   /* audit_log: writes are noted */
	uint64_t ttl_ms;   /* audit_log_record_ttl; 0: there is no database to look after */
	uint64_t rows_max; /* audit_log_rows_max */
};

struct audit_keeper {
	struct store *store;
	struct audit_conf conf;
	struct timer timer;
	bool closing;
	unsigned open; /* the timer and queries under way */
	void (*closed)(void *arg);
	void *arg;
};

/* Begins to look after the table, a while later. */
void audit_keeper_init(struct audit_keeper *k, struct loop *l, struct store *s,
		       const struct audit_conf *c);
/* Before the store; closed comes later. */
void audit_keeper_close(struct audit_keeper *k, void (*closed)(void *arg), void *arg);

#endif
