/* Runs the expressions of routes, within PCRE2's match limit (ROUTE_REGEX_STEPS).
 *
 * Holds the memory for one match, and what its thread knows of all routes. One per thread. */
#ifndef CARDEA_TABLES_ROUTE_MATCHER_H
#define CARDEA_TABLES_ROUTE_MATCHER_H

#include "common/core/arena.h"
#include "data-plane/tables/route_overview.h"

enum { ROUTE_GROUPS_MAX = 64 }; /* groups beyond have no value */

/* A named group of an expression that took part in the match. */
struct route_capture {
	struct str name, value;
};
struct route_captures {
	const struct route_capture *items;
	size_t count;
};

struct route_matcher;

/* NULL: out of memory. */
struct route_matcher *route_matcher_create(void);
/* NULL is fine. */
void route_matcher_free(struct route_matcher *m);
/* All zero at first; whoever uses it keeps it up to date. */
struct route_overview *route_matcher_overview(struct route_matcher *m);
/* Where the match ends; -1: none, or too many steps. */
long route_matcher_end(const struct route_matcher *m, const struct pcre2_real_code_8 *regex,
		       struct str text);
/* The named groups of the match, none when the expression has no names or does not match. Names are
 * copied into a; values are parts of text. -1: out of memory. */
int route_matcher_captures(const struct route_matcher *m, const struct pcre2_real_code_8 *regex,
			   struct str text, struct arena *a, struct route_captures *out) must_check;
/* STR_NONE: there is no such capture. */
struct str route_capture_find(const struct route_captures *c, struct str name);

#endif
