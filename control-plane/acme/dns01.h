/* dns-01 (RFC 8555 section 8.4): records that are set, waited for, and taken away again.
 *
 * Each is a row of acme_dns_records, made in the transaction in which its order begins to publish,
 * and with the id that the order's authorization has as challenge_id. So it is known what is in
 * DNS, whoever set it:
 *
 *    row --> place found, stored --> set --> shown everywhere --> (the authority is told)
 *     `----------`--------------------`-----------`--> no order has it any more: removed --> no row
 *
 * The last arrow is the sweep's, which any control plane does: after success as after every kind of
 * failure, also when whoever set it was killed meanwhile. A row says until when it may still be
 * being set, so that it is not removed before.
 *
 * owner: the ACME engine, thread: the loop; what blocks runs on the pool, acme_dns_concurrency at a
 * time. */
#ifndef CARDEA_ACME_DNS01_H
#define CARDEA_ACME_DNS01_H

#include <stdbool.h>

#include "common/core/err.h"
#include "common/core/str.h"

struct acme;
struct order;
struct dns01_job;

enum { DNS01_VALUE_SIZE = 44 }; /* base64url of 32 bytes, and the NUL */
enum { DNS01_NAME_SIZE = 280 };

enum dns01_result {
	DNS01_SET,
	DNS01_NOT_SET,
	DNS01_SHOWN,
	DNS01_NOT_SHOWN,
	DNS01_REMOVED,
	DNS01_NOT_REMOVED,
	DNS01_GIVEN_UP,
	DNS01_RESULTS,
};

/* What the record says for a key authorization. */
int dns01_value(char out[DNS01_VALUE_SIZE], struct str key_authorization, struct err *e) must_check;
/* The record's name for an identifier, of a wildcard for what is behind "*.". */
void dns01_name(char out[DNS01_NAME_SIZE], struct str identifier);

/* Whether it is configured. */
bool dns01_given(const struct acme *a);
/* Counters; nothing without metrics. */
int dns01_metrics(struct acme *a, struct err *e) must_check;
/* Sets the records of the order's rows and waits until they are shown; then(o), later, or
 * order_trouble: "dns", "propagation". */
void dns01_begin(struct order *o, void (*then)(struct order *o));
/* The order's run is over: nothing calls back into it. NULL is fine. */
void dns01_forget(struct dns01_job *j);
/* Removes what no order has any more, a few at a time. Once a second. */
void dns01_sweep(struct acme *a);
void dns01_close(struct acme *a);

#endif
