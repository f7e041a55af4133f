/* A set of IP addresses given as addresses and networks: "10.0.0.0/8, 2001:db8::/32, 192.0.2.1".
 * Immutable once made; looking up is a binary search in sorted ranges without overlaps. IPv4 in
 * IPv6 form counts as IPv4. Thread: any. */
#ifndef CARDEA_NET_IP_SET_H
#define CARDEA_NET_IP_SET_H

#include "common/net/addr.h"

struct ip_set;

enum { IP_SET_MAX = 65536 }; /* entries of one list: their text is one configuration value */

/* text: separated by commas, spaces around them; empty or STR_NONE is the empty set. A network
 * whose host bits are not zero is refused: it is mostly a mistake. ERR_INVALID names the entry. */
int ip_set_parse(struct ip_set **out, struct str text, struct err *e) must_check;
/* NULL is fine. */
void ip_set_free(struct ip_set *s);
/* NULL holds nothing. */
bool ip_set_has(const struct ip_set *s, const struct addr *a);
/* Ranges after joining; for tests. */
size_t ip_set_count(const struct ip_set *s);

#endif
