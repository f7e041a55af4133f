#include "data-plane/proxy/stats.h"

#include <string.h>

#define UPSTREAM_CONNECTIONS "cardea_dp_upstream_connections", "Connections to upstreams."
#define EXPIRING                                                                                   \
	"cardea_dp_certificates_expiring",                                                         \
		"Certificates held that end within so many days, once an hour."

/* The first two are those of origin_event. */
static const char *const outcomes[TLS_OUTCOMES] = {
	[TLS_FULL] = "full",
	[TLS_RESUMED] = "resumed",
	[TLS_FAILED] = "failed",
};
static const char *const staples[2] = {"out_of_date", "sent"};
static const char *const classes[STATS_CLASSES] = {"1xx", "2xx", "3xx", "4xx", "5xx"};

/* NULL at the end of each: labels of Kong's. */
static const char *const kong_requests[] = {"service",	 "route",    "code", "source",
					    "workspace", "consumer", NULL};
static const char *const kong_sessions[] = {"service", "route",	    "code",
					    "source",  "workspace", NULL};
static const char *const stream_outcomes[STREAM_OUTCOMES] = {
	[STREAM_SERVED] = "served",	[STREAM_BROKEN] = "broken",
	[STREAM_NO_ROUTE] = "no_route", [STREAM_NO_UPSTREAM] = "no_upstream",
	[STREAM_LEFT] = "left",
};
static const char *const wish_events[WISH_EVENTS] = {
	[WISH_EVENT_ASKED] = "asked",
	[WISH_EVENT_COMES] = "comes",
	[WISH_EVENT_SERVED] = "served",
	[WISH_EVENT_REFUSED] = "refused",
	[WISH_EVENT_CLIENT_REFUSED] = "client_refused",
	[WISH_EVENT_UNANSWERED] = "unanswered",
	[WISH_EVENT_REMEMBERED] = "remembered",
	[WISH_EVENT_AWAY] = "away",
	[WISH_EVENT_FULL] = "full",
	[WISH_EVENT_HELD] = "held",
	[WISH_EVENT_CROWDED] = "crowded",
	[WISH_EVENT_LATE] = "late",
};
/* Seconds to hours. */
static const double session_bounds[] = {10,    100,    1000,   5000,	15000,
					60000, 300000, 900000, 3600000, 14400000};
static const char *const kong_bytes[] = {"service",   "route",	  "direction",
					 "workspace", "consumer", NULL};
static const char *const kong_latency[] = {"service", "route", "workspace", NULL};
/* Kong's bounds, in milliseconds. */
static const double kong_bounds[] = {1, 2, 5, 7, 10, 15, 20, 30, 50, 75, 100, 200, 500, 750, 1000};
static const double upstream_bounds[] = {25,   50,   80,   100,	  250,	 400,  700,
					 1000, 2000, 5000, 10000, 30000, 60000};
static const double phase_bounds[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
				      0.05,   0.1,     0.25,   0.5,   1,      2.5,   5,	   10};
static const char *const phases[STATS_PHASES] = {
	[PHASE_TOTAL] = "total",
	[PHASE_OWN] = "own",
	[PHASE_CONNECT] = "upstream_connect",
	[PHASE_FIRST_BYTE] = "upstream_first_byte",
};

static const struct {
	const char *name, *help;
	enum metric_type type;
	const char *label, *value; /* NULL: none */
} gauges[STATS_GAUGES] = {
	[STATS_REVISION] = {"cardea_dp_revision", "Revision that is served.", METRIC_GAUGE, NULL,
			    NULL},
	[STATS_CONNECTED] = {"cardea_dp_connected", "1 while a control plane's stream is open.",
			     METRIC_GAUGE, NULL, NULL},
	[STATS_STALE_SECONDS] = {"cardea_dp_stale_seconds", "Seconds without a control plane.",
				 METRIC_GAUGE, NULL, NULL},
	[STATS_READY] = {"cardea_dp_ready", "1 while /status/ready says so.", METRIC_GAUGE, NULL,
			 NULL},
	[STATS_CERTIFICATES] = {"cardea_dp_certificates", "Certificates held.", METRIC_GAUGE, NULL,
				NULL},
	[STATS_NAMES] = {"cardea_dp_names", "Names with a certificate.", METRIC_GAUGE, NULL, NULL},
	[STATS_CHALLENGES] = {"cardea_dp_challenges", "ACME challenges held.", METRIC_GAUGE, NULL,
			      NULL},
	[STATS_TICKET_SECRETS] = {"cardea_dp_ticket_secrets", "Session ticket secrets held.",
				  METRIC_GAUGE, NULL, NULL},
	[STATS_CONNECTIONS] = {"cardea_dp_connections", "Client connections.", METRIC_GAUGE, NULL,
			       NULL},
	[STATS_CACHE_COMMITS] = {"cardea_dp_cache_writes", "Revisions written to the disk cache.",
				 METRIC_GAUGE, NULL, NULL},
	[STATS_CACHE_REWRITES] = {"cardea_dp_cache_rewrites", "Times the cache file was replaced.",
				  METRIC_GAUGE, NULL, NULL},
	[STATS_CACHE_FAILED] = {"cardea_dp_cache_failed", "Writes to the disk cache that failed.",
				METRIC_GAUGE, NULL, NULL},
	[STATS_CACHE_BYTES] = {"cardea_dp_cache_bytes", "Size of the disk cache.", METRIC_GAUGE,
			       NULL, NULL},
	[STATS_CACHE_BEHIND] = {"cardea_dp_cache_behind",
				"1 while the disk cache misses the newest revision.", METRIC_GAUGE,
				NULL, NULL},
	[STATS_ON_TRIAL] =
		{"cardea_dp_entities_on_trial",
		 "Entities given in the last seconds: what a crash would be put down to.",
		 METRIC_GAUGE, NULL, NULL},
	[STATS_REFUSED] = {"cardea_dp_entities_refused",
			   "Entities refused because this node crashed after it was given them.",
			   METRIC_GAUGE, NULL, NULL},
	[STATS_DNS_NAMES] = {"cardea_dp_dns_names", "Names of upstreams kept resolved.",
			     METRIC_GAUGE, NULL, NULL},
	[STATS_DNS_STALE] =
		{"cardea_dp_dns_stale",
		 "Names whose last look-up failed and that keep their last good addresses.",
		 METRIC_GAUGE, NULL, NULL},
	[STATS_DNS_UNRESOLVED] = {"cardea_dp_dns_unresolved", "Names without any address.",
				  METRIC_GAUGE, NULL, NULL},
	[STATS_DNS_LOOKUPS] = {"cardea_dp_dns_lookups", "Look-ups since the start.", METRIC_GAUGE,
			       NULL, NULL},
	[STATS_DNS_FAILURES] = {"cardea_dp_dns_failures", "Look-ups that failed.", METRIC_GAUGE,
				NULL, NULL},
	[STATS_DNS_REFUSED] =
		{"cardea_dp_dns_refused",
		 "Names that found no room (dns_cache_size), and look-ups that workers "
		 "could not ask for.",
		 METRIC_GAUGE, NULL, NULL},
	[STATS_TARGETS_UNHEALTHY] = {"cardea_dp_targets_unhealthy",
				     "Addresses of targets that health checks took out.",
				     METRIC_GAUGE, NULL, NULL},
	[STATS_TARGETS_CHECKED] = {"cardea_dp_targets_checked",
				   "Addresses of targets that health checks look after.",
				   METRIC_GAUGE, NULL, NULL},
	[STATS_HEALTH_PROBES] = {"cardea_dp_health_probes", "Active checks since the start.",
				 METRIC_GAUGE, NULL, NULL},
	[STATS_HEALTH_PROBE_FAILURES] = {"cardea_dp_health_probe_failures",
					 "Active checks without an answer.", METRIC_GAUGE, NULL,
					 NULL},
	[STATS_PICKS_DENIED] = {"cardea_dp_picks_denied",
				"Requests whose upstream has no address that is allowed "
				"(upstream_allow_private).",
				METRIC_GAUGE, NULL, NULL},
	[STATS_PICKS_UNHEALTHY] = {"cardea_dp_picks_unhealthy",
				   "Requests whose upstream had no healthy target.", METRIC_GAUGE,
				   NULL, NULL},
	[STATS_STREAMS] = {"cardea_dp_streams", "Connections of stream listeners that are open.",
			   METRIC_GAUGE, NULL, NULL},
	[STATS_TUNNELS] = {"cardea_dp_tunnels", "Connections that were upgraded and are open.",
			   METRIC_GAUGE, NULL, NULL},
	[STATS_PICKS_PANIC] = {"cardea_dp_picks_panic",
			       "Requests that went to any target, because too few were healthy "
			       "(healthchecks.panic).",
			       METRIC_GAUGE, NULL, NULL},
	[STATS_PICKS_UNRESOLVED] = {"cardea_dp_picks_unresolved",
				    "Requests whose upstream's name was not resolved.",
				    METRIC_GAUGE, NULL, NULL},
	[STATS_HEALTH_DROPPED] = {"cardea_dp_health_dropped",
				  "Outcomes of requests that passive checks could not take.",
				  METRIC_GAUGE, NULL, NULL},
	[STATS_MEMORY] = {"cardea_dp_memory_bytes", "Resident memory, when memory_limit is set.",
			  METRIC_GAUGE, NULL, NULL},
	[STATS_MEMORY_TIGHT] = {"cardea_dp_memory_tight",
				"1 while new work is refused for memory_limit.", METRIC_GAUGE, NULL,
				NULL},
	[STATS_LOG_DROPPED] = {"cardea_dp_access_log_dropped",
			       "Lines of the access log that were dropped.", METRIC_GAUGE, NULL,
			       NULL},
	[STATS_HELLOS_WAITING] = {"cardea_dp_handshakes_waiting",
				  "TLS handshakes that wait for their turn.", METRIC_GAUGE, NULL,
				  NULL},
	[STATS_HELD] = {"cardea_dp_on_demand_held",
			"TLS handshakes that wait for a certificate that is asked for.",
			METRIC_GAUGE, NULL, NULL},
	[STATS_ON_DEMAND_ASKED] = {"cardea_dp_on_demand_asked",
				   "Names whose certificate the control plane is asked for.",
				   METRIC_GAUGE, NULL, NULL},
	[STATS_POOL_IDLE] = {UPSTREAM_CONNECTIONS, METRIC_GAUGE, "state", "idle"},
	[STATS_POOL_BUSY] = {UPSTREAM_CONNECTIONS, METRIC_GAUGE, "state", "busy"},
	[STATS_POOL_CONNECTING] = {UPSTREAM_CONNECTIONS, METRIC_GAUGE, "state", "connecting"},
	[STATS_CERTS_EXPIRED] = {EXPIRING, METRIC_GAUGE, "within_days", "0"},
	[STATS_CERTS_7_DAYS] = {EXPIRING, METRIC_GAUGE, "within_days", "7"},
	[STATS_CERTS_14_DAYS] = {EXPIRING, METRIC_GAUGE, "within_days", "14"},
	[STATS_CERTS_30_DAYS] = {EXPIRING, METRIC_GAUGE, "within_days", "30"},
	[STATS_NODE_INFO] = {"kong_node_info", "Version of this node.", METRIC_GAUGE, "version",
			     CARDEA_VERSION},
	[STATS_KONG_CONNECTED] = {"kong_control_plane_connected",
				  "1 while a control plane's stream is open.", METRIC_GAUGE, NULL,
				  NULL},
	[STATS_KONG_CERT_EXPIRY] = {"kong_data_plane_cluster_cert_expiry_timestamp",
				    "When the cluster certificate of this node ends (Unix time).",
				    METRIC_GAUGE, NULL, NULL},
};

static int labelled(struct stats *s, const char *name, const char *help, const char *label,
		    const char *const *values, struct metric_series **out, size_t n)
{
	const char *const labels[] = {label, NULL};
	struct metric_family *f =
		metrics_family(s->metrics, METRIC_COUNTER, name, help, labels, NULL, 0);

	for (size_t i = 0; f && i < n; i++) {
		out[i] = metrics_series(f, &values[i]);
		if (!out[i])
			return -1;
	}
	return f ? 0 : -1;
}

static struct metric_series *plain(struct stats *s, enum metric_type type, const char *name,
				   const char *help)
{
	struct metric_family *f = metrics_family(s->metrics, type, name, help, NULL, NULL, 0);

	return f ? metrics_series(f, NULL) : NULL;
}

static int make_gauges(struct stats *s)
{
	static const char *const labels[][2] = {
		{"state", NULL}, {"within_days", NULL}, {"version", NULL}};

	for (size_t i = 0; i < STATS_GAUGES; i++) {
		const char *const *names = NULL;
		struct metric_family *f;

		for (size_t k = 0; gauges[i].label && k < array_len(labels); k++)
			if (strcmp(labels[k][0], gauges[i].label) == 0)
				names = labels[k];
		f = metrics_family(s->metrics, gauges[i].type, gauges[i].name, gauges[i].help,
				   names, NULL, 0);
		s->gauges[i] = f ? metrics_series(f, names ? &gauges[i].value : NULL) : NULL;
		if (!s->gauges[i])
			return -1;
	}
	return 0;
}

static int make_phases(struct stats *s)
{
	static const char *const label[] = {"phase", NULL};
	static const char *const direction[] = {"direction", NULL};
	static const char *const directions[2] = {"in", "out"};
	struct metric_family *f = metrics_family(
		s->metrics, METRIC_HISTOGRAM, "cardea_dp_request_seconds",
		"Time of requests by phase.", label, phase_bounds, array_len(phase_bounds));

	for (size_t i = 0; f && i < STATS_PHASES; i++) {
		s->phases[i] = metrics_series(f, &phases[i]);
		if (!s->phases[i])
			return -1;
	}
	return f ? labelled(s, "cardea_dp_bytes_total",
			    "Bytes of bodies, tunnels and streams from and to clients.",
			    direction[0], directions, s->bytes, 2)
		 : -1;
}

/* Kong's names. */
static int make_routes(struct stats *s, size_t max)
{
	static const struct {
		const char *name, *help;
	} latencies[STATS_ROUTE_LATENCIES] = {
		{"kong_request_latency_ms", "Total time of requests by service and route."},
		{"kong_kong_latency_ms", "Time added by the gateway by service and route."},
		{"kong_upstream_latency_ms", "Time until upstreams answered."},
	};

	s->route_requests =
		metrics_family(s->metrics, METRIC_COUNTER, "kong_http_requests_total",
			       "Requests by service, route and status.", kong_requests, NULL, 0);
	s->route_bytes = metrics_family(
		s->metrics, METRIC_COUNTER, "kong_bandwidth_bytes",
		"Bytes of bodies, tunnels and streams by service and route.", kong_bytes, NULL, 0);
	s->route_sessions =
		metrics_family(s->metrics, METRIC_COUNTER, "kong_stream_sessions_total",
			       "Streams by service, route and status.", kong_sessions, NULL, 0);
	s->route_duration = metrics_family(s->metrics, METRIC_HISTOGRAM, "kong_session_duration_ms",
					   "Time of streams by service and route.", kong_latency,
					   session_bounds, array_len(session_bounds));
	if (!s->route_requests || !s->route_bytes || !s->route_sessions || !s->route_duration)
		return -1;
	metrics_limit(s->route_sessions, max * STATS_ROUTE_CODES + STATS_ROUTE_CODES);
	metrics_limit(s->route_duration, max + 1);
	metrics_limit(s->route_requests, max * STATS_ROUTE_CODES + STATS_ROUTE_CODES);
	metrics_limit(s->route_bytes, 2 * max + 2);
	for (size_t i = 0; i < STATS_ROUTE_LATENCIES; i++) {
		bool own = i == 1;

		s->route_latency[i] = metrics_family(
			s->metrics, METRIC_HISTOGRAM, latencies[i].name, latencies[i].help,
			kong_latency, own ? kong_bounds : upstream_bounds,
			own ? array_len(kong_bounds) : array_len(upstream_bounds));
		if (!s->route_latency[i])
			return -1;
		metrics_limit(s->route_latency[i], max + 1);
	}
	return 0;
}

static int make(struct stats *s, size_t max_routes)
{
	static const char *const reason[] = {"reason", NULL};
	const char *failures[TLS_FAILURES];

	for (size_t i = 0; i < TLS_FAILURES; i++)
		failures[i] = tls_failure_name((enum tls_failure)i);
	if (labelled(s, "cardea_dp_handshakes_total", "TLS handshakes by result.", "result",
		     outcomes, s->handshakes, TLS_OUTCOMES) != 0 ||
	    labelled(s, "cardea_dp_handshake_failures_total", "TLS handshakes that failed, by why.",
		     reason[0], failures, s->handshake_failures, TLS_FAILURES) != 0 ||
	    labelled(s, "cardea_dp_staples_total",
		     "OCSP responses that clients asked for: sent, or not because they ended.",
		     "result", staples, s->staples, 2) != 0 ||
	    labelled(s, "cardea_dp_upstream_handshakes_total",
		     "TLS handshakes with upstreams that were completed, by result.", "result",
		     outcomes, s->origins, ORIGIN_RESUMED + 1) != 0 ||
	    labelled(s, "cardea_dp_streams_total", "Connections of stream listeners by end.",
		     "outcome", stream_outcomes, s->streams, STREAM_OUTCOMES) != 0 ||
	    labelled(s, "cardea_dp_requests_total", "Requests by class of the answer.", "class",
		     classes, s->requests, STATS_CLASSES) != 0)
		return -1;
	if (labelled(s, "cardea_dp_on_demand_total",
		     "Issuance on demand: names asked for, answers, handshakes.", "event",
		     wish_events, s->on_demand, WISH_EVENTS) != 0)
		return -1;
	s->challenge_hits = plain(s, METRIC_COUNTER, "cardea_dp_challenge_hits_total",
				  "ACME validation requests that were answered.");
	s->origins[ORIGIN_EVICTED] =
		plain(s, METRIC_COUNTER, "cardea_dp_upstream_sessions_evicted_total",
		      "TLS sessions with upstreams dropped for upstream_ssl_session_cache_size.");
	s->refused = plain(s, METRIC_COUNTER, "cardea_dp_connections_refused_total",
			   "Connections over the limit.");
	s->rejected =
		metrics_family(s->metrics, METRIC_COUNTER, "cardea_dp_rejected_total",
			       "Requests that broke a rule or a limit of HTTP.", reason, NULL, 0);
	if (!s->origins[ORIGIN_EVICTED] || !s->challenge_hits || !s->refused || !s->rejected)
		return -1;
	return make_gauges(s) == 0 && make_phases(s) == 0 ? make_routes(s, max_routes) : -1;
}

int stats_init(struct stats *s, size_t max_routes, struct err *e)
{
	memset(s, 0, sizeof(*s));
	s->metrics = metrics_create();
	if (s->metrics && make(s, max_routes) == 0)
		return 0;
	stats_deinit(s);
	return err_memory(e, "making metrics");
}

void stats_deinit(struct stats *s)
{
	metrics_free(s->metrics);
	s->metrics = NULL;
}

void stats_handshake(struct stats *s, enum tls_outcome outcome, enum tls_failure why)
{
	metric_add(s->handshakes[outcome], 1);
	if (outcome == TLS_FAILED)
		metric_add(s->handshake_failures[why], 1);
}

void stats_staple(struct stats *s, bool sent)
{
	metric_add(s->staples[sent], 1);
}

void stats_origin(struct stats *s, enum origin_event event)
{
	metric_add(s->origins[event], 1);
}

void stats_request(struct stats *s, unsigned status)
{
	if (status >= 100 && status < 100 * (STATS_CLASSES + 1))
		metric_add(s->requests[status / 100 - 1], 1);
}

void stats_stream(struct stats *s, enum stream_outcome outcome)
{
	metric_add(s->streams[outcome], 1);
}

void stats_on_demand(struct stats *s, enum wish_event event)
{
	metric_add(s->on_demand[event], 1);
}

void stats_challenge_hit(struct stats *s)
{
	metric_add(s->challenge_hits, 1);
}

void stats_refused(struct stats *s)
{
	metric_add(s->refused, 1);
}

void stats_rejected(struct stats *s, const char *reason)
{
	struct metric_series *series = metrics_series(s->rejected, &reason);

	if (series)
		metric_add(series, 1);
}

void stats_set(struct stats *s, enum stats_gauge g, double value)
{
	metric_set(s->gauges[g], value);
}

void stats_phase(struct stats *s, enum stats_phase phase, double seconds)
{
	metric_observe(s->phases[phase], seconds);
}

void stats_bytes(struct stats *s, uint64_t in, uint64_t out)
{
	if (in > 0)
		metric_add(s->bytes[0], in);
	if (out > 0)
		metric_add(s->bytes[1], out);
}
