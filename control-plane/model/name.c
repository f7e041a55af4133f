/* Names in entities. */
#include "control-plane/model/name.h"

#include "common/core/str.h"

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

int name_check(const json_t *value, struct err *e)
{
	const char *text = json_string_value(value);

	for (const char *c = text; *c; c++)
		if (!is_alnum(*c) && !strchr(".-_~", *c) && (unsigned char)*c < 0x80)
			return err_set(e, ERR_INVALID,
				       "invalid value '%s': the only accepted ascii characters are "
				       "alphanumerics or ., -, _, and ~",
				       text);
	return 0;
}

static int check_token(const json_t *value, const char *what, struct err *e)
{
	const char *text = json_string_value(value);

	for (const char *c = text; *c; c++)
		if (!is_alnum(*c) && *c != '-' && *c != '_')
			return err_set(e, ERR_INVALID,
				       "bad %s name '%s', allowed characters are A-Z, a-z, 0-9, "
				       "'_', and '-'",
				       what, text);
	return 0;
}

int name_check_header(const json_t *value, struct err *e)
{
	return check_token(value, "header", e);
}

int name_check_cookie(const json_t *value, struct err *e)
{
	return check_token(value, "cookie", e);
}
