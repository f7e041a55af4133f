/* Certificates and keys of the common kinds (RSA; EC on P-256, P-384 and P-521) without OpenSSL's
 * search through its decoders, which takes a tenth of a millisecond for each key and a lock that
 * threads wait for. A hundred thousand certificates of an import come this way.
 *
 * Every function says no (NULL, false) rather than why: then the general way (cert.h, key.h) is
 * gone, which also finds the reason. What is taken here, it takes too. OpenSSL's error queue is
 * empty afterwards. Thread: any.
 */
#ifndef CARDEA_PKI_DIRECT_H
#define CARDEA_PKI_DIRECT_H

#include <openssl/x509.h>
#include <stdbool.h>

#include "common/core/str.h"

/* A certificate whose fields can be read, but whose public key cannot (direct_public does) and of
 * which OpenSSL makes no digest. The caller frees it. */
X509 *direct_cert(struct str der);
/* Its public key. The caller frees it. */
EVP_PKEY *direct_public(X509 *cert);
/* A new key on one of the curves, by its NID. The caller frees it. */
EVP_PKEY *direct_new_key(int nid);
/* A private key out of a PEM block with this label. The caller frees it. */
EVP_PKEY *direct_private(struct str label, struct str der);
/* Whether the private key is that of the public one. Numbers only: an RSA key's private half is not
 * looked at. */
bool direct_same(EVP_PKEY *public_key, EVP_PKEY *private_key);
/* Whether issuer, whose public key is issuer_key, issued and signed cert, which was parsed from
 * der.
 */
bool direct_issued(X509 *issuer, EVP_PKEY *issuer_key, X509 *cert, struct str der);

#endif
