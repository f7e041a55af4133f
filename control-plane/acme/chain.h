/* Which of the certificate chains that a CA offers (RFC 8555 section 7.4.2) is taken. Pure.
 * Thread: any. */
#ifndef CARDEA_ACME_CHAIN_H
#define CARDEA_ACME_CHAIN_H

#include <stdbool.h>

#include "common/core/err.h"
#include "common/core/str.h"

enum { CHAIN_NAME_SIZE = 256 };

struct chain_roots;

/* The certificates of a PEM file. ERR_INVALID: it cannot be read, or holds none. */
int chain_roots_load(struct chain_roots **out, const char *file, struct err *e) must_check;
/* NULL is fine. */
void chain_roots_free(struct chain_roots *r);

struct chain_facts {
	size_t length;		      /* certificates */
	char issuer[CHAIN_NAME_SIZE]; /* common name of who issued the last one; "": none */
	bool anchored;		      /* the last one is one of the roots, or signed by one */
};
/* Of a chain in PEM; roots may be NULL. ERR_INVALID: it is none. */
int chain_read(struct chain_facts *out, struct str pem, const struct chain_roots *roots,
	       struct err *e) must_check;

struct chain_wish {
	const char *issuer; /* common name; NULL or "": none */
	bool anchored;	    /* there are roots */
};
/* Whether `next` is better than `best`: first comes the issuer that is wished for, then a chain
 * that ends at a root, the shorter one; else what the CA offered first. */
bool chain_better(const struct chain_facts *next, const struct chain_facts *best,
		  const struct chain_wish *w);
/* Whether the first chain has everything that is wished for, so that no other need be fetched. */
bool chain_suffices(const struct chain_facts *f, const struct chain_wish *w);

#endif
