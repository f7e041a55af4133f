/* Which authorities the owner of a name lets issue for it: CAA records (RFC 8659), with the account
 * and the ways of validation that they may be bound to (RFC 8657). Thread: any.
 */
#ifndef CARDEA_ACME_CAA_H
#define CARDEA_ACME_CAA_H

#include <stdbool.h>
#include <stddef.h>

#include "common/core/err.h"
#include "common/core/str.h"
#include "common/net/addr.h"

enum { CAA_RECORDS_MAX = 32, CAA_TAG_SIZE = 16, CAA_VALUE_SIZE = 256 };

struct caa_record {
	bool critical;
	char tag[CAA_TAG_SIZE];	    /* lower case */
	char value[CAA_VALUE_SIZE]; /* "" in place of a longer one, and of one with bytes that are
				     * no printable ASCII: nobody is named by it */
};

struct caa {
	char at[256]; /* the name that has them: the one asked for or one above it; "": none has */
	size_t count;
	struct caa_record items[CAA_RECORDS_MAX];
};

/* Adds the records of an answer (RFC 1035 section 4). ERR_INVALID: it is broken; ERR_LIMIT: there
 * are more than CAA_RECORDS_MAX. */
int caa_read(struct caa *out, const unsigned char *answer, size_t size, struct err *e) must_check;
/* Asks for those of host, then of each name above it until one has some (section 3). server: see
 * dns_addresses. ERR_UNAVAILABLE: DNS did not answer, with which an authority refuses. Blocks. */
int caa_find(struct caa *out, const char *host, const struct addr *server,
	     struct err *e) must_check;

struct caa_issuer {
	const char *identities; /* of the authority (caaIdentities), a space between */
	const char *account;	/* our URL there; NULL: not known, nothing is concluded from it */
	const char *method;	/* "http-01" */
};
/* Whether it may issue for the name, which is no wildcard. */
bool caa_allows(const struct caa *c, const struct caa_issuer *i);
/* Appends "issue \"ca.example\", iodef \"mailto:a@b\"". */
int caa_text(const struct caa *c, struct buf *out, struct err *e) must_check;

#endif
