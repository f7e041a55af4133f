#include "control-plane/acme/on_demand_policy.h"

#include <stdio.h>
#include <string.h>

#include "common/net/addr.h"
#include "control-plane/acme/acme.h"
#include "control-plane/acme/domain.h"

#define HOUR 3600.0
#define DAY 86400.0
#define KEY_PREFIX "on_demand_"

struct row {
	const char *name;
	struct limit preset;
};

static const struct row rows[ON_DEMAND_LIMITS] = {
	[ON_DEMAND_CLIENT] = {"client", {HOUR / 20, 20}},
	[ON_DEMAND_DOMAIN] = {"domain", {DAY / 100, 100}},
	[ON_DEMAND_NAME] = {"name", {HOUR / 5, 5}},
};

const char *on_demand_limit_name(enum on_demand_limit k)
{
	return (unsigned)k < ON_DEMAND_LIMITS ? rows[k].name : "?";
}

static int read_setting(struct on_demand_limits *out, struct str word, struct err *e)
{
	size_t equals = str_find(word, '=', 0);

	for (size_t k = 0; k < ON_DEMAND_LIMITS && equals < word.len; k++) {
		if (!str_eq(str_sub(word, 0, equals), str_from(rows[k].name)))
			continue;
		if (limit_read(&out->of[k], str_sub(word, equals + 1, word.len)) == 0)
			return 0;
		return err_set(e, ERR_INVALID,
			       "%s must be N/TIME or N/TIME:BURST, as in 20/1h or 100/1d:10",
			       rows[k].name);
	}
	return err_set(e, ERR_INVALID,
		       "%.*s: expected a limit (client, domain, name) as in client=20/1h",
		       (int)(word.len < 60 ? word.len : 60), word.ptr);
}

int on_demand_limits_parse(struct on_demand_limits *out, struct str text, struct err *e)
{
	struct on_demand_limits l;
	struct str rest = text, word;

	for (size_t k = 0; k < ON_DEMAND_LIMITS; k++)
		l.of[k] = rows[k].preset;
	while (str_split(&rest, ' ', &word))
		if (word.len > 0 && read_setting(&l, word, e) != 0)
			return -1;
	*out = l;
	return 0;
}

/* --- patterns --- */

/* The next one of the list; false: the end. */
static bool next_pattern(struct str *rest, struct str *out)
{
	size_t n = 0;

	while (rest->len > 0 && (rest->ptr[0] == ' ' || rest->ptr[0] == ','))
		*rest = str_sub(*rest, 1, rest->len);
	while (n < rest->len && rest->ptr[n] != ' ' && rest->ptr[n] != ',')
		n++;
	*out = str_sub(*rest, 0, n);
	*rest = str_sub(*rest, n, rest->len);
	return n > 0;
}

int on_demand_domains_check(struct str list, struct err *e)
{
	char out[ON_DEMAND_HOST_SIZE];
	struct err why = ERR_INIT;
	struct str pattern;

	while (next_pattern(&list, &pattern)) {
		struct str name =
			str_starts(pattern, STR("*.")) ? str_sub(pattern, 2, pattern.len) : pattern;

		if (str_eq(pattern, STR("*")) || acme_host(name, out, &why) == 0)
			continue;
		return err_set(e, ERR_INVALID, "%.*s: neither a name, nor *.NAME, nor *: %s",
			       (int)(pattern.len < 60 ? pattern.len : 60), pattern.ptr,
			       why.message);
	}
	return 0;
}

static bool fits(struct str pattern, struct str name)
{
	struct str rest = str_sub(pattern, 1, pattern.len);

	if (str_eq(pattern, STR("*")))
		return true;
	if (pattern.ptr[0] != '*')
		return str_ieq(pattern, name);
	return name.len > rest.len && str_ieq(str_sub(name, name.len - rest.len, name.len), rest);
}

bool on_demand_domains_match(struct str list, struct str name)
{
	struct str pattern;

	while (next_pattern(&list, &pattern))
		if (fits(pattern, name))
			return true;
	return false;
}

/* --- names --- */

int on_demand_host(struct str host, char *out, struct err *e)
{
	struct str rest, label = STR_NONE, before = STR_NONE;
	struct addr address;
	size_t labels = 0;

	if (acme_host(host, out, e) != 0)
		return -1;
	if (addr_parse_ip(&address, str_from(out)) == 0)
		return err_set(e, ERR_INVALID, "invalid host: an address is no server name");
	rest = str_from(out);
	while (str_split(&rest, '.', &label)) {
		if (before.ptr && str_eq(label, before))
			return err_set(e, ERR_INVALID, "invalid host: label '%.*s' twice in a row",
				       (int)label.len, label.ptr);
		before = label;
		labels++;
	}
	if (labels < 2)
		return err_set(e, ERR_INVALID, "invalid host: no domain");
	return 0;
}

int on_demand_ask_url(struct buf *out, const char *ask, const char *host, const char *client,
		      struct err *e)
{
	/* Both are of letters, digits, dots, colons and hyphens: nothing to escape. */
	if (buf_addf(out, e, "%s%cdomain=%s", ask, strchr(ask, '?') ? '&' : '?', host) != 0)
		return -1;
	return client[0] ? buf_addf(out, e, "&client=%s", client) : 0;
}

/* --- budgets --- */

static int add_key(json_t *keys, const struct limit *l, enum on_demand_limit k, const char *value)
{
	if (l->every_s <= 0)
		return 0; /* no limit */
	return json_array_append_new(keys, json_pack("{s:s++, s:i, s:f, s:i}", "key", KEY_PREFIX,
						     rows[k].name, value, "take", 1, "every",
						     l->every_s, "burst", (int)l->burst));
}

json_t *on_demand_keys(const struct on_demand_limits *l, enum on_demand_limit first,
		       enum on_demand_limit last, const char *host, const char *client)
{
	json_t *keys = json_array();
	char texts[ON_DEMAND_LIMITS][DOMAIN_SIZE + 1] = {" unknown"};
	int rc = keys ? 0 : -1;

	/* Each with the space that stands before it in its key. */
	if (client[0])
		domain_registered(texts[ON_DEMAND_CLIENT] + 1, client);
	domain_registered(texts[ON_DEMAND_DOMAIN] + 1, host);
	snprintf(texts[ON_DEMAND_NAME] + 1, DOMAIN_SIZE, "%s", host);
	for (unsigned k = first; rc == 0 && k <= (unsigned)last; k++) {
		texts[k][0] = ' ';
		rc = add_key(keys, &l->of[k], (enum on_demand_limit)k, texts[k]);
	}
	if (rc == 0)
		return json_pack("[{s:s, s:o}]", "id", "1", "keys", keys);
	json_decref(keys);
	return NULL;
}

enum on_demand_limit on_demand_key_kind(const char *key)
{
	struct str rest = str_from(key);

	if (!str_starts(rest, STR(KEY_PREFIX)))
		return ON_DEMAND_LIMITS;
	rest = str_sub(rest, sizeof(KEY_PREFIX) - 1, rest.len);
	rest = str_sub(rest, 0, str_find(rest, ' ', 0));
	for (unsigned k = 0; k < ON_DEMAND_LIMITS; k++)
		if (str_eq(rest, str_from(rows[k].name)))
			return (enum on_demand_limit)k;
	return ON_DEMAND_LIMITS;
}
