/* OCSP responses that a server sends along with its certificate (RFC 6960, RFC 6066 section 8).
 * Thread: any. */
#ifndef CARDEA_PKI_STAPLE_H
#define CARDEA_PKI_STAPLE_H

#include <openssl/x509.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/core/str.h"

enum { STAPLE_MAX = 16 << 10 }; /* bytes of one */

/* Whether the DER is a responder's word that this leaf is good: about nothing else, with a time at
 * which it ends, and, when the issuer is known (NULL: not), signed by it or by whom it says signs
 * for it. Dates are not compared with the clock: one that has ended is right, and is not sent. */
int staple_check(struct str der, X509 *leaf, X509 *issuer, struct err *e) must_check;
/* From when (inclusive) to when (exclusive) it may be sent, seconds since 1970. */
int staple_span(struct str der, int64_t *from, int64_t *until, struct err *e) must_check;

#endif
