/* What Cardea says of itself in responses: Kong's `headers` setting. Pure. Thread: any. */
#ifndef CARDEA_PROXY_TOKENS_H
#define CARDEA_PROXY_TOKENS_H

#include "common/http/msg.h"

/* Fields that may be shown. */
enum token {
	TOKEN_SERVER,		/* Server, on answers of Cardea's own */
	TOKEN_VIA,		/* Via, on answers of upstreams */
	TOKEN_PROXY_LATENCY,	/* X-Kong-Proxy-Latency: ms until the upstream was asked */
	TOKEN_RESPONSE_LATENCY, /* X-Kong-Response-Latency: ms until Cardea's own answer */
	TOKEN_UPSTREAM_LATENCY, /* X-Kong-Upstream-Latency: ms until the upstream's head came */
	TOKEN_UPSTREAM_STATUS,	/* X-Kong-Upstream-Status */
	TOKEN_REQUEST_ID,	/* X-Kong-Request-Id */
	TOKENS,
};

struct tokens {
	unsigned shown; /* set of 1 << enum token */
};

/* text: names separated by commas, any case: server_tokens (Server, Via), latency_tokens (the
 * latencies), the fields by name, or off alone. ERR_INVALID names what is not one. */
int tokens_parse(struct tokens *out, struct str text, struct err *e) must_check;
bool tokens_show(const struct tokens *t, enum token which);

struct token_facts {
	struct str id;
	bool from_upstream;
	unsigned upstream_status;	/* from_upstream */
	uint64_t proxy_ms, upstream_ms; /* from_upstream */
	uint64_t response_ms;		/* of Cardea's own answers */
};

/* Appends what is shown of f. Server is the session's business. -1: out of memory. */
int tokens_add(const struct tokens *t, struct http_fields *out, struct arena *a,
	       const struct token_facts *f) must_check;

#endif
