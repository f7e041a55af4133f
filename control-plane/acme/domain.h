/* The domain that a CA counts certificates of a name under: the registered domain by the public
 * suffix list (Debian's publicsuffix package, by libpsl); an address of IPv4 is its own, of IPv6
 * its /64. Thread: any, after the first call. */
#ifndef CARDEA_ACME_DOMAIN_H
#define CARDEA_ACME_DOMAIN_H

#include "common/core/str.h"

enum { DOMAIN_SIZE = 256 }; /* with the NUL */

/* name: lower case, at most 253 bytes; "*.a.com" counts as "a.com". A public suffix, or a name that
 * the list says nothing about, is itself. */
void domain_registered(char out[DOMAIN_SIZE], const char *name);

#endif
