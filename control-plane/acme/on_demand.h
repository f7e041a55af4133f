/* Issuance on demand: a data plane's client asked for a name that has no certificate; this decides
 * whether one is ordered, and tells the data plane. The certificate then comes to all data planes
 * as any other.
 *
 *     want ─▶ name and patterns ─▶ looking ─▶ (asking) ─▶ reserving ─▶ ordering ─▶ "comes"
 *                  │                  │           │            │           │
 *                  ▼                  ▼           ▼            ▼           ▼
 *              refused        has a certificate,  the `ask`    budget of   the database is away:
 *                             or an order: comes, address      the domain  refused for a moment
 *                             or refused while it says no:     or name
 *                             fails; budget of    refused
 *                             the client
 *
 * A name has to match one of acme_on_demand_domains, when there are any, and then the server at
 * acme_on_demand_ask has to allow it, when there is one: GET URL?domain=NAME&client=ADDRESS; 2xx
 * allows, 5xx and no answer are a failure (asked again soon), everything else refuses. A name is
 * looked at once at a time, whoever asks for it; orders are one per name in the database. Every
 * refusal says how long the data plane need not ask again.
 *
 * Failure paths: over `max` names at a time, no authority, no database, no answer of the ask
 * address, no memory: refused for some seconds, with the reason. A data plane that has left is not
 * told; it asks again where it went. owner: main, thread: the loop. */
#ifndef CARDEA_ACME_ON_DEMAND_H
#define CARDEA_ACME_ON_DEMAND_H

#include "common/metrics/metrics.h"
#include "common/net/loop.h"
#include "control-plane/acme/acme.h"
#include "control-plane/acme/on_demand_policy.h"

struct on_demand;

struct on_demand_conf {
	const char *domains;	 /* acme_on_demand_domains; NULL: any, when ask is set */
	const char *ask;	 /* acme_on_demand_ask; NULL: patterns alone decide */
	uint64_t ask_timeout_ms; /* acme_on_demand_ask_timeout */
	const char *limits;	 /* acme_on_demand_limits */
	uint64_t refused_ms;	 /* acme_on_demand_refused_ttl */
	unsigned max;		 /* acme_on_demand_max */
	bool audit;
	struct metrics *metrics;
};

/* ERR_INVALID names the key: patterns, limits, the address. Opens nothing. */
int on_demand_check(const struct on_demand_conf *c, struct err *e) must_check;
/* Decides from now on. *c is copied; without domains and ask nothing is started and *out is NULL.
 */
int on_demand_start(struct on_demand **out, struct loop *l, struct store *s, struct fleet *f,
		    struct acme *a, const struct on_demand_conf *c, struct err *e) must_check;
/* Before the engine, the fleet and the store. closed comes at once, or when what is under way has
 * ended. */
void on_demand_close(struct on_demand *d, void (*closed)(void *arg), void *arg);

#endif
