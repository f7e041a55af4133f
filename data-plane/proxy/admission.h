/* Which connections a worker takes: limits of memory and per client address, and who may speak the
 * PROXY protocol (reliability-goals PP-01, PP-02, SL-06, SL-09, section 2). owner and thread: the
 * worker. */
#ifndef CARDEA_PROXY_ADMISSION_H
#define CARDEA_PROXY_ADMISSION_H

#include "common/net/conn.h"
#include "common/net/ip_set.h"
#include "data-plane/proxy/client_limits.h"
#include "data-plane/proxy/memory_guard.h"
#include "data-plane/proxy/stats.h"

struct admission {
	const struct ip_set *trusted; /* set: who may send PROXY headers; counted by nobody */
	struct client_limits *limits; /* set; NULL: none */
	struct memory_guard *memory;  /* set */
	struct stats *stats;	      /* set */
};

/* Before a connection is taken off the listener: adds to o what it asks of conn. -1: close it
 * unseen. */
int admission_accept(struct admission *a, struct conn_options *o, bool proxy_protocol);
/* A connection was made with those options: it may be closed here. */
void admission_conn(struct admission *a, struct conn *c, bool proxy_protocol);

#endif
