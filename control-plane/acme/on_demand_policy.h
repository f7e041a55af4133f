/* What issuance on demand allows, without asking anybody: the form of names, patterns, budgets.
 * Pure. Thread: any.
 *
 * Budgets are generic cell rate limits in acme_buckets, as those of authorities (limit.h), and hold
 * for all control planes together. */
#ifndef CARDEA_ACME_ON_DEMAND_POLICY_H
#define CARDEA_ACME_ON_DEMAND_POLICY_H

#include <jansson.h>
#include <stdbool.h>

#include "common/core/err.h"
#include "common/core/str.h"
#include "control-plane/acme/limit.h"

enum { ON_DEMAND_HOST_SIZE = 254 };

enum on_demand_limit {
	ON_DEMAND_CLIENT, /* names that one client address asks for */
	ON_DEMAND_DOMAIN, /* orders per registered domain */
	ON_DEMAND_NAME,	  /* orders per name: one that fails for good is made again */
	ON_DEMAND_LIMITS,
};
struct on_demand_limits {
	struct limit of[ON_DEMAND_LIMITS];
};
const char *on_demand_limit_name(enum on_demand_limit k);

/* "client=20/1h domain=100/1d name=5/1h", each as in limit_read; what is not named keeps these
 * values. ERR_INVALID says what is wrong. */
int on_demand_limits_parse(struct on_demand_limits *out, struct str text, struct err *e) must_check;

/* A list with spaces or commas between: a name, "*.a.com" (whatever ends with ".a.com"), or "*".
 * ERR_INVALID names the pattern that is none. */
int on_demand_domains_check(struct str list, struct err *e) must_check;
/* name: lower case. */
bool on_demand_domains_match(struct str list, struct str name) must_check;

/* Whether a name can be issued for at all, whoever allows it: as acme_host, but no address and two
 * labels at least; and none that repeats a label (www.www.a.com), which scanners ask for without
 * end. out has ON_DEMAND_HOST_SIZE bytes: lower case. ERR_INVALID says why not. */
int on_demand_host(struct str host, char *out, struct err *e) must_check;

/* Appends what is asked for: the address with domain= and client= (unless it is "") behind it. */
int on_demand_ask_url(struct buf *out, const char *ask, const char *host, const char *client,
		      struct err *e) must_check;

/* For acme_reserve: one request, for the kinds from first to last. NULL: out of memory. */
json_t *on_demand_keys(const struct on_demand_limits *l, enum on_demand_limit first,
		       enum on_demand_limit last, const char *host, const char *client);
/* Which budget a key of those is. ON_DEMAND_LIMITS: none. */
enum on_demand_limit on_demand_key_kind(const char *key);

#endif
