/* cardea-cp: wiring, and the order in which things start and stop.
 *
 *   configuration ─▶ keyring ─▶ store ─(ready)─▶ fleet ─▶ acme ─▶ on demand ─▶ admin ─▶ run
 *   TERM: drain ─▶ close in reverse
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "common/core/codec.h"
#include "common/core/log.h"
#include "common/metrics/metrics.h"
#include "common/net/loop.h"
#include "common/pki/seal.h"
#include "control-plane/acme/acme.h"
#include "control-plane/acme/dns.h"
#include "control-plane/acme/on_demand.h"
#include "control-plane/admin/admin.h"
#include "control-plane/config.h"
#include "control-plane/declared.h"
#include "control-plane/first_token.h"
#include "control-plane/fleet/fleet.h"
#include "control-plane/options.h"
#include "control-plane/store/json_memory.h"
#include "control-plane/store/store.h"

enum { EXIT_CONFIG = 2 };

struct control_plane {
	struct cp_config config;
	struct cp_command command;
	char id[UUID_TEXT_SIZE];
	struct buf conninfo;
	struct loop loop;
	struct signals *signals;
	struct keyring *keyring;
	struct metrics *metrics;
	struct store *store;
	struct fleet *fleet;
	struct acme *acme;
	struct on_demand *on_demand;
	struct admin *admin;
	bool stopping;
	int exit_code;
};

/* --- stopping: each close starts the next --- */

static void signals_gone(struct control_plane *cp)
{
	signals_close(cp->signals);
	cp->signals = NULL;
	loop_stop(&cp->loop);
}

static void store_closed(void *arg)
{
	struct control_plane *cp = arg;

	cp->store = NULL;
	signals_gone(cp);
}

static void fleet_closed(void *arg)
{
	struct control_plane *cp = arg;

	cp->fleet = NULL;
	store_close(cp->store, store_closed, cp);
}

static void acme_closed(void *arg)
{
	struct control_plane *cp = arg;

	cp->acme = NULL;
	if (cp->fleet)
		fleet_close(cp->fleet, fleet_closed, cp);
	else
		fleet_closed(cp);
}

static void on_demand_closed(void *arg)
{
	struct control_plane *cp = arg;

	cp->on_demand = NULL;
	if (cp->acme)
		acme_close(cp->acme, acme_closed, cp);
	else
		acme_closed(cp);
}

static void admin_closed(void *arg)
{
	struct control_plane *cp = arg;

	cp->admin = NULL;
	if (cp->on_demand)
		on_demand_close(cp->on_demand, on_demand_closed, cp);
	else
		on_demand_closed(cp);
}

static void stop(struct control_plane *cp, int exit_code)
{
	if (cp->stopping)
		return;
	cp->stopping = true;
	cp->exit_code = exit_code;
	if (cp->admin)
		admin_close(cp->admin, admin_closed, cp);
	else
		admin_closed(cp);
}

static void on_signal(int signum, void *arg)
{
	struct control_plane *cp = arg;

	if (signum == SIGHUP)
		cp_options_reload(cp->command.file);
	if (signum == SIGHUP && cp->admin)
		admin_reload(cp->admin);
	if (signum == SIGHUP && cp->admin && store_read_only(cp->store))
		declared_load(cp->store, &cp->config, NULL, NULL);
	if (signum == SIGHUP || signum == SIGUSR1 || signum == SIGUSR2)
		return;
	log_notice("stopping", log_i64("signal", signum));
	if (cp->admin)
		admin_drain(cp->admin);
	stop(cp, 0);
}

/* --- starting --- */

static int start_fleet(struct control_plane *cp, struct err *e)
{
	const struct cp_config *c = &cp->config;
	const struct fleet_conf conf = {
		.control_plane_id = cp->id,
		.listen = c->cluster_listen,
		.cert_file = c->cluster_cert,
		.key_file = c->cluster_cert_key,
		.ca_file = c->cluster_ca_cert,
		.max_connections = (unsigned)c->cluster_connections_max,
		.keepalive_ms = c->cluster_keepalive,
		.node_grace_ms = c->cluster_node_grace,
		.metrics = cp->metrics,
	};

	return fleet_start(&cp->fleet, &cp->loop, cp->store, &conf, e);
}

static struct authority_conf acme_authority(const struct cp_config *c)
{
	return (struct authority_conf){
		.name = "default",
		.directory = c->acme_directory,
		.email = c->acme_email,
		.ca_file = c->acme_ca_file,
		.limits = c->acme_limits,
		.eab_kid = c->acme_eab_kid,
		.eab_hmac = c->acme_eab_hmac_key,
		.eab_url = c->acme_eab_url,
		.account_key_file = c->acme_account_key,
		.agree = c->acme_tos_accepted,
	};
}

static int start_acme(struct control_plane *cp, struct err *e)
{
	const struct cp_config *c = &cp->config;
	const struct authority_conf authority = acme_authority(c);
	struct acme_conf conf = {
		.authority = c->acme_directory ? &authority : NULL,
		.control_plane_id = cp->id,
		.ca_file = c->acme_ca_file,
		.egress = c->acme_egress_address,
		.allow_private = c->acme_allow_private,
		.key_type = (enum key_type)c->acme_key_type,
		.profile = c->acme_profile,
		.profile_required = c->acme_profile_policy == 1,
		.preferred_chain = c->acme_preferred_chain,
		.chain_roots = c->acme_chain_roots,
		.park_after = (unsigned)c->acme_park_after,
		.max_in_flight = (unsigned)c->acme_max_in_flight,
		.barrier_timeout_ms = c->acme_barrier_timeout,
		.barrier_required = c->acme_barrier_policy == 1,
		.renew_fraction = (double)c->acme_renew_percent / 100.0,
		.lease_ms = c->acme_lease,
		.audit = c->audit_log,
		.metrics = cp->metrics,
	};

	if (store_read_only(cp->store))
		return 0;
	conf.ocsp_fetch = c->ocsp_fetch;
	conf.ocsp_allow_private = c->ocsp_allow_private;
	conf.ocsp_timeout_ms = c->ocsp_timeout;
	conf.ocsp_fetches_max = (unsigned)c->ocsp_fetches_max;
	conf.webhook_url = c->acme_webhook_url;
	conf.webhook_secret = c->acme_webhook_secret;
	conf.webhook_ca_file = c->acme_webhook_ca_file;
	conf.webhook_queue = (uint64_t)c->acme_webhook_queue;
	if (cp_dns01(c, &conf.dns01, e) < 0)
		return -1;
	conf.storage_value_max = (size_t)c->acme_storage_value_max;
	conf.storage_keys_max = (size_t)c->acme_storage_keys_max;
	conf.storage_ca_file = c->acme_storage_ca_file;
	conf.preflight_port = (unsigned)c->acme_preflight_port;
	conf.dns_server_given = c->dns_resolver && c->dns_resolver[0];
	if (conf.dns_server_given &&
	    dns_server_parse(str_from(c->dns_resolver), &conf.dns_server, e) < 0)
		return err_prefix(e, "dns_resolver");
	if (challenge_types_parse(str_from(c->acme_challenges), conf.challenges,
				  &conf.challenge_count, e) < 0)
		return err_prefix(e, "acme_challenges");
	return acme_start(&cp->acme, &cp->loop, cp->store, cp->fleet, &conf, e);
}

static int start_on_demand(struct control_plane *cp, struct err *e)
{
	struct on_demand_conf conf = cp_on_demand(&cp->config);

	conf.metrics = cp->metrics;
	return cp->acme ? on_demand_start(&cp->on_demand, &cp->loop, cp->store, cp->fleet, cp->acme,
					  &conf, e)
			: 0;
}

static int start_admin(struct control_plane *cp, struct err *e)
{
	const struct cp_config *c = &cp->config;
	const struct admin_conf conf = {
		.listen = c->admin_listen,
		.status_listen = c->status_listen,
		.cert_file = c->admin_ssl_cert,
		.key_file = c->admin_ssl_cert_key,
		.client_ca_file = c->admin_client_ca_cert,
		.client_required = c->admin_client_verify == ADMIN_CLIENT_REQUIRED,
		.client_roles = c->admin_client_roles,
		.auth_required = c->admin_auth == ADMIN_AUTH_REQUIRED,
		.auth_failures_max = (unsigned)c->admin_auth_failures_max,
		.origins = c->admin_gui_origin,
		.audit = {c->audit_log, c->audit_log_record_ttl, (uint64_t)c->audit_log_rows_max},
		.body_max = c->admin_body_max,
		.import_max = c->admin_import_max,
		.imports_max = (unsigned)c->admin_imports_max,
		.max_connections = (unsigned)c->admin_connections_max,
		.verify = c->tls_certificate_verify,
		.control_plane_id = cp->id,
		.keys = cp_config_keys,
		.key_count = cp_config_key_count,
		.values = c,
		.metrics = cp->metrics,
	};

	return admin_start(&cp->admin, &cp->loop, cp->store, cp->fleet, cp->acme, &conf, e);
}

static void on_token(const struct err *e, void *arg)
{
	struct control_plane *cp = arg;

	if (e)
		log_crit("no token was made", log_err(e));
	stop(cp, e ? 1 : 0);
}

static void start_rest(struct control_plane *cp)
{
	struct err e = ERR_INIT;

	if (start_fleet(cp, &e) < 0 || start_acme(cp, &e) < 0 || start_on_demand(cp, &e) < 0 ||
	    start_admin(cp, &e) < 0) {
		log_crit("start failed", log_err(&e));
		stop(cp, EXIT_CONFIG);
		return;
	}
	log_notice("control plane started", log_str("id", cp->id),
		   log_str("version", CARDEA_VERSION));
}

static void on_declared(bool loaded, void *arg)
{
	struct control_plane *cp = arg;

	if (cp->stopping)
		return;
	if (loaded)
		start_rest(cp);
	else
		stop(cp, EXIT_CONFIG);
}

static void on_store_ready(const struct err *why, void *arg)
{
	struct control_plane *cp = arg;

	if (cp->stopping)
		return;
	if (why && why->kind != ERR_NONE) {
		log_crit("database cannot be used", log_err(why));
		stop(cp, 1);
	} else if (cp->command.token_name) {
		first_token(cp->store, cp->command.token_name, stdout, on_token, cp);
	} else if (store_read_only(cp->store)) {
		declared_load(cp->store, &cp->config, on_declared, cp);
	} else {
		start_rest(cp);
	}
}

static int open_store(struct control_plane *cp, struct err *e)
{
	const struct cp_config *c = &cp->config;
	struct store_conf conf = {
		.pool_size = (unsigned)c->pg_pool_size,
		.query_timeout_ms = c->pg_timeout,
	};

	if (c->database == CP_DATABASE_OFF)
		return store_open_memory(&cp->store, &cp->loop, on_store_ready, cp, e);
	if (keyring_load(&cp->keyring, c->keyring_file, e) < 0 ||
	    cp_conninfo(c, &cp->conninfo, e) < 0)
		return -1;
	conf.keyring = cp->keyring;
	conf.conninfo = cp->conninfo.data;
	return store_open(&cp->store, &cp->loop, &conf, on_store_ready, cp, e);
}

static int start(struct control_plane *cp, struct err *e)
{
	if (uuid_make(cp->id, e) < 0)
		return -1;
	cp->metrics = metrics_create();
	if (!cp->metrics)
		return err_memory(e, "starting metrics");
	if (signals_start(&cp->signals, &cp->loop, on_signal, cp, e) < 0)
		return -1;
	return open_store(cp, e);
}

static void deinit(struct control_plane *cp)
{
	loop_deinit(&cp->loop);
	metrics_free(cp->metrics);
	keyring_free(cp->keyring);
	buf_deinit(&cp->conninfo);
	conf_free(cp_config_keys, cp_config_key_count, &cp->config);
}

/* The soft limit of 1,024 that many systems begin with is for programs that use select(). */
static void raise_descriptor_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return;
	r.rlim_cur = r.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &r) < 0)
		log_warn("the limit of open files stays as it was", log_i64("errno", errno));
}

int main(int argc, char **argv)
{
	struct control_plane cp = {.conninfo = {.secret = true}};
	struct err e = ERR_INIT;
	int rc = cp_options(argc, argv, &cp.config, &cp.command);

	if (rc >= 0)
		return rc;
	prctl(PR_SET_DUMPABLE, 0);
	signal(SIGPIPE, SIG_IGN);
	json_memory_setup();
	log_setup("cardea-cp", (enum log_level)cp.config.log_level,
		  (enum log_format)cp.config.log_format);
	raise_descriptor_limit();
	if (loop_init(&cp.loop, &e) < 0) {
		log_crit("start failed", log_err(&e));
		return 1;
	}
	if (start(&cp, &e) < 0) {
		log_crit("start failed", log_err(&e));
		signals_close(cp.signals);
		cp.exit_code = EXIT_CONFIG;
	} else {
		loop_run(&cp.loop);
	}
	deinit(&cp);
	return cp.exit_code;
}
