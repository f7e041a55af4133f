/* The data plane as a whole: the order in which its parts start and stop, all on the sync thread.
 *
 *     node id ─▶ tables ─▶ status listener ─▶ cache ─(state?)─▶ workers ─▶ stream ─▶ run
 *                                                └─ no state: workers start with the first revision
 *     TERM: not ready ─▶ workers drain ─▶ stream ─▶ cache ─▶ status listener ─▶ end
 *
 *     HUP: new workers with the new configuration; USR2: a new process (daemon_change.c)
 *
 *     starting ──▶ waiting ──▶ serving ──▶ draining ──▶ closing
 */
#ifndef CARDEA_DP_DAEMON_H
#define CARDEA_DP_DAEMON_H

#include "data-plane/config.h"
#include "data-plane/upgrade.h"

struct daemon_start {
	const struct dp_config *config;
	const char *config_file;  /* read again on HUP; NULL is fine */
	char **argv;		  /* of this process: USR2 starts it again */
	struct handover handover; /* of the process before this one */
};

/* Runs until a signal ends it; returns the exit code. */
int daemon_run(const struct daemon_start *o);

#endif
