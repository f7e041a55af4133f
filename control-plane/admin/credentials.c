#include "control-plane/admin/credentials.h"

/* RFC 9110 section 11.1: the scheme in any case, then spaces. */
static bool bearer_token(struct str value, struct str *token)
{
	size_t end = str_find(value, ' ', 0);

	if (!str_ieq(str_sub(value, 0, end), STR("bearer")))
		return false;
	*token = str_trim(str_sub(value, end, value.len));
	return true;
}

enum credentials credentials_find(const struct http_fields *f, struct str *token)
{
	size_t authorizations = http_fields_count(f, STR("authorization"));
	size_t kong_tokens = http_fields_count(f, STR("kong-admin-token"));
	struct str bearer = STR_NONE;
	bool is_bearer;

	*token = STR_NONE;
	if (authorizations > 1 || kong_tokens > 1)
		return CREDENTIALS_AMBIGUOUS;
	is_bearer = authorizations &&
		    bearer_token(str_trim(http_fields_get(f, STR("authorization"))), &bearer);
	if (is_bearer && kong_tokens)
		return CREDENTIALS_AMBIGUOUS;
	/* Another scheme is for somebody on the way when Kong's header is there too. */
	if (kong_tokens)
		*token = str_trim(http_fields_get(f, STR("kong-admin-token")));
	else if (is_bearer)
		*token = bearer;
	else
		return authorizations ? CREDENTIALS_SCHEME : CREDENTIALS_NONE;
	return CREDENTIALS_TOKEN;
}
