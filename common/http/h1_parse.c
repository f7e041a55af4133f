#include "common/http/h1_parse.h"

#include <assert.h>
#include <string.h>

#include "common/core/sm.h"
#include "common/http/h1_head.h"
#include "common/http/syntax.h"

enum {
	CHUNK_DIGITS = 16,
	LIMIT_MAX = 16 << 20, /* of any line or section: keeps the sums below far from wrapping */
	TLS_HANDSHAKE = 0x16, /* first byte of a ClientHello's record */
};

static const struct h1_limits defaults = {
	.request_line = 8 << 10,
	.field = 16 << 10,
	.head = 32 << 10,
	.fields = 100,
	.chunk_line = 256,
	.extensions = 16 << 10,
	.trailers = 8 << 10,
	.trailer_fields = 32,
};

static const struct sm_state states[] = {
	[H1_STATE_DONE] = {"done", SM_TO(H1_STATE_LINE)},
	[H1_STATE_LINE] = {"line", SM_TO(H1_STATE_FIELDS) | SM_TO(H1_STATE_FAILED)},
	[H1_STATE_FIELDS] = {"fields", SM_TO(H1_STATE_FIXED) | SM_TO(H1_STATE_CLOSE) |
					       SM_TO(H1_STATE_CHUNK) | SM_TO(H1_STATE_FAILED)},
	[H1_STATE_FIXED] = {"fixed", SM_TO(H1_STATE_DONE) | SM_TO(H1_STATE_FAILED)},
	[H1_STATE_CLOSE] = {"close", SM_TO(H1_STATE_DONE)},
	[H1_STATE_CHUNK] = {"chunk", SM_TO(H1_STATE_DATA) | SM_TO(H1_STATE_TRAILERS) |
					     SM_TO(H1_STATE_FAILED)},
	[H1_STATE_DATA] = {"data", SM_TO(H1_STATE_DATA_END) | SM_TO(H1_STATE_FAILED)},
	[H1_STATE_DATA_END] = {"data_end", SM_TO(H1_STATE_CHUNK) | SM_TO(H1_STATE_FAILED)},
	[H1_STATE_TRAILERS] = {"trailers", SM_TO(H1_STATE_DONE) | SM_TO(H1_STATE_FAILED)},
	[H1_STATE_FAILED] = {"failed", 0},
};
static_assert(array_len(states) == H1_STATE_COUNT, "one row per state");

static const struct sm machine = {"h1_parser", states, H1_STATE_COUNT};

static void h1_parser_move(struct h1_parser *p, enum h1_state to)
{
	p->state = (enum h1_state)sm_move(&machine, p->state, to, NULL);
}

void h1_refuse(struct h1_parser *p, unsigned status, const char *reason)
{
	p->status = p->response && status != 500 ? 502 : status;
	p->reason = reason;
	buf_deinit(&p->partial);
	h1_parser_move(p, H1_STATE_FAILED);
}

static size_t limit_or(size_t limit, size_t standard)
{
	if (limit == 0)
		return standard;
	return limit < LIMIT_MAX ? limit : (size_t)LIMIT_MAX;
}

void h1_parser_init(struct h1_parser *p, const struct h1_limits *limits, struct str scheme)
{
	struct h1_limits given = limits ? *limits : (struct h1_limits){.body = 0};

	memset(p, 0, sizeof(*p));
	p->limits = (struct h1_limits){
		.request_line = limit_or(given.request_line, defaults.request_line),
		.field = limit_or(given.field, defaults.field),
		.head = limit_or(given.head, defaults.head),
		.fields = given.fields ? given.fields : defaults.fields,
		.chunk_line = limit_or(given.chunk_line, defaults.chunk_line),
		.extensions = limit_or(given.extensions, defaults.extensions),
		.trailers = limit_or(given.trailers, defaults.trailers),
		.trailer_fields =
			given.trailer_fields ? given.trailer_fields : defaults.trailer_fields,
		.body = given.body,
	};
	p->scheme = scheme;
	buf_init(&p->partial, 0);
}

void h1_parser_deinit(struct h1_parser *p)
{
	buf_deinit(&p->partial);
}

/* What both kinds of messages begin with. */
static void start(struct h1_parser *p, struct arena *a)
{
	p->close = p->chunked = p->te_trailers = p->blank = p->data_cr = p->until_close = false;
	p->upgrade = p->absolute = STR_NONE;
	p->refuse = 0;
	p->trailers = p->connection = (struct http_fields){NULL, 0, 0};
	p->arena = a;
	p->section = p->extensions = 0;
	p->lines = NULL;
	p->lines_len = p->lines_cap = 0;
	p->left = p->received = 0;
	p->field_count = 0;
	memset(p->own, 0, sizeof(p->own));
	h1_parser_move(p, H1_STATE_LINE);
}

void h1_parser_start(struct h1_parser *p, struct arena *a, struct http_request *request)
{
	if (p->state == H1_STATE_FAILED)
		return;
	start(p, a);
	p->request = request;
	memset(request, 0, sizeof(*request));
	request->content_length = -1;
	request->scheme = p->scheme;
}

void h1_parser_start_response(struct h1_parser *p, struct arena *a, struct http_response *response,
			      struct str method)
{
	if (p->state == H1_STATE_FAILED)
		return;
	start(p, a);
	p->response = response;
	p->no_content = str_eq(method, STR("HEAD"));
	*response = (struct http_response){.content_length = -1};
}

bool h1_parser_started(const struct h1_parser *p)
{
	if (p->state == H1_STATE_LINE)
		return p->section > 0 || p->partial.len > 0;
	return p->state != H1_STATE_DONE && p->state != H1_STATE_FAILED;
}

static void consume(struct str *in, size_t n)
{
	*in = str_sub(*in, n, in->len);
}

/* --- lines --- */

/* What a line may cost: its own limit, and what is left for the section that it stands in. */
struct line_limit {
	size_t line; /* without CRLF */
	const char *line_reason;
	unsigned line_status;
	size_t section; /* with CRLFs; SIZE_MAX: none */
	const char *section_reason;
	unsigned section_status;
};

/* Whether a line of n bytes with its LF (or n bytes and at least one more to come) is too long:
 * the same answer wherever the input was cut. */
static enum h1_event check_length(struct h1_parser *p, const struct line_limit *limit, size_t n)
{
	size_t line = limit->line + 2;
	size_t section = limit->section == SIZE_MAX ? SIZE_MAX : limit->section - p->section;

	if (n <= line && n <= section)
		return H1_MORE;
	if (line <= section)
		return h1_fail(p, limit->line_status, limit->line_reason);
	return h1_fail(p, limit->section_status, limit->section_reason);
}

/* Takes a line off the input. True: *line is it, without CRLF, until the next line is taken.
 * False: *event is H1_MORE or H1_ERROR. */
static bool take_line(struct h1_parser *p, struct str *in, const struct line_limit *limit,
		      struct str *line, enum h1_event *event)
{
	const char *lf = in->len > 0 ? memchr(in->ptr, '\n', in->len) : NULL;
	size_t n = lf ? (size_t)(lf - in->ptr) + 1 : in->len;
	struct str whole = str_sub(*in, 0, n);

	*event = check_length(p, limit, p->partial.len + n + (lf ? 0 : 1));
	if (*event == H1_ERROR)
		return false;
	consume(in, n);
	if (!lf || p->partial.len > 0) {
		if (n > 0 && buf_add_str(&p->partial, whole, NULL) < 0) {
			*event = h1_fail_memory(p);
			return false;
		}
		if (!lf)
			return false;
		whole = buf_str(&p->partial);
	}
	if (whole.len < 2 || whole.ptr[whole.len - 2] != '\r') {
		*event = h1_fail(p, 400, "H1-10");
		return false;
	}
	p->section += whole.len;
	*line = str_sub(whole, 0, whole.len - 2);
	return true;
}

/* --- request line --- */

/* What can be no message is refused at its first byte, not when its line ends: TLS has no lines. */
static enum h1_event check_first_byte(struct h1_parser *p, char first)
{
	if (p->response)
		return first == 'H' ? H1_MORE : h1_fail(p, 502, "UP-01");
	if (first == TLS_HANDSHAKE)
		return h1_fail(p, 400, "H1-38");
	if (first == ' ' || first == '\t')
		return h1_fail(p, 400, "H1-14");
	if (first != '\r' && first != '\n' && !http_token_lower[(unsigned char)first])
		return h1_fail(p, 400, "H1-16");
	return H1_MORE;
}

/* Room for the fields that are there to be read, one behind the other. Each line may grow by the
 * space behind its colon. Fields that come later, or find no room, stand alone. */
static void make_room(struct h1_parser *p, struct str in)
{
	size_t at = 0, lines = 0, n = 0;

	while (at < in.len && at < p->limits.head && n != 2) {
		const char *lf = memchr(in.ptr + at, '\n', in.len - at);

		if (!lf)
			break;
		n = (size_t)(lf - in.ptr) + 1 - at;
		at += n;
		lines++;
	}
	if (lines < 2)
		return;
	p->lines = arena_raw(p->arena, at + lines);
	p->lines_cap = p->lines ? at + lines : 0;
}

static bool step_line(struct h1_parser *p, struct str *in, struct str *body, enum h1_event *event)
{
	const struct line_limit limit = {p->limits.request_line, "limit_request_line", 414,
					 p->limits.head,	 "limit_head",	       431};
	struct str line;

	(void)body;
	*event = H1_MORE;
	if (p->partial.len == 0 && in->len > 0)
		*event = check_first_byte(p, in->ptr[0]);
	if (*event == H1_ERROR || !take_line(p, in, &limit, &line, event))
		return true;
	if (line.len > 0) {
		*event = p->response ? h1_status_line(p, line) : h1_request_line(p, line);
		if (*event == H1_MORE) {
			h1_parser_move(p, H1_STATE_FIELDS);
			make_room(p, *in);
		}
	} else if (p->blank) {
		*event = h1_fail(p, 400, "H1-13");
	} else {
		p->blank = true;
	}
	buf_clear(&p->partial);
	return *event == H1_ERROR;
}

/* --- fields --- */

static enum h1_event finish_head(struct h1_parser *p)
{
	struct http_lines *lines = p->response ? &p->response->lines : &p->request->lines;
	enum h1_state content = H1_STATE_FIXED;

	if ((p->response ? h1_status_finish(p) : h1_head_finish(p)) == H1_ERROR)
		return H1_ERROR;
	lines->of[0] = (struct str){p->lines, p->lines_len};
	p->lines_len = p->lines_cap = 0; /* trailers are none of them */
	p->section = 0;
	p->field_count = 0;
	buf_deinit(&p->partial);
	if (p->chunked)
		content = H1_STATE_CHUNK;
	else if (p->until_close)
		content = H1_STATE_CLOSE;
	h1_parser_move(p, content);
	return H1_HEAD;
}

static bool step_fields(struct h1_parser *p, struct str *in, struct str *body, enum h1_event *event)
{
	const struct line_limit limit = {p->limits.field, "limit_field", 431,
					 p->limits.head,  "limit_head",	 431};
	struct str line;

	(void)body;
	if (!take_line(p, in, &limit, &line, event))
		return true;
	if (line.len == 0) {
		*event = finish_head(p);
		return true;
	}
	*event = h1_head_field(p, line);
	buf_clear(&p->partial);
	return *event == H1_ERROR;
}

/* --- content --- */

static void take_content(struct h1_parser *p, struct str *in, struct str *body)
{
	size_t n = in->len < p->left ? in->len : (size_t)p->left;

	*body = str_sub(*in, 0, n);
	consume(in, n);
	p->left -= n;
	p->received += n;
}

static bool step_fixed(struct h1_parser *p, struct str *in, struct str *body, enum h1_event *event)
{
	if (p->left == 0) {
		*event = H1_END;
		h1_parser_move(p, H1_STATE_DONE);
	} else if (in->len == 0) {
		*event = H1_MORE;
	} else {
		*event = H1_BODY;
		take_content(p, in, body);
	}
	return true;
}

static bool step_close(struct h1_parser *p, struct str *in, struct str *body, enum h1_event *event)
{
	*event = in->len > 0 ? H1_BODY : H1_MORE;
	p->left = in->len;
	if (in->len > 0)
		take_content(p, in, body);
	return true;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* H1-26, H1-27. */
static enum h1_event parse_chunk_line(struct h1_parser *p, struct str line)
{
	uint64_t size = 0;
	size_t n = 0;

	for (; n < line.len && hex_value(line.ptr[n]) >= 0; n++) {
		if (n == CHUNK_DIGITS)
			return h1_fail_line(p, line, "H1-26");
		size = size << 4 | (unsigned)hex_value(line.ptr[n]);
	}
	if (n == 0 || size > INT64_MAX - p->received || (n < line.len && line.ptr[n] != ';'))
		return h1_fail_line(p, line, "H1-26");
	p->extensions += line.len - n;
	if (p->extensions > p->limits.extensions)
		return h1_fail(p, 400, "limit_extensions");
	if (!http_is_chunk_extensions(str_sub(line, n, line.len)))
		return h1_fail_line(p, line, "H1-27");
	if (p->limits.body && size > p->limits.body - p->received)
		return h1_fail(p, 413, "limit_body");
	p->left = size;
	p->section = 0;
	h1_parser_move(p, size > 0 ? H1_STATE_DATA : H1_STATE_TRAILERS);
	return H1_MORE;
}

static bool step_chunk(struct h1_parser *p, struct str *in, struct str *body, enum h1_event *event)
{
	const struct line_limit limit = {
		p->limits.chunk_line, "limit_chunk_line", 400, SIZE_MAX, NULL, 0};
	struct str line;

	(void)body;
	if (!take_line(p, in, &limit, &line, event))
		return true;
	*event = parse_chunk_line(p, line);
	buf_clear(&p->partial);
	return *event == H1_ERROR;
}

static bool step_data(struct h1_parser *p, struct str *in, struct str *body, enum h1_event *event)
{
	*event = in->len > 0 ? H1_BODY : H1_MORE;
	if (in->len > 0)
		take_content(p, in, body);
	if (p->left == 0)
		h1_parser_move(p, H1_STATE_DATA_END);
	return true;
}

/* Exactly CRLF (H1-28). */
static bool step_data_end(struct h1_parser *p, struct str *in, struct str *body,
			  enum h1_event *event)
{
	(void)body;
	*event = H1_MORE;
	while (in->len > 0) {
		if (in->ptr[0] != (p->data_cr ? '\n' : '\r')) {
			*event = h1_fail(p, 400, "H1-28");
			return true;
		}
		consume(in, 1);
		p->data_cr = !p->data_cr;
		if (!p->data_cr) {
			h1_parser_move(p, H1_STATE_CHUNK);
			return false;
		}
	}
	return true;
}

static enum h1_event add_trailer(struct h1_parser *p, struct str line)
{
	struct http_field field;

	if (p->field_count >= p->limits.trailer_fields)
		return h1_fail(p, 400, "limit_trailer_fields");
	if (line.ptr[0] == ' ' || line.ptr[0] == '\t')
		return h1_fail(p, 400, "H1-09");
	if (h1_field(p, line, &field) == H1_ERROR)
		return H1_ERROR;
	if (http_is_forbidden_trailer(field.name))
		return H1_MORE;
	if (http_fields_add(&p->trailers, p->arena, field.name, field.value) < 0)
		return h1_fail_memory(p);
	return H1_MORE;
}

static bool step_trailers(struct h1_parser *p, struct str *in, struct str *body,
			  enum h1_event *event)
{
	const struct line_limit limit = {p->limits.field,    "limit_field",    400,
					 p->limits.trailers, "limit_trailers", 400};
	struct str line;

	(void)body;
	if (!take_line(p, in, &limit, &line, event))
		return true;
	if (line.len == 0) {
		buf_deinit(&p->partial);
		*event = H1_END;
		h1_parser_move(p, H1_STATE_DONE);
		return true;
	}
	*event = add_trailer(p, line);
	buf_clear(&p->partial);
	return *event == H1_ERROR;
}

static bool step_done(struct h1_parser *p, struct str *in, struct str *body, enum h1_event *event)
{
	(void)p;
	(void)in;
	(void)body;
	*event = H1_END;
	return true;
}

static bool step_failed(struct h1_parser *p, struct str *in, struct str *body, enum h1_event *event)
{
	(void)p;
	(void)in;
	(void)body;
	*event = H1_ERROR;
	return true;
}

/* Each takes what it can; true: *event is to be given, false: go on in the state that it moved to.
 */
static bool (*const steps[])(struct h1_parser *p, struct str *in, struct str *body,
			     enum h1_event *event) = {
	[H1_STATE_DONE] = step_done,	     [H1_STATE_LINE] = step_line,
	[H1_STATE_FIELDS] = step_fields,     [H1_STATE_FIXED] = step_fixed,
	[H1_STATE_CLOSE] = step_close,	     [H1_STATE_CHUNK] = step_chunk,
	[H1_STATE_DATA] = step_data,	     [H1_STATE_DATA_END] = step_data_end,
	[H1_STATE_TRAILERS] = step_trailers, [H1_STATE_FAILED] = step_failed,
};
static_assert(array_len(steps) == H1_STATE_COUNT, "one step per state");

enum h1_event h1_parse(struct h1_parser *p, struct str *in, struct str *body)
{
	enum h1_event event = H1_MORE;

	while (!steps[p->state](p, in, body, &event))
		;
	return event;
}

bool h1_parser_has_content(const struct h1_parser *p)
{
	return p->chunked || p->until_close || p->left > 0;
}

enum h1_event h1_parse_end(struct h1_parser *p)
{
	bool whole = p->state == H1_STATE_CLOSE || p->state == H1_STATE_DONE;

	if (p->state == H1_STATE_FAILED)
		return H1_ERROR;
	if (!whole && (p->state != H1_STATE_LINE || h1_parser_started(p)))
		return h1_fail(p, 400, "UP-02");
	if (p->state == H1_STATE_CLOSE)
		h1_parser_move(p, H1_STATE_DONE);
	return H1_END;
}

enum h1_preface h1_preface(size_t had, struct str bytes)
{
	size_t n = H1_PREFACE_SIZE - had < bytes.len ? H1_PREFACE_SIZE - had : bytes.len;

	if (n > 0 && memcmp(&H1_PREFACE[had], bytes.ptr, n) != 0)
		return H1_PREFACE_NO;
	return had + n == H1_PREFACE_SIZE ? H1_PREFACE_WHOLE : H1_PREFACE_PART;
}
