/* Parsed certificates and keys, built out of packed DER on first use: a bounded cache per worker,
 * least recently used goes first. Goes by the serial of a certificate's version, so that nothing
 * has to be told to it when a certificate changes. owner and thread: the worker.
 */
#ifndef CARDEA_TLS_PARSED_H
#define CARDEA_TLS_PARSED_H

#include <openssl/ssl.h>

#include "common/core/err.h"
#include "data-plane/tables/certs.h"

struct parsed_part {
	X509 *leaf;
	EVP_PKEY *key;
	STACK_OF(X509) * chain; /* NULL: none */
	struct buf staple;	/* OCSP response; empty: none */
	int64_t staple_from, staple_until;
};

struct parsed_cert {
	size_t count;
	struct parsed_part parts[CERTS_PAIRS_MAX];
};

struct parsed_cache;

/* Holds at most max certificates (at least one). */
int parsed_cache_create(struct parsed_cache **out, size_t max, struct err *e) must_check;
/* NULL is fine. */
void parsed_cache_free(struct parsed_cache *c);
/* *out lives until the next call. Takes references where it is kept longer. */
int parsed_cache_get(struct parsed_cache *c, const struct cert *cert,
		     const struct parsed_cert **out, struct err *e) must_check;

struct parsed_stats {
	uint64_t hits, misses;
	size_t count;
};
/* Counts since it was made. */
void parsed_cache_stats(const struct parsed_cache *c, struct parsed_stats *out);

#endif
