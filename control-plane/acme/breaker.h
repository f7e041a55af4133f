/* The circuit breaker of one CA on this control plane: when the CA itself is in trouble (it cannot
 * be reached, answers 5xx, or turns everybody away), it is left alone for a growing time, so that
 * orders neither burn their attempts nor keep it down.
 *
 *    CLOSED --(BREAKER_THRESHOLD failures in a row)--> OPEN --(its time is over)--> HALF_OPEN
 *      ^                                                ^                              |
 *      |                                                `---------- a failure ---------|
 *      `------------------------------------------------------------ a success --------'
 *
 * Arithmetic only: time (monotonic) and chance come in. Thread: the owner. */
#ifndef CARDEA_ACME_BREAKER_H
#define CARDEA_ACME_BREAKER_H

#include <stdint.h>

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN, BREAKER_STATES };

enum { BREAKER_THRESHOLD = 5 };

struct breaker {
	enum breaker_state state; /* read by breaker_state */
	unsigned failures;	  /* in a row; read */
	unsigned opened;	  /* times in a row; private */
	uint64_t until_ns;	  /* OPEN: until then; read */
	uint64_t since_ns;	  /* OPEN or HALF_OPEN: out of use since then; 0: it is not */
};

/* The state at that time: an OPEN one whose time is over has become HALF_OPEN. */
enum breaker_state breaker_state(struct breaker *b, uint64_t now_ns);
const char *breaker_state_name(enum breaker_state s);
/* The CA answered as one that works, whatever it said. */
void breaker_success(struct breaker *b);
/* retry_after_ms < 0: the CA did not say; else it is at least that long. by_chance in [0, 1)
 * spreads control planes over the last fifth of the time. */
void breaker_failure(struct breaker *b, uint64_t now_ns, int64_t retry_after_ms, double by_chance);

#endif
