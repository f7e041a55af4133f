/* The data plane's metrics: families and the series that workers add to. Thread: any after init. */
#ifndef CARDEA_PROXY_STATS_H
#define CARDEA_PROXY_STATS_H

#include "common/metrics/metrics.h"
#include "data-plane/tls/ctx.h"

enum { STATS_CLASSES = 5 }; /* 1xx to 5xx */

enum stats_gauge {
	STATS_REVISION,
	STATS_CONNECTED,
	STATS_STALE_SECONDS,
	STATS_READY,
	STATS_CERTIFICATES,
	STATS_NAMES,
	STATS_CHALLENGES,
	STATS_TICKET_SECRETS,
	STATS_CONNECTIONS,
	STATS_CACHE_COMMITS,
	STATS_CACHE_REWRITES,
	STATS_CACHE_FAILED,
	STATS_CACHE_BYTES,
	STATS_CACHE_BEHIND,
	STATS_ON_TRIAL,
	STATS_REFUSED,
	STATS_GAUGES,
};

struct stats {
	struct metrics *metrics;			/* read: for rendering */
	struct metric_series *handshakes[TLS_OUTCOMES]; /* private */
	struct metric_series *requests[STATS_CLASSES];	/* private */
	struct metric_series *challenge_hits, *refused; /* private */
	struct metric_family *rejected;			/* private */
	struct metric_series *gauges[STATS_GAUGES];	/* private */
};

/* Makes every series. */
int stats_init(struct stats *s, struct err *e) must_check;
/* After the last update. */
void stats_deinit(struct stats *s);

/* One handshake that ended so. */
void stats_handshake(struct stats *s, enum tls_outcome outcome);
/* One answer. */
void stats_request(struct stats *s, unsigned status);
/* One ACME validation answered. */
void stats_challenge_hit(struct stats *s);
/* A connection over the limit. */
void stats_refused(struct stats *s);
/* A request or connection that HTTP refused; reason is a limit's or a rule's name. */
void stats_rejected(struct stats *s, const char *reason);
/* Gauges: set by the sync thread. */
void stats_set(struct stats *s, enum stats_gauge g, double value);

#endif
