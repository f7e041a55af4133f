#include "common/http/body.h"

#include <stdint.h>
#include <string.h>

#include "common/http/syntax.h"

enum {
	BOUNDARY_MAX = 70,	      /* RFC 2046 5.1.1 */
	PART_HEAD_MAX = 8 << 10,      /* fields of one part */
	POSITION_MAX = BODY_ARGS_MAX, /* of a[N] */
};

/* --- JSON --- */

/* Jansson itself stops far deeper, so the recursion here is bounded. */
static bool too_deep(json_t *j, unsigned depth)
{
	if (!json_is_object(j) && !json_is_array(j))
		return false;
	if (depth >= BODY_DEPTH_MAX)
		return true;
	for (void *at = json_object_iter(j); at; at = json_object_iter_next(j, at))
		if (too_deep(json_object_iter_value(at), depth + 1))
			return true;
	for (size_t i = 0; i < json_array_size(j); i++)
		if (too_deep(json_array_get(j, i), depth + 1))
			return true;
	return false;
}

int body_json(json_t **out, struct str bytes, struct err *e)
{
	json_t *j = json_loadb(bytes.ptr ? bytes.ptr : "", bytes.len, JSON_REJECT_DUPLICATES, NULL);

	if (!json_is_object(j) || too_deep(j, 0)) {
		json_decref(j);
		return err_set(e, ERR_INVALID, "Cannot parse JSON body");
	}
	*out = j;
	return 0;
}

/* --- names into a tree --- */

enum step_kind { STEP_KEY, STEP_POSITION, STEP_APPEND };

struct step {
	enum step_kind kind;
	struct str key;	 /* STEP_KEY */
	size_t position; /* STEP_POSITION: from 0 */
};

struct name_path {
	struct step steps[BODY_DEPTH_MAX];
	size_t count;
};

static int bad_name(struct err *e, struct str name, const char *why)
{
	return err_set(e, ERR_INVALID, "form field '%.*s': %s",
		       (int)(name.len < 64 ? name.len : 64), name.ptr, why);
}

static int add_step(struct name_path *p, struct step s, struct str name, struct err *e)
{
	if (p->count == BODY_DEPTH_MAX)
		return bad_name(e, name, "too many levels");
	p->steps[p->count++] = s;
	return 0;
}

/* What stands in brackets: nothing, a position, or a key. */
static int add_bracket(struct name_path *p, struct str inside, struct str name, struct err *e)
{
	struct step s = {STEP_KEY, inside, 0};
	uint64_t position;

	if (inside.len == 0) {
		s.kind = STEP_APPEND;
	} else if (str_u64(inside, &position) == 0) {
		if (position == 0 || position > POSITION_MAX)
			return bad_name(e, name, "positions go from 1 to 1000");
		s.kind = STEP_POSITION;
		s.position = (size_t)position - 1;
	}
	return add_step(p, s, name, e);
}

/* a.b[c.d][2][] is the keys a, b, "c.d", position 2, append. */
static int parse_name(struct name_path *p, struct str name, struct err *e)
{
	size_t at = 0;

	p->count = 0;
	while (at < name.len) {
		size_t end;

		if (name.ptr[at] == '[') {
			end = str_find(name, ']', at);
			if (end == name.len || at == 0)
				return bad_name(e, name, "unbalanced brackets");
			if (add_bracket(p, str_sub(name, at + 1, end), name, e) < 0)
				return -1;
			at = end + 1;
			if (at < name.len && name.ptr[at] != '[' && name.ptr[at] != '.')
				return bad_name(e, name, "text behind a bracket");
			continue;
		}
		if (name.ptr[at] == '.' && at > 0)
			at++;
		end = at;
		while (end < name.len && name.ptr[end] != '.' && name.ptr[end] != '[')
			end++;
		if (end == at)
			return bad_name(e, name, "an empty level");
		if (add_step(p, (struct step){STEP_KEY, str_sub(name, at, end), 0}, name, e) < 0)
			return -1;
		at = end;
	}
	return 0;
}

/* NULL when nothing is there. */
static json_t *get_step(json_t *at, const struct step *s)
{
	json_t *found = NULL;

	if (s->kind == STEP_KEY)
		found = json_object_getn(at, s->key.ptr, s->key.len);
	else if (s->kind == STEP_POSITION)
		found = json_array_get(at, s->position);
	return json_is_null(found) ? NULL : found;
}

/* Takes the reference to value. Positions that are skipped hold null until fill_holes. */
static int set_step(json_t *at, const struct step *s, json_t *value, struct err *e)
{
	int result = 0;

	if (!value)
		return err_memory(e, "decoding a form");
	if (s->kind == STEP_KEY) {
		result = json_object_setn_new(at, s->key.ptr, s->key.len, value);
	} else if (s->kind == STEP_APPEND) {
		result = json_array_append_new(at, value);
	} else {
		while (result == 0 && json_array_size(at) <= s->position)
			result = json_array_append_new(at, json_null());
		if (result < 0)
			json_decref(value);
		else
			result = json_array_set_new(at, s->position, value);
	}
	return result < 0 ? err_memory(e, "decoding a form") : 0;
}

/* Puts [old] where old is, so that more can follow it. */
static int make_list(json_t *at, const struct step *s, json_t *old, struct err *e)
{
	json_t *list = json_array();

	if (list && json_array_append(list, old) < 0) {
		json_decref(list);
		list = NULL;
	}
	return set_step(at, s, list, e);
}

/* The container that the step after s goes into, made when missing. */
static json_t *descend(json_t *at, const struct step *s, bool list, struct str name, struct err *e)
{
	json_t *child = get_step(at, s);

	if (!child) {
		if (set_step(at, s, list ? json_array() : json_object(), e) < 0)
			return NULL;
	} else if (list && json_is_string(child)) {
		if (make_list(at, s, child, e) < 0)
			return NULL;
	} else if (list ? !json_is_array(child) : !json_is_object(child)) {
		bad_name(e, name, "clashes with another field's shape");
		return NULL;
	}
	if (s->kind == STEP_APPEND)
		return json_array_get(at, json_array_size(at) - 1);
	return get_step(at, s);
}

/* The last step: a value beside an earlier one makes a list. */
static int put_value(json_t *at, const struct step *s, json_t *value, struct str name,
		     struct err *e)
{
	json_t *old = get_step(at, s);

	if (!old)
		return set_step(at, s, value, e);
	if (json_is_object(old)) {
		json_decref(value);
		return bad_name(e, name, "clashes with another field's shape");
	}
	if (!json_is_array(old) && make_list(at, s, old, e) < 0) {
		json_decref(value);
		return -1;
	}
	return set_step(get_step(at, s), &(struct step){STEP_APPEND, STR_NONE, 0}, value, e);
}

int body_put(json_t *root, struct str name, json_t *value, struct err *e)
{
	struct name_path path;
	json_t *at = root;

	if (!value)
		return err_memory(e, "decoding a form");
	if (parse_name(&path, name, e) < 0 || path.count == 0) {
		json_decref(value);
		return path.count == 0 ? bad_name(e, name, "an empty level") : -1;
	}
	for (size_t i = 0; i + 1 < path.count; i++) {
		at = descend(at, &path.steps[i], path.steps[i + 1].kind != STEP_KEY, name, e);
		if (!at) {
			json_decref(value);
			return -1;
		}
	}
	return put_value(at, &path.steps[path.count - 1], value, name, e);
}

/* a[1], a[3] are two elements. Depth: BODY_DEPTH_MAX. */
void body_finish(json_t *j)
{
	for (void *at = json_object_iter(j); at; at = json_object_iter_next(j, at))
		body_finish(json_object_iter_value(at));
	for (size_t i = json_array_size(j); i > 0; i--) {
		if (json_is_null(json_array_get(j, i - 1)))
			json_array_remove(j, i - 1);
		else
			body_finish(json_array_get(j, i - 1));
	}
}

static int finish_tree(json_t **out, json_t *root, int result)
{
	if (result < 0) {
		json_decref(root);
		return -1;
	}
	body_finish(root);
	*out = root;
	return 0;
}

/* --- urlencoded --- */

static int unescape(struct buf *out, struct str in, struct err *e)
{
	size_t n;

	buf_clear(out);
	if (buf_reserve(out, in.len, e) < 0)
		return -1;
	if (!http_unescape(out->data, in, true, &n))
		return err_set(e, ERR_INVALID,
			       "form body has a bad escape or bytes that are not UTF-8 text");
	out->len = n;
	out->data[n] = '\0';
	return 0;
}

/* One "name=value"; like Kong, a name without '=' is true, and an empty name is skipped. */
static int add_argument(json_t *root, struct str piece, struct buf *name, struct buf *value,
			struct err *e)
{
	size_t equals = str_find(piece, '=', 0);
	json_t *j;

	if (unescape(name, str_sub(piece, 0, equals), e) < 0)
		return -1;
	if (unescape(value, str_sub(piece, equals + 1, piece.len), e) < 0)
		return -1;
	if (name->len == 0)
		return 0;
	j = equals < piece.len ? json_stringn(value->data, value->len) : json_true();
	return body_put(root, buf_str(name), j, e);
}

int body_form(json_t **out, struct str bytes, struct err *e)
{
	struct buf name = BUF_INIT;
	struct buf value = {.secret = true}; /* may be a private key */
	json_t *root = json_object();
	unsigned count = 0;
	struct str piece;
	int result = root ? 0 : err_memory(e, "decoding a form");

	while (result == 0 && str_split(&bytes, '&', &piece)) {
		if (piece.len == 0)
			continue;
		if (++count > BODY_ARGS_MAX)
			result = err_set(e, ERR_LIMIT, "Too many arguments");
		else
			result = add_argument(root, piece, &name, &value, e);
	}
	buf_deinit(&name);
	buf_deinit(&value);
	return finish_tree(out, root, result);
}

/* --- multipart/form-data (RFC 7578) --- */

/* The value of a parameter behind a field's first ';'. Quoted values are unescaped into *out.
 * False: not there, or malformed. */
static bool parameter(struct str field, struct str wanted, struct buf *out)
{
	size_t at = str_find(field, ';', 0);

	while (at < field.len) {
		size_t equals = str_find(field, '=', at);
		struct str name = str_trim(str_sub(field, at + 1, equals));
		bool quoted = equals + 1 < field.len && field.ptr[equals + 1] == '"';

		buf_clear(out);
		at = equals + 1 + quoted;
		while (at < field.len && field.ptr[at] != (quoted ? '"' : ';')) {
			at += quoted && field.ptr[at] == '\\' && at + 1 < field.len;
			if (buf_add(out, &field.ptr[at], 1, NULL) < 0)
				return false;
			at++;
		}
		if (equals >= field.len || (quoted && at >= field.len))
			return false;
		if (str_ieq(name, wanted))
			return true;
		at = str_find(field, ';', at);
	}
	return false;
}

/* "\r\n--" and the boundary: what stands before every part but the first. */
static int find_delimiter(struct buf *out, struct str content_type, struct err *e)
{
	struct buf boundary = BUF_INIT;
	bool found = parameter(content_type, STR("boundary"), &boundary);
	struct str text = str_trim(buf_str(&boundary));
	int result = -1;

	if (!found || text.len == 0 || text.len > BOUNDARY_MAX || !http_is_field_value(text))
		err_set(e, ERR_INVALID, "multipart body without a boundary");
	else if (buf_add_str(out, STR("\r\n--"), e) == 0)
		result = buf_add_str(out, text, e);
	buf_deinit(&boundary);
	return result;
}

static int bad_multipart(struct err *e, const char *why)
{
	return err_set(e, ERR_INVALID, "malformed multipart body: %s", why);
}

/* Cuts *rest at the first `mark`; false when there is none. */
static bool cut(struct str *rest, struct str mark, struct str *before)
{
	const char *at = rest->len ? memmem(rest->ptr, rest->len, mark.ptr, mark.len) : NULL;
	size_t n;

	if (!at)
		return false;
	n = (size_t)(at - rest->ptr);
	*before = str_sub(*rest, 0, n);
	*rest = str_sub(*rest, n + mark.len, rest->len);
	return true;
}

/* Reads the fields of a part: the name of its form field. */
static int part_name(struct buf *name, struct str head, struct err *e)
{
	bool found = false;
	struct str line;

	while (head.len > 0 && cut(&head, STR("\r\n"), &line)) {
		size_t colon = str_find(line, ':', 0);
		struct str field = str_sub(line, 0, colon);
		struct str value = str_trim(str_sub(line, colon + 1, line.len));

		if (colon == line.len || !http_is_token(field))
			return bad_multipart(e, "a part's field");
		if (str_ieq(field, STR("content-transfer-encoding")) &&
		    !str_ieq(value, STR("binary")) && !str_ieq(value, STR("8bit")) &&
		    !str_ieq(value, STR("7bit")))
			return bad_multipart(e, "a transfer encoding");
		if (!str_ieq(field, STR("content-disposition")))
			continue;
		if (found || !str_ieq(str_trim(str_sub(value, 0, str_find(value, ';', 0))),
				      STR("form-data")))
			return bad_multipart(e, "a part's disposition");
		found = parameter(value, STR("name"), name);
	}
	if (!found || name->len == 0)
		return bad_multipart(e, "a part without a name");
	return 0;
}

/* One part: bytes between two delimiters, behind the first one's line end. */
static int add_part(json_t *root, struct str part, struct buf *name, struct err *e)
{
	struct str head = STR_NONE;

	if (str_starts(part, STR("\r\n")))
		return bad_multipart(e, "a part without a name");
	if (!cut(&part, STR("\r\n\r\n"), &head) || head.len > PART_HEAD_MAX)
		return bad_multipart(e, "a part's head does not end");
	/* The last field's line end is part of the mark. */
	head.len += 2;
	if (part_name(name, head, e) < 0)
		return -1;
	if (!http_is_utf8(buf_str(name)) || memchr(name->data, '\0', name->len) ||
	    !http_is_utf8(part) || memchr(part.ptr, '\0', part.len))
		return err_set(e, ERR_INVALID, "form field is not UTF-8 text");
	return body_put(root, buf_str(name), json_stringn(part.ptr, part.len), e);
}

/* Stands behind a delimiter: *last when it is the closing one, else goes to the next line. */
static int end_delimiter(struct str *rest, bool *last, struct err *e)
{
	struct str padding;

	*last = str_starts(*rest, STR("--"));
	if (*last)
		return 0;
	if (!cut(rest, STR("\r\n"), &padding) || str_trim(padding).len > 0)
		return bad_multipart(e, "text behind a boundary");
	return 0;
}

static int add_parts(json_t *root, struct str rest, struct str delimiter, struct buf *name,
		     struct err *e)
{
	struct str first = str_sub(delimiter, 2, delimiter.len);
	unsigned count = 0;
	struct str part;
	bool last;

	/* The first delimiter needs no line end before it; what stands before it is no part. */
	if (str_starts(rest, first))
		rest = str_sub(rest, first.len, rest.len);
	else if (!cut(&rest, delimiter, &part))
		return bad_multipart(e, "no boundary in it");
	if (end_delimiter(&rest, &last, e) < 0)
		return -1;
	while (!last) {
		if (!cut(&rest, delimiter, &part))
			return bad_multipart(e, "no closing boundary");
		if (++count > BODY_ARGS_MAX)
			return err_set(e, ERR_LIMIT, "Too many arguments");
		if (add_part(root, part, name, e) < 0 || end_delimiter(&rest, &last, e) < 0)
			return -1;
	}
	return 0;
}

int body_multipart(json_t **out, struct str bytes, struct str content_type, struct err *e)
{
	struct buf delimiter = BUF_INIT;
	struct buf name = BUF_INIT;
	json_t *root = json_object();
	int result = -1;

	if (!root)
		err_memory(e, "decoding a form");
	else if (find_delimiter(&delimiter, content_type, e) == 0)
		result = add_parts(root, bytes, buf_str(&delimiter), &name, e);
	buf_deinit(&delimiter);
	buf_deinit(&name);
	return finish_tree(out, root, result);
}
