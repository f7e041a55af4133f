/* The lines of the access log. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "common/http/syntax.h"
#include "data-plane/proxy/access_log.h"

/* Room is kept for the end of the line. */
struct line {
	char *p, *end;
};

static void put(struct line *l, struct str s)
{
	size_t n = (size_t)(l->end - l->p);

	if (s.len < n)
		n = s.len;
	if (n > 0)
		memcpy(l->p, s.ptr, n);
	l->p += n;
}

static void put_number(struct line *l, uint64_t n)
{
	char text[24], *p = text + sizeof(text);

	do {
		*--p = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	put(l, (struct str){p, (size_t)(text + sizeof(text) - p)});
}

/* All of it or nothing. */
static void put_whole(struct line *l, struct str s)
{
	if (s.len <= (size_t)(l->end - l->p))
		put(l, s);
}

static bool is_plain(unsigned char c)
{
	return c >= ' ' && c < 0x7F && c != '"' && c != '\\';
}

/* What cannot stand in a line as it is becomes `prefix` and two hex digits. Cuts whole escapes. */
static void put_escaped(struct line *l, struct str s, struct str prefix, bool keep_high)
{
	static const char digits[] = "0123456789abcdef";
	size_t at = 0;

	s = str_sub(s, 0, ACCESS_VALUE_MAX);
	while (at < s.len && (size_t)(l->end - l->p) > prefix.len + 2) {
		unsigned char c = (unsigned char)s.ptr[at++];

		if (is_plain(c) || (c >= 0x80 && keep_high)) {
			*l->p++ = (char)c;
			continue;
		}
		put(l, prefix);
		*l->p++ = digits[c >> 4];
		*l->p++ = digits[c & 15];
	}
}

/* "-" for what is absent; as nginx escapes. */
static void put_combined(struct line *l, struct str s)
{
	if (s.len == 0)
		put(l, STR("-"));
	else
		put_escaped(l, s, STR("\\x"), false);
}

static struct str version_text(enum http_version v)
{
	static const struct str texts[] = {[HTTP_10] = STR("HTTP/1.0"),
					   [HTTP_11] = STR("HTTP/1.1"),
					   [HTTP_2] = STR("HTTP/2.0")};

	return texts[v];
}

static void put_address(struct line *l, const struct addr *a, bool port)
{
	char text[ADDR_TEXT_SIZE];

	if (port)
		addr_text(a, text, sizeof(text));
	else
		addr_ip_text(a, text, sizeof(text));
	put(l, str_from(text));
}

/* The second of a line changes rarely. */
static struct str local_time(int64_t now_ms)
{
	static _Thread_local char text[40];
	static _Thread_local int64_t of = -1;
	static _Thread_local size_t len;
	time_t now = (time_t)(now_ms / 1000);
	struct tm tm;

	if (of != now && gmtime_r(&now, &tm)) {
		len = strftime(text, sizeof(text), "%d/%b/%Y:%H:%M:%S +0000", &tm);
		of = now;
	}
	return (struct str){text, len};
}

static void combined(struct line *l, const struct access_entry *e, int64_t now_ms)
{
	put_address(l, e->client, false);
	put(l, STR(" - "));
	put_combined(l, e->consumer);
	put(l, STR(" ["));
	put(l, local_time(now_ms));
	put(l, STR("] \""));
	if (e->stream) {
		put(l, str_from(e->stream));
		put(l, STR(" "));
		put_combined(l, e->sni);
	} else if (e->method.len > 0) {
		put_escaped(l, e->method, STR("\\x"), false);
		put(l, STR(" "));
		put_combined(l, e->target);
		put(l, STR(" "));
		put(l, version_text(e->version));
	} else {
		put(l, STR("-"));
	}
	put(l, STR("\" "));
	put_number(l, e->status);
	put(l, STR(" "));
	put_number(l, e->bytes_out);
	put(l, STR(" \""));
	put_combined(l, e->referer);
	put(l, STR("\" \""));
	put_combined(l, e->user_agent);
	put(l, STR("\""));
}

/* Characters above ASCII that some readers take for the end of a line or for an order to a
 * terminal: U+0080 to U+009F, U+2028, U+2029. Returns the bytes of the one at p, or 0. */
static size_t odd_character(const unsigned char *p, size_t left, unsigned *code)
{
	if (left >= 2 && p[0] == 0xC2 && p[1] < 0xA0) {
		*code = p[1];
		return 2;
	}
	if (left >= 3 && p[0] == 0xE2 && p[1] == 0x80 && (p[2] == 0xA8 || p[2] == 0xA9)) {
		*code = 0x2000U + (p[2] & 0x3FU);
		return 3;
	}
	return 0;
}

/* UTF-8 stays readable, but for odd characters. */
static void put_utf8(struct line *l, struct str s)
{
	const struct str prefix = STR("\\u00");
	size_t from = 0, at = 0;

	while (at < s.len) {
		unsigned code = 0;
		size_t n = odd_character((const unsigned char *)s.ptr + at, s.len - at, &code);
		char escape[8];

		if (n == 0) {
			at++;
			continue;
		}
		put_escaped(l, str_sub(s, from, at), prefix, true);
		snprintf(escape, sizeof(escape), "\\u%04x", code);
		put_whole(l, str_from(escape));
		from = at += n;
	}
	put_escaped(l, str_sub(s, from, at), prefix, true);
}

static void json_key(struct line *l, const char *key)
{
	put(l, STR(",\""));
	put(l, str_from(key));
	put(l, STR("\":"));
}

/* Absent ones are left out. */
static void json_text(struct line *l, const char *key, struct str s)
{
	if (!s.ptr)
		return;
	json_key(l, key);
	put(l, STR("\""));
	if (s.len <= ACCESS_VALUE_MAX && http_is_utf8(s))
		put_utf8(l, s);
	else
		put_escaped(l, s, STR("\\u00"), false);
	put(l, STR("\""));
}

static void json_number(struct line *l, const char *key, uint64_t n)
{
	json_key(l, key);
	put_number(l, n);
}

static void json_address(struct line *l, const char *key, const struct addr *a)
{
	char text[ADDR_TEXT_SIZE];

	if (!a)
		return;
	addr_text(a, text, sizeof(text));
	json_text(l, key, str_from(text));
}

static void json(struct line *l, const struct access_entry *e, int64_t now_ms)
{
	char time_text[64];
	struct tm tm = {0};
	time_t now = (time_t)(now_ms / 1000);
	size_t n;

	(void)gmtime_r(&now, &tm);
	n = strftime(time_text, sizeof(time_text), "{\"time\":\"%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(time_text + n, sizeof(time_text) - n, ".%03dZ\"", (int)(now_ms % 1000));
	put(l, str_from(time_text));
	json_text(l, "request_id", e->id);
	json_address(l, "client", e->client);
	json_address(l, "peer", e->peer);
	json_number(l, "status", e->status);
	json_text(l, "method", e->method);
	json_text(l, "host", e->host);
	json_text(l, "target", e->target);
	if (e->stream)
		json_text(l, "protocol", str_from(e->stream));
	else if (e->method.ptr)
		json_text(l, "protocol", version_text(e->version));
	json_text(l, "tls", str_from(e->tls));
	json_text(l, "sni", e->sni);
	json_text(l, "route", e->route);
	json_text(l, "service", e->service);
	json_text(l, "consumer", e->consumer);
	json_number(l, "bytes_in", e->bytes_in);
	json_number(l, "bytes_out", e->bytes_out);
	json_number(l, "total_us", e->total_us);
	if (e->upstream) {
		json_address(l, "upstream", e->upstream);
		json_number(l, "upstream_status", e->upstream_status);
		json_number(l, "upstream_us", e->upstream_us);
		json_number(l, "tries", e->tries);
	}
	json_text(l, "referer", e->referer);
	json_text(l, "user_agent", e->user_agent);
	if (e->aborted)
		put(l, STR(",\"aborted\":true"));
}

static_assert(ACCESS_LINE_MAX > 1024 + 3 * ACCESS_VALUE_MAX, "most lines fit whole");

size_t access_log_format(char *out, enum access_format format, const struct access_entry *entry,
			 int64_t now_ms)
{
	struct line l = {out, out + ACCESS_LINE_MAX - 2};

	if (format == ACCESS_JSON) {
		json(&l, entry, now_ms);
		*l.p++ = '}';
	} else {
		combined(&l, entry, now_ms);
	}
	*l.p++ = '\n';
	return (size_t)(l.p - out);
}
