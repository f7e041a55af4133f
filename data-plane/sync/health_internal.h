/* What the files of health share; nobody else includes it.
 *
 *     health.c          what there is to check, states, passive checks
 *     health_active.c   rounds of probes
 */
#ifndef CARDEA_SYNC_HEALTH_INTERNAL_H
#define CARDEA_SYNC_HEALTH_INTERNAL_H

#include "common/core/map.h"
#include "data-plane/sync/health.h"
#include "data-plane/sync/health_state.h"
#include "data-plane/sync/probe.h"

/* An upstream that checks. */
struct checked {
	struct link link; /* in health.upstreams */
	struct link addresses;
	unsigned char id[ENTITY_ID_SIZE];
	uint64_t due_ns[2]; /* of healthy, of unhealthy ones; 0: not set */
	int64_t running;
	uint64_t walk;
};

/* One address of it, or a target without any. */
struct checked_address {
	struct link link; /* in checked.addresses */
	struct health *health;
	struct checked *upstream;
	struct health_report report;
	struct health_state state;
	struct probe *probe;
	bool waits; /* for its probe */
	uint64_t walk;
	unsigned char key[HEALTH_KEY_SIZE + ENTITY_ID_SIZE];
	size_t key_len;
	char host[HEALTH_HOST_MAX]; /* of the target */
};

struct health {
	struct health_options options;
	struct link upstreams;
	struct map by_id;      /* upstream id to struct checked */
	struct map by_address; /* key to struct checked_address */
	struct timer timer;
	uint64_t walk, walked_generation, walked_addresses;
	size_t running;
	bool closing;
	struct health_facts facts;
};

/* health.c */
/* As it is now; lives until rcu_leave. NULL: it is gone. */
const struct upstream *health_upstream(const struct health *h, const struct checked *c);
bool health_has_address(const struct checked_address *a);
/* One more of c; over its limit the state changes, and is told. */
void health_count(struct checked_address *a, enum health_counter c, const struct check_rule *good,
		  const struct check_rule *bad);
void health_count_status(struct checked_address *a, unsigned status, const struct check_rule *good,
			 const struct check_rule *bad);

/* health_active.c */
/* The timer's: rounds that are due. */
void health_tick(struct timer *t);

#endif
