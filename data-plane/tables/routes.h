/* All routes, and the index that finds the one that a request wants.
 *
 *     routes:  id                     ─▶ struct route                      (writer)
 *     lists:   host, path             ─▶ entries in order                  (readers)
 *     lengths: host                   ─▶ lengths of its prefixes           (readers)
 *     counts:  category, kind, value  ─▶ how many entries have it          (readers)
 *
 * A change touches what the route's own hosts, paths and other values name, and nothing else.
 * Readers: any thread online in RCU, see vmap.h. Writer: the sync thread.
 */
#ifndef CARDEA_TABLES_ROUTES_H
#define CARDEA_TABLES_ROUTES_H

#include "data-plane/tables/route.h"

struct routes {
	struct vmap routes, lists, lengths, counts; /* private; routes.count may be read */
};

/* Empty. */
int routes_init(struct routes *t, struct err *e) must_check;
/* No reader may be left. */
void routes_deinit(struct routes *t);

/* --- writer --- */

/* Copies. ERR_INVALID as route_make. An equal payload changes nothing. */
int routes_put(struct routes *t, struct vmap_txn *x, const unsigned char id[ROUTE_ID_SIZE],
	       const struct route_source *s, struct err *e) must_check;
/* What is not there is fine. */
int routes_remove(struct routes *t, struct vmap_txn *x, const unsigned char id[ROUTE_ID_SIZE],
		  struct err *e) must_check;
/* Everything that x did not touch goes. */
int routes_sweep(struct routes *t, struct vmap_txn *x, struct err *e) must_check;
/* Derives the index from the staged routes: once, before the commit. On error culprit is the route
 * at fault. */
int routes_resolve(struct routes *t, struct vmap_txn *x, unsigned char culprit[ROUTE_ID_SIZE],
		   struct err *e) must_check;

/* What there will be when the open transaction commits; NULL: none. After routes_resolve. */
const struct route *routes_staged(const struct routes *t, const unsigned char id[ROUTE_ID_SIZE]);
struct route_list;
/* The same: the first entry of each route of a service. */
const struct route_list *routes_staged_of_service(const struct routes *t,
						  const unsigned char service[ROUTE_ID_SIZE]);

/* --- the index, for route_match.c --- */

enum route_list_kind {
	ROUTE_LIST_PREFIX = 'p',  /* host, path: entries with exactly this prefix */
	ROUTE_LIST_REGEX = 'r',	  /* host: entries with an expression */
	ROUTE_LIST_OTHER = 'o',	  /* host: entries without a path */
	ROUTE_LIST_PATTERN = 'w', /* pattern: every entry with this wildcard host */
	ROUTE_LIST_HEADER = 'x',  /* header name: every entry that asks for it */
	ROUTE_LIST_LITERAL = 'g', /* literal: expressions of any host that begin with it */
	ROUTE_LIST_SERVICE = 'v', /* a service's id: the first entry of each of its routes */
	ROUTE_LIST_STREAM = 's',  /* SNI, or "": stream routes with it, or without one */
};
struct route_list {
	struct version version;
	size_t count;
	size_t cap; /* private */
	const struct route_entry *items[];
};
/* Entries without a host are under host "". NULL: none. Lives until rcu_leave. */
const struct route_list *routes_list(const struct routes *t, uint64_t generation,
				     enum route_list_kind kind, struct str value, struct str path);

enum route_length_kind {
	ROUTE_LENGTH_PREFIX = 'p',  /* host: its entries' prefixes */
	ROUTE_LENGTH_ANY = 'q',	    /* all prefixes */
	ROUTE_LENGTH_LITERAL = 'g', /* all literals of expressions */
};
struct route_length {
	uint32_t len, uses;
};
struct route_lengths {
	struct version version;
	size_t count;
	struct route_length items[]; /* longest first */
};
/* NULL: none. */
const struct route_lengths *routes_lengths(const struct routes *t, uint64_t generation,
					   enum route_length_kind kind, struct str host);

enum route_count_kind {
	ROUTE_COUNT_ALL = 't', /* value "" */
	ROUTE_COUNT_HOST = 'h',
	ROUTE_COUNT_PATTERN = 'w', /* hosts that are patterns: value "" */
	ROUTE_COUNT_HEADER = 'x',
	ROUTE_COUNT_PATH = 'u',	  /* prefixes and expressions */
	ROUTE_COUNT_PREFIX = 'q', /* prefixes */
	ROUTE_COUNT_METHOD = 'm',
	ROUTE_COUNT_SNI = 's',
};
enum { ROUTE_TOTAL = ROUTE_CATEGORIES + 1 };
/* How many entries of a category have a value; category ROUTE_CATEGORIES: of all; ROUTE_TOTAL: of
 * all, whatever the value (which is ""). */
size_t routes_count(const struct routes *t, uint64_t generation, unsigned category,
		    enum route_count_kind kind, struct str value);

#endif
