/* Limits per client address: connections at a time, new connections per second, requests per
 * second (reliability-goals section 2). IPv6 addresses count by their /64.
 *
 * One table for the process: a limit that each worker kept for itself would be another limit,
 * depending on where the kernel puts connections. It is made of stripes with a lock each, held for
 * a few instructions; nobody asks when no limit is on. Its size is fixed: when it is full of
 * addresses that are in use, further ones are not counted. Thread: any.
 */
#ifndef CARDEA_PROXY_CLIENT_LIMITS_H
#define CARDEA_PROXY_CLIENT_LIMITS_H

#include "common/net/addr.h"

struct client_limits;

struct client_limits_options {
	unsigned connections;		 /* at a time; 0: no limit, as below */
	unsigned connections_per_second; /* as many may come at once */
	unsigned requests_per_second;	 /* the same */
	size_t addresses;		 /* that are remembered */
};

enum client_verdict {
	CLIENT_COUNTED, /* client_limits_leave is due when the connection ends */
	CLIENT_FREE,	/* not counted */
	CLIENT_TOO_MANY,
	CLIENT_TOO_FAST,
};

/* *out is NULL when no limit is on. */
int client_limits_create(struct client_limits **out, const struct client_limits_options *o,
			 struct err *e) must_check;
/* NULL is fine. */
void client_limits_free(struct client_limits *l);
/* A new connection. l may be NULL, as below. */
enum client_verdict client_limits_enter(struct client_limits *l, const struct addr *a,
					uint64_t now_ns);
/* One that was counted is gone. */
void client_limits_leave(struct client_limits *l, const struct addr *a);
/* A new request: 0, or the seconds after which the next one is welcome. */
unsigned client_limits_request(struct client_limits *l, const struct addr *a, uint64_t now_ns);

#endif
