/* The health of one address: Kong's counters with their hysteresis (kong-admin-api.md 2.6). Pure.
 *
 *     HEALTHY ◀──▶ MOSTLY_HEALTHY ──▶ UNHEALTHY ◀──▶ MOSTLY_UNHEALTHY ──▶ HEALTHY
 *
 * Failures of each kind are counted apart; a success sets them to zero, a failure the successes. A
 * limit of 0 turns its counter off: what it would count has no effect. owner: its table, thread:
 * sync. */
#ifndef CARDEA_SYNC_HEALTH_STATE_H
#define CARDEA_SYNC_HEALTH_STATE_H

#include <stdbool.h>

#include "common/core/err.h"

enum health_level {
	HEALTH_HEALTHY,
	HEALTH_MOSTLY_HEALTHY, /* some failures */
	HEALTH_UNHEALTHY,
	HEALTH_MOSTLY_UNHEALTHY, /* some successes */
	HEALTH_LEVELS
};

enum health_counter {
	HEALTH_COUNT_SUCCESS,
	HEALTH_COUNT_TCP,
	HEALTH_COUNT_TIMEOUT,
	HEALTH_COUNT_HTTP,
	HEALTH_COUNTERS
};

struct health_state {
	enum health_level level;	    /* read */
	unsigned counters[HEALTH_COUNTERS]; /* read */
};

/* One more of a kind. Whether the level or whether something counts changed. */
bool health_state_count(struct health_state *s, enum health_counter c, unsigned limit);
/* Whether requests are kept away. */
bool health_state_is_down(const struct health_state *s);
/* Whether a counter is not zero. */
bool health_state_is_watched(const struct health_state *s);

#endif
