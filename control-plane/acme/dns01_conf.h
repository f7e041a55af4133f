/* How records of dns-01 get into DNS. Texts are borrowed until acme_start has copied them. */
#ifndef CARDEA_ACME_DNS01_CONF_H
#define CARDEA_ACME_DNS01_CONF_H

#include "control-plane/acme/dns_update.h"
#include "control-plane/acme/dns_zone.h"

struct dns01_conf {
	/* acme_dns_update_*: RFC 2136. */
	bool update;
	struct addr server;
	const char *key_name, *key_file; /* NULL: not signed */
	const char *zone;		 /* acme_dns_update_zone; NULL: DNS is asked (SOA) */
	/* acme_dns_webhook*: in its place; NULL: none. */
	const char *webhook, *webhook_secret, *webhook_ca_file;
	struct addr resolver;	 /* acme_dns_resolver */
	bool resolver_given;	 /* it is asked whether the record is there; else the zone's
				    servers are, as dns_resolver tells them */
	unsigned port;		 /* acme_dns_port, of those: 53 */
	uint64_t timeout_ms;	 /* acme_dns_timeout, of one question, update or call: 5,000 */
	uint64_t propagation_ms; /* acme_dns_propagation_timeout: 120,000 */
	unsigned at_once;	 /* acme_dns_concurrency: threads of the pool: 2 */
};

#endif
