#include "common/core/log.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_SIZE = 4096 };

static struct {
	const char *program;
	_Atomic int level;
	enum log_format format;
} the_log = {"cardea", LOG_INFO, LOG_FORMAT_LOGFMT};

static const char *const level_names[] = {"debug", "info", "notice", "warn", "error", "crit"};

/* A line under construction. It is cut between characters, never inside an escape, and a cut value
 * still gets its closing quote, so that every line parses. */
struct line {
	char *out;
	size_t size; /* without the reserve */
	size_t len;
	bool full; /* nothing but the reserve is written any more */
};

/* For the closing quote and brace. */
enum { RESERVE = 2 };

static void put_bytes(struct line *l, const char *s, size_t n)
{
	if (l->full || l->len >= l->size || n > l->size - 1 - l->len) {
		l->full = true;
		return;
	}
	memcpy(l->out + l->len, s, n);
	l->len += n;
}

static void put_text(struct line *l, const char *s)
{
	put_bytes(l, s, strlen(s));
}

static void put_format(struct line *l, const char *fmt, ...) printf_like(2, 3);

static void put_format(struct line *l, const char *fmt, ...)
{
	char text[64];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n > 0)
		put_bytes(l, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

/* The length of the UTF-8 character that s starts with (RFC 3629), 0 when it is none. */
static size_t utf8_length(const unsigned char *s, size_t n)
{
	/* Lead bytes from, to; length; what the second byte may be. */
	static const unsigned char forms[][5] = {
		{0x00, 0x7f, 1, 0, 0},	     {0xc2, 0xdf, 2, 0x80, 0xbf},
		{0xe0, 0xe0, 3, 0xa0, 0xbf}, {0xe1, 0xec, 3, 0x80, 0xbf},
		{0xed, 0xed, 3, 0x80, 0x9f}, {0xee, 0xef, 3, 0x80, 0xbf},
		{0xf0, 0xf0, 4, 0x90, 0xbf}, {0xf1, 0xf3, 4, 0x80, 0xbf},
		{0xf4, 0xf4, 4, 0x80, 0x8f},
	};

	for (size_t i = 0; i < array_len(forms); i++) {
		size_t length = forms[i][2];

		if (s[0] < forms[i][0] || s[0] > forms[i][1])
			continue;
		if (length > n || (length > 1 && (s[1] < forms[i][3] || s[1] > forms[i][4])))
			return 0;
		for (size_t k = 2; k < length; k++)
			if ((s[k] & 0xc0) != 0x80)
				return 0;
		return length;
	}
	return 0;
}

/* One character of a quoted value; returns how many bytes of s it was. */
static size_t put_quoted_char(struct line *l, const char *s, size_t n)
{
	unsigned char c = (unsigned char)s[0];
	size_t length = utf8_length((const unsigned char *)s, n);

	if (length == 0)
		put_text(l, "\\ufffd");
	else if (c == '"' || c == '\\')
		put_format(l, "\\%c", c);
	else if (c == '\n')
		put_text(l, "\\n");
	else if (c < 0x20 || c == 0x7f)
		put_format(l, "\\u%04x", c);
	else
		put_bytes(l, s, length);
	return length ? length : 1;
}

/* False when nothing of it was written. */
static bool put_quoted(struct line *l, const char *s, size_t n)
{
	put_text(l, "\"");
	if (l->full)
		return false;
	for (size_t i = 0; i < n && !l->full;)
		i += put_quoted_char(l, s + i, n - i);
	l->out[l->len++] = '"';
	return true;
}

static bool needs_quotes(const char *s, size_t n)
{
	for (size_t i = 0; i < n;) {
		unsigned char c = (unsigned char)s[i];
		size_t length = utf8_length((const unsigned char *)s + i, n - i);

		if (length == 0 || c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f)
			return true;
		i += length;
	}
	return n == 0;
}

static bool put_str(struct line *l, enum log_format format, const char *s, size_t n)
{
	if (format == LOG_FORMAT_JSON || needs_quotes(s, n) || n >= l->size)
		return put_quoted(l, s, n);
	put_bytes(l, s, n);
	return !l->full;
}

static void put_f64(struct line *l, enum log_format format, double value)
{
	/* JSON knows neither infinity nor NaN. */
	if (format == LOG_FORMAT_JSON && !isfinite(value))
		put_text(l, "null");
	else
		put_format(l, "%.6g", value);
}

/* False when it did not fit; strings in quotes are cut instead. */
static bool put_value(struct line *l, enum log_format format, const struct log_field *f)
{
	switch (f->type) {
	case LOG_FIELD_STR:
		return put_str(l, format, f->v.str.ptr, f->v.str.len);
	case LOG_FIELD_I64:
		put_format(l, "%" PRId64, f->v.i64);
		break;
	case LOG_FIELD_U64:
		put_format(l, "%" PRIu64, f->v.u64);
		break;
	case LOG_FIELD_F64:
		put_f64(l, format, f->v.f64);
		break;
	}
	return !l->full;
}

/* A field that does not fit is left out as a whole. */
static void put_field(struct line *l, enum log_format format, const struct log_field *f)
{
	size_t before = l->len;
	bool json = format == LOG_FORMAT_JSON;

	put_text(l, json ? ",\"" : " ");
	put_text(l, f->key);
	put_text(l, json ? "\":" : "=");
	if (l->full || !put_value(l, format, f))
		l->len = before;
}

size_t log_format_line(char *out, size_t size, enum log_format format, enum log_level level,
		       const char *event, const struct log_field *fields, size_t n)
{
	struct line l = {out, size - RESERVE, 0, false};
	const struct log_field head[] = {
		log_str("level", log_level_name(level)),
		log_str("program", the_log.program),
		log_str("event", event),
	};

	for (size_t i = 0; i < array_len(head); i++)
		put_field(&l, format, &head[i]);
	for (size_t i = 0; i < n; i++)
		put_field(&l, format, &fields[i]);
	if (format == LOG_FORMAT_JSON) {
		out[0] = '{';
		l.len = l.len ? l.len : 1;
		out[l.len++] = '}';
	}
	out[l.len] = '\0';
	return l.len;
}

static size_t put_time(char *out, size_t size)
{
	struct timespec now;
	struct tm tm;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	n = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &tm);
	return n + (size_t)snprintf(out + n, size - n, ".%03ldZ", now.tv_nsec / 1000000);
}

void log_event(enum log_level level, const char *event, const struct log_field *fields, size_t n)
{
	char line[LINE_SIZE];
	char body[LINE_SIZE - 64];
	char when[40];
	size_t len = log_format_line(body, sizeof(body), the_log.format, level, event, fields, n);
	int total;

	put_time(when, sizeof(when));
	if (the_log.format == LOG_FORMAT_JSON)
		total = snprintf(line, sizeof(line), "{\"time\":\"%s\",%.*s\n", when, (int)len - 1,
				 body + 1);
	else
		total = snprintf(line, sizeof(line), "time=%s%.*s\n", when, (int)len, body);
	/* A log that cannot be written must not stop the program. */
	if (total > 0 && write(STDERR_FILENO, line, (size_t)total) < 0)
		return;
}

struct log_field log_strn(const char *key, const char *value, size_t len)
{
	struct log_field f = {.type = LOG_FIELD_STR, .key = key};

	f.v.str.ptr = value ? value : "";
	f.v.str.len = value ? len : 0;
	return f;
}

struct log_field log_str(const char *key, const char *value)
{
	return log_strn(key, value, value ? strlen(value) : 0);
}

struct log_field log_i64(const char *key, int64_t value)
{
	return (struct log_field){.type = LOG_FIELD_I64, .key = key, .v.i64 = value};
}

struct log_field log_u64(const char *key, uint64_t value)
{
	return (struct log_field){.type = LOG_FIELD_U64, .key = key, .v.u64 = value};
}

struct log_field log_f64(const char *key, double value)
{
	return (struct log_field){.type = LOG_FIELD_F64, .key = key, .v.f64 = value};
}

struct log_field log_err(const struct err *e)
{
	return log_str("error", e->message);
}

void log_setup(const char *program, enum log_level level, enum log_format format)
{
	the_log.program = program;
	the_log.format = format;
	log_set_level(level);
}

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&the_log.level, (int)level, memory_order_relaxed);
}

enum log_level log_level(void)
{
	return (enum log_level)atomic_load_explicit(&the_log.level, memory_order_relaxed);
}

int log_level_parse(const char *text, enum log_level *out)
{
	for (size_t i = 0; i < array_len(level_names); i++) {
		if (strcmp(text, level_names[i]) == 0) {
			*out = (enum log_level)i;
			return 0;
		}
	}
	return -1;
}

const char *log_level_name(enum log_level level)
{
	return (size_t)level < array_len(level_names) ? level_names[level] : "unknown";
}

bool log_enabled(enum log_level level)
{
	return (int)level >= atomic_load_explicit(&the_log.level, memory_order_relaxed);
}
