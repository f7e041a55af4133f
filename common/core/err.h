/* An error value: a kind that decides policy and one sentence that an operator can act on.
 *
 * A fallible function returns int: 0, or -1 after describing the failure in the caller's struct err
 * (which may be NULL when the caller does not care). The message is written once, where the cause
 * is known; upper layers put words before it with err_prefix and never overwrite it. No memory is
 * allocated. Thread: any.
 */
#ifndef CARDEA_CORE_ERR_H
#define CARDEA_CORE_ERR_H

#include <stdbool.h>

#include "common/core/compiler.h"

enum err_kind {
	ERR_NONE = 0,
	ERR_INVALID,	 /* input is wrong: tell its sender (400) */
	ERR_NOT_FOUND,	 /* no such thing (404) */
	ERR_CONFLICT,	 /* clashes with what exists (409) */
	ERR_LIMIT,	 /* a named limit was reached (413, 429, 503) */
	ERR_DENIED,	 /* peer is not allowed (401, 403) */
	ERR_UNAVAILABLE, /* try again later: database, CA, network (503) */
	ERR_TIMEOUT,	 /* as unavailable, after waiting */
	ERR_MEMORY,	 /* an allocation failed */
	ERR_INTERNAL,	 /* our bug, or a library's refusal that we cannot explain (500) */
};

enum { ERR_MESSAGE_SIZE = 384 };

struct err {
	enum err_kind kind;
	int code; /* of the source: errno, uv, HTTP status, ...; 0 if none */
	char message[ERR_MESSAGE_SIZE];
};

#define ERR_INIT                                                                                   \
	{                                                                                          \
		ERR_NONE, 0, ""                                                                    \
	}

/* Each describes a failure in *e (e may be NULL) and returns -1, so that `return err_set(...)`
 * reads well. A message that does not fit is cut at the end of a UTF-8 character and ends with
 * "...". */
int err_set(struct err *e, enum err_kind kind, const char *fmt, ...) printf_like(3, 4);
/* As err_set, followed by ": " and the text of errno value errnum. */
int err_errno(struct err *e, enum err_kind kind, int errnum, const char *fmt, ...)
	printf_like(4, 5);
/* As err_set, followed by ": " and the text of the oldest queued OpenSSL error, whose queue is
 * emptied. */
int err_openssl(struct err *e, enum err_kind kind, const char *fmt, ...) printf_like(3, 4);
/* Out of memory while doing `what`. */
int err_memory(struct err *e, const char *what);
/* Puts words and ": " before the message. Keeps the kind. Returns -1. */
int err_prefix(struct err *e, const char *fmt, ...) printf_like(2, 3);
/* Inline, and without the message's bytes: what each request goes through begins so, and clearing
 * all of a struct err costs as much as some of those functions. */
static inline void err_clear(struct err *e)
{
	if (!e)
		return;
	e->kind = ERR_NONE;
	e->code = 0;
	e->message[0] = '\0';
}
/* "invalid", "not_found", ...: for logs and metrics labels. */
const char *err_kind_name(enum err_kind kind);
/* Whether trying the same again later can help (unavailable, timeout, limit, memory). */
bool err_is_temporary(const struct err *e);

#endif
