/* Configuration of cardea-cp: the table of keys and what it fills. Names and defaults follow Kong's
 * where the thing exists there. */
#ifndef CARDEA_CP_CONFIG_H
#define CARDEA_CP_CONFIG_H

#include "common/conf/conf.h"
#include "common/net/addr.h"

/* Values of admin_auth and admin_client_verify. */
enum { ADMIN_AUTH_OFF, ADMIN_AUTH_REQUIRED };
enum { ADMIN_CLIENT_OPTIONAL, ADMIN_CLIENT_REQUIRED };
enum { CP_DATABASE_POSTGRES, CP_DATABASE_OFF };

struct cp_config {
	struct listen_list admin_listen;
	struct listen_list status_listen;
	struct listen_list cluster_listen;
	char *admin_ssl_cert, *admin_ssl_cert_key;
	char *cluster_cert, *cluster_cert_key, *cluster_ca_cert;
	char *pg_dsn;
	char *pg_host, *pg_user, *pg_password, *pg_database;
	int64_t pg_port, pg_pool_size;
	uint64_t pg_timeout;
	int database;
	char *declarative_config, *declarative_config_string;
	char *keyring_file;
	int log_level, log_format;
	uint64_t admin_body_max, admin_import_max;
	int64_t admin_imports_max;
	int64_t admin_connections_max, cluster_connections_max;
	bool admin_allow_remote;
	int admin_auth, admin_client_verify; /* enums below */
	char *admin_client_ca_cert, *admin_client_roles, *admin_gui_origin;
	int64_t admin_auth_failures_max;
	bool audit_log;
	uint64_t audit_log_record_ttl;
	int64_t audit_log_rows_max;
	char *acme_directory, *acme_email, *acme_ca_file, *acme_limits, *acme_egress_address;
	char *acme_challenges, *acme_profile, *acme_preferred_chain, *acme_chain_roots;
	int acme_profile_policy;
	char *acme_eab_kid, *acme_eab_hmac_key, *acme_eab_url, *acme_account_key;
	bool acme_tos_accepted;
	bool acme_allow_private;
	int64_t acme_preflight_port, acme_webhook_queue;
	char *acme_webhook_url, *acme_webhook_secret, *acme_webhook_ca_file;
	uint64_t acme_storage_value_max;
	int64_t acme_storage_keys_max;
	char *acme_storage_ca_file;
	char *dns_resolver;
	char *acme_dns_update_server, *acme_dns_update_key_name, *acme_dns_update_key_file;
	char *acme_dns_update_zone, *acme_dns_resolver;
	char *acme_dns_webhook, *acme_dns_webhook_secret, *acme_dns_webhook_ca_file;
	int64_t acme_dns_port, acme_dns_concurrency;
	uint64_t acme_dns_timeout, acme_dns_propagation_timeout;
	bool ocsp_fetch, ocsp_allow_private;
	uint64_t ocsp_timeout;
	int64_t ocsp_fetches_max;
	bool tls_certificate_verify;
	int acme_key_type;
	int64_t acme_max_in_flight, acme_park_after;
	uint64_t acme_barrier_timeout, acme_lease;
	int acme_barrier_policy;
	int64_t acme_renew_percent;
	char *acme_on_demand_domains, *acme_on_demand_ask, *acme_on_demand_limits;
	uint64_t acme_on_demand_ask_timeout, acme_on_demand_refused_ttl;
	int64_t acme_on_demand_max;
	uint64_t cluster_keepalive, cluster_node_grace;
};

extern const struct conf_key cp_config_keys[];
extern const size_t cp_config_key_count;

#endif
