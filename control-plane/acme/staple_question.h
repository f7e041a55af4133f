/* One question to a responder about one leaf, and what comes of it: whom to ask, how, what the
 * answer says, and when to ask again. Pure. Thread: any. */
#ifndef CARDEA_ACME_STAPLE_QUESTION_H
#define CARDEA_ACME_STAPLE_QUESTION_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/core/str.h"
#include "common/pki/staple.h"

enum staple_result {
	STAPLE_RESULT_GOOD,
	STAPLE_RESULT_REVOKED,
	STAPLE_RESULT_UNKNOWN,	   /* the responder does not know the certificate */
	STAPLE_RESULT_REFUSED,	   /* the responder says tryLater, unauthorized, ... */
	STAPLE_RESULT_INVALID,	   /* no response, out of date, another's, a wrong signature */
	STAPLE_RESULT_DENIED,	   /* the responder's address may not be asked */
	STAPLE_RESULT_UNREACHABLE, /* nothing, or not in time */
	STAPLE_RESULT_STATUS,	   /* HTTP says other than 200 */
	STAPLE_RESULT_TOO_LONG,	   /* more than STAPLE_MAX bytes */
	STAPLE_RESULTS,
};
/* "good", "revoked", ...: for metrics. */
const char *staple_result_name(enum staple_result r);

struct staple_question {
	X509 *leaf, *issuer; /* issuer NULL: the chain has none */
	char *responder;     /* NULL: it names none */
	bool demanded;	     /* it must not be served without a response */
	struct buf request;  /* DER */
	struct buf url;	     /* what is fetched */
	bool post;	     /* the request as body; else it is in the URL */
	int64_t from, until; /* of the stored response; both 0: none that is in force */
};

/* Of chain PEM and the stored response (base64, absent: none). Without somebody to ask, request
 * and url are empty. Free it also after a failure. */
int staple_question_make(struct staple_question *q, struct str pem, struct str stored,
			 struct err *e) must_check;
void staple_question_free(struct staple_question *q);

/* What an HTTP exchange came to: failed is of the fetch, kind ERR_NONE: an answer came. a is set
 * with GOOD, REVOKED and UNKNOWN; otherwise e says why not. */
struct staple_reply {
	const struct err *failed;
	unsigned status;
	struct str body;
};
enum staple_result staple_question_judge(const struct staple_question *q,
					 const struct staple_reply *r, struct staple_answer *a,
					 struct err *e);

/* When a response is to be asked for anew, in seconds since 1970: when half of its time is over,
 * or, if that was before, half of what is left; later by chance (a number in [0, 1)), and never
 * sooner than in a minute. */
int64_t staple_refresh_s(int64_t from, int64_t until, int64_t now, double chance);
/* How long to wait after so many failures in a row: a minute, and twice as long each time, up to an
 * hour; at least what the responder asked for (Retry-After; RETRY_AFTER_NONE: nothing) up to a day.
 */
uint64_t staple_retry_ms(unsigned failures, int64_t retry_after_ms, double chance);

#endif
