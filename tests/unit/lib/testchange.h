/* Encoded Change messages for tests, written by hand. Ids are one byte repeated; out
 * is cleared first. */
#ifndef CARDEA_TESTS_TESTCHANGE_H
#define CARDEA_TESTS_TESTCHANGE_H

#include <openssl/x509.h>
#include <stdint.h>

#include "common/core/str.h"

struct testpair {
	struct str leaf, key; /* DER */
	const struct str *chain;
	size_t chain_count;
};

struct str testchange_certificate(struct buf *out, unsigned id, const struct testpair *pairs,
				  size_t n);
struct str testchange_sni(struct buf *out, unsigned id, const char *name, unsigned certificate_id);
struct str testchange_challenge(struct buf *out, unsigned id, const char *host, const char *token,
				const char *key_authorization);
struct str testchange_ticket(struct buf *out, unsigned id, unsigned secret, int64_t not_before);
struct str testchange_removed(struct buf *out, unsigned id, const char *kind);
struct str testchange_held(struct buf *out, unsigned id, const char *kind);

/* DER of a certificate and of a key as PKCS#8, appended to out. */
struct str testder_cert(struct buf *out, X509 *cert);
struct str testder_key(struct buf *out, EVP_PKEY *key);

#endif
