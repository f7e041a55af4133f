/* Paths in entities. */
#include "control-plane/model/path.h"

#include "control-plane/model/regex.h"

static bool is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("-._~", c));
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_escape(struct str s, size_t at)
{
	return at + 2 < s.len && hex_value(s.ptr[at + 1]) >= 0 && hex_value(s.ptr[at + 2]) >= 0;
}

/* Characters of a path (RFC 3986 section 3.3) and valid escapes. */
static int check_characters(struct str s, bool utf8, struct err *e)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];

		if (c == '%' && !is_escape(s, i))
			return err_set(e, ERR_INVALID, "invalid url-encoded value: '%.3s'",
				       s.ptr + i);
		if (!is_unreserved(c) && !strchr("/%:@!$&'()*+,;=", c) &&
		    !(utf8 && (unsigned char)c >= 0x80))
			return err_set(e, ERR_INVALID,
				       "invalid path: '%s' (characters outside of the reserved "
				       "list of RFC 3986 found)",
				       s.ptr);
	}
	return 0;
}

static struct str text_of(const json_t *value)
{
	return (struct str){json_string_value(value), json_string_length(value)};
}

int path_check(const json_t *value, struct err *e)
{
	struct str s = text_of(value);

	if (s.ptr[0] != '/')
		return err_set(e, ERR_INVALID, "should start with: /");
	if (strstr(s.ptr, "//"))
		return err_set(e, ERR_INVALID, "must not have empty segments");
	return check_characters(s, false, e);
}

/* Decodes unreserved escapes and writes the others in upper case. */
static int decode(struct buf *out, struct str s, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < s.len && rc == 0; i++) {
		unsigned byte = (unsigned char)s.ptr[i];

		if (byte != '%') {
			rc = buf_add(out, &s.ptr[i], 1, e);
			continue;
		}
		byte = (unsigned)(hex_value(s.ptr[i + 1]) * 16 + hex_value(s.ptr[i + 2]));
		if (byte < 0x80 && is_unreserved((char)byte))
			rc = buf_addf(out, e, "%c", (int)byte);
		else
			rc = buf_addf(out, e, "%%%02X", byte);
		i += 2;
	}
	return rc;
}

static void drop_last(struct buf *out, size_t start)
{
	while (out->len > start && out->data[--out->len] != '/')
		;
}

/* RFC 3986 section 5.2.4. */
static int remove_dots(struct buf *out, struct str s, struct err *e)
{
	struct str rest = str_sub(s, 1, s.len), segment;
	size_t start = out->len;
	bool dots = false;
	int rc = 0;

	while (rc == 0 && str_split(&rest, '/', &segment)) {
		bool up = str_eq(segment, STR(".."));

		dots = up || str_eq(segment, STR("."));
		if (up)
			drop_last(out, start);
		if (!dots)
			rc = buf_addf(out, e, "/%.*s", (int)segment.len, segment.ptr);
	}
	if (rc == 0 && (dots || out->len == start))
		rc = buf_add_str(out, STR("/"), e);
	return rc;
}

int path_normalise(struct buf *out, struct str s, struct err *e)
{
	struct buf decoded = BUF_INIT;
	int rc = decode(&decoded, s, e);

	if (rc == 0)
		rc = remove_dots(out, buf_str(&decoded), e);
	buf_deinit(&decoded);
	return rc;
}

static int check_normal(struct str s, struct err *e)
{
	struct buf normal = BUF_INIT;
	int rc = path_normalise(&normal, s, e);

	if (rc == 0 && !str_eq(buf_str(&normal), s))
		rc = err_set(e, ERR_INVALID, "non-normalized path, consider use '%s' instead",
			     normal.data);
	buf_deinit(&normal);
	return rc;
}

int path_check_route(const json_t *value, struct err *e)
{
	struct str s = text_of(value);

	if (str_starts(s, STR("~/")))
		return regex_check(str_sub(s, 1, s.len), e);
	if (s.ptr[0] != '/')
		return err_set(e, ERR_INVALID,
			       "should start with: / (fixed path) or ~/ (regex path)");
	if (strstr(s.ptr, "//"))
		return err_set(e, ERR_INVALID, "must not have empty segments");
	if (check_characters(s, true, e) < 0)
		return -1;
	return check_normal(s, e);
}
