#include "common/net/proxy_protocol.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum {
	TLV_START = 3, /* type, length */
	TLV_CRC32C = 0x03,
	TLV_UNIQUE_ID = 0x05,
	TLV_SSL = 0x20,
	SSL_START = 5, /* client, verify */
	UNIQUE_ID_MAX = 128,
	CRC32C_SIZE = 4,

	COMMAND_LOCAL = 0x20, /* with the version, 2, before it */
	COMMAND_PROXY = 0x21,
	FAMILY_NONE = 0x00,
	FAMILY_TCP4 = 0x11,
	FAMILY_TCP6 = 0x21,
	ADDRESSES_V4 = 12,
	ADDRESSES_V6 = 36,
};

static const char signature[12] = {'\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};

static enum proxy_parse bad(struct err *e, const char *what)
{
	err_set(e, ERR_INVALID, "PROXY header: %s", what);
	return PROXY_BAD;
}

static bool is_beginning(struct str bytes, struct str of)
{
	size_t n = bytes.len < of.len ? bytes.len : of.len;

	return memcmp(bytes.ptr, of.ptr, n) == 0;
}

/* --- version 1 --- */

static bool parse_port(struct str text, uint16_t *out)
{
	uint64_t n;

	if (text.len > 1 && text.ptr[0] == '0')
		return false;
	if (text.len > 5 || str_u64(text, &n) < 0 || n > 65535)
		return false;
	*out = (uint16_t)n;
	return true;
}

/* IPv4 in IPv6 form is refused, however it is written (PP-04). */
static bool parse_address(struct str text, int family, struct addr *out)
{
	bool dotted = str_find(text, '.', 0) < text.len;

	return dotted == (family == AF_INET) && addr_parse_ip(out, text) == 0 &&
	       out->u.sa.sa_family == family &&
	       !(family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&out->u.in6.sin6_addr));
}

/* "SOURCE DESTINATION PORT PORT" */
static bool parse_endpoints(struct str text, int family, struct proxy_header *h)
{
	struct str words[4], rest = text;
	uint16_t from, to;

	for (size_t i = 0; i < array_len(words); i++)
		if (!str_split(&rest, ' ', &words[i]))
			return false;
	if (rest.ptr || !parse_address(words[0], family, &h->source) ||
	    !parse_address(words[1], family, &h->destination) || !parse_port(words[2], &from) ||
	    !parse_port(words[3], &to))
		return false;
	addr_set_port(&h->source, from);
	addr_set_port(&h->destination, to);
	h->addressed = true;
	return true;
}

/* line: without CRLF. */
static bool parse_line(struct str line, struct proxy_header *h)
{
	static const struct str unknown = {"PROXY UNKNOWN", 13}, tcp4 = {"PROXY TCP4 ", 11},
				tcp6 = {"PROXY TCP6 ", 11};

	/* What follows UNKNOWN is to be ignored. */
	if (str_starts(line, unknown))
		return line.len == unknown.len || line.ptr[unknown.len] == ' ';
	if (str_starts(line, tcp4))
		return parse_endpoints(str_sub(line, tcp4.len, line.len), AF_INET, h);
	if (str_starts(line, tcp6))
		return parse_endpoints(str_sub(line, tcp6.len, line.len), AF_INET6, h);
	return false;
}

static enum proxy_parse parse_v1(struct str bytes, struct proxy_header *out, struct err *e)
{
	struct proxy_header h = {0};
	struct str head = str_sub(bytes, 0, PROXY_V1_MAX);
	size_t cr = str_find(head, '\r', 0);

	if (head.len == 0)
		return PROXY_MORE;
	for (size_t i = 0; i < cr; i++)
		if (head.ptr[i] < ' ' || head.ptr[i] > '~')
			return bad(e, "a byte that is not text");
	if (cr + 1 >= PROXY_V1_MAX && head.len == PROXY_V1_MAX)
		return bad(e, "no CRLF within 107 bytes");
	if (cr + 1 >= head.len)
		return PROXY_MORE;
	if (head.ptr[cr + 1] != '\n')
		return bad(e, "CR without LF");
	if (!parse_line(str_sub(head, 0, cr), &h))
		return bad(e, "not a line of version 1");
	h.len = cr + 2;
	*out = h;
	return PROXY_DONE;
}

/* --- version 2 --- */

static size_t u16_at(struct str s, size_t at)
{
	return (size_t)((unsigned char)s.ptr[at] << 8 | (unsigned char)s.ptr[at + 1]);
}

/* RFC 9260 appendix A: reflected, polynomial 0x1EDC6F41. */
static uint32_t crc32c_byte(uint32_t crc, unsigned char byte)
{
	crc ^= byte;
	for (unsigned i = 0; i < 8; i++)
		crc = (crc >> 1) ^ (0x82F63B78U & (0U - (crc & 1)));
	return crc;
}

/* Of the whole header, with the checksum itself taken as zero. */
static bool crc32c_holds(struct str header, size_t at)
{
	uint32_t crc = 0xFFFFFFFFU, told = 0;

	for (size_t i = 0; i < header.len; i++)
		crc = crc32c_byte(
			crc, i >= at && i < at + CRC32C_SIZE ? 0 : (unsigned char)header.ptr[i]);
	for (size_t i = 0; i < CRC32C_SIZE; i++)
		told = told << 8 | (unsigned char)header.ptr[at + i];
	return ~crc == told;
}

/* Takes one TLV off; value lies inside *rest as it was. */
static bool next_tlv(struct str *rest, unsigned char *type, struct str *value)
{
	size_t len;

	if (rest->len < TLV_START)
		return false;
	*type = (unsigned char)rest->ptr[0];
	len = u16_at(*rest, 1);
	if (len > rest->len - TLV_START)
		return false;
	*value = str_sub(*rest, TLV_START, TLV_START + len);
	*rest = str_sub(*rest, TLV_START + len, rest->len);
	return true;
}

static bool ssl_is_nested_well(struct str value)
{
	unsigned char type;
	struct str inner, rest = str_sub(value, SSL_START, value.len);

	if (value.len < SSL_START)
		return false;
	while (rest.len > 0)
		if (!next_tlv(&rest, &type, &inner))
			return false;
	return true;
}

static const char *check_tlvs(struct str header, size_t from)
{
	struct str rest = str_sub(header, from, header.len), value;
	bool crc = false, ssl = false;
	unsigned char type;

	while (rest.len > 0) {
		if (!next_tlv(&rest, &type, &value))
			return "a TLV reaches beyond the header";
		if (type == TLV_CRC32C && (crc || value.len != CRC32C_SIZE ||
					   !crc32c_holds(header, (size_t)(value.ptr - header.ptr))))
			return "wrong CRC32C";
		if (type == TLV_SSL && (ssl || !ssl_is_nested_well(value)))
			return "wrong SSL TLV";
		if (type == TLV_UNIQUE_ID && value.len > UNIQUE_ID_MAX)
			return "unique id of more than 128 bytes";
		crc = crc || type == TLV_CRC32C;
		ssl = ssl || type == TLV_SSL;
	}
	return NULL;
}

static void read_v4(const char *p, struct proxy_header *h)
{
	h->source.u.in4.sin_family = h->destination.u.in4.sin_family = AF_INET;
	memcpy(&h->source.u.in4.sin_addr, p, 4);
	memcpy(&h->destination.u.in4.sin_addr, p + 4, 4);
	memcpy(&h->source.u.in4.sin_port, p + 8, 2);
	memcpy(&h->destination.u.in4.sin_port, p + 10, 2);
}

static void read_v6(const char *p, struct proxy_header *h)
{
	h->source.u.in6.sin6_family = h->destination.u.in6.sin6_family = AF_INET6;
	memcpy(&h->source.u.in6.sin6_addr, p, 16);
	memcpy(&h->destination.u.in6.sin6_addr, p + 16, 16);
	memcpy(&h->source.u.in6.sin6_port, p + 32, 2);
	memcpy(&h->destination.u.in6.sin6_port, p + 34, 2);
	addr_unmap(&h->source);
	addr_unmap(&h->destination);
}

/* Size of the addresses of a family that may come over TCP, or -1. */
static int addresses_size(unsigned char family)
{
	switch (family) {
	case FAMILY_NONE:
		return 0;
	case FAMILY_TCP4:
		return ADDRESSES_V4;
	case FAMILY_TCP6:
		return ADDRESSES_V6;
	default:
		return -1;
	}
}

static enum proxy_parse read_proxied(struct str header, struct proxy_header *h, struct err *e)
{
	unsigned char family = (unsigned char)header.ptr[13];
	int size = addresses_size(family);
	const char *problem;

	if (size < 0)
		return bad(e, "family is not TCP");
	if (header.len < PROXY_V2_START + (size_t)size)
		return bad(e, "shorter than its addresses");
	problem = check_tlvs(header, PROXY_V2_START + (size_t)size);
	if (problem)
		return bad(e, problem);
	if (family == FAMILY_TCP4)
		read_v4(header.ptr + PROXY_V2_START, h);
	else if (family == FAMILY_TCP6)
		read_v6(header.ptr + PROXY_V2_START, h);
	h->addressed = family != FAMILY_NONE;
	return PROXY_DONE;
}

static enum proxy_parse parse_v2(struct str bytes, struct proxy_header *out, struct err *e)
{
	struct proxy_header h = {0};
	unsigned char command = bytes.len > 12 ? (unsigned char)bytes.ptr[12] : COMMAND_LOCAL;

	if (command != COMMAND_LOCAL && command != COMMAND_PROXY)
		return bad(e, "version or command is not known");
	if (command == COMMAND_PROXY && bytes.len > 13 &&
	    addresses_size((unsigned char)bytes.ptr[13]) < 0)
		return bad(e, "family is not TCP");
	if (bytes.len < PROXY_V2_START)
		return PROXY_MORE;
	h.len = PROXY_V2_START + u16_at(bytes, 14);
	if (h.len > PROXY_HEADER_MAX)
		return bad(e, "longer than 536 bytes");
	if (bytes.len < h.len)
		return PROXY_MORE;
	/* What a balancer says of a connection of its own does not matter. */
	if (command == COMMAND_PROXY && read_proxied(str_sub(bytes, 0, h.len), &h, e) == PROXY_BAD)
		return PROXY_BAD;
	*out = h;
	return PROXY_DONE;
}

enum proxy_parse proxy_header_parse(struct str bytes, struct proxy_header *out, struct err *e)
{
	static const struct str v2 = {signature, sizeof(signature)}, v1 = {"PROXY ", 6};

	if (bytes.len == 0)
		return PROXY_MORE;
	if (is_beginning(bytes, v2))
		return bytes.len < v2.len ? PROXY_MORE : parse_v2(bytes, out, e);
	if (is_beginning(bytes, v1))
		return bytes.len < v1.len ? PROXY_MORE : parse_v1(bytes, out, e);
	return bad(e, "the connection begins with something else");
}

/* --- writing --- */

/* Without the dotted form that some IPv6 addresses are shown in: readers may refuse it, as this one
 * does. */
static void ip_text(const struct addr *a, char out[INET6_ADDRSTRLEN])
{
	const unsigned char *b = a->u.in6.sin6_addr.s6_addr;
	size_t n = 0;

	addr_ip_text(a, out, INET6_ADDRSTRLEN);
	if (a->u.sa.sa_family != AF_INET6 || !strchr(out, '.'))
		return;
	for (size_t i = 0; i < 16; i += 2)
		n += (size_t)snprintf(out + n, INET6_ADDRSTRLEN - n, "%s%x", i > 0 ? ":" : "",
				      (unsigned)(b[i] << 8 | b[i + 1]));
}

static size_t write_v1(char *out, const struct addr *source, const struct addr *destination)
{
	char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];
	int family = source->u.sa.sa_family, n;

	ip_text(source, from);
	ip_text(destination, to);
	if (family != destination->u.sa.sa_family || (family != AF_INET && family != AF_INET6))
		n = snprintf(out, PROXY_WRITTEN_MAX, "PROXY UNKNOWN\r\n");
	else
		n = snprintf(out, PROXY_WRITTEN_MAX, "PROXY TCP%c %s %s %u %u\r\n",
			     family == AF_INET ? '4' : '6', from, to, addr_port(source),
			     addr_port(destination));
	return (size_t)n;
}

static void put_v6(char *out, const struct addr *a)
{
	static const unsigned char mapped[12] = {[10] = 0xFF, [11] = 0xFF};

	if (a->u.sa.sa_family == AF_INET6) {
		memcpy(out, &a->u.in6.sin6_addr, 16);
		return;
	}
	memcpy(out, mapped, sizeof(mapped));
	memcpy(out + sizeof(mapped), &a->u.in4.sin_addr, 4);
}

static bool has_ip(const struct addr *a)
{
	return a->u.sa.sa_family == AF_INET || a->u.sa.sa_family == AF_INET6;
}

static size_t write_v2(char *out, const struct addr *source, const struct addr *destination)
{
	const uint16_t ports[2] = {htons(addr_port(source)), htons(addr_port(destination))};
	bool v4 = source->u.sa.sa_family == AF_INET && destination->u.sa.sa_family == AF_INET;
	size_t size = v4 ? ADDRESSES_V4 : ADDRESSES_V6;
	char *p = out + PROXY_V2_START;

	memcpy(out, signature, sizeof(signature));
	out[14] = 0;
	if (!has_ip(source) || !has_ip(destination)) {
		out[12] = COMMAND_LOCAL;
		out[13] = FAMILY_NONE;
		out[15] = 0;
		return PROXY_V2_START;
	}
	out[12] = COMMAND_PROXY;
	out[13] = v4 ? FAMILY_TCP4 : FAMILY_TCP6;
	out[15] = (char)size;
	if (v4) {
		memcpy(p, &source->u.in4.sin_addr, 4);
		memcpy(p + 4, &destination->u.in4.sin_addr, 4);
	} else {
		put_v6(p, source);
		put_v6(p + 16, destination);
	}
	memcpy(p + size - sizeof(ports), ports, sizeof(ports));
	return PROXY_V2_START + size;
}

size_t proxy_header_write(char *out, enum proxy_version version, const struct addr *source,
			  const struct addr *destination)
{
	switch (version) {
	case PROXY_V1:
		return write_v1(out, source, destination);
	case PROXY_V2:
		return write_v2(out, source, destination);
	default:
		return 0;
	}
}
