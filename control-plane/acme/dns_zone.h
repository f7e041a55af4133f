/* Where the TXT record of a dns-01 challenge belongs, and who shows it already. By ldns; it blocks,
 * so it runs on the pool. Thread: any. */
#ifndef CARDEA_ACME_DNS_ZONE_H
#define CARDEA_ACME_DNS_ZONE_H

#include <ldns/ldns.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/core/str.h"
#include "common/net/addr.h"

enum { DNS_NAME_SIZE = 1024 };	   /* a name as text, with its escapes and the NUL */
enum { DNS_ALIASES_MAX = 8 };	   /* CNAMEs in a row that are followed */
enum { DNS_NAMESERVERS_MAX = 16 }; /* of a zone that are asked; more are left out */

/* Who is asked. */
struct dns_asked {
	struct addr resolver; /* as dns_server_parse gives it */
	bool resolver_given;  /* else those of /etc/resolv.conf */
	bool resolver_only;   /* it is also asked for the record, not the zone's own servers */
	unsigned port;	      /* of the zone's own servers: 53 */
	uint64_t timeout_ms;  /* of one question to one server */
};

struct dns_place {
	char name[DNS_NAME_SIZE]; /* of the record, after aliases; without the last dot */
	char zone[DNS_NAME_SIZE]; /* that has it; "": it was not asked for */
};

/* Follows the aliases of name (_acme-challenge.example.com), and finds the zone of what is at their
 * end unless zone is given (RFC 2136 clients do; RFC 1035 section 3.3.13: SOA); zone "": is not
 * asked for. ERR_INVALID: the answer cannot be, or the name is not in that zone; ERR_UNAVAILABLE:
 * nobody answers. */
int dns_place_find(struct dns_place *out, const char *name, const char *zone,
		   const struct dns_asked *asked, struct err *e) must_check;
/* Whether everybody who answers shows a TXT record of this name and value: the zone's own servers,
 * or the resolver. Those that do not answer are left out, as an authority's resolver would leave
 * them out, unless nobody does. who: the first that does not show it, ADDR_TEXT_SIZE bytes. */
int dns_place_shows(const struct dns_place *p, const char *value, const struct dns_asked *asked,
		    bool *shown, char *who, struct err *e) must_check;

/* Whether a text is a name that ldns takes; none and "" are too. Pure. */
int dns_name_check(const char *text, struct err *e) must_check;
/* Pure parts. Whether the answer section has such a TXT record; its strings are one text. */
bool dns_answer_has_txt(const ldns_pkt *answer, const ldns_rdf *name, struct str value);
/* A new resolver that asks one server (its port too), or those of the system (server NULL). */
ldns_resolver *dns_resolver_make(const struct addr *server, unsigned port, uint64_t timeout_ms);

#endif
