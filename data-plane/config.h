/* Configuration of cardea-dp: the table of keys and what it fills. Names and defaults follow Kong's
 * where the thing exists there. */
#ifndef CARDEA_DP_CONFIG_H
#define CARDEA_DP_CONFIG_H

#include "common/conf/conf.h"
#include "common/net/addr.h"

struct dp_config {
	struct listen_list proxy_listen;
	struct listen_list status_listen;
	char *cluster_control_plane; /* "host:port[,host:port...]": tried in turn */
	char *cluster_server_name;   /* name that the control plane's certificate must have */
	char *cluster_cert, *cluster_cert_key, *cluster_ca_cert;
	uint64_t cluster_keepalive;
	char *ssl_cert, *ssl_cert_key; /* the default certificate; none: unrecognized_name */
	char *prefix;		       /* folder of node id and cache */
	char *cache_key_file; /* key that seals the cache; default <prefix>/cache.key, made when
				 absent */
	int64_t workers;      /* 0: one per core */
	uint64_t drain_timeout;
	int64_t max_connections;
	uint64_t ssl_handshake_timeout, client_header_timeout, client_body_timeout;
	uint64_t keepalive_timeout, send_timeout;
	int64_t keepalive_requests, http2_max_concurrent_streams;
	uint64_t client_request_line_size, client_header_size, client_headers_size;
	int64_t client_headers_max;
	uint64_t client_max_body_size; /* 0: no limit */
	int64_t cert_cache_size;       /* parsed certificates kept per worker */
	int log_level, log_format;
	char *node_labels; /* "zone=a,rack=b" */
};

extern const struct conf_key dp_config_keys[];
extern const size_t dp_config_key_count;
/* What no single key can say. Opens nothing. */
int dp_config_check(const struct dp_config *c, struct err *e) must_check;
/* Command line and configuration. Returns an exit code when there is nothing to run, else -1 and
 * *config is filled; *file is what -c gave. */
int dp_options(int argc, char **argv, struct dp_config *config, const char **file);

#endif
