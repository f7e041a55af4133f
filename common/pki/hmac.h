/* HMAC (RFC 2104) with SHA-256 and SHA-384, on a struct that is copied, started again and thrown
 * away freely: what TLS derives its keys with, some twenty times a handshake. OpenSSL's own needs
 * five allocations, a look-up by name and a kilobyte to be cleansed for each.
 *
 *     hmac_set_key ─▶ hmac_add ... ─▶ hmac_end ─▶ hmac_start ─▶ hmac_add ...
 */
#ifndef CARDEA_PKI_HMAC_H
#define CARDEA_PKI_HMAC_H

#include <openssl/core_dispatch.h>
#include <openssl/sha.h>

#include "common/core/str.h"

enum { HMAC_SIZE_MAX = SHA384_DIGEST_LENGTH, HMAC_BLOCK_MAX = SHA512_CBLOCK };

union sha2_state {
	SHA256_CTX s256;
	SHA512_CTX s512;
};

/* One of two constants. */
struct sha2 {
	const char *name; /* OpenSSL's */
	size_t size, block;
	/* Private. */
	void (*init)(union sha2_state *s);
	void (*add)(union sha2_state *s, const void *bytes, size_t len);
	void (*end)(union sha2_state *s, unsigned char *out);
};

/* By any of OpenSSL's names in words; NULL: another digest. */
const struct sha2 *sha2_by_name(const char *name);
void sha2_digest(const struct sha2 *d, struct str bytes, unsigned char *out);

/* Private. Secret: whoever has one cleanses it. */
struct hmac {
	const struct sha2 *digest;
	union sha2_state inner, outer; /* after the key's block */
	union sha2_state running;
};

/* Of any length. Starts too. */
void hmac_set_key(struct hmac *h, const struct sha2 *d, struct str key);
void hmac_start(struct hmac *h);
void hmac_add(struct hmac *h, struct str bytes);
/* out: digest->size bytes. hmac_start must come next, or another key. */
void hmac_end(struct hmac *h, unsigned char *out);

/* "HMAC" of an OpenSSL provider. Other digests, and the constant-time MAC of CBC records in TLS,
 * are handed on to OpenSSL's default provider. */
extern const OSSL_DISPATCH hmac_functions[];

#endif
