/* P-256 and X25519 key exchange for TLS (groups secp256r1 and x25519, RFC 8446 4.2.8.2, RFC 8422)
 * as an OpenSSL provider offers it, over OpenSSL's arithmetic: half the time of its own for P-256,
 * four fifths for X25519 (x25519.h).
 *
 * OpenSSL 3 builds the curve anew for the peer's key share and for its own, and proves by a second
 * multiplication, as long as the exchange itself, that the peer's point has the curve's order. The
 * curve is made once here; its cofactor is 1, so that every point on it but infinity has that
 * order (NIST SP 800-56A revision 3, 5.6.2.3.4): being on it is all that is to be checked.
 *
 *     SSL_CTX_new ─▶ capability TLS-GROUP: secp256r1 is done by the key type ECDH_KEY_TYPE,
 *                    x25519 by ECDH_X25519_TYPE
 *     handshake ─▶ key of the peer's share ─▶ key pair of our own, used once ─▶ shared secret
 */
#ifndef CARDEA_PKI_ECDH_H
#define CARDEA_PKI_ECDH_H

#include <openssl/core_dispatch.h>

#define ECDH_KEY_TYPE "Cardea-P-256"
#define ECDH_X25519_TYPE "Cardea-X25519"

/* What the functions get as the provider's context. NULL: OpenSSL refuses, or no memory. */
struct ecdh_curve *ecdh_curve_new(void);
void ecdh_curve_free(struct ecdh_curve *c);

extern const OSSL_DISPATCH ecdh_key_functions[], ecdh_x25519_key_functions[];
extern const OSSL_DISPATCH ecdh_exchange_functions[]; /* of both */
/* Tells of the groups, under all names that OpenSSL has for them; as the capability "TLS-GROUP".
 * Without x25519_use it is P-256 alone. */
int ecdh_offer(OSSL_CALLBACK *take, void *arg);

#endif
