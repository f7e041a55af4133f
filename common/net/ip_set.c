#include "common/net/ip_set.h"

#include <stdlib.h>
#include <string.h>

enum { IP_SIZE = 16 };

/* IPv4 stands in its mapped form, so that one order holds for both. */
struct range {
	unsigned char first[IP_SIZE], last[IP_SIZE];
};

struct ip_set {
	size_t count;
	struct range ranges[];
};

static bool ip_bytes(const struct addr *a, unsigned char out[IP_SIZE])
{
	static const unsigned char mapped[12] = {[10] = 0xFF, [11] = 0xFF};

	if (a->u.sa.sa_family == AF_INET6) {
		memcpy(out, &a->u.in6.sin6_addr, IP_SIZE);
		return true;
	}
	if (a->u.sa.sa_family != AF_INET)
		return false;
	memcpy(out, mapped, sizeof(mapped));
	memcpy(out + sizeof(mapped), &a->u.in4.sin_addr, 4);
	return true;
}

/* Fills in the range of the first `bits` bits of an address; false: bits behind them are set. */
static bool fill_range(struct range *r, const unsigned char bytes[IP_SIZE], unsigned bits)
{
	for (unsigned i = 0; i < IP_SIZE; i++) {
		unsigned kept = bits > 8 * i ? bits - 8 * i : 0;
		unsigned char mask = kept >= 8 ? 0 : (unsigned char)(0xFF >> kept);

		if (bytes[i] & mask)
			return false;
		r->first[i] = bytes[i];
		r->last[i] = bytes[i] | mask;
	}
	return true;
}

static int refuse(struct str entry, const char *why, struct err *e)
{
	return err_set(e, ERR_INVALID, "\"%.*s\": %s", (int)(entry.len < 60 ? entry.len : 60),
		       entry.ptr ? entry.ptr : "", why);
}

static int parse_entry(struct range *r, struct str entry, struct err *e)
{
	size_t slash = str_find(entry, '/', 0);
	struct str ip = str_sub(entry, 0, slash), length = str_sub(entry, slash + 1, entry.len);
	unsigned char bytes[IP_SIZE];
	struct addr a;
	unsigned all, before;
	uint64_t bits;

	if (addr_parse_ip(&a, ip) < 0 || !ip_bytes(&a, bytes))
		return refuse(entry, "use an IPv4 or IPv6 address, or a network as 10.0.0.0/8", e);
	all = a.u.sa.sa_family == AF_INET ? 32 : 128;
	before = 128 - all;
	bits = all;
	if (slash < entry.len && (str_u64(length, &bits) < 0 || bits > all || length.len > 3))
		return refuse(entry, "the prefix length is not one", e);
	if (!fill_range(r, bytes, before + (unsigned)bits))
		return refuse(entry, "there are bits set behind the prefix", e);
	return 0;
}

static int compare(const void *a, const void *b)
{
	return memcmp(((const struct range *)a)->first, ((const struct range *)b)->first, IP_SIZE);
}

static void join(struct ip_set *s)
{
	size_t n = 0;

	qsort(s->ranges, s->count, sizeof(s->ranges[0]), compare);
	for (size_t i = 0; i < s->count; i++) {
		struct range *before = n > 0 ? &s->ranges[n - 1] : NULL;

		if (!before || memcmp(s->ranges[i].first, before->last, IP_SIZE) > 0)
			s->ranges[n++] = s->ranges[i];
		else if (memcmp(s->ranges[i].last, before->last, IP_SIZE) > 0)
			memcpy(before->last, s->ranges[i].last, IP_SIZE);
	}
	s->count = n;
}

static size_t count_entries(struct str text)
{
	size_t n = 1;

	for (size_t i = 0; i < text.len; i++)
		n += text.ptr[i] == ',';
	return n;
}

int ip_set_parse(struct ip_set **out, struct str text, struct err *e)
{
	struct str rest = str_trim(text), entry;
	size_t n = rest.len > 0 ? count_entries(rest) : 0;
	struct ip_set *s;

	if (n > IP_SET_MAX)
		return err_set(e, ERR_INVALID, "more than %d addresses", IP_SET_MAX);
	s = calloc(1, sizeof(*s) + n * sizeof(s->ranges[0]));
	if (!s)
		return err_memory(e, "a set of addresses");
	while (n > 0 && str_split(&rest, ',', &entry)) {
		if (parse_entry(&s->ranges[s->count], str_trim(entry), e) < 0) {
			free(s);
			return -1;
		}
		s->count++;
	}
	join(s);
	*out = s;
	return 0;
}

void ip_set_free(struct ip_set *s)
{
	free(s);
}

bool ip_set_has(const struct ip_set *s, const struct addr *a)
{
	unsigned char bytes[IP_SIZE];
	size_t low = 0, high = s ? s->count : 0;

	if (high == 0 || !ip_bytes(a, bytes))
		return false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (memcmp(s->ranges[middle].last, bytes, IP_SIZE) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < s->count && memcmp(s->ranges[low].first, bytes, IP_SIZE) <= 0;
}

size_t ip_set_count(const struct ip_set *s)
{
	return s ? s->count : 0;
}
