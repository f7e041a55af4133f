/* The path that an upstream is asked for (kong-admin-api.md 2.5, "Upstream path"). Pure. Thread:
 * any. */
#ifndef CARDEA_PROXY_UPSTREAM_PATH_H
#define CARDEA_PROXY_UPSTREAM_PATH_H

#include <stdbool.h>

#include "common/core/str.h"

struct upstream_path_rule {
	struct str base; /* the service's path; STR_NONE: "/" */
	bool strip;	 /* strip_path */
	bool v1;	 /* path_handling */
};

/* Appends it, fit to be sent. path: of the request, in normal form (common/http/path.h); matched:
 * the begin of it that the route's path matched, STR_NONE when the route has none. Fails as buf_add
 * does. */
int upstream_path(struct buf *out, const struct upstream_path_rule *rule, struct str path,
		  struct str matched, struct err *e) must_check;

#endif
