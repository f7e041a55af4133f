/* The gate that every URL of a CA goes through: https only, and nothing private unless allowed.
 * Pure. Thread: any. */
#ifndef CARDEA_ACME_URL_H
#define CARDEA_ACME_URL_H

#include <stdbool.h>
#include <sys/socket.h>

#include "common/core/err.h"
#include "common/core/str.h"

enum { ACME_URL_SIZE = 1024 }; /* with the NUL; longer ones are refused */

/* Refuses (ERR_DENIED, ERR_LIMIT) anything but "https://host[:443]/...": other schemes, userinfo,
 * fragments, control and non-ASCII bytes. Without allow_private also other ports, "localhost" and
 * literal addresses that url_address_public refuses. Names are judged again when they are resolved,
 * by the same function. */
int url_gate(struct str url, bool allow_private, struct err *e) must_check;
/* Whether an address is one of the public internet: not loopback, private, link-local, shared,
 * documentation, multicast or reserved (IANA special-purpose registries), also not wrapped in
 * IPv4-mapped, NAT64 or 6to4 addresses. Families other than IPv4 and IPv6 are not. */
bool url_address_public(const struct sockaddr *sa);

#endif
