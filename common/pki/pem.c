#include "common/pki/pem.h"

#include "common/core/codec.h"

/* One pass over the text: lines are walked until a BEGIN line, then the body is decoded until the
 * first dash, which must begin the END line. Line numbers are counted on the way. */

enum { WHITE = 64, BAD = 65, LINE_WIDTH = 64 };

static const struct str begin_mark = {"-----BEGIN", 10};
static const struct str end_mark = {"-----END", 8};
static const struct str dashes = {"-----", 5};

/* What each byte of a body is: a digit of base64, white space, or neither. */
static const unsigned char digit_of[256] = {
	65, 65, 65, 65, 65, 65, 65, 65, 65, 64, 64, 65, 65, 64, 65, 65, /* \t \n \r */
	65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, /* control */
	64, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 62, 65, 65, 65, 63, /* space + / */
	52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 65, 65, 65, 65, 65, 65, /* 0-9 */
	65, 0,	1,  2,	3,  4,	5,  6,	7,  8,	9,  10, 11, 12, 13, 14, /* A-O */
	15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 65, 65, 65, 65, 65, /* P-Z */
	65, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, /* a-o */
	41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 65, 65, 65, 65, 65, /* p-z */
	65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, /* not ASCII */
	65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65,
	65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65,
	65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65,
	65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65,
	65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65,
};

struct scan {
	struct str text;
	size_t at;
	size_t line; /* of `at`, 1-based */
};

/* The line at s->at without its end; moves past it. */
static struct str next_line(struct scan *s)
{
	size_t from = s->at;
	const char *end = memchr(s->text.ptr + from, '\n', s->text.len - from);
	size_t to = end ? (size_t)(end - s->text.ptr) : s->text.len;

	s->at = end ? to + 1 : to;
	s->line++;
	return str_sub(s->text, from, to);
}

static struct str trim_end(struct str s)
{
	while (s.len > 0 && digit_of[(unsigned char)s.ptr[s.len - 1]] == WHITE)
		s.len--;
	return s;
}

/* "-----BEGIN LABEL-----" to LABEL; false when it is not exactly that. */
static bool label_of(struct str line, struct str mark, struct str *label)
{
	line = trim_end(line);
	if (line.len <= mark.len + 1 + dashes.len || !str_starts(line, mark) ||
	    !str_ends(line, dashes) || line.ptr[mark.len] != ' ')
		return false;
	*label = str_sub(line, mark.len + 1, line.len - dashes.len);
	for (size_t i = 0; i < label->len; i++)
		if (label->ptr[i] <= ' ' && (label->ptr[i] != ' ' || i == 0))
			return false;
	return str_find(*label, '-', 0) == label->len;
}

/* Says why the body cannot be decoded at s->at: a header line, an encrypted key, or junk. */
static int body_error(const struct scan *s, struct err *e)
{
	size_t from = s->at;
	struct str line;

	if (from >= s->text.len)
		return err_set(e, ERR_INVALID, "the END line is missing");
	while (from > 0 && s->text.ptr[from - 1] != '\n')
		from--;
	line = str_sub(s->text, from, str_find(s->text, '\n', from));
	if (str_starts(line, STR("Proc-Type:")) || str_starts(line, STR("DEK-Info:")))
		return err_set(e, ERR_INVALID, "the key is encrypted; a plain key is needed");
	if (str_find(line, ':', 0) < line.len)
		return err_set(e, ERR_INVALID, "headers inside a block are not supported");
	if (str_starts(line, begin_mark))
		return err_set(e, ERR_INVALID, "the END line is missing");
	return err_set(e, ERR_INVALID, "not a base64 character at line %zu", s->line);
}

/* Decodes whole groups of four digits that stand together; the common case. */
static void decode_run(struct scan *s, struct buf *out)
{
	const unsigned char *p = (const unsigned char *)s->text.ptr + s->at;
	const unsigned char *end = (const unsigned char *)s->text.ptr + s->text.len;
	char *w = out->data + out->len;

	for (; end - p >= 4; p += 4) {
		unsigned a = digit_of[p[0]], b = digit_of[p[1]], c = digit_of[p[2]];
		unsigned d = digit_of[p[3]];
		uint32_t v = a << 18 | b << 12 | c << 6 | d;

		if ((a | b | c | d) >= WHITE)
			break;
		*w++ = (char)(v >> 16);
		*w++ = (char)(v >> 8 & 0xff);
		*w++ = (char)(v & 0xff);
	}
	s->at = (size_t)((const char *)p - s->text.ptr);
	out->len = (size_t)(w - out->data);
}

/* The last group's missing digits: `have` of them are in bits, padding follows at s->at. */
static int decode_tail(struct scan *s, struct buf *out, uint32_t bits, unsigned have, struct err *e)
{
	unsigned pad = 0;

	for (; s->at < s->text.len; s->at++) {
		unsigned char c = (unsigned char)s->text.ptr[s->at];

		if (c == '=')
			pad++;
		else if (digit_of[c] != WHITE)
			break;
		s->line += c == '\n';
	}
	if (have == 0 && pad == 0)
		return 0;
	if (have < 2 || have + pad != 4)
		return err_set(e, ERR_INVALID, "base64 text is cut short or wrongly padded");
	if (bits & (have == 2 ? 0xFU : 0x3U))
		return err_set(e, ERR_INVALID, "base64 text ends with stray bits");
	out->data[out->len++] = (char)(have == 2 ? bits >> 4 : bits >> 10);
	if (have == 3)
		out->data[out->len++] = (char)(bits >> 2 & 0xff);
	return 0;
}

/* The body from s->at to the dash of its END line. */
static int decode_body(struct scan *s, struct buf *out, struct err *e)
{
	const char *dash = memchr(s->text.ptr + s->at, '-', s->text.len - s->at);
	size_t room = (dash ? (size_t)(dash - s->text.ptr) : s->text.len) - s->at;
	uint32_t bits = 0;
	unsigned have = 0;

	if (buf_reserve(out, room / 4 * 3 + 4, e) < 0)
		return err_prefix(e, "decoding a PEM block");
	for (; s->at < s->text.len; s->at++) {
		unsigned digit;

		if (have == 0)
			decode_run(s, out);
		if (s->at == s->text.len)
			break;
		digit = digit_of[(unsigned char)s->text.ptr[s->at]];
		if (digit == BAD)
			break;
		if (digit == WHITE) {
			s->line += s->text.ptr[s->at] == '\n';
			continue;
		}
		bits = bits << 6 | digit;
		if (++have < 4)
			continue;
		out->data[out->len++] = (char)(bits >> 16 & 0xff);
		out->data[out->len++] = (char)(bits >> 8 & 0xff);
		out->data[out->len++] = (char)(bits & 0xff);
		have = 0;
		bits = 0;
	}
	if (s->at < s->text.len && s->text.ptr[s->at] != '-' && s->text.ptr[s->at] != '=')
		return body_error(s, e);
	if (s->at < s->text.len && s->text.ptr[s->at] == '-' && s->at > 0 &&
	    s->text.ptr[s->at - 1] != '\n')
		return body_error(s, e);
	return decode_tail(s, out, bits, have, e);
}

static int parse_end(struct scan *s, struct str label, struct err *e)
{
	struct scan line_scan = *s;
	struct str line, name;

	if (s->at >= s->text.len)
		return err_set(e, ERR_INVALID, "the END line is missing");
	line = next_line(&line_scan);
	if (!str_starts(line, end_mark))
		return body_error(s, e);
	if (!label_of(line, end_mark, &name) || !str_eq(name, label))
		return err_set(e, ERR_INVALID, "the END line does not match the BEGIN line");
	*s = line_scan;
	return 0;
}

static int parse_block(struct scan *s, struct pem_block *b, struct str label, struct err *e)
{
	if (label.len >= sizeof(b->label))
		return err_set(e, ERR_INVALID, "the label is too long");
	memcpy(b->label, label.ptr, label.len);
	if (str_eq(label, STR("ENCRYPTED PRIVATE KEY")))
		return err_set(e, ERR_INVALID, "the key is encrypted; a plain key is needed");
	b->der.secret = str_ends(label, STR("PRIVATE KEY"));
	if (decode_body(s, &b->der, e) < 0 || parse_end(s, label, e) < 0)
		return -1;
	if (b->der.len == 0)
		return err_set(e, ERR_INVALID, "the block is empty");
	b->der.data[b->der.len] = '\0';
	return 0;
}

/* Finds the next BEGIN line and reads its block. 0 with *found false at the end of the text. */
static int next_block(struct scan *s, struct pem_blocks *out, bool *found, struct err *e)
{
	struct pem_block *b;
	struct str line, label;

	*found = false;
	do {
		if (s->at >= s->text.len)
			return 0;
		line = next_line(s);
		if (str_starts(line, end_mark))
			return err_set(e, ERR_INVALID, "line %zu: END without BEGIN", s->line - 1);
	} while (!str_starts(line, begin_mark));
	if (!label_of(line, begin_mark, &label))
		return err_set(e, ERR_INVALID, "line %zu: malformed BEGIN line", s->line - 1);
	if (out->count == PEM_BLOCKS_MAX)
		return err_set(e, ERR_LIMIT, "more than %d PEM blocks", PEM_BLOCKS_MAX);
	b = &out->items[out->count++];
	memset(b, 0, sizeof(*b));
	b->line = s->line - 1;
	*found = true;
	if (parse_block(s, b, label, e) < 0)
		return err_prefix(e, "PEM block %zu (line %zu)", out->count, b->line);
	return 0;
}

int pem_parse(struct pem_blocks *out, struct str text, struct err *e)
{
	struct scan s = {text, 0, 1};
	bool found = true;

	out->count = 0;
	if (text.len > PEM_TEXT_MAX)
		return err_set(e, ERR_LIMIT, "PEM text is longer than %d bytes", PEM_TEXT_MAX);
	if (str_starts(text, STR("\xEF\xBB\xBF"))) /* byte order mark of some editors */
		s.at = 3;
	while (found) {
		if (next_block(&s, out, &found, e) < 0) {
			pem_free(out);
			return -1;
		}
	}
	return 0;
}

void pem_free(struct pem_blocks *b)
{
	for (size_t i = 0; i < b->count; i++)
		buf_deinit(&b->items[i].der);
	b->count = 0;
}

static int write_lines(struct buf *out, struct str text, struct err *e)
{
	for (size_t i = 0; i < text.len; i += LINE_WIDTH) {
		if (buf_add_str(out, str_sub(text, i, i + LINE_WIDTH), e) < 0 ||
		    buf_add(out, "\n", 1, e) < 0)
			return -1;
	}
	return 0;
}

int pem_write(struct buf *out, const char *label, struct str der, struct err *e)
{
	struct buf text = BUF_INIT;
	int result = -1;

	text.secret = out->secret;
	if (base64_encode(&text, der, e) == 0 &&
	    buf_addf(out, e, "-----BEGIN %s-----\n", label) == 0 &&
	    write_lines(out, buf_str(&text), e) == 0 &&
	    buf_addf(out, e, "-----END %s-----\n", label) == 0)
		result = 0;
	buf_deinit(&text);
	return result < 0 ? err_prefix(e, "writing PEM") : 0;
}
