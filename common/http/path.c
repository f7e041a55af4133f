#include "common/http/path.h"

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_reserved(unsigned char c)
{
	return c != 0 && strchr("!*'();:@&=+$,/?%#[]", c);
}

static bool is_unreserved(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

bool http_path_is_normal(struct str path)
{
	for (size_t i = 0; i < path.len; i++) {
		if (path.ptr[i] == '%')
			return false;
		if (path.ptr[i] == '/' && i + 1 < path.len &&
		    (path.ptr[i + 1] == '/' || path.ptr[i + 1] == '.'))
			return false;
	}
	return true;
}

/* --- decoding --- */

/* The byte that an escape at `at` stands for; -1: there is none. */
static int escaped_byte(struct str s, size_t at)
{
	int high, low;

	if (s.ptr[at] != '%' || s.len - at < 3)
		return -1;
	high = hex_value(s.ptr[at + 1]);
	low = hex_value(s.ptr[at + 2]);
	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static size_t decode(char *out, struct str s)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		int byte = escaped_byte(s, i);

		if (byte < 0) {
			out[n++] = s.ptr[i];
			continue;
		}
		i += 2;
		if (!is_reserved((unsigned char)byte)) {
			out[n++] = (char)byte;
			continue;
		}
		out[n++] = '%';
		out[n++] = digits[byte >> 4];
		out[n++] = digits[byte & 0xf];
	}
	return n;
}

/* --- dot segments --- */

/* Takes the last segment off. */
static size_t pop(const char *out, size_t n)
{
	while (n > 0 && out[--n] != '/')
		;
	return n;
}

/* RFC 3986 section 5.2.4, and empty segments but the last. */
static size_t remove_dots(char *path, size_t len)
{
	size_t n = 0, end;

	for (size_t at = 0; at < len; at = end) { /* at a slash */
		size_t size;
		bool up, dot;

		end = at + 1;
		while (end < len && path[end] != '/')
			end++;
		size = end - at - 1;
		dot = size == 1 && path[at + 1] == '.';
		up = size == 2 && path[at + 1] == '.' && path[at + 2] == '.';
		if (up)
			n = pop(path, n);
		if (dot || up)
			size = 0;
		if (size == 0 && end < len)
			continue;
		memmove(path + n, path + at, size + 1);
		n += size + 1;
	}
	return n;
}

size_t http_path_normalise(char *out, struct str path)
{
	size_t n = decode(out, path);

	return n > 0 && out[0] == '/' ? remove_dots(out, n) : n;
}

/* --- escaping --- */

static bool is_fit(unsigned char c)
{
	return is_unreserved(c) || is_reserved(c);
}

int http_path_escape(struct buf *b, size_t from, struct err *e)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t more = 0, at, to;

	for (size_t i = from; i < b->len; i++)
		more += is_fit((unsigned char)b->data[i]) ? 0 : 2;
	if (more == 0)
		return 0;
	if (buf_reserve(b, more, e) < 0)
		return -1;
	at = b->len;
	b->len += more;
	to = b->len;
	b->data[to] = '\0';
	while (at > from) {
		unsigned char c = (unsigned char)b->data[--at];

		if (is_fit(c)) {
			b->data[--to] = (char)c;
			continue;
		}
		b->data[--to] = digits[c & 0xf];
		b->data[--to] = digits[c >> 4];
		b->data[--to] = '%';
	}
	return 0;
}
