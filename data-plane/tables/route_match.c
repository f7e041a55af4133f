#define PCRE2_CODE_UNIT_WIDTH 8
#include "data-plane/tables/route_match.h"

#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	HOST_MAX = 300, /* a host that is longer matches no pattern */
	HOSTS_MAX = 64, /* of patterns that fit one host, the first so many count */
};

struct route_matcher {
	pcre2_match_data *data;
	pcre2_match_context *context;
};

struct route_matcher *route_matcher_create(void)
{
	struct route_matcher *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	/* Only the whole match is looked at. */
	m->data = pcre2_match_data_create(1, NULL);
	m->context = pcre2_match_context_create(NULL);
	if (!m->data || !m->context) {
		route_matcher_free(m);
		return NULL;
	}
	pcre2_set_match_limit(m->context, ROUTE_REGEX_STEPS);
	return m;
}

void route_matcher_free(struct route_matcher *m)
{
	if (!m)
		return;
	pcre2_match_data_free(m->data);
	pcre2_match_context_free(m->context);
	free(m);
}

/* Where the match ends; -1: none, or too many steps. */
static long matches(const struct route_matcher *m, const pcre2_code *regex, struct str text)
{
	if (pcre2_match(regex, (PCRE2_SPTR)(text.ptr ? text.ptr : ""), text.len, 0, 0, m->data,
			m->context) < 0)
		return -1;
	return (long)pcre2_get_ovector_pointer(m->data)[1];
}

/* What the likely set of a category is: entries with this value of this kind. */
struct likely {
	bool known; /* the rest is */
	bool any;   /* there is such a set */
	enum route_count_kind kind;
};

struct search {
	const struct routes *t;
	uint64_t generation;
	const struct route_matcher *m;
	const struct route_request *q;
	struct str bare, full;		 /* host without and with a port */
	struct str hosts[HOSTS_MAX + 1]; /* that routes may have for this request; none last */
	size_t host_count;
	char text[HOST_MAX * 2 + 16]; /* bare and full */
	/* What the request hit first of each kind; STR_NONE: nothing. */
	struct str hit_pattern, hit_path, hit_header;
	unsigned category; /* what any route could match */
	unsigned rank_max; /* where the search begins */
	struct likely likely[ROUTE_CATEGORIES];
	/* The best so far. */
	const struct route_entry *best;
	bool best_likely;
	struct str best_matched;
};

static size_t count_of(const struct search *s, unsigned category, enum route_count_kind kind,
		       struct str value)
{
	return routes_count(s->t, s->generation, category, kind, value);
}

static bool any_has(const struct search *s, enum route_count_kind kind, struct str value)
{
	return count_of(s, ROUTE_CATEGORIES, kind, value) > 0;
}

/* --- the host --- */

static bool is_digits(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return false;
	return true;
}

/* The host in its two spellings: without a port, and with the one given or the scheme's. */
static void split_host(struct search *s)
{
	struct str host = s->q->host;
	size_t colon = host.len;
	int n;

	s->bare = s->full = host;
	while (colon > 0 && host.ptr[colon - 1] != ':' && host.ptr[colon - 1] != ']')
		colon--;
	if (colon > 0 && host.ptr[colon - 1] == ':' && is_digits(str_sub(host, colon, host.len)) &&
	    colon < host.len) {
		s->bare = str_sub(host, 0, colon - 1);
		return;
	}
	if (host.len > HOST_MAX)
		return;
	n = snprintf(s->text, sizeof(s->text), "%.*s:%s", (int)host.len, host.ptr,
		     s->q->tls ? "443" : "80");
	s->full = (struct str){s->text, n > 0 ? (size_t)n : 0};
}

static void add_host(struct search *s, struct str host)
{
	for (size_t i = 0; i < s->host_count; i++)
		if (str_eq(s->hosts[i], host))
			return;
	if (s->host_count < HOSTS_MAX)
		s->hosts[s->host_count++] = host;
}

/* The route's own text of a host, which outlives the one that was put together. */
static struct str stored_host(const struct route *r, struct str host)
{
	for (size_t i = 0; i < r->hosts.count; i++)
		if (str_eq(r->hosts.items[i], host))
			return r->hosts.items[i];
	return STR_NONE;
}

/* A pattern that some route has; notes the one that comes first. */
static void try_pattern(struct search *s, struct str pattern, const struct route_entry **first)
{
	const struct route_list *l =
		routes_list(s->t, s->generation, ROUTE_LIST_PATTERN, pattern, STR_NONE);
	struct str stored = l ? stored_host(l->items[0]->route, pattern) : STR_NONE;

	if (!stored.ptr)
		return;
	add_host(s, stored);
	if (*first && route_entry_compare(*first, l->items[0]) < 0)
		return;
	*first = l->items[0];
	s->hit_pattern = stored;
}

/* "*" and what follows each dot; what stands before each dot and "*". With and without the port. */
static void find_patterns(struct search *s)
{
	char text[HOST_MAX * 2];
	const struct route_entry *first = NULL;
	struct str port = str_sub(s->full, s->bare.len, s->full.len);

	if (s->bare.len > HOST_MAX || !any_has(s, ROUTE_COUNT_PATTERN, STR_NONE))
		return;
	for (size_t dot = str_find(s->bare, '.', 1); dot < s->bare.len;
	     dot = str_find(s->bare, '.', dot + 1)) {
		struct str tail = str_sub(s->full, dot, s->full.len);

		text[0] = '*';
		memcpy(text + 1, tail.ptr, tail.len);
		try_pattern(s, (struct str){text, 1 + tail.len - port.len}, &first);
		try_pattern(s, (struct str){text, 1 + tail.len}, &first);
		if (dot + 1 == s->bare.len)
			break;
		memcpy(text, s->bare.ptr, dot + 1);
		text[dot + 1] = '*';
		memcpy(text + dot + 2, port.ptr, port.len);
		try_pattern(s, (struct str){text, dot + 2}, &first);
		try_pattern(s, (struct str){text, dot + 2 + port.len}, &first);
	}
}

static void find_hosts(struct search *s)
{
	if (s->q->host.ptr) {
		split_host(s);
		add_host(s, s->q->host);
		add_host(s, s->bare);
		find_patterns(s);
		/* A plain host goes before patterns, whichever route has it. */
		if (any_has(s, ROUTE_COUNT_HOST, s->full) ||
		    any_has(s, ROUTE_COUNT_HOST, s->bare)) {
			s->hit_pattern = STR_NONE;
			s->category |= ROUTE_HOST;
		} else if (s->hit_pattern.ptr) {
			s->category |= ROUTE_HOST;
		}
	}
	s->hosts[s->host_count++] = STR_NONE;
}

/* --- the path, method, SNI and headers --- */

static void find_regex(struct search *s)
{
	const struct route_lengths *lengths =
		routes_lengths(s->t, s->generation, ROUTE_LENGTH_LITERAL, STR_NONE);
	const struct route_entry *first = NULL;

	for (size_t i = 0; lengths && i < lengths->count; i++) {
		const struct route_list *l;

		if (lengths->items[i].len > s->q->path.len)
			continue;
		l = routes_list(s->t, s->generation, ROUTE_LIST_LITERAL,
				str_sub(s->q->path, 0, lengths->items[i].len), STR_NONE);
		for (size_t k = 0; l && k < l->count; k++) {
			if (first && route_entry_compare(first, l->items[k]) < 0)
				break;
			if (matches(s->m, l->items[k]->regex, s->q->path) < 0)
				continue;
			first = l->items[k];
			break;
		}
	}
	if (first)
		s->hit_path = first->path;
}

static void find_prefix(struct search *s)
{
	const struct route_lengths *lengths =
		routes_lengths(s->t, s->generation, ROUTE_LENGTH_ANY, STR_NONE);

	for (size_t i = 0; lengths && i < lengths->count; i++) {
		struct str prefix = str_sub(s->q->path, 0, lengths->items[i].len);

		if (lengths->items[i].len > s->q->path.len ||
		    !any_has(s, ROUTE_COUNT_PREFIX, prefix))
			continue;
		s->hit_path = prefix;
		return;
	}
}

static void find_path(struct search *s)
{
	find_regex(s);
	if (!s->hit_path.ptr)
		find_prefix(s);
	if (s->hit_path.ptr)
		s->category |= ROUTE_PATH;
}

static void find_header(struct search *s)
{
	const struct route_entry *first = NULL;

	for (size_t i = 0; s->q->fields && i < s->q->fields->count; i++) {
		struct str name = s->q->fields->items[i].name;
		const struct route_list *l =
			routes_list(s->t, s->generation, ROUTE_LIST_HEADER, name, STR_NONE);

		if (!l || (first && route_entry_compare(first, l->items[0]) <= 0))
			continue;
		first = l->items[0];
		s->hit_header = name;
	}
	if (first)
		s->category |= ROUTE_HEADER;
}

static void find_category(struct search *s)
{
	find_hosts(s);
	find_path(s);
	find_header(s);
	if (any_has(s, ROUTE_COUNT_METHOD, s->q->method))
		s->category |= ROUTE_METHOD;
	if (s->q->sni.ptr && any_has(s, ROUTE_COUNT_SNI, s->q->sni))
		s->category |= ROUTE_SNI;
	/* Kong begins at this category when it has routes, else at the first. */
	s->rank_max = ~0U;
	if (count_of(s, s->category, ROUTE_COUNT_ALL, STR_NONE) > 0)
		s->rank_max = route_category_rank(s->category);
}

/* --- the likely set --- */

static struct str hit_of(const struct search *s, enum route_count_kind kind)
{
	switch (kind) {
	case ROUTE_COUNT_HOST:
		return s->hit_pattern.ptr ? s->hit_pattern : s->q->host;
	case ROUTE_COUNT_HEADER:
		return s->hit_header;
	case ROUTE_COUNT_PATH:
		return s->hit_path;
	case ROUTE_COUNT_METHOD:
		return s->q->method;
	default:
		return s->q->sni;
	}
}

/* The smallest set of entries that share a value with the request; a header's goes first. */
static void find_likely(const struct search *s, unsigned category, struct likely *l)
{
	static const struct {
		unsigned bit;
		enum route_count_kind kind;
	} kinds[] = {
		{ROUTE_HOST, ROUTE_COUNT_HOST}, {ROUTE_HEADER, ROUTE_COUNT_HEADER},
		{ROUTE_PATH, ROUTE_COUNT_PATH}, {ROUTE_METHOD, ROUTE_COUNT_METHOD},
		{ROUTE_SNI, ROUTE_COUNT_SNI},
	};
	size_t least = 0;

	l->known = true;
	for (size_t i = 0; i < array_len(kinds); i++) {
		struct str hit = hit_of(s, kinds[i].kind);
		size_t n;

		if (!(category & kinds[i].bit) || !hit.ptr)
			continue;
		n = count_of(s, category, kinds[i].kind, hit);
		if (n == 0)
			continue;
		if (!l->any || n < least || kinds[i].bit == ROUTE_HEADER) {
			least = n;
			l->any = true;
			l->kind = kinds[i].kind;
		}
		if (kinds[i].bit == ROUTE_HEADER)
			return;
	}
}

static bool has_text(const struct route_texts *texts, struct str text)
{
	for (size_t i = 0; i < texts->count; i++)
		if (str_eq(texts->items[i], text))
			return true;
	return false;
}

static bool has_header(const struct route *r, struct str name)
{
	for (size_t i = 0; i < r->header_count; i++)
		if (str_eq(r->headers[i].name, name))
			return true;
	return false;
}

static bool is_likely(struct search *s, const struct route_entry *entry)
{
	const struct route *r = entry->route;
	struct likely *l = &s->likely[r->category];
	struct str hit;

	if (!l->known)
		find_likely(s, r->category, l);
	if (!l->any)
		return false;
	hit = hit_of(s, l->kind);
	switch (l->kind) {
	case ROUTE_COUNT_HOST:
		return has_text(&r->hosts, hit);
	case ROUTE_COUNT_HEADER:
		return has_header(r, hit);
	case ROUTE_COUNT_PATH:
		return str_eq(entry->path, hit);
	case ROUTE_COUNT_METHOD:
		return has_text(&r->methods, hit);
	default:
		return has_text(&r->snis, hit);
	}
}

/* --- constraints that the look-up did not settle --- */

static bool value_matches(const struct search *s, const struct route_header *h, struct str value)
{
	char lower[ROUTE_TEXT_MAX];

	if (value.len > sizeof(lower))
		return false;
	for (size_t i = 0; i < value.len; i++)
		lower[i] = ascii_lower(value.ptr[i]);
	value.ptr = lower;
	return has_text(&h->values, value) || (h->pattern && matches(s->m, h->pattern, value) >= 0);
}

static bool header_holds(const struct search *s, const struct route_header *h)
{
	const struct http_fields *f = s->q->fields;

	for (size_t i = 0; f && i < f->count; i++)
		if (str_eq(f->items[i].name, h->name) && value_matches(s, h, f->items[i].value))
			return true;
	return false;
}

static bool holds(const struct search *s, const struct route *r)
{
	if ((r->category & ROUTE_METHOD) && !has_text(&r->methods, s->q->method))
		return false;
	/* Without TLS the redirect to HTTPS is to come, so that its name is not looked at. */
	if ((r->category & ROUTE_SNI) && s->q->tls &&
	    !(s->q->sni.ptr && has_text(&r->snis, s->q->sni)))
		return false;
	for (size_t i = 0; i < r->header_count; i++)
		if (!header_holds(s, &r->headers[i]))
			return false;
	return true;
}

/* Whether it would win over the best so far. */
static bool is_better(const struct search *s, const struct route_entry *entry, bool likely)
{
	unsigned rank = route_category_rank(entry->route->category), best;

	if (!s->best)
		return true;
	best = route_category_rank(s->best->route->category);
	if (rank != best)
		return rank > best;
	if (likely != s->best_likely)
		return likely;
	return route_entry_compare(entry, s->best) < 0;
}

/* An entry whose host and path hold. */
static void consider(struct search *s, const struct route_entry *entry, struct str matched)
{
	bool likely;

	if (route_category_rank(entry->route->category) > s->rank_max)
		return;
	likely = is_likely(s, entry);
	if (!is_better(s, entry, likely) || !holds(s, entry->route))
		return;
	s->best = entry;
	s->best_likely = likely;
	s->best_matched = matched;
}

/* --- looking up --- */

static void consider_list(struct search *s, const struct route_list *l, struct str matched)
{
	for (size_t i = 0; l && i < l->count; i++)
		consider(s, l->items[i], matched);
}

static void search_prefixes(struct search *s, struct str host)
{
	const struct route_lengths *lengths =
		routes_lengths(s->t, s->generation, ROUTE_LENGTH_PREFIX, host);

	for (size_t i = 0; lengths && i < lengths->count; i++) {
		struct str prefix = str_sub(s->q->path, 0, lengths->items[i].len);

		if (lengths->items[i].len <= s->q->path.len)
			consider_list(
				s,
				routes_list(s->t, s->generation, ROUTE_LIST_PREFIX, host, prefix),
				prefix);
	}
}

static void search_regex(struct search *s, struct str host)
{
	const struct route_list *l =
		routes_list(s->t, s->generation, ROUTE_LIST_REGEX, host, STR_NONE);

	for (size_t i = 0; l && i < l->count; i++) {
		long end = -1;

		if (str_starts(s->q->path, l->items[i]->literal))
			end = matches(s->m, l->items[i]->regex, s->q->path);
		if (end >= 0)
			consider(s, l->items[i], str_sub(s->q->path, 0, (size_t)end));
	}
}

bool routes_match(const struct routes *t, uint64_t generation, struct route_matcher *m,
		  const struct route_request *q, struct route_match *out)
{
	struct search s = {.t = t, .generation = generation, .m = m, .q = q};

	find_category(&s);
	if (s.category == 0)
		return false;
	for (size_t i = 0; i < s.host_count; i++) {
		search_prefixes(&s, s.hosts[i]);
		search_regex(&s, s.hosts[i]);
		consider_list(&s,
			      routes_list(t, generation, ROUTE_LIST_OTHER, s.hosts[i], STR_NONE),
			      STR_NONE);
	}
	if (!s.best)
		return false;
	*out = (struct route_match){s.best->route, s.best_matched};
	return true;
}
