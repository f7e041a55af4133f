/* Host names in entities. */
#include "control-plane/model/host.h"

#include <arpa/inet.h>

#include "common/core/str.h"
#include "common/net/addr.h"

enum { HOST_MAX = 253, LABEL_MAX = 63, PORT_MAX = 65535, TARGET_PORT = 8000 };

static bool is_host_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_';
}

/* Labels of letters, digits, `-` and `_`, 1 to 63 of them (RFC 1035 section 2.3.4; `_` as Kong). A
 * label may be `*`: where it may stand is looked at before. */
static bool is_label(struct str s, bool wildcard)
{
	if (s.len == 0 || s.len > LABEL_MAX)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!is_host_char(s.ptr[i]) && !(wildcard && s.ptr[i] == '*'))
			return false;
	return s.ptr[0] != '-' && s.ptr[s.len - 1] != '-';
}

static bool is_labels(struct str s, bool wildcard)
{
	struct str label;

	if (s.len > HOST_MAX)
		return false;
	while (str_split(&s, '.', &label))
		if (!is_label(label, wildcard))
			return false;
	return true;
}

static bool is_name(struct str s)
{
	return is_labels(s, true);
}

static bool is_ip(const char *text)
{
	unsigned char address[16];
	char bare[64];
	size_t len = strlen(text);

	if (inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1)
		return true;
	if (len < 3 || len >= sizeof(bare) || text[0] != '[')
		return false;
	snprintf(bare, sizeof(bare), "%.*s", (int)(strcspn(text, "]") - 1), text + 1);
	return inet_pton(AF_INET6, bare, address) == 1;
}

/* "a.com:80", "1.2.3.4:80": what stands before the only colon, when digits follow it. */
static bool has_port(struct str s, struct str *host)
{
	size_t at = str_find(s, ':', 0);
	uint64_t port;

	if (at == s.len || str_u64(str_sub(s, at + 1, s.len), &port) < 0)
		return false;
	*host = str_sub(s, 0, at);
	return true;
}

static int check_ip_and_port(struct str s, struct err *e)
{
	struct str host;
	char text[64];

	if (is_ip(s.ptr))
		return err_set(e, ERR_INVALID, "must not be an IP");
	if (!has_port(s, &host))
		return 0;
	snprintf(text, sizeof(text), "%.*s", (int)(host.len < 63 ? host.len : 63), host.ptr);
	if (is_ip(text))
		return err_set(e, ERR_INVALID, "must not be an IP");
	if (is_name(host))
		return err_set(e, ERR_INVALID, "must not have a port");
	return 0;
}

int host_check_wildcard(const json_t *value, struct err *e)
{
	struct str s = {json_string_value(value), json_string_length(value)};
	size_t star = str_find(s, '*', 0);

	if (star < s.len) {
		if (star != 0 && star != s.len - 1)
			return err_set(e, ERR_INVALID,
				       "wildcard must be leftmost or rightmost character");
		if (str_find(s, '*', star + 1) < s.len)
			return err_set(e, ERR_INVALID, "only one wildcard must be specified");
	}
	if (check_ip_and_port(s, e) < 0)
		return -1;
	if (!is_name(s))
		return err_set(e, ERR_INVALID, "invalid value: %s", s.ptr);
	return 0;
}

/* `*` stands for whole labels only, and what has no letter is no name. */
bool host_sni_served(struct str name, char out[HOST_NAME_SIZE])
{
	struct str fixed = name;
	struct addr address;
	bool numeric = true;

	if (addr_parse_ip(&address, name) == 0) {
		addr_ip_text(&address, out, HOST_NAME_SIZE);
		return true;
	}
	if (name.len == 0 || name.len >= HOST_NAME_SIZE)
		return false;
	for (size_t i = 0; i < name.len; i++)
		out[i] = ascii_lower(name.ptr[i]);
	out[name.len] = '\0';
	if (str_eq(name, STR("*")))
		return true;
	if (str_starts(fixed, STR("*.")))
		fixed = str_sub(fixed, 2, fixed.len);
	else if (str_ends(fixed, STR(".*")))
		fixed = str_sub(fixed, 0, fixed.len - 2);
	for (size_t i = 0; i < fixed.len; i++)
		numeric = numeric &&
			  (fixed.ptr[i] == '.' || (fixed.ptr[i] >= '0' && fixed.ptr[i] <= '9'));
	return !numeric && is_labels(fixed, false);
}

enum host_kind { HOST_INVALID, HOST_NAME, HOST_IPV4, HOST_IPV6 };

/* "a.com", "1.2.3.4:80", "[::1]:80", "::1" in parts. */
struct host_port {
	enum host_kind kind;
	struct str host; /* IPv6 without brackets */
	bool has_port;
	bool port_ok;
	unsigned port;
};

static bool to_address(struct str s, int family, unsigned char out[16])
{
	char text[64];

	if (s.len >= sizeof(text))
		return false;
	snprintf(text, sizeof(text), "%.*s", (int)s.len, s.ptr);
	return strlen(text) == s.len && inet_pton(family, text, out) == 1;
}

/* Digits and dots that are no address are no name either: 1.2.3.400. */
static bool is_numeric(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] != '.' && (s.ptr[i] < '0' || s.ptr[i] > '9'))
			return false;
	return true;
}

static enum host_kind kind_of(struct str s)
{
	unsigned char address[16];

	if (to_address(s, AF_INET, address))
		return HOST_IPV4;
	if (s.len > 1 && s.ptr[s.len - 1] == '.')
		s.len--;
	return s.len && !is_numeric(s) && is_labels(s, false) ? HOST_NAME : HOST_INVALID;
}

static void take_port(struct host_port *out, struct str text)
{
	uint64_t port = 0;

	out->has_port = true;
	out->port_ok = str_u64(text, &port) == 0 && port <= PORT_MAX;
	out->port = out->port_ok ? (unsigned)port : 0;
}

static void split_host(struct str s, struct host_port *out)
{
	bool brackets = s.len && s.ptr[0] == '[';
	size_t end = brackets ? str_find(s, ']', 0) : str_find(s, ':', 0);
	unsigned char address[16];
	struct str rest;

	*out = (struct host_port){.kind = HOST_INVALID, .port_ok = true};
	if (to_address(s, AF_INET6, address)) {
		out->kind = HOST_IPV6;
		out->host = s;
		return;
	}
	out->host = brackets ? str_sub(s, 1, end) : str_sub(s, 0, end);
	rest = str_sub(s, brackets ? end + 1 : end, s.len);
	if (rest.len && rest.ptr[0] == ':')
		take_port(out, str_sub(rest, 1, rest.len));
	else if (rest.len || (brackets && end == s.len))
		return;
	if (!brackets)
		out->kind = kind_of(out->host);
	else if (to_address(out->host, AF_INET6, address))
		out->kind = HOST_IPV6;
}

static struct str text_of(const json_t *value)
{
	return (struct str){json_string_value(value), json_string_length(value)};
}

static int refuse_value(struct str s, struct err *e)
{
	return err_set(e, ERR_INVALID, "invalid value: %s", s.ptr);
}

int host_check(const json_t *value, struct err *e)
{
	struct host_port h;

	split_host(text_of(value), &h);
	if (h.kind == HOST_INVALID)
		return refuse_value(text_of(value), e);
	return h.has_port ? err_set(e, ERR_INVALID, "must not have a port") : 0;
}

int host_check_optional_port(const json_t *value, struct err *e)
{
	struct host_port h;

	split_host(text_of(value), &h);
	if (h.kind == HOST_INVALID)
		return refuse_value(text_of(value), e);
	return h.port_ok ? 0 : err_set(e, ERR_INVALID, "invalid port number");
}

/* "*.a.com" as "a.a.com": what is left must be a host with an optional port. */
int host_check_route(const json_t *value, struct err *e)
{
	struct str s = text_of(value);
	size_t star = str_find(s, '*', 0);
	size_t colon = str_find(s, ':', star < s.len ? star : 0);
	char plain[HOST_MAX + 16];
	struct host_port h;
	bool first, last;

	if (star == s.len)
		return host_check_optional_port(value, e);
	if (str_find(s, '*', star + 1) < s.len)
		return err_set(e, ERR_INVALID, "invalid wildcard: must have at most one wildcard");
	first = star == 0 && s.len > 1 && s.ptr[1] == '.';
	last = star + 1 == colon && star > 0 && s.ptr[star - 1] == '.';
	if (!first && !last)
		return err_set(e, ERR_INVALID,
			       "invalid wildcard: must be placed at leftmost or rightmost label");
	if (s.len >= sizeof(plain))
		return refuse_value(s, e);
	snprintf(plain, sizeof(plain), "%s", s.ptr);
	plain[star] = 'a';
	split_host(str_from(plain), &h);
	if (h.kind != HOST_NAME)
		return refuse_value(s, e);
	return h.port_ok ? 0 : err_set(e, ERR_INVALID, "invalid port number");
}

int host_check_upstream(const json_t *value, struct err *e)
{
	struct host_port h;
	const char *why = NULL;

	split_host(text_of(value), &h);
	if (h.kind == HOST_INVALID)
		why = "must be a valid hostname";
	else if (h.kind != HOST_NAME)
		why = "no ip addresses allowed";
	else if (h.has_port)
		why = "no port allowed";
	if (!why)
		return 0;
	return err_set(e, ERR_INVALID, "Invalid name ('%s'); %s", json_string_value(value), why);
}

int host_check_ip_or_cidr(const json_t *value, struct err *e)
{
	struct str s = text_of(value), bits, address;
	size_t slash = str_find(s, '/', 0);
	unsigned char bytes[16];
	uint64_t n = 0;
	bool v4;

	address = str_sub(s, 0, slash);
	bits = str_sub(s, slash + 1, s.len);
	v4 = to_address(address, AF_INET, bytes);
	if ((!v4 && !to_address(address, AF_INET6, bytes)) ||
	    (slash < s.len && (str_u64(bits, &n) < 0 || n > (v4 ? 32 : 128))))
		return err_set(e, ERR_INVALID, "invalid ip or cidr range: '%s'", s.ptr);
	return 0;
}

static int add_ipv6(struct buf *out, struct str s, struct err *e)
{
	unsigned char a[16];
	int rc;

	if (!to_address(s, AF_INET6, a))
		return err_set(e, ERR_INTERNAL, "not an IPv6 address");
	rc = buf_add_str(out, STR("["), e);
	for (size_t i = 0; i < sizeof(a) && rc == 0; i += 2)
		rc = buf_addf(out, e, "%s%02x%02x", i ? ":" : "", a[i], a[i + 1]);
	return rc < 0 ? -1 : buf_add_str(out, STR("]"), e);
}

int host_target(struct buf *out, struct str s, struct err *e)
{
	struct host_port h;
	int rc;

	split_host(s, &h);
	if (h.kind == HOST_INVALID || !h.port_ok)
		return err_set(e, ERR_INVALID,
			       "Invalid target; not a valid hostname or ip address");
	rc = h.kind == HOST_IPV6 ? add_ipv6(out, h.host, e) : buf_add_str(out, h.host, e);
	if (rc < 0)
		return -1;
	return buf_addf(out, e, ":%u", h.has_port ? h.port : TARGET_PORT);
}

int host_check_target(const json_t *value, struct err *e)
{
	struct buf out = BUF_INIT;
	int rc = host_target(&out, text_of(value), e);

	buf_deinit(&out);
	return rc;
}
