#include "control-plane/acme/verdict.h"

#define SECONDS(n) ((uint64_t)(n)*1000)
#define MINUTES(n) (SECONDS(n) * 60)
#define HOURS(n) (MINUTES(n) * 60)

/* Whose fault it is decides the pace: the CA's is over soon; ours takes an operator. */
#define PACE_NOW                                                                                   \
	{                                                                                          \
		SECONDS(1), MINUTES(5), 4                                                          \
	}
#define PACE_CA                                                                                    \
	{                                                                                          \
		SECONDS(4), MINUTES(10), 2                                                         \
	}
#define PACE_OPERATOR                                                                              \
	{                                                                                          \
		MINUTES(1), HOURS(6), 4                                                            \
	}
#define PACE_LIMIT                                                                                 \
	{                                                                                          \
		MINUTES(1), HOURS(6), 2                                                            \
	}

/* Conditions beyond type and status: all of those that are set must hold. */
enum when {
	WHEN_NEW_ORDER = 1 << 0,
	WHEN_PROFILE = 1 << 1,
	WHEN_REPLACES = 1 << 2,
	WHEN_UNPAUSE = 1 << 3,
	WHEN_LATE = 1 << 4,
};

struct rule {
	const char *type; /* NULL: any */
	unsigned status;  /* 0: any; 500 stands for 500 to 599 */
	unsigned when;
	struct verdict verdict;
};

#define ACME(name) PROBLEM_ACME name
#define OWN(name) PROBLEM_OWN name

/* First match wins. */
static const struct rule rules[] = {
	/* The conversation. */
	{ACME("badNonce"), 0, 0, {SCOPE_NONE, STEP_NEW_NONCE, PACE_CA}},
	{ACME("accountDoesNotExist"), 0, 0, {SCOPE_ACCOUNT, STEP_REGISTER, PACE_CA}},
	{ACME("userActionRequired"), 0, 0, {SCOPE_ACCOUNT, STEP_AGREE, PACE_OPERATOR}},
	{ACME("agreementRequired"), 0, 0, {SCOPE_ACCOUNT, STEP_AGREE, PACE_OPERATOR}},
	{ACME("orderNotReady"), 0, 0, {SCOPE_ORDER, STEP_REREAD, PACE_CA}},
	{ACME("alreadyRevoked"), 0, 0, {SCOPE_CERTIFICATE, STEP_DONE, PACE_NOW}},
	/* What was asked for besides names. */
	{ACME("invalidProfile"), 0, WHEN_PROFILE, {SCOPE_POLICY, STEP_WITHOUT_PROFILE, PACE_NOW}},
	{ACME("unauthorized"),
	 0,
	 WHEN_NEW_ORDER | WHEN_PROFILE,
	 {SCOPE_POLICY, STEP_WITHOUT_PROFILE, PACE_NOW}},
	{ACME("alreadyReplaced"), 0, 0, {SCOPE_ORDER, STEP_WITHOUT_REPLACES, PACE_NOW}},
	{NULL, 409, WHEN_NEW_ORDER | WHEN_REPLACES, {SCOPE_ORDER, STEP_WITHOUT_REPLACES, PACE_NOW}},
	/* Names that it will not issue for. */
	{ACME("rejectedIdentifier"), 0, 0, {SCOPE_IDENTIFIER, STEP_DROP, PACE_OPERATOR}},
	{ACME("unsupportedIdentifier"), 0, 0, {SCOPE_IDENTIFIER, STEP_DROP, PACE_OPERATOR}},
	{ACME("caa"), 0, 0, {SCOPE_HOST_AT_CA, STEP_OTHER_CA, PACE_OPERATOR}},
	/* Validation: the owner of the name has to do something, unless we were late. */
	{ACME("dns"), 0, 0, {SCOPE_HOST, STEP_RESOLVE, PACE_OPERATOR}},
	{ACME("connection"), 0, WHEN_LATE, {SCOPE_FLEET, STEP_RESTART, PACE_LIMIT}},
	{ACME("connection"), 0, 0, {SCOPE_HOST, STEP_QUARANTINE, PACE_OPERATOR}},
	{ACME("tls"), 0, WHEN_LATE, {SCOPE_FLEET, STEP_RESTART, PACE_LIMIT}},
	{ACME("tls"), 0, 0, {SCOPE_HOST, STEP_QUARANTINE, PACE_OPERATOR}},
	{ACME("incorrectResponse"), 0, WHEN_LATE, {SCOPE_FLEET, STEP_RESTART, PACE_LIMIT}},
	{ACME("incorrectResponse"), 0, 0, {SCOPE_HOST, STEP_QUARANTINE, PACE_OPERATOR}},
	{ACME("unauthorized"), 401, 0, {SCOPE_ACCOUNT, STEP_RETRY, PACE_OPERATOR}},
	{ACME("unauthorized"), 0, WHEN_LATE, {SCOPE_FLEET, STEP_RESTART, PACE_LIMIT}},
	{ACME("unauthorized"), 0, 0, {SCOPE_HOST, STEP_QUARANTINE, PACE_OPERATOR}},
	/* Budgets and pauses. */
	{ACME("rateLimited"),
	 0,
	 WHEN_UNPAUSE,
	 {SCOPE_IDENTIFIER_AT_ACCOUNT, STEP_PAUSED, PACE_OPERATOR}},
	{ACME("rateLimited"), 503, 0, {SCOPE_ENDPOINT, STEP_RETRY, PACE_CA}},
	{ACME("rateLimited"), 0, 0, {SCOPE_BUCKET, STEP_BUDGET, PACE_LIMIT}},
	{OWN("answer"), 429, 0, {SCOPE_ENDPOINT, STEP_RETRY, PACE_CA}},
	{OWN("answer"), 503, 0, {SCOPE_ENDPOINT, STEP_RETRY, PACE_CA}},
	{NULL, 429, 0, {SCOPE_BUCKET, STEP_BUDGET, PACE_LIMIT}},
	/* The CA is not well; its breaker counts these too. */
	{ACME("serverInternal"), 0, 0, {SCOPE_CA, STEP_AGAIN, PACE_CA}},
	{OWN("breaker"), 0, 0, {SCOPE_CA, STEP_RETRY, PACE_CA}},
	{OWN("connection"), 0, 0, {SCOPE_ORDER, STEP_RETRY, PACE_CA}},
	{OWN("timeout"), 0, 0, {SCOPE_ORDER, STEP_RESTART, PACE_LIMIT}},
	{NULL, 408, 0, {SCOPE_ORDER, STEP_RETRY, PACE_CA}},
	{NULL, 500, 0, {SCOPE_CA, STEP_RETRY, PACE_CA}},
	/* The CA's order is gone. */
	{NULL, 404, 0, {SCOPE_ORDER, STEP_RESTART, PACE_NOW}},
	{NULL, 410, 0, {SCOPE_ORDER, STEP_RESTART, PACE_NOW}},
	{OWN("gone"), 0, 0, {SCOPE_ORDER, STEP_RESTART, PACE_NOW}},
	/* Ours, or an operator's. */
	{ACME("externalAccountRequired"), 0, 0, {SCOPE_ACCOUNT, STEP_RETRY, PACE_OPERATOR}},
	{ACME("invalidContact"), 0, 0, {SCOPE_ACCOUNT, STEP_RETRY, PACE_OPERATOR}},
	{ACME("unsupportedContact"), 0, 0, {SCOPE_ACCOUNT, STEP_RETRY, PACE_OPERATOR}},
	{ACME("badSignatureAlgorithm"), 0, 0, {SCOPE_ACCOUNT, STEP_RETRY, PACE_OPERATOR}},
	{ACME("badCSR"), 0, 0, {SCOPE_ORDER, STEP_FAIL, PACE_OPERATOR}},
	{ACME("badPublicKey"), 0, 0, {SCOPE_ORDER, STEP_FAIL, PACE_OPERATOR}},
	{ACME("invalidProfile"), 0, 0, {SCOPE_POLICY, STEP_FAIL, PACE_OPERATOR}},
	{OWN("terms"), 0, 0, {SCOPE_ACCOUNT, STEP_RETRY, PACE_OPERATOR}},
	{OWN("budget"), 0, 0, {SCOPE_BUCKET, STEP_RETRY, PACE_LIMIT}},
	{OWN("account"), 0, 0, {SCOPE_ACCOUNT, STEP_RETRY, PACE_CA}},
	{OWN("barrier"), 0, 0, {SCOPE_FLEET, STEP_RETRY, PACE_CA}},
	/* Nothing is set: the same records again. What is set and not shown is taken away. */
	{OWN("dns"), 0, 0, {SCOPE_ORDER, STEP_RETRY, PACE_CA}},
	{OWN("propagation"), 0, 0, {SCOPE_ORDER, STEP_RESTART, PACE_LIMIT}},
	{OWN("internal"), 0, 0, {SCOPE_FLEET, STEP_RETRY, PACE_CA}},
	{OWN("denied"), 0, 0, {SCOPE_CA, STEP_RETRY, PACE_OPERATOR}},
	{OWN("certificate"), 0, 0, {SCOPE_ORDER, STEP_FAIL, PACE_OPERATOR}},
	{OWN("challenge"), 0, 0, {SCOPE_ORDER, STEP_FAIL, PACE_OPERATOR}},
	{OWN("pair"), 0, 0, {SCOPE_ORDER, STEP_FAIL, PACE_OPERATOR}},
	{OWN("profile"), 0, 0, {SCOPE_POLICY, STEP_FAIL, PACE_OPERATOR}},
	{OWN("sni"), 0, 0, {SCOPE_ORDER, STEP_FAIL, PACE_OPERATOR}},
	{ACME("malformed"), 0, 0, {SCOPE_ORDER, STEP_RESTART, PACE_OPERATOR}},
	{OWN("answer"), 0, 0, {SCOPE_ORDER, STEP_RETRY, PACE_CA}},
	{NULL, 0, 0, {SCOPE_ORDER, STEP_RESTART, PACE_OPERATOR}},
};

static unsigned conditions(const struct signal *s)
{
	return (s->new_order ? WHEN_NEW_ORDER : 0U) | (s->profile ? WHEN_PROFILE : 0U) |
	       (s->replaces ? WHEN_REPLACES : 0U) | (s->unpause ? WHEN_UNPAUSE : 0U) |
	       (s->late ? WHEN_LATE : 0U);
}

static bool matches(const struct rule *r, const struct signal *s)
{
	const struct problem *p = s->problem;

	if (r->type && !str_eq(str_from(r->type), str_from(p->type)))
		return false;
	if ((r->when & conditions(s)) != r->when)
		return false;
	if (r->status == 500)
		return p->status >= 500 && p->status <= 599;
	return r->status == 0 || r->status == p->status;
}

const struct verdict *verdict(const struct signal *s)
{
	size_t i = 0;

	while (i + 1 < array_len(rules) && !matches(&rules[i], s))
		i++;
	return &rules[i].verdict;
}

static const char *const scopes[SCOPES] = {
	[SCOPE_NONE] = "none",
	[SCOPE_ORDER] = "order",
	[SCOPE_HOST] = "host",
	[SCOPE_HOST_AT_CA] = "host at the authority",
	[SCOPE_IDENTIFIER] = "identifier",
	[SCOPE_IDENTIFIER_AT_ACCOUNT] = "identifier at the account",
	[SCOPE_POLICY] = "policy",
	[SCOPE_BUCKET] = "budget",
	[SCOPE_ACCOUNT] = "account",
	[SCOPE_ENDPOINT] = "address at the authority",
	[SCOPE_CA] = "authority",
	[SCOPE_FLEET] = "fleet",
	[SCOPE_CERTIFICATE] = "certificate",
};

const char *scope_name(enum scope s)
{
	return (unsigned)s < SCOPES ? scopes[s] : "?";
}

static const char *const steps[STEPS] = {
	[STEP_NEW_NONCE] = "new nonce",
	[STEP_REGISTER] = "register",
	[STEP_REREAD] = "read again",
	[STEP_AGAIN] = "again",
	[STEP_WITHOUT_PROFILE] = "without profile",
	[STEP_WITHOUT_REPLACES] = "without replaces",
	[STEP_RETRY] = "retry",
	[STEP_RESTART] = "restart",
	[STEP_BUDGET] = "wait for the budget",
	[STEP_AGREE] = "wait for agreement",
	[STEP_OTHER_CA] = "other authority",
	[STEP_QUARANTINE] = "quarantine",
	[STEP_RESOLVE] = "resolve",
	[STEP_PAUSED] = "paused",
	[STEP_DROP] = "drop names",
	[STEP_FAIL] = "fail",
	[STEP_DONE] = "done",
};

const char *step_name(enum step s)
{
	return (unsigned)s < STEPS ? steps[s] : "?";
}

uint64_t quarantine_ms(unsigned failures, double by_chance)
{
	static const uint64_t waits[] = {MINUTES(1), MINUTES(10), MINUTES(100), HOURS(24)};
	size_t i = failures == 0 ? 0 : failures - 1;
	uint64_t wait = waits[i < array_len(waits) ? i : array_len(waits) - 1];

	return wait + (uint64_t)((double)wait * by_chance / 10);
}
