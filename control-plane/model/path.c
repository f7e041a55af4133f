/* Paths in entities. */
#include "control-plane/model/path.h"

#include "common/http/path.h"
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

/* What no message may hold as it is, but a route's normal form does. */
static bool is_decoded(char c)
{
	return (unsigned char)c >= 0x80 || (c && strchr(" \"<>\\^`{|}", c));
}

/* Characters of a path (RFC 3986 section 3.3) and valid escapes. */
static int check_characters(struct str s, bool decoded, struct err *e)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];

		if (c == '%' && !is_escape(s, i))
			return err_set(e, ERR_INVALID, "invalid url-encoded value: '%.3s'",
				       s.ptr + i);
		if (!is_unreserved(c) && !strchr("/%:@!$&'()*+,;=", c) &&
		    !(decoded && is_decoded(c)))
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

static int check_normal(struct str s, struct err *e)
{
	struct buf normal = BUF_INIT;
	int rc = buf_reserve(&normal, s.len, e);

	if (rc == 0) {
		normal.len = http_path_normalise(normal.data, s);
		if (!str_eq(buf_str(&normal), s))
			rc = err_set(e, ERR_INVALID,
				     "non-normalized path, consider use '%.*s' instead",
				     (int)normal.len, normal.data);
	}
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
