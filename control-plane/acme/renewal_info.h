/* What a CA says about when to renew a certificate (RFC 9773): names, documents, arithmetic. Chance
 * comes in as a number in [0, 1). Pure. Thread: any. */
#ifndef CARDEA_ACME_RENEWAL_INFO_H
#define CARDEA_ACME_RENEWAL_INFO_H

#include <openssl/x509.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/core/str.h"

enum { RENEWAL_ID_SIZE = 128, RENEWAL_EXPLANATION_SIZE = 512 };

/* Section 4.1: base64url of the authority key identifier, a dot, base64url of the serial number.
 * ERR_INVALID: it has no such identifier, or one that is too long. */
int renewal_id(char out[RENEWAL_ID_SIZE], X509 *leaf, struct err *e) must_check;

struct renewal_window {
	int64_t start_s, end_s;			    /* seconds since 1970 */
	char explanation[RENEWAL_EXPLANATION_SIZE]; /* https URL; "": none */
};
/* Section 4.2. ERR_INVALID: no window, or one that ends before it starts. */
int renewal_read(struct renewal_window *out, struct str body, struct err *e) must_check;

struct renewal_life {
	int64_t not_before_s, not_after_s;
};
enum { RENEWAL_NO_OPINION = -1 };
/* When to renew, in milliseconds since 1970: at random in the window, at once when it is over, and
 * never so late that less than a twentieth of the lifetime is left. RENEWAL_NO_OPINION: the window
 * holds the whole lifetime, and so says nothing. */
int64_t renewal_when_ms(const struct renewal_window *w, const struct renewal_life *l, int64_t now_s,
			double chance);
/* When to ask again, in milliseconds from now: Retry-After between a minute and a day (section
 * 4.3.2), six hours without one; but ten times in a lifetime at least, if that is short. */
int64_t renewal_poll_ms(int64_t retry_after_ms, const struct renewal_life *l);

#endif
