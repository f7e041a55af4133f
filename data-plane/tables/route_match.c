#include "data-plane/tables/route_match.h"

#include <string.h>

enum {
	HOST_MAX = 300, /* a host that is longer matches no pattern */
	HOSTS_MAX = 64, /* of patterns that fit one host, the first so many count */
};

enum { LIKELY_UNKNOWN = 0, LIKELY_NONE = 1 }; /* otherwise an enum route_count_kind */

struct search {
	const struct routes *t;
	uint64_t generation;
	const struct route_matcher *m;
	struct route_overview *o;
	const struct route_request *q;
	struct str bare, full; /* host without and with a port */
	size_t host_count;
	/* What the request hit first of each kind; STR_NONE: nothing. */
	struct str hit_pattern, hit_path, hit_header;
	unsigned category; /* what any route could match */
	unsigned rank_max; /* where the search begins */
	/* By category: of what kind the value is that entries of the likely set have. */
	unsigned char likely[ROUTE_CATEGORIES];
	/* The best so far. */
	const struct route_entry *best;
	struct str best_matched;
	/* --- not cleared --- */
	struct str hosts[HOSTS_MAX];  /* that routes may have for this request */
	char text[HOST_MAX * 2 + 16]; /* bare and full */
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

struct str route_request_host(struct arena *a, struct str authority)
{
	size_t end = str_find(authority, ':', 0), n = 0;
	bool dot, same;
	char *text;

	if (str_starts(authority, STR("[")))
		end = str_find(authority, ']', 0);
	dot = end > 1 && authority.ptr[end - 1] == '.';
	same = !dot;
	for (size_t i = 0; same && i < authority.len; i++)
		same = ascii_lower(authority.ptr[i]) == authority.ptr[i];
	if (same)
		return authority;
	text = arena_alloc(a, authority.len);
	if (!text)
		return STR_NONE;
	for (size_t i = 0; i < authority.len; i++)
		if (!dot || i != end - 1)
			text[n++] = ascii_lower(authority.ptr[i]);
	return (struct str){text, n};
}

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
	struct str host = s->q->host, port = s->q->tls ? STR(":443") : STR(":80");
	size_t colon = host.len;

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
	if (host.len > 0)
		memcpy(s->text, host.ptr, host.len);
	memcpy(s->text + host.len, port.ptr, port.len);
	s->full = (struct str){s->text, host.len + port.len};
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

	if (s->bare.len > HOST_MAX || !s->o->patterns)
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
	if (s->q->host.ptr && s->o->hosts) {
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
}

/* --- the path, method, SNI and headers --- */

static void find_regex(struct search *s)
{
	const struct route_lengths *lengths = s->o->literals;
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
			if (route_matcher_end(s->m, l->items[k]->regex, s->q->path) < 0)
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
	const struct route_lengths *lengths = s->o->prefixes;

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

	if (!s->o->headers)
		return;
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
	if (s->o->methods && any_has(s, ROUTE_COUNT_METHOD, s->q->method))
		s->category |= ROUTE_METHOD;
	if (s->o->snis && s->q->sni.ptr && any_has(s, ROUTE_COUNT_SNI, s->q->sni))
		s->category |= ROUTE_SNI;
	/* Kong begins at this category when it has routes, else at the first. */
	s->rank_max = ~0U;
	if (route_overview_used(s->o, s->category))
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
static unsigned char find_likely(const struct search *s, unsigned category)
{
	static const struct {
		unsigned bit;
		enum route_count_kind kind;
	} kinds[] = {
		{ROUTE_HOST, ROUTE_COUNT_HOST}, {ROUTE_HEADER, ROUTE_COUNT_HEADER},
		{ROUTE_PATH, ROUTE_COUNT_PATH}, {ROUTE_METHOD, ROUTE_COUNT_METHOD},
		{ROUTE_SNI, ROUTE_COUNT_SNI},
	};
	unsigned char found = LIKELY_NONE;
	size_t least = 0;

	for (size_t i = 0; i < array_len(kinds); i++) {
		struct str hit = hit_of(s, kinds[i].kind);
		size_t n;

		if (!(category & kinds[i].bit) || !hit.ptr)
			continue;
		n = count_of(s, category, kinds[i].kind, hit);
		if (n == 0)
			continue;
		if (found == LIKELY_NONE || n < least || kinds[i].bit == ROUTE_HEADER) {
			least = n;
			found = (unsigned char)kinds[i].kind;
		}
		if (kinds[i].bit == ROUTE_HEADER)
			break;
	}
	return found;
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
	unsigned char *likely = &s->likely[r->category];
	enum route_count_kind kind;
	struct str hit;

	if (*likely == LIKELY_UNKNOWN)
		*likely = find_likely(s, r->category);
	if (*likely == LIKELY_NONE)
		return false;
	kind = (enum route_count_kind) * likely;
	hit = hit_of(s, kind);
	switch (kind) {
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
	return has_text(&h->values, value) ||
	       (h->pattern && route_matcher_end(s->m, h->pattern, value) >= 0);
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
static bool is_better(struct search *s, const struct route_entry *entry)
{
	unsigned rank = route_category_rank(entry->route->category), best;
	bool likely;

	if (!s->best)
		return true;
	best = route_category_rank(s->best->route->category);
	if (rank != best)
		return rank > best;
	likely = is_likely(s, entry);
	if (likely != is_likely(s, s->best))
		return likely;
	return route_entry_compare(entry, s->best) < 0;
}

/* An entry whose host and path hold. */
static void consider(struct search *s, const struct route_entry *entry, struct str matched)
{
	if (route_category_rank(entry->route->category) > s->rank_max || !is_better(s, entry) ||
	    !holds(s, entry->route))
		return;
	s->best = entry;
	s->best_matched = matched;
}

/* --- looking up --- */

static void consider_list(struct search *s, const struct route_list *l, struct str matched)
{
	for (size_t i = 0; l && i < l->count; i++)
		consider(s, l->items[i], matched);
}

static void search_prefixes(struct search *s, struct str host, const struct route_lengths *lengths)
{
	for (size_t i = 0; lengths && i < lengths->count; i++) {
		struct str prefix = str_sub(s->q->path, 0, lengths->items[i].len);

		if (lengths->items[i].len <= s->q->path.len)
			consider_list(
				s,
				routes_list(s->t, s->generation, ROUTE_LIST_PREFIX, host, prefix),
				prefix);
	}
}

static void search_regex(struct search *s, const struct route_list *l)
{
	for (size_t i = 0; l && i < l->count; i++) {
		long end = -1;

		if (str_starts(s->q->path, l->items[i]->literal))
			end = route_matcher_end(s->m, l->items[i]->regex, s->q->path);
		if (end >= 0)
			consider(s, l->items[i], str_sub(s->q->path, 0, (size_t)end));
	}
}

/* Entries with this host. */
static void search_host(struct search *s, struct str host)
{
	const struct routes *t = s->t;

	if (s->o->prefixes)
		search_prefixes(s, host,
				routes_lengths(t, s->generation, ROUTE_LENGTH_PREFIX, host));
	if (s->o->literals)
		search_regex(s, routes_list(t, s->generation, ROUTE_LIST_REGEX, host, STR_NONE));
	if (s->o->pathless)
		consider_list(s, routes_list(t, s->generation, ROUTE_LIST_OTHER, host, STR_NONE),
			      STR_NONE);
}

static void search_hostless(struct search *s)
{
	search_prefixes(s, STR_NONE, s->o->hostless.prefixes);
	search_regex(s, s->o->hostless.regex);
	consider_list(s, s->o->hostless.pathless, STR_NONE);
}

bool routes_match(const struct routes *t, uint64_t generation, struct route_matcher *m,
		  const struct route_request *q, struct route_match *out)
{
	struct search s;

	memset(&s, 0, offsetof(struct search, hosts));
	s.t = t;
	s.generation = generation;
	s.m = m;
	s.o = route_matcher_overview(m);
	s.q = q;
	if (s.o->t != t || s.o->generation != generation)
		route_overview_take(s.o, t, generation);
	find_category(&s);
	if (s.category == 0)
		return false;
	for (size_t i = 0; i < s.host_count; i++)
		search_host(&s, s.hosts[i]);
	search_hostless(&s);
	if (!s.best)
		return false;
	*out = (struct route_match){s.best->route, s.best, s.best_matched};
	return true;
}
