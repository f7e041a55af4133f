#include "data-plane/proxy/address_rules.h"

#include <stdlib.h>
#include <string.h>

enum { IP_SIZE = 16, V4_BITS = 96, NETWORKS_MAX = 64 };

struct network {
	unsigned char bytes[IP_SIZE]; /* IPv4 as ::ffff:a.b.c.d */
	unsigned bits;
};

struct address_rules {
	struct network allowed[NETWORKS_MAX];
	size_t count;
	struct listen_list own;
};

enum class {
	CLASS_NEVER,
	CLASS_NAMED, /* only by a network of its own */
	CLASS_LINK_LOCAL,
	CLASS_LOOPBACK,
	CLASS_PRIVATE,
	CLASSES
};

static const char *const words[CLASSES] = {
	[CLASS_LINK_LOCAL] = "link-local",
	[CLASS_LOOPBACK] = "loopback",
	[CLASS_PRIVATE] = "private",
};

#define V4(a, b, n)                                                                                \
	{                                                                                          \
		{[10] = 0xFF, [11] = 0xFF, [12] = (a), [13] = (b)}, V4_BITS + (n)                  \
	}

/* The first that holds an address decides (IANA special-purpose registries). In bytes: they are
 * looked at for each request. */
static const struct {
	struct network net;
	enum class class;
} special[] = {
	{V4(0, 0, 8), CLASS_NEVER},
	{V4(224, 0, 4), CLASS_NEVER},
	{V4(240, 0, 4), CLASS_NEVER},
	{V4(169, 254, 16), CLASS_LINK_LOCAL},
	{V4(127, 0, 8), CLASS_LOOPBACK},
	{V4(10, 0, 8), CLASS_PRIVATE},
	{V4(172, 16, 12), CLASS_PRIVATE},
	{V4(192, 168, 16), CLASS_PRIVATE},
	{V4(100, 64, 10), CLASS_PRIVATE},
	{{{0}, 128}, CLASS_NEVER},	     /* :: */
	{{{[15] = 1}, 128}, CLASS_LOOPBACK}, /* ::1 */
	{{{0}, 96}, CLASS_NEVER},	     /* IPv4-compatible: deprecated */
	{{{0xFD, 0, 0x0E, 0xC2, [14] = 2, [15] = 0x54}, 128}, CLASS_NAMED}, /* fd00:ec2::254 */
	{{{0xFC}, 7}, CLASS_PRIVATE},					    /* fc00::/7 */
	{{{0xFE, 0x80}, 10}, CLASS_LINK_LOCAL},
	{{{0xFE, 0xC0}, 10}, CLASS_NAMED}, /* site-local: deprecated */
	{{{0xFF}, 8}, CLASS_NEVER},	   /* multicast */
};

static void bytes_of(unsigned char out[IP_SIZE], const struct addr *a)
{
	static const unsigned char nat64[12] = {0x00, 0x64, 0xff, 0x9b};

	if (a->u.sa.sa_family == AF_INET6)
		memcpy(out, &a->u.in6.sin6_addr, IP_SIZE);
	else
		memcpy(out + 12, &a->u.in4.sin_addr, 4);
	if (a->u.sa.sa_family != AF_INET6 || memcmp(out, nat64, sizeof(nat64)) == 0) {
		memset(out, 0, 10);
		memset(out + 10, 0xFF, 2);
	}
}

static bool holds(const unsigned char net[IP_SIZE], unsigned bits, const unsigned char ip[IP_SIZE])
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(net, ip, whole) != 0)
		return false;
	return rest == 0 || ((net[whole] ^ ip[whole]) >> (8 - rest)) == 0;
}

static int refuse(struct str entry, struct err *e)
{
	return err_set(e, ERR_INVALID,
		       "\"%.*s\": use loopback, private, link-local, none, an address, or a "
		       "network as 10.0.0.0/8",
		       (int)(entry.len < 60 ? entry.len : 60), entry.ptr);
}

static int add(struct address_rules *r, const unsigned char bytes[IP_SIZE], unsigned bits,
	       struct err *e)
{
	struct network *n = &r->allowed[r->count];

	if (r->count == NETWORKS_MAX)
		return err_set(e, ERR_INVALID, "more than %d networks", NETWORKS_MAX);
	memcpy(n->bytes, bytes, IP_SIZE);
	n->bits = bits;
	r->count++;
	return 0;
}

static int add_class(struct address_rules *r, enum class c, struct err *e)
{
	for (size_t i = 0; i < array_len(special); i++)
		if (special[i].class == c &&
		    add(r, special[i].net.bytes, special[i].net.bits, e) < 0)
			return -1;

	return 0;
}

static int add_network(struct address_rules *r, struct str entry, struct err *e)
{
	size_t slash = str_find(entry, '/', 0);
	unsigned char bytes[IP_SIZE];
	uint64_t bits;
	unsigned all;
	struct addr a;

	if (addr_parse_ip(&a, str_sub(entry, 0, slash)) < 0)
		return refuse(entry, e);
	all = a.u.sa.sa_family == AF_INET ? 32 : 128;
	bits = all;
	if (slash < entry.len &&
	    (str_u64(str_sub(entry, slash + 1, entry.len), &bits) < 0 || bits > all))
		return refuse(entry, e);
	bytes_of(bytes, &a);
	return add(r, bytes, 128 - all + (unsigned)bits, e);
}

static int add_entry(struct address_rules *r, struct str entry, struct err *e)
{
	if (entry.len == 0 || str_eq(entry, STR("none")))
		return 0;
	for (unsigned c = 0; c < CLASSES; c++)
		if (words[c] && str_eq(entry, str_from(words[c])))
			return add_class(r, (enum class)c, e);
	return add_network(r, entry, e);
}

int address_rules_create(struct address_rules **out, struct str allow,
			 const struct listen_list *own, struct err *e)
{
	struct address_rules *r = calloc(1, sizeof(*r));
	struct str rest = allow, entry;

	if (!r)
		return err_memory(e, "rules for addresses");
	if (own)
		r->own = *own;
	while (rest.len > 0 && str_split(&rest, ',', &entry)) {
		if (add_entry(r, str_trim(entry), e) < 0) {
			free(r);
			return -1;
		}
	}
	*out = r;
	return 0;
}

void address_rules_free(struct address_rules *r)
{
	free(r);
}

/* Of this process: an address it listens on, or any loopback one when it listens on all. */
static bool is_own(const struct listen_list *l, const struct addr *a,
		   const unsigned char ip[IP_SIZE])
{
	static const unsigned char any4[IP_SIZE] = {[10] = 0xFF, [11] = 0xFF}, any6[IP_SIZE];

	for (size_t i = 0; i < l->count; i++) {
		const struct addr *own = &l->entries[i].addr;
		unsigned char bytes[IP_SIZE];

		if (addr_port(own) == 0 || addr_port(own) != addr_port(a))
			continue;
		bytes_of(bytes, own);
		if (memcmp(bytes, ip, IP_SIZE) == 0)
			return true;
		if ((memcmp(bytes, any4, IP_SIZE) == 0 || memcmp(bytes, any6, IP_SIZE) == 0) &&
		    addr_is_loopback(a))
			return true;
	}
	return false;
}

/* The range that an address is special for: its place in the table, or the table's length. */
static size_t special_of(const unsigned char ip[IP_SIZE])
{
	for (size_t i = 0; i < array_len(special); i++)
		if (holds(special[i].net.bytes, special[i].net.bits, ip))
			return i;

	return array_len(special);
}

bool address_rules_allow(const struct address_rules *r, const struct addr *a)
{
	unsigned char ip[IP_SIZE];
	size_t at;

	bytes_of(ip, a);
	at = special_of(ip);
	if (r && is_own(&r->own, a, ip))
		return false;
	if (at == array_len(special))
		return true;
	if (special[at].class == CLASS_NEVER)
		return false;
	if (!r)
		return special[at].class == CLASS_LOOPBACK || special[at].class == CLASS_PRIVATE;
	for (size_t i = 0; i < r->count; i++)
		if (r->allowed[i].bits >= special[at].net.bits &&
		    holds(r->allowed[i].bytes, r->allowed[i].bits, ip))
			return true;
	return false;
}
