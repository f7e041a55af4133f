/* What a worker keeps of one upstream, or of one name that services have as their host: its
 * addresses, their health, and the state of the balancer.
 *
 *     entities, address sets, health marks ─▶ group_refresh ─▶ items ─▶ balance_pick
 *
 * Refreshing costs three comparisons while nothing changed; the list of addresses is made again
 * only when the upstream, its targets or one of their names' addresses did, and then those that
 * stay keep their counts. owner: struct targets, thread: the worker. */
#ifndef CARDEA_PROXY_TARGET_GROUP_H
#define CARDEA_PROXY_TARGET_GROUP_H

#include "data-plane/proxy/address_rules.h"
#include "data-plane/proxy/balance.h"
#include "data-plane/tables/addresses.h"
#include "data-plane/tables/health.h"
#include "data-plane/tables/tables.h"

enum { GROUP_STATUS_MIN = 100, GROUP_STATUS_WORDS = 15 }; /* 100..999 and some */

/* One address. Refcounted: the group, and each request on it. */
struct balanced {
	struct balance_item item;
	struct target_group *group; /* NULL: it is no longer one of the group's */
	unsigned refs;
	struct health_view health;
	struct addr addr; /* port 0: the service's */
	struct str host;  /* behind it; NUL-terminated */
};

struct target_group {
	struct str host;  /* of services; behind it */
	bool is_upstream; /* an upstream entity has that name */
	unsigned char id[ENTITY_ID_SIZE];
	enum upstream_algorithm algorithm;
	struct arena memory; /* what the next four point to */
	struct hash_input hash, fallback;
	struct str cookie_path;
	/* of passive checks */
	uint64_t good[GROUP_STATUS_WORDS], bad[GROUP_STATUS_WORDS];
	unsigned successes, tcp_failures, timeouts, http_failures;
	double threshold;
	bool may_panic; /* healthchecks.panic */

	struct balanced **slots; /* sorted; count of them */
	struct balance_item **items;
	struct balance balance;
	size_t count;
	bool available;			/* enough weight is healthy, or all are used: */
	bool panics;			/* all are usable, because too few are healthy (UP-15) */
	size_t pending, failed, denied; /* names not known yet, without any address; addresses not
					   allowed */
	/* what it was made of */
	uint64_t generation, upstream_since, targets_since, names, addresses_epoch;
	uint32_t health_epoch;
	bool made;

	struct link waiters; /* struct target_waiter */
	struct link waiting; /* in targets.waiting while there are waiters */
	uint64_t used_ns;
};

struct group_tables {
	const struct tables *tables;
	const struct addresses *addresses;
	const struct health_board *health;
	const struct address_rules *rules;
	struct addresses_reader *reader; /* asks for names */
};

/* NULL: out of memory. */
struct target_group *group_create(struct str host, uint64_t seed);
/* No waiters. Requests on its addresses keep those. */
void group_free(struct target_group *g);
/* Brings it up to date. -1: out of memory, it is as it was. */
int group_refresh(struct target_group *g, const struct group_tables *t,
		  uint64_t generation) must_check;
void balanced_unref(struct balanced *b);
/* Whether the bit of a status is set. */
bool group_status_has(const uint64_t set[GROUP_STATUS_WORDS], unsigned status);

#endif
