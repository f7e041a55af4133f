/* When certificates end: how many of those held do within some days. */
#ifndef CARDEA_TABLES_EXPIRY_H
#define CARDEA_TABLES_EXPIRY_H

#include "data-plane/tables/certs.h"

enum { EXPIRY_SPANS = 4 };
/* In days; the first counts what has ended already. */
extern const unsigned expiry_days[EXPIRY_SPANS];

struct expiry_counts {
	size_t within[EXPIRY_SPANS]; /* each includes those before it */
};

/* The end of a certificate's validity out of its DER, in seconds since 1970, without OpenSSL:
 * nothing else of it is looked at. -1: not a certificate. */
int expiry_of(struct str der, int64_t *out) must_check;
/* Walks all certificates of a generation; of several leaves of one the first to end counts. Thread:
 * a reader (rcu_enter). */
void expiry_count(const struct certs *c, uint64_t generation, int64_t now_s,
		  struct expiry_counts *out);

#endif
