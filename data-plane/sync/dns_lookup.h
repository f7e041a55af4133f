/* One look-up of a name: types in Kong's order until one has records (dns_order), the addresses of
 * what SRV records point to.
 *
 *     SRV ─ none ─▶ A ─ none ─▶ AAAA ─ none ─▶ LOOKUP_NOTHING
 *      └─ records ─▶ of the best priority: A or AAAA of each target ─▶ LOOKUP_FOUND
 *
 * A server that fails is asked for the next type only while nothing is known of the name: its
 * silence must not turn an SRV name into another (UP-14). owner: the resolver, thread: its loop. */
#ifndef CARDEA_SYNC_DNS_LOOKUP_H
#define CARDEA_SYNC_DNS_LOOKUP_H

#include "data-plane/sync/dns_channel.h"
#include "data-plane/tables/addresses.h"

enum { DNS_ORDER_MAX = 8, LOOKUP_SRV_TARGETS = 32 };

struct dns_order {
	enum dns_type types[DNS_ORDER_MAX]; /* each once */
	size_t count;
	bool last; /* LAST: what was successful last comes first */
};

enum lookup_result { LOOKUP_FOUND, LOOKUP_NOTHING, LOOKUP_ERROR, LOOKUP_CANCELLED };

struct lookup_answer {
	enum dns_type type;
	uint32_t ttl;
	const struct address *items; /* live until the call returns */
	size_t count;
};

/* "LAST,SRV,A,AAAA,CNAME" in any order; CNAMEs are followed anyway. ERR_INVALID. */
int dns_order_parse(struct dns_order *out, struct str text, struct err *e) must_check;

/* last: the type that was successful last, 0: none. done comes once, later (or from inside
 * dns_channel_close); a is NULL unless LOOKUP_FOUND. */
int dns_lookup_start(struct dns_channel *c, const char *name, const struct dns_order *order,
		     enum dns_type last,
		     void (*done)(enum lookup_result r, const struct lookup_answer *a, void *arg),
		     void *arg, struct err *e) must_check;

#endif
