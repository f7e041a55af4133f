/* Cardea's OpenSSL provider for what a handshake is made of, where OpenSSL 3's own way is slow:
 * P-256 and X25519 key exchange (ecdh.h), TLS 1.3 key derivation (tls13_kdf.h), HMAC (hmac.h).
 *
 * It is there for the whole process, in front of OpenSSL's default provider, which does all else.
 */
#ifndef CARDEA_PKI_PROVIDER_H
#define CARDEA_PKI_PROVIDER_H

#include "common/core/err.h"

/* For every SSL_CTX and every fetch without properties from then on, of servers and of clients.
 * Once, before other threads use OpenSSL. A second call does nothing.
 * A client of TLS 1.2 must offer another curve beside P-256 and X25519: libssl counts only those of
 * key types that it knows by name as a reason to speak of curves at all. */
int provider_install(struct err *e) must_check;

#endif
