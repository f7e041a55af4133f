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
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	put(out, (struct str){digits + at, sizeof(digits) - at});
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

/* Checks the fields and makes room for them and our own lines. */
static int prepare(struct buf *out, const struct http_fields *f, size_t more, struct err *e)
{
	size_t need = OWN_LINES + more;

	for (size_t i = 0; i < f->count; i++) {
		const struct http_field *field = &f->items[i];

		if (!http_is_token(field->name))
			return err_set(e, ERR_INVALID, "field name %zu is not a token", i + 1);
		if (!http_is_field_value(field->value))
			return err_set(e, ERR_INVALID, "control byte in the value of field %.*s",
				       (int)field->name.len, field->name.ptr);
		need += field->name.len + field->value.len + LINE_SLACK;
	}
	return buf_reserve(out, need, e);
}

/* STR_NONE as `without`: none. */
static void put_fields(struct buf *out, const struct http_fields *f, struct str without)
{
	for (size_t i = 0; i < f->count; i++)
		if (!is_own(f->items[i].name) && !str_ieq(f->items[i].name, without))
			put_field(out, f->items[i].name, f->items[i].value);
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
	bool server = o->server.ptr && !http_fields_get(&r->fields, STR("server")).ptr;

	if (r->status < 200 || r->status > HTTP_STATUS_MAX)
		return err_set(e, ERR_INVALID, "%u is no final status", r->status);
	if (prepare(out, &r->fields, o->date.len + o->server.len, e) < 0)
		return -1;
	w->close = o->close;
	put_status_line(out, r->status);
	if (o->date.ptr)
		put_field(out, STR("Date"), o->date);
	if (server)
		put_field(out, STR("Server"), o->server);
	put_framing(w, out, r, o);
	w->done = o->end || o->head_only || !status_has_body(r->status);
	if (w->close)
		put(out, STR("Connection: close\r\n"));
	else if (o->version == HTTP_10)
		put(out, STR("Connection: keep-alive\r\n"));
	put_fields(out, &r->fields, o->date.ptr ? STR("date") : STR_NONE);
	put(out, STR("\r\n"));
	return 0;
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
	if (w->done || w->framing != H1_FRAMING_CHUNKED)
		return h1_write_body(w, out, STR_NONE, true, e);
	if (prepare(out, trailers, 0, e) < 0)
		return -1;
	put(out, STR("0\r\n"));
	put_fields(out, trailers, STR_NONE);
	put(out, STR("\r\n"));
	w->done = true;
	return 0;
}

int h1_write_interim(struct buf *out, enum http_version version, unsigned status,
		     const struct http_fields *fields, struct err *e)
{
	static const struct http_fields none = {NULL, 0, 0};

	if (status < HTTP_STATUS_MIN || status > 199 || status == 101)
		return err_set(e, ERR_INVALID, "%u is no interim status", status);
	if (version == HTTP_10)
		return 0;
	if (!fields)
		fields = &none;
	if (prepare(out, fields, 0, e) < 0)
		return -1;
	put_status_line(out, status);
	put_fields(out, fields, STR_NONE);
	put(out, STR("\r\n"));
	return 0;
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

int h1_write_request(struct h1_writer *w, struct buf *out, const struct http_request *r, bool close,
		     struct err *e)
{
	struct str host;

	if (!http_is_token(r->method) || !http_is_target(r->target))
		return err_set(e, ERR_INVALID, "malformed method or target");
	if (r->authority.ptr && !http_is_authority(r->authority, &host))
		return err_set(e, ERR_INVALID, "malformed authority");
	if (prepare(out, &r->fields, r->method.len + r->target.len + r->authority.len, e) < 0)
		return -1;
	w->close = close;
	put(out, r->method);
	put(out, STR(" "));
	put(out, r->target);
	put(out, STR(" HTTP/1.1\r\n"));
	put_field(out, STR("Host"), r->authority);
	put_request_framing(w, out, r);
	if (close)
		put(out, STR("Connection: close\r\n"));
	if (r->expect_continue && r->has_body)
		put(out, STR("Expect: 100-continue\r\n"));
	put_fields(out, &r->fields, STR("host"));
	put(out, STR("\r\n"));
	return 0;
}
