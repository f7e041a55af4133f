#include "common/http/h1_head.h"

#include <string.h>

#include "common/http/syntax.h"

enum {
	METHOD_MAX = 32,
	LINE_MORE = 3, /* a space behind the colon, and CRLF */
};

unsigned h1_version(struct str s, enum http_version *version)
{
	if (s.len != 8 || !str_starts(s, STR("HTTP/")) || s.ptr[6] != '.' || s.ptr[5] < '0' ||
	    s.ptr[5] > '9' || s.ptr[7] < '0' || s.ptr[7] > '9')
		return 400;
	if (s.ptr[5] != '1')
		return 505;
	*version = s.ptr[7] == '0' ? HTTP_10 : HTTP_11;
	return 0;
}

/* "http://host/path?query" (H1-18): the authority is kept for check_host, the rest becomes
 * origin-form. */
static enum h1_event absolute_form(struct h1_parser *p, struct str target, size_t scheme)
{
	struct http_request *r = p->request;
	struct str rest = str_sub(target, scheme, target.len);
	size_t end = 0;
	char *slash;

	while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?')
		end++;
	p->absolute = str_sub(rest, 0, end);
	rest = str_sub(rest, end, rest.len);
	if (rest.len > 0 && rest.ptr[0] == '/') {
		r->target = rest;
	} else if (rest.len == 0) {
		r->target = str_eq(r->method, STR("OPTIONS")) ? STR("*") : STR("/");
	} else {
		slash = arena_alloc(p->arena, rest.len + 1);
		if (!slash)
			return h1_fail_memory(p);
		slash[0] = '/';
		memcpy(slash + 1, rest.ptr, rest.len);
		r->target = (struct str){slash, rest.len + 1};
	}
	return H1_MORE;
}

static enum h1_event parse_target(struct h1_parser *p, struct str target)
{
	struct http_request *r = p->request;
	struct str http = STR("http://");
	struct str https = STR("https://");
	enum h1_event event = H1_MORE;
	size_t query;

	if (!http_is_target(target))
		return h1_fail_line(p, target, "H1-20");
	if (str_eq(r->method, STR("CONNECT")))
		return h1_fail(p, 405, "H1-17");
	if (target.ptr[0] == '/')
		r->target = target;
	else if (str_eq(target, STR("*")) && str_eq(r->method, STR("OPTIONS")))
		r->target = target;
	else if (str_ieq(str_sub(target, 0, http.len), http))
		event = absolute_form(p, target, http.len);
	else if (str_ieq(str_sub(target, 0, https.len), https))
		event = absolute_form(p, target, https.len);
	else
		event = h1_fail(p, 400, "H1-19");
	if (event == H1_ERROR)
		return event;
	query = str_find(r->target, '?', 0);
	r->path = str_sub(r->target, 0, query);
	r->query = query < r->target.len ? str_sub(r->target, query + 1, r->target.len) : STR_NONE;
	return H1_MORE;
}

static enum h1_event parse_method(struct h1_parser *p, struct str method)
{
	if (!http_is_token(method))
		return h1_fail_line(p, method, "H1-16");
	if (method.len > METHOD_MAX)
		return h1_fail(p, 501, "H1-16");
	if (str_eq(method, STR("TRACE")) || str_eq(method, STR("TRACK")))
		p->refuse = 405;
	p->request->method = method;
	return H1_MORE;
}

enum h1_event h1_request_line(struct h1_parser *p, struct str line)
{
	size_t first = str_find(line, ' ', 0);
	size_t second = str_find(line, ' ', first + 1);
	struct str version = str_sub(line, second + 1, line.len);
	unsigned refused;

	if (first == 0 || second >= line.len || second == first + 1 ||
	    str_find(version, ' ', 0) < version.len || version.len == 0 ||
	    str_find(line, '\t', 0) < line.len)
		return h1_fail_line(p, line, "H1-14");
	line = arena_str(p->arena, line);
	if (!line.ptr)
		return h1_fail_memory(p);
	if (parse_method(p, str_sub(line, 0, first)) == H1_ERROR)
		return H1_ERROR;
	refused = h1_version(version, &p->request->version);
	if (refused == 505 && str_eq(line, STR("PRI * HTTP/2.0")))
		return h1_fail(p, 505, "H1-38");
	if (refused == 505)
		return h1_fail(p, 505, "H1-15");
	if (refused)
		return h1_fail_line(p, line, "H1-15");
	p->version = p->request->version;
	return parse_target(p, str_sub(line, first + 1, second));
}

/* --- fields --- */

/* For a line of n bytes with a space more and its CRLF. */
static char *line_room(struct h1_parser *p, size_t n)
{
	if (n + LINE_MORE <= p->lines_cap - p->lines_len)
		return p->lines + p->lines_len;
	return arena_raw(p->arena, n + LINE_MORE);
}

/* What became of it counts when it stands behind the others. */
static void line_done(struct h1_parser *p, const char *line, size_t n)
{
	if (p->lines && line == p->lines + p->lines_len)
		p->lines_len += n;
}

enum h1_event h1_field(struct h1_parser *p, struct str line, struct http_field *f)
{
	struct str value;
	char *copy, *to;
	size_t n = 0;

	if (line.ptr[0] == ' ' || line.ptr[0] == '\t')
		return h1_fail(p, 400, p->field_count == 0 ? "H1-08" : "H1-09");
	copy = line_room(p, line.len);
	if (!copy)
		return h1_fail_memory(p);
	for (; n < line.len; n++) {
		unsigned char lower = http_token_lower[(unsigned char)line.ptr[n]];

		if (!lower)
			break;
		copy[n] = (char)lower;
	}
	if (n == 0 || n == line.len || line.ptr[n] != ':')
		return h1_fail_line(p, line, "H1-08");
	value = str_trim(str_sub(line, n + 1, line.len));
	if (!http_is_field_value(value))
		return h1_fail(p, 400, "H1-11");
	to = copy + n;
	*to++ = ':';
	*to++ = ' ';
	if (value.len > 0)
		memcpy(to, value.ptr, value.len);
	f->name = (struct str){copy, n};
	f->value = (struct str){to, value.len};
	to += value.len;
	*to++ = '\r';
	*to++ = '\n';
	line_done(p, copy, (size_t)(to - copy));
	p->field_count++;
	return H1_MORE;
}

static const struct {
	struct str name;
	enum h1_own_field own;
	bool of_requests; /* in responses it says nothing */
} own_fields[] = {
	{STR("host"), H1_HOST, true},
	{STR("content-length"), H1_CONTENT_LENGTH, false},
	{STR("transfer-encoding"), H1_TRANSFER_ENCODING, false},
	{STR("connection"), H1_CONNECTION, false},
	{STR("expect"), H1_EXPECT, true},
	{STR("upgrade"), H1_UPGRADE, false},
	{STR("te"), H1_TE, false},
	{STR("keep-alive"), H1_DROPPED, false},
	{STR("proxy-connection"), H1_DROPPED, false},
	{STR("trailer"), H1_DROPPED, false},
	{STR("http2-settings"), H1_DROPPED, false},
};

static enum h1_own_field own_field(const struct h1_parser *p, struct str name)
{
	/* Bit n: a name above has n bytes. */
	const uint32_t lengths =
		1U << 2 | 1U << 4 | 1U << 6 | 1U << 7 | 1U << 10 | 1U << 14 | 1U << 16 | 1U << 17;

	if (name.len > 17 || !(lengths >> name.len & 1))
		return H1_OWN_COUNT;
	for (size_t i = 0; i < array_len(own_fields); i++)
		if (str_eq(own_fields[i].name, name))
			return p->response && own_fields[i].of_requests ? H1_OWN_COUNT
									: own_fields[i].own;
	return H1_OWN_COUNT;
}

static enum h1_event add_field(struct h1_parser *p, const struct http_field *f)
{
	enum h1_own_field own = own_field(p, f->name);
	struct http_fields *to = h1_fields(p);

	if (own != H1_OWN_COUNT) {
		if (p->own[own].count++ == 0)
			p->own[own].value = f->value;
		to = &p->connection;
		if (own != H1_CONNECTION)
			return H1_MORE;
	} else if (p->request && http_is_alias(f->name)) {
		return H1_MORE;
	}
	return http_fields_add(to, p->arena, f->name, f->value) < 0 ? h1_fail_memory(p) : H1_MORE;
}

enum h1_event h1_head_field(struct h1_parser *p, struct str line)
{
	struct http_field field;

	if (p->field_count >= p->limits.fields)
		return h1_fail(p, 431, "limit_fields");
	if (h1_field(p, line, &field) == H1_ERROR)
		return H1_ERROR;
	return add_field(p, &field);
}

/* --- the end of the head --- */

/* H1-05: 501 for a list of tokens that could be codings with chunked last or nowhere, else 400. */
static unsigned refuse_coding(struct str value)
{
	struct str coding;
	bool chunked = false;

	while (str_split(&value, ',', &coding)) {
		coding = str_trim(coding);
		if (!http_is_token(coding) || chunked || str_ieq(coding, STR("identity")))
			return 400;
		chunked = str_ieq(coding, STR("chunked"));
	}
	return 501;
}

static enum h1_event check_coding(struct h1_parser *p)
{
	const struct h1_own_value *coding = &p->own[H1_TRANSFER_ENCODING];

	if (p->request->version == HTTP_10)
		return h1_fail(p, 400, "H1-06");
	if (coding->count > 1)
		return h1_fail(p, 400, "H1-05");
	if (!str_ieq(coding->value, STR("chunked")))
		return h1_fail(p, refuse_coding(coding->value), "H1-05");
	p->chunked = true;
	p->request->has_body = true;
	return H1_MORE;
}

static enum h1_event check_content_length(struct h1_parser *p)
{
	const struct h1_own_value *length = &p->own[H1_CONTENT_LENGTH];
	uint64_t n;

	if (length->count > 1 || str_find(length->value, ',', 0) < length->value.len)
		return h1_fail(p, 400, "H1-02");
	if (str_u64(length->value, &n) < 0 || n > INT64_MAX)
		return h1_fail(p, 400, "H1-03");
	if (p->limits.body && n > p->limits.body)
		return h1_fail(p, 413, "limit_body");
	p->left = n;
	p->request->content_length = (int64_t)n;
	p->request->has_body = n > 0;
	return H1_MORE;
}

static enum h1_event check_framing(struct h1_parser *p)
{
	bool length = p->own[H1_CONTENT_LENGTH].count > 0;
	bool coding = p->own[H1_TRANSFER_ENCODING].count > 0;

	if (length && coding)
		return h1_fail(p, 400, "H1-01");
	if (coding)
		return check_coding(p);
	return length ? check_content_length(p) : H1_MORE;
}

static bool has_upper(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] >= 'A' && s.ptr[i] <= 'Z')
			return true;
	return false;
}

/* H1-18, H1-21, H1-22, H1-23. */
static enum h1_event check_host(struct h1_parser *p)
{
	struct http_request *r = p->request;
	const struct h1_own_value *field = &p->own[H1_HOST];
	struct str host;
	char *lower;

	if (field->count > 1 || (field->count == 0 && r->version == HTTP_11))
		return h1_fail(p, 400, "H1-21");
	if (field->count > 0 && !http_is_authority(field->value, &host))
		return h1_fail(p, 400, "H1-21");
	if (p->absolute.ptr && !http_is_authority(p->absolute, &host))
		return h1_fail(p, 400, "H1-21");
	if (p->absolute.ptr && field->count > 0 && !str_ieq(p->absolute, field->value))
		return h1_fail(p, 400, "H1-18");
	if (!p->absolute.ptr && field->count == 0)
		return H1_MORE;
	r->authority = p->absolute.ptr ? p->absolute : field->value;
	r->host = host;
	if (!has_upper(host))
		return H1_MORE;
	lower = arena_alloc(p->arena, host.len);
	if (!lower)
		return h1_fail_memory(p);
	for (size_t i = 0; i < host.len; i++)
		lower[i] = ascii_lower(host.ptr[i]);
	r->host.ptr = lower;
	return H1_MORE;
}

/* H1-24. */
static enum h1_event check_expect(struct h1_parser *p)
{
	const struct h1_own_value *expect = &p->own[H1_EXPECT];

	if (expect->count == 0 || p->request->version == HTTP_10)
		return H1_MORE;
	if (expect->count > 1 || !str_ieq(expect->value, STR("100-continue")))
		return h1_fail(p, 417, "H1-24");
	p->request->expect_continue = p->request->has_body;
	return H1_MORE;
}

/* Takes out every field that Connection names (H1-35). */
static void remove_field(struct http_fields *f, struct str name)
{
	size_t kept = 0;

	for (size_t i = 0; i < f->count; i++)
		if (!str_ieq(f->items[i].name, name))
			f->items[kept++] = f->items[i];
	f->count = kept;
}

/* One element of Connection; false: not a token, or too many. */
static bool connection_option(struct h1_parser *p, struct str option, struct h1_connection *o)
{
	char lower[64];

	option = str_trim(option);
	if (option.len == 0)
		return true;
	if (!http_is_token(option) || ++o->count > p->limits.fields)
		return false;
	if (str_ieq(option, STR("close"))) {
		o->close = true;
	} else if (str_ieq(option, STR("keep-alive"))) {
		o->keep_alive = true;
	} else if (str_ieq(option, STR("upgrade"))) {
		o->upgrade = true;
	} else {
		/* A longer name is not among the protected ones, but may have their prefix. */
		size_t n = option.len < sizeof(lower) ? option.len : sizeof(lower);

		for (size_t i = 0; i < n; i++)
			lower[i] = ascii_lower(option.ptr[i]);
		if (!http_is_protected((struct str){lower, n}))
			remove_field(h1_fields(p), option);
	}
	return true;
}

enum h1_event h1_connection_options(struct h1_parser *p, struct h1_connection *o)
{
	struct str option;

	for (size_t i = 0; i < p->connection.count; i++) {
		struct str list = p->connection.items[i].value;

		while (str_split(&list, ',', &option))
			if (!connection_option(p, option, o))
				return h1_fail(p, 400, "H1-35");
	}
	p->close = o->close || (p->version == HTTP_10 && !o->keep_alive);
	return H1_MORE;
}

static enum h1_event check_connection(struct h1_parser *p)
{
	struct h1_connection o = {false, false, false, 0};
	const struct http_request *r = p->request;
	const struct h1_own_value *upgrade = &p->own[H1_UPGRADE];

	if (h1_connection_options(p, &o) == H1_ERROR)
		return H1_ERROR;
	p->te_trailers = http_list_has(p->own[H1_TE].value, STR("trailers"));
	/* H1-33, H1-34 */
	if (o.upgrade && !o.close && upgrade->count == 1 && r->version == HTTP_11 && !r->has_body &&
	    str_eq(r->method, STR("GET")) && str_ieq(upgrade->value, STR("websocket")))
		p->upgrade = STR("websocket");
	return H1_MORE;
}

enum h1_event h1_head_finish(struct h1_parser *p)
{
	if (check_framing(p) == H1_ERROR || check_host(p) == H1_ERROR ||
	    check_expect(p) == H1_ERROR || check_connection(p) == H1_ERROR)
		return H1_ERROR;
	return H1_MORE;
}
