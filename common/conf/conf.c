#include "common/conf/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/conf/value.h"

enum { FILE_MAX = 1 << 20, NAME_MAX_LEN = 64 };

extern char **environ;

static const struct str env_prefix = {"CARDEA_", 7};
/* Options of the command line client: it and a daemon may share an environment. */
static const struct str client_prefix = {"CARDEA_CLI_", 11};

struct load {
	const struct conf_key *keys;
	size_t n;
	void *target;
	size_t *lines; /* per key: the line of the file that set it, or 0 */
};

static const struct conf_key *find_key(const struct load *l, struct str name)
{
	for (size_t i = 0; i < l->n; i++)
		if (str_eq(name, str_from(l->keys[i].name)))
			return &l->keys[i];
	return NULL;
}

static size_t least(size_t a, size_t b, size_t c)
{
	size_t ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* Levenshtein's distance, by rows; names longer than NAME_MAX_LEN are cut. */
static size_t distance(struct str a, struct str b)
{
	size_t row[NAME_MAX_LEN + 1];

	a = str_sub(a, 0, NAME_MAX_LEN);
	b = str_sub(b, 0, NAME_MAX_LEN);
	for (size_t j = 0; j <= b.len; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.len; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b.len; j++) {
			size_t above = row[j];
			size_t change = diagonal + (a.ptr[i - 1] != b.ptr[j - 1]);

			row[j] = least(change, above + 1, row[j - 1] + 1);
			diagonal = above;
		}
	}
	return row[b.len];
}

static const char *closest(const struct load *l, struct str name)
{
	const char *best = "";
	size_t best_distance = SIZE_MAX;

	for (size_t i = 0; i < l->n; i++) {
		size_t d = distance(name, str_from(l->keys[i].name));

		if (d < best_distance) {
			best_distance = d;
			best = l->keys[i].name;
		}
	}
	return best;
}

static int set_defaults(struct load *l, struct err *e)
{
	for (size_t i = 0; i < l->n; i++) {
		const char *text = l->keys[i].fallback;

		if (!text || !text[0])
			continue;
		if (conf_value_set(&l->keys[i], l->target, str_from(text), e) < 0)
			return err_prefix(e, "default: %s", l->keys[i].name);
	}
	return 0;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

/* Where a comment begins: at a # that stands first or after white space. */
static size_t comment_at(struct str s)
{
	size_t i = 0;

	while (i < s.len && !(s.ptr[i] == '#' && (i == 0 || is_space(s.ptr[i - 1]))))
		i++;
	return i;
}

/* The value as it is meant: quotes off, or a comment after white space cut off. */
static int clean_value(struct str raw, struct str *out, struct err *e)
{
	struct str value = str_trim(raw);
	struct str rest;
	size_t end;

	if (value.len > 0 && value.ptr[0] == '"') {
		end = str_find(value, '"', 1);
		rest = str_trim(str_sub(value, end + 1, value.len));
		if (end == value.len)
			return err_set(e, ERR_INVALID, "the closing quote is missing");
		if (rest.len > 0 && rest.ptr[0] != '#')
			return err_set(e, ERR_INVALID, "text after the closing quote");
		*out = str_sub(value, 1, end);
		return 0;
	}
	*out = str_trim(str_sub(value, 0, comment_at(value)));
	return 0;
}

static int set_from_line(struct load *l, struct str name, struct str raw, size_t line,
			 struct err *e)
{
	const struct conf_key *key = find_key(l, name);
	struct str value;
	size_t *first;

	if (!key)
		return err_set(e, ERR_INVALID, "unknown key; the closest known key is %s",
			       closest(l, name));
	first = &l->lines[key - l->keys];
	if (*first > 0)
		return err_set(e, ERR_INVALID, "stands twice, first at line %zu", *first);
	*first = line;
	if (clean_value(raw, &value, e) < 0)
		return -1;
	return conf_value_set(key, l->target, value, e);
}

static int load_line(struct load *l, struct str text, size_t line, struct err *e)
{
	size_t at;
	struct str name;

	if (text.len > 0 && text.ptr[text.len - 1] == '\r')
		text.len--;
	text = str_trim(text);
	if (text.len == 0 || text.ptr[0] == '#')
		return 0;
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.ptr[i] < ' ' && text.ptr[i] != '\t')
			return err_set(e, ERR_INVALID, "control byte 0x%02x",
				       (unsigned char)text.ptr[i]);
	at = str_find(text, '=', 0);
	name = str_trim(str_sub(text, 0, at));
	if (at == text.len || name.len == 0)
		return err_set(e, ERR_INVALID, "expected `key = value`");
	if (set_from_line(l, name, str_sub(text, at + 1, text.len), line, e) < 0)
		return err_prefix(e, "%.*s", (int)(name.len < 64 ? name.len : 64), name.ptr);
	return 0;
}

static int read_file(const char *file, struct buf *out, struct err *e)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t n = 1;

	if (fd < 0)
		return err_errno(e, ERR_NOT_FOUND, errno, "%s", file);
	while (n != 0) {
		if (buf_reserve(out, 4096, e) < 0)
			break;
		n = read(fd, out->data + out->len, 4096);
		if (n > 0)
			out->len += (size_t)n;
		else if (n < 0 && errno != EINTR)
			break;
	}
	if (n < 0)
		err_errno(e, ERR_INVALID, errno, "%s", file);
	else if (n > 0)
		err_set(e, ERR_LIMIT, "%s: larger than %d bytes", file, FILE_MAX);
	close(fd);
	return n == 0 ? 0 : -1;
}

static int load_file(struct load *l, const char *file, struct err *e)
{
	struct buf text;
	struct str rest, line;
	int result;

	buf_init(&text, FILE_MAX);
	text.secret = true; /* passwords may stand in it */
	result = read_file(file, &text, e);
	rest = buf_str(&text);
	if (result == 0 && str_starts(rest, STR("\xEF\xBB\xBF")))
		rest = str_sub(rest, 3, rest.len);
	for (size_t number = 1; result == 0 && str_split(&rest, '\n', &line); number++)
		if (load_line(l, line, number, e) < 0)
			result = err_prefix(e, "%s:%zu", file, number);
	buf_deinit(&text);
	return result;
}

static int load_variable(struct load *l, struct str name, struct str value, struct err *e)
{
	const struct conf_key *key;
	char lower[NAME_MAX_LEN];
	size_t n = name.len < sizeof(lower) ? name.len : sizeof(lower);

	for (size_t i = 0; i < n; i++)
		lower[i] = ascii_lower(name.ptr[i]);
	key = find_key(l, (struct str){lower, n});
	if (!key || n < name.len)
		return err_set(e, ERR_INVALID, "unknown key; the closest known key is %s",
			       closest(l, (struct str){lower, n}));
	return conf_value_set(key, l->target, str_trim(value), e);
}

static int load_environment(struct load *l, struct err *e)
{
	for (char **entry = environ; entry && *entry; entry++) {
		struct str text = str_from(*entry);
		size_t at = str_find(text, '=', 0);

		if (!str_starts(text, env_prefix) || str_starts(text, client_prefix))
			continue;
		if (load_variable(l, str_sub(text, env_prefix.len, at),
				  str_sub(text, at + 1, text.len), e) < 0)
			return err_prefix(e, "environment: %.*s", (int)(at < 80 ? at : 80), *entry);
	}
	return 0;
}

int conf_load(const struct conf_key *keys, size_t n, void *target, const char *file, struct err *e)
{
	struct load l = {keys, n, target, calloc(n ? n : 1, sizeof(size_t))};
	int result = -1;

	if (!l.lines)
		return err_memory(e, "configuration");
	if (set_defaults(&l, e) == 0 && (!file || load_file(&l, file, e) == 0) &&
	    load_environment(&l, e) == 0)
		result = 0;
	if (result < 0)
		conf_free(keys, n, target);
	free(l.lines);
	return result;
}

void conf_free(const struct conf_key *keys, size_t n, void *target)
{
	for (size_t i = 0; i < n; i++)
		conf_value_free(&keys[i], target);
}

/* Whether the reader would take the text for something else without quotes. */
static bool needs_quotes(struct str s)
{
	return comment_at(s) < s.len || str_trim(s).len != s.len;
}

void conf_print(const struct conf_key *keys, size_t n, const void *target, FILE *out)
{
	for (size_t i = 0; i < n; i++) {
		struct buf text = BUF_INIT;
		const char *quote;

		if (conf_value_text(&keys[i], target, &text, NULL) == 0) {
			quote = needs_quotes(buf_str(&text)) ? "\"" : "";
			fprintf(out, "%s =%s%s%s%s\n", keys[i].name, text.len ? " " : "", quote,
				text.data ? text.data : "", quote);
		}
		buf_deinit(&text);
	}
}
