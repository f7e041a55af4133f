#include "data-plane/proxy/stats.h"

#include <string.h>

static const char *const outcomes[TLS_OUTCOMES] = {
	[TLS_FULL] = "full",
	[TLS_RESUMED] = "resumed",
	[TLS_UNKNOWN_NAME] = "unknown_name",
	[TLS_FAILED] = "failed",
	[TLS_PEER_ALERT] = "peer_alert",
};
static const char *const classes[STATS_CLASSES] = {"1xx", "2xx", "3xx", "4xx", "5xx"};

static const struct {
	const char *name, *help;
	enum metric_type type;
} gauges[STATS_GAUGES] = {
	[STATS_REVISION] = {"cardea_dp_revision", "Revision that is served.", METRIC_GAUGE},
	[STATS_CONNECTED] = {"cardea_dp_connected", "1 while a control plane's stream is open.",
			     METRIC_GAUGE},
	[STATS_STALE_SECONDS] = {"cardea_dp_stale_seconds", "Seconds without a control plane.",
				 METRIC_GAUGE},
	[STATS_READY] = {"cardea_dp_ready", "1 while /status/ready says so.", METRIC_GAUGE},
	[STATS_CERTIFICATES] = {"cardea_dp_certificates", "Certificates held.", METRIC_GAUGE},
	[STATS_NAMES] = {"cardea_dp_names", "Names with a certificate.", METRIC_GAUGE},
	[STATS_CHALLENGES] = {"cardea_dp_challenges", "ACME challenges held.", METRIC_GAUGE},
	[STATS_TICKET_SECRETS] = {"cardea_dp_ticket_secrets", "Session ticket secrets held.",
				  METRIC_GAUGE},
	[STATS_CONNECTIONS] = {"cardea_dp_connections", "Client connections.", METRIC_GAUGE},
	[STATS_CACHE_COMMITS] = {"cardea_dp_cache_writes", "Revisions written to the disk cache.",
				 METRIC_GAUGE},
	[STATS_CACHE_REWRITES] = {"cardea_dp_cache_rewrites", "Times the cache file was replaced.",
				  METRIC_GAUGE},
	[STATS_CACHE_FAILED] = {"cardea_dp_cache_failed", "Writes to the disk cache that failed.",
				METRIC_GAUGE},
	[STATS_CACHE_BYTES] = {"cardea_dp_cache_bytes", "Size of the disk cache.", METRIC_GAUGE},
	[STATS_CACHE_BEHIND] = {"cardea_dp_cache_behind",
				"1 while the disk cache misses the newest revision.", METRIC_GAUGE},
	[STATS_ON_TRIAL] =
		{"cardea_dp_entities_on_trial",
		 "Entities given in the last seconds: what a crash would be put down to.",
		 METRIC_GAUGE},
	[STATS_REFUSED] = {"cardea_dp_entities_refused",
			   "Entities refused because this node crashed after it was given them.",
			   METRIC_GAUGE},
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

static int make(struct stats *s)
{
	static const char *const reason[] = {"reason", NULL};

	if (labelled(s, "cardea_dp_handshakes_total", "TLS handshakes by result.", "result",
		     outcomes, s->handshakes, TLS_OUTCOMES) != 0 ||
	    labelled(s, "cardea_dp_requests_total", "Requests by class of the answer.", "class",
		     classes, s->requests, STATS_CLASSES) != 0)
		return -1;
	s->challenge_hits = plain(s, METRIC_COUNTER, "cardea_dp_challenge_hits_total",
				  "ACME validation requests that were answered.");
	s->refused = plain(s, METRIC_COUNTER, "cardea_dp_connections_refused_total",
			   "Connections over the limit.");
	s->rejected =
		metrics_family(s->metrics, METRIC_COUNTER, "cardea_dp_rejected_total",
			       "Requests that broke a rule or a limit of HTTP.", reason, NULL, 0);
	for (size_t i = 0; i < STATS_GAUGES; i++) {
		s->gauges[i] = plain(s, gauges[i].type, gauges[i].name, gauges[i].help);
		if (!s->gauges[i])
			return -1;
	}
	return s->challenge_hits && s->refused && s->rejected ? 0 : -1;
}

int stats_init(struct stats *s, struct err *e)
{
	memset(s, 0, sizeof(*s));
	s->metrics = metrics_create();
	if (s->metrics && make(s) == 0)
		return 0;
	stats_deinit(s);
	return err_memory(e, "making metrics");
}

void stats_deinit(struct stats *s)
{
	metrics_free(s->metrics);
	s->metrics = NULL;
}

void stats_handshake(struct stats *s, enum tls_outcome outcome)
{
	metric_add(s->handshakes[outcome], 1);
}

void stats_request(struct stats *s, unsigned status)
{
	if (status >= 100 && status < 100 * (STATS_CLASSES + 1))
		metric_add(s->requests[status / 100 - 1], 1);
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
