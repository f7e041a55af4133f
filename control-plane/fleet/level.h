/* The log level of this process, changed for a while: by this control plane's admin API, or by
 * another's through a notification. Thread: the loop. */
#ifndef CARDEA_FLEET_LEVEL_H
#define CARDEA_FLEET_LEVEL_H

#include <stdint.h>

#include "common/core/log.h"
#include "common/core/str.h"

/* Longer changes are for good. */
enum { LEVEL_SECONDS_MAX = 366 * 86400 };

struct level {
	enum log_level before; /* private, as all */
	uint64_t until_ms;     /* monotonic; 0: nothing is to be put back */
};

/* From now on this level; after so many seconds what was in force before the first of several
 * changes. 0: for good. */
void level_set(struct level *v, enum log_level level, uint64_t seconds, uint64_t now_ms);
/* Puts the level back when its time is over. */
void level_tick(struct level *v, uint64_t now_ms);
/* What tells other control planes: {"cp","log_level","seconds"}. Appends. */
int level_notice(struct buf *out, const char *self, enum log_level level, uint64_t seconds,
		 struct err *e) must_check;
/* Does what a notice of another control plane says; any other text is ignored. */
void level_notified(struct level *v, const char *self, const char *payload, uint64_t now_ms);

#endif
