/* What is done about a problem: one table from the signal to whom it concerns and to the next step.
 * trouble.c does what it says. Pure. Thread: any. */
#ifndef CARDEA_ACME_VERDICT_H
#define CARDEA_ACME_VERDICT_H

#include "control-plane/acme/problem.h"

/* Who waits, or is in doubt; everybody else goes on. */
enum scope {
	SCOPE_NONE,
	SCOPE_ORDER,		     /* this one */
	SCOPE_HOST,		     /* its names, at every CA */
	SCOPE_HOST_AT_CA,	     /* its names at this CA */
	SCOPE_IDENTIFIER,	     /* the names that the problem names */
	SCOPE_IDENTIFIER_AT_ACCOUNT, /* the same at this account */
	SCOPE_POLICY,		     /* what was configured for the names */
	SCOPE_BUCKET,		     /* a budget: everybody who draws on it */
	SCOPE_ACCOUNT,		     /* everybody with this account */
	SCOPE_ENDPOINT,		     /* requests from this address to the CA */
	SCOPE_CA,		     /* everybody at this CA */
	SCOPE_FLEET,		     /* data planes, or this control plane */
	SCOPE_CERTIFICATE,
	SCOPES,
};
const char *scope_name(enum scope s);

enum step {
	/* At once, in the same run, a bounded number of times; then STEP_RETRY. */
	STEP_NEW_NONCE,	       /* sign again with the nonce of the reply */
	STEP_REGISTER,	       /* the account is unknown: one registers, the others wait */
	STEP_REREAD,	       /* the order is further than we thought: read it and follow */
	STEP_AGAIN,	       /* the same request after a moment */
	STEP_WITHOUT_PROFILE,  /* unless the profile is required */
	STEP_WITHOUT_REPLACES, /* as an ordinary renewal */
	/* With the lease given back. */
	STEP_RETRY,	 /* keep what there is, again later */
	STEP_RESTART,	 /* the CA's order is spent: a new one later */
	STEP_BUDGET,	 /* when the budget has room again, as the CA says */
	STEP_AGREE,	 /* when the operator has agreed to the terms */
	STEP_OTHER_CA,	 /* anew at the next authority; without one as STEP_QUARANTINE */
	STEP_QUARANTINE, /* a new order after 1, 10, 100 minutes, then daily; parked at last */
	STEP_RESOLVE,	 /* the same, and sooner when the name resolves to something else */
	STEP_PAUSED,	 /* paused_by_ca until its owner unpauses it there */
	STEP_DROP,	 /* go on without the names that are blamed; if none is left: STEP_FAIL */
	STEP_FAIL,	 /* nothing that waiting could change */
	STEP_DONE,	 /* what was wanted is so already */
	STEPS,
};
const char *step_name(enum step s);

struct verdict {
	enum scope scope;
	enum step step;
	struct backoff pace; /* of STEP_RETRY, STEP_RESTART, and what becomes of others */
};

struct signal {
	const struct problem *problem;
	bool new_order; /* it is the answer to newOrder */
	bool profile;	/* a profile was asked for */
	bool replaces;	/* a predecessor was named (RFC 9773) */
	bool unpause;	/* it comes with an address to unpause the name at */
	bool late;	/* data planes did not hold the challenge when the CA asked: our fault */
};

/* There always is one. */
const struct verdict *verdict(const struct signal *s);

/* The n-th failure in a row of a name: 1, 10, 100 minutes, then a day, and up to a tenth more by
 * chance. */
uint64_t quarantine_ms(unsigned failures, double chance);

#endif
