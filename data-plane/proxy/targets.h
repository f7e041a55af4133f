/* From a service to the address that a request is sent to: the upstream's targets, their addresses
 * in DNS, their health, and the balancer that chooses.
 *
 *     service.host ─▶ upstream entity? ─ no ─▶ addresses of the name (A, AAAA, SRV)
 *                          └─ yes ─▶ targets ─▶ addresses of each ─▶ healthy ones ─▶ algorithm
 *
 * One per worker. Names are resolved by the sync thread (sync/resolver.h) and health is kept there
 * (sync/health.h); both publish what workers read. owner and thread: the worker. */
#ifndef CARDEA_PROXY_TARGETS_H
#define CARDEA_PROXY_TARGETS_H

#include <stdatomic.h>

#include "common/core/arena.h"
#include "common/core/list.h"
#include "common/http/msg.h"
#include "common/net/addr.h"
#include "data-plane/tables/service.h"
#include "data-plane/tables/tables.h"
#include "data-plane/tables/upstream.h"

struct targets;
struct addresses;
struct address_rules;
struct health_board;
struct loop;
struct balanced; /* private: one address of an upstream as the balancer keeps it */

struct target_request {
	uint64_t generation;
	const struct service *service;
	/* What hash_on may ask for. */
	const struct http_request *request;
	const struct addr *client;
	struct str consumer; /* id or name; STR_NONE */
	/* Captures of the route's expression, by name. May be NULL. */
	struct str (*capture)(struct str name, void *arg);
	void *arg;
};

struct target_pick {
	struct addr addr;
	struct str host; /* name or address that the target was given as: Host and SNI */
	uint16_t port;
	unsigned char upstream[ENTITY_ID_SIZE]; /* of the upstream entity */
	bool has_upstream;
	struct str set_cookie; /* hash_on cookie: field value to give the client; or STR_NONE */
	struct balanced *slot; /* private */
};

enum pick_result {
	PICK_OK,
	PICK_WAIT,	 /* the name is being resolved: on_known of the waiter follows */
	PICK_UNRESOLVED, /* 503 as Kong's "name resolution failed" */
	PICK_UNHEALTHY,	 /* 503: no healthy target, or none at all */
	PICK_DENIED,	 /* 503: TR-11, the address is not allowed; counted */
	PICK_MEMORY,
};

/* Embedded by whoever waits. */
struct target_waiter {
	struct link link;			   /* private */
	void (*on_known)(struct target_waiter *w); /* pick again */
};

enum target_outcome {
	TARGET_SUCCESS, /* a response with this status came */
	TARGET_TCP_FAILURE,
	TARGET_TIMEOUT,
	TARGET_ABANDONED, /* the client left: says nothing of the target */
};

enum {
	TARGET_WAITERS_MAX = 4096, /* of a worker; more are answered as if the name were unknown */
	TARGET_GROUP_IDLE_S = 600  /* what no request used for so long is forgotten */
};

/* Of all workers: counters that only grow. */
struct targets_counters {
	_Atomic uint64_t denied;    /* picks that met no address that is allowed (TR-11) */
	_Atomic uint64_t unhealthy; /* picks that met no healthy address (UP-15) */
	_Atomic uint64_t panics;    /* picks among all, because too few are healthy (UP-15) */
	_Atomic uint64_t unresolved;
	_Atomic uint64_t refused; /* waiters over the limit */
};

struct targets_options {
	const struct tables *tables;
	struct addresses *addresses;
	struct health_board *health;
	const struct address_rules *rules; /* NULL: the default's */
	struct targets_counters *counters;
	struct loop *loop;
};

/* Everything in *o outlives it. */
int targets_create(struct targets **out, const struct targets_options *o, struct err *e) must_check;
/* Nobody waits; before the loop ends. Requests that are not done yet may still call targets_done
 * before. NULL is fine. */
void targets_free(struct targets *t);

/* tried: the picks of this request so far; one that was not tried is preferred. strings of *out
 * live in the arena. After PICK_OK call targets_done exactly once. After PICK_WAIT w waits; forget
 * it with targets_forget. */
enum pick_result targets_pick(struct targets *t, const struct target_request *q,
			      const struct target_pick *tried, size_t tried_count, struct arena *a,
			      struct target_pick *out, struct target_waiter *w);
void targets_forget(struct target_waiter *w);
/* ms: from the pick to the head of the response. */
void targets_done(struct targets *t, const struct target_pick *p, enum target_outcome o,
		  unsigned status, uint64_t ms);

#endif
