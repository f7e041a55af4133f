#include "data-plane/tables/stream_match.h"

static bool matches(const struct route *r, const struct stream_request *q)
{
	return (r->action.protocols & q->protocols) &&
	       (!r->sources.count || route_endpoints_have(&r->sources, q->source)) &&
	       (!r->destinations.count || route_endpoints_have(&r->destinations, q->destination));
}

static bool is_better(const struct route_entry *a, const struct route_entry *than)
{
	unsigned x, y;

	if (!than)
		return true;
	x = route_category_rank(a->route->stream);
	y = route_category_rank(than->route->stream);
	return x != y ? x > y : route_entry_compare(a, than) < 0;
}

static const struct route_entry *best_of(const struct route_list *l, const struct stream_request *q,
					 const struct route_entry *best)
{
	for (size_t i = 0; l && i < l->count; i++)
		if (is_better(l->items[i], best) && matches(l->items[i]->route, q))
			best = l->items[i];
	return best;
}

const struct route *stream_match(const struct routes *t, uint64_t generation,
				 const struct stream_request *q)
{
	const struct route_entry *best = NULL;

	if (q->sni.len)
		best = best_of(routes_list(t, generation, ROUTE_LIST_STREAM, q->sni, STR_NONE), q,
			       best);
	best = best_of(routes_list(t, generation, ROUTE_LIST_STREAM, STR_NONE, STR_NONE), q, best);
	return best ? best->route : NULL;
}
