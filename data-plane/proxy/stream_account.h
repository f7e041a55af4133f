/* What is written down of a stream when it is over: metrics and a line of the access log. thread:
 * the worker. */
#ifndef CARDEA_PROXY_STREAM_ACCOUNT_H
#define CARDEA_PROXY_STREAM_ACCOUNT_H

#include "data-plane/proxy/stream.h"

/* What is known of it. Strings may be STR_NONE. */
struct stream_facts {
	struct addr client, peer, upstream; /* client: as a PROXY header names it */
	const char *protocol, *tls;	    /* of the route; version, NULL: plain */
	struct str sni, route, service;
	struct route_stats *stats; /* NULL: not counted */
	enum stream_outcome outcome;
	uint64_t bytes_in, bytes_out;
	uint64_t started_ns, asked_ns, connected_ns; /* of the upstream's; 0: not */
	unsigned tries;
};

/* Once, when it is over. *f may go afterwards. */
void stream_account(const struct stream_options *o, const struct stream_facts *f);

#endif
