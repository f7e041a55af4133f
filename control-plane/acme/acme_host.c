/* Which names an order may be made for: acme_host and acme_name of acme.h. Pure. */
#include <arpa/inet.h>
#include <string.h>

#include "common/pki/san.h"
#include "control-plane/acme/acme.h"

enum { HOST_MAX = 253, LABEL_MAX = 63 }; /* RFC 1035 section 2.3.4, as text without the last dot */

/* An address in the form of RFC 8738 section 3: IPv4 in decimals, IPv6 as in RFC 5952. out has room
 * for it; false: host is none. */
static bool normal_address(struct str host, char *out)
{
	char text[HOST_MAX + 1];
	unsigned char bytes[16];
	int family = AF_INET;

	memcpy(text, host.ptr, host.len);
	text[host.len] = '\0';
	if (inet_pton(family, text, bytes) != 1) {
		family = AF_INET6;
		if (inet_pton(family, text, bytes) != 1)
			return false;
	}
	return inet_ntop(family, bytes, out, INET6_ADDRSTRLEN) != NULL;
}

static bool is_ldh(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

static int check_label(struct str label, struct err *e)
{
	if (label.len == 0)
		return err_set(e, ERR_INVALID, "invalid host: empty label (a dot too many)");
	if (label.len > LABEL_MAX)
		return err_set(e, ERR_INVALID, "invalid host: a label is longer than %d bytes",
			       LABEL_MAX);
	for (size_t i = 0; i < label.len; i++)
		if (!is_ldh(label.ptr[i]))
			return err_set(e, ERR_INVALID,
				       "invalid host: byte 0x%02x is not a letter, digit or hyphen",
				       (unsigned char)label.ptr[i]);
	if (label.ptr[0] == '-' || label.ptr[label.len - 1] == '-')
		return err_set(e, ERR_INVALID,
			       "invalid host: label '%.*s' begins or ends with a hyphen",
			       (int)label.len, label.ptr);
	/* RFC 5891 section 4.2.3.1: hyphens there mean an A-label. */
	if (label.len >= 4 && label.ptr[2] == '-' && label.ptr[3] == '-' &&
	    (!str_starts(label, STR("xn--")) || label.len == 4))
		return err_set(e, ERR_INVALID, "invalid host: label '%.*s' is no A-label",
			       (int)label.len, label.ptr);
	return 0;
}

/* Whether software may read it as (part of) an IPv4 address: WHATWG URL, "ends in a number". */
static bool is_numeric(struct str label)
{
	if (str_starts(label, STR("0x")))
		return true;
	for (size_t i = 0; i < label.len; i++)
		if (label.ptr[i] < '0' || label.ptr[i] > '9')
			return false;
	return true;
}

/* What can be said about the text as a whole, in the words that help most. */
static int check_whole(struct str host, struct err *e)
{
	if (host.len == 0)
		return err_set(e, ERR_INVALID, "invalid host: it is empty");
	for (size_t i = 0; i < host.len; i++)
		if ((unsigned char)host.ptr[i] >= 0x80)
			return err_set(e, ERR_INVALID,
				       "invalid host: non-ASCII bytes; write internationalized "
				       "names as A-labels (xn--...)");
	if (host.len > HOST_MAX)
		return err_set(e, ERR_INVALID, "invalid host: longer than %d bytes", HOST_MAX);
	if (str_find(host, '*', 0) < host.len)
		return err_set(e, ERR_INVALID,
			       "invalid host: wildcards need dns-01, which http-01 cannot replace");
	if (host.ptr[0] == '[')
		return err_set(e, ERR_INVALID,
			       "invalid host: write an IP address without brackets");
	if (host.ptr[host.len - 1] == '.')
		return err_set(e, ERR_INVALID, "invalid host: it ends with a dot");
	return 0;
}

int acme_host(struct str host, char *out, struct err *e)
{
	char lower[HOST_MAX + 1];
	struct str rest, label = STR_NONE;

	if (check_whole(host, e) != 0)
		return -1;
	if (normal_address(host, out))
		return 0;
	for (size_t i = 0; i < host.len; i++)
		lower[i] = ascii_lower(host.ptr[i]);
	lower[host.len] = '\0';
	rest = (struct str){lower, host.len};
	while (str_split(&rest, '.', &label))
		if (check_label(label, e) != 0)
			return -1;
	if (is_numeric(label))
		return err_set(e, ERR_INVALID, "invalid host: the last label is a number");
	memcpy(out, lower, host.len + 1);
	return 0;
}

int acme_name(struct str name, char *out, struct err *e)
{
	const size_t star = str_starts(name, STR("*.")) ? 2 : 0;

	if (name.len > HOST_MAX)
		return err_set(e, ERR_INVALID, "invalid host: longer than %d bytes", HOST_MAX);
	if (acme_host(str_sub(name, star, name.len), out + star, e) != 0)
		return -1;
	memcpy(out, "*.", star);
	if (star && (san_is_ip(str_from(out + star)) || !strchr(out + star, '.')))
		return err_set(e, ERR_INVALID,
			       "invalid host: a wildcard has a name of two labels or more behind "
			       "it, as *.example.com");
	return 0;
}
