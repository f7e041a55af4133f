/* Addresses of upstream names by DNS: kept fresh before their time is over, published to workers
 * (tables/addresses.h).
 *
 *     names of services and targets ─┐                ┌─ records ─▶ published; again before the TTL
 *     names that workers ask for ────┴─▶ looked up ───┤             ends (5 to 15 % before)
 *                                                     └─ none ────▶ what was good stays, counted as
 *                                                                   stale (UP-14, F18); again soon
 *
 * A name whose servers say that it does not exist loses its addresses only when they have said so
 * for dns_stale_ttl. A name that finds no room (dns_cache_size) has no addresses until there is
 * some: then it is asked for again by who needs it. Servers that fail or are silent take nothing
 * away, however long. owner: the daemon, thread: sync. */
#ifndef CARDEA_SYNC_RESOLVER_H
#define CARDEA_SYNC_RESOLVER_H

#include "common/net/loop.h"
#include "data-plane/tables/addresses.h"
#include "data-plane/tables/tables.h"

enum {
	RESOLVER_AT_ONCE = 64,	     /* look-ups */
	RESOLVER_ASKED_S = 3600,     /* a name of no table is kept so long after it was asked for */
	RESOLVER_REFUSED_MAX = 4096, /* names over the limit that are remembered */
	RESOLVER_HOSTS_TTL_S = 10,   /* of what the hosts file says */
	RESOLVER_RETRY_MAX_S = 30,   /* between tries of a name that never had addresses */
};

struct resolver_options {
	struct loop *loop;
	struct addresses *addresses;
	const struct tables *tables;
	const char *servers;	 /* dns_resolver; NULL: those of resolv.conf */
	const char *hosts_file;	 /* dns_hostsfile; NULL: none */
	const char *order;	 /* dns_order */
	uint64_t timeout_ms;	 /* dns_timeout */
	uint64_t valid_ms;	 /* dns_valid_ttl; 0: what records say */
	uint64_t min_ms, max_ms; /* dns_min_ttl, dns_max_ttl: of what records say */
	uint64_t stale_ms, error_ms,
		not_found_ms; /* dns_stale_ttl, dns_error_ttl, dns_not_found_ttl */
	size_t max_names;     /* dns_cache_size */
};

struct resolver;
struct resolver_facts {
	size_t names, stale, unresolved; /* now: known of, with old addresses, with none */
	uint64_t lookups, failures;	 /* since the start */
	uint64_t refused;		 /* names over the limit */
};

/* Strings of *o outlive it. ERR_INVALID names the key. */
int resolver_start(struct resolver **out, const struct resolver_options *o,
		   struct err *e) must_check;
/* Ends what is under way; memory goes when the loop has run. NULL is fine. */
void resolver_close(struct resolver *r);
/* The tables changed: names come and go. Costs a walk when services or targets changed, else
 * nothing. */
void resolver_update(struct resolver *r);
void resolver_facts(const struct resolver *r, struct resolver_facts *out);

#endif
