/* Well-formedness of regular expressions, one pass.
 *
 *   ─▶ nothing to repeat ──atom──▶ atom ──quantifier──▶ quantified ──? or +──▶ nothing to repeat
 */
#include "control-plane/model/regex.h"

enum { QUANTIFIER_MAX = 65535, NAME_MAX_BYTES = 32 };

enum operand { OPERAND_NONE, OPERAND_ATOM, OPERAND_QUANTIFIED };

struct scan {
	struct str text;
	size_t at;
	unsigned depth; /* of open groups */
	enum operand operand;
	struct err *e;
};

static int refuse(const struct scan *s, const char *what)
{
	return err_set(s->e, ERR_INVALID, "%s at offset %zu", what, s->at);
}

/* The byte at an offset; 0 at and after the end (patterns have no NUL: jansson's text is checked).
 */
static char peek(const struct scan *s, size_t ahead)
{
	return s->at + ahead < s->text.len ? s->text.ptr[s->at + ahead] : '\0';
}

/* [...]: a first ] is literal, [:alpha:] is skipped as a whole. */
static int scan_class(struct scan *s)
{
	size_t start = s->at++;

	if (peek(s, 0) == '^')
		s->at++;
	if (peek(s, 0) == ']')
		s->at++;
	while (s->at < s->text.len && peek(s, 0) != ']') {
		size_t end = str_find(s->text, ']', s->at + 2);

		if (peek(s, 0) == '\\')
			s->at += 2;
		else if (peek(s, 0) == '[' && peek(s, 1) == ':' && end < s->text.len &&
			 s->text.ptr[end - 1] == ':')
			s->at = end + 1;
		else
			s->at++;
	}
	if (s->at >= s->text.len) {
		s->at = start;
		return refuse(s, "missing terminating ] for character class");
	}
	s->at++;
	s->operand = OPERAND_ATOM;
	return 0;
}

/* The name of a group up to `end`, or flags like "i-s" up to `:` or `)`. */
static int scan_word(struct scan *s, char end)
{
	size_t n = 0;

	while (peek(s, n) && peek(s, n) != end && peek(s, n) != ')' && n < NAME_MAX_BYTES)
		n++;
	if (n == 0 || peek(s, n) != end)
		return refuse(s, "syntax error in subpattern name");
	s->at += n + 1;
	return 0;
}

static bool is_flag(char c)
{
	return c && strchr("imsxUJn-", c);
}

/* (?i) and (?i:...) */
static int scan_flags(struct scan *s)
{
	if (!is_flag(peek(s, 0)))
		return refuse(s, "unrecognized character after (? or (?-");
	while (is_flag(peek(s, 0)))
		s->at++;
	if (peek(s, 0) != ')' && peek(s, 0) != ':')
		return refuse(s, "unrecognized character after (? or (?-");
	if (peek(s, 0) == ':')
		s->at++;
	return 0;
}

/* After "(?". */
static int scan_group_kind(struct scan *s)
{
	char kind = peek(s, 0), next = peek(s, 1);

	if (kind && strchr(":=!>|", kind)) {
		s->at++;
		return 0;
	}
	if (kind == '<' && (next == '=' || next == '!')) {
		s->at += 2;
		return 0;
	}
	if (kind == 'P' && next == '<')
		s->at++;
	if (peek(s, 0) == '<' || kind == '\'') {
		s->at++;
		return scan_word(s, kind == '\'' ? '\'' : '>');
	}
	return scan_flags(s);
}

static int scan_open(struct scan *s)
{
	size_t end = str_find(s->text, ')', s->at);

	if (peek(s, 1) == '?' && peek(s, 2) == '#') {
		if (end == s->text.len)
			return refuse(s, "missing ) after (?# comment");
		s->at = end + 1;
		return 0;
	}
	s->at++;
	s->depth++;
	s->operand = OPERAND_NONE;
	if (peek(s, 0) != '?')
		return 0;
	s->at++;
	return scan_group_kind(s);
}

static int scan_close(struct scan *s)
{
	if (s->depth == 0)
		return refuse(s, "unmatched closing parenthesis");
	s->depth--;
	s->at++;
	s->operand = OPERAND_ATOM;
	return 0;
}

static int scan_escape(struct scan *s)
{
	if (s->at + 1 >= s->text.len)
		return refuse(s, "\\ at end of pattern");
	s->at += 2;
	s->operand = OPERAND_ATOM;
	return 0;
}

/* {n}, {n,} or {n,m}; anything else is literal. Writes its length, 0 for literal. */
static int scan_numbers(struct scan *s, size_t *len)
{
	struct str rest = str_sub(s->text, s->at + 1, s->text.len), low;
	size_t end = str_find(rest, '}', 0);
	uint64_t from, to;

	*len = 0;
	rest = str_sub(rest, 0, end);
	if (s->at + 1 + end >= s->text.len || rest.len == 0)
		return 0;
	(void)str_split(&rest, ',', &low);
	if (str_u64(low, &from) < 0 || (rest.len && str_u64(rest, &to) < 0))
		return 0;
	if (from > QUANTIFIER_MAX || (rest.len && to > QUANTIFIER_MAX))
		return refuse(s, "number too big in {} quantifier");
	if (rest.len && to < from)
		return refuse(s, "numbers out of order in {} quantifier");
	*len = end + 2;
	return 0;
}

static int scan_quantifier(struct scan *s, size_t len)
{
	bool modifier = len == 1 && (peek(s, 0) == '?' || peek(s, 0) == '+');

	if (s->operand == OPERAND_QUANTIFIED && modifier)
		s->operand = OPERAND_NONE;
	else if (s->operand == OPERAND_ATOM)
		s->operand = OPERAND_QUANTIFIED;
	else
		return refuse(s, "quantifier does not follow a repeatable item");
	s->at += len;
	return 0;
}

static int scan_one(struct scan *s)
{
	size_t len = 1;

	switch (peek(s, 0)) {
	case '[':
		return scan_class(s);
	case '(':
		return scan_open(s);
	case ')':
		return scan_close(s);
	case '\\':
		return scan_escape(s);
	case '{':
		if (scan_numbers(s, &len) < 0)
			return -1;
		if (len)
			return scan_quantifier(s, len);
		len = 1;
		break;
	case '*':
	case '+':
	case '?':
		return scan_quantifier(s, len);
	case '|':
		s->at++;
		s->operand = OPERAND_NONE;
		return 0;
	default:
		break;
	}
	s->at += len;
	s->operand = OPERAND_ATOM;
	return 0;
}

int regex_check(struct str pattern, struct err *e)
{
	struct scan s = {.text = pattern, .e = e};

	while (s.at < s.text.len)
		if (scan_one(&s) < 0)
			return -1;
	return s.depth ? refuse(&s, "missing closing parenthesis") : 0;
}
