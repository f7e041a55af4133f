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
#include "data-plane/tables/routes.h"

struct route_request {
	struct str method;
	struct str path; /* normal form, without query */
	struct str host; /* Host or :authority as sent, lower case, with its port; or STR_NONE */
	bool tls;
	struct str sni;			  /* lower case, without a dot at its end; or STR_NONE */
	const struct http_fields *fields; /* names in lower case; may be NULL */
};

struct route_match {
	const struct route *route; /* lives until rcu_leave */
	struct str matched; /* the begin of request.path that its path matched; STR_NONE: no path */
};

/* Memory for expressions. */
struct route_matcher;

/* NULL: out of memory. */
struct route_matcher *route_matcher_create(void);
/* NULL is fine. */
void route_matcher_free(struct route_matcher *m);
/* False: no route. */
bool routes_match(const struct routes *t, uint64_t generation, struct route_matcher *m,
		  const struct route_request *q, struct route_match *out) must_check;

#endif
