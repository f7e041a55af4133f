/* The process's memory against its limit (SL-09): from 90 % of it on there is no new work, until it
 * is below 80 % again. The sync thread measures, workers read one flag. */
#ifndef CARDEA_PROXY_MEMORY_GUARD_H
#define CARDEA_PROXY_MEMORY_GUARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/core/err.h"

enum {
	MEMORY_TIGHT_PERCENT = 90,
	MEMORY_FREE_PERCENT = 80,
	MEMORY_SAMPLE_MS = 20, /* between measurements: a few microseconds each */
};

struct memory_guard {
	uint64_t limit;	   /* read: bytes; 0: no limit */
	uint64_t resident; /* read: bytes when last measured; thread: sync */
	int file;	   /* private: /proc/self/statm */
	atomic_bool tight; /* thread: any, by memory_guard_is_tight */
};

/* limit 0 opens nothing. */
int memory_guard_init(struct memory_guard *g, uint64_t limit, struct err *e) must_check;
void memory_guard_deinit(struct memory_guard *g);
/* Measures. What cannot be read changes nothing. Thread: sync. True: tight changed. */
bool memory_guard_sample(struct memory_guard *g);
/* What follows from a measurement; memory_guard_sample calls it. */
bool memory_guard_judge(struct memory_guard *g, uint64_t resident);
static inline bool memory_guard_is_tight(struct memory_guard *g)
{
	return atomic_load_explicit(&g->tight, memory_order_relaxed);
}

#endif
