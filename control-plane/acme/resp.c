#include "control-plane/acme/resp.h"

/* A line that ends with CR LF; *used 0: it is not all there. */
static int read_line(struct str bytes, struct str *line, size_t *used, struct err *e)
{
	size_t end = str_find(bytes, '\r', 0);

	*used = 0;
	if (end > RESP_LINE_MAX)
		return err_set(e, ERR_INVALID, "a line of more than %d bytes", RESP_LINE_MAX);
	if (end + 1 >= bytes.len)
		return 0;
	if (bytes.ptr[end + 1] != '\n')
		return err_set(e, ERR_INVALID, "a line that does not end");
	*line = str_sub(bytes, 0, end);
	*used = end + 2;
	return 0;
}

static int read_number(struct str text, int64_t *out, struct err *e)
{
	bool below = text.len > 0 && text.ptr[0] == '-';
	uint64_t n = 0;

	if (str_u64(str_sub(text, below, text.len), &n) != 0 || n > INT64_MAX)
		return err_set(e, ERR_INVALID, "a number that is none");
	*out = below ? -(int64_t)n : (int64_t)n;
	return 0;
}

static int read_text(struct str rest, size_t text_max, struct resp *out, size_t *used,
		     struct err *e)
{
	size_t head = *used, len = (size_t)out->number;

	*used = 0;
	if (out->number < 0) {
		out->kind = RESP_NULL;
		*used = head;
		return 0;
	}
	if (len > text_max)
		return err_set(e, ERR_LIMIT, "%zu bytes are announced where %zu are allowed", len,
			       text_max);
	if (rest.len < len + 2)
		return 0;
	if (rest.ptr[len] != '\r' || rest.ptr[len + 1] != '\n')
		return err_set(e, ERR_INVALID, "a text that does not end where it says");
	out->text = str_sub(rest, 0, len);
	*used = head + len + 2;
	return 0;
}

static int read_reply(struct str bytes, size_t text_max, unsigned depth, struct resp *out,
		      size_t *used, struct err *e);

static int read_list(struct str rest, size_t text_max, unsigned depth, struct resp *out,
		     size_t *used, struct err *e)
{
	size_t head = *used, at = 0, one = 0;
	struct resp item;

	*used = 0;
	if (out->number < 0) {
		out->kind = RESP_NULL;
		*used = head;
		return 0;
	}
	if (depth >= RESP_DEPTH_MAX)
		return err_set(e, ERR_INVALID, "lists in lists, more than %d deep", RESP_DEPTH_MAX);
	if (out->number > RESP_ITEMS_MAX)
		return err_set(e, ERR_LIMIT, "a list of more than %d", RESP_ITEMS_MAX);
	out->items = (size_t)out->number;
	for (size_t i = 0; i < out->items; i++) {
		if (read_reply(str_sub(rest, at, rest.len), text_max, depth + 1, &item, &one, e) !=
		    0)
			return -1;
		if (one == 0)
			return 0;
		at += one;
	}
	out->text = str_sub(rest, 0, at);
	*used = head + at;
	return 0;
}

static int read_reply(struct str bytes, size_t text_max, unsigned depth, struct resp *out,
		      size_t *used, struct err *e)
{
	static const struct {
		char mark;
		enum resp_kind kind;
	} marks[] = {{'+', RESP_STATUS},
		     {'-', RESP_ERROR},
		     {':', RESP_NUMBER},
		     {'$', RESP_TEXT},
		     {'*', RESP_LIST}};
	struct str line = STR_NONE;
	size_t i = 0;

	*used = 0;
	*out = (struct resp){.kind = RESP_NULL};
	if (bytes.len == 0)
		return 0;
	while (i < array_len(marks) && marks[i].mark != bytes.ptr[0])
		i++;
	if (i == array_len(marks))
		return err_set(e, ERR_INVALID, "a reply that begins with byte 0x%02x",
			       (unsigned char)bytes.ptr[0]);
	out->kind = marks[i].kind;
	if (read_line(bytes, &line, used, e) != 0)
		return -1;
	if (*used == 0)
		return 0;
	out->text = str_sub(line, 1, line.len);
	if (out->kind == RESP_STATUS || out->kind == RESP_ERROR)
		return 0;
	if (read_number(out->text, &out->number, e) != 0)
		return -1;
	out->text = STR_NONE;
	bytes = str_sub(bytes, *used, bytes.len);
	if (out->kind == RESP_TEXT)
		return read_text(bytes, text_max, out, used, e);
	return out->kind == RESP_LIST ? read_list(bytes, text_max, depth, out, used, e) : 0;
}

int resp_read(struct str bytes, size_t text_max, struct resp *out, size_t *used, struct err *e)
{
	return read_reply(bytes, text_max, 0, out, used, e);
}

bool resp_next(struct str *rest, struct resp *out)
{
	size_t used = 0;

	if (read_reply(*rest, SIZE_MAX / 2, 1, out, &used, NULL) != 0 || used == 0)
		return false;
	*rest = str_sub(*rest, used, rest->len);
	return true;
}

int resp_command(struct buf *out, const struct str *words, size_t n, struct err *e)
{
	if (buf_addf(out, e, "*%zu\r\n", n) != 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (buf_addf(out, e, "$%zu\r\n", words[i].len) != 0 ||
		    buf_add_str(out, words[i], e) != 0 || buf_add_str(out, STR("\r\n"), e) != 0)
			return -1;
	return 0;
}
