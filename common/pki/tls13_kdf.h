/* TLS 1.3's key derivation (RFC 8446 7.1) as an OpenSSL provider offers it: "TLS13-KDF".
 *
 *     expand:  HKDF-Expand-Label(key, prefix label, data, length)
 *     extract: HKDF-Extract(salt ? HKDF-Expand-Label(salt, prefix label, hash of nothing) : 0, key)
 *
 * For libssl, which gives all parameters with the derivation; they cannot be set before.
 * SHA-256 and SHA-384, which is all that TLS 1.3 knows. Thread: any.
 */
#ifndef CARDEA_PKI_TLS13_KDF_H
#define CARDEA_PKI_TLS13_KDF_H

#include <openssl/core_dispatch.h>

extern const OSSL_DISPATCH tls13_kdf_functions[];

#endif
