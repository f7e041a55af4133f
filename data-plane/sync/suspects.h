/* Which entities this process died of (reliability-goals FL-05): what was applied in the last ten
 * seconds is noted in a file that is mapped into memory, so that noting costs no system call and
 * outlives a crash.
 *
 *     noted ──▶ 10 s of health ──▶ forgotten
 *       │ crash                           ▲
 *       ▼                                 │
 *     on trial (the first start with it) ─┘
 *       │ crash: the newest of them, or the newer half of more than SUSPECTS_FEW; others go on
 * trial ▼ refused: skipped in the cache, nacked on the stream, until the entity changes
 *
 * A crash is a fatal signal that this process raised or got (SEGV, BUS, ILL, FPE, ABRT). An end
 * without one (TERM, KILL, power) says nothing of what was applied. Entities beyond SUSPECTS_MAX in
 * ten seconds are not noted. owner: the daemon, thread: sync.
 */
#ifndef CARDEA_SYNC_SUSPECTS_H
#define CARDEA_SYNC_SUSPECTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/core/str.h"

enum { SUSPECTS_MAX = 1024, SUSPECTS_FEW = 16, SUSPECTS_TRIAL_MS = 10000, SUSPECTS_ID_SIZE = 16 };

struct suspects;

/* folder/suspects is made when absent, and anew when it is no such file. Catches fatal signals from
 * now on; one at a time per process. */
int suspects_open(struct suspects **out, const char *folder, uint64_t now_ms,
		  struct err *e) must_check;
/* An orderly end: what was not refused is forgotten. NULL is fine. */
void suspects_close(struct suspects *s);

/* Whether these very bytes are refused. Costs nothing while there are none. */
bool suspects_refuses(const struct suspects *s, unsigned kind,
		      const unsigned char id[SUSPECTS_ID_SIZE], struct str encoded);
/* About to be applied: noted. Another version of a refused entity takes its place. */
void suspects_note(struct suspects *s, unsigned kind, const unsigned char id[SUSPECTS_ID_SIZE],
		   struct str encoded, uint64_t now_ms);
/* A control plane holds it back: it knows. */
void suspects_told(struct suspects *s, unsigned kind, const unsigned char id[SUSPECTS_ID_SIZE]);
/* A stream begins: what no control plane knows of is to be told on it. */
void suspects_restart(struct suspects *s);
/* The next that is refused and was neither held back nor returned on this stream. */
bool suspects_next(struct suspects *s, unsigned *kind, unsigned char id[SUSPECTS_ID_SIZE]);
/* Now and then: forgets what is healthy. */
void suspects_tick(struct suspects *s, uint64_t now_ms);
/* How many are refused, and how many are not but noted. */
size_t suspects_refused(const struct suspects *s);
size_t suspects_on_trial(const struct suspects *s);

#endif
