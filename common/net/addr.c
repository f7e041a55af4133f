#include "common/net/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum { HOST_TEXT_SIZE = INET6_ADDRSTRLEN };

static int parse_port(struct str text, uint16_t *out)
{
	uint64_t n;

	if (text.len > 5 || str_u64(text, &n) < 0 || n > 65535)
		return -1;
	*out = (uint16_t)n;
	return 0;
}

/* Splits at the port's colon; the brackets of an IPv6 address are taken off and reported. */
static int split_port(struct str text, struct str *host, struct str *port, bool *bracketed)
{
	size_t at;

	*bracketed = str_starts(text, STR("["));
	if (*bracketed) {
		at = str_find(text, ']', 0);
		if (at + 1 >= text.len || text.ptr[at + 1] != ':')
			return -1;
		*host = str_sub(text, 1, at);
		*port = str_sub(text, at + 2, text.len);
		return 0;
	}
	at = str_find(text, ':', 0);
	if (at == text.len)
		return -1;
	*host = str_sub(text, 0, at);
	*port = str_sub(text, at + 1, text.len);
	return 0;
}

static int parse_numeric(struct addr *out, struct str host, bool bracketed, uint16_t port)
{
	char text[HOST_TEXT_SIZE];
	struct addr a = {0};

	if (host.len == 0 || host.len >= sizeof(text) || memchr(host.ptr, '\0', host.len))
		return -1;
	memcpy(text, host.ptr, host.len);
	text[host.len] = '\0';
	if (bracketed) {
		if (inet_pton(AF_INET6, text, &a.u.in6.sin6_addr) != 1)
			return -1;
		a.u.in6.sin6_family = AF_INET6;
		a.u.in6.sin6_port = htons(port);
	} else {
		if (inet_pton(AF_INET, text, &a.u.in4.sin_addr) != 1)
			return -1;
		a.u.in4.sin_family = AF_INET;
		a.u.in4.sin_port = htons(port);
	}
	*out = a;
	return 0;
}

int addr_parse(struct addr *out, struct str text, struct err *e)
{
	struct str host, port_text;
	bool bracketed;
	uint16_t port;

	if (split_port(text, &host, &port_text, &bracketed) < 0 ||
	    parse_port(port_text, &port) < 0 || parse_numeric(out, host, bracketed, port) < 0)
		return err_set(e, ERR_INVALID,
			       "\"%.*s\" is not an address: use IPV4:PORT or [IPV6]:PORT",
			       (int)(text.len < 100 ? text.len : 100), text.ptr ? text.ptr : "");
	return 0;
}

/* inet_ntop goes through sprintf: six times as long, and this is asked at each request. */
static void ip4_text(const unsigned char bytes[4], char out[INET_ADDRSTRLEN])
{
	for (int i = 0; i < 4; i++) {
		char digits[STR_DECIMAL_SIZE];
		struct str d = str_decimal(digits, bytes[i]);

		memcpy(out, d.ptr, d.len);
		out += d.len;
		*out++ = i < 3 ? '.' : '\0';
	}
}

void addr_ip_text(const struct addr *a, char *out, size_t size)
{
	const void *bytes = &a->u.in4.sin_addr;

	if (a->u.sa.sa_family == AF_INET && size >= INET_ADDRSTRLEN) {
		ip4_text(bytes, out);
		return;
	}
	if (a->u.sa.sa_family == AF_INET6)
		bytes = &a->u.in6.sin6_addr;
	else if (a->u.sa.sa_family != AF_INET)
		bytes = NULL;
	if (!bytes || !inet_ntop(a->u.sa.sa_family, bytes, out, (socklen_t)size))
		snprintf(out, size, "unknown");
}

void addr_text(const struct addr *a, char *out, size_t size)
{
	char ip[HOST_TEXT_SIZE];

	addr_ip_text(a, ip, sizeof(ip));
	if (a->u.sa.sa_family == AF_INET6)
		snprintf(out, size, "[%s]:%u", ip, addr_port(a));
	else
		snprintf(out, size, "%s:%u", ip, addr_port(a));
}

uint16_t addr_port(const struct addr *a)
{
	if (a->u.sa.sa_family == AF_INET6)
		return ntohs(a->u.in6.sin6_port);
	return a->u.sa.sa_family == AF_INET ? ntohs(a->u.in4.sin_port) : 0;
}

bool addr_is_loopback(const struct addr *a)
{
	const unsigned char *v6 = a->u.in6.sin6_addr.s6_addr;

	if (a->u.sa.sa_family == AF_INET)
		return ntohl(a->u.in4.sin_addr.s_addr) >> 24 == 127;
	if (a->u.sa.sa_family != AF_INET6)
		return false;
	return IN6_IS_ADDR_LOOPBACK(&a->u.in6.sin6_addr) ||
	       (IN6_IS_ADDR_V4MAPPED(&a->u.in6.sin6_addr) && v6[12] == 127);
}

int addr_parse_ip(struct addr *out, struct str text)
{
	return parse_numeric(out, text, str_find(text, ':', 0) < text.len, 0);
}

void addr_set_port(struct addr *a, uint16_t port)
{
	if (a->u.sa.sa_family == AF_INET6)
		a->u.in6.sin6_port = htons(port);
	else if (a->u.sa.sa_family == AF_INET)
		a->u.in4.sin_port = htons(port);
}

void addr_unmap(struct addr *a)
{
	const struct in6_addr v6 = a->u.in6.sin6_addr;
	struct addr out = {0};

	if (a->u.sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&v6))
		return;
	out.u.in4.sin_family = AF_INET;
	out.u.in4.sin_port = a->u.in6.sin6_port;
	memcpy(&out.u.in4.sin_addr, v6.s6_addr + 12, 4);
	*a = out;
}

bool addr_same_ip(const struct addr *a, const struct addr *b)
{
	if (a->u.sa.sa_family != b->u.sa.sa_family)
		return false;
	if (a->u.sa.sa_family == AF_INET)
		return a->u.in4.sin_addr.s_addr == b->u.in4.sin_addr.s_addr;
	return a->u.sa.sa_family == AF_INET6 &&
	       memcmp(&a->u.in6.sin6_addr, &b->u.in6.sin6_addr, 16) == 0;
}

int addr_compare(const struct addr *a, const struct addr *b)
{
	int d = (int)a->u.sa.sa_family - (int)b->u.sa.sa_family;

	if (d == 0 && a->u.sa.sa_family == AF_INET)
		d = memcmp(&a->u.in4.sin_addr, &b->u.in4.sin_addr, sizeof(struct in_addr));
	else if (d == 0 && a->u.sa.sa_family == AF_INET6)
		d = memcmp(&a->u.in6.sin6_addr, &b->u.in6.sin6_addr, sizeof(struct in6_addr));
	return d ? d : (int)addr_port(a) - (int)addr_port(b);
}

/* One word of a listen entry: a flag sets the bool at `offset`. */
static const struct {
	struct str word;
	size_t offset;
} flags[] = {
	{STR("ssl"), offsetof(struct listen_entry, ssl)},
	{STR("http2"), offsetof(struct listen_entry, http2)},
	{STR("reuseport"), offsetof(struct listen_entry, reuseport)},
	{STR("proxy_protocol"), offsetof(struct listen_entry, proxy_protocol)},
};

static bool set_flag(struct listen_entry *entry, struct str word)
{
	for (size_t i = 0; i < array_len(flags); i++) {
		bool *flag = (bool *)(void *)((char *)entry + flags[i].offset);

		if (str_eq(word, flags[i].word) && !*flag) {
			*flag = true;
			return true;
		}
	}
	return false;
}

static bool set_backlog(struct listen_entry *entry, struct str word)
{
	static const struct str name = {"backlog=", 8};
	uint64_t n;

	if (!str_starts(word, name) || entry->backlog != 0 ||
	    str_u64(str_sub(word, name.len, word.len), &n) < 0 || n < 1 || n > 65535)
		return false;
	entry->backlog = (unsigned)n;
	return true;
}

static int parse_entry(struct listen_entry *out, struct str text, struct err *e)
{
	struct listen_entry entry = {0};
	struct str rest = text, word;
	bool first = true;

	while (str_split(&rest, ' ', &word)) {
		if (word.len == 0)
			continue;
		if (first && addr_parse(&entry.addr, word, e) < 0)
			return -1;
		if (!first && !set_flag(&entry, word) && !set_backlog(&entry, word))
			return err_set(e, ERR_INVALID,
				       "\"%.*s\" is not allowed in \"%.*s\": use each at most once "
				       "of ssl, http2, reuseport, proxy_protocol, backlog=1..65535",
				       (int)(word.len < 60 ? word.len : 60), word.ptr,
				       (int)(text.len < 100 ? text.len : 100), text.ptr);
		first = false;
	}
	if (first)
		return err_set(e, ERR_INVALID,
			       "empty listen entry: use ADDRESS:PORT with options, or off");
	*out = entry;
	return 0;
}

int listen_parse(struct listen_list *out, struct str text, struct err *e)
{
	struct listen_list list = {.count = 0};
	struct str rest = text.ptr ? text : STR(""), entry;

	if (str_eq(str_trim(text), STR("off"))) {
		*out = list;
		return 0;
	}
	while (str_split(&rest, ',', &entry)) {
		if (list.count == LISTEN_ENTRIES_MAX)
			return err_set(e, ERR_INVALID, "more than %d listen entries",
				       LISTEN_ENTRIES_MAX);
		if (parse_entry(&list.entries[list.count], str_trim(entry), e) < 0)
			return -1;
		list.count++;
	}
	*out = list;
	return 0;
}

static bool is_host_byte(char c)
{
	c = ascii_lower(c);
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

static bool is_host_name(struct str host)
{
	for (size_t i = 0; i < host.len; i++)
		if (!is_host_byte(host.ptr[i]))
			return false;
	return host.len > 0;
}

int host_port_parse(struct str text, char *host, size_t host_size, uint16_t *port, struct err *e)
{
	struct str name, port_text;
	bool bracketed;
	struct addr v6;
	uint16_t n;

	if (split_port(text, &name, &port_text, &bracketed) < 0 || parse_port(port_text, &n) < 0 ||
	    n == 0 || (bracketed ? parse_numeric(&v6, name, true, n) < 0 : !is_host_name(name)))
		return err_set(e, ERR_INVALID,
			       "\"%.*s\" is not a host with a port: use NAME:PORT, IPV4:PORT or "
			       "[IPV6]:PORT",
			       (int)(text.len < 100 ? text.len : 100), text.ptr ? text.ptr : "");
	if (name.len >= host_size)
		return err_set(e, ERR_INVALID, "host name is longer than %zu bytes", host_size - 1);
	memcpy(host, name.ptr, name.len);
	host[name.len] = '\0';
	*port = n;
	return 0;
}
