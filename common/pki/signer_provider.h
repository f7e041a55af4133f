/* The OpenSSL provider behind pki/signer.h: a decoder that recognises the public key of a P-256
 * certificate, a key manager that keeps a private scalar with it, and ECDSA.
 *
 *     d2i_X509 ─▶ decoder: SubjectPublicKeyInfo of P-256 ─▶ key without scalar
 *     EVP_PKEY_set_octet_string_param("priv") ─▶ key with scalar
 *     EVP_DigestSign (in libssl) ─▶ sign
 */
#ifndef CARDEA_PKI_SIGNER_PROVIDER_H
#define CARDEA_PKI_SIGNER_PROVIDER_H

#include <openssl/core.h>

enum { SIGNER_SCALAR_SIZE = 32 };

/* For OSSL_PROVIDER_add_builtin. */
OSSL_provider_init_fn signer_provider_init;

#endif
