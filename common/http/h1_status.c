/* The head of a response: status line, and how its content is framed (RFC 9112 4, 6.3). Everything
 * that is refused here is UP-01, the row that h1_refuse turns into 502. */
#include "common/http/h1_head.h"
#include "common/http/syntax.h"

static enum h1_event refuse(struct h1_parser *p)
{
	return h1_fail(p, 502, "UP-01");
}

/* "HTTP/1.1 200 OK"; the space before an empty reason may be missing, as many servers have it. */
enum h1_event h1_status_line(struct h1_parser *p, struct str line)
{
	struct str code = str_sub(line, 9, 12);
	uint64_t status;

	if (line.len < 12 || line.ptr[8] != ' ' ||
	    h1_version(str_sub(line, 0, 8), &p->version) != 0 || str_u64(code, &status) < 0 ||
	    status < 100 || status > 599 || (line.len > 12 && line.ptr[12] != ' ') ||
	    !http_is_field_value(str_sub(line, 12, line.len)))
		return refuse(p);
	p->response->status = (unsigned)status;
	return H1_MORE;
}

/* No content, whatever the fields say: to HEAD, 1xx, 204, 304. */
static bool is_bare(const struct h1_parser *p)
{
	unsigned status = p->response->status;

	return p->no_content || status < 200 || status == 204 || status == 304;
}

/* Content-Length, which may be there once, as one number. */
static enum h1_event read_length(struct h1_parser *p, uint64_t *n)
{
	const struct h1_own_value *length = &p->own[H1_CONTENT_LENGTH];

	*n = 0;
	if (length->count == 0)
		return H1_MORE;
	if (length->count > 1 || str_u64(length->value, n) < 0 || *n > INT64_MAX)
		return refuse(p);
	p->response->content_length = (int64_t)*n;
	return H1_MORE;
}

static enum h1_event check_framing(struct h1_parser *p)
{
	const struct h1_own_value *coding = &p->own[H1_TRANSFER_ENCODING];
	bool length = p->own[H1_CONTENT_LENGTH].count > 0;
	uint64_t n;

	if (read_length(p, &n) == H1_ERROR)
		return H1_ERROR;
	if (coding->count > 0 && (length || coding->count > 1 || p->version == HTTP_10 ||
				  !str_ieq(coding->value, STR("chunked"))))
		return refuse(p);
	if (is_bare(p)) {
		/* Whoever announces content there may send it, too (UP-06). */
		if (!p->no_content && p->response->status != 304 && (n > 0 || coding->count > 0))
			p->close = true;
		return H1_MORE;
	}
	p->chunked = coding->count > 0;
	p->left = n;
	p->until_close = !p->chunked && !length;
	p->close |= p->until_close;
	return H1_MORE;
}

enum h1_event h1_status_finish(struct h1_parser *p)
{
	struct h1_connection o = {false, false, false, 0};
	const struct h1_own_value *upgrade = &p->own[H1_UPGRADE];

	if (h1_connection_options(p, &o) == H1_ERROR || check_framing(p) == H1_ERROR)
		return H1_ERROR;
	if (p->response->status == 101 && o.upgrade && upgrade->count == 1)
		p->upgrade = upgrade->value;
	return H1_MORE;
}
