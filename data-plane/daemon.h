/* The data plane as a whole: the order in which its parts start and stop, all on the sync thread.
 *
 *     node id ─▶ tables ─▶ status listener ─▶ cache ─(state?)─▶ workers ─▶ stream ─▶ run
 *                                                └─ no state: workers start with the first revision
 *     TERM: not ready ─▶ workers drain ─▶ stream ─▶ cache ─▶ status listener ─▶ end
 *
 *     starting ──▶ waiting ──▶ serving ──▶ draining ──▶ closing
 */
#ifndef CARDEA_DP_DAEMON_H
#define CARDEA_DP_DAEMON_H

#include "data-plane/config.h"

/* Runs until a signal ends it; returns the exit code. config_file is read again on HUP; NULL is
 * fine. */
int daemon_run(const struct dp_config *config, const char *config_file);

#endif
