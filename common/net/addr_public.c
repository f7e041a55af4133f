#include "common/net/addr_public.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/core/compiler.h"

struct v4_net {
	uint32_t net;
	unsigned bits;
};

static const struct v4_net v4_special[] = {
	{0x00000000, 8},  /* 0.0.0.0/8: this network */
	{0x0A000000, 8},  /* 10.0.0.0/8: private */
	{0x64400000, 10}, /* 100.64.0.0/10: shared */
	{0x7F000000, 8},  /* 127.0.0.0/8: loopback */
	{0xA9FE0000, 16}, /* 169.254.0.0/16: link-local, cloud metadata */
	{0xAC100000, 12}, /* 172.16.0.0/12: private */
	{0xC0000000, 24}, /* 192.0.0.0/24: IETF */
	{0xC0000200, 24}, /* 192.0.2.0/24: documentation */
	{0xC0A80000, 16}, /* 192.168.0.0/16: private */
	{0xC6120000, 15}, /* 198.18.0.0/15: benchmarking */
	{0xC6336400, 24}, /* 198.51.100.0/24: documentation */
	{0xCB007100, 24}, /* 203.0.113.0/24: documentation */
	{0xE0000000, 4},  /* 224.0.0.0/4: multicast */
	{0xF0000000, 4},  /* 240.0.0.0/4: reserved, broadcast */
};

struct v6_net {
	unsigned char net[16];
	unsigned bits;
	int inner; /* offset of an IPv4 address that decides instead; -1: refused */
};

static const struct v6_net v6_special[] = {
	{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF}, 96, 12}, /* ::ffff:0:0/96: IPv4-mapped */
	{{0}, 96, -1},					      /* ::, ::1, IPv4-compatible */
	{{0x00, 0x64, 0xFF, 0x9B}, 96, 12},		      /* 64:ff9b::/96: NAT64 */
	{{0x00, 0x64, 0xFF, 0x9B, 0x00, 0x01}, 48, -1},	      /* 64:ff9b:1::/48: local NAT64 */
	{{0x01}, 64, -1},				      /* 100::/64: discard */
	{{0x20, 0x01, 0x0D, 0xB8}, 32, -1},		      /* 2001:db8::/32: documentation */
	{{0x20, 0x01}, 32, -1},				      /* 2001::/32: Teredo */
	{{0x20, 0x02}, 16, 2},				      /* 2002::/16: 6to4 */
	{{0xFC}, 7, -1},				      /* fc00::/7: unique local */
	{{0xFE, 0x80}, 10, -1},				      /* fe80::/10: link-local */
	{{0xFE, 0xC0}, 10, -1},				      /* fec0::/10: site-local */
	{{0xFF}, 8, -1},				      /* ff00::/8: multicast */
};

static bool v4_public(uint32_t ip)
{
	for (size_t i = 0; i < array_len(v4_special); i++) {
		unsigned shift = 32 - v4_special[i].bits;

		if (ip >> shift == v4_special[i].net >> shift)
			return false;
	}
	return true;
}

static bool v6_in(const unsigned char ip[16], const struct v6_net *n)
{
	size_t whole = n->bits / 8;
	unsigned rest = n->bits % 8;

	if (memcmp(ip, n->net, whole) != 0)
		return false;
	return rest == 0 || ip[whole] >> (8 - rest) == n->net[whole] >> (8 - rest);
}

static bool v6_public(const unsigned char ip[16])
{
	for (size_t i = 0; i < array_len(v6_special); i++) {
		const struct v6_net *n = &v6_special[i];
		uint32_t inner;

		if (!v6_in(ip, n))
			continue;
		if (n->inner < 0)
			return false;
		memcpy(&inner, ip + n->inner, sizeof(inner));
		return v4_public(ntohl(inner));
	}
	return true;
}

bool addr_is_public(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in4;

		memcpy(&in4, sa, sizeof(in4));
		return v4_public(ntohl(in4.sin_addr.s_addr));
	}
	if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, sa, sizeof(in6));
		return v6_public(in6.sin6_addr.s6_addr);
	}
	return false;
}
