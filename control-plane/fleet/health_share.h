/* The health of targets, so that every control plane answers alike: what this one's data planes
 * tell goes to table target_health, and what is asked for is read from there.
 *
 *     report ─▶ target_health ─▶ (gathered for HEALTH_SHARE_MS) ─▶ one statement at a time
 *                                                                        │
 *     admin API ─▶ health_share_read ◀── rows of nodes that have a stream ◀──┘
 *
 * Only changes are written, without waiting for the disk, at most HEALTH_SHARE_ROWS at a time; what
 * does not get through is written again, all of it. A node's rows count while it is connected to
 * the control plane that wrote them. Without a database there is one control plane, which reads its
 * own. owner: the fleet, thread: the loop. */
#ifndef CARDEA_FLEET_HEALTH_SHARE_H
#define CARDEA_FLEET_HEALTH_SHARE_H

#include "common/net/loop.h"
#include "control-plane/fleet/target_health.h"
#include "control-plane/store/store.h"

enum {
	HEALTH_SHARE_MS = 100,
	HEALTH_SHARE_ROWS = 2048, /* of a statement */
	HEALTH_SHARE_RETRY_MS = 1000
};

struct health_share {
	struct store *store; /* private, as all */
	struct loop *loop;
	const char *self;
	struct target_health targets;
	struct timer timer;
	struct timer purge;
	bool writing;
	bool closing;
	unsigned open; /* timers and statements under way */
	void (*closed)(void *arg);
	void *closed_arg;
};

/* self: UUID of this control plane, borrowed. */
void health_share_init(struct health_share *h, struct loop *l, struct store *s, const char *self);
/* Writes nothing more. Whoever reads is answered first. */
void health_share_close(struct health_share *h, void (*closed)(void *arg), void *arg);

/* What a node tells: as the functions of target_health.h. */
void health_share_begin(struct health_share *h, const char *node);
void health_share_report(struct health_share *h, const char *node, const struct target_report *r);
void health_share_forget(struct health_share *h, const char *node);
/* The database is another one: everything is written again. */
void health_share_void(struct health_share *h);

/* targets: array of ids. done comes once, later: states: object of id to target_health_json, of
 * those that somebody looks after; borrowed. NULL: the database could not be asked. */
void health_share_read(struct health_share *h, const json_t *targets,
		       void (*done)(json_t *states, void *arg), void *arg);

#endif
