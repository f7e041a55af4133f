/* Makes the n-th allocation of our own code fail. The unit tests are linked with
 * --wrap=malloc,calloc, realloc, so that libraries' own allocations are not touched and sanitizers
 * go on working. */
#ifndef CARDEA_TESTS_OOM_H
#define CARDEA_TESTS_OOM_H

#include <stdbool.h>

/* The n-th allocation from now (1 is the next) fails, once. 0: none does. */
void oom_fail_at(unsigned long n);
/* Whether it has happened; also turns it off. */
bool oom_happened(void);
/* Until oom_go_on allocations neither fail nor count: for what the test makes itself. */
void oom_pause(void);
void oom_go_on(void);
/* Runs scenario again and again: the first allocation fails, then the second, ... until it runs
 * without any failing. The scenario cleans up after itself. Returns how many allocations it made.
 */
unsigned long oom_each(void (*scenario)(void *arg), void *arg);

#endif
