/* What answers a client's request: ACME challenges from memory first (reliability-goals CH-01 to
 * CH-05), everything else as Kong does while no route exists. owner and thread: the worker.
 */
#ifndef CARDEA_PROXY_FRONT_H
#define CARDEA_PROXY_FRONT_H

#include "common/http/session.h"
#include "data-plane/proxy/hits.h"
#include "data-plane/proxy/stats.h"
#include "data-plane/tables/tables.h"

struct front {
	const struct tables *tables;
	struct hits *hits;
	struct stats *stats;
};

/* The handler's arg is a struct front. */
extern const struct http_handler front_handler;
/* For http_server.error_body: Kong's JSON. */
struct str front_error_body(unsigned status, struct str *content_type, void *arg);
/* For http_server.on_rejected. */
void front_rejected(const char *reason, void *arg);

/* The token of a challenge path, or STR_NONE. Pure. */
struct str front_challenge_token(struct str path);

#endif
