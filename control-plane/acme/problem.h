/* What went wrong with a CA, as a problem document (RFC 9457). What is done about it: verdict.h.
 * Pure. Thread: any. */
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

static inline bool problem_is_set(const struct problem *p)
{
	return p->type[0] != '\0';
}

/* Reads an error answer. Never fails: whatever is no problem document (HTML of a proxy) becomes
 * "urn:cardea:acme:answer" with the status. */
void problem_from_answer(struct problem *p, unsigned status, struct str body,
			 int64_t retry_after_ms);
/* The subproblems of an error answer (RFC 8555 section 6.7.1), as many as a certificate has names,
 * each {"type","detail","status","identifier"}; NULL: none. */
json_t *problem_subproblems(struct str body);
/* The address that a problem gives to whoever can solve it (RFC 8555 section 7.3.3: "instance"; or
 * in the words of a paused name). */
enum { HELP_URL_MAX = 4096 };
struct problem_help {
	char *url;    /* owned; NULL: none */
	bool unpause; /* the name is paused, and resumed there */
};
void problem_help_deinit(struct problem_help *h);
/* Of an error answer; what was there is freed. */
void problem_help(struct problem_help *out, struct str body);
/* Out of a JSON value inside another document ("error"); false when it is none. */
bool problem_from_json(struct problem *p, const json_t *value);
/* One of this side: kind "connection", "answer", "barrier", ... */
void problem_own(struct problem *p, const char *kind, const char *fmt, ...) printf_like(3, 4);
/* As problem_own, out of an error: "denied" when a URL was refused, else kind. */
void problem_from_err(struct problem *p, const char *kind, const struct err *e);
/* Found on this side, or an answer without a problem document. */
bool problem_is_own(const struct problem *p);
bool problem_is_acme(const struct problem *p, const char *name); /* "badNonce" */
/* {"type","detail","status","at"} for the order's row; NULL when out of memory. */
json_t *problem_json(const struct problem *p, int64_t at_s);

#endif
