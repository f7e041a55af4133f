/* Checked state machines: the allowed moves are a table, and moving anywhere else is our bug.
 *
 * A machine is an enum (0..n-1, n <= 32), a table of struct sm_state indexed by it, and one
 * function x_move that is the only writer of the state; x_move calls sm_move. Moves are traced at
 * debug level. Thread: the owner of the object.
 */
#ifndef CARDEA_CORE_SM_H
#define CARDEA_CORE_SM_H

#include <stdbool.h>
#include <stdint.h>

#include "common/core/log.h"

#define SM_TO(state) (1U << (state))

struct sm_state {
	const char *name;
	uint32_t to; /* bit set of SM_TO(next) */
};

struct sm {
	const char *name; /* "order" */
	const struct sm_state *states;
	unsigned count;
};

/* Whether the table allows the move. from and to may be any number; those outside the table are
 * refused. */
static inline bool sm_allows(const struct sm *sm, unsigned from, unsigned to)
{
	/* The bound is a shift's, for checkers that do not see that `to` is in the table. */
	return from < sm->count && to < sm->count && (sm->states[from].to & SM_TO(to & 31U)) != 0;
}
/* What sm_move does with a move that is forbidden, or to be traced. */
void sm_tell(const struct sm *sm, unsigned from, unsigned to, const char *id);
/* Asserts that the table allows from -> to, traces it with the object's id (may be NULL), and
 * returns `to`. Inline: each request moves some 25 times. */
static inline unsigned sm_move(const struct sm *sm, unsigned from, unsigned to, const char *id)
{
	if (!sm_allows(sm, from, to) || log_enabled(LOG_DEBUG))
		sm_tell(sm, from, to, id);
	return to;
}
const char *sm_name(const struct sm *sm, unsigned state);

#endif
