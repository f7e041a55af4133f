/* Host names in entities. */
#include "control-plane/model/host.h"

#include <arpa/inet.h>

#include "common/core/str.h"

enum { HOST_MAX = 253, LABEL_MAX = 63 };

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

static bool is_name(struct str s)
{
	struct str label;

	if (s.len > HOST_MAX)
		return false;
	while (str_split(&s, '.', &label))
		if (!is_label(label, true))
			return false;
	return true;
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
