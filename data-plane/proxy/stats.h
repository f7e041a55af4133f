/* The data plane's metrics: families and the series that workers add to. Thread: any after init. */
#ifndef CARDEA_PROXY_STATS_H
#define CARDEA_PROXY_STATS_H

#include "common/metrics/metrics.h"
#include "data-plane/tables/wishes.h"
#include "data-plane/tls/ctx.h"
#include "data-plane/tls/origin.h"

enum { STATS_CLASSES = 5 }; /* 1xx to 5xx */
/* What became of a connection of a stream listener. */
enum stream_outcome {
	STREAM_SERVED, /* copied, and ended in order */
	STREAM_BROKEN, /* copied, and ended without order or idle */
	STREAM_NO_ROUTE,
	STREAM_NO_UPSTREAM, /* no target, or none that answers */
	STREAM_LEFT,	    /* the client went before */
	STREAM_OUTCOMES,
};

enum { STATS_ROUTE_LATENCIES = 3, STATS_ROUTE_CODES = 8 };

/* Parts of a request's time. */
enum stats_phase {
	PHASE_TOTAL,	  /* from its head to the end of the answer */
	PHASE_OWN,	  /* until an upstream was asked, or Cardea answered */
	PHASE_CONNECT,	  /* until there was a connection to the upstream */
	PHASE_FIRST_BYTE, /* from then on until the head of its answer */
	STATS_PHASES,
};

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
	STATS_DNS_NAMES,
	STATS_DNS_STALE,
	STATS_DNS_UNRESOLVED,
	STATS_DNS_LOOKUPS,
	STATS_DNS_FAILURES,
	STATS_DNS_REFUSED,
	STATS_TARGETS_UNHEALTHY,
	STATS_TARGETS_CHECKED,
	STATS_HEALTH_PROBES,
	STATS_HEALTH_PROBE_FAILURES,
	STATS_PICKS_DENIED,
	STATS_STREAMS,
	STATS_TUNNELS,
	STATS_PICKS_UNHEALTHY,
	STATS_PICKS_PANIC,
	STATS_PICKS_UNRESOLVED,
	STATS_HEALTH_DROPPED,
	STATS_MEMORY,
	STATS_MEMORY_TIGHT,
	STATS_LOG_DROPPED,
	STATS_HELLOS_WAITING,
	STATS_HELD,
	STATS_ON_DEMAND_ASKED,
	STATS_POOL_IDLE,
	STATS_POOL_BUSY,
	STATS_POOL_CONNECTING,
	STATS_CERTS_EXPIRED,
	STATS_CERTS_7_DAYS,
	STATS_CERTS_14_DAYS,
	STATS_CERTS_30_DAYS,
	STATS_NODE_INFO,
	STATS_KONG_CONNECTED,
	STATS_KONG_CERT_EXPIRY,
	STATS_GAUGES,
};

struct stats {
	struct metrics *metrics;				/* read: for rendering */
	struct metric_series *handshakes[TLS_OUTCOMES];		/* private */
	struct metric_series *handshake_failures[TLS_FAILURES]; /* private */
	struct metric_series *staples[2];			/* private: out of date, sent */
	struct metric_series *origins[ORIGIN_EVENTS];		/* private */
	struct metric_series *requests[STATS_CLASSES];		/* private */
	struct metric_series *challenge_hits, *refused;		/* private */
	struct metric_family *rejected;				/* private */
	struct metric_series *gauges[STATS_GAUGES];		/* private */
	struct metric_series *on_demand[WISH_EVENTS];		/* private */
	struct metric_series *bytes[2];				/* private: in, out */
	struct metric_series *streams[STREAM_OUTCOMES];		/* private */
	struct metric_series *phases[STATS_PHASES];		/* private */
	/* For route_stats: per service and route. */
	struct metric_family *route_requests, *route_bytes;
	struct metric_family *route_sessions, *route_duration;
	struct metric_family *route_latency[STATS_ROUTE_LATENCIES];
};

/* Makes every series. max_routes: of those that are counted apart. */
int stats_init(struct stats *s, size_t max_routes, struct err *e) must_check;
/* After the last update. */
void stats_deinit(struct stats *s);

/* One handshake that ended so; why: of TLS_FAILED. */
void stats_handshake(struct stats *s, enum tls_outcome outcome, enum tls_failure why);
/* An OCSP response that a client asked for was sent, or is out of date. */
void stats_staple(struct stats *s, bool sent);
/* A handshake with an upstream, or sessions that were not kept. */
void stats_origin(struct stats *s, enum origin_event event);
/* One answer. */
void stats_request(struct stats *s, unsigned status);
/* How long a part of a request took. */
void stats_phase(struct stats *s, enum stats_phase phase, double seconds);
/* One connection of a stream listener that ended so. */
void stats_stream(struct stats *s, enum stream_outcome outcome);
/* Bytes of bodies, tunnels and streams from and to clients. */
void stats_bytes(struct stats *s, uint64_t in, uint64_t out);
/* One ACME validation answered. */
void stats_challenge_hit(struct stats *s);
/* A connection over the limit. */
void stats_refused(struct stats *s);
/* A request or connection that HTTP refused; reason is a limit's or a rule's name. */
void stats_rejected(struct stats *s, const char *reason);
/* Issuance on demand: one thing that happened. */
void stats_on_demand(struct stats *s, enum wish_event event);
/* Gauges: set by the sync thread. */
void stats_set(struct stats *s, enum stats_gauge g, double value);

#endif
