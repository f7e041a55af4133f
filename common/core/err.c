#include "common/core/err.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const kind_names[] = {
	[ERR_NONE] = "none",
	[ERR_INVALID] = "invalid",
	[ERR_NOT_FOUND] = "not_found",
	[ERR_CONFLICT] = "conflict",
	[ERR_LIMIT] = "limit",
	[ERR_DENIED] = "denied",
	[ERR_UNAVAILABLE] = "unavailable",
	[ERR_TIMEOUT] = "timeout",
	[ERR_MEMORY] = "memory",
	[ERR_INTERNAL] = "internal",
};

/* Marks a message that did not fit, without leaving half a UTF-8 character before the dots. */
static void mark_cut(char *text, size_t size)
{
	size_t end = size - 4;

	while (end > 0 && ((unsigned char)text[end] & 0xC0) == 0x80)
		end--;
	memcpy(text + end, "...", 4);
}

static void append(struct err *e, const char *fmt, va_list ap) printf_like(2, 0);

static void append(struct err *e, const char *fmt, va_list ap)
{
	size_t used = strlen(e->message);
	size_t room = sizeof(e->message) - used;
	int n = vsnprintf(e->message + used, room, fmt, ap);

	if (n >= 0 && (size_t)n >= room)
		mark_cut(e->message, sizeof(e->message));
}

static void append_text(struct err *e, const char *fmt, ...) printf_like(2, 3);

static void append_text(struct err *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	append(e, fmt, ap);
	va_end(ap);
}

static void start(struct err *e, enum err_kind kind, int code)
{
	e->kind = kind;
	e->code = code;
	e->message[0] = '\0';
}

int err_set(struct err *e, enum err_kind kind, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return -1;
	start(e, kind, 0);
	va_start(ap, fmt);
	append(e, fmt, ap);
	va_end(ap);
	return -1;
}

int err_errno(struct err *e, enum err_kind kind, int errnum, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return -1;
	start(e, kind, errnum);
	va_start(ap, fmt);
	append(e, fmt, ap);
	va_end(ap);
	append_text(e, ": %s", strerror(errnum));
	return -1;
}

int err_openssl(struct err *e, enum err_kind kind, const char *fmt, ...)
{
	va_list ap;
	unsigned long code = ERR_peek_error();
	const char *reason = ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code))
						    : ERR_reason_error_string(code);

	if (e) {
		start(e, kind, (int)ERR_GET_REASON(code));
		va_start(ap, fmt);
		append(e, fmt, ap);
		va_end(ap);
		append_text(e, ": %s", reason ? reason : "unknown OpenSSL error");
	}
	ERR_clear_error();
	return -1;
}

int err_memory(struct err *e, const char *what)
{
	return err_set(e, ERR_MEMORY, "out of memory: %s", what);
}

int err_prefix(struct err *e, const char *fmt, ...)
{
	char old[ERR_MESSAGE_SIZE];
	va_list ap;

	if (!e)
		return -1;
	memcpy(old, e->message, sizeof(old));
	e->message[0] = '\0';
	va_start(ap, fmt);
	append(e, fmt, ap);
	va_end(ap);
	append_text(e, ": %s", old);
	return -1;
}

const char *err_kind_name(enum err_kind kind)
{
	return (size_t)kind < array_len(kind_names) ? kind_names[kind] : "unknown";
}

bool err_is_temporary(const struct err *e)
{
	return e->kind == ERR_UNAVAILABLE || e->kind == ERR_TIMEOUT || e->kind == ERR_LIMIT ||
	       e->kind == ERR_MEMORY;
}
