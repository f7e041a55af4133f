/* Which addresses are of the public internet: for requests to places that others named. Pure.
 * Thread: any. */
#ifndef CARDEA_NET_ADDR_PUBLIC_H
#define CARDEA_NET_ADDR_PUBLIC_H

#include <stdbool.h>
#include <sys/socket.h>

/* Not loopback, private, link-local, shared, documentation, multicast or reserved (IANA
 * special-purpose registries), also not wrapped in IPv4-mapped, NAT64 or 6to4 addresses. Families
 * other than IPv4 and IPv6 are not. */
bool addr_is_public(const struct sockaddr *sa);

#endif
