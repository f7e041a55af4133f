#define PCRE2_CODE_UNIT_WIDTH 8
#include "data-plane/tables/route_matcher.h"

#include <pcre2.h>
#include <stdlib.h>

struct route_matcher {
	pcre2_match_data *whole;  /* for where a match ends */
	pcre2_match_data *groups; /* for its groups too */
	pcre2_match_context *context;
	struct route_overview overview;
};

struct route_matcher *route_matcher_create(void)
{
	struct route_matcher *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->whole = pcre2_match_data_create(1, NULL);
	m->groups = pcre2_match_data_create(ROUTE_GROUPS_MAX + 1, NULL);
	m->context = pcre2_match_context_create(NULL);
	if (!m->whole || !m->groups || !m->context) {
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
	pcre2_match_data_free(m->whole);
	pcre2_match_data_free(m->groups);
	pcre2_match_context_free(m->context);
	free(m);
}

struct route_overview *route_matcher_overview(struct route_matcher *m)
{
	return &m->overview;
}

static int run(const struct route_matcher *m, const pcre2_code *regex, struct str text,
	       pcre2_match_data *data)
{
	return pcre2_match(regex, (PCRE2_SPTR)(text.ptr ? text.ptr : ""), text.len, 0, 0, data,
			   m->context);
}

long route_matcher_end(const struct route_matcher *m, const pcre2_code *regex, struct str text)
{
	if (run(m, regex, text, m->whole) < 0)
		return -1;
	return (long)pcre2_get_ovector_pointer(m->whole)[1];
}

/* --- captures --- */

/* PCRE2's table: per name two bytes with the group's number, then the text with its NUL. */
struct names {
	PCRE2_SPTR table;
	uint32_t count, size;
};

static struct names names_of(const pcre2_code *regex)
{
	struct names n = {0};

	if (pcre2_pattern_info(regex, PCRE2_INFO_NAMECOUNT, &n.count) != 0 || n.count == 0)
		return (struct names){0};
	if (pcre2_pattern_info(regex, PCRE2_INFO_NAMETABLE, &n.table) != 0 ||
	    pcre2_pattern_info(regex, PCRE2_INFO_NAMEENTRYSIZE, &n.size) != 0)
		return (struct names){0};
	return n;
}

/* STR_NONE: it took no part. */
static struct str group(const PCRE2_SIZE *offsets, uint32_t groups, uint32_t number,
			struct str text)
{
	if (number >= groups || offsets[2 * number] == PCRE2_UNSET)
		return STR_NONE;
	return str_sub(text, offsets[2 * number], offsets[2 * number + 1]);
}

int route_matcher_captures(const struct route_matcher *m, const pcre2_code *regex, struct str text,
			   struct arena *a, struct route_captures *out)
{
	struct names n = names_of(regex);
	struct route_capture *items;
	size_t count = 0;
	int rc;

	if (n.count == 0 || (rc = run(m, regex, text, m->groups)) < 0) {
		*out = (struct route_captures){0};
		return 0;
	}
	/* 0: more groups than there is room for. */
	if (rc == 0)
		rc = ROUTE_GROUPS_MAX + 1;
	items = arena_alloc(a, n.count * sizeof(*items));
	if (!items)
		return -1;
	for (uint32_t i = 0; i < n.count; i++) {
		PCRE2_SPTR entry = n.table + (size_t)i * n.size;
		uint32_t number = (uint32_t)(entry[0] << 8 | entry[1]);
		struct str value =
			group(pcre2_get_ovector_pointer(m->groups), (uint32_t)rc, number, text);

		if (!value.ptr)
			continue;
		items[count].name = arena_str(a, str_from((const char *)entry + 2));
		if (!items[count].name.ptr)
			return -1;
		items[count++].value = value;
	}
	*out = (struct route_captures){items, count};
	return 0;
}

struct str route_capture_find(const struct route_captures *c, struct str name)
{
	for (size_t i = 0; i < c->count; i++)
		if (str_eq(c->items[i].name, name))
			return c->items[i].value;
	return STR_NONE;
}
