/* Outgoing HTTPS: one request, one answer, with limits. The only place that knows libcurl.
 *
 * Every URL goes through url_gate (but for what is fetched as http-01 is), every address through
 * addr_is_public (but for what the operator asks of his own servers: `own`); redirects are not
 * followed; proxies of the environment are not used. owner: the ACME engine, thread: the loop.
 */
#ifndef CARDEA_ACME_FETCH_H
#define CARDEA_ACME_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/core/str.h"
#include "common/net/loop.h"

struct fetcher;
struct fetch;

struct fetcher_conf {
	const char *ca_file; /* PEM bundle that is trusted; NULL: the system's. Copied */
	const char *ca_pem;  /* the same as text; wins. Copied */
	const char *from;    /* IP address that connections come from, and so the family that
				they go to; NULL or "": any. Copied */
	bool allow_private;  /* see url_gate */
	bool own;	     /* the operator's URLs: url_gate_own instead */
	bool responder;	     /* those of certificates: url_gate_responder instead */
	uint64_t connect_timeout_ms; /* 10,000 */
	uint64_t timeout_ms;	     /* for the whole exchange: 30,000 */
	size_t body_max;	     /* 256 KiB */
	bool secret;		     /* bodies and header lines are cleansed */
	bool insecure;		     /* certificates are not looked at: the operator said so */
	/* "HOST:PORT:WHERE:PORT": what a URL calls HOST is asked of WHERE, with HOST as SNI, as the
	 * name that is verified and as Host. NULL: as the URL says. Copied */
	const char *connect_to;
};

/* ERR_INVALID: the CA bundle cannot be read, or from is no address. */
int fetcher_create(struct fetcher **out, struct loop *l, const struct fetcher_conf *c,
		   struct err *e) must_check;
/* Drops what is under way without calling back, closes connections, frees; closed comes later. */
void fetcher_close(struct fetcher *f, void (*closed)(void *arg), void *arg);

enum fetch_method { FETCH_GET, FETCH_HEAD, FETCH_POST, FETCH_PUT, FETCH_DELETE };
struct fetch_request {
	enum fetch_method method;
	const char *url;
	struct str body;	  /* FETCH_POST, FETCH_PUT. Copied */
	const char *content_type; /* the same */
	const char *accept;	  /* NULL: anything */
	/* Not NULL: fetched as an authority does for http-01, by plain http from whatever port,
	 * with this Host. */
	const char *host;
	const char *signature; /* X-Cardea-Signature; NULL: none */
	const char *line;      /* one more header line, "Name: value"; NULL: none. Copied */
};

/* Borrowed until the callback returns. */
struct fetch_reply {
	struct err err; /* kind ERR_NONE: an HTTP answer came, of any status */
	unsigned status;
	struct str body;
	struct str nonce;	/* Replay-Nonce; STR_NONE: none */
	struct str location;	/* Location, absolute as it came; STR_NONE: none */
	struct str links;	/* Link fields, joined by ", "; empty: none */
	int64_t retry_after_ms; /* RETRY_AFTER_NONE: none, or unreadable */
};
typedef void (*fetch_done)(const struct fetch_reply *r, void *arg);

/* done is called once, later; the fetch is freed right after it. Fails at once with ERR_DENIED when
 * the URL is refused. */
int fetch_start(struct fetch **out, struct fetcher *f, const struct fetch_request *r,
		fetch_done done, void *arg, struct err *e) must_check;
/* Forgets it; done is not called. NULL is fine. Not after done. */
void fetch_cancel(struct fetch *x);

#endif
