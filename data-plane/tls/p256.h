/* A P-256 leaf and its key out of DER without OpenSSL's generic decoders, for the cold path of a
 * handshake. Measured with OpenSSL 3.0: 50 us instead of 255 us for leaf, key and first signature
 * (the handshake's other work is about 400 us on that machine).
 *
 * What makes it cheap: a PKCS#8 P-256 key has one shape, so that the numbers are at fixed places;
 * and the leaf is parsed in a library context that has no decoders, so that its public key stays
 * bytes, and is then given the key that was just made. The leaf is encoded again and must be the
 * same bytes; everything that is not of this shape is left to the general way.
 * owner and thread: the worker.
 */
#ifndef CARDEA_TLS_P256_H
#define CARDEA_TLS_P256_H

#include <openssl/x509.h>
#include <stdbool.h>

#include "common/core/err.h"
#include "common/core/str.h"

struct p256;

/* Makes the library context: milliseconds, once per worker. */
int p256_create(struct p256 **out, struct err *e) must_check;
/* NULL is fine. No certificate that it parsed may be left. */
void p256_free(struct p256 *p);
/* false: not of this shape, or the key is not the leaf's; nothing was written then. The caller
 * frees both. */
bool p256_parse(const struct p256 *p, struct str leaf, struct str key, X509 **cert,
		EVP_PKEY **pkey);

#endif
