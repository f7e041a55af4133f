/* Version-neutral HTTP messages: header lists and heads. All strings live in the arena of the
 * exchange (or are literals). Thread: the owner of the message. */
#ifndef CARDEA_HTTP_MSG_H
#define CARDEA_HTTP_MSG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/core/arena.h"
#include "common/core/str.h"

enum http_version { HTTP_10, HTTP_11, HTTP_2 };

struct http_field {
	struct str name; /* lower case when it came in */
	struct str value;
};

struct http_fields {
	struct http_field *items; /* read */
	size_t count;		  /* read */
	size_t cap;		  /* private */
};

/* Fields as they stand in an HTTP/1 head, "name: value\r\n" one behind the other: whoever wrote
 * them there checked names and values, and left out what speaks of the connection. A field whose
 * strings are those of such a line goes out as it is; nobody makes a slice of more than one line.
 */
enum { HTTP_LINES = 2 };
struct http_lines {
	struct str of[HTTP_LINES]; /* STR_NONE: none */
};
/* Whether the field is a whole line of these: from its name to behind its value's CRLF. */
static inline bool http_is_line(const struct http_lines *l, const struct http_field *f)
{
	for (size_t i = 0; i < HTTP_LINES; i++) {
		uintptr_t at = (uintptr_t)f->name.ptr - (uintptr_t)l->of[i].ptr;
		size_t left;

		if (at >= l->of[i].len) /* also when it stands before it */
			continue;
		left = l->of[i].len - at;
		return f->name.len + 4 <= left && f->value.len <= left - f->name.len - 4 &&
		       f->value.ptr == f->name.ptr + f->name.len + 2 && f->value.ptr[-2] == ':' &&
		       f->value.ptr[f->value.len] == '\r';
	}
	return false;
}

/* Appends; name and value are not copied. -1 when the arena is full. */
int http_fields_add(struct http_fields *f, struct arena *a, struct str name,
		    struct str value) must_check;
/* First value of a field, any case; STR_NONE when absent. */
struct str http_fields_get(const struct http_fields *f, struct str name);
size_t http_fields_count(const struct http_fields *f, struct str name);
/* Whether a comma-separated field (all occurrences) has this token, any case. */
bool http_fields_has_token(const struct http_fields *f, struct str name, struct str token);

struct http_request {
	enum http_version version;
	struct str method;    /* "GET" */
	struct str target;    /* origin-form: path and query as sent; "*" for OPTIONS */
	struct str path;      /* target before '?' */
	struct str query;     /* after '?', or STR_NONE */
	struct str scheme;    /* "http" or "https": what this connection is */
	struct str authority; /* Host or :authority as sent */
	struct str host;      /* authority without port, lower case, one trailing dot off */
	struct http_fields fields;
	struct http_lines lines;
	int64_t content_length; /* -1: none given */
	bool has_body;		/* body bytes, or an end of body, will follow the head */
	bool expect_continue;
};

struct http_response {
	unsigned status;
	struct http_fields fields;
	struct http_lines lines;
	int64_t content_length; /* -1: unknown: chunked, or until the stream ends */
};

/* "Not Found"; "Unknown" for codes that IANA does not list. */
const char *http_reason(unsigned status);
/* Percent-decodes a path segment or query part into the arena; -1 on a bad %XX, NUL, invalid UTF-8,
 * or when the arena is full. */
int http_percent_decode(struct arena *a, struct str in, bool plus_is_space,
			struct str *out) must_check;

#endif
