/* Which route a request wants: Kong's `traditional` order (kong-admin-api.md 2.5).
 *
 *     request ─▶ what any route could match (a category) ─▶ entries by host and path ─▶ the first
 * of the best category whose every constraint holds
 *
 * Within a category Kong tries a smaller set of likely entries before all: so do we, by counts. One
 * difference: a wildcard host is matched as a whole, where Kong lets text stand before "a.*".
 * Thread: any online in RCU; a matcher belongs to one thread.
 */
#ifndef CARDEA_TABLES_ROUTE_MATCH_H
#define CARDEA_TABLES_ROUTE_MATCH_H

#include "common/http/msg.h"
#include "data-plane/tables/route_matcher.h"
#include "data-plane/tables/routes.h"

struct route_request {
	struct str method;
	struct str path; /* normal form, without query */
	struct str host; /* route_request_host of Host or :authority; or STR_NONE */
	bool tls;
	struct str sni;			  /* lower case, without a dot at its end; or STR_NONE */
	const struct http_fields *fields; /* names in lower case; may be NULL */
};

struct route_match {
	const struct route *route;	 /* lives until rcu_leave */
	const struct route_entry *entry; /* what of it matched; lives as long */
	struct str matched; /* the begin of request.path that its path matched; STR_NONE: no path */
};

/* An authority as routes are looked up by it (H1-22, TR-08): lower case, without a dot at the
 * name's end, with its port. Copies into a only what differs. ptr NULL: out of memory. */
struct str route_request_host(struct arena *a, struct str authority);

/* False: no route. */
bool routes_match(const struct routes *t, uint64_t generation, struct route_matcher *m,
		  const struct route_request *q, struct route_match *out) must_check;

#endif
