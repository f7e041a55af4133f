#include "common/http/syntax.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

/* clang-format off */
const unsigned char http_token_lower[256] = {
	[32] = 0, '!', 0, '#', '$', '%', '&', '\'', 0, 0, '*', '+', 0, '-', '.', 0,
	'0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 0, 0, 0, 0, 0, 0,
	0, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o',
	'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 0, 0, 0, '^', '_',
	'`', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o',
	'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 0, '|', 0, '~', 0,
};
/* clang-format on */

enum { HOST_MAX = 255, PORT_DIGITS = 5 };

bool http_is_token(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!http_token_lower[(unsigned char)s.ptr[i]])
			return false;
	return s.len > 0;
}

static bool is_value_byte(char c)
{
	return c == '\t' || ((unsigned char)c >= 0x20 && c != 0x7f);
}

/* Whether one of eight bytes is a control byte or DEL: the high bit of a byte is set when it falls
 * below 0x20, or when it equals 0x7f and so is zero after the exclusive or (and falls below 1). */
static bool has_control(uint64_t w)
{
	const uint64_t ones = 0x0101010101010101;
	uint64_t del = w ^ ones * 0x7f;

	return (((w - ones * 0x20) & ~w) | ((del - ones) & ~del)) & ones * 0x80;
}

/* At least eight bytes, all of them in words: the last word begins before the end of the one in
 * front of it. */
static bool any_control(struct str s)
{
	uint64_t word;
	size_t i = 0;

	for (; s.len - i > sizeof(word); i += sizeof(word)) {
		memcpy(&word, s.ptr + i, sizeof(word));
		if (has_control(word))
			return true;
	}
	memcpy(&word, s.ptr + s.len - sizeof(word), sizeof(word));
	return has_control(word);
}

/* Most of a head is values: eight bytes at a time, a closer look only when there is a tab. */
bool http_is_field_value(struct str s)
{
	if (s.len >= sizeof(uint64_t) && !any_control(s))
		return true;
	for (size_t i = 0; i < s.len; i++)
		if (!is_value_byte(s.ptr[i]))
			return false;
	return true;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	char l = ascii_lower(c);

	return is_digit(c) || (l >= 'a' && l <= 'f');
}

static bool is_escape(struct str s, size_t at)
{
	return s.len - at > 2 && is_hex(s.ptr[at + 1]) && is_hex(s.ptr[at + 2]) &&
	       !(s.ptr[at + 1] == '0' && s.ptr[at + 2] == '0');
}

bool http_is_target(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if (c <= 0x20 || c >= 0x7f || c == '#' || c == '"')
			return false;
		if (c == '%' && !is_escape(s, i))
			return false;
	}
	return s.len > 0;
}

static bool is_port(struct str s)
{
	uint64_t port;

	return s.len > 0 && s.len <= PORT_DIGITS && s.ptr[0] != '0' && str_u64(s, &port) == 0 &&
	       port <= UINT16_MAX;
}

/* Letters, digits, '-', '_' in labels that are not empty. */
static bool is_name(struct str s)
{
	bool label_empty = true;

	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];
		char l = ascii_lower(c);

		if (c == '.') {
			if (label_empty)
				return false;
			label_empty = true;
			continue;
		}
		if (!is_digit(c) && !(l >= 'a' && l <= 'z') && c != '-' && c != '_')
			return false;
		label_empty = false;
	}
	return !label_empty;
}

static bool is_ipv6(struct str s)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (s.len >= sizeof(text) || memchr(s.ptr, '\0', s.len))
		return false;
	memcpy(text, s.ptr, s.len);
	text[s.len] = '\0';
	return inet_pton(AF_INET6, text, &address) == 1;
}

bool http_is_authority(struct str s, struct str *host)
{
	bool literal = s.len > 0 && s.ptr[0] == '[';
	size_t end = literal ? str_find(s, ']', 0) : str_find(s, ':', 0);
	struct str name;

	if (literal && end == s.len)
		return false;
	name = str_sub(s, 0, literal ? end + 1 : end);
	s = str_sub(s, name.len, s.len);
	if (name.len > HOST_MAX || (s.len > 0 && s.ptr[0] != ':'))
		return false;
	if (s.len > 0 && !is_port(str_sub(s, 1, s.len)))
		return false;
	if (literal) {
		if (!is_ipv6(str_sub(name, 1, name.len - 1)))
			return false;
		*host = name;
		return true;
	}
	if (name.len > 0 && name.ptr[name.len - 1] == '.')
		name.len--;
	if (!is_name(name))
		return false;
	*host = name;
	return true;
}

/* --- chunk extensions --- */

static size_t skip_bws(struct str s, size_t at)
{
	while (at < s.len && (s.ptr[at] == ' ' || s.ptr[at] == '\t'))
		at++;
	return at;
}

static size_t skip_token(struct str s, size_t at)
{
	while (at < s.len && http_token_lower[(unsigned char)s.ptr[at]])
		at++;
	return at;
}

/* From the opening quote to behind the closing one; `at` itself when it is not closed. */
static size_t skip_quoted(struct str s, size_t at)
{
	for (size_t i = at + 1; i < s.len; i++) {
		if (s.ptr[i] == '"')
			return i + 1;
		if (s.ptr[i] == '\\')
			i++;
	}
	return at;
}

/* name [BWS "=" BWS (token / quoted-string)]; at stands on the name. 0: not well formed. */
static size_t skip_extension(struct str s, size_t at)
{
	size_t end = skip_token(s, at);
	size_t equals = skip_bws(s, end);
	size_t value;

	if (end == at)
		return 0;
	if (equals == s.len || s.ptr[equals] != '=')
		return end;
	at = skip_bws(s, equals + 1);
	if (at == s.len)
		return 0;
	value = s.ptr[at] == '"' ? skip_quoted(s, at) : skip_token(s, at);
	return value == at ? 0 : value;
}

bool http_is_chunk_extensions(struct str s)
{
	size_t at = 0;

	if (!http_is_field_value(s))
		return false;
	while (at < s.len) {
		if (s.ptr[at] != ';')
			return false;
		at = skip_extension(s, skip_bws(s, at + 1));
		if (at == 0)
			return false;
		if (at < s.len)
			at = skip_bws(s, at);
		if (at == s.len && (s.ptr[at - 1] == ' ' || s.ptr[at - 1] == '\t'))
			return false;
	}
	return true;
}

static unsigned hex_value(char c)
{
	return (unsigned)(is_digit(c) ? c - '0' : ascii_lower(c) - 'a' + 10);
}

bool http_unescape(char *out, struct str s, bool plus, size_t *n)
{
	size_t used = 0;

	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];

		if (c == '\0')
			return false;
		if (c == '%') {
			if (!is_escape(s, i))
				return false;
			c = (char)(hex_value(s.ptr[i + 1]) << 4 | hex_value(s.ptr[i + 2]));
			i += 2;
		} else if (c == '+' && plus) {
			c = ' ';
		}
		out[used++] = c;
	}
	*n = used;
	return http_is_utf8((struct str){out, used});
}

bool http_list_has(struct str list, struct str token)
{
	struct str element;

	while (str_split(&list, ',', &element))
		if (str_ieq(str_trim(element), token))
			return true;
	return false;
}

/* Bytes of the character that begins at p (n > 0 bytes are there); 0: not UTF-8. */
static size_t utf8_size(const unsigned char *p, size_t n)
{
	size_t size = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

	if (size < 2)
		return size;
	if (size > n || p[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < size; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] >= 0x90))
		return 0;
	return size;
}

bool http_is_utf8(struct str s)
{
	size_t at = 0;

	while (at < s.len) {
		size_t size = utf8_size((const unsigned char *)s.ptr + at, s.len - at);

		if (size == 0)
			return false;
		at += size;
	}
	return true;
}

/* --- sets of names; an entry that ends with '*' is a prefix --- */

static bool in_set(struct str name, const char *const *set)
{
	for (; *set; set++) {
		struct str entry = str_from(*set);

		if (entry.ptr[entry.len - 1] == '*') {
			if (str_starts(name, str_sub(entry, 0, entry.len - 1)))
				return true;
		} else if (str_eq(name, entry)) {
			return true;
		}
	}
	return false;
}

bool http_is_hop_by_hop(struct str name)
{
	static const struct str names[] = {
		STR("connection"), STR("keep-alive"),	  STR("proxy-connection"),
		STR("te"),	   STR("trailer"),	  STR("transfer-encoding"),
		STR("upgrade"),	   STR("http2-settings"),
	};

	/* Bit n: a name above has n bytes. Asked some ten times of each message. */
	const uint32_t lengths = 1U << 2 | 1U << 7 | 1U << 10 | 1U << 14 | 1U << 16 | 1U << 17;

	if (name.len > 17 || !(lengths >> name.len & 1))
		return false;
	for (size_t i = 0; i < array_len(names); i++)
		if (str_ieq(name, names[i]))
			return true;
	return false;
}

bool http_is_protected(struct str name)
{
	static const char *const names[] = {
		"host",		 "content-length", "transfer-encoding", "cookie", "forwarded",
		"authorization", "x-forwarded-*",  "x-real-ip",		"via",	  "client-cert",
		"client-cert-*", "x-client-cert*", "ssl-client-*",	NULL,
	};

	return in_set(name, names);
}

/* Longest name whose alias matters; longer ones only match prefixes. */
enum { ALIAS_MAX = 64 };

bool http_is_alias(struct str name)
{
	static const char *const names[] = {
		"content-length",
		"transfer-encoding",
		"keep-alive",
		"proxy-connection",
		"http2-settings",
		"x-forwarded-*",
		"x-real-ip",
		"x-kong-*",
		"client-cert",
		"client-cert-*",
		"x-client-cert*",
		"ssl-client-*",
		"proxy-authorization",
		"x-consumer-*",
		"x-credential-*",
		"x-authenticated-*",
		"x-anonymous-consumer",
		NULL,
	};
	char dashed[ALIAS_MAX];
	size_t n = name.len < sizeof(dashed) ? name.len : sizeof(dashed);

	if (n == 0 || !memchr(name.ptr, '_', n))
		return false;
	for (size_t i = 0; i < n; i++)
		dashed[i] = name.ptr[i] == '_' ? '-' : name.ptr[i];
	return in_set((struct str){dashed, n}, names);
}

bool http_is_forbidden_trailer(struct str name)
{
	static const char *const names[] = {
		"host",
		"content-*",
		"cookie",
		"set-cookie",
		"authorization",
		"proxy-auth*",
		"www-authenticate",
		"authentication-info",
		"x-forwarded-*",
		"forwarded",
		"x-real-ip",
		"via",
		"expect",
		"max-forwards",
		"range",
		"if-*",
		"cache-control",
		"pragma",
		"age",
		"date",
		"expires",
		"location",
		"retry-after",
		"vary",
		"client-cert",
		"client-cert-*",
		"x-client-cert*",
		"ssl-client-*",
		NULL,
	};

	return http_is_hop_by_hop(name) || http_is_alias(name) || in_set(name, names);
}
