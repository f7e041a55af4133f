/* How one of several addresses is chosen: round robin, least connections, latency, consistent
 * hashing, each behind one small struct of functions. Pure: no I/O, no clock of its own.
 *
 * Unusable items and those of weight 0 are never chosen. owner: the upstream's state, thread: the
 * worker. */
#ifndef CARDEA_PROXY_BALANCE_H
#define CARDEA_PROXY_BALANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data-plane/tables/upstream.h"

/* Embedded in what is chosen. */
struct balance_item {
	unsigned weight;    /* set */
	bool usable;	    /* set */
	uint64_t key;	    /* set: who it is, the same on every node: consistent hashing */
	unsigned busy;	    /* set: requests on it now */
	double latency_ms;  /* by balance_measured; 0: never measured */
	uint64_t latest_ns; /* private: when it was measured */
	int64_t current;    /* private: of round robin; kept when the list is made again */
};

struct balance {
	struct balance_item *const *items; /* set: count of them; borrowed */
	size_t count;
	uint64_t random; /* private: state of its generator; any seed */
};

/* What a choice may depend on. */
struct balance_query {
	uint64_t hash; /* of the request's hash input; random when there is none */
	uint64_t now_ns;
	/* Whether this request was on the item before. May be NULL. */
	bool (*tried)(const struct balance_item *i, const void *arg);
	const void *arg;
};

/* One algorithm. */
struct balance_type {
	const char *name;
	/* Among usable items that were not tried; NULL: there is none. */
	struct balance_item *(*pick)(struct balance *b, const struct balance_query *q);
};
extern const struct balance_type *const balance_types[ALGORITHMS];

/* One that was not tried is preferred; NULL: nothing is usable. */
struct balance_item *balance_pick(struct balance *b, enum upstream_algorithm a,
				  const struct balance_query *q);
/* A request got its answer's head after so long. Moving average that forgets within seconds. */
void balance_measured(struct balance_item *i, double ms, uint64_t now_ns);
/* The next number of b's generator: good enough to spread load. */
uint64_t balance_random(struct balance *b);
/* The same on every node and at every time. */
uint64_t balance_hash(struct str bytes, uint64_t seed);

#endif
