/* The gate for a CA's URLs. What a name resolves to is checked where the socket is opened
 * (fetch.c): a check of the name alone would be fooled by a second answer of the DNS. */
#include "control-plane/acme/url.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

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

bool url_address_public(const struct sockaddr *sa)
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

static int gate_bytes(struct str url, struct err *e)
{
	if (url.len >= ACME_URL_SIZE)
		return err_set(e, ERR_LIMIT, "URL refused: longer than %d bytes",
			       ACME_URL_SIZE - 1);
	for (size_t i = 0; i < url.len; i++) {
		unsigned char c = (unsigned char)url.ptr[i];

		if (c <= ' ' || c >= 0x7F || strchr("\"<>\\^`{|}#", c))
			return err_set(e, ERR_DENIED, "URL refused: byte 0x%02x at offset %zu", c,
				       i);
	}
	return 0;
}

/* An address literal in the text (brackets already off); false: it is a name. */
static bool literal_address(const char *host, struct sockaddr_storage *out)
{
	struct sockaddr_in in4 = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, host, &in4.sin_addr) == 1)
		memcpy(out, &in4, sizeof(in4));
	else if (inet_pton(AF_INET6, host, &in6.sin6_addr) == 1)
		memcpy(out, &in6, sizeof(in6));
	else
		return false;
	return true;
}

static int gate_private(struct str host, struct str port, struct err *e)
{
	struct sockaddr_storage address;
	char text[ACME_URL_SIZE];

	if (port.ptr && !str_eq(port, STR("443")))
		return err_set(e, ERR_DENIED,
			       "URL refused: port %.*s (only 443 unless acme_allow_private is on)",
			       (int)port.len, port.ptr);
	memcpy(text, host.ptr, host.len);
	text[host.len] = '\0';
	if (str_ieq(host, STR("localhost")) ||
	    (host.len > 10 && str_ieq(str_sub(host, host.len - 10, host.len), STR(".localhost"))) ||
	    (literal_address(text, &address) &&
	     !url_address_public((const struct sockaddr *)&address)))
		return err_set(e, ERR_DENIED,
			       "URL refused: %s is a private or loopback address (allowed by "
			       "acme_allow_private)",
			       text);
	return 0;
}

/* Splits "host[:port]"; port.ptr is NULL when there is none. */
static int split_authority(struct str authority, struct str *host, struct str *port, struct err *e)
{
	size_t end;
	uint64_t number = 0;

	*port = STR_NONE;
	if (authority.len > 0 && authority.ptr[0] == '[') {
		end = str_find(authority, ']', 0);
		*host = str_sub(authority, 1, end);
		end++;
	} else {
		end = str_find(authority, ':', 0);
		*host = str_sub(authority, 0, end);
	}
	if (host->len == 0 || end > authority.len)
		return err_set(e, ERR_DENIED, "URL refused: it has no host");
	if (end == authority.len)
		return 0;
	*port = str_sub(authority, end + 1, authority.len);
	if (authority.ptr[end] != ':' || port->len > 5 || str_u64(*port, &number) != 0 ||
	    number == 0 || number > 65535)
		return err_set(e, ERR_DENIED, "URL refused: bad port");
	return 0;
}

int url_gate(struct str url, bool allow_private, struct err *e)
{
	const struct str scheme = STR("https://");
	struct str rest, authority, host, port;
	size_t end;

	if (gate_bytes(url, e) != 0)
		return -1;
	if (!str_ieq(str_sub(url, 0, scheme.len), scheme))
		return err_set(e, ERR_DENIED, "URL refused: only https is allowed");
	rest = str_sub(url, scheme.len, url.len);
	for (end = 0; end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?';)
		end++;
	authority = str_sub(rest, 0, end);
	if (str_find(authority, '@', 0) < authority.len)
		return err_set(e, ERR_DENIED, "URL refused: it carries user information");
	if (split_authority(authority, &host, &port, e) != 0)
		return -1;
	return allow_private ? 0 : gate_private(host, port, e);
}
