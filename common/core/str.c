#include "common/core/str.h"

#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct str str_decimal(char out[STR_DECIMAL_SIZE], uint64_t n)
{
	size_t at = STR_DECIMAL_SIZE;

	do {
		out[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	return (struct str){out + at, STR_DECIMAL_SIZE - at};
}

bool str_starts(struct str s, struct str prefix)
{
	return s.len >= prefix.len && str_eq(str_sub(s, 0, prefix.len), prefix);
}

bool str_ends(struct str s, struct str suffix)
{
	return s.len >= suffix.len && str_eq(str_sub(s, s.len - suffix.len, s.len), suffix);
}

size_t str_find(struct str s, char c, size_t from)
{
	const char *at = from < s.len ? memchr(s.ptr + from, c, s.len - from) : NULL;

	return at ? (size_t)(at - s.ptr) : s.len;
}

static bool is_ows(char c)
{
	return c == ' ' || c == '\t';
}

struct str str_trim(struct str s)
{
	while (s.len > 0 && is_ows(s.ptr[0]))
		s = str_sub(s, 1, s.len);
	while (s.len > 0 && is_ows(s.ptr[s.len - 1]))
		s.len--;
	return s;
}

int str_u64(struct str s, uint64_t *out)
{
	uint64_t value = 0;

	if (s.len == 0)
		return -1;
	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = (unsigned)((unsigned char)s.ptr[i] - '0');

		if (digit > 9 || value > (UINT64_MAX - digit) / 10)
			return -1;
		value = value * 10 + digit;
	}
	*out = value;
	return 0;
}

char *str_dup(struct str s)
{
	char *copy = malloc(s.len + 1);

	if (!copy)
		return NULL;
	if (s.len > 0)
		memcpy(copy, s.ptr, s.len);
	copy[s.len] = '\0';
	return copy;
}

bool str_split(struct str *rest, char c, struct str *head)
{
	size_t at;

	if (!rest->ptr)
		return false;
	at = str_find(*rest, c, 0);
	*head = str_sub(*rest, 0, at);
	*rest = at < rest->len ? str_sub(*rest, at + 1, rest->len) : STR_NONE;
	return true;
}

void buf_init(struct buf *b, size_t limit)
{
	*b = (struct buf)BUF_INIT;
	b->limit = limit;
}

static void release(const struct buf *b, char *data)
{
	if (b->secret)
		OPENSSL_cleanse(data, b->cap);
	free(data);
}

void buf_deinit(struct buf *b)
{
	if (b->data)
		release(b, b->data);
	b->data = NULL;
	b->len = 0;
	b->cap = 0;
}

void buf_clear(struct buf *b)
{
	if (b->secret && b->data)
		OPENSSL_cleanse(b->data, b->cap);
	b->len = 0;
	if (b->data)
		b->data[0] = '\0';
}

static size_t grown(size_t cap, size_t need)
{
	size_t next = cap < 64 ? 64 : cap + cap / 2;

	return next < need ? need : next;
}

/* Secret bytes must not stay behind in freed memory, so they are copied by hand instead of realloc.
 */
static char *move_to(struct buf *b, size_t cap)
{
	char *data;

	if (!b->secret)
		return realloc(b->data, cap);
	data = malloc(cap);
	if (data && b->data) {
		memcpy(data, b->data, b->len + 1);
		release(b, b->data);
	}
	return data;
}

int buf_reserve(struct buf *b, size_t n, struct err *e)
{
	size_t limit = b->limit ? b->limit : (size_t)BUF_LIMIT_DEFAULT;
	size_t cap;
	char *data;

	if (n > limit || b->len > limit - n)
		return err_set(e, ERR_LIMIT, "buffer would exceed its limit of %zu bytes", limit);
	if (b->data && b->cap - b->len > n)
		return 0;
	cap = grown(b->cap, b->len + n + 1);
	data = move_to(b, cap);
	if (!data)
		return err_memory(e, "growing a buffer");
	data[b->len] = '\0';
	b->data = data;
	b->cap = cap;
	return 0;
}

int buf_add(struct buf *b, const void *bytes, size_t n, struct err *e)
{
	if (buf_reserve(b, n, e) < 0)
		return -1;
	if (n > 0)
		memcpy(b->data + b->len, bytes, n);
	b->len += n;
	b->data[b->len] = '\0';
	return 0;
}

int buf_add_str(struct buf *b, struct str s, struct err *e)
{
	return buf_add(b, s.ptr, s.len, e);
}

int buf_addf(struct buf *b, struct err *e, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return err_set(e, ERR_INTERNAL, "unprintable format");
	if (buf_reserve(b, (size_t)n, e) < 0)
		return -1;
	va_start(ap, fmt);
	vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
	return 0;
}

void buf_consume(struct buf *b, size_t n)
{
	assert(n <= b->len);
	if (n == 0)
		return;
	memmove(b->data, b->data + n, b->len - n + 1);
	b->len -= n;
	if (b->secret)
		OPENSSL_cleanse(b->data + b->len + 1, n);
}
