/* Slices of bytes that somebody else owns (struct str), and buffers that grow (struct buf).
 * Thread: any; an object belongs to whoever holds it. */
#ifndef CARDEA_CORE_STR_H
#define CARDEA_CORE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/core/compiler.h"
#include "common/core/err.h"

/* A read-only run of bytes; not ended by NUL. {NULL, 0} is the absent string, {"", 0} the empty
 * one. */
struct str {
	const char *ptr;
	size_t len;
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_NONE ((struct str){NULL, 0})

static inline struct str str_from(const char *text)
{
	return (struct str){text, text ? strlen(text) : 0};
}

/* Inline: each request calls these some hundred times. */
static inline char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* Bytes compare equal; not for secrets. */
static inline bool str_eq(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* ASCII letters compare without case. */
static inline bool str_ieq(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (ascii_lower(a.ptr[i]) != ascii_lower(b.ptr[i]))
			return false;
	return true;
}

/* Whether s begins with prefix. */
bool str_starts(struct str s, struct str prefix);
/* Whether s ends with suffix. */
bool str_ends(struct str s, struct str suffix);
/* First position of c at or after `from`, or s.len. */
size_t str_find(struct str s, char c, size_t from);
/* s[from, to), both cut to the length. */
static inline struct str str_sub(struct str s, size_t from, size_t to)
{
	if (!s.ptr)
		return STR_NONE;
	if (to > s.len)
		to = s.len;
	if (from > to)
		from = to;
	return (struct str){s.ptr + from, to - from};
}

/* Without spaces and tabs at both ends (RFC 9110 OWS). */
struct str str_trim(struct str s);
/* Decimal digits only, no sign, no space; -1 when empty, not a digit, or larger than UINT64_MAX. */
int str_u64(struct str s, uint64_t *out) must_check;
/* A NUL-terminated copy for free(); NULL when out of memory. */
char *str_dup(struct str s);
/* Splits at c: *head is what stands before it; returns false when *rest is used up. `a,,b` gives
 * three pieces. */
bool str_split(struct str *rest, char c, struct str *head);
enum { STR_DECIMAL_SIZE = 20 };
/* The number's digits, somewhere in out. */
struct str str_decimal(char out[STR_DECIMAL_SIZE], uint64_t n);

/* A growing run of bytes with a limit. data[0..len) is valid and, when data is not NULL, data[len]
 * is NUL. */
struct buf {
	char *data;
	size_t len;
	size_t cap;
	size_t limit; /* len never exceeds it; 0 means BUF_LIMIT_DEFAULT */
	bool secret;  /* bytes are cleansed when freed or moved */
};

enum { BUF_LIMIT_DEFAULT = 64 << 20 };

#define BUF_INIT                                                                                   \
	{                                                                                          \
		NULL, 0, 0, 0, false                                                               \
	}

/* init sets an empty buffer; deinit frees its bytes (cleansing secret ones) and leaves it empty and
 * usable. */
void buf_init(struct buf *b, size_t limit);
void buf_deinit(struct buf *b);
/* Keeps the memory, drops the content. */
void buf_clear(struct buf *b);
/* Makes room for n more bytes beyond len. Fails with ERR_LIMIT or ERR_MEMORY; the content is
 * untouched. */
int buf_reserve(struct buf *b, size_t n, struct err *e) must_check;
int buf_add(struct buf *b, const void *bytes, size_t n, struct err *e) must_check;
int buf_add_str(struct buf *b, struct str s, struct err *e) must_check;
int buf_addf(struct buf *b, struct err *e, const char *fmt, ...) must_check printf_like(3, 4);
/* Drops the first n bytes (n <= len). */
void buf_consume(struct buf *b, size_t n);
static inline struct str buf_str(const struct buf *b)
{
	return (struct str){b->data ? b->data : "", b->len};
}

#endif
