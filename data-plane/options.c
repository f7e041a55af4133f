/* The command line of cardea-dp. */
#include <stdio.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "common/conf/manual.h"
#include "common/conf/start.h"
#include "common/net/tls.h"
#include "data-plane/config.h"
#include "data-plane/proxy/address_rules.h"
#include "data-plane/proxy/edge.h"
#include "data-plane/sync/dns_lookup.h"
#include "data-plane/tls/origin.h"
#include "data-plane/tls/profile.h"

enum { EXIT_CONFIG = 2 };

static void usage(FILE *out)
{
	fputs("usage: cardea-dp [-c FILE] [-t] [-V] [-h]\n"
	      "  -c FILE  configuration (key = value lines; CARDEA_<KEY> in the environment wins)\n"
	      "  -t       check the configuration, print it and exit\n"
	      "  -V       print the version\n"
	      "  -h       this help\n\n"
	      "signals: TERM, INT, QUIT finish what runs within drain_timeout and stop; HUP reads\n"
	      "the configuration again; USR2 starts the program again and hands over to it\n\n"
	      "keys:\n",
	      out);
	conf_usage(dp_config_keys, dp_config_key_count, out);
}

static int read_options(int argc, char **argv, const char **file, bool *test)
{
	int option;

	while ((option = getopt(argc, argv, "c:tVhM")) != -1) {
		if (option == 'c') {
			*file = optarg;
		} else if (option == 't') {
			*test = true;
		} else if (option == 'V') {
			printf("cardea-dp %s\n", CARDEA_VERSION);
			return 0;
		} else if (option == 'M') {
			manual_keys(stdout, dp_config_keys, dp_config_key_count);
			return 0;
		} else {
			usage(option == 'h' ? stdout : stderr);
			return option == 'h' ? 0 : EXIT_CONFIG;
		}
	}
	if (optind < argc) {
		usage(stderr);
		return EXIT_CONFIG;
	}
	return -1;
}

void dp_config_profile(const struct dp_config *c, struct tls_profile *out)
{
	*out = (struct tls_profile){
		.suite = (enum tls_suite)c->ssl_cipher_suite,
		.protocols = c->ssl_protocols ? c->ssl_protocols : "",
		.ciphers = c->ssl_ciphers,
		.prefer_server = c->ssl_prefer_server_ciphers,
		.groups = c->ssl_ecdh_curve ? c->ssl_ecdh_curve : "",
		.tickets = c->ssl_session_tickets,
		.session_seconds = (long)(c->ssl_session_timeout / 1000),
	};
}

void dp_config_origins(const struct dp_config *c, struct origin_tls_options *out)
{
	*out = (struct origin_tls_options){
		.trusted_file = c->upstream_ssl_trusted_certificate,
		.cert_file = c->client_ssl ? c->client_ssl_cert : NULL,
		.key_file = c->client_ssl ? c->client_ssl_cert_key : NULL,
		.verify = c->upstream_ssl_verify,
		.enforce = c->tls_certificate_verify,
		.verify_depth = (int)c->upstream_ssl_verify_depth,
		.sessions = (size_t)c->upstream_ssl_session_cache_size,
	};
}

/* What listeners and connections to upstreams are made of is there and can be used. */
static int check_tls(const struct dp_config *c, struct err *e)
{
	const struct tls_options listener = {
		.server = true, .cert_file = c->ssl_cert, .key_file = c->ssl_cert_key};
	const struct tls_options upstream = {
		.ca_file = c->upstream_ssl_trusted_certificate,
		.verify_peer = true,
		.cert_file = c->client_ssl ? c->client_ssl_cert : NULL,
		.key_file = c->client_ssl ? c->client_ssl_cert_key : NULL,
	};
	struct tls_profile profile;
	SSL_CTX *ctx;
	int rc;

	if (tls_context(&ctx, &upstream, e) != 0)
		return err_prefix(e, "TLS to upstreams");
	SSL_CTX_free(ctx);
	if (tls_context(&ctx, &listener, e) != 0)
		return err_prefix(e, "ssl_cert");
	dp_config_profile(c, &profile);
	rc = tls_profile_apply(ctx, &profile, e);
	SSL_CTX_free(ctx);
	return rc;
}

/* How names are found, and where requests may go. */
static int check_backends(const struct dp_config *c, struct err *e)
{
	struct address_rules *rules;
	struct dns_order order;

	if (address_rules_create(&rules, str_from(c->upstream_allow_private), &c->status_listen,
				 e) != 0)
		return err_prefix(e, "upstream_allow_private");
	address_rules_free(rules);
	if (dns_order_parse(&order, str_from(c->dns_order), e) != 0)
		return err_prefix(e, "dns_order");
	if (c->dns_resolver && dns_servers_check(c->dns_resolver, e) != 0)
		return err_prefix(e, "dns_resolver");
	return 0;
}

static int need_together(const char *a, const char *b, const char *names, struct err *e)
{
	return !a == !b ? 0 : err_set(e, ERR_INVALID, "%s go together", names);
}

/* Without anybody who may send them, PROXY headers would close every connection. */
static int check_proxied(const struct dp_config *c, const struct listen_list *l, const char *key,
			 struct err *e)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->entries[i].proxy_protocol && !c->trusted_ips)
			return err_set(e, ERR_INVALID, "%s: proxy_protocol needs trusted_ips", key);
	return 0;
}

/* A handshake that is held is dropped by nobody else meanwhile. */
static int check_on_demand(const struct dp_config *c, struct err *e)
{
	if (!c->on_demand)
		return 0;
	if (!c->cluster_control_plane)
		return err_set(e, ERR_INVALID, "on_demand needs cluster_control_plane");
	return c->on_demand_hold < c->ssl_handshake_timeout
		       ? 0
		       : err_set(e, ERR_INVALID,
				 "on_demand_hold must be shorter than ssl_handshake_timeout");
}

int dp_config_check(const struct dp_config *c, struct err *e)
{
	if (need_together(c->ssl_cert, c->ssl_cert_key, "ssl_cert and ssl_cert_key", e) != 0)
		return -1;
	if (need_together(c->client_ssl_cert, c->client_ssl_cert_key,
			  "client_ssl_cert and client_ssl_cert_key", e) != 0)
		return -1;
	if (c->client_ssl && !c->client_ssl_cert)
		return err_set(e, ERR_INVALID, "client_ssl needs client_ssl_cert");
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
	for (size_t i = 0; i < c->status_listen.count; i++)
		if (c->status_listen.entries[i].proxy_protocol)
			return err_set(e, ERR_INVALID,
				       "status_listen: proxy_protocol is not supported here");
	if (check_on_demand(c, e) != 0 ||
	    check_proxied(c, &c->proxy_listen, "proxy_listen", e) != 0)
		return -1;
	return check_proxied(c, &c->stream_listen, "stream_listen", e);
}

int dp_config_check_all(const struct dp_config *c, struct err *e)
{
	if (dp_config_check(c, e) != 0 || edge_check(c, e) != 0 || check_backends(c, e) != 0)
		return -1;
	return check_tls(c, e);
}

static int check_config(const void *config, struct err *e)
{
	return dp_config_check_all(config, e);
}

int dp_options(int argc, char **argv, struct dp_config *config, const char **file)
{
	struct conf_start s = {"cardea-dp", dp_config_keys, dp_config_key_count, check_config,
			       false};
	int rc;

	*file = NULL;
	rc = read_options(argc, argv, file, &s.test);
	return rc >= 0 ? rc : conf_start(&s, config, *file);
}
