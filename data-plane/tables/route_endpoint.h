/* One of a stream route's sources or destinations: an address or network, a port, or both
 * (kong-admin-api.md 2.5). Pure. Thread: any. */
#ifndef CARDEA_TABLES_ROUTE_ENDPOINT_H
#define CARDEA_TABLES_ROUTE_ENDPOINT_H

#include "common/net/addr.h"

struct route_endpoint {
	unsigned char network[16]; /* IPv4 in IPv6 form */
	unsigned bits;		   /* of network that count; 0 without has_network */
	bool has_network;
	uint16_t port; /* 0: any */
};

struct route_endpoints {
	const struct route_endpoint *items;
	size_t count;
};

/* ip: "192.0.2.1", "2001:db8::/32", or STR_NONE; host bits are ignored. port: 0: any. ERR_INVALID:
 * neither, or no address. */
int route_endpoint_parse(struct route_endpoint *out, struct str ip, int64_t port,
			 struct err *e) must_check;
/* Whether one of them has the address. */
bool route_endpoints_have(const struct route_endpoints *list, const struct addr *a);

#endif
