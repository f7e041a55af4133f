#include "control-plane/options.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/conf/manual.h"
#include "common/conf/start.h"
#include "common/core/log.h"
#include "control-plane/acme/dns.h"
#include "control-plane/acme/message.h"
#include "control-plane/acme/url.h"
#include "control-plane/admin/client_roles.h"

enum { EXIT_CONFIG = 2 };

static void usage(FILE *out)
{
	fputs("usage: cardea-cp [-c FILE] [-t] [-A NAME] [-V] [-h]\n"
	      "  -c FILE  configuration (key = value lines; CARDEA_<KEY> in the environment wins)\n"
	      "  -t       check the configuration, print it and exit\n"
	      "  -A NAME  make an admin token of this name in the database, print it and exit\n"
	      "  -V       print the version\n"
	      "  -h       this help\n\nkeys:\n",
	      out);
	conf_usage(cp_config_keys, cp_config_key_count, out);
}

static int need(const char *value, const char *key, struct err *e)
{
	if (value)
		return 0;
	return err_set(e, ERR_INVALID, "%s: must be set", key);
}

/* Beyond this machine the admin API is for those it knows, over TLS, unless it is said otherwise.
 */
static int check_admin_addresses(const struct cp_config *c, struct err *e)
{
	for (size_t i = 0; i < c->admin_listen.count; i++) {
		const struct listen_entry *entry = &c->admin_listen.entries[i];
		bool safe = entry->ssl && c->admin_auth == ADMIN_AUTH_REQUIRED;
		char text[ADDR_TEXT_SIZE];

		if (addr_is_loopback(&entry->addr) || safe || c->admin_allow_remote)
			continue;
		addr_text(&entry->addr, text, sizeof(text));
		return err_set(e, ERR_INVALID,
			       "admin_listen: %s is not a loopback address: give it ssl and set "
			       "admin_auth = required, or set admin_allow_remote = on on a private "
			       "network",
			       text);
	}
	return 0;
}

static bool has_ssl(const struct listen_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->entries[i].ssl)
			return true;
	return false;
}

static int check_admin_certificate(const struct cp_config *c, struct err *e)
{
	if (!c->admin_ssl_cert != !c->admin_ssl_cert_key)
		return err_set(e, ERR_INVALID, "admin_ssl_cert and admin_ssl_cert_key go together");
	if (!c->admin_ssl_cert && (has_ssl(&c->admin_listen) || has_ssl(&c->status_listen)))
		return err_set(e, ERR_INVALID,
			       "%s: an address with ssl needs admin_ssl_cert and "
			       "admin_ssl_cert_key",
			       has_ssl(&c->admin_listen) ? "admin_listen" : "status_listen");
	return 0;
}

static int check_admin_clients(const struct cp_config *c, struct err *e)
{
	struct client_roles roles;

	if (client_roles_parse(&roles, c->admin_client_roles, e) < 0)
		return err_prefix(e, "admin_client_roles");
	if (c->admin_client_ca_cert && !has_ssl(&c->admin_listen))
		return err_set(e, ERR_INVALID,
			       "admin_client_ca_cert: no address of admin_listen has ssl");
	if (c->admin_client_ca_cert)
		return 0;
	if (c->admin_client_roles)
		return need(NULL, "admin_client_roles is set, so admin_client_ca_cert", e);
	if (c->admin_client_verify == ADMIN_CLIENT_REQUIRED)
		return need(NULL, "admin_client_verify is required, so admin_client_ca_cert", e);
	return 0;
}

/* What goes with the kind of store. */
static int check_database(const struct cp_config *c, struct err *e)
{
	bool off = c->database == CP_DATABASE_OFF;

	if (!off && (c->declarative_config || c->declarative_config_string))
		return err_set(e, ERR_INVALID,
			       "declarative_config and declarative_config_string need database = "
			       "off; a database takes documents by `cardea config db_import`");
	if (off && c->acme_directory)
		return err_set(e, ERR_INVALID,
			       "acme_directory needs database = postgres: without a database "
			       "there is nowhere to keep accounts and orders yet");
	if (off && c->admin_auth == ADMIN_AUTH_REQUIRED && !c->admin_client_ca_cert)
		return need(NULL,
			    "without a database there are no tokens, so with admin_auth = "
			    "required admin_client_ca_cert",
			    e);
	return off ? 0 : need(c->keyring_file, "keyring_file", e);
}

static bool given(const char *text)
{
	return text && text[0];
}

/* *there: whether it is given. */
static int read_server(const char *text, const char *key, struct addr *out, bool *there,
		       struct err *e)
{
	*there = given(text);
	if (*there && dns_server_parse(str_from(text), out, e) < 0)
		return err_prefix(e, "%s", key);
	return 0;
}

int cp_dns01(const struct cp_config *c, struct dns01_conf *out, struct err *e)
{
	*out = (struct dns01_conf){
		.key_name = c->acme_dns_update_key_name,
		.key_file = c->acme_dns_update_key_file,
		.zone = c->acme_dns_update_zone,
		.webhook = c->acme_dns_webhook,
		.webhook_secret = c->acme_dns_webhook_secret,
		.webhook_ca_file = c->acme_dns_webhook_ca_file,
		.port = (unsigned)c->acme_dns_port,
		.timeout_ms = c->acme_dns_timeout,
		.propagation_ms = c->acme_dns_propagation_timeout,
		.at_once = (unsigned)c->acme_dns_concurrency,
	};
	if (read_server(c->acme_dns_update_server, "acme_dns_update_server", &out->server,
			&out->update, e) < 0)
		return -1;
	return read_server(c->acme_dns_resolver, "acme_dns_resolver", &out->resolver,
			   &out->resolver_given, e);
}

static int check_update(const struct cp_config *c, struct err *e)
{
	if (given(c->acme_dns_update_server) && given(c->acme_dns_webhook))
		return err_set(e, ERR_INVALID,
			       "acme_dns_update_server and acme_dns_webhook do the same: set one");
	if (given(c->acme_dns_update_key_name) != given(c->acme_dns_update_key_file))
		return err_set(e, ERR_INVALID,
			       "acme_dns_update_key_name and acme_dns_update_key_file go together");
	if (dns_name_check(c->acme_dns_update_key_name, e) < 0)
		return err_prefix(e, "acme_dns_update_key_name");
	if (dns_name_check(c->acme_dns_update_zone, e) < 0)
		return err_prefix(e, "acme_dns_update_zone");
	if (given(c->acme_dns_update_key_file) &&
	    dns_update_key_check(c->acme_dns_update_key_file, e) < 0)
		return err_prefix(e, "acme_dns_update_key_file");
	return 0;
}

static bool wants_dns01(const struct cp_config *c)
{
	enum challenge_type types[CHALLENGE_TYPES];
	size_t n = 0;

	if (challenge_types_parse(str_from(c->acme_challenges), types, &n, NULL) < 0)
		return false;
	while (n > 0 && types[n - 1] != CHALLENGE_DNS_01)
		n--;
	return n > 0;
}

static int check_dns01(const struct cp_config *c, struct err *e)
{
	struct dns01_conf conf;

	if (cp_dns01(c, &conf, e) < 0 || check_update(c, e) < 0)
		return -1;
	if (given(c->acme_dns_webhook) && url_gate_own(str_from(c->acme_dns_webhook), e) < 0)
		return err_prefix(e, "acme_dns_webhook");
	if (wants_dns01(c) && !conf.update && !given(c->acme_dns_webhook))
		return err_set(e, ERR_INVALID,
			       "acme_challenges: dns-01 needs acme_dns_update_server or "
			       "acme_dns_webhook");
	return 0;
}

static int check_challenges(const struct cp_config *c, struct err *e)
{
	enum challenge_type types[CHALLENGE_TYPES];
	struct addr server;
	size_t n;

	if (c->acme_challenges &&
	    challenge_types_parse(str_from(c->acme_challenges), types, &n, e) < 0)
		return err_prefix(e, "acme_challenges");
	if (given(c->acme_egress_address) &&
	    addr_parse_ip(&server, str_from(c->acme_egress_address)) < 0)
		return err_set(e, ERR_INVALID,
			       "acme_egress_address: \"%.64s\" is not allowed; expected an IP "
			       "address of this machine",
			       c->acme_egress_address);
	if (c->acme_webhook_url && c->acme_webhook_url[0] &&
	    url_gate_own(str_from(c->acme_webhook_url), e) < 0)
		return err_prefix(e, "acme_webhook_url");
	if (c->dns_resolver && c->dns_resolver[0] &&
	    dns_server_parse(str_from(c->dns_resolver), &server, e) < 0)
		return err_prefix(e, "dns_resolver");
	return check_dns01(c, e);
}

struct on_demand_conf cp_on_demand(const struct cp_config *c)
{
	return (struct on_demand_conf){
		.domains = c->acme_on_demand_domains,
		.ask = c->acme_on_demand_ask,
		.ask_timeout_ms = c->acme_on_demand_ask_timeout,
		.limits = c->acme_on_demand_limits,
		.refused_ms = c->acme_on_demand_refused_ttl,
		.max = (unsigned)c->acme_on_demand_max,
		.audit = c->audit_log,
	};
}

static int check_on_demand(const struct cp_config *c, struct err *e)
{
	const struct on_demand_conf conf = cp_on_demand(c);

	if (c->database == CP_DATABASE_OFF && (conf.domains || conf.ask))
		return err_set(e, ERR_INVALID,
			       "acme_on_demand_domains and acme_on_demand_ask need database = "
			       "postgres");
	return on_demand_check(&conf, e);
}

int cp_config_check(const struct cp_config *c, struct err *e)
{
	if (check_database(c, e) < 0 || need(c->cluster_cert, "cluster_cert", e) < 0 ||
	    need(c->cluster_cert_key, "cluster_cert_key", e) < 0 ||
	    need(c->cluster_ca_cert, "cluster_ca_cert", e) < 0)
		return -1;
	if (check_admin_certificate(c, e) < 0 || check_admin_clients(c, e) < 0)
		return -1;
	if (check_challenges(c, e) < 0 || check_on_demand(c, e) < 0)
		return -1;
	return check_admin_addresses(c, e);
}

static int add_part(struct buf *out, const char *name, const char *value, struct err *e)
{
	if (!value)
		return 0;
	if (buf_addf(out, e, "%s='", name) < 0)
		return -1;
	for (const char *p = value; *p; p++) {
		if ((*p == '\'' || *p == '\\') && buf_add(out, "\\", 1, e) < 0)
			return -1;
		if (buf_add(out, p, 1, e) < 0)
			return -1;
	}
	return buf_add(out, "' ", 2, e);
}

int cp_conninfo(const struct cp_config *c, struct buf *out, struct err *e)
{
	char port[24];

	if (c->pg_dsn)
		return buf_add_str(out, str_from(c->pg_dsn), e);
	snprintf(port, sizeof(port), "%lld", (long long)c->pg_port);
	if (add_part(out, "host", c->pg_host, e) < 0 || add_part(out, "port", port, e) < 0 ||
	    add_part(out, "user", c->pg_user, e) < 0 ||
	    add_part(out, "password", c->pg_password, e) < 0)
		return -1;
	return add_part(out, "dbname", c->pg_database, e);
}

static int read_options(int argc, char **argv, struct cp_command *command, bool *test)
{
	int option;

	while ((option = getopt(argc, argv, "c:tA:VhM")) != -1) {
		if (option == 'c') {
			command->file = optarg;
		} else if (option == 't') {
			*test = true;
		} else if (option == 'A') {
			command->token_name = optarg;
		} else if (option == 'V') {
			printf("cardea-cp %s\n", CARDEA_VERSION);
			return 0;
		} else if (option == 'M') {
			manual_keys(stdout, cp_config_keys, cp_config_key_count);
			return 0;
		} else {
			usage(option == 'h' ? stdout : stderr);
			return option == 'h' ? 0 : EXIT_CONFIG;
		}
	}
	return -1;
}

static int check_config(const void *config, struct err *e)
{
	return cp_config_check(config, e);
}

int cp_options(int argc, char **argv, struct cp_config *config, struct cp_command *command)
{
	struct conf_start s = {"cardea-cp", cp_config_keys, cp_config_key_count, check_config,
			       false};
	int rc;

	*command = (struct cp_command){.file = NULL};
	rc = read_options(argc, argv, command, &s.test);
	return rc >= 0 ? rc : conf_start(&s, config, command->file);
}

void cp_options_reload(const char *file)
{
	struct cp_config fresh = {0};
	struct err e = ERR_INIT;

	if (conf_load(cp_config_keys, cp_config_key_count, &fresh, file, &e) < 0) {
		log_error("configuration not read again", log_err(&e));
		return;
	}
	log_set_level((enum log_level)fresh.log_level);
	log_notice("configuration read again",
		   log_str("log_level", log_level_name((enum log_level)fresh.log_level)));
	conf_free(cp_config_keys, cp_config_key_count, &fresh);
}
