/* One route as the router sees it: what it asks of a request, compiled.
 *
 * A route with several paths becomes an entry for each (kong-admin-api.md 2.5, "Matching order").
 * Immutable once made. Thread: any; made and freed by the writer of the tables.
 */
#ifndef CARDEA_TABLES_ROUTE_H
#define CARDEA_TABLES_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/core/arena.h"
#include "common/core/err.h"
#include "common/core/str.h"
#include "data-plane/tables/route_endpoint.h"
#include "data-plane/tables/vmap.h"

enum {
	ROUTE_ID_SIZE = 16,
	ROUTE_TEXT_MAX = 2048,	   /* one host, path, header or SNI, in bytes */
	ROUTE_VALUES_MAX = 4096,   /* elements of one list */
	ROUTE_REGEX_STEPS = 10000, /* PCRE2's match limit, as Kong has it */
};

/* What a route constrains; a category is such a set. The first two are of stream routes only. */
enum route_bit {
	ROUTE_DESTINATION = 0x01,
	ROUTE_SOURCE = 0x02,
	ROUTE_SNI = 0x04,
	ROUTE_METHOD = 0x08,
	ROUTE_PATH = 0x10,
	ROUTE_HEADER = 0x20,
	ROUTE_HOST = 0x40,
	ROUTE_CATEGORIES = 0x80, /* how many sets there can be */
};

struct route_texts {
	const struct str *items;
	size_t count;
};
struct route_header_source {
	struct str name;
	struct route_texts values;
};
/* What is done with a request that the route gets. */
struct route_action {
	unsigned protocols;	  /* set of enum protocol_bit (tables/plugin.h) */
	unsigned redirect_status; /* https_redirect_status_code */
	bool strip_path, preserve_host, path_v1, request_buffering, response_buffering;
	const unsigned char *service; /* id; NULL: none */
	struct str name;	      /* STR_NONE: none */
};
/* A route as it comes in: fields of Kong's entity. */
struct route_source {
	struct route_texts hosts;   /* "a.com", "*.a.com:8443", "a.*"; lower case */
	struct route_texts paths;   /* "/prefix" in normal form, "~/regex" */
	struct route_texts methods; /* upper case */
	struct route_texts snis;    /* lower case */
	const struct route_header_source *headers;
	size_t header_count;
	int64_t regex_priority;
	int64_t created_at;
	struct str payload; /* given back with a match; two sources with equal payloads are equal */
	bool stream;	    /* of TCP connections: no request gets it */
	struct route_endpoints sources, destinations; /* stream */
	struct route_action action;		      /* its texts and ids are copied */
};

struct route_header {
	struct str name;		   /* lower case */
	struct route_texts values;	   /* lower case */
	struct pcre2_real_code_8 *pattern; /* of a single value "~*..."; or NULL */
};

struct route;
struct route_entry {
	const struct route *route;
	struct str path; /* prefix, or regular expression without "~"; STR_NONE: no path */
	struct pcre2_real_code_8 *regex; /* NULL: path is a prefix */
	struct str literal;		 /* regex: what every match begins with */
	uint32_t position;		 /* of the path in the route */
	uint8_t preference;		 /* what comes first within a category: larger first */
};

struct route {
	struct version version;
	unsigned char id[ROUTE_ID_SIZE];
	struct arena memory; /* private */
	struct str payload;
	struct route_action action;
	int64_t regex_priority, created_at;
	struct route_texts hosts, methods, snis;
	struct route_header *headers;
	size_t header_count;
	uint8_t category; /* set of enum route_bit; 0: no request gets it */
	uint8_t stream;	  /* the same for connections; 0: no connection gets it */
	struct route_endpoints sources, destinations;
	struct route_entry *entries;
	size_t entry_count; /* at least 1 */
};

/* Copies everything. ERR_INVALID: it constrains nothing that a request has, a list or text is too
 * long, a path begins with neither "/" nor "~/", or an expression does not compile. */
int route_make(struct route **out, const unsigned char id[ROUTE_ID_SIZE],
	       const struct route_source *s, struct err *e) must_check;
/* NULL is fine. */
void route_free(struct route *r);

/* Before 0, behind 0: the order of entries within a category. Never 0 for two entries. */
int route_entry_compare(const struct route_entry *a, const struct route_entry *b);
/* Categories in the order in which they are tried: larger first. */
unsigned route_category_rank(unsigned category);
/* Whether a host of a route is a pattern. */
bool route_host_is_wildcard(struct str host);

#endif
