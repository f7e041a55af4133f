/* Configuration of cardea-dp: the table of keys and what it fills. Names and defaults follow Kong's
 * where the thing exists there. */
#ifndef CARDEA_DP_CONFIG_H
#define CARDEA_DP_CONFIG_H

#include "common/conf/conf.h"
#include "common/net/addr.h"

struct dp_config {
	struct listen_list proxy_listen;
	struct listen_list stream_listen;
	struct listen_list status_listen;
	char *cluster_control_plane; /* "host:port[,host:port...]": tried in turn */
	char *cluster_server_name;   /* name that the control plane's certificate must have */
	char *cluster_cert, *cluster_cert_key, *cluster_ca_cert;
	uint64_t cluster_keepalive;
	char *ssl_cert, *ssl_cert_key; /* the default certificate; none: unrecognized_name */
	int ssl_cipher_suite;	       /* enum tls_suite */
	char *ssl_ciphers, *ssl_protocols, *ssl_ecdh_curve;
	bool ssl_prefer_server_ciphers, ssl_session_tickets;
	uint64_t ssl_session_timeout;
	char *prefix;	      /* folder of node id and cache */
	char *cache_key_file; /* key that seals the cache; default <prefix>/cache.key, made when
				 absent */
	int64_t workers;      /* 0: one per core */
	uint64_t drain_timeout, upgrade_timeout;
	int64_t max_connections;
	uint64_t ssl_handshake_timeout, client_header_timeout, client_body_timeout;
	uint64_t keepalive_timeout, send_timeout;
	int64_t keepalive_requests, http2_max_concurrent_streams;
	uint64_t client_request_line_size, client_header_size, client_headers_size;
	int64_t client_headers_max;
	uint64_t client_max_body_size; /* 0: no limit */
	uint64_t client_body_buffer_size, response_buffer_size;
	int64_t upstream_keepalive_pool_size, upstream_keepalive_max_requests;
	uint64_t upstream_keepalive_idle_timeout, tunnel_idle_timeout;
	int upstream_proxy_protocol; /* enum proxy_version */
	char *trusted_ips, *real_ip_header;
	bool real_ip_recursive;
	char *headers;
	int64_t client_max_connections, client_connection_rate, client_request_rate;
	int64_t client_addresses;
	uint64_t memory_limit; /* 0: no limit */
	bool on_demand;
	uint64_t on_demand_hold;
	int64_t on_demand_held_max; /* per worker */
	int64_t on_demand_names_max;
	int64_t ssl_handshakes_at_once, ssl_handshakes_waiting;
	char *proxy_access_log;	     /* path or "off" */
	int proxy_access_log_format; /* enum access_format */
	int64_t metrics_max_routes;
	int64_t upstream_max_connections; /* per worker and upstream address; 0: no limit */
	uint64_t revocation_max_size;	  /* of a list that is fetched */
	bool revocation_allow_private;
	char *upstream_ssl_trusted_certificate; /* PEM bundle; NULL: the system's */
	bool upstream_ssl_verify;		/* of services that do not say */
	int64_t upstream_ssl_verify_depth;
	int64_t upstream_ssl_session_cache_size;
	bool tls_certificate_verify;
	bool client_ssl; /* client_ssl_cert is shown to upstreams */
	char *client_ssl_cert, *client_ssl_cert_key;
	char *dns_resolver, *dns_hostsfile, *dns_order; /* see sync/resolver.h */
	uint64_t dns_timeout, dns_valid_ttl, dns_min_ttl, dns_max_ttl;
	uint64_t dns_stale_ttl, dns_error_ttl, dns_not_found_ttl;
	int64_t dns_cache_size;
	char *upstream_allow_private; /* see proxy/address_rules.h */
	int64_t cert_cache_size;      /* parsed certificates kept per worker */
	int log_level, log_format;
	char *node_labels; /* "zone=a,rack=b" */
};

extern const struct conf_key dp_config_keys[];
extern const size_t dp_config_key_count;
/* What no single key can say. Opens nothing. */
int dp_config_check(const struct dp_config *c, struct err *e) must_check;
/* As dp_config_check, and reads what is to be served by default. */
int dp_config_check_all(const struct dp_config *c, struct err *e) must_check;
struct tls_profile;
/* What listeners offer. Borrows from c. */
void dp_config_profile(const struct dp_config *c, struct tls_profile *out);
struct origin_tls_options;
/* What connections to upstreams are made with; tables are the caller's to set. Borrows from c. */
void dp_config_origins(const struct dp_config *c, struct origin_tls_options *out);
/* Command line and configuration. Returns an exit code when there is nothing to run, else -1 and
 * *config is filled; *file is what -c gave. */
int dp_options(int argc, char **argv, struct dp_config *config, const char **file);

#endif
