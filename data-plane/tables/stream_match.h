/* Which stream route a TCP connection wants: Kong's `traditional` order (kong-admin-api.md 2.5):
 * what constrains more first, then SNI before source before destination, then the older one.
 * Thread: any online in RCU. */
#ifndef CARDEA_TABLES_STREAM_MATCH_H
#define CARDEA_TABLES_STREAM_MATCH_H

#include "data-plane/tables/routes.h"

struct stream_request {
	unsigned protocols; /* set of enum protocol_bit: routes with one of them */
	const struct addr *source, *destination;
	struct str sni; /* lower case, without a dot at its end; or STR_NONE */
};

/* NULL: no route. Lives until rcu_leave. */
const struct route *stream_match(const struct routes *t, uint64_t generation,
				 const struct stream_request *q);

#endif
