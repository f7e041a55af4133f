/* Budgets that a CA gives: how many of what in how long, for whom. Kept as generic cell rate limits
 * in acme_buckets (one time stamp per key); what the CA says in a 429 wins over them. Pure. Thread:
 * any. */
#ifndef CARDEA_ACME_LIMIT_H
#define CARDEA_ACME_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/core/str.h"

/* Names of Let's Encrypt's limits in the comments. */
enum limit_kind {
	LIMIT_ACCOUNT,	   /* new orders per account */
	LIMIT_DOMAIN,	   /* certificates per registered domain */
	LIMIT_SET,	   /* certificates per exact set of identifiers */
	LIMIT_FAILURE,	   /* authorization failures per identifier per account */
	LIMIT_NEW_ACCOUNT, /* new registrations per IP address */
	LIMIT_NEW_ORDER,   /* requests to newOrder per IP address */
	LIMIT_REQUEST,	   /* all requests per IP address */
	LIMIT_NEW_NONCE,   /* requests to newNonce per IP address */
	LIMITS,
};
const char *limit_name(enum limit_kind k);

struct limit {
	double every_s; /* one more after so many seconds; 0: no limit */
	unsigned burst; /* so many at once after a long rest */
};
struct limits {
	struct limit of[LIMITS];
};

/* "auto": Let's Encrypt's published ones for its directories, none for others; "letsencrypt";
 * "none"; each may be followed by "KIND=N/TIME[:BURST]" with the names above and TIME as in "3h",
 * "7d", "1s"; N = 0: no such limit. Empty: auto. ERR_INVALID says what is wrong. */
int limits_parse(struct limits *out, struct str text, const char *directory,
		 struct err *e) must_check;

/* "300/3h" or "250/1s:125"; "0": no limit. -1: it is neither. */
int limit_read(struct limit *out, struct str text) must_check;

/* Which bucket a CA's words name. value: the name or domain in them; "": none. */
struct limit_named {
	enum limit_kind kind;
	char value[256];
	int64_t until_s; /* "retry after 2006-01-02 15:04:05 UTC"; 0: not said */
};
/* false: no limit that is known. */
bool limit_read_detail(struct limit_named *out, struct str detail);

/* The key of a bucket: "KIND VALUE DIRECTORY"; a long value is hashed. */
int limit_key(struct buf *out, enum limit_kind k, struct str value, const char *directory,
	      struct err *e) must_check;

#endif
