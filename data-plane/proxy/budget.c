#include "data-plane/proxy/budget.h"

enum { RETRY = 100 };

static unsigned *slot(struct retry_budget *b, struct str upstream)
{
	unsigned h = 2166136261U; /* FNV-1a */

	for (size_t i = 0; i < upstream.len; i++)
		h = (h ^ (unsigned char)upstream.ptr[i]) * 16777619U;
	return &b->used[h % BUDGET_SLOTS];
}

void budget_request(struct retry_budget *b, struct str upstream)
{
	unsigned *used = slot(b, upstream);

	*used -= *used < BUDGET_PERCENT ? *used : BUDGET_PERCENT;
}

bool budget_retry(struct retry_budget *b, struct str upstream)
{
	unsigned *used = slot(b, upstream);

	if (*used + RETRY > BUDGET_BURST * RETRY)
		return false;
	*used += RETRY;
	return true;
}
