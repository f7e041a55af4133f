#include "common/http/msg.h"

#include <string.h>

#include "common/http/syntax.h"

enum { FIELDS_FIRST = 16 };

int http_fields_add(struct http_fields *f, struct arena *a, struct str name, struct str value)
{
	if (f->count == f->cap) {
		size_t cap = f->cap ? f->cap * 2 : (size_t)FIELDS_FIRST;
		struct http_field *items = arena_alloc(a, cap * sizeof(*items));

		if (!items)
			return -1;
		if (f->count > 0)
			memcpy(items, f->items, f->count * sizeof(*items));
		f->items = items;
		f->cap = cap;
	}
	f->items[f->count++] = (struct http_field){name, value};
	return 0;
}

struct str http_fields_get(const struct http_fields *f, struct str name)
{
	for (size_t i = 0; i < f->count; i++)
		if (str_ieq(f->items[i].name, name))
			return f->items[i].value;
	return STR_NONE;
}

size_t http_fields_count(const struct http_fields *f, struct str name)
{
	size_t n = 0;

	for (size_t i = 0; i < f->count; i++)
		n += str_ieq(f->items[i].name, name);
	return n;
}

bool http_fields_has_token(const struct http_fields *f, struct str name, struct str token)
{
	for (size_t i = 0; i < f->count; i++)
		if (str_ieq(f->items[i].name, name) && http_list_has(f->items[i].value, token))
			return true;
	return false;
}

/* IANA's HTTP status code registry. */
static const struct {
	unsigned status;
	const char *reason;
} reasons[] = {
	{100, "Continue"},
	{101, "Switching Protocols"},
	{102, "Processing"},
	{103, "Early Hints"},
	{200, "OK"},
	{201, "Created"},
	{202, "Accepted"},
	{203, "Non-Authoritative Information"},
	{204, "No Content"},
	{205, "Reset Content"},
	{206, "Partial Content"},
	{207, "Multi-Status"},
	{208, "Already Reported"},
	{226, "IM Used"},
	{300, "Multiple Choices"},
	{301, "Moved Permanently"},
	{302, "Found"},
	{303, "See Other"},
	{304, "Not Modified"},
	{305, "Use Proxy"},
	{307, "Temporary Redirect"},
	{308, "Permanent Redirect"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{402, "Payment Required"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{406, "Not Acceptable"},
	{407, "Proxy Authentication Required"},
	{408, "Request Timeout"},
	{409, "Conflict"},
	{410, "Gone"},
	{411, "Length Required"},
	{412, "Precondition Failed"},
	{413, "Content Too Large"},
	{414, "URI Too Long"},
	{415, "Unsupported Media Type"},
	{416, "Range Not Satisfiable"},
	{417, "Expectation Failed"},
	{421, "Misdirected Request"},
	{422, "Unprocessable Content"},
	{423, "Locked"},
	{424, "Failed Dependency"},
	{425, "Too Early"},
	{426, "Upgrade Required"},
	{428, "Precondition Required"},
	{429, "Too Many Requests"},
	{431, "Request Header Fields Too Large"},
	{451, "Unavailable For Legal Reasons"},
	{500, "Internal Server Error"},
	{501, "Not Implemented"},
	{502, "Bad Gateway"},
	{503, "Service Unavailable"},
	{504, "Gateway Timeout"},
	{505, "HTTP Version Not Supported"},
	{506, "Variant Also Negotiates"},
	{507, "Insufficient Storage"},
	{508, "Loop Detected"},
	{511, "Network Authentication Required"},
};

const char *http_reason(unsigned status)
{
	for (size_t i = 0; i < array_len(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Unknown";
}

int http_percent_decode(struct arena *a, struct str in, bool plus_is_space, struct str *out)
{
	char *copy = arena_alloc(a, in.len + 1);
	size_t n;

	if (!copy || !http_unescape(copy, in, plus_is_space, &n))
		return -1;
	*out = (struct str){copy, n};
	return 0;
}
