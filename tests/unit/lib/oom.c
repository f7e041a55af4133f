#include "tests/unit/lib/oom.h"

#include <stddef.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

/* Of this thread, so that the pool's threads are not disturbed. */
static _Thread_local struct {
	unsigned long left; /* allocations until the failing one; 0: off */
	bool happened;
	unsigned paused; /* calls of oom_pause without their oom_go_on */
} oom;

static bool fails(void)
{
	if (oom.paused || oom.left == 0 || --oom.left > 0)
		return false;
	oom.happened = true;
	return true;
}

void *__wrap_malloc(size_t n)
{
	return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return fails() ? NULL : __real_realloc(p, n);
}

void oom_fail_at(unsigned long n)
{
	oom.left = n;
	oom.happened = false;
}

void oom_pause(void)
{
	oom.paused++;
}

void oom_go_on(void)
{
	oom.paused--;
}

bool oom_happened(void)
{
	bool happened = oom.happened;

	oom.left = 0;
	oom.happened = false;
	return happened;
}

unsigned long oom_each(void (*scenario)(void *arg), void *arg)
{
	for (unsigned long n = 1;; n++) {
		oom_fail_at(n);
		scenario(arg);
		if (!oom_happened())
			return n - 1;
	}
}
