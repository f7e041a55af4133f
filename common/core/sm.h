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
bool sm_allows(const struct sm *sm, unsigned from, unsigned to);
/* Asserts that the table allows from -> to, traces it with the object's id (may be NULL), and
 * returns `to`. */
unsigned sm_move(const struct sm *sm, unsigned from, unsigned to, const char *id);
const char *sm_name(const struct sm *sm, unsigned state);

#endif
