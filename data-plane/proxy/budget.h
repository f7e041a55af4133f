/* How many requests may be sent again: a share of those that are sent at all, for each upstream, so
 * that retries of a broken one do not become a storm (reliability-goals UP-10). Upstreams are told
 * apart by a hash: two may share a budget. owner and thread: the worker. */
#ifndef CARDEA_PROXY_BUDGET_H
#define CARDEA_PROXY_BUDGET_H

#include <stdbool.h>

#include "common/core/str.h"

enum {
	BUDGET_SLOTS = 256,
	BUDGET_PERCENT = 20,
	BUDGET_BURST = 20, /* retries that a quiet upstream may see at once */
};

struct retry_budget {
	/* private: hundredths of a retry that were used up; 0 is a full budget */
	unsigned used[BUDGET_SLOTS];
};

/* Counts a request. */
void budget_request(struct retry_budget *b, struct str upstream);
/* Whether one more retry is within the budget; takes it then. */
bool budget_retry(struct retry_budget *b, struct str upstream);

#endif
