#include "common/http/h1_write.h"

#include <string.h>

#include "common/http/syntax.h"

enum {
	LINE_SLACK = 4,	  /* ": " and CRLF */
	OWN_LINES = 512,  /* status line, Date, framing, connection */
	CHUNK_SLACK = 32, /* size line, CRLF behind the data, last chunk */
	HTTP_STATUS_MIN = 100,
	HTTP_STATUS_MAX = 599,
};

/* The caller reserved room for the whole head: appending cannot fail. */
static void put(struct buf *out, struct str s)
{
	if (s.len > 0)
		memcpy(out->data + out->len, s.ptr, s.len);
	out->len += s.len;
	out->data[out->len] = '\0';
}

static void put_number(struct buf *out, uint64_t n)
{
	char digits[STR_DECIMAL_SIZE];

	put(out, str_decimal(digits, n));
}

static void put_field(struct buf *out, struct str name, struct str value)
{
	put(out, name);
	put(out, STR(": "));
	put(out, value);
	put(out, STR("\r\n"));
}

static void put_length(struct buf *out, uint64_t n)
{
	put(out, STR("Content-Length: "));
	put_number(out, n);
	put(out, STR("\r\n"));
}

/* What the list says about framing or the connection is not for the wire. */
static bool is_own(struct str name)
{
	return http_is_hop_by_hop(name) || str_ieq(name, STR("content-length"));
}

static const struct http_lines no_lines = {{{NULL, 0}, {NULL, 0}}};

/* Room for the fields, our own lines and `more`. */
static int reserve(struct buf *out, const struct http_fields *f, size_t more, struct err *e)
{
	size_t need = OWN_LINES + more;

	for (size_t i = 0; i < f->count; i++)
		need += f->items[i].name.len + f->items[i].value.len + LINE_SLACK;
	return buf_reserve(out, need, e);
}

static int check_field(const struct http_field *f, size_t at, struct err *e)
{
	if (!http_is_token(f->name))
		return err_set(e, ERR_INVALID, "field name %zu is not a token", at + 1);
	if (!http_is_field_value(f->value))
		return err_set(e, ERR_INVALID, "control byte in the value of field %.*s",
			       (int)f->name.len, f->name.ptr);
	return 0;
}

/* How many fields from `from` on are lines, each behind the one before; *run is all of them. */
static size_t find_run(const struct http_fields *f, size_t from, const struct http_lines *lines,
		       struct str *run)
{
	size_t i = from;

	run->ptr = f->items[from].name.ptr;
	run->len = 0;
	while (i < f->count && f->items[i].name.ptr == run->ptr + run->len &&
	       http_is_line(lines, &f->items[i])) {
		run->len += f->items[i].name.len + f->items[i].value.len + LINE_SLACK;
		i++;
	}
	return i - from;
}

/* Fields, and the empty line. Room is there. STR_NONE as `without`: none. On error out ends at
 * `start` again. */
static int put_fields(struct buf *out, size_t start, const struct http_fields *f,
		      const struct http_lines *lines, struct str without, struct err *e)
{
	struct str run;

	for (size_t i = 0; i < f->count;) {
		const struct http_field *field = &f->items[i];
		size_t n = find_run(f, i, lines, &run);

		if (n > 0) {
			put(out, run);
			i += n;
			continue;
		}
		if (check_field(field, i, e) < 0) {
			out->len = start;
			out->data[start] = '\0';
			return -1;
		}
		if (!is_own(field->name) && !str_ieq(field->name, without))
			put_field(out, field->name, field->value);
		i++;
	}
	put(out, STR("\r\n"));
	return 0;
}

static void put_status_line(struct buf *out, unsigned status)
{
	put(out, STR("HTTP/1.1 "));
	put_number(out, status);
	put(out, STR(" "));
	put(out, str_from(http_reason(status)));
	put(out, STR("\r\n"));
}

static bool status_has_body(unsigned status)
{
	return status >= 200 && status != 204 && status != 304;
}

/* Decides the framing and says it. */
static void put_framing(struct h1_writer *w, struct buf *out, const struct http_response *r,
			const struct h1_head_options *o)
{
	bool body = status_has_body(r->status);
	bool known = r->content_length >= 0;
	uint64_t length = known ? (uint64_t)r->content_length : 0;

	w->framing = H1_FRAMING_NONE;
	w->left = 0;
	if (!body || o->head_only) {
		/* A length may describe what GET would have got; 1xx and 204 have none. */
		if (known && (body || r->status == 304))
			put_length(out, length);
	} else if (o->end || (known && length == 0)) {
		put_length(out, 0);
	} else if (known) {
		w->framing = H1_FRAMING_LENGTH;
		w->left = length;
		put_length(out, length);
	} else if (o->version == HTTP_10) {
		w->framing = H1_FRAMING_CLOSE;
		w->close = true;
	} else {
		w->framing = H1_FRAMING_CHUNKED;
		put(out, STR("Transfer-Encoding: chunked\r\n"));
	}
}

int h1_write_head(struct h1_writer *w, struct buf *out, const struct http_response *r,
		  const struct h1_head_options *o, struct err *e)
{
	size_t start = out->len;
	bool server = o->server.ptr && !http_fields_get(&r->fields, STR("server")).ptr;
	bool date = o->date.ptr && !http_fields_get(&r->fields, STR("date")).ptr;
	struct str upgrade =
		r->status == 426 ? http_fields_get(&r->fields, STR("upgrade")) : STR_NONE;

	if (r->status < 200 || r->status > HTTP_STATUS_MAX)
		return err_set(e, ERR_INVALID, "%u is no final status", r->status);
	if (reserve(out, &r->fields, o->date.len + o->server.len, e) < 0)
		return -1;
	w->close = o->close;
	put_status_line(out, r->status);
	if (date)
		put_field(out, STR("Date"), o->date);
	if (server)
		put_field(out, STR("Server"), o->server);
	put_framing(w, out, r, o);
	w->done = o->end || o->head_only || !status_has_body(r->status);
	if (upgrade.ptr)
		put_field(out, STR("Upgrade"), upgrade);
	if (w->close)
		put(out, upgrade.ptr ? STR("Connection: Upgrade, close\r\n")
				     : STR("Connection: close\r\n"));
	else if (upgrade.ptr)
		put(out, STR("Connection: Upgrade\r\n"));
	else if (o->version == HTTP_10)
		put(out, STR("Connection: keep-alive\r\n"));
	return put_fields(out, start, &r->fields, &r->lines, STR_NONE, e);
}

static int write_length(struct h1_writer *w, struct buf *out, struct str bytes, bool last,
			struct err *e)
{
	if (bytes.len > w->left)
		return err_set(e, ERR_INTERNAL, "body is longer than its Content-Length");
	if (last && bytes.len < w->left)
		return err_set(e, ERR_INTERNAL, "body is shorter than its Content-Length");
	if (buf_add_str(out, bytes, e) < 0)
		return -1;
	w->left -= bytes.len;
	return 0;
}

/* Room must be there. An empty chunk would end the body, so there is none. */
static void put_chunk(struct buf *out, struct str bytes)
{
	static const char digits[] = "0123456789abcdef";
	char size[16];
	size_t at = sizeof(size);

	if (bytes.len == 0)
		return;
	for (size_t n = bytes.len; n > 0; n >>= 4)
		size[--at] = digits[n & 15];
	put(out, (struct str){size + at, sizeof(size) - at});
	put(out, STR("\r\n"));
	put(out, bytes);
	put(out, STR("\r\n"));
}

static int write_chunked(struct buf *out, struct str bytes, bool last, struct err *e)
{
	if (buf_reserve(out, bytes.len + CHUNK_SLACK, e) < 0)
		return -1;
	put_chunk(out, bytes);
	if (last)
		put(out, STR("0\r\n\r\n"));
	return 0;
}

int h1_write_body(struct h1_writer *w, struct buf *out, struct str bytes, bool last, struct err *e)
{
	int result = 0;

	if (w->done)
		return 0;
	if (w->framing == H1_FRAMING_LENGTH)
		result = write_length(w, out, bytes, last, e);
	else if (w->framing == H1_FRAMING_CHUNKED)
		result = write_chunked(out, bytes, last, e);
	else if (w->framing == H1_FRAMING_CLOSE)
		result = buf_add_str(out, bytes, e);
	else if (bytes.len > 0)
		result = err_set(e, ERR_INTERNAL, "body is longer than its Content-Length");
	if (result == 0)
		w->done = last;
	return result;
}

int h1_write_trailers(struct h1_writer *w, struct buf *out, const struct http_fields *trailers,
		      struct err *e)
{
	size_t start = out->len;

	if (w->done || w->framing != H1_FRAMING_CHUNKED)
		return h1_write_body(w, out, STR_NONE, true, e);
	if (reserve(out, trailers, 0, e) < 0)
		return -1;
	put(out, STR("0\r\n"));
	w->done = true;
	return put_fields(out, start, trailers, &no_lines, STR_NONE, e);
}

int h1_write_interim(struct buf *out, enum http_version version, unsigned status,
		     const struct http_fields *fields, struct err *e)
{
	static const struct http_fields none = {NULL, 0, 0};
	size_t start = out->len;

	if (status < HTTP_STATUS_MIN || status > 199 || status == 101)
		return err_set(e, ERR_INVALID, "%u is no interim status", status);
	if (version == HTTP_10)
		return 0;
	if (!fields)
		fields = &none;
	if (reserve(out, fields, 0, e) < 0)
		return -1;
	put_status_line(out, status);
	return put_fields(out, start, fields, &no_lines, STR_NONE, e);
}

int h1_write_switch(struct buf *out, const struct http_response *r, struct str upgrade,
		    struct err *e)
{
	size_t start = out->len;

	if (!http_is_token(upgrade))
		return err_set(e, ERR_INVALID, "malformed token of an upgrade");
	if (reserve(out, &r->fields, upgrade.len, e) < 0)
		return -1;
	put_status_line(out, 101);
	put_field(out, STR("Upgrade"), upgrade);
	put_field(out, STR("Connection"), STR("Upgrade"));
	return put_fields(out, start, &r->fields, &r->lines, STR_NONE, e);
}

/* A method without a body by custom gets no "Content-Length: 0" (RFC 9110 8.6). */
static bool announces_empty_body(struct str method)
{
	return str_eq(method, STR("POST")) || str_eq(method, STR("PUT")) ||
	       str_eq(method, STR("PATCH"));
}

static void put_request_framing(struct h1_writer *w, struct buf *out, const struct http_request *r)
{
	w->framing = H1_FRAMING_NONE;
	w->left = 0;
	if (r->has_body && r->content_length > 0) {
		w->framing = H1_FRAMING_LENGTH;
		w->left = (uint64_t)r->content_length;
		put_length(out, w->left);
	} else if (r->has_body && r->content_length < 0) {
		w->framing = H1_FRAMING_CHUNKED;
		put(out, STR("Transfer-Encoding: chunked\r\n"));
	} else if (r->content_length == 0 || announces_empty_body(r->method)) {
		put_length(out, 0);
	}
	w->done = w->framing == H1_FRAMING_NONE;
}

static void put_connection(struct buf *out, const struct h1_request_options *o)
{
	if (o->te_trailers)
		put(out, STR("TE: trailers\r\n"));
	if (o->upgrade.ptr)
		put_field(out, STR("Upgrade"), o->upgrade);
	if (!o->te_trailers && !o->upgrade.ptr && !o->close)
		return;
	put(out, STR("Connection: "));
	if (o->te_trailers)
		put(out, o->upgrade.ptr || o->close ? STR("TE, ") : STR("TE"));
	if (o->upgrade.ptr)
		put(out, STR("Upgrade"));
	else if (o->close)
		put(out, STR("close"));
	put(out, STR("\r\n"));
}

int h1_write_request(struct h1_writer *w, struct buf *out, const struct http_request *r,
		     const struct h1_request_options *o, struct err *e)
{
	size_t start = out->len;
	struct str host;

	if (!http_is_token(r->method) || !http_is_target(r->target))
		return err_set(e, ERR_INVALID, "malformed method or target");
	if (r->authority.ptr && !http_is_authority(r->authority, &host))
		return err_set(e, ERR_INVALID, "malformed authority");
	if (o->upgrade.ptr && !http_is_token(o->upgrade))
		return err_set(e, ERR_INVALID, "malformed token of an upgrade");
	if (reserve(out, &r->fields,
		    r->method.len + r->target.len + r->authority.len + o->upgrade.len, e) < 0)
		return -1;
	w->close = o->close;
	put(out, r->method);
	put(out, STR(" "));
	put(out, r->target);
	put(out, STR(" HTTP/1.1\r\n"));
	put_field(out, STR("Host"), r->authority);
	put_request_framing(w, out, r);
	put_connection(out, o);
	if (r->expect_continue && r->has_body)
		put(out, STR("Expect: 100-continue\r\n"));
	return put_fields(out, start, &r->fields, &r->lines, STR("host"), e);
}
