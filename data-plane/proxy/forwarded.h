/* What Cardea tells an upstream about a request: X-Forwarded-*, X-Real-IP, Via, X-Kong-Request-Id
 * (reliability-goals TR-01, TR-02, TR-12; Kong's rules). Pure. Thread: any. */
#ifndef CARDEA_PROXY_FORWARDED_H
#define CARDEA_PROXY_FORWARDED_H

#include "data-plane/proxy/client.h"

/* The pseudonym of Via: a request that came through here so often goes round in a circle. */
#define FORWARDED_PSEUDONYM "cardea"
enum { FORWARDED_LOOPS_MAX = 3 };

struct forwarded {
	const struct http_request *request;
	const struct client *client;
	struct str prefix; /* of the path, taken off by strip_path; STR_NONE: none */
	struct str id;	   /* X-Kong-Request-Id; STR_NONE: not told */
};

/* Whether a field (lower case) that a client sent is never passed on as it came: what
 * forwarded_add sets instead, and Forwarded, which Cardea does not speak. */
bool forwarded_replaces(struct str name);
/* Appends the fields to out. Their strings live in a, where they are the lines *lines, or as long
 * as the request's. -1: out of memory. */
int forwarded_add(struct http_fields *out, struct str *lines, struct arena *a,
		  const struct forwarded *f) must_check;
/* TR-12: Via names this gateway more than FORWARDED_LOOPS_MAX times: 508. */
bool forwarded_loops(const struct http_request *r);

#endif
