#include "data-plane/config.h"

#include <stddef.h>

#include "common/core/log.h"

static const char *const log_levels[] = {"debug", "info", "notice", "warn", "error", "crit", NULL};
static const char *const log_formats[] = {"logfmt", "json", NULL};

static_assert(LOG_CRIT + 2 == array_len(log_levels), "a name per log level");

#define AT(field) offsetof(struct dp_config, field)

const struct conf_key dp_config_keys[] = {
	{.name = "proxy_listen",
	 .type = CONF_LISTEN,
	 .offset = AT(proxy_listen),
	 .fallback = "0.0.0.0:8000 reuseport, 0.0.0.0:8443 ssl http2 reuseport",
	 .help = "addresses for clients"},
	{.name = "status_listen",
	 .type = CONF_LISTEN,
	 .offset = AT(status_listen),
	 .fallback = "127.0.0.1:8007",
	 .help = "addresses of /status, /status/ready and /metrics"},
	{.name = "cluster_control_plane",
	 .type = CONF_STRING,
	 .offset = AT(cluster_control_plane),
	 .help = "control planes, host:port, tried in turn; none: serve from the cache only"},
	{.name = "cluster_server_name",
	 .type = CONF_STRING,
	 .offset = AT(cluster_server_name),
	 .fallback = "cardea-control-plane",
	 .help = "name that a control plane's certificate must have"},
	{.name = "cluster_cert",
	 .type = CONF_PATH,
	 .offset = AT(cluster_cert),
	 .help = "this node's cluster certificate (PEM; `cardea cluster-cert` makes it)"},
	{.name = "cluster_cert_key",
	 .type = CONF_PATH,
	 .offset = AT(cluster_cert_key),
	 .help = "its private key (PEM)"},
	{.name = "cluster_ca_cert",
	 .type = CONF_PATH,
	 .offset = AT(cluster_ca_cert),
	 .help = "CA that signed the cluster's certificates (PEM)"},
	{.name = "cluster_keepalive",
	 .type = CONF_DURATION,
	 .offset = AT(cluster_keepalive),
	 .fallback = "10s",
	 .min = 100,
	 .max = 3600 * 1000,
	 .help = "silence on the stream after which the control plane is probed"},
	{.name = "ssl_cert",
	 .type = CONF_PATH,
	 .offset = AT(ssl_cert),
	 .help = "default certificate chain (PEM); none: unknown names are refused"},
	{.name = "ssl_cert_key",
	 .type = CONF_PATH,
	 .offset = AT(ssl_cert_key),
	 .help = "its private key (PEM)"},
	{.name = "prefix",
	 .type = CONF_PATH,
	 .offset = AT(prefix),
	 .fallback = "/var/lib/cardea-dp",
	 .help = "folder of the node id and the disk cache"},
	{.name = "cache_key_file",
	 .type = CONF_PATH,
	 .offset = AT(cache_key_file),
	 .help = "key that seals the disk cache; default cache.key in prefix, made when absent"},
	{.name = "workers",
	 .type = CONF_INT,
	 .offset = AT(workers),
	 .fallback = "0",
	 .min = 0,
	 .max = 256,
	 .help = "worker threads; 0: one per core"},
	{.name = "drain_timeout",
	 .type = CONF_DURATION,
	 .offset = AT(drain_timeout),
	 .fallback = "30s",
	 .min = 0,
	 .max = 3600 * 1000,
	 .help = "time that connections have to finish on TERM"},
	{.name = "max_connections",
	 .type = CONF_INT,
	 .offset = AT(max_connections),
	 .fallback = "0",
	 .min = 0,
	 .max = 10000000,
	 .help = "client connections at a time; 0: what the limit of open files allows, at most "
		 "65536"},
	{.name = "cert_cache_size",
	 .type = CONF_INT,
	 .offset = AT(cert_cache_size),
	 .fallback = "4096",
	 .min = 1,
	 .max = 10000000,
	 .help = "parsed certificates kept per worker"},
	{.name = "log_level",
	 .type = CONF_ENUM,
	 .offset = AT(log_level),
	 .fallback = "notice",
	 .choices = log_levels,
	 .help = "least severe events that are logged"},
	{.name = "log_format",
	 .type = CONF_ENUM,
	 .offset = AT(log_format),
	 .fallback = "logfmt",
	 .choices = log_formats,
	 .help = "form of the log"},
	{.name = "node_labels",
	 .type = CONF_STRING,
	 .offset = AT(node_labels),
	 .help = "labels that the control plane shows: zone=a,rack=b"},
};
const size_t dp_config_key_count = array_len(dp_config_keys);

static int need_together(const char *a, const char *b, const char *names, struct err *e)
{
	return !a == !b ? 0 : err_set(e, ERR_INVALID, "%s go together", names);
}

int dp_config_check(const struct dp_config *c, struct err *e)
{
	if (need_together(c->ssl_cert, c->ssl_cert_key, "ssl_cert and ssl_cert_key", e) != 0)
		return -1;
	if (!c->prefix)
		return err_set(e, ERR_INVALID, "prefix: must be set");
	if (c->cluster_control_plane &&
	    (!c->cluster_cert || !c->cluster_cert_key || !c->cluster_ca_cert))
		return err_set(e, ERR_INVALID,
			       "cluster_control_plane needs cluster_cert, cluster_cert_key and "
			       "cluster_ca_cert");
	for (size_t i = 0; i < c->status_listen.count; i++)
		if (c->status_listen.entries[i].ssl)
			return err_set(e, ERR_INVALID, "status_listen: ssl is not supported here");
	for (size_t i = 0; i < c->proxy_listen.count; i++)
		if (c->proxy_listen.entries[i].proxy_protocol)
			return err_set(e, ERR_INVALID,
				       "proxy_listen: proxy_protocol is not supported yet");
	return 0;
}
