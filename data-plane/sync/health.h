/* Health of the addresses of upstreams that check it (kong-admin-api.md 2.6): active checks out of
 * this process, passive ones by what workers tell (tables/health.h).
 *
 *     upstreams, targets, addresses ─▶ one state per address ─▶ marks that workers read
 *     probes, workers' outcomes ──────────────┘      └────────▶ on_change: for the control plane
 *
 * An upstream whose checks are all off has no state here and its addresses no mark:
 * HEALTHCHECKS_OFF. An address that leaves its upstream loses its state. Types grpc and grpcs are
 * checked by connecting, grpcs with TLS and h2. TLS as for requests: the name is
 * `https_sni` or the target's, trust the global one, the client certificate the upstream's. owner:
 * the daemon, thread: sync. */
#ifndef CARDEA_SYNC_HEALTH_H
#define CARDEA_SYNC_HEALTH_H

#include <openssl/ssl.h>

#include "common/net/loop.h"
#include "data-plane/tables/addresses.h"
#include "data-plane/tables/health.h"
#include "data-plane/tables/tables.h"
#include "data-plane/tables/upstream.h"

enum {
	HEALTH_PROBES_MAX = 256,      /* at a time, of all upstreams */
	HEALTH_ADDRESSES_MAX = 65536, /* more are not checked, and counted */
	HEALTH_HOST_MAX = 300
};

/* What is to be told of one address of a target. */
struct health_report {
	unsigned char upstream[ENTITY_ID_SIZE], target[ENTITY_ID_SIZE];
	struct addr addr; /* no family: the target's name has no address */
	unsigned weight;
	enum { HEALTH_IS_UP, HEALTH_IS_DOWN, HEALTH_IS_UNRESOLVED, HEALTH_IS_GONE } verdict;
};

struct health_tls {
	SSL_CTX *ctx; /* a reference, the caller's */
	char name[HEALTH_HOST_MAX];
};

struct health_options {
	struct loop *loop;
	const struct tables *tables;
	struct addresses *addresses;
	struct health_board *board;
	/* Whether an address may be asked at all (TR-11). */
	bool (*allowed)(const struct addr *a, const void *rules);
	const void *rules;
	/* What a check of https and grpcs is made with; http2: asks for h2. NULL: such checks find
	 * nobody. */
	int (*tls)(struct health_tls *out, const struct upstream *u, struct str name, bool http2,
		   const void *origins, struct err *e);
	const void *origins;
	/* The state of something changed. May be NULL. */
	void (*on_change)(const struct health_report *r, void *arg);
	void *arg;
};

struct health;
struct health_facts {
	size_t addresses, unhealthy;
	uint64_t probes, failures; /* since the start */
	uint64_t refused;	   /* addresses over the limit */
};

/* Everything in *o outlives it. Nothing is checked before the first health_update. */
int health_start(struct health **out, const struct health_options *o, struct err *e) must_check;
/* Ends what is under way; memory goes when the loop has run. NULL is fine. */
void health_close(struct health *h);
/* Tables or addresses may have changed: costs a walk over upstreams and their targets when they
 * did, else nothing. */
void health_update(struct health *h);
void health_facts(const struct health *h, struct health_facts *out);
/* Everything that is known, one by one: for a control plane that knows nothing yet. */
void health_each(struct health *h, void (*fn)(const struct health_report *r, void *arg), void *arg);

#endif
