/* What every file needs of the compiler: must-check results, printf checking, container_of. */
#ifndef CARDEA_CORE_COMPILER_H
#define CARDEA_CORE_COMPILER_H

#include <assert.h>
#include <stddef.h>

/* The result must be looked at: 0 is success, -1 is an error that was described in a struct err. */
#define must_check __attribute__((warn_unused_result))
#define printf_like(fmt, first) __attribute__((format(printf, fmt, first)))

/* The struct of type `type` whose member `member` is at ptr. */
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define array_len(a) (sizeof(a) / sizeof((a)[0]))

#endif
