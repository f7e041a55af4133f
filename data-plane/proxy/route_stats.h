/* Counters of each route and its service, under Kong's names: a worker's way to their series
 * without a lock. Bounded: routes beyond `max` are counted as "other". owner and thread: the
 * worker. */
#ifndef CARDEA_PROXY_ROUTE_STATS_H
#define CARDEA_PROXY_ROUTE_STATS_H

#include "common/core/map.h"
#include "data-plane/proxy/stats.h"

enum route_latency { LATENCY_REQUEST, LATENCY_KONG, LATENCY_UPSTREAM, ROUTE_LATENCIES };
enum { ROUTE_CODES = 12, ROUTE_STATS_ID = 16, ROUTE_STATS_NAME_MAX = 256 };

struct route_code {
	unsigned status;
	bool from_upstream;
	struct metric_series *series;
};

struct route_stats {
	struct route_stats *next;			/* private: of all */
	char *route, *service;				/* read: names, or ids of who has none */
	struct metric_series *bytes[2];			/* private: in, out */
	struct metric_series *latency[ROUTE_LATENCIES]; /* private */
	struct metric_series *duration;			/* private: of streams; NULL: none yet */
	struct route_code codes[ROUTE_CODES];		/* private: those seen so far */
	unsigned code_count;				/* private */
};

struct route_stats_cache {
	struct stats *stats;	 /* private */
	size_t max;		 /* private; 0: nothing is counted */
	struct map by_id;	 /* private: of struct route_stats */
	size_t count;		 /* private: also those whose route has another name now */
	struct route_stats *all; /* private */
	struct route_stats *other;
};

struct route_outcome {
	unsigned status;
	bool from_upstream;
	uint64_t bytes_in, bytes_out;
	double total_ms, own_ms, upstream_ms; /* upstream_ms < 0: none was asked */
};

/* Empty; allocates nothing yet. */
void route_stats_init(struct route_stats_cache *c, struct stats *stats, size_t max);
/* The series stay with stats. */
void route_stats_deinit(struct route_stats_cache *c);
/* Lives as long as the cache. NULL: off, or no memory. Names may be STR_NONE; service_id NULL: the
 * route has none. */
struct route_stats *route_stats_get(struct route_stats_cache *c,
				    const unsigned char id[ROUTE_STATS_ID], struct str route,
				    const unsigned char *service_id, struct str service);
/* A stream that is over; status as in its line of the access log. s may be NULL. */
void route_stats_add_stream(struct route_stats_cache *c, struct route_stats *s,
			    const struct route_outcome *r);
/* s may be NULL. */
void route_stats_add(struct route_stats_cache *c, struct route_stats *s,
		     const struct route_outcome *r);

#endif
