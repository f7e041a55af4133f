#include "data-plane/tables/route_endpoint.h"

#include <string.h>

enum { V4_BITS = 96 }; /* what stands before an IPv4 address in IPv6 form */

static void to_v6(const struct addr *a, unsigned char out[16])
{
	static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	if (a->u.sa.sa_family == AF_INET6) {
		memcpy(out, &a->u.in6.sin6_addr, 16);
		return;
	}
	memcpy(out, mapped, sizeof(mapped));
	memcpy(out + sizeof(mapped), &a->u.in4.sin_addr, 4);
}

static int set_network(struct route_endpoint *out, struct str ip)
{
	size_t slash = str_find(ip, '/', 0);
	struct str bits = str_sub(ip, slash + 1, ip.len);
	struct addr a;
	uint64_t n;
	bool v4;

	if (addr_parse_ip(&a, str_sub(ip, 0, slash)) != 0)
		return -1;
	v4 = a.u.sa.sa_family == AF_INET;
	n = v4 ? 32 : 128;
	if (slash < ip.len && (str_u64(bits, &n) != 0 || n > (v4 ? 32U : 128U)))
		return -1;
	to_v6(&a, out->network);
	out->bits = (unsigned)n + (v4 ? V4_BITS : 0);
	out->has_network = true;
	return 0;
}

int route_endpoint_parse(struct route_endpoint *out, struct str ip, int64_t port, struct err *e)
{
	struct route_endpoint parsed = {0};

	if (port < 0 || port > UINT16_MAX)
		return err_set(e, ERR_INVALID, "port %lld is none", (long long)port);
	if (!ip.len && !port)
		return err_set(e, ERR_INVALID, "neither an address nor a port");
	if (ip.len && set_network(&parsed, ip) != 0)
		return err_set(e, ERR_INVALID, "\"%.64s\" is no address or network", ip.ptr);
	parsed.port = (uint16_t)port;
	*out = parsed;
	return 0;
}

static bool same_bits(const unsigned char *a, const unsigned char *b, unsigned bits)
{
	unsigned char rest = (unsigned char)(0xff00 >> (bits % 8));

	if (memcmp(a, b, bits / 8) != 0) /* not secret */
		return false;
	return bits % 8 == 0 || ((a[bits / 8] ^ b[bits / 8]) & rest) == 0;
}

bool route_endpoints_have(const struct route_endpoints *list, const struct addr *a)
{
	unsigned char v6[16];
	uint16_t port = addr_port(a);

	to_v6(a, v6);
	for (size_t i = 0; i < list->count; i++) {
		const struct route_endpoint *p = &list->items[i];

		if ((!p->port || p->port == port) &&
		    (!p->has_network || same_bits(p->network, v6, p->bits)))
			return true;
	}
	return false;
}
