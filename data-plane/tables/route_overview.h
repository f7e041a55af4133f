/* What the tables of one generation say of routes whatever is asked: looked up once, and not for
 * each request.
 *
 * What it points to was found in that generation, and so is there for whoever finds that the newest
 * generation, taken with tables_enter, is still the same. Thread: one, online in RCU. */
#ifndef CARDEA_TABLES_ROUTE_OVERVIEW_H
#define CARDEA_TABLES_ROUTE_OVERVIEW_H

#include "data-plane/tables/routes.h"

struct route_overview {
	/* read */
	const struct routes *t;
	uint64_t generation;
	bool hosts, patterns, headers, methods, snis; /* some entry has one */
	bool pathless;				      /* some entry has no path */
	const struct route_lengths *prefixes, *literals;
	struct {
		const struct route_lengths *prefixes;
		const struct route_list *regex, *pathless;
	} hostless; /* of the entries without a host */
	/* private */
	enum {
		ROUTE_CATEGORY_UNKNOWN,
		ROUTE_CATEGORY_EMPTY,
		ROUTE_CATEGORY_USED,
	} categories[ROUTE_CATEGORIES];
};

/* Makes it the overview of t, whose generation that is; what was learned of another is forgotten.
 */
void route_overview_take(struct route_overview *o, const struct routes *t, uint64_t generation);
/* Whether there is an entry of this category. */
bool route_overview_used(struct route_overview *o, unsigned category);

#endif
