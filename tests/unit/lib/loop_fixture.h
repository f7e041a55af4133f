/* A loop for tests, with a deadline instead of a hang.
 *
 *     struct loop_fixture f;
 *     fixture_init(&f);
 *     ... start things on &f.loop ...
 *     run_until(&f, done == 2);
 *     fixture_deinit(&f);       (asserts that nothing was left open)
 */
#ifndef CARDEA_TESTS_LOOP_FIXTURE_H
#define CARDEA_TESTS_LOOP_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/net/loop.h"

/* A turn in which a timer made the expression true may then sleep until the next event: a tick. */
enum { FIXTURE_DEADLINE_MS = 20 * 1000, FIXTURE_TICK_MS = 20 };

struct loop_fixture {
	struct loop loop;
	struct timer deadline; /* private: ticks */
	uint64_t deadline_ns;  /* private */
	bool expired;	       /* private */
};

void fixture_init(struct loop_fixture *f);
void fixture_deinit(struct loop_fixture *f);
/* (Re)starts the deadline. */
void fixture_start(struct loop_fixture *f);
/* One turn of the loop; the test fails, naming what, when the deadline is over. */
void fixture_turn(struct loop_fixture *f, const char *what, const char *file, int line);
/* n turns that do not wait: for what must not happen. */
void fixture_spin(struct loop_fixture *f, int n);

/* Runs the loop until the expression is true. */
#define run_until(f, expr)                                                                         \
	do {                                                                                       \
		fixture_start(f);                                                                  \
		while (!(expr))                                                                    \
			fixture_turn(f, #expr, __FILE__, __LINE__);                                \
	} while (0)

#endif
