/* What the data planes with a stream to this control plane say of targets' health, and what of it
 * is still to be written for the other control planes.
 *
 *     node ─ report ─▶ entries (target, address, state) ─▶ merged over nodes for the admin API
 *                          └─ those that changed ─▶ target_health_take
 *
 * Merged: an address is HEALTHY when it is for at least one data plane, and a target when one of
 * its addresses is (kong-admin-api.md 2.7). owner: the fleet, thread: the loop. */
#ifndef CARDEA_FLEET_TARGET_HEALTH_H
#define CARDEA_FLEET_TARGET_HEALTH_H

#include <jansson.h>

#include "common/core/codec.h"
#include "common/core/list.h"
#include "common/core/map.h"

enum {
	TARGET_HEALTH_NODE_MAX = 65536, /* entries of one node; more are left out and counted */
	TARGET_HEALTH_ADDRESS_SIZE = 64
};

/* TargetHealth.State of the proto. */
enum target_state {
	TARGET_UNKNOWN,
	TARGET_HEALTHY,
	TARGET_UNHEALTHY,
	TARGET_DNS_ERROR,
	TARGET_GONE,
	TARGET_STATES
};

struct target_report {
	char target[UUID_TEXT_SIZE];
	char address[TARGET_HEALTH_ADDRESS_SIZE]; /* "ip:port", "" for TARGET_DNS_ERROR */
	uint32_t weight;
	enum target_state verdict;
};

struct target_health {
	struct map nodes, targets; /* private */
	struct link changed;	   /* private: entries to be taken */
	bool shared;		   /* private */
	uint64_t refused;	   /* read: entries over the limit */
};

/* Nothing is known. shared: changes are kept for target_health_take. */
void target_health_init(struct target_health *t, bool shared);
void target_health_deinit(struct target_health *t);
/* One entry of a node's report. -1: no memory. */
int target_health_report(struct target_health *t, const char *node, const struct target_report *r,
			 struct err *e) must_check;
/* The node tells everything anew: what it said is void, also where it was written. -1: no memory.
 */
int target_health_begin(struct target_health *t, const char *node, struct err *e) must_check;
/* The node is gone: what it said is void, and nothing more is written of it. */
void target_health_forget(struct target_health *t, const char *node);
/* {"health", "available", "unavailable" (weights), "addresses": [{"ip", "port", "weight",
 * "health"}]}; a new reference. NULL: no node looks after the target, or no memory. */
json_t *target_health_json(const struct target_health *t, const char *target);

/* --- what is to be written --- */

struct target_changes {
	json_t *rows;  /* array of [node, target, address, weight, state]; owned by the caller */
	json_t *begun; /* array of nodes: what was written of them before is void */
};
bool target_health_has_changes(const struct target_health *t);
/* At most max rows; they count as written. -1: no memory. */
int target_health_take(struct target_health *t, size_t max, struct target_changes *out,
		       struct err *e) must_check;
/* Nothing that was taken is written: all of it is to be written again. */
void target_health_untake(struct target_health *t);

#endif
