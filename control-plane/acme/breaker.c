#include "control-plane/acme/breaker.h"

#include "common/core/sm.h"

enum { OPEN_FIRST_MS = 5000, OPEN_MAX_MS = 300000 };
static const double jitter_share = 0.2;

static const struct sm_state states[BREAKER_STATES] = {
	[BREAKER_CLOSED] = {"closed", SM_TO(BREAKER_OPEN)},
	[BREAKER_OPEN] = {"open", SM_TO(BREAKER_HALF_OPEN)},
	[BREAKER_HALF_OPEN] = {"half-open", SM_TO(BREAKER_OPEN) | SM_TO(BREAKER_CLOSED)},
};
static const struct sm breaker_sm = {"breaker", states, BREAKER_STATES};

static void breaker_move(struct breaker *b, enum breaker_state to)
{
	b->state = (enum breaker_state)sm_move(&breaker_sm, b->state, to, NULL);
}

const char *breaker_state_name(enum breaker_state s)
{
	return sm_name(&breaker_sm, s);
}

enum breaker_state breaker_state(struct breaker *b, uint64_t now_ns)
{
	if (b->state == BREAKER_OPEN && now_ns >= b->until_ns)
		breaker_move(b, BREAKER_HALF_OPEN);
	return b->state;
}

void breaker_success(struct breaker *b)
{
	/* What was asked before it opened may still be answered; only a probe closes it. */
	if (b->state == BREAKER_OPEN)
		return;
	if (b->state == BREAKER_HALF_OPEN)
		breaker_move(b, BREAKER_CLOSED);
	b->failures = b->opened = 0;
	b->until_ns = b->since_ns = 0;
}

static uint64_t open_ms(unsigned opened)
{
	uint64_t ms = OPEN_FIRST_MS;

	for (unsigned i = 1; i < opened && ms < OPEN_MAX_MS; i++)
		ms *= 2;
	return ms < OPEN_MAX_MS ? ms : OPEN_MAX_MS;
}

void breaker_failure(struct breaker *b, uint64_t now_ns, int64_t retry_after_ms, double by_chance)
{
	enum breaker_state state = breaker_state(b, now_ns);
	uint64_t ms;

	b->failures++;
	if (state == BREAKER_OPEN || (state == BREAKER_CLOSED && b->failures < BREAKER_THRESHOLD))
		return;
	b->opened++;
	ms = open_ms(b->opened);
	ms -= (uint64_t)((double)ms * jitter_share * by_chance);
	if (retry_after_ms > (int64_t)ms)
		ms = (uint64_t)retry_after_ms;
	if (state == BREAKER_CLOSED)
		b->since_ns = now_ns;
	breaker_move(b, BREAKER_OPEN);
	b->until_ns = now_ns + ms * UINT64_C(1000000);
}
