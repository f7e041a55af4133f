/* Who a request comes from, as far as Cardea believes it (reliability-goals TR-01, TR-02, PP-10;
 * Kong's trusted_ips, real_ip_header, real_ip_recursive). Pure. Thread: any. */
#ifndef CARDEA_PROXY_CLIENT_H
#define CARDEA_PROXY_CLIENT_H

#include "common/http/msg.h"
#include "common/net/addr.h"
#include "common/net/conn.h"
#include "common/net/ip_set.h"

struct client {
	struct addr peer; /* of the TCP connection */
	struct addr hop;  /* whoever speaks HTTP: the peer, or who its PROXY header names */
	struct addr
		address; /* the client: the hop, or whom real_ip_header of a trusted one names */
	struct addr local;
	/* What it says of others is believed: the peer is in trusted_ips, and the hop too. A
	 * balancer that is trusted to name a client does not make that client trusted. */
	bool trusted;
	bool tls;		 /* this connection is */
	const char *tls_version; /* as OpenSSL names it; NULL: plain */
	struct str sni;		 /* lower case; STR_NONE: none */
	/* What is forwarded, and what a redirect goes to: a trusted peer's X-Forwarded-*, or what
	 * this connection is. */
	struct str scheme, host;
	uint16_t port;
};

/* Kong's settings. */
struct client_rules {
	const struct ip_set *trusted; /* NULL: nobody is */
	struct str real_ip_header;    /* lower case; "proxy_protocol": none, addresses come from
					 PROXY headers alone */
	bool recursive;
};

/* Fills in everything but tls_version and sni. Strings are literals, r's, or sni's; r's must
 * outlive *c. peer and hop: conn_tcp_peer and conn_peer. */
void client_read(struct client *c, const struct client_rules *rules, const struct http_request *r,
		 const struct addr *peer, const struct addr *hop, const struct addr *local);

/* One address as it stands in X-Forwarded-For: with or without a port, IPv6 with or without
 * brackets. *out has the port, or 0; IPv4 in IPv6 form becomes IPv4. */
int client_parse_address(struct addr *out, struct str text) must_check;

#endif
