/* The model: all entries in one list, walked from the begin. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/lib/route_text.h"

enum { MODEL_MAX = 512, VALUES_MAX = 5 };

struct line {
	const struct route_source *s;
	int index;	 /* of the source */
	struct str path; /* one of its paths, with "~"; or STR_NONE */
	unsigned category, preference, weight;
};

struct hits {
	struct str host, path, header;
	struct str bare, full;
	char text[300];
};

static bool wild(struct str s)
{
	return str_find(s, '*', 0) < s.len;
}

static bool regex(struct str s)
{
	return s.ptr && s.ptr[0] == '~';
}

static struct str value(struct str path)
{
	return str_sub(path, regex(path), path.len);
}

static bool matches(struct str pattern, struct str text, uint32_t options)
{
	int code;
	PCRE2_SIZE at;
	pcre2_code *c =
		pcre2_compile((PCRE2_SPTR)pattern.ptr, pattern.len, options, &code, &at, NULL);
	pcre2_match_data *d = pcre2_match_data_create(1, NULL);
	int rc;

	assert_non_null(c);
	rc = pcre2_match(c, (PCRE2_SPTR)text.ptr, text.len, 0, 0, d, NULL);
	pcre2_match_data_free(d);
	pcre2_code_free(c);
	return rc >= 0;
}

/* '*' stands for one or more characters; a port may follow unless the pattern has one. */
static bool wild_matches(struct str pattern, struct str full)
{
	char text[512];
	size_t n = 0;

	for (size_t i = 0; i < pattern.len; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
				      pattern.ptr[i] == '*'   ? ".+"
				      : pattern.ptr[i] == '.' ? "\\."
							      : "%c",
				      pattern.ptr[i]);
	n += (size_t)snprintf(text + n, sizeof(text) - n, "%s$",
			      str_find(pattern, ':', 0) < pattern.len ? "" : "(?::\\d+)?");
	return matches((struct str){text, n}, full, PCRE2_ANCHORED);
}

static int line_compare(const void *left, const void *right)
{
	const struct line *a = left, *b = right;
	int64_t x[4] = {(int64_t)a->preference, (int64_t)a->s->header_count,
			regex(a->path) ? a->s->regex_priority : 0,
			regex(a->path) ? 0 : (int64_t)a->path.len};
	int64_t y[4] = {(int64_t)b->preference, (int64_t)b->s->header_count,
			regex(b->path) ? b->s->regex_priority : 0,
			regex(b->path) ? 0 : (int64_t)b->path.len};

	for (int i = 0; i < 4; i++)
		if (x[i] != y[i])
			return x[i] > y[i] ? -1 : 1;
	if (a->s->created_at != b->s->created_at)
		return a->s->created_at < b->s->created_at ? -1 : 1;
	return a->path.ptr < b->path.ptr ? -1 : a->path.ptr > b->path.ptr;
}

static void set_line(struct line *l, const struct route_source *s, int index, struct str path)
{
	bool any_wild = false;

	*l = (struct line){.s = s, .index = index, .path = path};
	l->category = (s->hosts.count ? 0x40U : 0) | (s->header_count ? 0x20U : 0) |
		      (path.ptr ? 0x10U : 0) | (s->methods.count ? 0x08U : 0) |
		      (s->snis.count ? 0x04U : 0);
	l->weight = (unsigned)__builtin_popcount(l->category);
	for (size_t i = 0; i < s->hosts.count; i++) {
		any_wild |= wild(s->hosts.items[i]);
		if (wild(s->hosts.items[i]) &&
		    str_find(s->hosts.items[i], ':', 0) < s->hosts.items[i].len)
			l->preference |= 4;
	}
	l->preference |= (s->hosts.count && !any_wild ? 2U : 0) | (regex(path) ? 1U : 0);
}

static bool has(const struct route_texts *t, struct str s)
{
	for (size_t i = 0; i < t->count; i++)
		if (s.ptr && str_eq(t->items[i], s))
			return true;
	return false;
}

static bool has_header(const struct route_source *s, struct str name)
{
	for (size_t i = 0; i < s->header_count; i++)
		if (name.ptr && str_eq(s->headers[i].name, name))
			return true;
	return false;
}

static bool header_holds(const struct route_header_source *h, const struct route_request *q)
{
	struct str first = h->values.items[0];

	for (size_t i = 0; i < q->fields->count; i++) {
		char lower[64] = "";

		for (size_t k = 0; k < q->fields->items[i].value.len; k++)
			lower[k] = ascii_lower(q->fields->items[i].value.ptr[k]);
		if (!str_eq(q->fields->items[i].name, h->name))
			continue;
		for (size_t k = 0; k < h->values.count; k++)
			if (str_ieq(h->values.items[k], q->fields->items[i].value))
				return true;
		if (h->values.count == 1 && str_starts(first, STR("~*")) &&
		    matches(str_sub(first, 2, first.len), str_from(lower), 0))
			return true;
	}
	return false;
}

static bool host_holds(const struct line *l, const struct hits *h, const struct route_request *q)
{
	if (has(&l->s->hosts, h->host.ptr ? h->host : q->host) || has(&l->s->hosts, h->bare))
		return true;
	for (size_t i = 0; h->full.ptr && i < l->s->hosts.count; i++)
		if (wild(l->s->hosts.items[i]) && wild_matches(l->s->hosts.items[i], h->full))
			return true;
	return false;
}

static bool path_holds(struct str path, struct str asked)
{
	return regex(path) ? matches(value(path), asked, PCRE2_ANCHORED) : str_starts(asked, path);
}

static bool holds(const struct line *l, const struct hits *h, const struct route_request *q)
{
	if ((l->category & 0x40) && !host_holds(l, h, q))
		return false;
	if ((l->category & 0x10) && !path_holds(l->path, q->path))
		return false;
	if ((l->category & 0x08) && !has(&l->s->methods, q->method))
		return false;
	if ((l->category & 0x04) && q->tls && !has(&l->s->snis, q->sni))
		return false;
	for (size_t i = 0; i < l->s->header_count; i++)
		if (!header_holds(&l->s->headers[i], q))
			return false;
	return true;
}

static void split(struct hits *h, const struct route_request *q)
{
	size_t end = str_starts(q->host, STR("[")) ? str_find(q->host, ']', 0) : 0;
	size_t colon = str_find(q->host, ':', end);
	int n;

	h->full = h->bare = q->host;
	if (!q->host.ptr)
		return;
	if (colon < q->host.len) {
		h->bare = str_sub(q->host, 0, colon);
		return;
	}
	n = snprintf(h->text, sizeof(h->text), "%.*s:%d", (int)q->host.len, q->host.ptr,
		     q->tls ? 443 : 80);
	h->full = (struct str){h->text, (size_t)n};
}

static unsigned find_host(struct hits *h, const struct line *lines, size_t n)
{
	for (size_t i = 0; h->full.ptr && i < n; i++)
		if (has(&lines[i].s->hosts, h->full) || has(&lines[i].s->hosts, h->bare))
			return 0x40;
	for (size_t i = 0; h->full.ptr && i < n; i++) {
		for (size_t k = 0; k < lines[i].s->hosts.count; k++) {
			struct str host = lines[i].s->hosts.items[k];

			if (!wild(host) || !wild_matches(host, h->full))
				continue;
			h->host = host;
			return 0x40;
		}
	}
	return 0;
}

static unsigned find_path(struct hits *h, const struct line *lines, size_t n, struct str asked)
{
	for (size_t i = 0; i < n; i++) {
		if (!regex(lines[i].path) || !path_holds(lines[i].path, asked))
			continue;
		h->path = value(lines[i].path);
		return 0x10;
	}
	for (size_t i = 0; i < n; i++)
		if (lines[i].path.ptr && !regex(lines[i].path) &&
		    str_starts(asked, lines[i].path) && lines[i].path.len > h->path.len)
			h->path = lines[i].path;
	return h->path.ptr ? 0x10 : 0;
}

static unsigned find_hits(struct hits *h, const struct line *lines, size_t n,
			  const struct route_request *q)
{
	unsigned found;

	split(h, q);
	found = find_host(h, lines, n) | find_path(h, lines, n, q->path);
	for (size_t i = 0; i < n; i++) {
		found |= has(&lines[i].s->methods, q->method) ? 0x08U : 0;
		found |= has(&lines[i].s->snis, q->sni) ? 0x04U : 0;
		for (size_t k = 0; !h->header.ptr && k < q->fields->count; k++)
			if (has_header(lines[i].s, q->fields->items[k].name))
				h->header = q->fields->items[k].name;
	}
	return found | (h->header.ptr ? 0x20 : 0);
}

/* Whether a line is in the likely set of one kind (0: host, then header, path, method, SNI). */
static bool is_likely(const struct line *l, int kind, const struct hits *h,
		      const struct route_request *q)
{
	switch (kind) {
	case 0:
		return has(&l->s->hosts, h->host.ptr ? h->host : q->host);
	case 1:
		return has_header(l->s, h->header);
	case 2:
		return l->path.ptr && h->path.ptr && str_eq(value(l->path), h->path);
	case 3:
		return has(&l->s->methods, q->method);
	default:
		return has(&l->s->snis, q->sni);
	}
}

static int likely_kind(const struct line *lines, size_t n, unsigned category, const struct hits *h,
		       const struct route_request *q)
{
	static const unsigned bits[VALUES_MAX] = {0x40, 0x20, 0x10, 0x08, 0x04};
	size_t least = SIZE_MAX;
	int best = -1;

	for (int kind = 0; kind < VALUES_MAX; kind++) {
		size_t count = 0;

		if (!(category & bits[kind]))
			continue;
		for (size_t i = 0; i < n; i++)
			count += lines[i].category == category && is_likely(&lines[i], kind, h, q);
		if (count > 0 && kind == 1)
			return kind;
		if (count > 0 && count < least) {
			least = count;
			best = kind;
		}
	}
	return best;
}

static int search_category(const struct line *lines, size_t n, unsigned category,
			   const struct hits *h, const struct route_request *q)
{
	int kind = likely_kind(lines, n, category, h, q);

	for (size_t i = 0; kind >= 0 && i < n; i++)
		if (lines[i].category == category && is_likely(&lines[i], kind, h, q) &&
		    holds(&lines[i], h, q))
			return lines[i].index;
	for (size_t i = 0; i < n; i++)
		if (lines[i].category == category && holds(&lines[i], h, q))
			return lines[i].index;
	return -1;
}

/* Categories from the heaviest down, and within a weight from the largest. */
static int search(const struct line *lines, size_t n, unsigned wanted, const struct hits *h,
		  const struct route_request *q)
{
	bool exists[128] = {false};
	bool begun;

	for (size_t i = 0; i < n; i++)
		exists[lines[i].category] = true;
	begun = !exists[wanted];
	for (unsigned weight = VALUES_MAX; weight > 0; weight--) {
		for (unsigned c = 128; c-- > 0;) {
			int found;

			if ((unsigned)__builtin_popcount(c) != weight || !exists[c])
				continue;
			begun |= c == wanted;
			found = begun ? search_category(lines, n, c, h, q) : -1;
			if (found >= 0)
				return found;
		}
	}
	return -1;
}

int route_model(const struct route_source *sources, size_t n, const struct route_request *q)
{
	struct line *lines = calloc(MODEL_MAX, sizeof(*lines));
	struct hits h = {.host = STR_NONE};
	size_t count = 0;
	unsigned wanted;
	int found = -1;

	for (size_t i = 0; i < n; i++) {
		const struct route_source *s = &sources[i];
		size_t paths = s->paths.count;

		assert_true(count + paths + 1 < MODEL_MAX);
		for (size_t k = 0; k < paths; k++)
			set_line(&lines[count++], s, (int)i, s->paths.items[k]);
		if (paths == 0)
			set_line(&lines[count++], s, (int)i, STR_NONE);
	}
	qsort(lines, count, sizeof(*lines), line_compare);
	wanted = find_hits(&h, lines, count, q);
	if (wanted)
		found = search(lines, count, wanted, &h, q);
	free(lines);
	return found;
}
