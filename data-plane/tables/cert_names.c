/* Which names certificates are looked up by: certs_normalise and certs_name_ok of certs.h. Pure. */
#include "data-plane/tables/certs.h"

static bool name_byte(char ch)
{
	return (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') || ch == '-' || ch == '_' ||
	       ch == '.';
}

bool certs_normalise(struct str name, char *out, size_t *len)
{
	bool numeric = true;

	if (name.len > 0 && name.ptr[name.len - 1] == '.')
		name.len--;
	if (name.len == 0 || name.len > CERTS_NAME_MAX || name.ptr[0] == '.' ||
	    name.ptr[name.len - 1] == '.')
		return false;
	for (size_t i = 0; i < name.len; i++) {
		out[i] = ascii_lower(name.ptr[i]);
		if (!name_byte(out[i]) || (i > 0 && out[i] == '.' && out[i - 1] == '.'))
			return false;
		numeric = numeric && (out[i] == '.' || (out[i] >= '0' && out[i] <= '9'));
	}
	out[name.len] = '\0';
	*len = name.len;
	return !numeric;
}

/* An address as certs_find_address looks it up. */
static bool is_address(struct str name)
{
	char text[ADDR_TEXT_SIZE];
	struct addr a;

	if (addr_parse_ip(&a, name) != 0)
		return false;
	addr_ip_text(&a, text, sizeof(text));
	return str_eq(name, str_from(text));
}

/* "a.b", "*.a.b", "a.*", "*", or an address. */
bool certs_name_ok(struct str name)
{
	char out[CERTS_NAME_MAX + 1];
	size_t len;

	if (str_eq(name, STR("*")) || is_address(name))
		return true;
	if (str_starts(name, STR("*.")))
		name = str_sub(name, 2, name.len);
	else if (str_ends(name, STR(".*")))
		name = str_sub(name, 0, name.len - 2);
	return certs_normalise(name, out, &len) && str_eq(name, (struct str){out, len});
}
