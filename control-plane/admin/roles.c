#include "control-plane/admin/roles.h"

static const char *const names[ROLES] = {"none", "reader", "operator", "admin"};

enum methods { READS = 1 << 0, WRITES = 1 << 1 };

/* First match. A pattern that ends with "/..." covers everything below. */
static const struct {
	const char *pattern;
	unsigned methods;
	enum role least;
} rules[] = {
	{"/admin/...", READS | WRITES, ROLE_ADMIN},
	{"/audit", READS, ROLE_OPERATOR},
	/* Reads other servers, and takes private keys. */
	{"/acme/import", WRITES, ROLE_ADMIN},
	{"/acme/...", WRITES, ROLE_OPERATOR},
	/* Whole configurations, with their keys. */
	{"/config/...", READS | WRITES, ROLE_ADMIN},
	/* Change nothing. */
	{"/schemas/:entity/validate", WRITES, ROLE_READER},
	{"/schemas/plugins/validate", WRITES, ROLE_READER},
	{"/schemas/vaults/validate", WRITES, ROLE_READER},
};

static const struct {
	struct str method;
	unsigned is;
	const char *verb;
} methods[] = {
	{STR("GET"), READS, "read"},	  {STR("HEAD"), READS, "read"},
	{STR("POST"), WRITES, "create"},  {STR("PUT"), WRITES, "update"},
	{STR("PATCH"), WRITES, "update"}, {STR("DELETE"), WRITES, "delete"},
};

const char *role_name(enum role role)
{
	return names[role];
}

int role_parse(struct str text, enum role *out, struct err *e)
{
	for (size_t i = ROLE_READER; i < ROLES; i++) {
		if (!str_eq(text, str_from(names[i])))
			continue;
		*out = (enum role)i;
		return 0;
	}
	return err_set(e, ERR_INVALID, "expected one of: %s, %s, %s", names[ROLE_READER],
		       names[ROLE_OPERATOR], names[ROLE_ADMIN]);
}

static bool covers(const char *rule, struct str pattern)
{
	struct str base = str_from(rule);
	struct str tail = STR("/..."), rest;

	if (!str_ends(base, tail))
		return str_eq(base, pattern);
	base.len -= tail.len;
	rest = str_sub(pattern, base.len, pattern.len);
	return str_starts(pattern, base) && (rest.len == 0 || str_starts(rest, STR("/")));
}

static unsigned method_is(struct str method)
{
	for (size_t i = 0; i < array_len(methods); i++)
		if (str_eq(methods[i].method, method))
			return methods[i].is;
	return WRITES;
}

enum role role_needed(struct str method, const char *pattern)
{
	unsigned is = method_is(method);

	for (size_t i = 0; i < array_len(rules); i++)
		if ((rules[i].methods & is) && covers(rules[i].pattern, str_from(pattern)))
			return rules[i].least;
	return is == READS ? ROLE_READER : ROLE_ADMIN;
}

const char *role_verb(struct str method)
{
	for (size_t i = 0; i < array_len(methods); i++)
		if (str_eq(methods[i].method, method))
			return methods[i].verb;
	return "use";
}

bool role_takes_keys(enum role role)
{
	return role == ROLE_OPERATOR;
}
