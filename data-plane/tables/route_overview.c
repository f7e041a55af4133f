#include "data-plane/tables/route_overview.h"

static size_t total(const struct route_overview *o, enum route_count_kind kind)
{
	return routes_count(o->t, o->generation, ROUTE_TOTAL, kind, STR_NONE);
}

void route_overview_take(struct route_overview *o, const struct routes *t, uint64_t generation)
{
	*o = (struct route_overview){.t = t, .generation = generation};
	o->hosts = total(o, ROUTE_COUNT_HOST) > 0;
	o->patterns = total(o, ROUTE_COUNT_PATTERN) > 0;
	o->headers = total(o, ROUTE_COUNT_HEADER) > 0;
	o->methods = total(o, ROUTE_COUNT_METHOD) > 0;
	o->snis = total(o, ROUTE_COUNT_SNI) > 0;
	o->pathless = total(o, ROUTE_COUNT_ALL) > total(o, ROUTE_COUNT_PATH);
	o->prefixes = routes_lengths(t, generation, ROUTE_LENGTH_ANY, STR_NONE);
	o->literals = routes_lengths(t, generation, ROUTE_LENGTH_LITERAL, STR_NONE);
	o->hostless.prefixes = routes_lengths(t, generation, ROUTE_LENGTH_PREFIX, STR_NONE);
	o->hostless.regex = routes_list(t, generation, ROUTE_LIST_REGEX, STR_NONE, STR_NONE);
	o->hostless.pathless = routes_list(t, generation, ROUTE_LIST_OTHER, STR_NONE, STR_NONE);
}

bool route_overview_used(struct route_overview *o, unsigned category)
{
	if (o->categories[category] == ROUTE_CATEGORY_UNKNOWN)
		o->categories[category] =
			routes_count(o->t, o->generation, category, ROUTE_COUNT_ALL, STR_NONE) > 0
				? ROUTE_CATEGORY_USED
				: ROUTE_CATEGORY_EMPTY;
	return o->categories[category] == ROUTE_CATEGORY_USED;
}
