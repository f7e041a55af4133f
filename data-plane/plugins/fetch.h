/* One bounded HTTP request of a worker to a place that a certificate names: a responder's or a
 * list's (CH-11). http, or https with a verified server; no redirects; nothing private unless the
 * operator allows it, judged on the address that is connected to.
 *
 *     RESOLVING ─▶ CONNECTING ─▶ READING ─▶ ENDED
 *         └────────────┴────────────┴─────────▲  failed, too slow, too large, cancelled
 *
 * owner: its starter, thread: the loop's. */
#ifndef CARDEA_PLUGINS_FETCH_H
#define CARDEA_PLUGINS_FETCH_H

#include <openssl/ssl.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/core/str.h"
#include "common/net/loop.h"

enum {
	FETCH_URL_MAX = 1024,
	FETCH_HOST_SIZE = 256,
};

/* A URL in parts; authority and target point into its text. */
struct fetch_url {
	bool tls;
	char host[FETCH_HOST_SIZE]; /* brackets off */
	uint16_t port;
	struct str authority;
	struct str target; /* "" stands for "/" */
};
/* ERR_DENIED, ERR_LIMIT: anything but "http[s]://host[:port]/..." without user information,
 * fragment and bytes that no URL has; without allow_private also other ports than 80 and 443,
 * "localhost" and literal addresses that are not public. Pure. */
int fetch_url_parse(struct fetch_url *out, struct str url, bool allow_private,
		    struct err *e) must_check;

struct fetch;

struct fetch_options {
	struct str url; /* copied */
	SSL_CTX *tls;	/* for https; verifies or not; NULL: https is refused */
	bool allow_private;
	uint64_t timeout_ms;	       /* for everything together */
	size_t max_bytes;	       /* of the answer's content */
	struct str content_type, body; /* copied; body.ptr: POST, else GET */
	const char *proxy_host;	       /* of an HTTP proxy, for http only; NULL: none. Copied */
	uint16_t proxy_port;
	/* Once, later, unless cancelled. why NULL: body is the content of a 200. The fetch is gone
	 * when it returns. */
	void (*done)(struct str body, const struct err *why, void *arg);
	void *arg;
};
/* Errors of the URL and of memory are returned; others come to done. */
int fetch_start(struct fetch **out, struct loop *l, const struct fetch_options *o,
		struct err *e) must_check;
/* done is not called any more. gone (may be NULL) is, when nothing of it is left on the loop;
 * later.
 */
void fetch_cancel(struct fetch *f, void (*gone)(void *arg), void *arg);

#endif
