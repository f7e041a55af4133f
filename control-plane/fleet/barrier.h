/* The waits of the barrier: each ends when every live member acked its revision, or at its
 * timeout. struct barrier, barrier_result and barrier_cancel are in fleet.h. owner: the fleet,
 * thread: the loop. */
#ifndef CARDEA_FLEET_BARRIER_H
#define CARDEA_FLEET_BARRIER_H

#include "common/net/loop.h"
#include "control-plane/fleet/fleet.h"
#include "control-plane/fleet/member.h"

struct barriers {
	struct link waiting;	       /* private: struct barrier */
	struct loop *loop;	       /* private */
	const struct members *members; /* private */
	uint64_t view;		       /* private: number of the last view of the cluster */
	uint64_t known;		       /* private: see barriers_known */
	struct timer soon;	       /* private: checks once for all that happened in a turn */
	unsigned open;		       /* private: handles not closed yet */
	void (*closed)(void *arg);     /* private */
	void *arg;		       /* private */
};

/* members must outlive b. */
void barriers_init(struct barriers *b, struct loop *l, const struct members *m);
/* Cancels all waits. */
void barriers_close(struct barriers *b, void (*closed)(void *arg), void *arg);
/* need_view: the wait cannot complete before barriers_viewed was called with this number or a
 * higher one, so that a node that just joined elsewhere is not overlooked. The rest as fleet_wait.
 */
int barriers_wait(struct barriers *b, struct barrier **out, uint64_t revision, uint64_t need_view,
		  uint64_t timeout_ms, void (*done)(const struct barrier_result *r, void *arg),
		  void *arg, struct err *e) must_check;
/* The other control planes' nodes were read. */
void barriers_viewed(struct barriers *b, uint64_t view);
/* What this control plane has read itself. A node elsewhere may ack a revision that is not known
 * here yet: no wait completes until it is, for it may say that something was refused. At first: all
 * is.
 */
void barriers_known(struct barriers *b, uint64_t revision);
/* Something of this revision is held back: it will not be everywhere. Its waits end in the next
 * turn, incomplete, and every live node is missing. */
void barriers_refuse(struct barriers *b, uint64_t revision);
/* Members changed: waits are looked at in the next turn. */
void barriers_check(struct barriers *b);

#endif
