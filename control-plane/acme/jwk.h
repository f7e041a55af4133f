/* Private keys as operators give them: PEM, or a JSON Web Key (RFC 7517) of EC P-256, P-384 or RSA.
 * Pure. Thread: any. */
#ifndef CARDEA_ACME_JWK_H
#define CARDEA_ACME_JWK_H

#include <openssl/evp.h>

#include "common/core/err.h"
#include "common/core/str.h"

/* ERR_INVALID: what is wrong, without any of the key's bytes. */
int jwk_key(EVP_PKEY **out, struct str json, struct err *e) must_check;
/* A text that begins with "{" is a JWK, any other PEM. The key must be one that accounts may have:
 * P-256, P-384, or RSA from 2048 bits. */
int jwk_or_pem_key(EVP_PKEY **out, struct str text, struct err *e) must_check;

#endif
