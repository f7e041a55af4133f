/* OCSP responses that a server sends along with its certificate (RFC 6960, RFC 6066 section 8).
 * Thread: any. */
#ifndef CARDEA_PKI_STAPLE_H
#define CARDEA_PKI_STAPLE_H

#include <openssl/x509.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/core/str.h"

enum {
	STAPLE_MAX = 16 << 10, /* bytes of one */
	STAPLE_SKEW_S = 300,   /* by which a responder's clock may be ahead */
};

/* Whether the DER is a responder's word that this leaf is good: about nothing else, with a time at
 * which it ends, and, when the issuer is known (NULL: not), signed by it or by whom it says signs
 * for it. Dates are not compared with the clock: one that has ended is right, and is not sent. */
int staple_check(struct str der, X509 *leaf, X509 *issuer, struct err *e) must_check;
/* From when (inclusive) to when (exclusive) it may be sent, seconds since 1970. */
int staple_span(struct str der, int64_t *from, int64_t *until, struct err *e) must_check;

enum staple_status { STAPLE_GOOD, STAPLE_REVOKED, STAPLE_UNKNOWN };
struct staple_answer {
	int refused; /* OCSP_RESPONSE_STATUS_...: the responder gave no answer (RFC 6960 section
			4.2.1), and staple_read failed; 0: it did */
	enum staple_status status;
	int64_t from, until; /* as in staple_span */
	int64_t revoked_at;  /* 0: it does not say, or is not */
	int reason;	     /* CRLReason; -1: it does not say, or is not */
};
/* What a responder says about a leaf, now: an answer that is about it, in force, and signed by the
 * issuer or by whom the issuer charged with it. */
int staple_read(struct str der, X509 *leaf, X509 *issuer, struct staple_answer *out,
		struct err *e) must_check;

#endif
