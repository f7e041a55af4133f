/* What went wrong with a CA, as a problem document (RFC 9457), and what is done about it: one
 * table. Pure. Thread: any. */
#ifndef CARDEA_ACME_PROBLEM_H
#define CARDEA_ACME_PROBLEM_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/core/str.h"
#include "control-plane/acme/backoff.h"

#define PROBLEM_ACME "urn:ietf:params:acme:error:"
#define PROBLEM_OWN "urn:cardea:acme:" /* found on this side */

struct problem {
	char type[96]; /* "": there is no problem */
	char detail[512];
	unsigned status;	/* HTTP; 0: none */
	int64_t retry_after_ms; /* RETRY_AFTER_NONE: the CA did not say */
};

enum problem_action {
	PROBLEM_NEW_NONCE,  /* sign again with a fresh nonce, at once, bounded */
	PROBLEM_REREGISTER, /* the CA does not know the account: register it, then again */
	PROBLEM_REREAD,	    /* the order is further than we thought: read it and follow */
	PROBLEM_RETRY,	    /* keep what there is, again later */
	PROBLEM_RESTART,    /* this order of the CA is spent: a new one later */
	PROBLEM_FAIL,	    /* nothing that waiting could change */
};

struct problem_rule {
	const char *type; /* NULL: any */
	unsigned status;  /* 0: any; 500 stands for 500 to 599 */
	enum problem_action action;
	struct backoff backoff;
};

static inline bool problem_is_set(const struct problem *p)
{
	return p->type[0] != '\0';
}

/* The rule for a problem; there always is one. */
const struct problem_rule *problem_rule(const struct problem *p);
/* Reads an error answer. Never fails: whatever is no problem document (HTML of a proxy) becomes
 * "urn:cardea:acme:answer" with the status. */
void problem_from_answer(struct problem *p, unsigned status, struct str body,
			 int64_t retry_after_ms);
/* Out of a JSON value inside another document ("error"); false when it is none. */
bool problem_from_json(struct problem *p, const json_t *value);
/* One of this side: kind "connection", "answer", "barrier", ... */
void problem_own(struct problem *p, const char *kind, const char *fmt, ...) printf_like(3, 4);
/* As problem_own, out of an error: "denied" when a URL was refused, else kind. */
void problem_from_err(struct problem *p, const char *kind, const struct err *e);
bool problem_is_acme(const struct problem *p, const char *name); /* "badNonce" */
/* {"type","detail","status","at"} for the order's row; NULL when out of memory. */
json_t *problem_json(const struct problem *p, int64_t at_s);

#endif
