/* ECDSA P-256 certificates for OpenSSL, made out of packed DER in microseconds.
 *
 * OpenSSL decodes the public key of each certificate that it parses, and each private key, by a
 * search through all decoders of the library context: half a millisecond in 3.0, more than the rest
 * of the handshake. So these certificates are parsed in a library context of their own, whose only
 * provider (signer_provider.h) knows these keys and makes signatures with them: the one call "sign
 * this for that certificate".
 *
 * owner and thread: one at a time; what it has loaded belongs to that thread too.
 */
#ifndef CARDEA_PKI_SIGNER_H
#define CARDEA_PKI_SIGNER_H

#include <openssl/x509.h>

#include "common/core/err.h"
#include "common/core/str.h"

struct signer;

/* Makes the library context: milliseconds, once per thread. */
int signer_create(struct signer **out, struct err *e) must_check;
/* NULL is fine. What it has loaded must be gone. */
void signer_free(struct signer *s);

/* Whether the key (PKCS#8) is one for signer_load. Pure. */
bool signer_takes(struct str key);
/* The leaf, and its key, which is good for signatures only. The caller frees both. ERR_INVALID: the
 * leaf does not parse, or is not for this key. OpenSSL's error queue is empty afterwards. */
int signer_load(struct signer *s, struct str leaf, struct str key, X509 **cert, EVP_PKEY **pkey,
		struct err *e) must_check;

/* What cert_pair_check_der checks, for a key that signer_takes: everything parses, the leaf is for
 * the key. ERR_INVALID says what not. */
int signer_check(struct signer *s, struct str leaf, const struct str *chain, size_t chain_count,
		 struct str key, struct err *e) must_check;

#endif
