/* X25519 (RFC 7748) as OpenSSL's default provider does it, asked without the layers in between.
 *
 * A public key is made here by the same multiplication as a shared secret, of the base point:
 * OpenSSL has a way of its own for that which takes half as long again where the multiplication is
 * in assembly, and goes through it whenever it makes a key.
 */
#ifndef CARDEA_PKI_X25519_H
#define CARDEA_PKI_X25519_H

#include <openssl/provider.h>
#include <stdbool.h>

#include "common/core/compiler.h"

enum { X25519_SIZE = 32 }; /* of scalars, points (u) and secrets */

/* Takes the functions of a loaded provider, once, before other threads call. It stays loaded until
 * x25519_release. false: it has none. */
bool x25519_use(OSSL_PROVIDER *provider) must_check;
/* After this nothing here is there any more. Safe without x25519_use. */
void x25519_release(void);
bool x25519_is_there(void);

/* A new scalar and its point. false: no memory, or no randomness. Thread: any. */
bool x25519_pair(unsigned char scalar[X25519_SIZE], unsigned char point[X25519_SIZE]) must_check;
/* scalar * point. false: no memory, or the product is zero, as that of a point of small order is
 * (RFC 7748 section 6.1). Thread: any. */
bool x25519_multiply(unsigned char out[X25519_SIZE], const unsigned char scalar[X25519_SIZE],
		     const unsigned char point[X25519_SIZE]) must_check;

#endif
