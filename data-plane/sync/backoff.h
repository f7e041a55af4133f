/* How long to wait before connecting again: full jitter (reliability-goals FL-08). Pure but for its
 * random numbers. Thread: any. */
#ifndef CARDEA_SYNC_BACKOFF_H
#define CARDEA_SYNC_BACKOFF_H

#include <stdint.h>

enum { BACKOFF_BASE_MS = 500, BACKOFF_CAP_MS = 30000 };

/* Between 0 and twice as much for each failure in a row, up to the cap. */
uint64_t backoff_ms(unsigned failures);

#endif
