/* When to try again and when to renew: arithmetic only. Chance comes in as a number in [0, 1), so
 * that tests choose it. Thread: any. */
#ifndef CARDEA_ACME_BACKOFF_H
#define CARDEA_ACME_BACKOFF_H

#include <stdint.h>

#include "common/core/err.h"
#include "common/core/str.h"

enum { RETRY_AFTER_NONE = -1 };

struct backoff {
	uint64_t base_ms;
	uint64_t cap_ms;
	unsigned factor;
};

/* Full jitter: chance * min(cap, base * factor^(attempt - 1)), at least BACKOFF_FLOOR_MS. attempt
 * counts from 1. */
enum { BACKOFF_FLOOR_MS = 100 };
uint64_t backoff_ms(const struct backoff *b, unsigned attempt, double chance);

/* Delay before the poll number n (from 0) of a CA's resource: doubles from 10 ms to 5 s. A
 * Retry-After is a hint here: it is followed up to 15 s (some CAs say a day). */
uint64_t backoff_poll_ms(unsigned n, int64_t retry_after_ms);

/* Retry-After of RFC 9110 section 10.2.3, delta-seconds or HTTP-date, as milliseconds from now_s
 * on; a date in the past is 0; more than 30 days is cut. */
int retry_after_parse(struct str text, int64_t now_s, int64_t *ms, struct err *e) must_check;

/* When to renew, in milliseconds since 1970: when `fraction` of the lifetime is left, earlier by up
 * to a tenth of that, by chance. Works for a lifetime of a minute as for 90 days. */
int64_t renewal_time_ms(int64_t not_before_s, int64_t not_after_s, double fraction, double chance);

/* The least time from now to a certificate's renewal: a tenth of its lifetime, but not more than
 * half of what is left. So a CA, or clocks that disagree, whose certificates come late in their
 * life do not make a new order at once, again and again. */
int64_t renewal_pause_ms(int64_t not_before_s, int64_t not_after_s, int64_t now_s);

/* A random number in [0, 1). */
double chance(void);

#endif
