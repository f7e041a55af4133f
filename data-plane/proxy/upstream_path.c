#include "data-plane/proxy/upstream_path.h"

#include "common/http/path.h"

/* What was matched may have ended within a segment: the rest must not climb. */
static struct str without_dots(struct str rest)
{
	if (str_eq(rest, STR(".")) || str_eq(rest, STR("..")))
		return STR("");
	if (str_starts(rest, STR("./")))
		return str_sub(rest, 2, rest.len);
	if (str_starts(rest, STR("../")))
		return str_sub(rest, 3, rest.len);
	return rest;
}

static int join(struct buf *out, struct str a, struct str b, struct str c, struct err *e)
{
	if (buf_add_str(out, a, e) < 0 || buf_add_str(out, b, e) < 0)
		return -1;
	return buf_add_str(out, c, e);
}

static struct str chop(struct str s)
{
	return str_sub(s, 0, s.len - 1);
}

/* base and rest with one slash between them. */
static int append_rest(struct buf *out, struct str base, struct str path, struct str rest,
		       struct err *e)
{
	bool slash = str_ends(base, STR("/"));
	bool asked_slash = str_ends(path, STR("/"));

	if (rest.len == 0 && slash)
		return join(out, base.len > 1 && !asked_slash ? chop(base) : base, STR(""), STR(""),
			    e);
	if (rest.len == 0)
		return join(out, base, asked_slash && path.len > 1 ? STR("/") : STR(""), STR(""),
			    e);
	if (str_starts(rest, STR("/")))
		return join(out, slash ? chop(base) : base, rest, STR(""), e);
	return join(out, base, slash ? STR("") : STR("/"), rest, e);
}

static int append_whole(struct buf *out, struct str base, struct str path, struct err *e)
{
	if (str_ends(base, STR("/")))
		return join(out, base, str_sub(path, 1, path.len), STR(""), e);
	return join(out, base, str_eq(path, STR("/")) ? STR("") : path, STR(""), e);
}

/* Joins without regard to slashes, but never makes two of them. */
static int append_v1(struct buf *out, struct str base, struct str rest, struct err *e)
{
	bool both = str_ends(base, STR("/")) && str_starts(rest, STR("/"));

	return join(out, both ? chop(base) : base, rest, STR(""), e);
}

static int append(struct buf *out, const struct upstream_path_rule *rule, struct str path,
		  struct str matched, struct err *e)
{
	struct str base = rule->base.len ? rule->base : STR("/");
	struct str rest = str_sub(path, matched.ptr ? matched.len : 1, path.len);

	rest = without_dots(rest);
	if (!rule->strip && rule->v1)
		return join(out, base, str_sub(path, 1, path.len), STR(""), e);
	if (!rule->strip)
		return append_whole(out, base, path, e);
	return rule->v1 ? append_v1(out, base, rest, e) : append_rest(out, base, path, rest, e);
}

int upstream_path(struct buf *out, const struct upstream_path_rule *rule, struct str path,
		  struct str matched, struct err *e)
{
	size_t from = out->len;

	return append(out, rule, path, matched, e) < 0 ? -1 : http_path_escape(out, from, e);
}
