/* One request to an upstream and its response, on a connection of the worker's pool, HTTP/1.1 or
 * HTTP/2: the upstream half of a proxied request.
 *
 *     start ─▶ (connecting) ─▶ on_ready ─▶ send_head ─ write* ─ write(last) | trailers
 *                                              └─▶ on_interim* ─▶ on_head ─▶ on_body* ─▶ on_end
 *                                                      └─▶ on_switch ─▶ take: a raw connection
 *              └──────── on_end(failure) at any moment, exactly once; not after close ────────▶
 *
 * An idle connection is used again when its endpoint is equal; then on_ready comes with reused, or
 * not at all when the head is sent before it could come (upstream_call_is_ready). No callback comes
 * from inside a call of upstream_call_*. What the upstream may not send is refused as
 * reliability-goals section 4 says. owner: the request, thread: the worker.
 */
#ifndef CARDEA_PROXY_UPSTREAM_CALL_H
#define CARDEA_PROXY_UPSTREAM_CALL_H

#include "common/http/msg.h"
#include "common/net/conn.h"
#include "data-plane/tls/origin.h"

enum endpoint_protocol { ENDPOINT_HTTP1, ENDPOINT_HTTP2 };

/* Where a request goes and how it is spoken to. Equal endpoints share connections. */
struct endpoint {
	struct addr addr;
	enum endpoint_protocol protocol; /* HTTP/2: by ALPN, or with prior knowledge when plain */
	struct origin_tls *tls;		 /* NULL: plain; the pool takes references of its own */
	struct str proxy_header; /* sent first on a new connection, which is then not shared (PP-09)
				  */
};

enum upstream_failure {
	UPSTREAM_OK,
	UPSTREAM_REFUSED,	  /* no connection */
	UPSTREAM_CONNECT_TIMEOUT, /* TCP and TLS within connect_ms */
	UPSTREAM_TLS,		  /* handshake or verification (UP-11, UP-12) */
	UPSTREAM_RESET,		  /* the connection ended */
	UPSTREAM_TIMEOUT,	  /* read_ms or write_ms without progress */
	UPSTREAM_UNSAFE,	  /* broke the rules of HTTP: UP-01, UP-04, UP-05, UP-13 */
	UPSTREAM_NOT_TAKEN,	  /* HTTP/2: refused, or GOAWAY below our stream: safe to retry */
	UPSTREAM_FULL,		  /* a limit of the pool */
	UPSTREAM_MEMORY,
	UPSTREAM_FAILURES,
};

struct upstream_end {
	enum upstream_failure failure;
	bool sent;     /* a byte of the request may have reached the upstream */
	bool answered; /* a byte of a response came */
	bool reused;   /* the connection had served before */
	struct err why;
};

struct upstream_pool;
struct upstream_call;

struct upstream_call_events {
	/* The connection is there. */
	void (*on_ready)(struct upstream_call *c, bool reused, void *arg);
	/* 100 or 103. Fields live until the call returns. */
	void (*on_interim)(struct upstream_call *c, unsigned status,
			   const struct http_fields *fields, void *arg);
	/* 101 for the upgrade that was asked for: call upstream_call_take inside. */
	void (*on_switch)(struct upstream_call *c, const struct http_response *r, void *arg);
	/* end: there is no body. *r lives until on_end. */
	void (*on_head)(struct upstream_call *c, const struct http_response *r, bool end,
			void *arg);
	/* Counts against the window until upstream_call_consumed. */
	void (*on_body)(struct upstream_call *c, struct str bytes, void *arg);
	/* upstream_call_write has room again. */
	void (*on_drain)(struct upstream_call *c, void *arg);
	/* Last; trailers (may be empty) live until it returns. */
	void (*on_end)(struct upstream_call *c, const struct upstream_end *end,
		       const struct http_fields *trailers, void *arg);
};

struct upstream_call_options {
	struct endpoint endpoint;
	uint64_t connect_ms, write_ms, read_ms;
	bool fresh;	     /* on a new connection (UP-09) */
	struct arena *arena; /* for heads and trailers; lives until on_end or close */
	const struct upstream_call_events *events;
	void *arg;
};

/* One per worker. max_idle: connections kept per endpoint; idle_ms, max_requests: of each. */
struct upstream_pool_options {
	struct loop *loop;
	unsigned max_idle;
	uint64_t idle_ms;
	unsigned max_requests;
	unsigned max_connections; /* per endpoint; 0: no limit. Over it UPSTREAM_FULL */
};
int upstream_pool_create(struct upstream_pool **out, const struct upstream_pool_options *o,
			 struct err *e) must_check;
/* Closes what is idle; no call may be open. Connections are gone when the loop has run. */
void upstream_pool_free(struct upstream_pool *p);
/* For metrics. */
struct upstream_pool_facts {
	size_t idle, busy, connecting;
};
void upstream_pool_facts(const struct upstream_pool *p, struct upstream_pool_facts *out);

/* Fails only without memory. */
int upstream_call_start(struct upstream_call **out, struct upstream_pool *p,
			const struct upstream_call_options *o, struct err *e) must_check;
/* Whether the head can be sent right after the start, on a connection that was idle. */
bool upstream_call_is_ready(const struct upstream_call *c);
/* From on_ready on, or when upstream_call_is_ready; on_ready does not come any more. r: method,
 * target, authority and fields to send; content_length, has_body. upgrade: the token of `Upgrade`
 * to ask for, or STR_NONE. te_trailers: say `TE: trailers`. end: no body follows. A field that
 * cannot be sent ends the call with UPSTREAM_UNSAFE. */
void upstream_call_send_head(struct upstream_call *c, const struct http_request *r,
			     struct str upgrade, bool te_trailers, bool end);
/* Copies. false: wait for on_drain (the bytes were taken). */
bool upstream_call_write(struct upstream_call *c, struct str bytes, bool last);
void upstream_call_trailers(struct upstream_call *c, const struct http_fields *trailers);
void upstream_call_consumed(struct upstream_call *c, size_t n);
/* Inside on_switch: the connection, from now on the caller's; set its events. No more events of
 * this call, which is gone. *left: bytes that came behind the 101, which live until the caller
 * returns to the loop. */
struct conn *upstream_call_take(struct upstream_call *c, struct str *left);
/* Gives up: no more events. The connection is closed, or the HTTP/2 stream reset, unless the
 * exchange was complete. NULL is fine. */
void upstream_call_close(struct upstream_call *c);
const struct addr *upstream_call_addr(const struct upstream_call *c);

#endif
