/* What happens to orders, told to the operator's webhook: each is a row, written in the transaction
 * that it is about, posted by whichever control plane takes it first, and gone when it was taken
 * with 2xx. A body is {"id","at","event","host","hosts","order","state",...}; X-Cardea-Signature
 * has "t=SECONDS,v1=HEX", HMAC-SHA256 with the secret over "SECONDS.BODY". One may come twice (the
 * answer was lost), and not in order: its id says so. owner: the ACME engine, thread: the loop. */
#ifndef CARDEA_ACME_NOTICES_H
#define CARDEA_ACME_NOTICES_H

#include "common/core/err.h"
#include "common/core/str.h"
#include "control-plane/store/store.h"

struct acme;
struct order;

enum notice {
	NOTICE_ISSUED, /* the first certificate of its names */
	NOTICE_RENEWED,
	NOTICE_FAILING,	 /* the first failure, and when it is not tried any more */
	NOTICE_EXPIRING, /* what is served ends soon, and its renewal is not done */
	NOTICE_PAUSED,	 /* by the authority, until its owner unpauses it there */
	NOTICES,
};
const char *notice_name(enum notice n);

/* Adds it to the transaction, behind what stores the order; nothing without a webhook. */
void notice_in(struct txn *t, const struct order *o, enum notice n);
/* The header's value for a body. */
int notice_sign(struct buf *out, struct str secret, int64_t at_s, struct str body,
		struct err *e) must_check;
/* Posts what is due, a few at a time. */
void notices_tick(struct acme *a);
/* Forgets what is under way: it is due again later. */
void notices_close(struct acme *a);

#endif
