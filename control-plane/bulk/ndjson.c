#include "control-plane/bulk/ndjson.h"

enum { PARTIAL_KEPT = 64 << 10 };

void ndjson_init(struct ndjson *s, size_t line_max)
{
	*s = (struct ndjson){.line_max = line_max};
	buf_init(&s->partial, line_max + 1);
	s->partial.secret = true;
}

void ndjson_deinit(struct ndjson *s)
{
	buf_deinit(&s->partial);
}

static struct str trimmed(struct str text)
{
	while (text.len > 0 && (text.ptr[text.len - 1] == '\r' || text.ptr[text.len - 1] == ' ' ||
				text.ptr[text.len - 1] == '\t'))
		text.len--;
	return text;
}

static bool is_blank(struct str text)
{
	return str_trim(text).len == 0;
}

/* The line is over: what to give out of it. */
static bool give(struct ndjson *s, struct str text, struct ndjson_line *out)
{
	bool too_long = s->skipping;

	s->begun = false;
	s->skipping = false;
	/* A byte order mark of some editors. */
	if (s->number == 1 && str_starts(text, STR("\xEF\xBB\xBF")))
		text = str_sub(text, 3, text.len);
	text = trimmed(text);
	if (!too_long && is_blank(text))
		return false;
	*out = (struct ndjson_line){s->number, too_long ? STR("") : text, too_long};
	return true;
}

static void begin(struct ndjson *s)
{
	if (s->given) {
		s->given = false;
		if (s->partial.cap > PARTIAL_KEPT)
			buf_deinit(&s->partial);
		buf_clear(&s->partial);
	}
	if (!s->begun)
		s->number++;
	s->begun = true;
}

/* Adds to the line that is kept; drops it when it becomes too long. */
static int keep(struct ndjson *s, struct str piece, struct err *e)
{
	if (s->skipping)
		return 0;
	if (s->partial.len + piece.len > s->line_max) {
		s->skipping = true;
		buf_deinit(&s->partial);
		return 0;
	}
	return buf_add_str(&s->partial, piece, e);
}

/* Ends the line with piece; true: it is given out. */
static int end_line(struct ndjson *s, struct str piece, struct ndjson_line *out, struct err *e)
{
	if (s->partial.len == 0 && !s->skipping && piece.len <= s->line_max)
		return give(s, piece, out);
	if (keep(s, piece, e) < 0)
		return -1;
	s->given = true;
	return give(s, buf_str(&s->partial), out);
}

int ndjson_next(struct ndjson *s, struct str *in, bool last, struct ndjson_line *out, struct err *e)
{
	while (in->len > 0) {
		const char *feed = memchr(in->ptr, '\n', in->len);
		size_t n = feed ? (size_t)(feed - in->ptr) : in->len;
		struct str piece = str_sub(*in, 0, n);
		int rc;

		begin(s);
		*in = str_sub(*in, feed ? n + 1 : n, in->len);
		if (!feed) {
			if (keep(s, piece, e) < 0)
				return -1;
			break;
		}
		rc = end_line(s, piece, out, e);
		if (rc != 0)
			return rc;
	}
	if (!last || !s->begun)
		return 0;
	return end_line(s, STR(""), out, e);
}
