/* What stands between clients and the proxy, made out of the configuration once for the process:
 * whom it believes, what it limits, what it writes down. Owner: the daemon, thread: sync; workers
 * read it, but for what says otherwise in its own header. */
#ifndef CARDEA_PROXY_EDGE_H
#define CARDEA_PROXY_EDGE_H

#include "common/net/ip_set.h"
#include "common/net/proxy_protocol.h"
#include "data-plane/config.h"
#include "data-plane/proxy/access_log.h"
#include "data-plane/proxy/client.h"
#include "data-plane/proxy/client_limits.h"
#include "data-plane/proxy/memory_guard.h"
#include "data-plane/proxy/tokens.h"

struct edge {
	struct ip_set *trusted;
	struct client_rules rules;
	struct tokens tokens;
	enum proxy_version upstream_proxy; /* header on connections to upstreams (PP-09) */
	struct client_limits *limits;	   /* NULL: none */
	struct access_log *log;		   /* NULL: none */
	struct memory_guard memory;
	char real_ip_header[64]; /* private */
};

enum { EDGE_REAL_IP_HEADER_MAX = sizeof(((struct edge *)0)->real_ip_header) - 1 };

/* What of it the configuration alone can get wrong; opens nothing. */
int edge_check(const struct dp_config *c, struct err *e) must_check;
/* c outlives e. On error nothing is left open. workers: how many write the access log. */
int edge_init(struct edge *x, const struct dp_config *c, size_t workers, struct err *e) must_check;
/* After the last worker. Harmless on a zeroed one. */
void edge_deinit(struct edge *x);

#endif
