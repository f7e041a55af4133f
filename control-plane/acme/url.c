/* The gate for a CA's URLs. What a name resolves to is checked where the socket is opened
 * (fetch.c): a check of the name alone would be fooled by a second answer of the DNS. */
#include "control-plane/acme/url.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "common/net/addr_public.h"

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

/* port80: that one too. key: what allows it. */
static int gate_private(struct str host, struct str port, bool port80, const char *key,
			struct err *e)
{
	struct sockaddr_storage address;
	char text[ACME_URL_SIZE];

	if (port.ptr && !str_eq(port, STR("443")) && !(port80 && str_eq(port, STR("80"))))
		return err_set(e, ERR_DENIED, "URL refused: port %.*s (only %s443 unless %s is on)",
			       (int)port.len, port.ptr, port80 ? "80 and " : "", key);
	memcpy(text, host.ptr, host.len);
	text[host.len] = '\0';
	if (str_ieq(host, STR("localhost")) ||
	    (host.len > 10 && str_ieq(str_sub(host, host.len - 10, host.len), STR(".localhost"))) ||
	    (literal_address(text, &address) && !addr_is_public((const struct sockaddr *)&address)))
		return err_set(e, ERR_DENIED,
			       "URL refused: %s is a private or loopback address (allowed by %s)",
			       text, key);
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

static const struct str https = STR("https://"), http = STR("http://");

static bool has_scheme(struct str url, struct str scheme)
{
	return str_ieq(str_sub(url, 0, scheme.len), scheme);
}

/* rest: behind the scheme. */
static int gate_rest(struct str rest, struct str *host, struct str *port, struct err *e)
{
	struct str authority;
	size_t end;

	for (end = 0; end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?';)
		end++;
	authority = str_sub(rest, 0, end);
	if (str_find(authority, '@', 0) < authority.len)
		return err_set(e, ERR_DENIED, "URL refused: it carries user information");
	return split_authority(authority, host, port, e);
}

int url_gate(struct str url, bool allow_private, struct err *e)
{
	struct str host, port;

	if (gate_bytes(url, e) != 0)
		return -1;
	if (!has_scheme(url, https))
		return err_set(e, ERR_DENIED, "URL refused: only https is allowed");
	if (gate_rest(str_sub(url, https.len, url.len), &host, &port, e) != 0)
		return -1;
	return allow_private ? 0 : gate_private(host, port, false, "acme_allow_private", e);
}

/* Of http or https. */
static int gate_either(struct str url, struct str *host, struct str *port, struct err *e)
{
	size_t scheme = has_scheme(url, https) ? https.len : http.len;

	if (gate_bytes(url, e) != 0)
		return -1;
	if (!has_scheme(url, https) && !has_scheme(url, http))
		return err_set(e, ERR_DENIED, "URL refused: only http and https are allowed");
	return gate_rest(str_sub(url, scheme, url.len), host, port, e);
}

int url_gate_own(struct str url, struct err *e)
{
	struct str host, port;

	return gate_either(url, &host, &port, e);
}

int url_gate_responder(struct str url, bool allow_private, struct err *e)
{
	struct str host, port;

	if (gate_either(url, &host, &port, e) != 0)
		return -1;
	return allow_private ? 0 : gate_private(host, port, true, "ocsp_allow_private", e);
}
