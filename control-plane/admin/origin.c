#include "control-plane/admin/origin.h"

static bool is_listed(const char *configured, struct str origin)
{
	struct str rest = str_from(configured), one;

	while (str_split(&rest, ',', &one))
		if (str_trim(one).len > 0 && str_ieq(str_trim(one), origin))
			return true;
	return false;
}

static struct str first_listed(const char *configured)
{
	struct str rest = str_from(configured), one;

	return str_split(&rest, ',', &one) ? str_trim(one) : STR_NONE;
}

/* kong-admin-api.md 1.1 */
struct str origin_allowed(const char *configured, bool auth, struct str origin)
{
	if (configured)
		return origin.ptr && is_listed(configured, origin) ? origin
								   : first_listed(configured);
	if (auth)
		return STR_NONE;
	return origin.ptr ? origin : STR("*");
}

/* "https://admin.example:8444" against scheme and authority of the request. */
static bool is_own(const struct http_request *q, struct str origin)
{
	struct str separator = STR("://");
	struct str rest;

	if (!q->authority.len || !str_starts(origin, q->scheme))
		return false;
	rest = str_sub(origin, q->scheme.len, origin.len);
	return str_starts(rest, separator) &&
	       str_ieq(str_sub(rest, separator.len, rest.len), q->authority);
}

bool origin_trusted(const char *configured, const struct http_request *q)
{
	struct str origin = http_fields_get(&q->fields, STR("origin"));

	if (http_fields_count(&q->fields, STR("origin")) > 1)
		return false;
	return !origin.ptr || is_own(q, origin) || (configured && is_listed(configured, origin));
}
