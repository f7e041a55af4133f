/* Monotonic and wall time, both fakeable by tests. Thread: any; faking is for single-threaded
 * tests. */
#ifndef CARDEA_CORE_CLOCK_H
#define CARDEA_CORE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/core/str.h"

/* Nanoseconds since some fixed point; never goes back. For timers, leases held in memory,
 * latencies. */
uint64_t clock_mono_ns(void);
/* Milliseconds since 1970 UTC. For certificate dates and time stamps only. */
int64_t clock_wall_ms(void);
static inline int64_t clock_wall_s(void)
{
	return clock_wall_ms() / 1000;
}

/* From now on both clocks stand still at these values (tests). */
void clock_fake(uint64_t mono_ns, int64_t wall_ms);
/* Moves both faked clocks forward. */
void clock_fake_advance(uint64_t ns);
void clock_fake_end(void);

/* Seconds since 1970 to "2026-11-21T09:33:00Z". out has at least CLOCK_TEXT_SIZE bytes. */
enum { CLOCK_TEXT_SIZE = 32 };
void clock_text(int64_t seconds, char *out, size_t size);
/* An RFC 9110 HTTP-date (IMF-fixdate) to seconds since 1970. */
int clock_parse_http_date(struct str text, int64_t *seconds, struct err *e) must_check;
/* An RFC 3339 time, with Z or offset, fraction dropped, to seconds since 1970. */
int clock_parse_rfc3339(struct str text, int64_t *seconds, struct err *e) must_check;

#endif
